import keras
import numpy as np
import pytest

from kfacealign.layers.hierarchical import hierarchical_hourglass, hierarchical_residual


def weights(build, channels):
    image = keras.Input((16, 16, channels))
    model = keras.Model(image, build(image))
    return model, sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


@pytest.mark.parametrize(("inputs", "filters", "expected"), [(256, 256, 406_400), (64, 128, 73_152), (128, 256, 291_712)])
def test_the_block_has_the_releases_weights(inputs, filters, expected):
    model, count = weights(lambda x: hierarchical_residual(x, filters, name="block"), inputs)
    assert count == expected and model.output_shape == (None, 16, 16, filters)


def test_the_block_is_pre_activated_convolutions_side_by_side():
    """Against NumPy, at one cell, with normalisation's initial statistics."""
    keras.utils.set_random_seed(0)
    model, _ = weights(lambda x: hierarchical_residual(x, 8, name="block"), 8)
    x = np.random.default_rng(0).normal(size=(1, 16, 16, 8)).astype("float32")

    def convolved(values, name):
        kernel = model.get_layer(f"block_{name}_conv").kernel.numpy()
        padded = np.pad(np.maximum(values / np.sqrt(1 + 1e-5), 0), ((1, 1), (1, 1), (0, 0)))
        return np.array([[np.tensordot(padded[i : i + 3, j : j + 3], kernel, 3) for j in range(16)] for i in range(16)])

    a = convolved(x[0], "a")
    b = convolved(a, "b")
    expected = np.concatenate([a, b, convolved(b, "c")], axis=-1) + x[0]
    np.testing.assert_allclose(model(x)[0], expected, atol=1e-4)


def test_the_hourglass_keeps_the_shape_and_has_three_blocks_a_level_and_one():
    model, count = weights(lambda x: hierarchical_hourglass(x, 3, name="hourglass"), 16)
    _, block = weights(lambda x: hierarchical_residual(x, 16, name="block"), 16)
    assert count == 10 * block and model.output_shape == (None, 16, 16, 16)
    smallest = min(layer.output.shape[1] for layer in model.layers)
    assert smallest == 2
