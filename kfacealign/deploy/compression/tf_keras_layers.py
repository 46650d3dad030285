"""Layers that twins need and tf-keras lacks.

Import `kfacealign.deploy.compression.tf_keras_twin` before this module: it loads tf-keras safely beside Keras 3.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras


class Affine(tf_keras.layers.Layer):
    """`scale * x + offset`.

    Args:
        scale: a number, or nested lists of numbers that broadcast against x; None leaves it out.
        offset: likewise.
    """

    def __init__(self, *, scale: float | list | None = None, offset: float | list | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.scale = scale
        self.offset = offset

    def call(self, x: tf.Tensor) -> tf.Tensor:
        if self.scale is not None:
            x = x * tf.constant(self.scale, x.dtype)
        return x if self.offset is None else x + tf.constant(self.offset, x.dtype)

    def get_config(self) -> dict:
        return {**super().get_config(), "scale": self.scale, "offset": self.offset}


class HardSwish(tf_keras.layers.Layer):
    """`x * relu6(x + 3) / 6`, in the form that becomes one operator of LiteRT."""

    def call(self, x: tf.Tensor) -> tf.Tensor:
        return x * tf.nn.relu6(x + 3.0) * (1.0 / 6.0)


class ChannelNormalization(tf_keras.layers.BatchNormalization):
    """The batch normalisation after a transposed convolution, which LiteRT does not merge with the convolution.

    Attributes:
        grouped: whether the call is a depthwise 1x1 convolution, which LiteRT computes in integers. Otherwise it is a product
            and a sum; for these LiteRT would have to know the range of the product.
    """

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.grouped = False

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        if not self.grouped:
            return super().call(inputs, training=training)
        scale, shift = scale_and_shift(self)
        scaled = tf.nn.depthwise_conv2d(inputs, tf.reshape(scale, (1, 1, -1, 1)), [1, 1, 1, 1], "VALID")
        return tf.nn.bias_add(scaled, shift)


def scale_and_shift(norm: tf_keras.layers.BatchNormalization) -> tuple[tf.Tensor, tf.Tensor]:
    """The factor and the shift that a batch normalisation applies to each channel in inference."""
    scale = tf.math.rsqrt(norm.moving_variance + norm.epsilon) * (norm.gamma if norm.scale else 1.0)
    return scale, (norm.beta if norm.center else 0.0) - norm.moving_mean * scale


class Offsets(tf_keras.layers.Layer):
    """Each landmark's feature vector times columns of its own, the twin of `PixelInPixelHead.at_cells`.

    Args:
        points: number of landmarks K.
        width: columns of a landmark, J.

    Input: `(B, K, F)`. Output: `(B, K, J)`. Weights: kernel `(1, 1, F, K * J)`, landmark-major, as a convolution with a group
    for each landmark has it; bias `(K * J,)`.

    Attributes:
        grouped: whether the call is such a convolution, which LiteRT computes in integers, but which has no gradient on
            TensorFlow's CPU. Otherwise it is a product.
    """

    def __init__(self, points: int, width: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.points = points
        self.width = width
        self.grouped = False

    def build(self, input_shape: Any) -> None:
        self.kernel = self.add_weight("kernel", (1, 1, input_shape[-1], self.points * self.width))
        self.bias = self.add_weight("bias", (self.points * self.width,))
        super().build(input_shape)

    def call(self, gathered: tf.Tensor) -> tf.Tensor:
        features = gathered.shape[-1]
        if self.grouped:
            row = tf.reshape(gathered, (-1, 1, 1, self.points * features))
            values = tf.nn.bias_add(tf.nn.conv2d(row, self.kernel, 1, "VALID"), self.bias)
            return tf.reshape(values, (-1, self.points, self.width))
        columns = tf.transpose(tf.reshape(self.kernel, (features, self.points, self.width)), (1, 0, 2))
        values = tf.transpose(tf.matmul(tf.transpose(gathered, (1, 0, 2)), columns), (1, 0, 2))
        return values + tf.reshape(self.bias, (self.points, self.width))

    def get_prunable_weights(self) -> list:
        return [self.kernel]

    def get_config(self) -> dict:
        return {**super().get_config(), "points": self.points, "width": self.width}


class Branch(tf_keras.layers.Layer):
    """One branch of `Offsets`: some of the J values of each landmark, `(B, K, J)` -> `(B, K, width)`.

    Args:
        first: place of the branch's first value.
        width: number of its values.
        squeeze: whether the output is `(B, K)`; `width` is then 1.
    """

    def __init__(self, first: int, width: int, *, squeeze: bool, **kwargs: Any):
        super().__init__(**kwargs)
        self.first = first
        self.width = width
        self.squeeze = squeeze

    def call(self, values: tf.Tensor) -> tf.Tensor:
        found = values[:, :, self.first : self.first + self.width]
        return tf.squeeze(found, axis=-1) if self.squeeze else found

    def get_config(self) -> dict:
        return {**super().get_config(), "first": self.first, "width": self.width, "squeeze": self.squeeze}


class Columns:
    """Some branches of a `PixelInPixelHead` seen as one layer, whose weights are those of `Offsets`.

    Args:
        head: the `PixelInPixelHead`.
        names: names of the branches, such as "x" and "y".
    """

    def __init__(self, head: Any, names: Sequence[str]):
        self.points = head.points
        self.branches = [getattr(head, name) for name in names]

    @property
    def weights(self) -> list:
        """The Keras weights of all branches."""
        return [weight for branch in self.branches for weight in branch.weights]

    @property
    def trainable(self) -> bool:
        """Whether any branch is trained; setting it sets it for all branches."""
        return any(branch.trainable for branch in self.branches)

    @trainable.setter
    def trainable(self, value: bool) -> None:
        for branch in self.branches:
            branch.trainable = value

    def get_weights(self) -> list[np.ndarray]:
        """Kernel and bias of `Offsets`."""
        kernels, biases = zip(*(branch.get_weights() for branch in self.branches), strict=True)
        return [self.joined(kernels), self.joined(biases)]

    def joined(self, arrays: Sequence[np.ndarray]) -> np.ndarray:
        """Arrays `(..., K * j)`, one for each branch, side by side in landmark-major order: `(..., K * J)`."""
        apart = [array.reshape(*array.shape[:-1], self.points, -1) for array in arrays]
        return np.concatenate(apart, axis=-1).reshape(*arrays[0].shape[:-1], -1)

    def set_weights(self, weights: Sequence[np.ndarray]) -> None:
        """Gives kernel and bias of `Offsets` to the branches."""
        places = np.cumsum([branch.filters // self.points for branch in self.branches])[:-1]
        apart = [np.split(array.reshape(*array.shape[:-1], self.points, -1), places, axis=-1) for array in weights]
        for branch, kernel, bias in zip(self.branches, *apart, strict=True):
            branch.set_weights([kernel.reshape(*kernel.shape[:-2], -1), bias.reshape(-1)])


LAYERS = {layer.__name__: layer for layer in (Affine, Branch, ChannelNormalization, HardSwish, Offsets)}
