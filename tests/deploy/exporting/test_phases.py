import keras
import numpy as np
import pytest

import kfacealign as kfa
from kfacealign.deploy import flatbuffer
from kfacealign.deploy.exporting.phases import TransposedByPhases, by_phases

pytestmark = pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="exports are made under TensorFlow")


def network(**options):
    """One transposed convolution with whole numbers for weights, inside a model inside a model."""
    generator = np.random.default_rng(0)
    options = {"kernel_size": 4, "strides": 2, "padding": "same", **options}
    inner_image = keras.Input((3, 5, 6))
    inner = keras.Model(inner_image, keras.layers.Conv2DTranspose(7, **options, name="up")(inner_image), name="inner")
    image = keras.Input((3, 5, 6))
    made = keras.Model(image, keras.layers.ReLU(name="after")(inner(image)))
    made.set_weights([generator.integers(-4, 5, weight.shape).astype("float32") for weight in made.get_weights()])
    return made, generator.integers(-4, 5, (2, 3, 5, 6)).astype("float32")


@pytest.mark.parametrize("options", [{}, {"use_bias": False}, {"activation": "tanh"}])
def test_phases_are_the_transposed_convolution(options):
    """Sums of whole numbers are exact in any order."""
    model, images = network(**options)
    changed = by_phases(model)
    assert isinstance(changed.get_layer("inner").get_layer("up"), TransposedByPhases)
    assert type(model.get_layer("inner").get_layer("up")) is keras.layers.Conv2DTranspose, "the model itself stays"
    found = keras.ops.convert_to_numpy(changed(images))
    assert found.shape == (2, 6, 10, 7) and found.any()
    np.testing.assert_array_equal(found, keras.ops.convert_to_numpy(model(images)))


def test_a_cell_is_spread_over_the_kernel():
    """A single 1 at (1, 2) leaves the kernel at rows 1 to 4 and columns 3 to 6: with `same` padding one cell goes before."""
    model, _ = network(use_bias=False)
    kernel = np.arange(4 * 4 * 7 * 6, dtype="float32").reshape(4, 4, 7, 6)
    model.set_weights([kernel])
    image = np.zeros((1, 3, 5, 6), "float32")
    image[0, 1, 2, 4] = 1
    found = keras.ops.convert_to_numpy(by_phases(model)(image))[0]
    expected = np.zeros((6, 10, 7), "float32")
    expected[1:5, 3:7] = kernel[..., 4]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("options", [{"kernel_size": 3}, {"strides": 4}, {"padding": "valid"}])
def test_other_transposed_convolutions_are_left_alone(options):
    model, _ = network(**options)
    assert by_phases(model) is model


def test_a_file_has_no_transposed_convolution_and_finds_the_same(tmp_path):
    keras.utils.set_random_seed(0)
    model = kfa.models.MapNet("ibug68", backbone="mobilenet_v2", backbone_width=0.35, width=8, input_size=64)
    path = kfa.deploy.export(model, tmp_path / "mapnet.tflite")
    names = [name for name, _ in flatbuffer.operators(path.read_bytes())]
    assert "TRANSPOSE_CONV" not in names and names.count("DEPTH_TO_SPACE") == 3
    crops = np.random.default_rng(1).uniform(0, 255, (2, 64, 64, 3)).astype("float32")
    scores = model.align(crops)[1]
    assert np.ptp(scores) > 0
    np.testing.assert_allclose(kfa.deploy.load(path).align(crops)[1], scores, rtol=1e-4, atol=1e-6)
