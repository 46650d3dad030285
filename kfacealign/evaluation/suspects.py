"""Labels that are likely wrong, told by how far a model disagrees with them.

The disagreement about a point is divided by the usual one, its median over the set. A face stands out if its points are farther
off than those of other faces, or if one point is farther off than the others of the face. Distances are measured in the root of
the area of the predicted points' box. A shift that all labels of a set share is reported for the set and held against no face.
"""

import dataclasses
from typing import Any

import numpy as np

from kfacealign import geometry
from kfacealign.data.faces import Faces
from kfacealign.metrics.certainty import ellipse_distances

FITS = 0.5  # a face counts as mirrored, or its eyes as swapped, where that makes the distance so many times as large
SHARE = 0.8  # of the squared distances, from which on a common shift explains them
LARGE = 0.12  # mean distance in sides of the face, from which on the label may be of another face, or of none
CLEAR = 3.0  # score below which nothing is named
STEADY = 0.15  # least standard deviation of the logarithms of disagreements
KINDS = ("mirrored", "eyes swapped", "one point", "shifted", "wrong face", "unlike", "usual")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Suspect:
    """One label.

    Attributes:
        face: its place in the set, from 0.
        rank: 1 for the most suspicious label.
        score: of the disagreement, in standard deviations of its logarithm over the set; 0 is the median. It is doubled
            where the label fits mirrored, or with its eyes swapped.
        kind: one of `KINDS`, the likeliest.
        point: index of the point that disagrees most, in proportion to its usual disagreement.
        distance: of that point to its prediction, in pixels.
        mean: mean distance of the face's points, in percent of the side of the face.
        shift: (x, y) mean of label less prediction in pixels, less that of the set.
    """

    face: int
    rank: int
    score: float
    kind: str
    point: int
    distance: float
    mean: float
    shift: tuple[float, float]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ranking:
    """The labels of a set, the most suspicious first.

    Attributes:
        suspects: one for each face whose photograph could be read.
        offset: (x, y) pixels, the median over the faces of label less prediction. A whole pixel, or half of one, in one axis or
            both is the mark of a set whose first pixel was read in the wrong place.
    """

    suspects: list[Suspect]
    offset: tuple[float, float]


def rank(
    faces: Faces, predicted: np.ndarray, weights: np.ndarray | None = None, *, covariance: np.ndarray | None = None
) -> Ranking:
    """Ranks labels by how much a model disagrees with them.

    Args:
        faces: N annotated faces.
        predicted: (N, K, 2), the model's landmarks in image coordinates.
        weights: (N, K), 0 where a point does not count, as where a photograph cannot be read; None takes those of the faces.
        covariance: (N, K, 3), xx, xy and yy of the errors that a calibrated model expects, in pixels squared. Disagreements are
            then measured by these, and not in sides of the face.

    Returns:
        `Ranking`; faces without a counted point are left out.

    Raises:
        ValueError: there is no face that counts, or predictions have another shape than the landmarks.
    """
    predicted = np.asarray(predicted, float)
    if predicted.shape != faces.landmarks.shape:
        raise ValueError(f"predictions have the shape {predicted.shape}, the labels {faces.landmarks.shape}")
    known = (faces.weights if weights is None else np.asarray(weights) * faces.weights) > 0
    counted = np.flatnonzero(known.any(1) & np.isfinite(predicted).all((1, 2)))
    if not len(counted):
        raise ValueError("no face counts: none has an annotated point in a photograph that can be read")
    labels, predicted, known = faces.landmarks[counted].astype(float), predicted[counted], known[counted]
    sizes = sides(predicted)
    apart = np.where(known[..., None], labels - predicted, np.nan)
    offset = np.median(np.nanmean(apart, axis=1), axis=0)
    # What the labels of the set have in common is no fault of a face: where they put each point, in sides of the face.
    usual = middle(apart / sizes[:, None, None])
    residuals = apart / sizes[:, None, None] - usual
    distances = np.linalg.norm(residuals, axis=-1)
    if covariance is None:
        expected = distances
    else:
        expected = ellipse_distances(residuals * sizes[:, None, None], np.asarray(covariance, float)[counted])
    relative = expected / np.maximum(middle(expected), 1e-4)
    whole = np.nanmean(np.minimum(relative, np.nanpercentile(relative, 90, axis=1)[:, None]), axis=1)
    single = np.nanmax(relative, axis=1) / np.maximum(1.0, np.nanmedian(relative, axis=1))
    scores = np.maximum(standing(whole), standing(single))
    mirrored = better(labels, predicted, known, sizes, list(faces.scheme.mirror))
    swapped = better(labels, predicted, known, sizes, eyes_swapped(faces.scheme))
    scores = np.where(np.minimum(mirrored, swapped) < FITS, scores * 2, scores)
    found = []
    for number, place in enumerate(np.argsort(-scores, kind="stable"), start=1):
        point = int(np.nanargmax(relative[place]))
        facts = {"residuals": residuals[place], "single": standing(single)[place], "whole": standing(whole)[place]}
        kind = kind_of(scores[place], mirrored[place], swapped[place], **facts)
        shift = np.nanmean(residuals[place], axis=0) * sizes[place]
        found.append(
            Suspect(
                face=int(counted[place]),
                rank=number,
                score=float(scores[place]),
                kind=kind,
                point=point,
                distance=float(np.linalg.norm(apart[place, point])),
                mean=float(100 * np.nanmean(distances[place])),
                shift=(float(shift[0]), float(shift[1])),
            )
        )
    return Ranking(suspects=found, offset=(float(offset[0]), float(offset[1])))


def sides(points: np.ndarray) -> np.ndarray:
    """(N,) the root of the area of the box of each face's points (N, K, 2), a pixel at least."""
    boxes = geometry.landmark_box(points)
    return np.maximum(1.0, np.sqrt((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).astype(float))


def middle(values: np.ndarray) -> np.ndarray:
    """The median over the first axis of what is not NaN; 0 where all of it is."""
    known = np.isfinite(values).any(0)
    return np.where(known, np.nanmedian(np.where(known, values, 0), axis=0), 0)


def standing(values: np.ndarray) -> np.ndarray:
    """Values above 0 on a scale of their logarithms: 0 at the median, 1 a standard deviation above it, told by the middle half.

    The deviation is taken for `STEADY` at least, so that in a set of much alike faces small differences stay small.
    """
    logs = np.log(np.maximum(values, 1e-6))
    middle = np.median(logs)
    return (logs - middle) / max(1.4826 * float(np.median(np.abs(logs - middle))), STEADY)


def eyes_swapped(scheme: Any) -> list[int]:
    """The order of a scheme's points after the left eye and the right one have changed their names."""
    order = list(range(scheme.num_points))
    for point in scheme.regions.get("eyes", ()):
        order[point] = scheme.mirror[point]
    return order


def better(labels: np.ndarray, predicted: np.ndarray, known: np.ndarray, sizes: np.ndarray, order: list[int]) -> np.ndarray:
    """(N,): the mean distance of reordered labels to predictions over that of the labels as they are, of the points that move.

    It is infinite where fewer than two points that move are annotated, and where the labels are no farther off than a twentieth
    of the face.
    """
    moves = np.array(order) != np.arange(len(order))
    both = known & known[:, order] & moves
    now = np.linalg.norm(labels - predicted, axis=-1)
    then = np.linalg.norm(labels[:, order] - predicted, axis=-1)
    count = np.maximum(1, both.sum(1))
    now, then = (np.where(both, one, 0).sum(1) / count for one in (now, then))
    usable = (both.sum(1) > 1) & (now > 0.05 * sizes)
    return np.where(usable, then / np.maximum(now, 1e-9), np.inf)


def kind_of(score: float, mirrored: float, swapped: float, *, residuals: np.ndarray, single: float, whole: float) -> str:
    """The likeliest kind of a fault.

    Args:
        score: of the face. mirrored, swapped: of `better`.
        residuals: (K, 2) label less prediction in sides of the face, NaN where it does not count.
        single, whole: by how much one point, and the whole face, stand out.
    """
    if score < CLEAR:
        return "usual"
    if min(mirrored, swapped) < FITS:
        # Of a mirrored face the eyes are swapped, too, so what else moves decides.
        return "mirrored" if mirrored < FITS else "eyes swapped"
    left = residuals[np.isfinite(residuals).all(1)]
    together = len(left) * (left.mean(0) ** 2).sum()
    if len(left) > 3 and whole > single and together > SHARE * (left**2).sum():
        return "shifted"
    if single >= whole:
        return "one point"
    return "wrong face" if np.linalg.norm(left, axis=1).mean() > LARGE else "unlike"
