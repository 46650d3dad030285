"""The detector of one-dimensional heatmaps and its 2D baseline."""

import checks
import keras
import numpy as np
import pytest

from kfacealign.models import FAN, AttentiveHeatmap1D, Heatmap2D, heatmap1d
from kfacealign.models.complexity import trainable_parameters

SMALL = {"scheme": "aflw19", "stacks": 1, "input_size": 64, "width": 16}


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (4, 64, 64, 3)).astype("uint8")
    return images, {"landmarks": rng.uniform(0.2, 0.8, (4, 19, 2)).astype("float32"), "weights": np.ones((4, 19), "float32")}


def pixels_as_features(input_size, scheme, stacks, width):
    """In place of the hourglasses: means of 4 x 4 pixels."""
    image = keras.Input((input_size, input_size, 3), name="image")
    return image, keras.layers.AveragePooling2D(4)(image)


@pytest.fixture
def quick(monkeypatch):
    """Builds models without hourglasses."""
    monkeypatch.setattr(heatmap1d, "features_of", pixels_as_features)


@pytest.fixture(scope="module")
def small():
    """With hourglasses."""
    keras.utils.set_random_seed(0)
    return {"1d": AttentiveHeatmap1D(**SMALL), "2d": Heatmap2D(resolution=48, **SMALL)}


def test_parameters_are_those_that_the_docstrings_count():
    """FAN's stem, stacks and links as `test_fan` counts them, the last stack without its maps."""
    hourglasses = {stacks: 476_288 + stacks * 5_773_380 + (stacks - 1) * 83_456 - (256 * 68 + 68) for stacks in (1, 2, 4)}
    heads = 2 * 6 * (9 * 256 * 256 + 2 * 256) + 2 * 8 * 8 + 2 * (256 * 12 * 68 + 68)
    assert trainable_parameters(AttentiveHeatmap1D(stacks=1)) == hourglasses[1] + heads
    assert (hourglasses[4], hourglasses[4] + heads, hourglasses[2] + heads) == (23_802_700, 31_304_788, 19_591_116)
    assert 2 * 256 * 11 * 68 == 382_976  # from L = 768 to 64
    assert hourglasses[4] + 256 * 12 * 12 * 68 + 68 == 26_309_520


def test_sizes(small):
    assert small["1d"].resolution == 3 * 64 and small["1d"].codec.sigma == 12
    assert {name: value.shape for name, value in small["1d"].network.output.items()} == {
        "heatmap_x": (None, 192, 19),
        "heatmap_y": (None, 192, 19),
    }
    layers = {layer.name: layer.output.shape[1:] for layer in small["1d"].network.layers if "relu" in layer.name}
    assert layers["cnn1_x_3_relu"] == (2, 16, 16) and layers["cnn1_y_3_relu"] == (16, 2, 16)
    assert layers["cnn2_x_1_relu"] == (1, 16, 16) and layers["cnn2_y_1_relu"] == (16, 1, 16)
    assert small["2d"].network.output["heatmap_1"].shape == (None, 48, 48, 19)


def test_the_2d_baseline_is_fan_with_larger_maps(small):
    assert trainable_parameters(small["2d"]) - trainable_parameters(FAN(**SMALL)) == (3 * 3 - 1) * 16 * 19


@pytest.mark.parametrize("build", [AttentiveHeatmap1D, Heatmap2D])
def test_x_is_along_columns_and_y_along_rows(quick, build):
    """A bright square at feature column 10 and row 2, and weights that only add up, find it there."""
    model = build(resolution=192, **SMALL)
    for weight in model.network.trainable_weights:
        if "kernel" in weight.path:
            weight.assign(np.ones(weight.shape))
        elif weight.name in ("p", "q", "bias"):
            weight.assign(np.zeros(weight.shape))
    image = np.zeros((1, 64, 64, 3), "float32")
    image[:, 8:12, 40:44] = 255
    landmarks, _ = model.align(image)
    assert ((landmarks >= np.array([10, 2]) / 16) & (landmarks <= np.array([11, 3]) / 16)).all()


@pytest.mark.parametrize("name", ["1d", "2d"])
def test_training_moves_every_weight(small, batch, name):
    """P, Q and the transposed convolutions of stride 12 among them."""
    images, labels = batch
    model = small[name]
    model.compile(keras.optimizers.SGD(1e4), run_eagerly=True)
    before = [keras.ops.convert_to_numpy(weight) for weight in model.trainable_weights]
    result = model.train_on_batch(images, labels, return_dict=True)
    assert set(result) == {"loss", "heatmap_loss", "nme"} and all(np.isfinite(value) for value in result.values())
    pairs = zip(model.trainable_weights, before, strict=True)
    assert [w.path for w, b in pairs if (keras.ops.convert_to_numpy(w) == b).all()] == []


def test_warm_up_has_its_own_loss(small, batch):
    model = small["1d"]
    outputs = model(batch[0])
    assert set(model.loss_terms(batch[1], outputs)) == {"heatmap_loss"}
    model.warmup = True
    assert set(model.loss_terms(batch[1], outputs)) == {"heatmap_loss", "coordinate_loss"}
    model.warmup = False


def test_without_co_attention_there_is_none(quick):
    model = AttentiveHeatmap1D(gamma=0, resolution=16, **SMALL)
    assert not [layer for layer in model.network.layers if "co_attention" in layer.name]
    assert model.network.output["heatmap_x"].shape == (None, 16, 19)


@pytest.mark.parametrize("build", [AttentiveHeatmap1D, Heatmap2D])
def test_it_is_a_good_aligner(quick, batch, tmp_path, build):
    checks.aligner(build(resolution=32, sigma=1.5, decoder="local", window=5, **SMALL), batch[0], tmp_path)


@pytest.mark.parametrize("build", [AttentiveHeatmap1D, Heatmap2D])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_size": 100}, "multiple of 64"),
        ({"width": 24}, "multiple of 16"),
        ({"resolution": 100}, "multiple of the 16 positions"),
        ({"decoder": "mean"}, "decoder is one of"),
    ],
)
def test_what_is_not_there_is_refused(build, arguments, message):
    with pytest.raises(ValueError, match=message):
        build(**{**SMALL, **arguments})
