import keras
import numpy as np
import pytest

from kfacealign.layers import CoAttention


def softmax(matrix):
    powers = np.exp(matrix - matrix.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


@pytest.fixture(scope="module")
def features():
    rng = np.random.default_rng(0)
    return rng.normal(size=(2, 6, 3, 4)).astype("float32"), rng.normal(size=(2, 6, 3, 4)).astype("float32")


@pytest.fixture(scope="module")
def layer(features):
    layer = CoAttention(gamma=0.4)
    layer(features)
    layer.set_weights(np.random.default_rng(1).normal(size=(2, 3, 3)))
    return layer


def test_equations_9_and_10_channel_by_channel(layer, features):
    """In the paper's own shapes: D^x is 6 positions by 3 columns, D^y its transpose's shape."""
    p, q = (keras.ops.convert_to_numpy(weight) for weight in (layer.p, layer.q))
    new_x, new_y = (keras.ops.convert_to_numpy(value) for value in layer(features))
    for sample in range(2):
        for channel in range(4):
            d_x, d_y = features[0][sample, :, :, channel], features[1][sample, :, :, channel].T
            w_xy = softmax(d_y.T @ p @ d_x.T / np.sqrt(3))
            w_yx = softmax(d_x @ q @ d_y / np.sqrt(3))
            np.testing.assert_allclose(new_x[sample, :, :, channel], d_x + 0.4 * w_yx @ d_y.T, atol=1e-5)
            np.testing.assert_allclose(new_y[sample, :, :, channel].T, d_y + 0.4 * (w_xy @ d_x).T, atol=1e-5)


def test_a_position_reads_the_one_that_it_agrees_with():
    """One channel, P = Q = 100 I: row i of x is unit vector i, that of y is unit vector 2 - i."""
    x = np.eye(3, dtype="float32")[None, :, :, None]
    y = x[:, ::-1].copy()
    layer = CoAttention(gamma=1.0)
    layer((x, y))
    layer.set_weights(100 * np.stack([np.eye(3)] * 2))
    new_x, new_y = layer((x, y))
    np.testing.assert_allclose(new_x, 2 * x, atol=1e-5)
    np.testing.assert_allclose(new_y, 2 * y, atol=1e-5)


def test_axes_are_not_exchanged(layer, features):
    """W^yx weighs y for x: what y holds reaches x' also where x is constant, and P plays no part in it."""
    before = keras.ops.convert_to_numpy(layer(features)[0])
    p, q = layer.get_weights()
    layer.set_weights([p + 1.0, q])
    after = [keras.ops.convert_to_numpy(value) for value in layer(features)]
    layer.set_weights([p, q])
    np.testing.assert_array_equal(after[0], before)
    assert np.abs(after[1] - keras.ops.convert_to_numpy(layer(features)[1])).max() > 1e-3


def test_gamma_0_is_the_identity_without_parameters(features):
    layer = CoAttention(gamma=0)
    new_x, new_y = layer(features)
    np.testing.assert_array_equal(new_x, features[0])
    np.testing.assert_array_equal(new_y, features[1])
    assert not layer.weights


def test_parameters_and_shapes(layer):
    assert [tuple(weight.shape) for weight in layer.trainable_weights] == [(3, 3), (3, 3)]
    shape = (None, 64, 8, 16)
    assert layer.compute_output_shape([shape, shape]) == (shape, shape)


@pytest.mark.parametrize("shapes", [((2, 6, 3, 4), (2, 3, 6, 4)), ((2, 6, 3), (2, 6, 3))])
def test_other_shapes_are_refused(shapes):
    with pytest.raises(ValueError, match="two inputs of one shape"):
        CoAttention()([np.zeros(shape, "float32") for shape in shapes])
