"""Heatmaps: their Gaussians, their maxima, the plain codec, and the warm-up that every heatmap codec shares."""

import keras
import numpy as np
from keras import ops

from kfacealign.codecs.codec import Codec, weighted_mean


def gaussian_maps(centres, size, sigma):
    """Gaussians of height 1 around `centres`, cut to 0 beyond 3 sigma (HIH Eq. 1 and 3).

    Args:
        centres: `(B, K, 2)` positions in cells, x and y; cell i has the coordinate i.
        size: side of the maps. sigma: standard deviation in cells.

    Returns:
        `(B, size, size, K)` float32. The distance that is cut at is the one to the centre.
    """
    cells = ops.arange(size, dtype="float32")
    x = ops.square(cells[None, :, None] - centres[:, None, :, 0])
    y = ops.square(cells[None, :, None] - centres[:, None, :, 1])
    squared = y[:, :, None, :] + x[:, None, :, :]
    return ops.where(squared <= (3.0 * sigma) ** 2, ops.exp(squared * (-0.5 / sigma**2)), 0.0)


def one_hot_maps(cells, size):
    """Maps with a single 1: `(B, K, 2)` integer-valued cells -> `(B, size, size, K)`."""
    index = ops.arange(size, dtype="float32")
    x = ops.cast(ops.equal(index[None, :, None], cells[:, None, :, 0]), "float32")
    y = ops.cast(ops.equal(index[None, :, None], cells[:, None, :, 1]), "float32")
    return y[:, :, None, :] * x[:, None, :, :]


def argmax_cells(maps):
    """The cell of each map's maximum and its value.

    Args:
        maps: `(B, h, w, K)`.

    Returns:
        cells `(B, K, 2)` float32 (x, y), values `(B, K)` float32. Of equal maxima the
        first in row order wins; a map of NaN gives a cell inside the map.
    """
    _, height, width, points = maps.shape
    flat = ops.reshape(ops.cast(maps, "float32"), (-1, height * width, points))
    values = ops.max(flat, axis=1)
    # Not ops.argmax: Keras' needs an operation that TFLite does not have.
    places = ops.arange(height * width, dtype="float32")[None, :, None]
    first = ops.min(ops.where(flat >= values[:, None, :], places, float(height * width)), axis=1)
    first = ops.minimum(first, height * width - 1.0)
    row = ops.floor((first + 0.5) / width)
    return ops.stack([first - row * width, row], axis=-1), values


def quarter_shift(maps, cells):
    """A quarter of a cell from each map's maximum towards the higher of its neighbours, along x and along y.

    The second highest response of a peak lies beside the highest, so this moves towards it
    along both axes (PIPNet, Sec. 4.3.1). A maximum at the map's border does not move across it,
    nor one whose two neighbours are equal.

    Args:
        maps: `(B, h, w, K)`.
        cells: `(B, K, 2)` float32 (x, y), the maxima.

    Returns:
        `(B, K, 2)`, each -0.25, 0 or 0.25 cells.
    """
    batch, height, width, points = ops.shape(maps)
    last = np.array([width - 1.0, height - 1.0], "float32")
    x, y = cells[..., 0], cells[..., 1]
    before, after = ops.maximum(cells - 1.0, 0.0), ops.minimum(cells + 1.0, last)
    places = [y * width + before[..., 0], before[..., 1] * width + x, y * width + after[..., 0], after[..., 1] * width + x]
    places = ops.cast(ops.stack(places, axis=-1), "int32") * points + np.arange(points, dtype="int32")[:, None]
    first = ops.arange(batch, dtype="int32") * (height * width * points)
    # One gather from the flat maps: two values before the maximum and two after it.
    values = ops.take(ops.reshape(ops.cast(maps, "float32"), (-1,)), places + ops.reshape(first, (-1, 1, 1)), axis=0)
    shift = 0.25 * ops.sign(values[..., 2:] - values[..., :2])
    return ops.where(ops.logical_and(cells > 0.0, cells < last), shift, 0.0)


def soft_argmax(maps, temperature):
    """Global soft-argmax: the mean position under `softmax(temperature * map)`.

    Args:
        maps: `(B, h, w, K)`.
        temperature: factor on the map before the softmax.

    Returns:
        `(B, K, 2)` crop coordinates; a cell stands for its centre, so a map with all its
        mass in cell i gives `(i + 0.5) / size`.
    """
    _, height, width, points = maps.shape
    flat = ops.reshape(ops.cast(maps, "float32") * temperature, (-1, height * width, points))
    probability = ops.reshape(ops.softmax(flat, axis=1), (-1, height, width, points))
    x = (ops.arange(width, dtype="float32") + 0.5) / width
    y = (ops.arange(height, dtype="float32") + 0.5) / height
    mean_x = ops.sum(ops.sum(probability, axis=1) * x[None, :, None], axis=1)
    mean_y = ops.sum(ops.sum(probability, axis=2) * y[None, :, None], axis=1)
    return ops.stack([mean_x, mean_y], axis=-1)


class HeatmapCodec(Codec):
    """A codec whose outputs hold `heatmap_1` ... `heatmap_S`, one for each stack.

    Heatmap losses start slowly from random weights: a blank map is already close to a
    target that is 0 nearly everywhere. Warm-up adds to the codec's own loss an L1 loss on
    the landmarks through the global soft-argmax of the same maps, which dominates at
    first; the trainer leaves it out afterwards.
    """

    terms = ("heatmap_loss",)
    warmup_terms = ("heatmap_loss", "coordinate_loss")
    warmup_temperature = 10.0
    # Of the coordinate term, which then starts far above the heatmap's and ends about equal to it.
    warmup_weight = 0.1

    def stack_maps(self, outputs):
        """The heatmaps of every stack, first to last."""
        count = sum(name.startswith("heatmap_") for name in outputs)
        return [outputs[f"heatmap_{stack}"] for stack in range(1, count + 1)]

    def heatmap_loss(self, target, outputs, weights):
        """Mean squared error to `target`, the mean over all stacks."""
        errors = [
            weighted_mean(ops.mean(ops.square(ops.cast(maps, "float32") - target), axis=(1, 2)), weights)
            for maps in self.stack_maps(outputs)
        ]
        return sum(errors) / len(errors)

    def warmup_loss(self, landmarks, outputs, weights):
        """The terms of `loss`, and 0.1 times the L1 between landmarks and each stack's soft-argmax in crop units."""
        errors = [
            weighted_mean(ops.sum(ops.abs(soft_argmax(maps, self.warmup_temperature) - landmarks), axis=-1), weights)
            for maps in self.stack_maps(outputs)
        ]
        terms = self.loss(self.encode(landmarks), outputs, weights)
        return {**terms, "coordinate_loss": self.warmup_weight * sum(errors) / len(errors)}

    def warmup_decode(self, outputs):
        """Landmarks and scores as warm-up trains them."""
        maps = self.stack_maps(outputs)[-1]
        return soft_argmax(maps, self.warmup_temperature), ops.max(ops.cast(maps, "float32"), axis=(1, 2))


@keras.saving.register_keras_serializable(package="kfacealign")
class Heatmap(HeatmapCodec):
    """The plain heatmap: a Gaussian at the rounded position, read at the maximum.

    Cell i stands for the coordinate i / size, as in the quantisation study of HIH
    (Sec. IV-B); positions round to the nearest cell and are clipped to the map.

    Args:
        size: side of the maps. sigma: standard deviation in cells.
        decoder: "argmax", or "shift" for a quarter of a cell from there towards the higher
            neighbour along each axis (`quarter_shift`).

    Outputs read: `heatmap_s` `(B, size, size, K)` for each stack s.

    Raises:
        ValueError: `decoder` is neither.
    """

    def __init__(self, size=64, sigma=1.5, decoder="argmax"):
        if decoder not in ("argmax", "shift"):
            raise ValueError(f"decoder is 'argmax' or 'shift', not {decoder!r}")
        self.size = size
        self.sigma = sigma
        self.decoder = decoder

    def encode(self, landmarks):
        cells = ops.clip(ops.floor(landmarks * self.size + 0.5), 0.0, self.size - 1.0)
        return {"heatmap": gaussian_maps(cells, self.size, self.sigma)}

    def loss(self, targets, outputs, weights):
        return {"heatmap_loss": self.heatmap_loss(targets["heatmap"], outputs, weights)}

    def decode(self, outputs):
        maps = self.stack_maps(outputs)[-1]
        cells, scores = argmax_cells(maps)
        if self.decoder == "shift":
            cells = cells + quarter_shift(maps, cells)
        return cells / self.size, scores

    def get_config(self):
        return {"size": self.size, "sigma": self.sigma, "decoder": self.decoder}
