"""How large a network is: the figures that the papers' tables compare."""

import math
from collections.abc import Iterator

import keras

from kfacealign.layers.pixel_in_pixel import PixelInPixelHead

KERNEL_AT_EVERY_OUTPUT = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.Dense)
POOLINGS = (keras.layers.MaxPooling2D, keras.layers.AveragePooling2D, keras.layers.GlobalAveragePooling2D)


def trainable_parameters(model: keras.Model) -> int:
    """The number of trainable scalars."""
    return sum(math.prod(weight.shape) for weight in model.trainable_weights)


def output_values(model: keras.Model) -> int:
    """How many values a network returns for one image. The output `features`, from which a head gathers, does not count.

    Args:
        model: functional model with a dict of outputs.
    """
    return sum(math.prod(tensor.shape[1:]) for name, tensor in model.output.items() if name != "features")


def multiply_adds(model: keras.Model) -> int:
    """The "GFLOPs" of the papers' tables, for one image.

    They are the `convolution_multiply_adds`, two operations for each normalised value, one for each value of an activation
    layer and one for each value that a pooling reads. This gives HIH's Table I (6.99 / 10.38 / 17.15) and all rows of PIPNet
    in its Table 9 to the last digit.

    Args:
        model: functional model with a static input size.
    """
    return convolution_multiply_adds(model) + sum(elementwise_operations(layer) for layer in leaves(model))


def convolution_multiply_adds(model: keras.Model) -> int:
    """Multiply-adds of all convolutions and fully connected layers for one image, layers inside layers included.

    A layer has kernel positions x input channels of the group x output cells x filters. A transposed convolution visits its
    kernel at the input cells instead. A pixel-in-pixel head counts as if it were evaluated at every cell, although only some
    are read.

    Args:
        model: functional model with a static input size.
    """
    return sum(kernel_multiply_adds(layer) for layer in leaves(model))


def leaves(model: keras.Model) -> Iterator[keras.layers.Layer]:
    """The layers of a functional model; a model inside it is replaced by its layers."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from leaves(layer)
        elif isinstance(getattr(layer, "body", None), keras.Model):
            yield from leaves(layer.body)
        else:
            yield layer


def kernel_multiply_adds(layer: keras.layers.Layer) -> int:
    """Multiply-adds of one layer's kernel for one image; 0 if it has no kernel."""
    if isinstance(layer, PixelInPixelHead):
        kernels = [getattr(layer, name).kernel for name in ("score", *layer.branches)]
        return sum(math.prod(kernel.shape) for kernel in kernels) * math.prod(layer.input.shape[1:-1])
    if isinstance(layer, KERNEL_AT_EVERY_OUTPUT):
        return math.prod(layer.kernel.shape) * math.prod(layer.output.shape[1:-1])
    if isinstance(layer, keras.layers.Conv2DTranspose):
        return math.prod(layer.kernel.shape) * math.prod(layer.input.shape[1:-1])
    return 0


def elementwise_operations(layer: keras.layers.Layer) -> int:
    """Operations of a normalisation, an activation or a pooling for one image; 0 for any other layer."""
    if isinstance(layer, keras.layers.BatchNormalization):
        return 2 * math.prod(layer.output.shape[1:])
    if isinstance(layer, (keras.layers.Activation, keras.layers.ReLU)):
        return math.prod(layer.output.shape[1:])
    if isinstance(layer, POOLINGS):
        return math.prod(layer.input.shape[1:])
    return 0
