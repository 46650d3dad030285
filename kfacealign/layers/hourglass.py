"""The stacked hourglass and its blocks (HIH, Sec. III-D; figure 2 of the paper).

Functions build the graph, one function a block of the figure, so that a network reads top to bottom. Shapes are channels
last: `(batch, height, width, channels)`.

Two details follow the authors' code and matter when its checkpoints are read. Strided convolutions pad both sides alike,
where Keras' "same" would pad the far side only. Batch normalisation uses epsilon 1e-5 and momentum 0.9.
"""

from typing import Any

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable(package="kfacealign")
class CornerAlignedUpSampling2D(keras.layers.Layer):
    """Bilinear up-sampling in which the corner cells keep their values.

    Output cell `i` of `factor * n` reads the input at `i * (n - 1) / (factor * n - 1)`. Each axis is one product with a
    constant matrix on the right: TFLite makes fully connected layers of such products, which stay fast in int8.

    Args:
        factor: integer enlargement of height and width.

    Input `(B, H, W, C)`, output `(B, factor * H, factor * W, C)`; H and W static.

    Example:
        >>> CornerAlignedUpSampling2D(2)(keras.ops.ones((1, 4, 4, 8))).shape
        (1, 8, 8, 8)
    """

    def __init__(self, factor: int = 2, **kwargs: Any):
        super().__init__(**kwargs)
        self.factor = factor

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        batch, height, width, channels = input_shape
        return batch, height * self.factor, width * self.factor, channels

    def call(self, inputs: Any) -> Any:
        _, height, width, _ = inputs.shape
        rows = ops.convert_to_tensor(interpolation_matrix(height, self.factor).T, inputs.dtype)
        columns = ops.convert_to_tensor(interpolation_matrix(width, self.factor).T, inputs.dtype)
        x = ops.matmul(ops.transpose(inputs, (0, 3, 1, 2)), columns)
        x = ops.matmul(ops.transpose(x, (0, 1, 3, 2)), rows)
        return ops.transpose(x, (0, 3, 2, 1))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "factor": self.factor}


@keras.saving.register_keras_serializable(package="kfacealign")
class IdentitySkip(keras.layers.Layer):
    """The identity, with the weights of a projection that HIH's authors build and never run.

    Their residual block constructs its 1x1 conv-BN skip even where input and output have the same width and the block takes
    the identity. Table I counts those weights (9 % of HIH_T) and the authors' checkpoints hold them. So this layer has them,
    trainable and without effect.

    Input and output `(B, H, W, C)`.
    """

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        channels = input_shape[-1]
        self.kernel = self.add_weight((1, 1, channels, channels), initializer="zeros", name="kernel")
        self.gamma = self.add_weight((channels,), initializer="ones", name="gamma")
        self.beta = self.add_weight((channels,), initializer="zeros", name="beta")
        self.moving_mean = self.add_weight((channels,), initializer="zeros", trainable=False, name="moving_mean")
        self.moving_variance = self.add_weight((channels,), initializer="ones", trainable=False, name="moving_variance")

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        if training:
            # This gives the weights a gradient of zero. Without any, Keras would warn at every start.
            unused = ops.sum(self.kernel) + ops.sum(self.gamma) + ops.sum(self.beta)
            self.add_loss(0.0 * ops.cast(unused, "float32"))
        return inputs


def interpolation_matrix(size: int, factor: int) -> np.ndarray:
    """`(factor * size, size)` weights of corner-aligned linear interpolation."""
    position = np.linspace(0.0, size - 1.0, factor * size)
    weights = 1.0 - np.abs(position[:, None] - np.arange(size)[None, :])
    return np.maximum(weights, 0.0).astype("float32")


def conv_bn(x: Any, filters: int, kernel_size: int, *, name: str, strides: int = 1, activation: str | None = "relu") -> Any:
    """A convolution without bias, batch normalisation and an activation, which None leaves out."""
    if kernel_size > 1:
        x = keras.layers.ZeroPadding2D(kernel_size // 2, name=f"{name}_pad")(x)
    x = keras.layers.Conv2D(
        filters,
        kernel_size,
        strides=strides,
        use_bias=False,
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.001),
        name=f"{name}_conv",
    )(x)
    x = keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_bn")(x)
    if activation is None:
        return x
    return keras.layers.Activation(activation, name=f"{name}_{activation}")(x)


def predict_maps(x: Any, maps: int, *, name: str) -> Any:
    """The 1x1 convolution with bias that ends a heatmap head; it is float32 under mixed precision, too."""
    return keras.layers.Conv2D(
        maps, 1, kernel_initializer=keras.initializers.RandomNormal(stddev=0.001), dtype="float32", name=name
    )(x)


def bottleneck_residual(x: Any, filters: int, *, name: str) -> Any:
    """1x1 to half the width, 3x3, 1x1 back, and ReLU after the addition; the skip is projected if the widths differ."""
    if x.shape[-1] == filters:
        skip = IdentitySkip(name=f"{name}_skip")(x)
    else:
        skip = conv_bn(x, filters, 1, activation=None, name=f"{name}_skip")
    y = conv_bn(x, filters // 2, 1, name=f"{name}_reduce")
    y = conv_bn(y, filters // 2, 3, name=f"{name}_spatial")
    y = conv_bn(y, filters, 1, activation=None, name=f"{name}_expand")
    y = keras.layers.Add(name=f"{name}_add")([y, skip])
    return keras.layers.ReLU(name=f"{name}_out")(y)


def basic_residual(x: Any, filters: int, *, strides: int, name: str) -> Any:
    """ResNet's basic block: two 3x3 convolutions, the first strided; the skip is projected if strides or widths ask for it."""
    skip = x
    if strides != 1 or x.shape[-1] != filters:
        skip = conv_bn(x, filters, 1, strides=strides, activation=None, name=f"{name}_skip")
    y = conv_bn(x, filters, 3, strides=strides, name=f"{name}_first")
    y = conv_bn(y, filters, 3, activation=None, name=f"{name}_second")
    y = keras.layers.Add(name=f"{name}_add")([y, skip])
    return keras.layers.ReLU(name=f"{name}_out")(y)


def stem(image: Any, filters: int, *, name: str = "stem") -> Any:
    """`(B, S, S, 3)` -> `(B, S/4, S/4, filters)`: 7x7 convolution of stride 2, residual, 2x2 max-pool, two residuals."""
    x = conv_bn(image, filters // 4, 7, strides=2, name=f"{name}_1")
    x = bottleneck_residual(x, filters // 2, name=f"{name}_2")
    x = keras.layers.MaxPooling2D(2, name=f"{name}_pool")(x)
    x = bottleneck_residual(x, filters // 2, name=f"{name}_3")
    return bottleneck_residual(x, filters, name=f"{name}_4")


def hourglass(x: Any, depth: int, *, name: str) -> Any:
    """`depth` levels of halving and doubling; every level adds the features before the halving."""
    filters = x.shape[-1]
    across = bottleneck_residual(x, filters, name=f"{name}_across{depth}")
    low = keras.layers.MaxPooling2D(2, name=f"{name}_pool{depth}")(x)
    low = bottleneck_residual(low, filters, name=f"{name}_down{depth}")
    low = hourglass(low, depth - 1, name=name) if depth > 1 else bottleneck_residual(low, filters, name=f"{name}_centre")
    low = bottleneck_residual(low, filters, name=f"{name}_up{depth}")
    up = CornerAlignedUpSampling2D(2, name=f"{name}_enlarge{depth}")(low)
    return keras.layers.Add(name=f"{name}_merge{depth}")([across, up])


def stacked_hourglass(image: Any, *, maps: int, stacks: int, filters: int, depth: int = 4) -> tuple[list[Any], Any]:
    """The backbone with intermediate supervision.

    Args:
        image: `(B, S, S, 3)`, normalised pixels; S a multiple of `4 * 2 ** depth`.
        maps: number of heatmaps K that each stack predicts.
        stacks: number of hourglasses.
        filters: channels of the trunk.
        depth: levels of each hourglass.

    Returns:
        The list of every stack's heatmaps `(B, S/4, S/4, K)`, and the trunk `(B, S/4, S/4, filters)` after the last stack,
        in which features and heatmaps are fused.
    """
    trunk = stem(image, filters)
    heatmaps = []
    for stack in range(1, stacks + 1):
        name = f"stack{stack}"
        x = hourglass(trunk, depth, name=name)
        x = bottleneck_residual(x, filters, name=f"{name}_residual")
        features = conv_bn(x, filters, 1, name=f"{name}_features")
        heatmap = predict_maps(features, maps, name=f"{name}_heatmap")
        heatmaps.append(heatmap)
        trunk = fused(trunk, features, heatmap, name=name)
    return heatmaps, trunk


def fused(trunk: Any, features: Any, heatmap: Any, *, name: str) -> Any:
    """The sum of the trunk with a 1x1 conv-BN-ReLU of a stack's features and with one of its heatmaps, all of one width."""
    filters = trunk.shape[-1]
    merged_features = conv_bn(features, filters, 1, name=f"{name}_merge_features")
    merged_heatmap = conv_bn(heatmap, filters, 1, name=f"{name}_merge_heatmap")
    return keras.layers.Add(name=f"{name}_trunk")([trunk, merged_features, merged_heatmap])
