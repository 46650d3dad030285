"""LOTR and its CNN + FFN. All but sizes and exports have one convolution for a backbone, which is no subject here."""

import functools

import checks
import keras
import numpy as np
import pytest

from kfacealign import deploy
from kfacealign.deploy import flatbuffer
from kfacealign.losses import L1, SmoothWing
from kfacealign.models import lotr
from kfacealign.models.backbones import backbone
from kfacealign.models.complexity import trainable_parameters
from kfacealign.models.lotr import CNNFFN, LOTR


@pytest.fixture
def tiny_backbone(monkeypatch):
    """Takes the place of the backbone: the same stride, eight channels."""

    def build(name, input_size, weights=None):
        image = keras.Input((input_size, input_size, 3))
        x = keras.layers.Conv2D(8, 32, strides=32, activation="relu")(keras.ops.multiply(image, 1 / 255))
        return keras.Model(image, x, name="backbone")

    monkeypatch.setattr(lotr, "make_backbone", build)


@pytest.fixture
def batch():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (4, 64, 64, 3)).astype("uint8")
    labels = {"landmarks": rng.uniform(0.1, 0.9, (4, 19, 2)).astype("float32"), "weights": np.ones((4, 19), "float32")}
    return images, labels


def small_model(build=LOTR, **kwargs):
    return build("aflw19", input_size=64, **kwargs)


def eager(model, rate=1e-3):
    """Compiled so that a step or two cost no tracing."""
    model.compile(keras.optimizers.Lamb(rate), run_eagerly=True)
    return model


# === Sizes ===


def test_sizes_of_table_3(monkeypatch):
    """Parameters in millions, batch-norm statistics among them, and MB of the trainable ones, which the table cuts off."""
    monkeypatch.setattr(lotr, "make_backbone", functools.cache(backbone))
    table = [
        (LOTR.m(), 2_811_458, 2.81, 10.59),
        (LOTR.m_plus(), 3_713_730, 3.71, 14.03),
        (LOTR.r_plus(), 25_213_506, 25.21, 95.97),
        (CNNFFN(backbone="mobilenet_v2"), 3_891_476, 3.89, 14.71),
        (CNNFFN(backbone="resnet50"), 25_243_796, 25.24, 96.09),
    ]
    for model, exact, millions, megabytes in table:
        assert model.count_params() == exact
        assert round(exact / 1e6, 2) == millions
        assert np.floor(trainable_parameters(model) * 4 / 2**20 * 100) / 100 == megabytes
        assert model.network.output["landmarks"].shape == (None, 106, 2)
    assert table[0][0].network.get_layer("tokens").output.shape == (None, 6 * 6, 64)
    assert table[1][0].network.get_layer("tokens").output.shape == (None, 24 * 24, 64)


def test_another_backbone_than_the_variants():
    model = LOTR("aflw19", backbone="efficientnet_lite0", input_size=64)
    assert model.backbone == "efficientnet_lite0" and LOTR("aflw19", input_size=64).backbone == "mobilenet_v2"
    assert model.network.get_layer("backbone").count_params() == backbone("efficientnet_lite0", 64).count_params()
    assert LOTR.from_config(model.get_config()).backbone == "efficientnet_lite0"


@pytest.mark.parametrize("size, tokens", [(64, 4), (256, 64)])
def test_other_sizes_of_crops(tiny_backbone, size, tokens):
    model = LOTR("aflw19", layers=1, input_size=size)
    assert model.input_size == size
    assert model.network.get_layer("tokens").output.shape == (None, tokens, 64)
    assert model(np.zeros((2, size, size, 3), "uint8"))["landmarks"].shape == (2, 19, 2)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"variant": "l"}, "variant is one of m, m[+], r[+]"),
        ({"layers": 0}, "layers must be 1 to 6, got 0"),
        ({"layers": 7}, "layers must be 1 to 6, got 7"),
        ({"heads": 5}, "heads must divide dim"),
        ({"input_size": 100}, "multiple of 32"),
    ],
)
def test_refuses_what_cannot_be_built(settings, message):
    with pytest.raises(ValueError, match=message):
        LOTR("aflw19", **settings)


# === Training ===


def test_loss_is_smooth_wing_in_pixels_of_192(tiny_backbone, batch):
    images, labels = batch
    for model in (small_model(layers=1), small_model(CNNFFN)):
        predicted = np.asarray(model(images)["landmarks"])
        expected = SmoothWing()(labels["landmarks"] * 192, predicted * 192)
        terms = model.loss_terms(labels, {"landmarks": predicted})
        assert list(terms) == ["coordinate_loss"]
        np.testing.assert_allclose(terms["coordinate_loss"], expected, rtol=1e-5)


@pytest.mark.parametrize("build", [LOTR, CNNFFN])
def test_the_points_begin_in_the_middle_of_the_crop(tiny_backbone, batch, build):
    landmarks = np.asarray(small_model(build, gain=1e-6)(batch[0])["landmarks"])
    np.testing.assert_allclose(landmarks, np.full((4, 19, 2), 0.5), atol=1e-4)


def test_a_small_gain_tells_the_landmarks_apart_within_steps(tiny_backbone, batch):
    """One shape is learnt by heart, which the paper's first values, in which the queries drown, put off."""
    images, labels = batch
    labels["landmarks"] = np.repeat(labels["landmarks"][:1], 4, axis=0)

    def error(gain):
        keras.utils.set_random_seed(0)
        model = small_model(gain=gain, dropout=0.0)
        model.compile(keras.optimizers.Adam(1e-3))
        model.fit(images, labels, batch_size=4, epochs=30, verbose=0)
        return np.abs(np.asarray(model(images)["landmarks"]) - labels["landmarks"]).mean()

    small, usual = error(0.1), error(1.0)
    assert small < usual / 2


@pytest.mark.parametrize("build, settings", [(LOTR, {"variant": "m+", "layers": 1, "dropout": 0.0}), (CNNFFN, {})])
def test_every_weight_moves_and_the_loss_falls(tiny_backbone, batch, build, settings):
    images, labels = batch
    keras.utils.set_random_seed(0)
    model = eager(small_model(build, **settings))
    before = [weight.numpy() for weight in model.trainable_weights]
    history = model.fit(images, labels, batch_size=4, epochs=3, verbose=0).history
    assert set(history) == {"loss", "coordinate_loss", "nme"}
    assert history["loss"][-1] < history["loss"][0]
    still = [w.path for w, b in zip(model.trainable_weights, before, strict=True) if (w.numpy() == b).all()]
    # The same bias on every key changes no attention.
    assert all(path.endswith("key/bias") for path in still)


def test_a_frozen_backbone_stays_as_it_is_until_it_is_thawed(tiny_backbone, batch, tmp_path):
    images, labels = batch
    model = eager(small_model(frozen_backbone=True))
    kernel = model.network.get_layer("backbone").weights[0]
    before, head = kernel.numpy(), model.trainable_weights[-1].numpy()
    model.fit(images, labels, epochs=1, verbose=0)
    np.testing.assert_array_equal(kernel.numpy(), before)
    assert not np.array_equal(model.trainable_weights[-1].numpy(), head)
    model.save(tmp_path / "frozen.keras")
    loaded = keras.saving.load_model(tmp_path / "frozen.keras")
    assert loaded.frozen_backbone and trainable_parameters(loaded) == trainable_parameters(model)
    loaded.thaw()
    assert trainable_parameters(loaded) == trainable_parameters(model) + 32 * 32 * 3 * 8 + 8
    kernel = loaded.network.get_layer("backbone").weights[0]
    eager(loaded).fit(images, labels, epochs=1, verbose=0)
    assert not loaded.get_config()["frozen_backbone"] and not np.array_equal(kernel.numpy(), before)


def test_six_layers_train_without_nan(tiny_backbone, batch):
    """At ten times the paper's rate; in the paper they were NaN (Sec. 4.8)."""
    images, labels = batch
    keras.utils.set_random_seed(0)
    model = eager(small_model(layers=6), rate=1e-2)
    losses = model.fit(images, labels, batch_size=4, epochs=2, verbose=0).history["loss"]
    assert np.isfinite(losses).all()
    assert all(np.isfinite(weight.numpy()).all() for weight in model.weights)


def test_unannotated_points_do_not_matter(tiny_backbone, batch):
    images, labels = batch
    model = small_model(CNNFFN)
    outputs = model(images)
    weights = np.ones((4, 19), "float32")
    weights[:, 5:9] = 0
    wrong = labels["landmarks"].copy()
    wrong[:, 5:9] = 3.0
    first = model.loss_terms({"landmarks": labels["landmarks"], "weights": weights}, outputs)["coordinate_loss"]
    assert float(model.loss_terms({"landmarks": wrong, "weights": weights}, outputs)["coordinate_loss"]) == float(first)


# === Saving ===


@pytest.mark.parametrize(
    "build, settings",
    [
        (LOTR, {"layers": 1, "heads": 4, "loss": L1(), "dropout": 0.2, "feed_forward": 32, "query_stddev": 1.0, "enlarge": 1.1}),
        (CNNFFN, {}),
    ],
)
def test_saves_and_loads_with_its_optimiser(tiny_backbone, batch, tmp_path, build, settings):
    images, labels = batch
    model = eager(small_model(build, **settings))
    model.fit(images, labels, batch_size=4, verbose=0)
    loaded = checks.aligner(model, images, tmp_path)
    assert int(loaded.optimizer.iterations) == 1


def test_loading_asks_for_no_pretrained_weights(monkeypatch):
    asked = []

    def build(name, input_size, weights=None):
        asked.append(weights)
        image = keras.Input((input_size, input_size, 3))
        return keras.Model(image, keras.layers.AveragePooling2D(32)(image), name="backbone")

    monkeypatch.setattr(lotr, "make_backbone", build)
    for method in (LOTR, CNNFFN):
        method.from_config(small_model(method, backbone_weights="imagenet").get_config())
    assert asked == ["imagenet", None, "imagenet", None]


def test_mixed_precision_ends_in_float32(tiny_backbone, batch):
    images, _ = batch
    with checks.mixed_precision():
        networks = [small_model(variant="m+", layers=1).network, small_model(CNNFFN).network]
    for network in networks:
        assert network.output["landmarks"].dtype == "float32"
        assert network.get_layer("project").compute_dtype == "float16"
        assert np.isfinite(np.asarray(network(images)["landmarks"])).all()


# === Export ===


@pytest.fixture(scope="module")
def mobile():
    """LOTR-M on a MobileNetV2 whose batch norms have seen the crops: at its first weights alone every feature is 1e-12."""
    keras.utils.set_random_seed(0)
    model = LOTR.m("aflw19", layers=1, input_size=64)
    noise = np.random.default_rng(0).uniform(0, 255, (12, 4, 4, 3)).astype("float32")
    crops = noise.repeat(16, axis=1).repeat(16, axis=2)
    for layer in model.network.get_layer("backbone")._flatten_layers(recursive=True):
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.005  # not 0: a channel that is the same everywhere would be divided by nothing
    model.network(crops, training=True)
    return model, crops


def test_exports_to_tflite_built_ins_with_parity(mobile, tmp_path):
    model, crops = mobile
    path = deploy.export(model, tmp_path / "lotr.tflite")
    assert not [name for name, _ in flatbuffer.operators(path.read_bytes()) if name.startswith("CUSTOM")]
    landmarks, scores = deploy.load(path).align(crops)
    expected = model.align(crops)[0]
    assert expected.std(axis=0).mean() > 1e-3
    np.testing.assert_allclose(landmarks, expected, atol=1e-4)
    np.testing.assert_array_equal(scores, np.ones((12, 19)))


def test_int8_is_of_the_convolutions_and_leaves_the_transformer_float(mobile, tmp_path):
    model, crops = mobile
    path = deploy.export(model, tmp_path / "lotr.tflite", precision="int8", calibration=crops)
    kinds = set(flatbuffer.operators(path.read_bytes()))
    assert ("CONV_2D", "INT8") in kinds and ("CONV_2D", "FLOAT32") not in kinds
    assert {kind for name, kind in kinds if name in ("BATCH_MATMUL", "SOFTMAX", "RSQRT", "FULLY_CONNECTED")} == {"FLOAT32"}
    assert deploy.load(path).metadata["float_parts"] == ["regression", "decode"]
    # Not how close: eight bits tell nothing of an untrained backbone's features, which differ little between crops.
    assert np.isfinite(deploy.load(path).align(crops)[0]).all()
