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
        rows = ops.transpose(ops.cast(gathered, self.compute_dtype), (1, 0, 2))
        found = {}
        for name in self.branches:
            kernel, bias = self.columns(getattr(self, name))
            values = ops.transpose(ops.matmul(rows, kernel), (1, 0, 2)) + bias
            found[name] = values if name.startswith("neighbor") else ops.squeeze(values, axis=-1)
        return found

    def columns(self, branch):
        """A 1x1 convolution's kernel as one matrix per landmark, (K, F, J), and its bias, (K, J)."""
        kernel, bias = (ops.cast(weight, self.compute_dtype) for weight in (branch.kernel, branch.bias))
        kernel = ops.reshape(kernel, (branch.kernel.shape[2], self.points, -1))
        return ops.transpose(kernel, (1, 0, 2)), ops.reshape(bias, (self.points, -1))

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
