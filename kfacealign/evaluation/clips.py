"""Errors on annotated clips, for models that remember earlier frames and for models that do not."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from rich.progress import track

from kfacealign import geometry, schemes
from kfacealign.console import make_console
from kfacealign.data.clip_batches import ClipCrops
from kfacealign.data.clips import Clips
from kfacealign.evaluation.reports import Report, report


def evaluate_clips(
    model: Any,
    clips: Clips | ClipCrops,
    *,
    subsets: Mapping[str, np.ndarray | Sequence[int]] | None = None,
    normalizer: str | None = None,
    thresholds: Sequence[float] = (8.0, 10.0),
    batch_size: int = 1,
) -> Report:
    """Errors of a model on every frame of annotated clips, measured in the coordinates of their frames.

    Args:
        model: anything with `scheme`, `input_size` and `enlarge` that has `align_clips` (a tracker), `step` and `reset` (an
            exported tracker) or `align` (any other model). Trackers see each clip from its first frame on; `align` reads frame
            by frame.
        clips: C `Clips` of T frames each, or `ClipCrops` that were made of them.
        subsets: dict of name -> positions of clips, or flags.
        normalizer: name of the normaliser; None takes the scheme's default. "image" is the side of a face's crop.
        thresholds: thresholds of failure rate and AUC, in percent.
        batch_size: clips in a step. A terminal shows a progress bar.

    Returns:
        A `Report` of C T faces, the frames of one clip after those of the other. Their jitter is
        `jitter(report.predicted, report.scheme, starts=numpy.arange(C * T) % T == 0)`.

    Raises:
        ValueError: the clips have another scheme than the model, there is no clip, or they differ in length.

    Example:
        >>> clips = kfacealign.data.windows(videos.test, length=10)
        >>> print(evaluate_clips(tracker, clips))
    """
    scheme = schemes.get(model.scheme)
    crops = clips if isinstance(clips, ClipCrops) else ClipCrops(clips, model.input_size, enlarge=model.enlarge, cache=None)
    if not crops.faces.scheme.matches(scheme):
        raise ValueError(f"the model predicts {scheme.name}, the clips have {crops.faces.scheme.difference(scheme)}")
    length, console = crops.clips.length, make_console()
    landmarks, weights = [], []
    starts = range(0, len(crops), batch_size * length)
    for start in track(starts, "evaluating", console=console, transient=True, disable=not console.is_terminal):
        indices = np.arange(start, min(start + batch_size * length, len(crops)))
        images, _, counted = crops.batch(indices)
        points = read_clips(model, images.reshape(-1, length, *images.shape[1:]))
        landmarks.append(geometry.from_crop(points, crops.matrices[indices], crops.size))
        weights.append(counted)
    count = len(crops.clips)
    frames = {name: in_frames(positions, clips=count, length=length) for name, positions in (subsets or {}).items()}
    predicted, weights = np.concatenate(landmarks), np.concatenate(weights)
    made = report(
        crops.faces.landmarks,
        predicted,
        scheme,
        weights=weights,
        subsets=frames,
        normalizer=normalizer,
        thresholds=thresholds,
        names=crops.faces.names,
        image_size=crops.sides,
    )
    return dataclasses.replace(made, align=crops.align)


def read_clips(model: Any, clips: np.ndarray) -> np.ndarray:
    """Landmarks of all frames of clips.

    Args:
        model: see `evaluate_clips`.
        clips: `(C, T, S, S, 3)` pixels 0..255.

    Returns:
        `(C * T, K, 2)` in crop coordinates, frame after frame and clip after clip.
    """
    if hasattr(model, "align_clips"):
        landmarks = model.align_clips(clips, batch_size=len(clips), verbose=0)[0]
        return landmarks.reshape(-1, *landmarks.shape[2:])
    if not hasattr(model, "step"):
        return model.align(clips.reshape(-1, *clips.shape[2:]), verbose=0)[0]
    landmarks = []
    for clip in clips:
        model.reset()
        landmarks += [model.step(crop)[0] for crop in clip]
    return np.stack(landmarks)


def in_frames(positions: np.ndarray | Sequence[int], *, clips: int, length: int) -> np.ndarray:
    """Positions of the frames that lie in some of the clips.

    Args:
        positions: positions of the clips, or a flag for every clip.
        clips: C, the number of all clips.
        length: T, frames in a clip.
    """
    chosen = np.arange(clips)[positions] if np.size(positions) else np.zeros(0, int)
    return (chosen[:, None] * length + np.arange(length)).reshape(-1)
