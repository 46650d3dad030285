"""The run that every recipe calls: train, evaluate, write."""

import argparse
import contextlib
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from kfacealign import data, evaluation
from kfacealign.backend import keras
from kfacealign.console import make_console, shown
from kfacealign.data.shares import processes
from kfacealign.files import replacing
from kfacealign.models.aligner import FaceAligner
from kfacealign.models.complexity import trainable_parameters
from kfacealign.models.loading import load_keras, open_keras
from kfacealign.training.checkpoint import EpochCheckpoint, read_state, run_folder, tidy
from kfacealign.training.devices import alone, distributed, writes
from kfacealign.training.early_stopping import EarlyStopping, errors
from kfacealign.training.finetuning import begin_with, keep
from kfacealign.training.first_step import FirstStep
from kfacealign.training.resuming import alignment_of, check_same, describe, describe_model, fingerprint


def adam(learning_rate: float) -> keras.optimizers.Optimizer:
    """Adam with PyTorch's epsilon of 1e-8, as the originals: gradients of a mean over 4096 cells are below Keras' 1e-7."""
    return keras.optimizers.Adam(learning_rate, epsilon=1e-8)


def adamw(learning_rate: float) -> keras.optimizers.Optimizer:
    """AdamW with PyTorch's decay of 0.01 and epsilon of 1e-8; batch norms and biases are decayed like all weights, as there."""
    return keras.optimizers.AdamW(learning_rate, weight_decay=0.01, epsilon=1e-8)


# What --optimizer names: functions from a learning rate to an optimiser.
OPTIMIZERS = {"adam": adam, "adamw": adamw, "lamb": keras.optimizers.Lamb}

# What --precision names: how layers compute. Losses, decoding and metrics are float32 in any case.
PRECISIONS = {"float32": "float32", "float16": "mixed_float16", "bfloat16": "mixed_bfloat16"}


def run(
    build: Callable[[], FaceAligner],
    faces: data.Dataset,
    views: data.RandomView | None,
    settings: argparse.Namespace,
    *,
    optimizer: Callable[[float], keras.optimizers.Optimizer] = adam,
    labels: Sequence[str] = (),
    box: str = "landmarks",
    prepare: Callable[[FaceAligner], None] | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    wrap: Callable[[FaceAligner], FaceAligner] | None = None,
    load: Callable[[str], FaceAligner] = load_keras,
    export: Callable[[FaceAligner, Path], Any] | None = None,
    compared: dict | None = None,
    validation: data.Faces | None = None,
    stopping: EarlyStopping | None = None,
    repeats: int = 1,
) -> tuple[FaceAligner, evaluation.Report]:
    """Trains, evaluates and writes one model, as a recipe's settings say.

    Args:
        build: function without arguments that makes the model.
        faces: a `kfacealign.data.Dataset`.
        views: the `RandomView` of training, or None.
        settings: what `kfacealign.training.parse_settings` returned.
        optimizer: function from a learning rate to an optimiser.
        labels: names of the training faces' attributes that the method asks for beside the landmarks.
        box: what training crops are cut by, see `kfacealign.data.Crops`; test crops are cut by the landmarks. With
            `settings.align` "five_points" both are aligned by these.
        prepare: called with the model before the first epoch, whether it is new or was loaded; it sets what is not saved
            with the model.
        callbacks: Keras callbacks of the training.
        wrap: function from the model to the one that is fitted in its stead, such as `Siamese`; both share weights.
        load: what reads the model that `settings.begin_with` names; `kfacealign.load` knows the presets, too.
        export: what writes the trained model for deployment under TensorFlow, such as `kfacealign.deploy.export`; None
            writes nothing.
        compared: further values that must be the same for the run to be resumed.
        validation: faces on which the error of every epoch is measured; None takes the test faces.
        stopping: what ends the training by that error, and then gives the model its best weights; None trains all epochs.
        repeats: how often each training face comes in an epoch, every time in another view.

    Writes to `settings.out`: `history.csv` and a checkpoint after every epoch; at the end
    `model.keras`, `report.json`, `report.html`, `predictions.npz`, `ced.png`, `landmark_errors.png`, `predictions.png`
    and, where it is exported, `model.tflite`.

    Returns:
        The trained model and its `kfacealign.evaluation.Report`.

    Raises:
        ValueError: the directory holds a run that is not resumed, or one of other settings; `settings.begin_with` is
            no model of this network; with `settings.strict`, a photograph cannot be read.
        BlockingIOError: another run writes to the directory.
        OSError: a file cannot be read or written; the error names it.
    """
    with distributed(settings), run_folder(settings.out):
        console = start(settings)
        if validation is not None:
            compared = {"validation labels": fingerprint(validation), **(compared or {})}
        described = describe(faces, settings, views=views, **(compared or {}))
        model, history = start_or_resume(build, settings, described, optimizer, load)
        if prepare is not None:
            prepare(model)
        announce(console, model, faces, history, settings)
        crops = {"size": model.input_size, "enlarge": model.enlarge, "cache": settings.cache, "strict": settings.strict}
        crops["align"] = alignment_of(settings)
        train, test = data.Crops(faces.train, box=box, **crops), data.Crops(faces.test, **crops)
        measured = test if validation is None else data.Crops(validation, **crops)
        fitted = model if wrap is None else wrap(model)
        if stopping is None or not stopping.ended(errors(history)):
            watching = [*callbacks, *([] if stopping is None else [stopping])]
            fit(fitted, train, measured, views, history, settings, described, watching, labels=labels, repeats=repeats)
        if stopping is not None and history:
            console.print(stopping.restore(fitted, history), soft_wrap=True)
        if getattr(settings, "keep", 0):
            keep(model, kept_of(settings), settings.keep, load)
        with on_one_host(model) as local:
            report = evaluation.evaluate(local, test, subsets=faces.subsets, normalizer=faces.normalizer)
        parts = {"training set": train, "test set": test, **({} if measured is test else {"validation set": measured})}
        for part, made in parts.items():
            if made.failures:
                console.print(f"{part}: {made.summary()}", style="yellow", soft_wrap=True)
        finish(console, model, report, faces, settings, export)
    return model, report


def start(settings: argparse.Namespace) -> Console:
    """Sets seed and arithmetic; the console of the run, on which only the process that writes says something."""
    keras.utils.set_random_seed(settings.seed)
    keras.config.set_dtype_policy(PRECISIONS[getattr(settings, "precision", "float32")])
    console = make_console()
    console.quiet = not writes()
    return console


@contextlib.contextmanager
def on_one_host(model: FaceAligner) -> Iterator[FaceAligner]:
    """The model itself or, of several processes, a copy that each of them has alone: they need not run it together."""
    if processes()[1] == 1:
        yield model
        return
    with alone():
        copy = type(model).from_config(model.get_config())
        copy.network.set_weights(model.network.get_weights())
        yield copy


def start_or_resume(build, settings, described, optimizer, load=load_keras):
    """The model and its history: those of the last finished epoch with `resume`, else new ones.

    Args:
        described: what `describe` says of the run; the configuration of the model is added to it.

    Raises:
        ValueError: the directory holds a run but `resume` is off, or that run had other settings.
    """
    state = read_state(settings.out)
    if state is not None and not settings.resume:
        raise ValueError(
            f"{settings.out} holds a run of {len(state['history'])} epochs: add --resume to go on with it, "
            "or name another directory with --out"
        )
    if state is not None:
        check_same(state["settings"], described, settings.out)
    model = build()
    described["hyperparameters"] = describe_model(model)
    if state is None:
        if getattr(settings, "begin_with", None) is not None:
            begin_with(model, settings.begin_with, load)
        model.compile(optimizer(settings.learning_rate))
        return model, []
    check_same(state["settings"], {"hyperparameters": described["hyperparameters"]}, settings.out)
    tidy(state)
    return open_keras(state["checkpoint"], compiled=True), state["history"]


def kept_of(settings: argparse.Namespace) -> str:
    """The model a share of whose weights is kept: that of `--keep-of`, or else the one that the training began with."""
    return getattr(settings, "keep_of", None) or settings.begin_with


def announce(console, model, faces, history, settings):
    """Says what is about to happen and where its results go."""
    parameters = trainable_parameters(model) / 1e6
    console.print(
        Text.assemble((titled(model, settings), "bold"), f": {parameters:.2f} M parameters, {model.input_size} px crops")
    )
    console.print(faces.summary(), soft_wrap=True)
    if "unlabelled" in faces.train.attributes:
        count = int(faces.train.attributes["unlabelled"].sum())
        console.print(f"of the training faces {count:,} are without labels: {settings.paradigm}, {settings.method}")
    if alignment_of(settings) == "five_points":
        console.print(
            "crops aligned by five points; the model needs such crops at inference too: kfacealign align --five-points, "
            "kfacealign evaluate --align five_points"
        )
    console.print(scheduled(settings))
    if getattr(settings, "begin_with", None) is not None:
        whose = f"those of {shown(settings.keep_of)}" if getattr(settings, "keep_of", None) else "them"
        kept = f"; the model keeps a share of {settings.keep:g} of {whose}" if getattr(settings, "keep", 0) else ""
        console.print(f"begun with the weights of {shown(settings.begin_with)}{kept}", soft_wrap=True)
    if history:
        console.print(f"resumed after epoch {len(history)}")
    console.print(
        f"writing to {shown(settings.out)}: a checkpoint and history.csv every epoch; --resume goes on after an interruption\n",
        soft_wrap=True,
    )


def titled(model: FaceAligner, settings: argparse.Namespace) -> str:
    """The model's class, and the backbone or variant that the settings choose, where they do."""
    return f"{type(model).__name__} {getattr(settings, 'backbone', getattr(settings, 'variant', ''))}".strip()


def scheduled(settings: argparse.Namespace, *, unit: str = "") -> str:
    """One line on epochs, batches and the learning rate; `unit` is what a batch is of, such as " clips"."""
    drops = f" (a tenth from epochs {', '.join(map(str, settings.drops))} on)" if settings.drops else ""
    if decay_of(settings) == "cosine":
        drops = " (falling to 0 as a cosine)"
    warmup = f", the first {settings.warmup_epochs} as warm-up" if settings.warmup_epochs else ""
    return (
        f"{settings.epochs} epochs of batch {settings.batch_size}{unit} at learning rate {settings.learning_rate:g}{drops}"
        f"{warmup}, seed {settings.seed}, on {keras.config.backend()}"
    )


def fit(model, train, test, views, history, settings, description, callbacks=(), pipeline=data.pipeline, **options):
    """Trains the epochs after the last finished one: first under the warm-up's loss, then under the method's.

    Args:
        pipeline: what makes batches of `train` and `test`.
        options: further arguments of the training batches.
    """
    batches = {"size": model.input_size, "batch_size": settings.batch_size}
    options["views_on"] = views_on = getattr(settings, "views", "device")
    model.set_views(views if views_on == "device" else None)
    model.steps_per_execution = getattr(settings, "steps_per_call", 1)
    for phase, last in (("warmup", min(settings.warmup_epochs, settings.epochs)), ("training", settings.epochs)):
        first = len(history)
        if first >= last:
            continue
        model.warmup = phase == "warmup"
        with FirstStep(model, make_console(quiet=not writes())) as first_step:
            model.fit(
                pipeline(train, views=views, shuffle=True, seed=settings.seed, epoch=first, **options, **batches),
                validation_data=pipeline(test, **batches),
                initial_epoch=first,
                epochs=last,
                verbose=0 if not writes() else 1 if sys.stdout.isatty() else 2,
                callbacks=[
                    first_step,
                    keras.callbacks.LearningRateScheduler(rates(settings)),
                    *callbacks,
                    EpochCheckpoint(settings.out, history, description, phase),
                ],
            )
    model.warmup = False


def rates(settings: argparse.Namespace) -> Callable[[int, float], float]:
    """The learning rate by epoch, as the settings say: `decay` is "cosine", or "steps" at the epochs of `drops`.

    Raises:
        ValueError: a cosine was asked for together with drops.
    """
    if decay_of(settings) != "cosine":
        return step_decay(settings.learning_rate, settings.drops)
    if settings.drops:
        raise ValueError("--decay cosine has no steps: leave out --drops")
    return cosine_decay(settings.learning_rate, settings.epochs)


def decay_of(settings: argparse.Namespace) -> str:
    """How the learning rate falls; in steps where the settings do not say."""
    return getattr(settings, "decay", "steps")


def cosine_decay(rate: float, epochs: int) -> Callable[[int, float], float]:
    """The learning rate by epoch: half a cosine from `rate` towards 0, which would be reached after the last epoch."""

    def schedule(epoch, _):
        return rate * 0.5 * (1 + math.cos(math.pi * epoch / epochs))

    return schedule


def step_decay(rate: float, drops: Sequence[int], *, factor: float = 0.1) -> Callable[[int, float], float]:
    """The learning rate by epoch: `rate`, times `factor` from each epoch in `drops` on."""

    def schedule(epoch, _):
        return rate * factor ** sum(epoch >= drop for drop in drops)

    return schedule


def finish(console, model, report, faces, settings, export):
    """Writes the model, its report and its export, and says where they are."""
    if not writes():
        return
    out = Path(settings.out)
    with replacing(out / "model.keras") as temporary, alone():
        model.save(temporary)
    written = ["model.keras", "history.csv"]
    written += [path.name for path in evaluation.write_run(out, report, faces.test)]
    if export is not None and keras.config.backend() == "tensorflow":
        export(model, out / "model.tflite")
        written.append("model.tflite")
    console.print(report.table())
    console.print("\nwritten:")
    for name in written:
        console.print(f"  {shown(out / name)}", soft_wrap=True)
