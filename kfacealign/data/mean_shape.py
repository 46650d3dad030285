"""The mean shape of annotated faces, which a landmark scheme of one's own lacks."""

import copy
import dataclasses
import warnings
from collections.abc import Iterable

import numpy as np

from kfacealign import geometry, mirrors
from kfacealign.data.faces import Dataset, Faces
from kfacealign.data.five_points import similarity

FILLED = 0.8  # of the crop's side, see `Scheme.mean_shape`
NAMED = 5  # how many points a warning names


def mean_shape(parts: Iterable[Faces]) -> np.ndarray:
    """(K, 2) float32 mean of the annotated landmarks, in crop coordinates.

    Every face counts as it lies in a crop around its box, so large faces do not count more. The mean is then moved so that its
    box is centred in the crop and fills 80 % of it. A point that no face has lies in the middle.

    Args:
        parts: `Faces` of one scheme, at least one face in all.

    Raises:
        ValueError: there is no face.
    """
    parts = [part for part in parts if len(part)]
    if not parts:
        raise ValueError("there is no face whose shape could be taken")
    landmarks, weights = (np.concatenate([getattr(part, name) for part in parts]) for name in ("landmarks", "weights"))
    boxes = geometry.landmark_box(landmarks, weights=weights).astype("float64")
    centre, side = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]).max(1)
    known = (weights > 0)[..., None]
    inside = np.where(known, (landmarks - centre[:, None]) / side[:, None, None], 0)
    mean = inside.sum(0) / np.maximum(known.sum(0), 1)
    some = known.any(0)[:, 0]
    low, high = mean[some].min(0), mean[some].max(0)
    mean = np.where(some[:, None], (mean - (low + high) / 2) * FILLED / (high - low).max(), 0)
    return (0.5 + mean).astype("float32")


def aligned(parts: Iterable[Faces], shape: np.ndarray) -> np.ndarray:
    """(N, K, 2) the faces whose points are all annotated, each moved, turned and scaled onto a mean shape (K, 2)."""
    whole = [part.landmarks[(part.weights > 0).all(1)] for part in parts]
    landmarks = np.concatenate(whole) if whole else np.zeros((0, *np.shape(shape)))
    return geometry.apply_affine(similarity(landmarks, np.asarray(shape)), landmarks) if len(landmarks) else landmarks


def with_mean_shape(dataset: Dataset) -> Dataset:
    """A dataset whose scheme has a mean shape: that of the training faces where it has none of its own.

    The mirror of such a scheme is compared with the shape, and points that it takes to the wrong place are warned of.

    Args:
        dataset: a `Dataset`, which stays as it is.

    Returns:
        The dataset, or one whose two parts have the new scheme.
    """
    scheme = dataset.scheme
    if scheme.mean_shape is None:
        part = dataset.train if len(dataset.train) else dataset.test
        if not len(part):
            return dataset
        shape = mean_shape([part])
        warn_of_mirror(scheme.name, shape, scheme.mirror)
        scheme = dataclasses.replace(scheme, shape=tuple((float(x), float(y)) for x, y in shape))
        parts = {name: copy.copy(getattr(dataset, name)) for name in ("train", "test")}
        for part in parts.values():
            part.scheme = scheme
        dataset = dataclasses.replace(dataset, scheme=scheme, **parts)
    return dataset


def warn_of_mirror(name: str, shape: np.ndarray, mirror: tuple[int, ...]) -> None:
    """Warns of points whose counterparts in the mirror are elsewhere than the scheme says."""
    told = mirror_doubts(shape, mirror)
    if told:
        warnings.warn(f"{name}: {told}", stacklevel=3)


def mirror_doubts(shape: np.ndarray, mirror: tuple[int, ...]) -> str:
    """A sentence on the points that a mirror takes to the wrong place, by the mean shape (K, 2) of faces; "" for none."""
    wrong = mirrors.doubtful(shape, mirror)
    if not wrong:
        return ""
    best, _ = mirrors.by_shape(shape)
    which = ", ".join(f"{point} becomes {mirror[point]}, not {best[point]}" for point in wrong[:NAMED])
    which += ", ..." * (len(wrong) > NAMED)
    return (
        f"the mirror of {len(wrong):,} points does not fit the mean shape of the faces ({which}): "
        "mirrored views would train the wrong points, unless all faces are profiles"
    )
