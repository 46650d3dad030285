"""Whether a model is as sure as it says: the share of errors that its ellipses hold, and of hidden points among those that it
calls hidden.

An error e has the distance r from the middle of an ellipse of covariance C: r^2 = e^T C^-1 e. The ellipse of radius r holds all
errors up to that distance; of a Gaussian it holds 1 - exp(-r^2 / 2).
"""

import math

import numpy as np


def gaussian_radius(level: float) -> float:
    """The radius, in standard deviations, of the ellipse that holds the share `level` of a Gaussian in the plane.

    It is sqrt(-2 ln(1 - level)); `level` is from 0 to below 1.
    """
    return math.sqrt(-2.0 * math.log(1.0 - level))


def ellipse_distances(errors: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """How far errors lie out in their ellipses, in standard deviations: r = sqrt(e^T C^-1 e).

    Args:
        errors: `(..., 2)`, x and y.
        covariance: `(..., 3)`, xx, xy and yy in the square of their unit.

    Returns:
        `(...)` float64.
    """
    x, y = np.moveaxis(np.asarray(errors, np.float64), -1, 0)
    xx, xy, yy = np.moveaxis(np.asarray(covariance, np.float64), -1, 0)
    return np.sqrt((yy * x * x - 2 * xy * x * y + xx * y * y) / (xx * yy - xy * xy))


def conformal_radius(distances: np.ndarray, level: float) -> float:
    """The radius that split conformal prediction takes: the ceil((n + 1) level)-th of n distances in their order.

    An ellipse of this radius holds a new error, drawn as the n were, with a probability of at least `level`.

    Args:
        distances: `(n,)`, as of `ellipse_distances`.
        level: above 0 and below 1.

    Returns:
        The radius, in standard deviations.

    Raises:
        ValueError: there are so few distances that none is far enough, or the level is 0.
    """
    ordered = np.sort(np.asarray(distances, np.float64).ravel())
    place = math.ceil((len(ordered) + 1) * level - 1e-9)
    if not 0 < place <= len(ordered):
        raise ValueError(f"{len(ordered)} errors are too few for a level of {level:g}")
    return float(ordered[place - 1])


def coverage(distances: np.ndarray, radius: float, *, weights: np.ndarray | None = None) -> float:
    """The share of errors that an ellipse of the radius holds.

    Args:
        distances: `(...)`, as of `ellipse_distances`.
        radius: of the ellipse, in standard deviations.
        weights: `(...)`, how much each error counts; None counts all alike.

    Returns:
        A number in [0, 1].
    """
    return float(np.average(np.asarray(distances) <= radius, weights=weights))


def calibration_error(probabilities: np.ndarray, truth: np.ndarray, *, bins: int = 15) -> float:
    """The expected calibration error: how far the said probability lies from the true share, averaged over bins of equal width
    by the number of entries in each.

    Args:
        probabilities: `(...)` from 0 to 1.
        truth: `(...)` flags.
        bins: number of bins of the probability.

    Returns:
        A number in [0, 1]; 0 where every bin says what is true.
    """
    said, was = np.asarray(probabilities, np.float64).ravel(), np.asarray(truth, np.float64).ravel()
    places = np.minimum((said * bins).astype(int), bins - 1)
    apart = np.bincount(places, weights=said - was, minlength=bins)
    return float(np.abs(apart).sum() / max(1, len(said)))


def average_precision(scores: np.ndarray, truth: np.ndarray) -> float:
    """The mean precision at each true entry, all entries ranked by their scores, the highest first.

    Args:
        scores: `(...)`; entries of one score are taken together.
        truth: `(...)` flags.

    Returns:
        A number in [0, 1]; 1 where all true entries have the highest scores.

    Raises:
        ValueError: nothing is true.
    """
    scores, truth = np.asarray(scores, np.float64).ravel(), np.asarray(truth, bool).ravel()
    if not truth.any():
        raise ValueError("there is no true entry")
    order = np.argsort(-scores, kind="stable")
    found, last = np.cumsum(truth[order]), np.append(np.diff(scores[order]) != 0, True)
    hits, ranks = found[last], np.flatnonzero(last) + 1
    return float((np.diff(hits, prepend=0) * hits / ranks).sum() / truth.sum())
