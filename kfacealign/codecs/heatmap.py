"""Heatmaps: their Gaussians, the plain codec, and the warm-up that all heatmap codecs share."""

from typing import Any

import keras
from keras import ops

from kfacealign.codecs import decoders
from kfacealign.codecs.codec import Codec, weighted_mean
from kfacealign.codecs.decoders import soft_argmax


def gaussian_maps(centres: Any, size: int, sigma: float) -> Any:
    """Gaussians of height 1 around `centres`, cut to 0 beyond 3 sigma (HIH Eq. 1 and 3).

    Args:
        centres: `(B, K, 2)` positions in cells, x and y; cell i has the coordinate i.
        size: side of the maps.
        sigma: standard deviation in cells.

    Returns:
        `(B, size, size, K)` float32. The cut is a circle around the centre; in Eq. 1 it is one around the position before
        quantisation.
    """
    cells = ops.arange(size, dtype="float32")
    x = ops.square(cells[None, :, None] - centres[:, None, :, 0])
    y = ops.square(cells[None, :, None] - centres[:, None, :, 1])
    squared = y[:, :, None, :] + x[:, None, :, :]
    return ops.where(squared <= (3.0 * sigma) ** 2, ops.exp(squared * (-0.5 / sigma**2)), 0.0)


def one_hot_maps(cells: Any, size: int) -> Any:
    """Maps with a single 1: `(B, K, 2)` integer-valued cells -> `(B, size, size, K)`."""
    index = ops.arange(size, dtype="float32")
    x = ops.cast(ops.equal(index[None, :, None], cells[:, None, :, 0]), "float32")
    y = ops.cast(ops.equal(index[None, :, None], cells[:, None, :, 1]), "float32")
    return y[:, :, None, :] * x[:, None, :, :]


class HeatmapCodec(Codec):
    """A codec whose outputs hold `heatmap_1` ... `heatmap_S`, one for each stack.

    Heatmap losses start slowly from random weights: a blank map is already close to a target that is 0 nearly everywhere.
    Warm-up adds an L1 loss on the landmarks to the codec's own loss, through the global soft-argmax of the same maps. The
    L1 loss dominates at first; after the warm-up the trainer leaves it out.
    """

    terms = ("heatmap_loss",)
    warmup_terms = ("heatmap_loss", "coordinate_loss")
    # Cell i of the maps stands for the crop coordinate (i + cell_centre) / size.
    cell_centre = 0.0
    warmup_temperature = 10.0
    # With this weight the coordinate term starts far above the heatmap's term and ends about equal to it.
    warmup_weight = 0.1

    def stack_maps(self, outputs: dict[str, Any]) -> list[Any]:
        """The heatmaps of every stack, first to last."""
        count = sum(name.startswith("heatmap_") for name in outputs)
        return [outputs[f"heatmap_{stack}"] for stack in range(1, count + 1)]

    def heatmap_loss(self, target: Any, outputs: dict[str, Any], weights: Any) -> Any:
        """The mean squared error to `target`, averaged over all stacks."""
        errors = [
            weighted_mean(ops.mean(ops.square(ops.cast(maps, "float32") - target), axis=(1, 2)), weights)
            for maps in self.stack_maps(outputs)
        ]
        return sum(errors) / len(errors)

    def warmup_loss(self, landmarks: Any, outputs: dict[str, Any], weights: Any) -> dict[str, Any]:
        """The terms of `loss`, and 0.1 times the L1 between landmarks and each stack's soft-argmax in crop units."""
        errors = [
            weighted_mean(ops.sum(ops.abs(soft_argmax(maps, temperature=self.warmup_temperature) - landmarks), axis=-1), weights)
            for maps in self.stack_maps(outputs)
        ]
        terms = self.loss(self.encode(landmarks), outputs, weights)
        return {**terms, "coordinate_loss": self.warmup_weight * sum(errors) / len(errors)}

    def warmup_decode(self, outputs: dict[str, Any]) -> tuple[Any, Any]:
        """Landmarks and scores as warm-up trains them."""
        maps = self.stack_maps(outputs)[-1]
        return soft_argmax(maps, temperature=self.warmup_temperature), ops.max(ops.cast(maps, "float32"), axis=(1, 2))


@keras.saving.register_keras_serializable(package="kfacealign")
class Heatmap(HeatmapCodec):
    """The plain heatmap: a Gaussian at the quantised position.

    Cell i stands for the coordinate i / size, as in the quantisation study of HIH (Sec. IV-B); positions are quantised to a
    cell and clipped to the map.

    Args:
        size: side of the maps.
        sigma: standard deviation in cells.
        decoder: how maps are read, one of `kfacealign.codecs.decoders.NAMES`.
        quantize: "round" to the nearest cell, or "floor". "floor" moves every landmark up and to the left, by half a cell
            on average, which no decoder makes up for.
        window: side of the window in cells, 3, 5 or 7; for the decoder "local".
        temperature: factor on the map before the softmax; for the decoders "local" and "soft".

    Outputs read: `heatmap_s` `(B, size, size, K)` for each stack s.

    Raises:
        ValueError: `decoder`, `quantize` or `window` is none of the above.
    """

    def __init__(
        self,
        size: int = 64,
        sigma: float = 1.5,
        *,
        decoder: str = "argmax",
        quantize: str = "round",
        window: int = 5,
        temperature: float = 10.0,
    ):
        decoders.check(decoder, window=window)
        if quantize not in ("round", "floor"):
            raise ValueError(f"quantize is 'round' or 'floor', not {quantize!r}")
        self.size = size
        self.sigma = sigma
        self.decoder = decoder
        self.quantize = quantize
        self.window = window
        self.temperature = temperature

    def encode(self, landmarks: Any) -> dict[str, Any]:
        return {"heatmap": gaussian_maps(quantized(landmarks, self.size, quantize=self.quantize), self.size, self.sigma)}

    def loss(self, targets: dict[str, Any], outputs: dict[str, Any], weights: Any) -> dict[str, Any]:
        return {"heatmap_loss": self.heatmap_loss(targets["heatmap"], outputs, weights)}

    def decode(self, outputs: dict[str, Any]) -> tuple[Any, Any]:
        maps = self.stack_maps(outputs)[-1]
        return decoders.decode(
            maps,
            self.decoder,
            cell_centre=self.cell_centre,
            window=self.window,
            temperature=self.temperature,
            sigma=self.sigma,
        )

    def get_config(self) -> dict[str, Any]:
        config = {"size": self.size, "sigma": self.sigma, "decoder": self.decoder}
        # The other arguments are named only if they differ from the defaults, so that the configuration of the paper's
        # settings is the same as in files from before there was a choice.
        chosen = {"quantize": self.quantize, "window": self.window, "temperature": self.temperature}
        return {**config, **{name: value for name, value in chosen.items() if value != DEFAULTS[name]}}


DEFAULTS = {"quantize": "round", "window": 5, "temperature": 10.0}


def quantized(landmarks: Any, size: int, *, quantize: str) -> Any:
    """Crop coordinates `(B, K, 2)` -> cells, float32: the nearest cell ("round") or the one to the upper left ("floor")."""
    position = landmarks * size + (0.5 if quantize == "round" else 0.0)
    return ops.clip(ops.floor(position), 0.0, size - 1.0)
