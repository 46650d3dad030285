"""A backbone of every kind of layer that MobileNets have, small enough to be rebuilt, rounded and converted in seconds."""

import contextlib

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from kfacealign import models

SIZE = 64


def tiny_backbone(name, input_size, weights=None, width=1.0, last_expansion=True):
    """Replaces `models.backbones.backbone`: `(B, S, S, 3)` -> `(B, S/32, S/32, 16)`."""
    layers = keras.layers
    image = keras.Input((input_size, input_size, 3), name="image")
    x = ops.subtract(ops.multiply(image, 1 / 127.5), 1.0)
    x = layers.Conv2D(16, 3, strides=4, padding="same", use_bias=False, name="first")(x)
    x = layers.ReLU(6.0, name="first_relu")(layers.BatchNormalization(name="first_norm")(x))
    x = layers.ZeroPadding2D(((0, 1), (0, 1)), name="pad")(x)
    x = layers.DepthwiseConv2D(3, strides=2, use_bias=False, name="depthwise")(x)
    x = layers.ReLU(6.0, name="depthwise_relu")(layers.BatchNormalization(name="depthwise_norm")(x))
    branch = layers.BatchNormalization(name="branch_norm")(layers.Conv2D(16, 1, use_bias=False, name="branch")(x))
    x = layers.Activation("hard_silu", name="swish")(layers.Add(name="sum")([x, branch]))
    squeezed = layers.GlobalAveragePooling2D(keepdims=True, name="squeeze")(x)
    squeezed = layers.ReLU(name="squeeze_relu")(layers.Conv2D(8, 1, name="squeeze_conv")(squeezed))
    gate = layers.ReLU(6.0, name="gate_relu")(layers.Conv2D(16, 1, name="excite")(squeezed) + 3.0) * (1.0 / 6.0)
    x = layers.MaxPooling2D(4, name="pool")(layers.Multiply(name="gated")([x, gate]))
    x = layers.ReLU(name="last_relu")(layers.BatchNormalization(name="last_norm")(layers.Conv2D(16, 1, name="last")(x)))
    return keras.Model(image, x, name="backbone")


def tiny_pipnet(monkeypatch):
    """A PIPNet of 19 landmarks on that backbone, with random weights and statistics."""
    monkeypatch.setattr("kfacealign.models.pipnet.make_backbone", tiny_backbone)
    return randomized(models.PIPNet("aflw19", backbone="mobilenet_v2", input_size=SIZE, neighbors=3))


@contextlib.contextmanager
def eagerly():
    """Runs TensorFlow functions eagerly: to trace them takes longer than all steps of a tiny network."""
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(False)


def randomized(model, seed=0):
    """Gives an aligner or network weights and statistics by which signals neither vanish nor grow; returns it."""
    rng = np.random.default_rng(seed)
    for variable in getattr(model, "network", model).variables:
        kind = variable.path.split("/")[-1]
        shape = tuple(variable.shape)
        if kind in ("gamma", "moving_variance"):
            value = rng.uniform(0.5, 1.5, shape)
        elif kind in ("beta", "moving_mean", "bias"):
            value = rng.normal(0, 0.3, shape)
        elif "kernel" in kind:
            # The last axis numbers the outputs, except in a depthwise kernel, whose channels do not mix.
            fan = np.prod(shape[:2]) if "depthwise" in variable.path else np.prod(shape[:-1])
            value = rng.normal(0, np.sqrt(1.5 / fan), shape)
        else:
            continue
        variable.assign(value)
    return model


def crops(count, seed=0):
    """`(N, S, S, 3)` float32 of low-frequency noise."""
    noise = np.random.default_rng(seed).uniform(0, 255, (count, 8, 8, 3))
    return np.kron(noise, np.ones((1, SIZE // 8, SIZE // 8, 1))).astype("float32")


def labels(count, seed=0):
    """Landmarks anywhere in the crop."""
    return {"landmarks": np.random.default_rng(seed).uniform(0.1, 0.9, (count, 19, 2)).astype("float32")}
