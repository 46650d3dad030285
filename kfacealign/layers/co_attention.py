"""Co-attention of the features of both axes ("Attentive One-Dimensional Heatmap Regression", Eq. 9-10)."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="kfacealign")
class CoAttention(keras.layers.Layer):
    """Shares features between two axes, so that marginal distributions learn from each other.

    Each channel has a matrix of n positions by m columns for either axis, X = D^x and Y = (D^y)^T. With these,

        W^xy = softmax(Y P X^T / sqrt(m))        W^yx = softmax(X Q Y^T / sqrt(m))      (Eq. 9)
        X'   = X + gamma W^yx Y                  Y'   = Y + gamma W^xy X                (Eq. 10)

    The softmax is taken of each row, so every position of one axis reads a mean of the positions of the other. P and Q
    (m x m) are shared by all channels. They are the layer's only parameters, 2 m^2 in number.

    Args:
        gamma: weight of what is read; with 0 the layer is the identity and has no parameters.

    Inputs: X and Y as a list or tuple of two, each `(B, n, m, C)`, n and m static. Outputs: two of the same shapes.

    Raises:
        ValueError: the inputs are not two tensors of rank 4 and of one shape.

    Example:
        >>> x, y = CoAttention(gamma=0.4)([x, y])    # (B, 64, 8, 256) each
    """

    def __init__(self, gamma: float = 0.4, **kwargs: Any):
        super().__init__(**kwargs)
        self.gamma = gamma

    def build(self, input_shape: Sequence[tuple[int | None, ...]]) -> None:
        if len(input_shape) != 2 or len(input_shape[0]) != 4 or tuple(input_shape[0][1:]) != tuple(input_shape[1][1:]):
            raise ValueError(f"CoAttention reads two inputs of one shape (B, n, m, C), got {input_shape}")
        columns = input_shape[0][2]
        if self.gamma:
            self.p = self.add_weight((columns, columns), initializer="glorot_uniform", name="p")
            self.q = self.add_weight((columns, columns), initializer="glorot_uniform", name="q")

    def compute_output_shape(
        self, input_shape: Sequence[tuple[int | None, ...]]
    ) -> tuple[tuple[int | None, ...], tuple[int | None, ...]]:
        return tuple(input_shape[0]), tuple(input_shape[1])

    def call(self, inputs: Sequence[Any]) -> tuple[Any, Any]:
        x, y = inputs
        if not self.gamma:
            return x, y
        by_channel = [ops.transpose(features, (0, 3, 1, 2)) for features in (x, y)]
        read_by_x = self.read(*by_channel, self.q)
        read_by_y = self.read(*by_channel[::-1], self.p)
        return x + self.gamma * ops.transpose(read_by_x, (0, 2, 3, 1)), y + self.gamma * ops.transpose(read_by_y, (0, 2, 3, 1))

    @staticmethod
    def read(reader: Any, source: Any, weights: Any) -> Any:
        """softmax(R W S^T / sqrt(m)) S of each channel, with reader R and source S `(B, C, n, m)` and weights W `(m, m)`."""
        columns = source.shape[-1]
        affinity = ops.matmul(ops.matmul(reader, weights), ops.transpose(source, (0, 1, 3, 2)))
        return ops.matmul(ops.softmax(affinity * columns**-0.5, axis=-1), source)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "gamma": self.gamma}
