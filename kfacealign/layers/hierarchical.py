"""The face alignment network's blocks: hierarchical residuals and an hourglass of them (Bulat & Tzimiropoulos, 2017).

Functions build the graph, one function a block. Shapes are channels last: `(batch, height, width, channels)`. Batch
normalisation uses epsilon 1e-5 and momentum 0.9. Weights begin like those of the public release.
"""

from typing import Any

import keras

from kfacealign.layers.hourglass import predict_maps


def initializer() -> keras.initializers.Initializer:
    """The initialiser of all convolutions: uniform within +-1 / sqrt(fan in)."""
    return keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")


def bn_relu(x: Any, *, name: str) -> Any:
    """Batch normalisation and ReLU."""
    x = keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_bn")(x)
    return keras.layers.ReLU(name=f"{name}_relu")(x)


def convolution(x: Any, filters: int, kernel_size: int, *, name: str, use_bias: bool = True) -> Any:
    """A convolution that keeps height and width."""
    return keras.layers.Conv2D(
        filters, kernel_size, padding="same", use_bias=use_bias, kernel_initializer=initializer(), name=f"{name}_conv"
    )(x)


def hierarchical_residual(x: Any, filters: int, *, name: str) -> Any:
    """A chain of three 3x3 convolutions whose outputs are concatenated and added to the skip.

    The convolutions have 1/2, 1/4 and 1/4 of the filters, so fields of view of 3, 5 and 7 cells meet in one block. Batch
    normalisation and ReLU precede each. If the widths of input and output differ, the skip is projected, with batch
    normalisation and ReLU before the projection, too.
    """
    skip = x
    if x.shape[-1] != filters:
        skip = convolution(bn_relu(x, name=f"{name}_skip"), filters, 1, name=f"{name}_skip", use_bias=False)
    scales = []
    for width, scale in ((filters // 2, "a"), (filters // 4, "b"), (filters // 4, "c")):
        x = convolution(bn_relu(x, name=f"{name}_{scale}"), width, 3, name=f"{name}_{scale}", use_bias=False)
        scales.append(x)
    return keras.layers.Add(name=f"{name}_add")([keras.layers.Concatenate(name=f"{name}_scales")(scales), skip])


def hierarchical_hourglass(x: Any, depth: int, *, name: str) -> Any:
    """`depth` levels of halving by averages and doubling by repetition; every level adds the features before the halving."""
    filters = x.shape[-1]
    across = hierarchical_residual(x, filters, name=f"{name}_across{depth}")
    low = keras.layers.AveragePooling2D(2, name=f"{name}_pool{depth}")(x)
    low = hierarchical_residual(low, filters, name=f"{name}_down{depth}")
    if depth > 1:
        low = hierarchical_hourglass(low, depth - 1, name=name)
    else:
        low = hierarchical_residual(low, filters, name=f"{name}_centre")
    low = hierarchical_residual(low, filters, name=f"{name}_up{depth}")
    up = keras.layers.UpSampling2D(2, interpolation="nearest", name=f"{name}_enlarge{depth}")(low)
    return keras.layers.Add(name=f"{name}_merge{depth}")([across, up])


def hierarchical_stem(image: Any, filters: int, *, name: str = "stem") -> Any:
    """`(B, S, S, 3)` -> `(B, S/4, S/4, filters)`: 7x7 convolution of stride 2, residual, 2x2 averages, two residuals."""
    x = keras.layers.ZeroPadding2D(3, name=f"{name}_1_pad")(image)
    x = keras.layers.Conv2D(filters // 4, 7, strides=2, kernel_initializer=initializer(), name=f"{name}_1_conv")(x)
    x = bn_relu(x, name=f"{name}_1")
    x = hierarchical_residual(x, filters // 2, name=f"{name}_2")
    x = keras.layers.AveragePooling2D(2, name=f"{name}_pool")(x)
    x = hierarchical_residual(x, filters // 2, name=f"{name}_3")
    return hierarchical_residual(x, filters, name=f"{name}_4")


def face_alignment_network(image: Any, *, maps: int, stacks: int, filters: int, depth: int = 4) -> tuple[list[Any], Any]:
    """The stacked network with intermediate supervision.

    Args:
        image: `(B, S, S, 3)`, normalised pixels; S a multiple of `4 * 2 ** depth`.
        maps: number of heatmaps K that each stack predicts.
        stacks: number of hourglasses.
        filters: channels of the trunk.
        depth: levels of each hourglass.

    Returns:
        The list of every stack's heatmaps `(B, S/4, S/4, K)`, and the features `(B, S/4, S/4, filters)` that the last
        heatmaps are made of.
    """
    trunk = hierarchical_stem(image, filters)
    heatmaps = []
    for stack in range(1, stacks + 1):
        name = f"stack{stack}"
        x = hierarchical_hourglass(trunk, depth, name=name)
        x = hierarchical_residual(x, filters, name=f"{name}_top")
        features = bn_relu(convolution(x, filters, 1, name=f"{name}_features"), name=f"{name}_features")
        heatmap = predict_maps(features, maps, name=f"{name}_heatmap")
        heatmaps.append(heatmap)
        if stack < stacks:
            merged = [convolution(features, filters, 1, name=f"{name}_merge_features")]
            merged.append(convolution(heatmap, filters, 1, name=f"{name}_merge_heatmap"))
            trunk = keras.layers.Add(name=f"{name}_trunk")([trunk, *merged])
    return heatmaps, features
