"""Coordinate soft-classification (CSC), HIH Eq. 5."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="kfacealign")
class CoordinateSoftClassification(keras.losses.Loss):
    """KL divergence from the softmax of the predicted map to the softmax of the target map.

    Every cell of a small map is a class, the interval of the sub-cell coordinate. For landmark k, with target map p,
    predicted map q, p* = softmax(p) and q* = softmax(q) over the cells,

        L_k = 1 / (h w) * sum_ij p*_ij log(p*_ij / q*_ij)

    and the loss is its mean over landmarks (Eq. 5). A constant that is added to a predicted map changes neither this loss nor
    the decoder's argmax.

    Inputs `y_true`, `y_pred`: `(B, h, w, K)`. Without reduction the value is `(B, K)`, so that `sample_weight` of that
    shape can leave out points that are not annotated.
    """

    def __init__(
        self,
        *,
        reduction: str | None = "mean_with_sample_weight",
        name: str = "coordinate_soft_classification",
        dtype: Any = None,
    ):
        super().__init__(name=name, reduction=reduction, dtype=dtype)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        log_target = log_softmax_over_cells(y_true)
        log_predicted = log_softmax_over_cells(y_pred)
        return ops.mean(ops.exp(log_target) * (log_target - log_predicted), axis=1)


def log_softmax_over_cells(maps: Any) -> Any:
    """`(B, h, w, K)` -> `(B, h * w, K)`, the logarithm of a distribution over the cells of each map."""
    _, height, width, points = maps.shape
    return ops.log_softmax(ops.reshape(maps, (-1, height * width, points)), axis=1)
