"""How large a network is: the figures that the papers' tables compare."""

import math

import keras


def trainable_parameters(model):
    """Number of trainable weights."""
    return sum(math.prod(weight.shape) for weight in model.trainable_weights)


def convolution_multiply_adds(model):
    """Multiply-adds of all convolutions for one image, layers inside layers included.

    Counted as the papers count: kernel positions x input channels x output cells x filters.

    Args:
        model: functional model with a static input size.
    """
    total = 0
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            total += convolution_multiply_adds(layer)
        elif isinstance(layer, keras.layers.Conv2D):
            _, height, width, _ = layer.output.shape
            total += math.prod(layer.kernel.shape) * height * width
        elif isinstance(getattr(layer, "body", None), keras.Model):
            total += convolution_multiply_adds(layer.body)
    return total
