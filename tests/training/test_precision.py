"""Half precision: layers compute in bfloat16; losses, decoding and metrics in float32."""

import argparse

import keras
import numpy as np
import pytest

import kfacealign as kfa
from kfacealign.models import heatmap1d
from kfacealign.training import loop
from kfacealign.training.resuming import check_same


@pytest.fixture
def bfloat16():
    loop.start(argparse.Namespace(seed=0, precision="bfloat16"))
    yield
    keras.config.set_dtype_policy("float32")


def strided(name, input_size, weights=None, width=1.0, last_expansion=True):
    image = keras.Input((input_size, input_size, 3))
    return keras.Model(image, keras.layers.Conv2D(8, 32, strides=32, activation="relu")(keras.ops.multiply(image, 1 / 255)))


def pooled(input_size, scheme, stacks, width):
    image = keras.Input((input_size, input_size, 3), name="image")
    return image, keras.layers.AveragePooling2D(4)(image)


def plain(codec):
    image = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(16, 5, strides=4, padding="same", activation="relu")(keras.ops.multiply(image, 1 / 255))
    x = keras.layers.Conv2D(16, 7, padding="same", activation="relu")(x)
    maps = keras.layers.Conv2D(29, 7, padding="same", dtype="float32")(x)
    return kfa.models.FaceAligner(keras.Model(image, {"heatmap_1": maps}), codec, "cofw29")


MODELS = {
    "heatmap": lambda: plain(kfa.codecs.Heatmap(8)),
    "continuous heatmap": lambda: plain(kfa.codecs.ContinuousHeatmap(8)),
    "pipnet": lambda: kfa.models.PIPNet("cofw29", input_size=64, neighbors=3),
    "1d": lambda: kfa.models.AttentiveHeatmap1D("cofw29", stacks=1, input_size=64, width=16),
}


@pytest.mark.parametrize("name", MODELS)
def test_losses_and_landmarks_are_float32(name, bfloat16, monkeypatch):
    monkeypatch.setattr("kfacealign.models.pipnet.make_backbone", strided)
    monkeypatch.setattr(heatmap1d, "features_of", pooled)
    model, rng = MODELS[name](), np.random.default_rng(0)
    halves = [layer for layer in model.network.layers if layer.compute_dtype == "bfloat16" and layer.weights]
    assert halves and {weight.dtype for layer in halves for weight in layer.weights} == {"float32"}
    outputs = model(rng.integers(0, 256, (2, model.input_size, model.input_size, 3), "uint8"), training=True)
    y = {"landmarks": rng.random((2, 29, 2), "float32"), "weights": np.ones((2, 29), "float32")}
    results = [*model.loss_terms(y, outputs).values(), *model.decode(outputs), model.nme.total, model.nme.count]
    assert {keras.backend.standardize_dtype(result.dtype) for result in results} == {"float32"}
    assert {metric.dtype for metric in model.term_means.values()} == {"float32"}


def test_bfloat16_trains_as_well_as_float32():
    """The same short training of a network that finds a bright square; the errors are within a hundredth of each other."""
    rng, errors = np.random.default_rng(0), {}
    places = rng.integers(8, 24, (128, 2))
    images = rng.integers(0, 60, (128, 32, 32, 3), "uint8")
    for image, (x, y) in zip(images, places, strict=True):
        image[y - 3 : y + 3, x - 3 : x + 3] = 220
    shape = kfa.schemes.get("cofw29").mean_shape
    landmarks = (places[:, None] / 32 + 0.3 * (shape - shape.mean(0))).astype("float32")
    try:
        for precision in ("float32", "bfloat16"):
            loop.start(argparse.Namespace(seed=0, precision=precision))
            model = plain(kfa.codecs.Heatmap(8, 1.0, decoder="local"))
            model.compile(keras.optimizers.Adam(3e-3))
            history = model.fit(images, {"landmarks": landmarks}, batch_size=16, epochs=20, verbose=0).history["nme"]
            errors[precision] = history[0], model.evaluate(images, {"landmarks": landmarks}, return_dict=True, verbose=0)["nme"]
    finally:
        keras.config.set_dtype_policy("float32")
    begun, ended = errors["float32"]
    assert ended < 0.3 * begun  # it learned
    assert errors["bfloat16"][1] != ended
    assert errors["bfloat16"][1] == pytest.approx(ended, rel=0.01)


def test_precision_is_a_flag_and_a_run_that_was_begun_before_it_goes_on():
    def parse(*argv):
        return kfa.training.parse_settings("", {"epochs": 1}, {}, argv=argv).precision

    assert [parse(), parse("--precision", "bfloat16"), parse("--mixed-precision")] == ["float32", "bfloat16", "float16"]
    old = {"seed": 0, "mixed_precision": False}
    check_same(old, {"seed": 0, "precision": "float32"}, "runs/a")
    with pytest.raises(ValueError, match="precision was float32 and is bfloat16"):
        check_same(old, {"seed": 0, "precision": "bfloat16"}, "runs/a")
