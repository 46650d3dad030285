"""Classification backbones: pixels to features at stride 32, from random or ImageNet weights."""

import os
import warnings

import keras
import numpy as np
from keras import ops

BACKBONES = ("resnet18", "resnet50", "resnet101", "mobilenet_v2", "mobilenet_v3_large")

# Blocks of the four stages, the kind of block, and KerasHub's weights.
RESNETS = {
    "resnet18": ([2, 2, 2, 2], "basic_block", "resnet_18_imagenet"),
    "resnet50": ([3, 4, 6, 3], "bottleneck_block", "resnet_50_imagenet"),
    "resnet101": ([3, 4, 23, 3], "bottleneck_block", "resnet_101_imagenet"),
}

# Of ImageNet's pixels; the ResNets were trained on pixels normalised by these.
IMAGENET_MEAN = 255.0 * np.array([0.485, 0.456, 0.406], "float32")
IMAGENET_DEVIATION = 255.0 * np.array([0.229, 0.224, 0.225], "float32")


def backbone(name, input_size, weights=None, width=1.0):
    """A network without its classification head, with the normalisation of its pixels inside.

    ResNets come from KerasHub, MobileNets from Keras Applications. Whichever it is, the
    result is a functional model of Keras' own layers, so a saved one loads without KerasHub.

    Trainable parameters at width 1: ResNet-18 11,176,512, ResNet-50 23,508,032, ResNet-101
    42,500,160, MobileNetV2 2,223,872, MobileNetV3-Large 2,971,952.

    Args:
        name: one of `BACKBONES`.
        input_size: side S of the crops in pixels, a multiple of 32.
        weights: "imagenet", None for random weights, or the path of a trained model of this package (.keras) that has such
            a backbone, whatever its method, landmarks and input size.
        width: factor on the channels, as multiples of 8; 1 with ImageNet weights.

    Returns:
        Functional model "backbone", `(B, S, S, 3)` pixels 0..255 -> `(B, S/32, S/32, C)`; at
        width 1 C is 512, 2048, 2048, 1280 and 960 in the order of `BACKBONES`.

    Raises:
        ValueError: an argument out of its range, KerasHub missing, ImageNet weights that cannot be
            fetched, or a file without such a backbone.

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
    fetched = weights == "imagenet"
    network = (resnet if name in RESNETS else mobilenet)(name, input_size, fetched, width)
    if weights and not fetched:
        copy_backbone(weights, network, name)
    return network


# === ResNet ===


def resnet(name, input_size, fetched, width):
    """KerasHub's ResNet in the layout of the original (strides in the 3x3 convolutions); `fetched` for ImageNet weights."""
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
    # A clone takes the layers out of KerasHub's class, and can have other widths, which that class refuses.
    clone = keras.models.clone_model(
        original, clone_function=lambda layer: with_width(layer, width), call_function=normalize_first
    )
    model = keras.Model(clone.input, clone.output, name="backbone")
    if pretrained is not None:
        model.set_weights(pretrained.get_weights())
    return model


def keras_hub_resnet(name):
    try:
        from keras_hub.models import ResNetBackbone
    except ImportError as error:
        raise ValueError(f"backbone {name} needs KerasHub ({error}): pip install keras-hub, or use a MobileNet") from error
    return ResNetBackbone


def with_width(layer, width):
    """A new layer like `layer`, its filters times `width` as a multiple of 8."""
    config = layer.get_config()
    if width != 1 and "filters" in config:
        config["filters"] = max(8, 8 * int(config["filters"] * width / 8 + 0.5))
    return type(layer).from_config(config)


def normalize_first(layer, x, **kwargs):
    """Calls a layer of the ResNet; what the first one reads is normalised."""
    if layer.name == "conv1_pad":
        x = ops.multiply(ops.subtract(x, IMAGENET_MEAN), 1.0 / IMAGENET_DEVIATION)
    return layer(x, **kwargs)


# === MobileNet ===


def mobilenet(name, input_size, fetched, width):
    """Keras' MobileNet; `fetched` for ImageNet weights."""
    image = keras.Input((input_size, input_size, 3), name="image")
    x = ops.subtract(ops.multiply(image, 1.0 / 127.5), 1.0)
    settings = {"input_tensor": x, "alpha": width, "include_top": False, "weights": "imagenet" if fetched else None}

    def build():
        if name == "mobilenet_v2":
            return keras.applications.MobileNetV2(**settings)
        return keras.applications.MobileNetV3Large(include_preprocessing=False, **settings)

    with warnings.catch_warnings():
        # That the weights were trained at 224 px; they are convolutions, which fit any size.
        warnings.filterwarnings("ignore", message=".*input_shape. is undefined or non-square")
        network = fetch(name, "keras", build) if fetched else build()
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            # PyTorch's and the ResNets'; with Keras' 0.999 the statistics of a short training lag behind its weights.
            layer.momentum = 0.9
    return keras.Model(image, network.output, name="backbone")


# === Weights ===


def copy_backbone(path, network, name):
    """Gives `network` the weights of the backbone in a trained model.

    Raises:
        ValueError: the file holds no model with such a backbone. OSError: it cannot be read.
    """
    trained = keras.saving.load_model(path, compile=False)
    found = [layer for layer in getattr(trained, "network", trained).layers if layer.name == "backbone"]
    if not found:
        raise ValueError(f"{path} is a {type(trained).__name__}, which has no classification backbone")
    ours, theirs = ([tuple(weight.shape) for weight in model.weights] for model in (network, found[0]))
    if ours != theirs:
        raise ValueError(f"{path} has another backbone than {name} of this width: use the same --backbone and backbone_width")
    network.set_weights(found[0].get_weights())


def fetch(name, library, load):
    """What `load` returns, its failures explained.

    Raises:
        ValueError: the weights cannot be had.
    """
    try:
        return load()
    except Exception as error:  # the download libraries raise bare exceptions and kinds of their own
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(
            f"the ImageNet weights of {name} cannot be fetched ({reason}). They are downloaded once, which needs an internet "
            f"connection, and then kept in {cache_folder(library)}; backbone_weights=None (--backbone-weights none in the "
            f"recipes) trains from random weights instead"
        ) from error


def cache_folder(library):
    """Where the library that downloads keeps the weights."""
    if library == "kagglehub":
        return os.environ.get("KAGGLEHUB_CACHE") or os.path.join("~", ".cache", "kagglehub")
    return os.path.join(os.environ.get("KERAS_HOME") or os.path.join("~", ".keras"), "models")
