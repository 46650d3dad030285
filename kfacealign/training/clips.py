"""The run of recipes that train trackers on clips: train, evaluate, write."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from rich.text import Text

from kfacealign import data, metrics
from kfacealign.backend import keras
from kfacealign.console import shown
from kfacealign.evaluation.clips import evaluate_clips
from kfacealign.evaluation.reports import Report
from kfacealign.files import replacing
from kfacealign.models.aligner import FaceAligner
from kfacealign.models.complexity import trainable_parameters
from kfacealign.training.checkpoint import run_folder
from kfacealign.training.devices import distributed, single_process
from kfacealign.training.loop import adam, fit, scheduled, start, start_or_resume, titled
from kfacealign.training.resuming import describe


def run_clips(
    build: Callable[[], FaceAligner],
    videos: data.ClipsDataset,
    views: data.RandomView | None,
    settings: argparse.Namespace,
    *,
    frames: int,
    optimizer: Callable[[float], keras.optimizers.Optimizer] = adam,
    export: Callable[[FaceAligner, Path], Any] | None = None,
) -> tuple[FaceAligner, Report]:
    """Trains, evaluates and writes one tracker, as a recipe's settings say.

    Args:
        build: function without arguments that makes the tracker.
        videos: both parts are cut into windows; clips with effects are taken whole.
        views: the random views of training, or None; all frames of a clip share one.
        settings: what `kfacealign.training.parse_settings` returned; `batch_size` is in clips.
        frames: T, the length of the windows.
        optimizer: function from a learning rate to an optimiser.
        export: what writes the trained step for deployment under TensorFlow, such as `kfacealign.deploy.export_step`; None
            writes nothing.

    Writes to `settings.out`: `history.csv` and a checkpoint after every epoch; at the end `model.keras`,
    `report.json` and, where it is exported, `step.tflite`.

    Returns:
        The trained tracker and the `Report` of all frames of the test windows.

    Raises:
        ValueError: the directory holds a run that is not resumed, or one of other settings; no video has so many frames;
            with `settings.strict`, a frame cannot be read.
        BlockingIOError: another run writes to the directory.
        OSError: a file cannot be read or written; the error names it.
    """
    single_process("training on clips")
    with distributed(settings), run_folder(settings.out) as out:
        console = start(settings)
        train, test = cut(videos.train, frames), cut(videos.test, frames)
        described = describe(videos, settings, views=views, frames=frames)
        model, history = start_or_resume(build, settings, described, optimizer)
        announce(console, model, videos, (train, test), frames, history, settings)
        options = {"enlarge": model.enlarge, "cache": settings.cache, "strict": settings.strict}
        train, test = (data.ClipCrops(clips, model.input_size, **options) for clips in (train, test))
        fit(model, train, test, views, history, settings, described, pipeline=data.clip_pipeline)
        report = evaluate_clips(model, test, subsets=windows_of(test.clips, videos), normalizer=videos.normalizer)
        finish(console, model, report, frames, out, export)
    return model, report


def cut(clips: data.Clips, frames: int) -> data.Clips:
    """Windows of so many frames. Clips with effects are not cut and must have as many frames themselves.

    Raises:
        ValueError: clips with effects have another length, or no video is that long.
    """
    if clips.effects is None:
        return data.windows(clips, frames)
    if clips.length != frames:
        raise ValueError(
            f"clips with effects are not cut: they have {clips.length or 'different numbers of'} frames, not {frames}"
        )
    return clips


def windows_of(clips: data.Clips, videos: data.ClipsDataset) -> dict[str, np.ndarray]:
    """Subset of the test videos -> positions of the windows that were cut from its videos."""
    of = [name.rpartition(":")[0] for name in clips.names]
    named = {name: {videos.test.names[i] for i in positions} for name, positions in videos.subsets.items()}
    return {name: np.flatnonzero([video in members for video in of]) for name, members in named.items()}


def announce(console, model, videos, windows, frames, history, settings):
    """Says what is about to happen and where its results go."""
    parameters, frozen = trainable_parameters(model) / 1e6, "frozen" if model.frozen else "trained with it"
    console.print(
        Text.assemble(
            (titled(model, settings), "bold"),
            f": {parameters:.2f} M trainable parameters, {model.input_size} px crops, lambda {model.lam:g}, detector {frozen}",
        )
    )
    console.print(videos.summary(), soft_wrap=True)
    console.print(f"cut into {len(windows[0]):,} and {len(windows[1]):,} clips of {frames} frames")
    console.print(scheduled(settings, unit=" clips"))
    if history:
        console.print(f"resumed after epoch {len(history)}")
    console.print(
        f"writing to {shown(settings.out)}: a checkpoint and history.csv an epoch; --resume goes on after an interruption\n",
        soft_wrap=True,
    )


def finish(console, model, report, frames, out, export):
    """Writes the tracker, its report and its export, and says where they are."""
    with replacing(out / "model.keras") as temporary:
        model.save(temporary)
    written = [out / "model.keras", out / "history.csv", report.save(out / "report.json")]
    if export is not None and keras.config.backend() == "tensorflow":
        written.append(export(model, out / "step.tflite"))
    console.print(report.table())
    starts = np.arange(len(report.names)) % frames == 0
    console.print(f"jitter {metrics.jitter(report.predicted, report.landmark_scheme, starts=starts):.2f} %")
    console.print("\nwritten:")
    for path in written:
        console.print(f"  {shown(path)}", soft_wrap=True)
