"""Coordinate soft-classification (CSC), HIH Eq. 5."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="kfacealign")
class CoordinateSoftClassification(keras.losses.Loss):
    """KL divergence between the softmax of the target map and that of the predicted map.

    Every cell of a small map is a class: the interval of the sub-cell coordinate.
    For landmark k, with p* = softmax(p) and q* = softmax(q) over the cells,

        L_k = 1 / (h w) * sum_ij p*_ij log(p*_ij / q*_ij)

    and the loss is its mean over landmarks (Eq. 5). Only the order of the predicted
    values matters to the decoder's argmax, and only their softmax matters here.

    Inputs `y_true`, `y_pred`: `(B, h, w, K)`. Without reduction the value is `(B, K)`, so
    that `sample_weight` of that shape can leave out points that are not annotated.
    """

    def __init__(self, reduction="mean_with_sample_weight", name="coordinate_soft_classification", dtype=None):
        super().__init__(name=name, reduction=reduction, dtype=dtype)

    def call(self, y_true, y_pred):
        log_target = log_softmax_over_cells(y_true)
        log_predicted = log_softmax_over_cells(y_pred)
        return ops.mean(ops.exp(log_target) * (log_target - log_predicted), axis=1)


def log_softmax_over_cells(maps):
    """`(B, h, w, K)` -> `(B, h * w, K)`, the log of a distribution over the cells of each map."""
    _, height, width, points = maps.shape
    return ops.log_softmax(ops.reshape(maps, (-1, height * width, points)), axis=1)
