import keras
import numpy as np

from kfacealign.layers import GradientReversal


def gradient(layer, x):
    """d sum(layer(x)^2) / dx on either backend."""
    if keras.config.backend() == "jax":
        import jax

        return np.asarray(jax.grad(lambda value: keras.ops.sum(layer(value) ** 2))(keras.ops.convert_to_tensor(x)))
    import tensorflow as tf

    value = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(value)
        total = keras.ops.sum(layer(value) ** 2)
    return tape.gradient(total, value).numpy()


def test_value_is_kept_to_the_bit_and_the_gradient_turned_round():
    x = np.array([[0.1, -2.0], [1e6, 3e-7]], "float32")
    layer = GradientReversal(0.25)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(layer(x)), x)
    np.testing.assert_allclose(gradient(layer, x), -0.25 * 2 * x, rtol=1e-6)


def test_the_weight_can_be_assigned():
    x = np.array([3.0], "float32")
    layer = GradientReversal(0.0)
    assert gradient(layer, x) == 0
    layer.weight.assign(2.0)
    assert gradient(layer, x) == -2 * 2 * 3
    assert not layer.trainable_variables


def test_weight_is_saved(tmp_path):
    inputs = keras.Input((3,))
    model = keras.Model(inputs, GradientReversal(0.5, name="reversal")(inputs))
    model.get_layer("reversal").weight.assign(0.75)
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras").get_layer("reversal")
    assert float(loaded.weight) == 0.75 and loaded.get_config()["weight"] == 0.5
