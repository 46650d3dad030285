"""The head of PIPNet (Sec. 3.1 and 3.2): scores at every cell, offsets only at the cells where they are read."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import keras
from keras import ops

if TYPE_CHECKING:
    from kfacealign.codecs.pixel_in_pixel import PixelInPixel

BRANCHES = ("x", "y", "neighbor_x", "neighbor_y")


@keras.saving.register_keras_serializable(package="kfacealign")
class PixelInPixelHead(keras.layers.Layer):
    """Five 1x1 convolutions: score, x, y, neighbour x, neighbour y.

    The four offset branches are read at one cell per landmark: the labelled one in training, the winning one at inference.
    So `call` computes the scores alone. `at_cells` computes the offsets from features that were gathered before: it
    multiplies each landmark's feature vector with the landmark's own columns of the kernels. The kernels are stored as
    kernels of convolutions. `dense` applies these convolutions, which gives the same numbers at every cell.

    Args:
        points: number of landmarks K.
        neighbors: number C of neighbours that each landmark votes for; 0 leaves their branches out.

    Input: features `(B, h, w, F)`.
    Output: `{"score": (B, h, w, K), "features": (B, h, w, F)}`.

    Example:
        >>> head = PixelInPixelHead(points=98, neighbors=10)
        >>> outputs = head(features)
        >>> offsets = head.at_cells(features_at_cells(outputs["features"], cells))
    """

    def __init__(self, points: int, neighbors: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.points = points
        self.neighbors = neighbors
        self.score = self.branch("score", points)
        self.x = self.branch("x", points)
        self.y = self.branch("y", points)
        if neighbors:
            self.neighbor_x = self.branch("neighbor_x", points * neighbors)
            self.neighbor_y = self.branch("neighbor_y", points * neighbors)

    def branch(self, name: str, filters: int) -> keras.layers.Conv2D:
        """The 1x1 convolution of one branch."""
        return keras.layers.Conv2D(
            filters, 1, kernel_initializer=keras.initializers.RandomNormal(stddev=0.001), name=name, dtype=self.dtype_policy
        )

    @property
    def branches(self) -> tuple[str, ...]:
        """The names of the offset branches."""
        return BRANCHES if self.neighbors else BRANCHES[:2]

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        for name in ("score", *self.branches):
            getattr(self, name).build(input_shape)
        self.built = True

    def call(self, features: Any) -> dict[str, Any]:
        return {"score": self.score(features), "features": features}

    def dense(self, features: Any) -> dict[str, Any]:
        """Every branch at every cell.

        Args:
            features: `(B, h, w, F)`.

        Returns:
            dict: score, x, y `(B, h, w, K)`, neighbor_x, neighbor_y `(B, h, w, K * C)` with the C neighbours of each landmark
            side by side.
        """
        return {name: getattr(self, name)(features) for name in ("score", *self.branches)}

    def at_cells(self, gathered: Any) -> dict[str, Any]:
        """The offset branches at one cell per landmark.

        Args:
            gathered: `(B, K, F)` features of each landmark's cell.

        Returns:
            dict: x, y `(B, K)`, neighbor_x, neighbor_y `(B, K, C)`.
        """
        kernel, bias = self.columns(self.branches)
        rows = ops.transpose(ops.cast(gathered, self.compute_dtype), (1, 0, 2))
        return self.separate(self.branches, ops.transpose(ops.matmul(rows, kernel), (1, 0, 2)) + bias)

    def convolve_at_cells(self, gathered: Any) -> dict[str, Any]:
        """The same as `at_cells`, computed by grouped convolutions with one group for each landmark.

        One convolution gives x and y, another the neighbours': their ranges differ, so their scales must differ when they
        are quantised. TFLite runs grouped convolutions faster in integers than the product of `at_cells` and quantises
        their kernels channel by channel, but they have no gradient on TensorFlow's CPU.

        Args:
            gathered: `(B, K, F)` features of each landmark's cell.

        Returns:
            dict: x, y `(B, K)`, neighbor_x, neighbor_y `(B, K, C)`.
        """
        features = gathered.shape[-1]
        row = ops.reshape(ops.cast(gathered, self.compute_dtype), (-1, 1, 1, self.points * features))
        found = {}
        for names in filter(None, (self.branches[:2], self.branches[2:])):
            kernel, bias = self.columns(names)
            kernel = ops.reshape(ops.transpose(kernel, (1, 0, 2)), (1, 1, features, -1))
            values = ops.conv(row, kernel, 1, "valid", data_format="channels_last")
            found.update(self.separate(names, ops.reshape(values, (-1, *bias.shape)) + bias))
        return found

    def columns(self, names: Sequence[str]) -> tuple[Any, Any]:
        """The 1x1 convolutions of some branches side by side: one matrix per landmark, `(K, F, J)`, and biases, `(K, J)`."""
        kernels, biases = [], []
        for name in names:
            branch = getattr(self, name)
            kernels.append(ops.reshape(branch.kernel, (branch.kernel.shape[2], self.points, -1)))
            biases.append(ops.reshape(branch.bias, (self.points, -1)))
        kernel = ops.cast(ops.concatenate(kernels, axis=-1), self.compute_dtype)
        return ops.transpose(kernel, (1, 0, 2)), ops.cast(ops.concatenate(biases, axis=-1), self.compute_dtype)

    def separate(self, names: Sequence[str], values: Any) -> dict[str, Any]:
        """The tensor of each branch from `(B, K, J)`, in which they lie side by side."""
        found, first = {}, 0
        for name in names:
            width = getattr(self, name).filters // self.points
            part = values[:, :, first : first + width]
            found[name] = part if name.startswith("neighbor") else ops.squeeze(part, axis=-1)
            first += width
        return found

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> dict[str, tuple[int | None, ...]]:
        return {"score": (*input_shape[:-1], self.points), "features": tuple(input_shape)}

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "points": self.points, "neighbors": self.neighbors}


def features_at_cells(features: Any, cells: Any) -> Any:
    """The feature vector of one cell per landmark.

    Args:
        features: `(B, h, w, F)`.
        cells: `(B, K, 2)` integer-valued x and y, inside the map.

    Returns:
        `(B, K, F)`, by one gather.
    """
    _, height, width, channels = features.shape
    places = ops.cast(cells[..., 1] * width + cells[..., 0], "int32")
    first = ops.arange(ops.shape(features)[0], dtype="int32") * (height * width)
    flat = ops.reshape(features, (-1, channels))
    return ops.take(flat, places + ops.reshape(first, (-1, 1)), axis=0)


def locate(codec: "PixelInPixel", outputs: Mapping[str, Any]) -> dict[str, Any]:
    """The winning `cells` `(B, K, 2)`, their `scores` `(B, K)`, and the features `gathered` there, `(B, K, F)`.

    Args:
        codec: a `PixelInPixel`.
        outputs: of a `PixelInPixelHead`: `score` `(B, h, w, K)` and `features` `(B, h, w, F)`.
    """
    cells, scores = codec.locate(outputs["score"])
    return {"cells": cells, "scores": scores, "gathered": features_at_cells(outputs["features"], cells)}


@keras.saving.register_keras_serializable(package="kfacealign")
class Locate(keras.layers.Layer):
    """`locate` as a layer: `score`, `features` -> the winning `cells`, their `scores`, and the features `gathered` there.

    Args:
        codec: a `PixelInPixel`.
    """

    def __init__(self, codec: "PixelInPixel", **kwargs: Any):
        super().__init__(**{"dtype": "float32", "autocast": False, **kwargs})
        self.codec = codec

    def call(self, outputs: Mapping[str, Any]) -> dict[str, Any]:
        return locate(self.codec, outputs)


@keras.saving.register_keras_serializable(package="kfacealign")
class OffsetsAtCells(keras.layers.Layer):
    """The offset branches of a `PixelInPixelHead` from features that were `gathered` at the winning cells.

    Args:
        head: a `PixelInPixelHead`.
        grouped: whether grouped convolutions compute the offsets (`convolve_at_cells`) instead of products (`at_cells`).
    """

    def __init__(self, head: PixelInPixelHead, *, grouped: bool, **kwargs: Any):
        super().__init__(**{"dtype": "float32", "autocast": False, **kwargs})
        self.head = head
        self.grouped = grouped

    def call(self, outputs: Mapping[str, Any]) -> dict[str, Any]:
        return (self.head.convolve_at_cells if self.grouped else self.head.at_cells)(outputs["gathered"])
