"""A pair of one-dimensional heatmaps for each landmark ("Attentive One-Dimensional Heatmap Regression", Sec. 4)."""

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from kfacealign.codecs.codec import Codec, weighted_mean
from kfacealign.codecs.decoders import LIMIT, at_cells, finite, first_place

DECODERS = ("argmax", "local")


@keras.saving.register_keras_serializable(package="kfacealign")
class Heatmap1D(Codec):
    """Two marginal distributions for each landmark, along x and along y: 2 L values in place of L^2.

    Encoding (Eq. 12): summed over y, the 2D Gaussian of Eq. 2 is a Gaussian along x, which is computed directly. Eq. 2
    leaves its factor open; here marginals have height 1. Bin i of L stands for its centre, `(i + 0.5) / L`, where Eq. 7 reads
    its lower edge, `i / L`. The true position is not quantised; positions outside the crop are moved to its edge.

    Loss (Eq. 11): squared errors of both heatmaps. They are averaged over annotated landmarks and bins, which divides
    Eq. 11 by N L, so that resolutions can be compared.

    Decoding (Eq. 7): the bin of each maximum. The decoder "local" answers with the local soft-argmax ("Subpixel Heatmap
    Regression", Eq. 4-5) along each axis instead: the mean position under `softmax(temperature * heatmap)` of the bins
    around the maximum.

    Args:
        size: the resolution L in bins.
        sigma: standard deviation in bins; by default size / 64, because the paper does not give its own.
        decoder: "argmax" or "local".
        window: number of bins that "local" reads, odd; by default the bins within about two sigma.
        temperature: factor on the heatmap before the softmax; for "local".

    Outputs read: `heatmap_x`, `heatmap_y` `(B, size, K)`. A landmark's score is the lower one of the two maxima.

    Raises:
        ValueError: there is no such decoder, or the window is even or below 3.

    Example:
        >>> codec = Heatmap1D(768)
        >>> targets = codec.encode(keras.ops.ones((1, 68, 2)) * 0.3)
        >>> codec.decode(targets)[0][0, 0]
        array([0.30013022, 0.30013022], dtype=float32)
    """

    terms = ("heatmap_loss",)
    warmup_terms = ("heatmap_loss", "coordinate_loss")
    warmup_temperature = 10.0
    # With this weight the coordinate term starts far above the heatmap's term and ends about equal to it.
    warmup_weight = 1.0

    def __init__(
        self,
        size: int = 768,
        sigma: float | None = None,
        *,
        decoder: str = "argmax",
        window: int | None = None,
        temperature: float = 10.0,
    ):
        sigma = size / 64 if sigma is None else sigma
        window = max(5, 2 * math.ceil(2 * sigma) + 1) if window is None else window
        if decoder not in DECODERS:
            raise ValueError(f"decoder is one of {', '.join(DECODERS)}, not {decoder!r}")
        if window < 3 or window % 2 == 0:
            raise ValueError(f"window is an odd number of bins, 3 or more, not {window!r}")
        self.size = size
        self.sigma = sigma
        self.decoder = decoder
        self.window = window
        self.temperature = temperature

    def encode(self, landmarks: Any) -> dict[str, Any]:
        """Landmarks -> `heatmap_x`, `heatmap_y`, `(B, size, K)` float32."""
        centres = ops.clip(landmarks, 0.0, 1.0) * self.size
        bins = (ops.arange(self.size, dtype="float32") + 0.5)[None, :, None]
        along = [ops.exp(ops.square(bins - centres[:, None, :, axis]) * (-0.5 / self.sigma**2)) for axis in (0, 1)]
        return {"heatmap_x": along[0], "heatmap_y": along[1]}

    def loss(self, targets: dict[str, Any], outputs: dict[str, Any], weights: Any) -> dict[str, Any]:
        errors = [
            ops.mean(ops.square(ops.cast(outputs[name], "float32") - targets[name]), axis=1)
            for name in ("heatmap_x", "heatmap_y")
        ]
        return {"heatmap_loss": weighted_mean(errors[0] + errors[1], weights)}

    def warmup_loss(self, landmarks: Any, outputs: dict[str, Any], weights: Any) -> dict[str, Any]:
        """The terms of `loss`, and the L1 between landmarks and the global soft-argmax in crop units."""
        error = ops.sum(ops.abs(self.soft_argmax(outputs) - landmarks), axis=-1)
        terms = self.loss(self.encode(landmarks), outputs, weights)
        return {**terms, "coordinate_loss": self.warmup_weight * weighted_mean(error, weights)}

    def warmup_decode(self, outputs: dict[str, Any]) -> tuple[Any, Any]:
        """Landmarks and scores as warm-up trains them."""
        scores = [ops.max(ops.cast(outputs[name], "float32"), axis=1) for name in ("heatmap_x", "heatmap_y")]
        return self.soft_argmax(outputs), ops.minimum(*scores)

    def soft_argmax(self, outputs: dict[str, Any]) -> Any:
        """The mean position under `softmax(temperature * heatmap)` of all bins, `(B, K, 2)` in crop coordinates."""
        centres = ((np.arange(self.size, dtype="float32") + 0.5) / self.size)[None, :, None]
        along = []
        for name in ("heatmap_x", "heatmap_y"):
            probability = ops.softmax(ops.cast(outputs[name], "float32") * self.warmup_temperature, axis=1)
            along.append(ops.sum(probability * centres, axis=1))
        return ops.stack(along, axis=-1)

    def decode(self, outputs: dict[str, Any]) -> tuple[Any, Any]:
        x, x_scores = self.decode_axis(outputs["heatmap_x"])
        y, y_scores = self.decode_axis(outputs["heatmap_y"])
        return ops.stack([x, y], axis=-1), ops.minimum(x_scores, y_scores)

    def decode_axis(self, heatmap: Any) -> tuple[Any, Any]:
        """Heatmaps of one axis `(B, size, K)` -> positions `(B, K)` in crop coordinates, maxima `(B, K)`."""
        heatmap = finite(heatmap)
        scores = ops.max(heatmap, axis=1)
        bins = first_place(ops.transpose(heatmap, (0, 2, 1)), scores)
        if self.decoder == "local":
            bins = bins + self.local_shift(heatmap, bins, scores)
        return (bins + 0.5) * (1.0 / self.size), scores

    def local_shift(self, heatmap: Any, bins: Any, scores: Any) -> Any:
        """The way from each maximum to the mean position of its window, `(B, K)` in bins; no bin beyond the ends takes part."""
        radius = self.window // 2
        offsets = np.arange(-radius, radius + 1, dtype="float32")
        places = bins[:, :, None] + offsets
        nearest = ops.clip(places, 0.0, self.size - 1.0)
        values = at_cells(heatmap[:, None], nearest, ops.zeros_like(nearest))
        # Differences of huge values are cut, because they would overflow.
        mass = ops.exp(self.temperature * ops.maximum(values - ops.stop_gradient(scores)[:, :, None], -LIMIT / self.temperature))
        mass = mass * ops.cast(ops.equal(places, nearest), "float32")
        return ops.sum(mass * offsets, axis=-1) / ops.sum(mass, axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("size", "sigma", "decoder", "window", "temperature")}
