"""Batch norms of a training by the fused kernel of TensorFlow.

On TensorFlow, Keras computes a batch norm of a training step by some ten passes over memory, which on a CPU are up to two fifths
of the step. TensorFlow's own kernel needs fewer. Layers stay those of Keras: the kernel stands in for them while they are
trained, and computes the same.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from kfacealign.backend import keras, ops


@contextlib.contextmanager
def fused_batch_norms(model: keras.Model) -> Iterator[int]:
    """Batch norms of the model are computed by TensorFlow's fused kernel in training, as long as the context is open.

    Outputs, gradients and moving statistics are those of Keras but for rounding. Frozen norms, those in inference and those of
    other than four axes stay as they are. Under other backends, and where XLA compiles the step and fuses by itself, nothing
    changes.

    Args:
        model: a compiled model.

    Yields:
        The number of batch norms that are fused.
    """
    layers = list(model._flatten_layers(include_self=False)) if uses_kernel(model) else []
    norms = [layer for layer in layers if isinstance(layer, keras.layers.BatchNormalization) and fits_kernel(layer)]
    norms = [norm for norm in norms if "call" not in vars(norm)]  # the others are fused by a context around this one
    for norm in norms:
        norm.call = fused(norm)
    try:
        yield len(norms)
    finally:
        for norm in norms:
            del norm.call


def uses_kernel(model: keras.Model) -> bool:
    """Whether steps of the model run on TensorFlow without XLA."""
    return keras.config.backend() == "tensorflow" and not model.jit_compile


def fits_kernel(layer: keras.layers.BatchNormalization) -> bool:
    """Whether the kernel computes what the layer does: channels last, both parameters, no statistics of other devices."""
    plain = layer.built and layer.axis in (-1, 3) and layer.scale and layer.center
    return plain and not (layer.synchronized or getattr(layer, "renorm", False))  # older versions of Keras have no renorm


def fused(layer: keras.layers.BatchNormalization) -> Callable:
    """A `call` of the layer that has its training step by the kernel."""
    import tensorflow as tf

    plain = layer.call

    def call(inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        if not (training and layer.trainable) or mask is not None or len(inputs.shape) != 4:
            return plain(inputs, training=training, mask=mask)
        scale, offset = (ops.cast(parameter, "float32") for parameter in (layer.gamma, layer.beta))
        # The function of `tf.nn` would raise a small epsilon to 1.001e-5.
        y, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs, scale=scale, offset=offset, mean=[], variance=[], epsilon=layer.epsilon, is_training=True
        )
        # The kernel's variance is that of a sample, N / (N - 1) times that of Keras.
        count = ops.cast(ops.prod(ops.shape(inputs)[:-1]), "float32")
        variance = variance * (ops.maximum(count - 1, 1) / count)
        for moving, value in ((layer.moving_mean, mean), (layer.moving_variance, variance)):
            moving.assign(moving * layer.momentum + value * (1.0 - layer.momentum))
        return ops.cast(y, layer.compute_dtype)

    return call
