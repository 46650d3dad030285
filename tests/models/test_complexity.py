"""Multiply-adds of single layers, by hand."""

import keras
import pytest

from kfacealign.layers.pixel_in_pixel import PixelInPixelHead
from kfacealign.models.complexity import convolution_multiply_adds, multiply_adds, trainable_parameters

L = keras.layers


def model_of(*layers):
    image = x = keras.Input((8, 12, 6))
    for layer in layers:
        x = layer(x)
    return keras.Model(image, x)


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (lambda: L.Conv2D(10, 3, padding="same"), 9 * 6 * 10 * 8 * 12),
        (lambda: L.Conv2D(10, 3, strides=2, padding="same"), 9 * 6 * 10 * 4 * 6),
        (lambda: L.Conv2D(10, 3, groups=2, padding="same"), 9 * 3 * 10 * 8 * 12),
        (lambda: L.DepthwiseConv2D((3, 5), padding="same"), 15 * 6 * 8 * 12),
        (lambda: L.Conv2DTranspose(10, 4, strides=2, padding="same"), 16 * 6 * 10 * 8 * 12),
        (lambda: L.Dense(10), 6 * 10 * 8 * 12),
        (lambda: PixelInPixelHead(points=5, neighbors=2), 6 * (5 * 3 + 5 * 2 * 2) * 8 * 12),
        (lambda: PixelInPixelHead(points=5, neighbors=0), 6 * (5 * 3) * 8 * 12),
        (lambda: L.Add(), 0),
    ],
)
def test_kernels(layer, expected):
    layer = layer()
    model = model_of(layer) if not isinstance(layer, L.Add) else model_of(lambda x: layer([x, x]))
    assert convolution_multiply_adds(model) == multiply_adds(model) == expected


def test_a_fully_connected_layer():
    model = model_of(L.Flatten(), L.Dense(7))
    assert convolution_multiply_adds(model) == 8 * 12 * 6 * 7
    assert trainable_parameters(model) == 8 * 12 * 6 * 7 + 7


@pytest.mark.parametrize(
    ("layer", "per_value"),
    [
        (L.BatchNormalization, 2),
        (L.ReLU, 1),
        (lambda: L.Activation("relu"), 1),
        (lambda: L.MaxPooling2D(2), 1),
        (L.GlobalAveragePooling2D, 1),
    ],
)
def test_what_comes_besides(layer, per_value):
    model = model_of(layer())
    assert convolution_multiply_adds(model) == 0
    assert multiply_adds(model) == per_value * 8 * 12 * 6


def test_models_inside_models_count_once():
    inner = model_of(L.Conv2D(6, 1), L.ReLU())
    model = model_of(inner, L.Conv2D(6, 1))
    assert convolution_multiply_adds(model) == 2 * 36 * 96
    assert multiply_adds(model) == 2 * 36 * 96 + 6 * 96
