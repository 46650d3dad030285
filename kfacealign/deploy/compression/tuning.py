"""Fine-tuning a trained aligner for a small file: quantisation-aware or pruned. Recipes and benchmarks call it."""

import argparse
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from kfacealign import data, deploy, evaluation
from kfacealign.backend import keras
from kfacealign.console import make_console, shown
from kfacealign.files import replacing
from kfacealign.models.calibrated import CalibratedAligner
from kfacealign.training import settings as flags
from kfacealign.training.checkpoint import run_folder
from kfacealign.training.loop import adam, announce, fit, start_or_resume
from kfacealign.training.resuming import alignment_of, describe

# The settings of such a training; all others follow from the trained model.
SETTINGS = ("dataset", "scheme", "align", "epochs", "batch_size", "learning_rate", "drops")
# Share of the training after which the full sparsity is reached; in the rest of it the model recovers.
GROWING = 0.6
# Number of training crops from which ranges are taken.
OBSERVED = 128


def parse_settings(
    description: str, scales: dict[str, tuple[dict, dict]], *, argv: Sequence[str] | None = None
) -> argparse.Namespace:
    """Settings of a fine-tuning recipe from its command line.

    Args:
        description: the text at the beginning of `--help`.
        scales: for each `--scale` a pair of dicts of defaults, the first for quantisation, the second for pruning: `dataset`,
            `epochs`, `batch_size`, `learning_rate` and `drops`.
        argv: arguments; by default those of the process.

    Returns:
        A namespace for `tune`.

    Raises:
        ValueError: `--sparsity` is not a share from 0 to below 1.
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


def method(sparsity: float) -> str:
    """The name of the method, such as "qat" or "pruned 75%"."""
    return f"pruned {100 * sparsity:g}%" if sparsity else "qat"


def tune(
    settings: argparse.Namespace, faces: data.Dataset, views: data.RandomView | None, *, baseline: bool = True
) -> dict[str, evaluation.Report]:
    """Fine-tunes, evaluates and exports one model, as a recipe's settings say.

    It writes to `settings.out`:
    `history.csv` and a checkpoint after every epoch;
    at the end `model.keras` and the report's files (see `evaluation.write_run`);
    after quantisation-aware training `model_int8.tflite`;
    after pruning `model.tflite`, `model_int8.tflite` (quantised after training) and `sparsity.csv`;
    with `baseline` also the model as it was before, in float32 as `float32.tflite` and quantised after training as
    `int8.tflite`.

    Args:
        settings: what `parse_settings` returned: `model`, `sparsity` and the settings of every training.
        faces: a `kfacealign.data.Dataset` of the model's scheme.
        views: the `RandomView` of training, or None.
        baseline: whether the model as it was before is exported and evaluated, too.

    Returns:
        `evaluation.Report` of every file that was evaluated, by the file's name.

    Raises:
        ValueError: the directory holds a run, and `--resume` was not given or its settings differ; the faces have another
            scheme; or a layer of the model has no twin.
        BlockingIOError: another run writes to the directory.
    """
    console = make_console()
    source = deploy.load(settings.model)
    if isinstance(source, CalibratedAligner):
        source = source.aligner
        console.print(
            f"{shown(settings.model)} is calibrated: the model inside is trained, and what comes out is not calibrated "
            "(kfacealign calibrate does it)",
            soft_wrap=True,
        )
    if not faces.scheme.matches(source.scheme):
        other = faces.scheme.difference(source.scheme)
        raise ValueError(f"{settings.model} predicts {source.scheme.name}, the faces of {faces.name} have {other}")
    settings = argparse.Namespace(**vars(settings))
    settings.variant = f"{settings.model}, {method(settings.sparsity)}"
    settings.input_size, settings.warmup_epochs, settings.precision = source.input_size, 0, "float32"
    with run_folder(settings.out):
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


def begin(settings: argparse.Namespace, source: Any, faces: int) -> Any:
    """The `QuantizedAligner` or `PrunedAligner` that is trained.

    Args:
        settings: see `tune`.
        source: the trained model.
        faces: number of training faces, by which the steps of an epoch are counted.
    """
    if not settings.sparsity:
        from kfacealign.deploy.compression.qat import QuantizedAligner

        return QuantizedAligner(source)
    from kfacealign.deploy.compression.pruning import PrunedAligner

    steps = settings.epochs * math.ceil(faces / settings.batch_size)
    return PrunedAligner(source, sparsity=settings.sparsity, end_step=max(1, int(GROWING * steps)))


def masks() -> keras.callbacks.Callback:
    """The callback that keeps pruned weights at zero."""
    from kfacealign.deploy.compression.pruning import MaskWeights

    return MaskWeights()


def sample(crops: data.Crops) -> np.ndarray:
    """Evenly spaced crops, `(N, S, S, 3)`, without those that cannot be read."""
    chosen = np.unique(np.linspace(0, len(crops) - 1, min(OBSERVED, len(crops))).round().astype(int))
    return np.stack([image for image, _, weights in map(crops.__getitem__, chosen) if weights.any()])


# === Results ===


def finish(
    console: Console,
    source: Any,
    model: Any,
    seen: np.ndarray,
    test: data.Crops,
    faces: data.Dataset,
    settings: argparse.Namespace,
) -> dict[str, evaluation.Report]:
    """Writes the models and their reports, and prints how they compare and where they are.

    Args:
        console: where it is printed.
        source: the model as it was before, or None for no baseline.
        model: the trained `TwinnedAligner`.
        seen: crops by which int8 is calibrated.
        test: crops of the test faces.
        faces: the dataset.
        settings: see `tune`.

    Returns:
        The reports by file name.
    """
    out = Path(settings.out)
    trained = model.trained_aligner()
    files = {}
    if source is not None:
        export(source, out / "float32.tflite")
        export(source, out / "int8.tflite", calibration=seen)
        files = {"float32.tflite": "float32, as it was", "int8.tflite": "int8 after training"}
    with replacing(out / "model.keras") as temporary:
        trained.save(temporary)
    written = ["history.csv", "model.keras"]
    if settings.sparsity:
        export(trained, out / "model.tflite")
        export(trained, out / "model_int8.tflite", calibration=seen)
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
        console.print(f"  {shown(out / name)}", soft_wrap=True)
    return reports


def export(aligner: Any, path: Path, *, calibration: np.ndarray | None = None) -> None:
    """Writes a float32 file; with calibration crops, an int8 file."""
    deploy.export(aligner, path, precision="float32" if calibration is None else "int8", calibration=calibration)


def write_sparsities(aligner: Any, path: Path) -> Path:
    """Writes the share of zeros in every kernel as CSV; returns the path."""
    from kfacealign.deploy.compression.pruning import sparsities

    rows = [f"{name},{weights},{share:.6f}" for name, weights, share in sparsities(aligner)]
    with replacing(path) as temporary:
        temporary.write_text("\n".join(["kernel,weights,zeros", *rows, ""]))
    return path


def comparison(folder: str | os.PathLike, files: dict[str, str], reports: dict[str, evaluation.Report]) -> Table:
    """The errors and sizes of files as a table.

    Args:
        folder: where the files are.
        files: name of a file -> what it is, in a few words.
        reports: name of a file -> its report.
    """
    from kfacealign.deploy.compression.pruning import zipped_size

    table = Table(title="on the test faces", title_justify="left")
    for column in ("file", "what", "NME, %", "size, MB", "gzip, MB"):
        table.add_column(column, justify="left" if column in ("file", "what") else "right")
    for name, what in files.items():
        path = Path(folder) / name
        sizes = (f"{size / 1e6:.2f}" for size in (path.stat().st_size, zipped_size(path)))
        table.add_row(name, what, f"{reports[name].rows()['full']['nme']:.3f}", *sizes)
    return table
