"""One training step, with the same weights and batch on every backend (`tests/test_backends.py` runs this file on JAX)."""

import functools

import keras
import numpy as np
import pytest

from kfacealign.codecs import Heatmap
from kfacealign.data import RandomView
from kfacealign.models import HIH, FaceAligner, PIPNet, hih

# Measured on TensorFlow; every backend must come to the same.
LOSS = 0.0408524
WARMUP_LOSS = 0.0817433


def model_and_batch():
    rng = np.random.default_rng(0)
    model = HIH("ibug68", input_size=64, width=8, decimal_size=4, decimal_width=8)
    model.network.set_weights(
        [0.1 * rng.normal(size=w.shape) + (1.0 if "variance" in w.path else 0.0) for w in model.network.weights]
    )
    for weight in model.network.weights:
        if "variance" in weight.path:
            weight.assign(np.ones(weight.shape))
    images = rng.uniform(0, 255, (2, 64, 64, 3)).astype("float32")
    labels = {"landmarks": rng.uniform(0.1, 0.9, (2, 68, 2)).astype("float32"), "weights": np.ones((2, 68), "float32")}
    return model, images, labels


@pytest.mark.parametrize("warmup, expected", [(False, LOSS), (True, WARMUP_LOSS)])
def test_the_loss_is_the_same_on_every_backend(warmup, expected):
    model, images, labels = model_and_batch()
    model.compile(keras.optimizers.SGD(0.0))
    model.warmup = warmup
    assert model.evaluate(images, labels, return_dict=True, verbose=0)["loss"] == pytest.approx(expected, rel=1e-4)


def test_a_step_on_viewed_images_moves_the_weights(monkeypatch):
    """With one level of hourglass in place of four, as the step's graph takes most of the time."""
    monkeypatch.setattr(hih, "stacked_hourglass", functools.partial(hih.stacked_hourglass, depth=1))
    model, images, labels = model_and_batch()
    model.compile(keras.optimizers.Adam(1e-3))
    draws = np.random.default_rng(1).random((2, RandomView(scheme="ibug68").draws_per_sample), "float32")
    viewed, landmarks, _ = RandomView(scheme="ibug68")((images, labels["landmarks"]), draws=draws)
    before = keras.ops.convert_to_numpy(model.trainable_weights[0])
    model.optimizer.build(model.trainable_variables)  # or the graph would be traced a second time, once there are some
    logs = model.train_on_batch(viewed, {**labels, "landmarks": landmarks}, return_dict=True)
    assert all(np.isfinite(value) for value in logs.values())
    assert (keras.ops.convert_to_numpy(model.trainable_weights[0]) != before).all()


def test_a_step_of_pipnet_with_unlabelled_samples(monkeypatch):
    """Offsets at gathered cells, a task of the curriculum and the metric, all inside the compiled step."""

    def strided(name, input_size, weights, width, last_expansion):
        image = keras.Input((input_size, input_size, 3))
        return keras.Model(image, keras.layers.Conv2D(16, 32, strides=32, activation="relu")(keras.ops.multiply(image, 1 / 255)))

    monkeypatch.setattr("kfacealign.models.pipnet.make_backbone", strided)
    model, (_, images, labels) = PIPNet("ibug68", input_size=128, neighbors=3), model_and_batch()
    images = np.tile(images, (1, 2, 2, 1))
    model.task = 1
    model.compile(keras.optimizers.Adam(1e-2))
    labels["unlabelled"] = np.array([0, 1], "float32")
    before = [keras.ops.convert_to_numpy(weight) for weight in model.trainable_weights]
    model.optimizer.build(model.trainable_variables)
    losses = [model.train_on_batch(images, labels, return_dict=True)["loss"] for _ in range(5)]
    assert losses[-1] < losses[0]
    moved = [
        (keras.ops.convert_to_numpy(weight) != old).any() for weight, old in zip(model.trainable_weights, before, strict=True)
    ]
    assert all(moved) and len(moved) == 12


@pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="about TensorFlow's graphs")
def test_the_step_is_traced_once(monkeypatch):
    """Variables that an optimiser makes inside of the step would have it traced a second time, a minute of a large network."""
    image = keras.Input((16, 16, 3))
    network = keras.Model(image, {"heatmap_1": keras.layers.Conv2D(19, 3, padding="same")(image)})
    model = FaceAligner(network, Heatmap(16), "aflw19")
    traced, real = [], model.loss_terms
    monkeypatch.setattr(model, "loss_terms", lambda *arguments: traced.append(1) or real(*arguments))
    model.compile(keras.optimizers.Adam(1e-3), jit_compile=False)
    labels = {"landmarks": np.full((6, 19, 2), 0.5, "float32"), "weights": np.ones((6, 19), "float32")}
    model.fit(np.ones((6, 16, 16, 3), "float32"), labels, batch_size=2, epochs=2, verbose=0)
    assert traced == [1]
