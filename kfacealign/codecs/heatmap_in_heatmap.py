"""Heatmap in heatmap, the representation of HIH (Sec. III-B and III-C)."""

from typing import Any

import keras
from keras import ops

from kfacealign.codecs.codec import weighted_mean
from kfacealign.codecs.decoders import argmax_cells
from kfacealign.codecs.heatmap import HeatmapCodec, gaussian_maps, one_hot_maps
from kfacealign.losses import CoordinateSoftClassification


@keras.saving.register_keras_serializable(package="kfacealign")
class HeatmapInHeatmap(HeatmapCodec):
    """An integer heatmap for the cell and a decimal heatmap for the position inside it.

    Encoding (Eq. 1-3): positions outside the crop are moved to its edge. The integer cell is the floor of the position in
    cells. The decimal cell is the rest times `decimal_size`, rounded and clipped to the map's last cell. Eq. 2 prints a
    floor, but the text before it says that the position is rounded, and rounding gives the "Ideal" column of Table IX. As the
    last half part of a cell is clipped, decoded positions lie 1 / (2 decimal_size^2) of a cell too low in the mean.

    Decoding (Eq. 4): argmax of both, `(integer + decimal / decimal_size) / size`.

    Loss (Eq. 6): mean squared error of the integer heatmap plus `alpha` times the coordinate soft-classification of the decimal
    heatmap. The first term is the mean over all stacks, where Sec. III-D names the last one alone.

    Args:
        size: side of the integer heatmaps.
        decimal_size: side of the decimal heatmaps; 4, 8 or 16 in Table IX.
        sigma: standard deviation of the integer Gaussian, in cells (1.5; 1.0 on 300W).
        decimal_sigma: standard deviation of the decimal Gaussian, in decimal cells.
        alpha: weight of the decimal loss (0.1 for the tiny network, 0.05 otherwise).
        decimal_label: "soft" for the Gaussian, "hard" for a single 1 (Table VII).
        decimal_loss: "csc" for Eq. 5 or "mse" (Table VIII).
        decimal_cell: the integer cell of which the decimal cells of the labels are parts. "true" is the paper's: the cell of
            the landmark (Eq. 2). "predicted" is the cell that the network's own integer map names, to which decoding adds the
            decimal part; for a landmark outside it, the nearest of its decimal cells is right.

    Outputs read: `heatmap_s` `(B, size, size, K)` for each stack s, `decimal` `(B, decimal_size, decimal_size, K)`. A
    landmark's score is its integer map's maximum.

    Raises:
        ValueError: `decimal_label`, `decimal_loss` or `decimal_cell` is none of the above.

    Example:
        >>> codec = HeatmapInHeatmap()
        >>> targets = codec.encode(keras.ops.ones((1, 98, 2)) * 0.3)
        >>> codec.decode({"heatmap_1": targets["heatmap"], "decimal": targets["decimal"]})[0][0, 0]
        array([0.30078125, 0.30078125], dtype=float32)
    """

    terms = ("heatmap_loss", "decimal_loss")
    warmup_terms = ("heatmap_loss", "decimal_loss", "coordinate_loss")

    def __init__(
        self,
        size: int = 64,
        decimal_size: int = 8,
        *,
        sigma: float = 1.5,
        decimal_sigma: float = 1.0,
        alpha: float = 0.05,
        decimal_label: str = "soft",
        decimal_loss: str = "csc",
        decimal_cell: str = "true",
    ):
        if decimal_label not in ("soft", "hard"):
            raise ValueError(f"decimal_label is 'soft' or 'hard', not {decimal_label!r}")
        if decimal_loss not in ("csc", "mse"):
            raise ValueError(f"decimal_loss is 'csc' or 'mse', not {decimal_loss!r}")
        if decimal_cell not in ("true", "predicted"):
            raise ValueError(f"decimal_cell is 'true' or 'predicted', not {decimal_cell!r}")
        self.size = size
        self.decimal_size = decimal_size
        self.sigma = sigma
        self.decimal_sigma = decimal_sigma
        self.alpha = alpha
        self.decimal_label = decimal_label
        self.decimal_loss = decimal_loss
        self.decimal_cell = decimal_cell
        self.soft_classification = CoordinateSoftClassification(reduction=None)

    def position(self, landmarks: Any) -> Any:
        """Crop coordinates `(B, K, 2)` -> positions in cells of the integer map, none outside it."""
        return ops.clip(landmarks, 0.0, 1.0) * self.size

    def cells(self, landmarks: Any) -> tuple[Any, Any]:
        """Crop coordinates `(B, K, 2)` -> integer cells and decimal cells, both `(B, K, 2)` float32."""
        position = self.position(landmarks)
        integer = ops.minimum(ops.floor(position), self.size - 1.0)
        return integer, self.parts(position, integer)

    def parts(self, position: Any, integer: Any) -> Any:
        """The decimal cells of integer cells that are nearest to positions, all `(B, K, 2)`."""
        return ops.clip(ops.floor((position - integer) * self.decimal_size + 0.5), 0.0, self.decimal_size - 1.0)

    def encode(self, landmarks: Any) -> dict[str, Any]:
        integer, decimal = self.cells(landmarks)
        heatmap = gaussian_maps(integer, self.size, self.sigma)
        return {"heatmap": heatmap, "decimal": self.decimal_map(decimal), "position": self.position(landmarks)}

    def decimal_map(self, decimal: Any) -> Any:
        """Decimal cells `(B, K, 2)` -> the decimal heatmaps of labels `(B, decimal_size, decimal_size, K)`."""
        if self.decimal_label == "hard":
            return one_hot_maps(decimal, self.decimal_size)
        return gaussian_maps(decimal, self.decimal_size, self.decimal_sigma)

    def loss(self, targets: dict[str, Any], outputs: dict[str, Any], weights: Any) -> dict[str, Any]:
        return {
            "heatmap_loss": self.heatmap_loss(targets["heatmap"], outputs, weights),
            "decimal_loss": self.alpha * self.decimal_term(self.decimal_target(targets, outputs), outputs["decimal"], weights),
        }

    def decimal_target(self, targets: dict[str, Any], outputs: dict[str, Any]) -> Any:
        """The decimal heatmaps that the network is trained on `(B, decimal_size, decimal_size, K)`, see `decimal_cell`."""
        if self.decimal_cell == "true":
            return targets["decimal"]
        named, _ = argmax_cells(ops.stop_gradient(self.stack_maps(outputs)[-1]))
        return self.decimal_map(self.parts(targets["position"], named))

    def decimal_term(self, target: Any, predicted: Any, weights: Any) -> Any:
        """The loss of the decimal heatmaps `(B, decimal_size, decimal_size, K)`, before `alpha`."""
        predicted = ops.cast(predicted, "float32")
        if self.decimal_loss == "mse":
            return weighted_mean(ops.mean(ops.square(predicted - target), axis=(1, 2)), weights)
        return weighted_mean(self.soft_classification(target, predicted), weights)

    def decode(self, outputs: dict[str, Any]) -> tuple[Any, Any]:
        integer, scores = argmax_cells(self.stack_maps(outputs)[-1])
        decimal, _ = argmax_cells(outputs["decimal"])
        return (integer + decimal / self.decimal_size) / self.size, scores

    def get_config(self) -> dict[str, Any]:
        return {
            "size": self.size,
            "decimal_size": self.decimal_size,
            "sigma": self.sigma,
            "decimal_sigma": self.decimal_sigma,
            "alpha": self.alpha,
            "decimal_label": self.decimal_label,
            "decimal_loss": self.decimal_loss,
            "decimal_cell": self.decimal_cell,
        }
