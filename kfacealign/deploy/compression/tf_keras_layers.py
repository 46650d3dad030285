"""Layers that tf-keras lacks and twins need. Import `kfacealign.deploy.compression.tf_keras_twin` first, which loads tf-keras."""

import numpy as np
import tensorflow as tf
import tf_keras


class Affine(tf_keras.layers.Layer):
    """`scale * x + offset`, each a number, an array of what broadcasts, or None."""

    def __init__(self, scale=None, offset=None, **kwargs):
        super().__init__(**kwargs)
        self.scale = scale
        self.offset = offset

    def call(self, x):
        if self.scale is not None:
            x = x * tf.constant(self.scale, x.dtype)
        return x if self.offset is None else x + tf.constant(self.offset, x.dtype)

    def get_config(self):
        return {**super().get_config(), "scale": self.scale, "offset": self.offset}


class HardSwish(tf_keras.layers.Layer):
    """`x * relu6(x + 3) / 6`, in the form that becomes one operator of LiteRT."""

    def call(self, x):
        return x * tf.nn.relu6(x + 3.0) * (1.0 / 6.0)


class ChannelNormalization(tf_keras.layers.BatchNormalization):
    """The batch normalisation of a transposed convolution, which LiteRT does not merge as it does those of others.

    Attributes:
        grouped: whether the call is a depthwise 1x1 convolution, which LiteRT computes in integers; else a product and a
            sum, of which it would have to know the range of the product.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.grouped = False

    def call(self, inputs, training=None):
        if not self.grouped:
            return super().call(inputs, training=training)
        scale, shift = scale_and_shift(self)
        scaled = tf.nn.depthwise_conv2d(inputs, tf.reshape(scale, (1, 1, -1, 1)), [1, 1, 1, 1], "VALID")
        return tf.nn.bias_add(scaled, shift)


def scale_and_shift(norm):
    """What a batch normalisation does to each channel in inference."""
    scale = tf.math.rsqrt(norm.moving_variance + norm.epsilon) * (norm.gamma if norm.scale else 1.0)
    return scale, (norm.beta if norm.center else 0.0) - norm.moving_mean * scale


class Offsets(tf_keras.layers.Layer):
    """Each landmark's feature vector times columns of its own, the twin of `PixelInPixelHead.at_cells`.

    Args:
        points: number of landmarks K.
        width: columns of a landmark, J.

    Input: `(B, K, F)`. Output: `(B, K, J)`. Weights: kernel `(1, 1, F, K * J)`, landmark-major, that of a convolution
    with a group for each landmark; bias `(K * J,)`.

    Attributes:
        grouped: whether the call is that convolution, which LiteRT computes in integers, but which has no gradient on
            TensorFlow's CPU; else a product.
    """

    def __init__(self, points, width, **kwargs):
        super().__init__(**kwargs)
        self.points = points
        self.width = width
        self.grouped = False

    def build(self, input_shape):
        self.kernel = self.add_weight("kernel", (1, 1, input_shape[-1], self.points * self.width))
        self.bias = self.add_weight("bias", (self.points * self.width,))
        super().build(input_shape)

    def call(self, gathered):
        features = gathered.shape[-1]
        if self.grouped:
            row = tf.reshape(gathered, (-1, 1, 1, self.points * features))
            values = tf.nn.bias_add(tf.nn.conv2d(row, self.kernel, 1, "VALID"), self.bias)
            return tf.reshape(values, (-1, self.points, self.width))
        columns = tf.transpose(tf.reshape(self.kernel, (features, self.points, self.width)), (1, 0, 2))
        values = tf.transpose(tf.matmul(tf.transpose(gathered, (1, 0, 2)), columns), (1, 0, 2))
        return values + tf.reshape(self.bias, (self.points, self.width))

    def get_prunable_weights(self):
        return [self.kernel]

    def get_config(self):
        return {**super().get_config(), "points": self.points, "width": self.width}


class Branch(tf_keras.layers.Layer):
    """One branch of `Offsets`: `width` values of each landmark from `first` on, `(B, K, J)` -> `(B, K, width)` or `(B, K)`."""

    def __init__(self, first, width, squeeze, **kwargs):
        super().__init__(**kwargs)
        self.first = first
        self.width = width
        self.squeeze = squeeze

    def call(self, values):
        found = values[:, :, self.first : self.first + self.width]
        return tf.squeeze(found, axis=-1) if self.squeeze else found

    def get_config(self):
        return {**super().get_config(), "first": self.first, "width": self.width, "squeeze": self.squeeze}


class Columns:
    """Some branches of a `PixelInPixelHead` as weights of `Offsets`, with `get_weights` and `set_weights` of a layer."""

    def __init__(self, head, names):
        self.points = head.points
        self.branches = [getattr(head, name) for name in names]

    @property
    def weights(self):
        return [weight for branch in self.branches for weight in branch.weights]

    @property
    def trainable(self):
        return any(branch.trainable for branch in self.branches)

    @trainable.setter
    def trainable(self, value):
        for branch in self.branches:
            branch.trainable = value

    def get_weights(self):
        kernels, biases = zip(*(branch.get_weights() for branch in self.branches), strict=True)
        return [self.joined(kernels), self.joined(biases)]

    def joined(self, arrays):
        """`(..., K * j)` of each branch side by side, landmark-major: `(..., K * J)`."""
        apart = [array.reshape(*array.shape[:-1], self.points, -1) for array in arrays]
        return np.concatenate(apart, axis=-1).reshape(*arrays[0].shape[:-1], -1)

    def set_weights(self, weights):
        places = np.cumsum([branch.filters // self.points for branch in self.branches])[:-1]
        apart = [np.split(array.reshape(*array.shape[:-1], self.points, -1), places, axis=-1) for array in weights]
        for branch, kernel, bias in zip(self.branches, *apart, strict=True):
            branch.set_weights([kernel.reshape(*kernel.shape[:-2], -1), bias.reshape(-1)])


LAYERS = {layer.__name__: layer for layer in (Affine, Branch, ChannelNormalization, HardSwish, Offsets)}
