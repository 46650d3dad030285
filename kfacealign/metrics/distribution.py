"""How the errors of a test set are distributed: failure rate, area under the curve, the curve itself."""

import numpy as np


def failure_rate(errors, threshold):
    """Percentage of faces whose error is above (not at) `threshold`; errors `(N,)`, N > 0, and threshold in percent."""
    return float(100.0 * np.mean(np.asarray(errors) > threshold))


def auc(errors, threshold):
    """Area under the cumulative error distribution up to `threshold`, over the threshold: in [0, 1].

    The exact integral of the step function, mean(max(0, 1 - e / threshold)); errors `(N,)`, N > 0, in percent.
    """
    return float(np.mean(np.maximum(0.0, 1.0 - np.asarray(errors) / threshold)))


def ced(errors):
    """The cumulative error distribution: sorted errors `(N,)` and the share of faces at or below each, `(N,)`."""
    ordered = np.sort(np.asarray(errors))
    return ordered, np.arange(1, len(ordered) + 1) / max(1, len(ordered))
