"""The head of PIPNet (Sec. 3.1 and 3.2): scores everywhere, offsets only where they are read."""

import keras
from keras import ops

BRANCHES = ("x", "y", "neighbor_x", "neighbor_y")


@keras.saving.register_keras_serializable(package="kfacealign")
class PixelInPixelHead(keras.layers.Layer):
    """Five 1x1 convolutions: score, x, y, neighbour x, neighbour y.

    The four offset branches are read at one cell per landmark: the labelled one in
    training, the winning one at inference. So `call` computes the scores alone, and
    `at_cells` the offsets from features that were gathered first, one product of each
    landmark's feature vector with its own columns of the kernels. The kernels are stored
    as those of the convolutions, which `dense` applies; both give the same numbers.

    Args:
        points: number of landmarks K.
        neighbors: neighbours that each landmark votes for, C; 0 leaves their branches out.

    Input: features `(B, h, w, F)`.
    Output: `{"score": (B, h, w, K), "features": (B, h, w, F)}`.

    Example:
        >>> head = PixelInPixelHead(points=98, neighbors=10)
        >>> outputs = head(features)
        >>> offsets = head.at_cells(features_at_cells(outputs["features"], cells))
    """

    def __init__(self, points, neighbors, **kwargs):
        super().__init__(**kwargs)
        self.points = points
        self.neighbors = neighbors
        self.score = self.branch("score", points)
        self.x = self.branch("x", points)
        self.y = self.branch("y", points)
        if neighbors:
            self.neighbor_x = self.branch("neighbor_x", points * neighbors)
            self.neighbor_y = self.branch("neighbor_y", points * neighbors)

    def branch(self, name, filters):
        return keras.layers.Conv2D(
            filters, 1, kernel_initializer=keras.initializers.RandomNormal(stddev=0.001), name=name, dtype=self.dtype_policy
        )

    @property
    def branches(self):
        """The names of the offset branches."""
        return BRANCHES if self.neighbors else BRANCHES[:2]

    def build(self, input_shape):
        for name in ("score", *self.branches):
            getattr(self, name).build(input_shape)
        self.built = True

    def call(self, features):
        return {"score": self.score(features), "features": features}

    def dense(self, features):
        """Every branch at every cell: score, x, y `(B, h, w, K)`, neighbour x and y `(B, h, w, K * C)`, landmark-major."""
        return {name: getattr(self, name)(features) for name in ("score", *self.branches)}

    def at_cells(self, gathered):
        """The offset branches at one cell per landmark.

        Args:
            gathered: `(B, K, F)` features of each landmark's cell.

        Returns:
            dict: x, y `(B, K)`, neighbor_x, neighbor_y `(B, K, C)`.
        """
        kernel, bias = self.columns(self.branches)
        rows = ops.transpose(ops.cast(gathered, self.compute_dtype), (1, 0, 2))
        return self.separate(self.branches, ops.transpose(ops.matmul(rows, kernel), (1, 0, 2)) + bias)

    def convolve_at_cells(self, gathered):
        """As `at_cells`, by grouped convolutions, one group a landmark.

        x and y are one, the neighbours' another: their ranges differ, so when they are
        quantised their scales must. TFLite runs these faster in integers than the product
        and quantises their kernels channel by channel, but they have no gradient on
        TensorFlow's CPU.
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

    def columns(self, names):
        """The 1x1 convolutions of some branches side by side: one matrix per landmark, (K, F, J), and biases, (K, J)."""
        kernels, biases = [], []
        for name in names:
            branch = getattr(self, name)
            kernels.append(ops.reshape(branch.kernel, (branch.kernel.shape[2], self.points, -1)))
            biases.append(ops.reshape(branch.bias, (self.points, -1)))
        kernel = ops.cast(ops.concatenate(kernels, axis=-1), self.compute_dtype)
        return ops.transpose(kernel, (1, 0, 2)), ops.cast(ops.concatenate(biases, axis=-1), self.compute_dtype)

    def separate(self, names, values):
        """`(B, K, J)` -> the tensor of each branch."""
        found, first = {}, 0
        for name in names:
            width = getattr(self, name).filters // self.points
            part = values[:, :, first : first + width]
            found[name] = part if name.startswith("neighbor") else ops.squeeze(part, axis=-1)
            first += width
        return found

    def compute_output_shape(self, input_shape):
        return {"score": (*input_shape[:-1], self.points), "features": tuple(input_shape)}

    def get_config(self):
        return {**super().get_config(), "points": self.points, "neighbors": self.neighbors}


def features_at_cells(features, cells):
    """The feature vector of one cell per landmark.

    Args:
        features: `(B, h, w, F)`.
        cells: `(B, K, 2)` integer-valued x and y, inside the map.

    Returns:
        `(B, K, F)`, one gather.
    """
    _, height, width, channels = features.shape
    places = ops.cast(cells[..., 1] * width + cells[..., 0], "int32")
    first = ops.arange(ops.shape(features)[0], dtype="int32") * (height * width)
    flat = ops.reshape(features, (-1, channels))
    return ops.take(flat, places + ops.reshape(first, (-1, 1)), axis=0)


def locate(codec, outputs):
    """The winning `cells`, their `scores`, and the features `gathered` there."""
    cells, scores = codec.locate(outputs["score"])
    return {"cells": cells, "scores": scores, "gathered": features_at_cells(outputs["features"], cells)}


@keras.saving.register_keras_serializable(package="kfacealign")
class Locate(keras.layers.Layer):
    """`score`, `features` -> the winning `cells`, their `scores`, and the features `gathered` there."""

    def __init__(self, codec, **kwargs):
        super().__init__(**{"dtype": "float32", "autocast": False, **kwargs})
        self.codec = codec

    def call(self, outputs):
        return locate(self.codec, outputs)


@keras.saving.register_keras_serializable(package="kfacealign")
class OffsetsAtCells(keras.layers.Layer):
    """`gathered` features -> the offset branches of a `PixelInPixelHead` there, by grouped convolutions or by products."""

    def __init__(self, head, grouped, **kwargs):
        super().__init__(**{"dtype": "float32", "autocast": False, **kwargs})
        self.head = head
        self.grouped = grouped

    def call(self, outputs):
        return (self.head.convolve_at_cells if self.grouped else self.head.at_cells)(outputs["gathered"])
