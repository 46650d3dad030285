"""Fine-tuning a trained aligner for a small file: quantisation-aware, or pruned. What recipes and benchmarks call."""

import argparse
import math
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from kfacealign import data, deploy, evaluation
from kfacealign.backend import keras
from kfacealign.files import replacing
from kfacealign.training import settings as flags
from kfacealign.training.loop import adam, announce, fit, start_or_resume
from kfacealign.training.resuming import alignment_of, describe

# The settings of such a training; the trained model settles the others.
SETTINGS = ("dataset", "scheme", "align", "epochs", "batch_size", "learning_rate", "drops")
# Share of the training after which the full sparsity is reached; the rest is for recovering.
GROWING = 0.6
OBSERVED = 128


def parse_settings(description, scales, argv=None):
    """Settings of a fine-tuning recipe from its command line.

    Args:
        description: what `--help` begins with.
        scales: for each `--scale` a pair of dicts of defaults, for quantisation and for pruning, of `dataset`, `epochs`,
            `batch_size`, `learning_rate` and `drops`.
        argv: arguments; by default those of the process.

    Returns:
        A namespace for `tune`.

    Raises:
        ValueError: a share of zeros that is none.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="the trained model (.keras) to begin with, which stays as it is")
    parser.add_argument(
        "--sparsity",
        type=float,
        default=0.0,
        help="share of zeros to prune to, such as 0.5 or 0.75; 0, the default, trains for eight bits instead",
    )

    for name in SETTINGS:
        flags.add_flag(parser, name, {**flags.DEFAULTS, **scales["paper"][0]}[name], flags.FLAGS.get(name, {}))
    flags.add_common(parser)
    settings = parser.parse_args(argv)
    if not 0 <= settings.sparsity < 1:
        raise ValueError(f"--sparsity is a share of the weights from 0 to below 1, got {settings.sparsity:g}")
    chosen = {name: pair[settings.sparsity > 0] for name, pair in scales.items()}
    flags.fill(settings, {**flags.DEFAULTS, **chosen["paper"]}, chosen["quick"], {})
    if settings.out is None:
        settings.out = str(Path("runs") / f"{settings.dataset}_{method(settings.sparsity).replace(' ', '_').replace('%', '')}")
    return settings


def method(sparsity):
    """What is done, in a few words."""
    return f"pruned {100 * sparsity:g}%" if sparsity else "qat"


def tune(settings, faces, views, baseline=True):
    """Fine-tunes, evaluates and exports one model, as a recipe's settings say.

    Args:
        settings: what `parse_settings` returned: `model`, `sparsity` and those of every training.
        faces: a `kfacealign.data.Dataset` of the model's scheme.
        views: the `RandomView` of training, or None.
        baseline: whether the model as it was is exported and evaluated, too.

    Writes to `settings.out`: `history.csv` and a checkpoint after every epoch; at the end `model.keras`, the report's
    files (see `evaluation.write_run`), and for quantisation-aware training `model_int8.tflite`; for pruning
    `model.tflite`, `model_int8.tflite` (quantised after training) and `sparsity.csv`; with `baseline`
    `float32.tflite` and `int8.tflite`, the model as it was, as it is and quantised after training.

    Returns:
        `evaluation.Report` by file name, of every file that was evaluated.

    Raises:
        ValueError: the directory holds a run that is not resumed, or one of other settings; the faces have another scheme;
            a layer of the model has no twin.
    """
    console = Console()
    source = deploy.load(settings.model)
    if source.scheme.name != faces.scheme.name:
        raise ValueError(f"{settings.model} predicts {source.scheme.name}, the faces of {faces.name} have {faces.scheme.name}")
    settings = argparse.Namespace(**vars(settings))
    settings.variant = f"{settings.model}, {method(settings.sparsity)}"
    settings.input_size, settings.warmup_epochs, settings.mixed_precision = source.input_size, 0, False
    Path(settings.out).mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(settings.seed)

    described = describe(faces, settings, views=views)
    model, history = start_or_resume(lambda: begin(settings, source, len(faces.train)), settings, described, adam)
    announce(console, model, faces, history, settings)
    crops = {"size": source.input_size, "enlarge": source.enlarge, "cache": settings.cache, "strict": settings.strict}
    crops["align"] = alignment_of(settings)
    train, test = (data.Crops(part, **crops) for part in (faces.train, faces.test))
    seen = sample(train)
    if not settings.sparsity and not history:
        model.observe(seen)
    callbacks = [masks()] if settings.sparsity else []
    fit(model, train, test, views, history, settings, described, callbacks)
    return finish(console, source if baseline else None, model, seen, test, faces, settings)


def begin(settings, source, faces):
    """The twin of the model, to be trained on so many faces an epoch."""
    if not settings.sparsity:
        from kfacealign.deploy.compression.qat import QuantizedAligner

        return QuantizedAligner(source)
    from kfacealign.deploy.compression.pruning import PrunedAligner

    steps = settings.epochs * math.ceil(faces / settings.batch_size)
    return PrunedAligner(source, settings.sparsity, end_step=max(1, int(GROWING * steps)))


def masks():
    from kfacealign.deploy.compression.pruning import MaskWeights

    return MaskWeights()


def sample(crops):
    """Evenly spaced crops, `(N, S, S, 3)`, those left out that cannot be read."""
    chosen = np.unique(np.linspace(0, len(crops) - 1, min(OBSERVED, len(crops))).round().astype(int))
    return np.stack([image for image, _, weights in map(crops.__getitem__, chosen) if weights.any()])


# === Results ===


def finish(console, source, model, seen, test, faces, settings):
    """Writes the models and their reports, and says how they compare and where they are."""
    out = Path(settings.out)
    trained = model.trained_aligner()
    files = {}
    if source is not None:
        export(source, out / "float32.tflite")
        export(source, out / "int8.tflite", seen)
        files = {"float32.tflite": "float32, as it was", "int8.tflite": "int8 after training"}
    with replacing(out / "model.keras") as temporary:
        trained.save(temporary)
    written = ["history.csv", "model.keras"]
    if settings.sparsity:
        export(trained, out / "model.tflite")
        export(trained, out / "model_int8.tflite", seen)
        done = method(settings.sparsity)
        files |= {"model.tflite": done, "model_int8.tflite": f"{done}, int8 after training"}
        written.append(write_sparsities(trained, out / "sparsity.csv").name)
        last = "model.tflite"
    else:
        model.export(out / "model_int8.tflite")
        files["model_int8.tflite"] = "int8, quantisation-aware"
        last = "model_int8.tflite"
    options = {"subsets": faces.subsets, "normalizer": faces.normalizer}
    reports = {name: evaluation.evaluate(deploy.load(out / name), test, **options) for name in files}
    written += [*files, *(path.name for path in evaluation.write_run(out, reports[last], faces.test))]
    console.print()
    console.print(comparison(out, files, reports))
    console.print(reports[last].table())
    console.print("\nwritten:")
    for name in written:
        console.print(f"  {out / name}")
    return reports


def export(aligner, path, calibration=None):
    """A float32 file, or with calibration crops an int8 file."""
    deploy.export(aligner, path, precision="float32" if calibration is None else "int8", calibration=calibration)


def write_sparsities(aligner, path):
    """The share of zeros in every kernel, as CSV; returns the path."""
    from kfacealign.deploy.compression.pruning import sparsities

    rows = [f"{name},{weights},{share:.6f}" for name, weights, share in sparsities(aligner)]
    with replacing(path) as temporary:
        temporary.write_text("\n".join(["kernel,weights,zeros", *rows, ""]))
    return path


def comparison(folder, files, reports):
    """Files and their errors, as a table."""
    from kfacealign.deploy.compression.pruning import zipped_size

    table = Table(title="on the test faces", title_justify="left")
    for column in ("file", "what", "NME, %", "size, MB", "gzip, MB"):
        table.add_column(column, justify="left" if column in ("file", "what") else "right")
    for name, what in files.items():
        path = Path(folder) / name
        sizes = (f"{size / 1e6:.2f}" for size in (path.stat().st_size, zipped_size(path)))
        table.add_row(name, what, f"{reports[name].rows()['full']['nme']:.3f}", *sizes)
    return table
