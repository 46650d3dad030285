"""Errors on annotated clips, for models that remember earlier frames and for those that do not."""

import dataclasses

import numpy as np
from rich.console import Console
from rich.progress import track

from kfacealign import geometry, schemes
from kfacealign.data.clip_batches import ClipCrops
from kfacealign.evaluation.reports import report


def evaluate_clips(model, clips, subsets=None, normalizer=None, thresholds=(8.0, 10.0), batch_size=1):
    """Errors of a model on every frame of annotated clips, measured in the coordinates of their frames.

    Args:
        model: with `scheme`, `input_size` and `enlarge`, and one of `align_clips` (a tracker), `step` and `reset` (an
            exported tracker), which see each clip from its first frame on, or `align`, which reads frame by frame.
        clips: `Clips` of T frames each, or `ClipCrops` made of them.
        subsets: dict of name -> positions of clips.
        normalizer, thresholds: as of `evaluate`.
        batch_size: clips a step. A terminal shows a progress bar.

    Returns:
        A `Report` of the frames, clip after clip, with C T faces. Their jitter is
        `jitter(report.predicted, report.scheme, starts=numpy.arange(C * T) % T == 0)`.

    Raises:
        ValueError: the clips have another scheme than the model, there is none, or they differ in length.

    Example:
        >>> clips = kfacealign.data.windows(videos.test, length=10)
        >>> print(evaluate_clips(tracker, clips))
    """
    scheme = schemes.get(model.scheme)
    crops = clips if isinstance(clips, ClipCrops) else ClipCrops(clips, model.input_size, model.enlarge, cache=None)
    if crops.faces.scheme.name != scheme.name:
        raise ValueError(f"the model predicts {scheme.name}, the clips have {crops.faces.scheme.name}")
    length, console = crops.clips.length, Console()
    landmarks, weights = [], []
    starts = range(0, len(crops), batch_size * length)
    for start in track(starts, "evaluating", console=console, transient=True, disable=not console.is_terminal):
        indices = np.arange(start, min(start + batch_size * length, len(crops)))
        images, _, counted = crops.batch(indices)
        points = read_clips(model, images.reshape(-1, length, *images.shape[1:]))
        landmarks.append(geometry.from_crop(points, crops.matrices[indices], crops.size))
        weights.append(counted)
    frames = {name: in_frames(positions, len(crops.clips), length) for name, positions in (subsets or {}).items()}
    predicted, weights = np.concatenate(landmarks), np.concatenate(weights)
    names = crops.faces.names
    made = report(
        crops.faces.landmarks, predicted, scheme, weights, frames, normalizer, thresholds, names, image_size=crops.sides
    )
    return dataclasses.replace(made, align=crops.align)


def read_clips(model, clips):
    """Landmarks of clips `(C, T, S, S, 3)` as those of C T frames `(C * T, K, 2)`, in crop coordinates."""
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


def in_frames(positions, clips, length):
    """Positions of clips, or flags of all of them -> positions of their frames."""
    chosen = np.arange(clips)[positions] if np.size(positions) else np.zeros(0, int)
    return (chosen[:, None] * length + np.arange(length)).reshape(-1)
