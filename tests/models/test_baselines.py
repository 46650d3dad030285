"""CoordNet and MapNet; their published sizes are in `tests/test_models_command.py`."""

import checks
import keras
import numpy as np
import pytest

from kfacealign import deploy
from kfacealign.losses import L1
from kfacealign.models.complexity import trainable_parameters
from kfacealign.models.coordnet import CoordNet
from kfacealign.models.mapnet import MapNet

SMALL = {"scheme": "aflw19", "input_size": 64, "backbone_width": 0.125}
BUILD = {
    "CoordNet": lambda **kwargs: CoordNet(**{**SMALL, "backbone": "mobilenet_v3_large", **kwargs}),
    "MapNet": lambda **kwargs: MapNet(width=8, **SMALL, **kwargs),
}


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (4, 64, 64, 3)).astype("uint8")
    return images, {"landmarks": rng.uniform(0.2, 0.8, (4, 19, 2)).astype("float32"), "weights": np.ones((4, 19), "float32")}


@pytest.fixture(scope="module")
def small():
    keras.utils.set_random_seed(0)
    return {name: build() for name, build in BUILD.items()}


def test_coordnet_at_68_points_exactly():
    """11,176,512 of the backbone, 8 x 8 x 512 -> 512 -> 512 -> 136; Table 9: 28.3 M."""
    assert trainable_parameters(CoordNet("ibug68")) == 11_176_512 + 64 * 512 * 512 + 512 + 513 * 512 + 513 * 136 == 28_286_664


def test_coordnet_measures_in_pixels_and_starts_in_the_middle(small):
    model = small["CoordNet"]
    assert isinstance(model.codec.point_loss, L1) and model.codec.pixels == 64
    assert model.network.output["landmarks"].shape == (None, 19, 2)
    np.testing.assert_array_equal(model.network.get_layer("regression").bias, np.full(38, 0.5))


@pytest.mark.parametrize(("stride", "sigma", "doublings"), [(4, 1, 3), (2, 2, 4), (1, 4, 5)])
def test_mapnet_reaches_its_stride(stride, sigma, doublings):
    model = BUILD["MapNet"](stride=stride, backbone="mobilenet_v2")
    assert model.network.output["heatmap_1"].shape == (None, 64 // stride, 64 // stride, 19)
    assert model.codec.get_config() == {"size": 64 // stride, "sigma": sigma, "decoder": "shift"}
    assert sum(isinstance(layer, keras.layers.Conv2DTranspose) for layer in model.network.layers) == doublings


@pytest.mark.parametrize("name", BUILD)
def test_training_moves_every_weight(small, batch, name):
    images, labels = batch
    model = BUILD[name]()
    model.compile(keras.optimizers.SGD(1.0), run_eagerly=True)
    before = [keras.ops.convert_to_numpy(weight) for weight in model.trainable_weights]
    result = model.train_on_batch(images, labels, return_dict=True)
    assert all(np.isfinite(value) for value in result.values())
    still = [w.path for w, b in zip(model.trainable_weights, before, strict=True) if (keras.ops.convert_to_numpy(w) == b).all()]
    assert still == []


@pytest.mark.parametrize("name", BUILD)
def test_it_is_a_good_aligner(small, batch, tmp_path, name):
    checks.aligner(small[name], batch[0], tmp_path)


@pytest.mark.parametrize("name", BUILD)
def test_loading_fetches_nothing(small, name):
    """A model that began with ImageNet weights has them in its file."""
    assert "backbone_weights" not in small[name].get_config()


@pytest.mark.parametrize("name", BUILD)
def test_mixed_precision_ends_in_float32(name):
    with checks.mixed_precision():
        network = BUILD[name](backbone="mobilenet_v2").network
    assert {output.dtype for output in network.output.values()} == {"float32"}
    assert network.get_layer("backbone").output.dtype == "float16"


@pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="exports are made under TensorFlow")
def test_mapnet_shifts_the_same_in_tflite(batch, tmp_path):
    model = BUILD["MapNet"]()
    initializer = keras.initializers.HeNormal(seed=1)
    for weight in model.network.trainable_weights:
        if weight.path.endswith("kernel"):
            weight.assign(initializer(weight.shape))
    landmarks, scores = model.align(batch[0])
    assert set(np.unique(np.abs(landmarks * 16 % 1))) == {0, 0.25, 0.75}
    exported = deploy.load(deploy.export(model, tmp_path / "m.tflite")).align(batch[0])
    np.testing.assert_allclose(exported[0], landmarks, atol=1e-6)
    np.testing.assert_allclose(exported[1], scores, rtol=1e-4)


def test_mistakes():
    with pytest.raises(ValueError, match="stride is one of 4, 2, 1, not 3"):
        MapNet(stride=3)
    for model in (CoordNet, MapNet):
        with pytest.raises(ValueError, match="multiple of 32"):
            model(input_size=100)
