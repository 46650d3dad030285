"""The continuous heatmap of "Subpixel Heatmap Regression" (Sec. 3.2 and 3.3)."""

import keras
from keras import ops

from kfacealign.codecs import decoders
from kfacealign.codecs.heatmap import HeatmapCodec, gaussian_maps


@keras.saving.register_keras_serializable(package="kfacealign")
class ContinuousHeatmap(HeatmapCodec):
    """A Gaussian sampled around the true position, read by a local soft-argmax.

    Encoding (Eq. 1, 3): nothing is quantised. A cell stands for its centre, `(i + 0.5) / size`, so that mirroring
    the map mirrors the landmark; positions outside the crop are moved to its edge. Maps have height 1: the factor
    `1 / (2 pi sigma^2)` that Eq. 1 prints only rescales the temperature.

    Decoding (Eq. 4-5): see `kfacealign.codecs.decoders.local_soft_argmax`. Its bias depends on sigma, temperature and
    window together: exp(temperature * Gaussian) has a standard deviation of about sigma / sqrt(temperature), which the
    grid samples well from 0.6 cells on, and which the window cuts from a third of its side on. What is lost without a
    network, on the 689 faces of 300W's full set, in percent inter-ocular (rounding and argmax: 1.10):

        sigma  window  temperature  error
        1      5       10           0.392      the paper's window and temperature, and sigma of the public FAN code
        1      5       10 / 2 pi    0.723      the same with Eq. 1's factor
        2      5       10           0.028
        2      7       10           0.012      the default
        2.5    5       15           0.016

    Args:
        size: side of the maps.
        sigma: standard deviation in cells.
        decoder: how maps are read, one of `kfacealign.codecs.decoders.NAMES`.
        window, temperature: of the decoders "local" and "soft".

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

    def __init__(self, size=64, sigma=2.0, decoder="local", window=7, temperature=10.0):
        decoders.check(decoder, window)
        self.size = size
        self.sigma = sigma
        self.decoder = decoder
        self.window = window
        self.temperature = temperature

    def encode(self, landmarks):
        position = ops.clip(landmarks, 0.0, 1.0) * self.size - self.cell_centre
        return {"heatmap": gaussian_maps(position, self.size, self.sigma)}

    def loss(self, targets, outputs, weights):
        return {"heatmap_loss": self.heatmap_loss(targets["heatmap"], outputs, weights)}

    def decode(self, outputs):
        maps = self.stack_maps(outputs)[-1]
        return decoders.decode(maps, self.decoder, self.cell_centre, self.window, self.temperature, self.sigma)

    def get_config(self):
        return {name: getattr(self, name) for name in ("size", "sigma", "decoder", "window", "temperature")}
