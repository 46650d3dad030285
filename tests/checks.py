"""What every layer, codec, loss and aligner owes to Keras and to the others: one check for each of the four kinds.

The tests of a room call it with each of its classes, small, and with arguments other than the defaults, since a default
survives in a configuration that forgets it. `tests/test_backends.py` runs the checks on JAX too.
"""

import inspect

import keras
import numpy as np
from keras import ops


def layer(build, *inputs, folder, call=None, half="float16"):
    """Configuration, saving, mixed precision and gradients of a layer.

    Args:
        build: function without arguments that makes the layer.
        inputs: float32 arrays that it reads.
        folder: where a model that holds it is saved.
        call: function from the layer and its inputs to its outputs; by default `layer(*inputs)`.
        half: dtype of the outputs under mixed precision.
    """
    made = build()
    check_copy(made)
    model = model_of(made, call, inputs)
    loaded = saved_and_loaded(model, folder)
    assert [part.get_config() for part in loaded.layers] == [part.get_config() for part in model.layers]
    outputs = flat(compiled(model)(list(inputs)))
    assert all(np.isfinite(output).all() for output in outputs)
    for found, expected in zip(flat(compiled(loaded)(list(inputs))), outputs, strict=True):
        np.testing.assert_array_equal(found, expected)
    if made.trainable_weights:
        gradients = weight_gradients(model, inputs)
        assert all(np.isfinite(slope).all() for slope in gradients)
        assert any(slope.any() for slope in gradients)
    with mixed_precision():
        half_model = model_of(build(), call, inputs)
    outputs = flat(half_model(list(inputs)))  # not compiled: on a CPU, XLA has no product of half precision for graphs
    assert {str(output.dtype) for output in outputs} == {half}
    assert all(np.isfinite(output).all() for output in outputs)
    assert {keras.backend.standardize_dtype(weight.dtype) for weight in half_model.weights} <= {"float32"}


def model_of(made, call, inputs):
    """The functional model that holds a layer alone."""
    symbols = [keras.Input(value.shape[1:]) for value in inputs]
    return keras.Model(symbols, made(*symbols) if call is None else call(made, *symbols))


def weight_gradients(model, inputs):
    """The gradients of a weighted sum of all outputs, whose weights differ, by each trainable weight."""

    def total(outputs):
        parts = [ops.reshape(ops.cast(output, "float32"), (-1,)) for output in keras.tree.flatten(outputs)]
        return sum(ops.sum(part * np.cos(np.arange(part.shape[0], dtype="float32"))) for part in parts)

    if keras.config.backend() == "jax":
        import jax

        def run(trainable, fixed):
            return total(model.stateless_call(trainable, fixed, list(inputs))[0])

        variables = ([v.value for v in group] for group in (model.trainable_variables, model.non_trainable_variables))
        return [np.asarray(slope) for slope in jax.jit(jax.grad(run))(*variables)]
    import tensorflow as tf

    with tf.GradientTape() as tape:
        value = total(model(list(inputs)))
    weights = [weight.value for weight in model.trainable_weights]
    return [slope.numpy() for slope in tape.gradient(value, weights) if slope is not None]


def codec(codec, outputs, points=5):
    """Configuration, losses and decoding of a codec, also of float16 outputs; points without annotation do not count.

    Args:
        outputs: dict of the float32 arrays of a network, `(2, ...)`, that the codec reads.
        points: number of landmarks K that the outputs are of.
    """
    copy = check_copy(codec)
    rng = np.random.default_rng(0)
    landmarks = rng.uniform(0.1, 0.9, (2, points, 2)).astype("float32")
    weights = np.ones((2, points), "float32")
    weights[:, 1], weights[1, 0] = 0, 0
    elsewhere = np.where(weights[..., None] > 0, landmarks, 1 - landmarks).astype("float32")

    def everything(codec):
        def run(landmarks, weights, outputs):
            found = {"loss": codec.loss(codec.encode(landmarks), outputs, weights), "decoded": codec.decode(outputs)}
            if codec.warmup_terms:
                found["warmup_loss"] = codec.warmup_loss(landmarks, outputs, weights)
                found["warmup_decoded"] = codec.warmup_decode(outputs)
            return found

        return compiled(run)

    run = everything(codec)
    found = run(landmarks, weights, outputs)
    assert set(found["loss"]) == set(codec.terms)
    assert set(found.get("warmup_loss", ())) == set(codec.warmup_terms)
    for name in {"decoded", "warmup_decoded"} & set(found):
        assert [tuple(part.shape) for part in found[name]] == [(2, points, 2), (2, points)]
    assert all(np.isfinite(value).all() for value in flat(found))
    for same in (run(elsewhere, weights, outputs), everything(copy)(landmarks, weights, outputs)):
        for ours, theirs in zip(flat(same), flat(found), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    half = flat(run(landmarks, weights, {name: value.astype("float16") for name, value in outputs.items()}))
    assert all(value.dtype == "float32" and np.isfinite(value).all() for value in half)
    slopes = gradient(lambda outputs: sum(codec.loss(codec.encode(landmarks), outputs, weights).values()), outputs)
    assert all(np.isfinite(slope).all() for slope in slopes.values())
    assert any(slope.any() for slope in slopes.values())


def loss(loss, truth, predicted):
    """Configuration, gradient and mixed precision of a loss of `(B, ...)` arrays; samples of weight 0 do not count."""
    copy = check_copy(loss)
    value = ops.convert_to_numpy(loss(truth, predicted))
    assert np.isfinite(value).all() and (value > 0).all()
    np.testing.assert_array_equal(ops.convert_to_numpy(copy(truth, predicted)), value)
    slope = gradient(lambda predicted: ops.sum(loss(truth, predicted)), predicted)
    assert np.isfinite(slope).all() and slope.any()
    half = ops.convert_to_numpy(loss(truth, predicted.astype("float16")))
    np.testing.assert_allclose(half, value, rtol=1e-2)


def aligner(model, images, folder):
    """Configuration, saving and decoding of an aligner; points of weight 0 change no term of its loss.

    Args:
        images: `(B, S, S, 3)` crops. folder: where the aligner is saved.

    Returns:
        The aligner as it was loaded.
    """
    assert type(model).from_config(model.get_config()).get_config() == model.get_config()
    loaded = saved_and_loaded(model, folder)
    assert type(loaded) is type(model) and loaded.get_config() == model.get_config()
    outputs, points = model(images), model.scheme.num_points
    found = loaded(images)
    assert list(found) == list(outputs)
    for name, output in outputs.items():
        np.testing.assert_array_equal(found[name], output)
    landmarks, scores = model.decode(outputs)
    assert tuple(landmarks.shape) == (len(images), points, 2) and tuple(scores.shape) == (len(images), points)
    assert np.isfinite(landmarks).all() and np.isfinite(scores).all()
    for part, expected in zip(loaded.decode(found), (landmarks, scores), strict=True):
        np.testing.assert_array_equal(part, expected)
    check_weights(model, outputs, len(images))
    return loaded


def check_weights(model, outputs, count):
    """Points of weight 0 may lie anywhere."""
    points = model.scheme.num_points
    landmarks = np.random.default_rng(0).uniform(0.1, 0.9, (count, points, 2)).astype("float32")
    weights = np.ones((count, points), "float32")
    weights[:, 5:9] = 0
    elsewhere = landmarks.copy()
    elsewhere[:, 5:9] = 0.95
    for warmup in (False, True) if model.codec.warmup_terms else (False,):
        model.warmup = warmup
        first = model.loss_terms({"landmarks": landmarks, "weights": weights}, outputs)
        second = model.loss_terms({"landmarks": elsewhere, "weights": weights}, outputs)
        assert set(first) == set(second) and all(np.isfinite(float(term)) for term in first.values())
        for name, term in first.items():
            np.testing.assert_allclose(float(second[name]), float(term), rtol=1e-6)
    model.warmup = False


def check_copy(thing):
    """What is made of the saved configuration, by its registered name, is of the same class; no argument is forgotten."""
    arguments = inspect.signature(type(thing).__init__).parameters
    assert {name for name in arguments if name not in ("self", "args", "kwargs", "dtype")} <= set(thing.get_config())
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(thing))
    assert type(copy) is type(thing) and copy.get_config() == thing.get_config()
    assert type(thing).from_config(thing.get_config()).get_config() == thing.get_config()
    return copy


def saved_and_loaded(model, folder):
    model.save(folder / "checked.keras")
    return keras.saving.load_model(folder / "checked.keras")


class mixed_precision:
    """The context in which layers compute in float16."""

    def __enter__(self):
        keras.config.set_dtype_policy("mixed_float16")

    def __exit__(self, *error):
        keras.config.set_dtype_policy("float32")


# === Backends ===


def compiled(function):
    """The function itself; on JAX as one graph, as each operation alone would be compiled for a twentieth of a second."""
    if keras.config.backend() != "jax":
        return function
    import jax

    return jax.jit(function)


def gradient(function, x):
    """d function(x) / dx of a scalar function of an array, or of a dict of them; an array, or a dict of them."""
    if keras.config.backend() == "jax":
        import jax

        return keras.tree.map_structure(np.asarray, jax.jit(jax.grad(function))(x))
    import tensorflow as tf

    x = keras.tree.map_structure(tf.constant, x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = function(x)
    return keras.tree.map_structure(np.asarray, tape.gradient(value, x, unconnected_gradients="zero"))


def flat(structure):
    """The tensors of a structure, as arrays."""
    return [ops.convert_to_numpy(part) for part in keras.tree.flatten(structure)]
