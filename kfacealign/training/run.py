"""The run that every recipe calls: train, evaluate, write."""

import sys
from pathlib import Path

import keras
from rich.console import Console

from kfacealign import data, evaluation
from kfacealign.files import replacing
from kfacealign.models.complexity import trainable_parameters
from kfacealign.quiet import quiet
from kfacealign.training.begin import begin_with
from kfacealign.training.checkpoint import EpochCheckpoint, load_state


def adam(learning_rate):
    """Adam with PyTorch's epsilon of 1e-8, as the originals: gradients of a mean over 4096 cells are below Keras' 1e-7."""
    return keras.optimizers.Adam(learning_rate, epsilon=1e-8)


def run(build, faces, views, settings, optimizer=adam, labels=(), box="landmarks", prepare=None, callbacks=(), wrap=None):
    """Train, evaluate and export one model, as a recipe's settings say.

    Args:
        build: function without arguments that makes the model.
        faces: a `kfacealign.data.Dataset`.
        views: the `RandomView` of training, or None.
        settings: what `kfacealign.training.parse_settings` returned.
        optimizer: function from a learning rate to an optimiser.
        labels: names of the training faces' attributes that the method asks for beside the landmarks.
        box: what training crops are cut by, see `kfacealign.data.Crops`; test crops are cut by the landmarks. With
            `settings.align` "five_points" both are aligned by these.
        prepare: called with the model, a new one as one that was loaded, before the first epoch; for what is not
            saved with it.
        callbacks: Keras callbacks of the training.
        wrap: function from the model to the one that is fitted in its stead, such as `Siamese`; both share weights.

    Writes to `settings.out`: `history.csv` and a checkpoint after every epoch; at the end
    `model.keras`, `report.json`, `report.html`, `predictions.npz`, `ced.png`, `landmark_errors.png`, `predictions.png`
    and, under TensorFlow, `model.tflite`.

    Returns:
        The trained model and its `kfacealign.evaluation.Report`.

    Raises:
        ValueError: the directory holds a run that is not resumed, or one of other settings; `settings.begin_with` is
            no model of this network.
    """
    console = Console()
    Path(settings.out).mkdir(parents=True, exist_ok=True)
    with quiet():  # TensorFlow's search for a GPU
        keras.utils.set_random_seed(settings.seed)
    keras.config.set_dtype_policy("mixed_float16" if settings.mixed_precision else "float32")

    model, history = start_or_resume(build, faces, settings, optimizer)
    if prepare is not None:
        prepare(model)
    announce(console, model, faces, history, settings)
    crops = {"size": model.input_size, "enlarge": model.enlarge, "cache": settings.cache, "strict": settings.strict}
    crops["align"] = alignment_of(settings)
    train, test = data.Crops(faces.train, box=box, **crops), data.Crops(faces.test, **crops)
    fitted = model if wrap is None else wrap(model)
    fit(fitted, train, test, views, history, settings, describe(faces, settings), callbacks, labels=labels)
    report = evaluation.evaluate(model, test, subsets=faces.subsets, normalizer=faces.normalizer)
    for part, made in (("training set", train), ("test set", test)):
        if made.failures:
            console.print(f"{part}: {made.summary()}", style="yellow")
    finish(console, model, report, faces, history, settings)
    return model, report


def start_or_resume(build, faces, settings, optimizer):
    """The model and its history: those of the last finished epoch with `resume`, else new ones."""
    state = load_state(settings.out)
    if state is None:
        model = build()
        if getattr(settings, "begin_with", None) is not None:
            begin_with(model, settings.begin_with)
        model.compile(optimizer(settings.learning_rate))
        return model, []
    model, history, before = state
    if not settings.resume:
        raise ValueError(
            f"{settings.out} holds a run of {len(history)} epochs: add --resume to go on with it, "
            "or name another directory with --out"
        )
    check_same(before, describe(faces, settings), settings.out)
    return model, history


def check_same(before, now, directory):
    """Raises ValueError where the settings a run was begun with are not those it is to go on with."""
    before = {"align": "box", **before}  # a run of before there was a choice says nothing of it
    changed = [f"{name} was {before.get(name)} and is {value}" for name, value in now.items() if before.get(name) != value]
    if changed:
        raise ValueError(f"{directory} cannot be resumed with other settings: {'; '.join(changed)}")


def describe(faces, settings):
    """The settings that decide what an epoch does; they must agree for a run to be resumed."""
    names = ("variant", "input_size", "batch_size", "learning_rate", "drops", "warmup_epochs", "mixed_precision", "seed")
    optional = ("backbone", "backbone_weights", "stride", "neighbors", "loss", "paradigm", "method", "task", "begin_with")
    return {
        "dataset": faces.name,
        "scheme": faces.scheme.name,
        "training faces": len(faces.train),
        "align": alignment_of(settings),
        **{name: getattr(settings, name) for name in names},
        **{name: getattr(settings, name) for name in optional if hasattr(settings, name)},
    }


def alignment_of(settings):
    """How crops are cut, `align` of `kfacealign.data.Crops`; by the box where the settings do not say."""
    return getattr(settings, "align", "box")


def announce(console, model, faces, history, settings):
    """What is about to happen and where its results go."""
    parameters = trainable_parameters(model) / 1e6
    variant = getattr(settings, "backbone", settings.variant)
    console.print(f"[bold]{type(model).__name__} {variant}[/bold]: {parameters:.2f} M parameters, {model.input_size} px crops")
    console.print(faces.summary())
    if "unlabelled" in faces.train.attributes:
        count = int(faces.train.attributes["unlabelled"].sum())
        console.print(f"of the training faces {count:,} are without labels: {settings.paradigm}, {settings.method}")
    if alignment_of(settings) == "five_points":
        console.print(
            "crops aligned by five points; the model needs such crops at inference too: kfacealign align --five-points, "
            "kfacealign evaluate --align five_points"
        )
    drops = f" (a tenth from epochs {', '.join(map(str, settings.drops))} on)" if settings.drops else ""
    warmup = f", the first {settings.warmup_epochs} as warm-up" if settings.warmup_epochs else ""
    console.print(
        f"{settings.epochs} epochs of batch {settings.batch_size} at learning rate {settings.learning_rate:g}{drops}{warmup}, "
        f"seed {settings.seed}, on {keras.config.backend()}"
    )
    if getattr(settings, "begin_with", None) is not None:
        console.print(f"begun with the weights of {settings.begin_with}")
    if history:
        console.print(f"resumed after epoch {len(history)}")
    console.print(f"writing to {settings.out}: a checkpoint and history.csv every epoch; --resume goes on after an interruption\n")


def fit(model, train, test, views, history, settings, description, callbacks=(), pipeline=data.pipeline, **options):
    """The epochs after the last finished one: those of the warm-up first, then those of the method's loss.

    Args:
        pipeline: what makes batches of `train` and `test`. options: of the training batches.
    """
    batches = {"size": model.input_size, "batch_size": settings.batch_size}
    for phase, last in (("warmup", min(settings.warmup_epochs, settings.epochs)), ("training", settings.epochs)):
        first = len(history)
        if first >= last:
            continue
        model.warmup = phase == "warmup"
        model.fit(
            pipeline(train, views=views, shuffle=True, seed=settings.seed, epoch=first, **options, **batches),
            validation_data=pipeline(test, **batches),
            initial_epoch=first,
            epochs=last,
            verbose=1 if sys.stdout.isatty() else 2,
            callbacks=[
                keras.callbacks.LearningRateScheduler(step_decay(settings.learning_rate, settings.drops)),
                *callbacks,
                EpochCheckpoint(settings.out, history, description, phase),
            ],
        )
    model.warmup = False


def step_decay(rate, drops, factor=0.1):
    """The learning rate by epoch: `rate`, times `factor` from each epoch in `drops` on."""

    def schedule(epoch, _):
        return rate * factor ** sum(epoch >= drop for drop in drops)

    return schedule


def finish(console, model, report, faces, history, settings):
    """Writes the model, its report and its export, and says where they are."""
    out = Path(settings.out)
    with replacing(out / "model.keras") as temporary:
        model.save(temporary)
    written = ["model.keras", "history.csv"]
    written += [path.name for path in evaluation.write_run(out, report, faces.test)]
    if keras.config.backend() == "tensorflow":
        from kfacealign import deploy

        deploy.export(model, out / "model.tflite")
        written.append("model.tflite")
    console.print(report.table())
    console.print("\nwritten:")
    for name in written:
        console.print(f"  {out / name}")
