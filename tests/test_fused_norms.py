"""The fused kernel of batch norms: it computes what Keras does, and leaves no trace."""

import contextlib

import numpy as np
import pytest

import kfacealign as kfa
from kfacealign.backend import keras
from kfacealign.fused_norms import fused_batch_norms

pytestmark = pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="the kernel is TensorFlow's")
SHAPE = (4, 6, 5, 3)  # batch, height, width, channels


def network(dtype="float32", epsilon=1e-3, **options):
    keras.utils.set_random_seed(0)
    images = keras.Input(SHAPE[1:])
    norm = keras.layers.BatchNormalization(momentum=0.9, epsilon=epsilon, dtype=dtype, name="norm", **options)
    model = keras.Model(images, keras.layers.Conv2D(2, 3, name="conv")(norm(images)))
    model.get_layer("norm").set_weights([np.array(values, "float32") for values in ([1, 2, 3], [0, 1, -1], [4, 5, 6], [2, 3, 4])])
    model.compile(keras.optimizers.SGD(0.1), loss="mse", jit_compile=False)
    return model


def batch(seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(3, 2, SHAPE).astype("float32"), rng.normal(size=(4, 4, 3, 2)).astype("float32")


def trained(model, steps=3):
    """The losses of three steps, and the weights and moving statistics after them."""
    losses = [float(model.train_on_batch(*batch(step))) for step in range(steps)]
    return losses, model.get_weights()


def test_steps_are_those_of_keras():
    plain = trained(network())
    model = network()
    with fused_batch_norms(model) as count:
        assert count == 1
        found = trained(model)
    np.testing.assert_allclose(found[0], plain[0], rtol=1e-5)
    for ours, theirs in zip(found[1], plain[1], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=1e-6)


def test_statistics_by_hand():
    model, (images, targets) = network(), batch()
    with fused_batch_norms(model):
        model.train_on_batch(images, targets)
    mean, variance = model.get_layer("norm").get_weights()[2:]
    np.testing.assert_allclose(mean, 0.9 * np.array([4, 5, 6]) + 0.1 * images.mean((0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(variance, 0.9 * np.array([2, 3, 4]) + 0.1 * images.var((0, 1, 2)), rtol=1e-5)


def test_it_is_the_kernel_that_computes_while_the_context_is_open():
    import tensorflow as tf

    def operations(model):
        graph = tf.function(lambda x: model(x, training=True)).get_concrete_function(tf.TensorSpec(SHAPE, "float32")).graph
        return {operation.type for operation in graph.get_operations()}

    model = network()
    with fused_batch_norms(model):
        assert "FusedBatchNormV3" in operations(model)
    assert "FusedBatchNormV3" not in operations(model)
    assert "call" not in vars(model.get_layer("norm"))


def test_it_ends_with_an_error_too():
    model = network()
    with pytest.raises(ZeroDivisionError), fused_batch_norms(model):
        raise ZeroDivisionError
    assert "call" not in vars(model.get_layer("norm"))


def test_a_context_inside_another_leaves_the_outer_one_open():
    model = network()
    with fused_batch_norms(model):
        with fused_batch_norms(model) as count:
            assert count == 0
        assert "call" in vars(model.get_layer("norm"))
    assert "call" not in vars(model.get_layer("norm"))


def test_in_inference_the_moving_statistics_count():
    model, (images, _) = network(), batch()
    plain = model.predict_on_batch(images)
    with fused_batch_norms(model):
        np.testing.assert_array_equal(np.asarray(model(images, training=False)), plain)


def test_a_frozen_norm_stays_as_it_is():
    model = network()
    model.get_layer("norm").trainable = False
    model.compile(keras.optimizers.SGD(0.1), loss="mse", jit_compile=False)
    before = model.get_layer("norm").get_weights()
    with fused_batch_norms(model):
        model.train_on_batch(*batch())
    for ours, theirs in zip(model.get_layer("norm").get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("options", [{"axis": 1}, {"scale": False}, {"center": False}])
def test_other_norms_are_left_to_keras(options):
    images = keras.Input(SHAPE[1:])
    model = keras.Model(images, keras.layers.BatchNormalization(**options)(images))
    model.compile(keras.optimizers.SGD(0.1), loss="mse", jit_compile=False)
    with fused_batch_norms(model) as count:
        assert count == 0


def test_a_small_epsilon_is_not_raised():
    """At a variance of 1e-8 an epsilon of 1e-7 is most of what is divided by; 1.001e-5 would make the outputs a tenth."""
    images, targets = batch()
    images, found = 1e-4 * (images - images.mean((0, 1, 2))) / images.std((0, 1, 2)), []
    for context in (contextlib.nullcontext, fused_batch_norms):
        model = network(epsilon=1e-7)
        with context(model):
            found.append(float(model.train_on_batch(images, targets)))
    np.testing.assert_allclose(found[1], found[0], rtol=1e-3)


def test_under_another_backend_nothing_changes(monkeypatch):
    model = network()
    monkeypatch.setattr(keras.config, "backend", lambda: "jax")
    with fused_batch_norms(model) as count:
        assert count == 0 and "call" not in vars(model.get_layer("norm"))


def test_xla_fuses_by_itself():
    model = network()
    model.compile(keras.optimizers.SGD(0.1), loss="mse", jit_compile=True)
    with fused_batch_norms(model) as count:
        assert count == 0


def test_bfloat16_is_that_of_keras_within_its_rounding():
    plain = trained(network("mixed_bfloat16"))
    model = network("mixed_bfloat16")
    with fused_batch_norms(model):
        found = trained(model)
    np.testing.assert_allclose(found[0], plain[0], rtol=2e-2)
    np.testing.assert_allclose(found[1][2], plain[1][2], rtol=1e-2)
    np.testing.assert_allclose(found[1][3], plain[1][3], rtol=1e-2)


def test_all_norms_of_a_method_are_fused():
    model = kfa.models.FAN("ibug68", input_size=64, stacks=1, width=16)
    model.compile(keras.optimizers.SGD(1e-3))
    norms = [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.BatchNormalization)]
    with fused_batch_norms(model) as count:
        assert count == len(norms) > 10


def test_fit_is_fused_and_inference_after_it_is_keras(monkeypatch):
    """The norms of an aligner are fused while `fit` runs, whatever its callbacks do, and not after it."""
    model = kfa.models.FAN("ibug68", input_size=64, stacks=1, width=16)
    model.compile(keras.optimizers.SGD(1e-3))
    norm = next(layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.BatchNormalization))
    seen = []
    look = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append("call" in vars(norm)))
    rng = np.random.default_rng(0)
    images = rng.uniform(0, 255, (2, 64, 64, 3)).astype("float32")
    labels = {"landmarks": rng.uniform(0.2, 0.8, (2, 68, 2)).astype("float32")}
    model.fit(images, labels, batch_size=2, epochs=2, verbose=0, callbacks=[look])
    assert seen == [True, True] and "call" not in vars(norm)
