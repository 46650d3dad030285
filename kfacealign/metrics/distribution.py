"""How the errors of a test set are distributed: failure rate, area under the curve, the curve itself."""

import numpy as np


def failure_rate(errors: np.ndarray, threshold: float) -> float:
    """The percentage of faces whose error is above `threshold`; an error that equals it is no failure.

    Args:
        errors: `(N,)` in percent, N > 0.
        threshold: in percent.
    """
    return float(100.0 * np.mean(np.asarray(errors) > threshold))


def auc(errors: np.ndarray, threshold: float) -> float:
    """The area under the cumulative error distribution up to `threshold`, divided by the threshold: a number in [0, 1].

    It is the exact integral of the step function, mean(max(0, 1 - e / threshold)).

    Args:
        errors: `(N,)` in percent, N > 0.
        threshold: in percent.
    """
    return float(np.mean(np.maximum(0.0, 1.0 - np.asarray(errors) / threshold)))


def ced(errors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The cumulative error distribution.

    Args:
        errors: `(N,)` in percent.

    Returns:
        The sorted errors `(N,)` and the share of faces at or below each, `(N,)`, in [0, 1].
    """
    ordered = np.sort(np.asarray(errors))
    return ordered, np.arange(1, len(ordered) + 1) / max(1, len(ordered))
