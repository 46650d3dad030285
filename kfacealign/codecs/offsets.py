"""A heatmap for the cell and a regressed offset for the position inside it (HIH, appendix B and C).

The coordinate correction that "Subpixel Heatmap Regression" compares with (Sec. 4.1, Table 1) is here, too.
"""

from typing import Any

import keras
from keras import ops

from kfacealign.codecs.codec import weighted_mean
from kfacealign.codecs.decoders import argmax_cells, at_cells
from kfacealign.codecs.heatmap import HeatmapCodec, gaussian_maps, one_hot_maps, quantized

LOSSES = ("smooth_l1", "l2")


def offset_loss(name: str, target: Any, predicted: Any) -> Any:
    """The loss of offsets: the sum over x and y of the smooth L1, quadratic below 1 cell, or of half the squared error.

    Args:
        name: "smooth_l1" or "l2".
        target: `(B, K, 2)` in cells.
        predicted: `(B, K, 2)` in cells.

    Returns:
        `(B, K)`.
    """
    error = ops.abs(ops.cast(predicted, "float32") - target)
    half_square = 0.5 * ops.square(error)
    return ops.sum(half_square if name == "l2" else ops.where(error < 1.0, half_square, error - 0.5), axis=-1)


class OffsetCodec(HeatmapCodec):
    """The base class of both kinds of offset: the cell, the offset from it, and the loss."""

    terms = ("heatmap_loss", "offset_loss")
    warmup_terms = ("heatmap_loss", "offset_loss", "coordinate_loss")

    def encode(self, landmarks: Any) -> dict[str, Any]:
        landmarks = ops.clip(landmarks, 0.0, 1.0)
        cells = quantized(landmarks, self.size, quantize=self.quantize)
        return {
            "heatmap": gaussian_maps(cells, self.size, self.sigma),
            "cells": cells,
            "offset": landmarks * self.size - cells,
        }

    def offset_terms(
        self, targets: dict[str, Any], outputs: dict[str, Any], weights: Any, *, target: Any, predicted: Any
    ) -> dict[str, Any]:
        """The two terms of the loss, for offsets `target` and `predicted` `(B, K, 2)` in cells."""
        error = offset_loss(self.offset_loss, target, predicted)
        return {
            "heatmap_loss": self.heatmap_loss(targets["heatmap"], outputs, weights),
            "offset_loss": self.alpha * weighted_mean(error, weights),
        }


@keras.saving.register_keras_serializable(package="kfacealign")
class OffsetValue(OffsetCodec):
    """Heatmap with offset value (WOV): two numbers for each landmark beside its map (Eq. 9 of HIH's appendix).

    The landmark is `(argmax + offset) / size`. What HIH's text leaves open is taken from the offset map of the same
    appendix: the offset starts at the floored position, is in [0, 1] and is trained under a smooth L1 loss.

    The coordinate correction of "Subpixel Heatmap Regression" is the same with `quantize="round"` and `offset_loss="l2"`.
    Its static ground truth is the error of the encoding. Its dynamic ground truth is the way from the maximum of the last
    map, as it is predicted at the time, to the landmark.

    Args:
        size: side of the maps.
        sigma: standard deviation in cells.
        alpha: weight of the offset's loss.
        quantize: where the map's Gaussian stands: "floor" or "round".
        ground_truth: "static" or "dynamic".
        offset_loss: "smooth_l1" or "l2".

    Outputs read: `heatmap_s` `(B, size, size, K)` for each stack s, `offset` `(B, K, 2)` in cells.

    Raises:
        ValueError: `quantize`, `ground_truth` or `offset_loss` is none of the above.
    """

    def __init__(
        self,
        size: int = 64,
        sigma: float = 1.5,
        *,
        alpha: float = 0.1,
        quantize: str = "floor",
        ground_truth: str = "static",
        offset_loss: str = "smooth_l1",
    ):
        check(quantize, offset_loss)
        if ground_truth not in ("static", "dynamic"):
            raise ValueError(f"ground_truth is 'static' or 'dynamic', not {ground_truth!r}")
        self.size = size
        self.sigma = sigma
        self.alpha = alpha
        self.quantize = quantize
        self.ground_truth = ground_truth
        self.offset_loss = offset_loss

    def loss(self, targets: dict[str, Any], outputs: dict[str, Any], weights: Any) -> dict[str, Any]:
        target = targets["offset"]
        if self.ground_truth == "dynamic":
            found, _ = argmax_cells(self.stack_maps(outputs)[-1])
            target = ops.stop_gradient(targets["cells"] + target - found)
        return self.offset_terms(targets, outputs, weights, target=target, predicted=outputs["offset"])

    def decode(self, outputs: dict[str, Any]) -> tuple[Any, Any]:
        cells, scores = argmax_cells(self.stack_maps(outputs)[-1])
        return (cells + ops.cast(outputs["offset"], "float32")) / self.size, scores

    def get_config(self) -> dict[str, Any]:
        names = ("size", "sigma", "alpha", "quantize", "ground_truth", "offset_loss")
        return {name: getattr(self, name) for name in names}


@keras.saving.register_keras_serializable(package="kfacealign")
class OffsetMap(OffsetCodec):
    """Heatmap with offset map (WOM): two maps hold the offsets of all landmarks (Eq. 8 of HIH's appendix).

    The landmark is `(argmax + map at the argmax) / size`. The maps are trained like CornerNet's, which the appendix
    follows: under a smooth L1 loss at the landmarks' own cells, and not at all elsewhere. Landmarks that share a cell share
    its offset, the mean of their offsets.

    Args:
        size: side of the maps.
        sigma: standard deviation in cells.
        alpha: weight of the offset's loss.
        quantize: "floor" as in the paper, or "round".
        offset_loss: "smooth_l1" or "l2".

    Outputs read: `heatmap_s` `(B, size, size, K)` for each stack s, `offset_map` `(B, size, size, 2)` in cells.

    Raises:
        ValueError: `quantize` or `offset_loss` is none of the above.
    """

    def __init__(
        self,
        size: int = 64,
        sigma: float = 1.5,
        *,
        alpha: float = 0.1,
        quantize: str = "floor",
        offset_loss: str = "smooth_l1",
    ):
        check(quantize, offset_loss)
        self.size = size
        self.sigma = sigma
        self.alpha = alpha
        self.quantize = quantize
        self.offset_loss = offset_loss

    def encode(self, landmarks: Any) -> dict[str, Any]:
        targets = super().encode(landmarks)
        here = one_hot_maps(targets["cells"], self.size)
        offset = targets["offset"]
        sums = ops.stack([ops.sum(here * offset[:, None, None, :, axis], axis=-1) for axis in (0, 1)], axis=-1)
        return {**targets, "offset_map": sums / ops.maximum(ops.sum(here, axis=-1, keepdims=True), 1.0)}

    def loss(self, targets: dict[str, Any], outputs: dict[str, Any], weights: Any) -> dict[str, Any]:
        predicted = self.read(outputs["offset_map"], targets["cells"])
        return self.offset_terms(targets, outputs, weights, target=targets["offset"], predicted=predicted)

    def decode(self, outputs: dict[str, Any]) -> tuple[Any, Any]:
        cells, scores = argmax_cells(self.stack_maps(outputs)[-1])
        return (cells + self.read(outputs["offset_map"], cells)) / self.size, scores

    def read(self, maps: Any, cells: Any) -> Any:
        """The two maps `(B, h, w, 2)` at cells `(B, K, 2)` -> `(B, K, 2)`."""
        x, y = (ops.repeat(cells[:, None, :, axis], 2, axis=1) for axis in (0, 1))
        return ops.transpose(at_cells(maps, x, y), (0, 2, 1))

    def get_config(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("size", "sigma", "alpha", "quantize", "offset_loss")}


def check(quantize: str, loss: str) -> None:
    """Raises ValueError unless there is such a quantisation and such a loss of offsets."""
    if quantize not in ("floor", "round"):
        raise ValueError(f"quantize is 'floor' or 'round', not {quantize!r}")
    if loss not in LOSSES:
        raise ValueError(f"offset_loss is one of {', '.join(LOSSES)}, not {loss!r}")
