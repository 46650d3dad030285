import keras
import numpy as np
import pytest

from kfacealign.layers import CornerAlignedUpSampling2D, DecimalHeatmapHead
from kfacealign.layers.hourglass import bottleneck_residual, conv_bn, hourglass


def test_up_sampling_keeps_the_corners_and_interpolates_between():
    image = np.arange(3, dtype="float32").reshape(1, 1, 3, 1) * np.ones((1, 2, 1, 1), "float32")
    enlarged = np.asarray(CornerAlignedUpSampling2D(2)(image))
    assert enlarged.shape == (1, 4, 6, 1)
    np.testing.assert_allclose(enlarged[0, 0, :, 0], np.arange(6) * 2 / 5, atol=1e-6)


def test_up_sampling_is_a_plane_on_a_plane():
    rows, columns = np.mgrid[0:5, 0:5].astype("float32")
    plane = (2 * rows + 3 * columns)[None, :, :, None]
    enlarged = np.asarray(CornerAlignedUpSampling2D(2)(plane))[0, :, :, 0]
    position = np.linspace(0, 4, 10)
    np.testing.assert_allclose(enlarged, 2 * position[:, None] + 3 * position[None, :], atol=1e-4)


def test_strided_convolution_pads_both_sides_alike():
    """A 3x3 stride-2 window of ones centred on cells 0, 2, 4 ...: the first sees one row of padding, the last none."""
    inputs = keras.Input((6, 6, 1))
    model = keras.Model(inputs, conv_bn(inputs, 1, 3, strides=2, activation=None, name="c"))
    model.get_layer("c_conv").set_weights([np.ones((3, 3, 1, 1), "float32")])
    sums = np.asarray(model(np.ones((1, 6, 6, 1), "float32"), training=False))[0, :, :, 0] * np.sqrt(1 + 1e-5)
    np.testing.assert_allclose(sums, [[4, 6, 6], [6, 9, 9], [6, 9, 9]], rtol=1e-5)


def test_residual_adds_its_input_before_the_activation():
    inputs = keras.Input((4, 4, 8))
    model = keras.Model(inputs, bottleneck_residual(inputs, 8, name="r"))
    model.get_layer("r_expand_conv").set_weights([np.zeros((1, 1, 4, 8), "float32")])
    x = np.random.default_rng(0).normal(size=(2, 4, 4, 8)).astype("float32")
    np.testing.assert_allclose(model(x, training=False), np.maximum(x, 0), atol=1e-6)


def test_hourglass_keeps_the_shape():
    inputs = keras.Input((32, 32, 8))
    assert hourglass(inputs, 4, name="h").shape == (None, 32, 32, 8)


@pytest.mark.parametrize("side, size", [(64, 8), (64, 4), (64, 16), (32, 8), (32, 4)])
def test_decimal_head_reaches_its_resolution(side, size):
    head = DecimalHeatmapHead(maps=5, size=size, filters=8)
    assert head(np.zeros((2, side, side, 4), "float32")).shape == (2, size, size, 5)


@pytest.mark.parametrize("side", [8, 16, 48])
def test_decimal_head_refuses_a_side_it_cannot_reach(side):
    with pytest.raises(ValueError, match="decimal maps of side 8 need"):
        DecimalHeatmapHead(maps=5, size=8)(np.zeros((1, side, side, 4), "float32"))
