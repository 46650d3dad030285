"""The continuous heatmap of "Subpixel Heatmap Regression" (Sec. 3.2 and 3.3)."""

from typing import Any

import keras
from keras import ops

from kfacealign.codecs import decoders
from kfacealign.codecs.heatmap import HeatmapCodec, gaussian_maps


@keras.saving.register_keras_serializable(package="kfacealign")
class ContinuousHeatmap(HeatmapCodec):
    """A Gaussian sampled around the true position, read by a local soft-argmax.

    Encoding (Eq. 1, 3): nothing is quantised. A cell stands for its centre, `(i + 0.5) / size`, so that mirroring the map
    mirrors the landmark. Positions outside the crop are moved to its edge. Maps have height 1: the factor
    `1 / (2 pi sigma^2)` that Eq. 1 prints only rescales the temperature.

    Decoding (Eq. 4-5): `kfacealign.codecs.decoders.local_soft_argmax`. Its bias depends on sigma, temperature and window
    together. exp(temperature * Gaussian) has a standard deviation of about sigma / sqrt(temperature). From 0.6 cells on the
    grid samples it well; from a third of the window's side on the window cuts it. The table gives what is lost without a
    network, on the 689 faces of 300W's full set, in percent inter-ocular; rounding and argmax lose 1.10.

        sigma  window  temperature  error
        1      5       10           0.392      the paper's window and temperature, the public FAN code's sigma
        1      5       10 / 2 pi    0.723      the same with Eq. 1's factor
        2      5       10           0.028
        2      7       10           0.012      the default
        2.5    5       15           0.016

    Args:
        size: side of the maps.
        sigma: standard deviation in cells.
        decoder: how maps are read, one of `kfacealign.codecs.decoders.NAMES`.
        window: side of the window in cells, 3, 5 or 7; for the decoder "local".
        temperature: factor on the map before the softmax; for the decoders "local" and "soft".

    Outputs read: `heatmap_s` `(B, size, size, K)` for each stack s. A landmark's score is its map's maximum.

    Raises:
        ValueError: there is no such decoder or window.

    Example:
        >>> codec = ContinuousHeatmap(64)
        >>> targets = codec.encode(keras.ops.ones((1, 98, 2)) * 0.3)
        >>> codec.decode({"heatmap_1": targets["heatmap"]})[0][0, 0]
        array([0.30004, 0.30004], dtype=float32)
    """

    cell_centre = 0.5

    def __init__(self, size: int = 64, sigma: float = 2.0, *, decoder: str = "local", window: int = 7, temperature: float = 10.0):
        decoders.check(decoder, window=window)
        self.size = size
        self.sigma = sigma
        self.decoder = decoder
        self.window = window
        self.temperature = temperature

    def encode(self, landmarks: Any) -> dict[str, Any]:
        position = ops.clip(landmarks, 0.0, 1.0) * self.size - self.cell_centre
        return {"heatmap": gaussian_maps(position, self.size, self.sigma)}

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
        return {name: getattr(self, name) for name in ("size", "sigma", "decoder", "window", "temperature")}
