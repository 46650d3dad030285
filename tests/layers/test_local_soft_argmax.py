import keras
import numpy as np
import pytest

from kfacealign.codecs.heatmap import gaussian_maps
from kfacealign.layers.local_soft_argmax import LocalSoftArgmax


def by_loops(maps, window, temperature):
    """Eq. 4-5 one landmark at a time, in cells: the window's cells that the map has, their softmax, their mean."""
    batch, height, width, points = maps.shape
    result = np.zeros((batch, points, 2))
    reach = window // 2
    for b, k in np.ndindex(batch, points):
        one = maps[b, :, :, k].astype("float64")
        row, column = np.unravel_index(one.argmax(), one.shape)
        rows = np.arange(max(row - reach, 0), min(row + reach, height - 1) + 1)
        columns = np.arange(max(column - reach, 0), min(column + reach, width - 1) + 1)
        mass = np.exp(temperature * (one[np.ix_(rows, columns)] - one.max()))
        mass /= mass.sum()
        result[b, k] = (mass.sum(0) * columns).sum(), (mass.sum(1) * rows).sum()
    return result


@pytest.mark.parametrize("window", [3, 5, 7])
def test_is_equations_4_and_5(window):
    """Random maps that are not square, with the maximum in every cell once."""
    rng = np.random.default_rng(0)
    maps = rng.normal(size=(2, 6, 9, 54)).astype("float32")
    maps.reshape(2, 54, 54)[:, np.arange(54), np.arange(54)] = 4
    landmarks, scores = LocalSoftArgmax(window, temperature=1.5, cell_centre=0.25)(maps)
    expected = (by_loops(maps, window, 1.5) + 0.25) / [9, 6]
    np.testing.assert_allclose(landmarks, expected, atol=1e-5)
    np.testing.assert_array_equal(scores, np.full((2, 54), 4))


def test_a_gaussian_between_cells_is_found():
    position = np.random.default_rng(1).uniform(5, 26, (1, 80, 2)).astype("float32")
    landmarks, _ = LocalSoftArgmax(window=7)(gaussian_maps(position, 32, 2.0))
    np.testing.assert_allclose(32 * np.asarray(landmarks) - 0.5, position, atol=0.01)


def test_at_the_border_the_window_is_cut():
    """A Gaussian on the corner's cell: what lies beyond is missing, so the mean moves inwards, alike along x and y."""
    landmarks, _ = LocalSoftArgmax(window=5)(gaussian_maps(np.zeros((1, 1, 2), "float32"), 16, 1.0))
    x, y = (16 * np.asarray(landmarks)[0, 0] - 0.5).tolist()
    assert x == pytest.approx(y) and 0 < x < 0.05
    maps = np.zeros((1, 4, 4, 1), "float32")
    maps[0, 0, 0], maps[0, 3, 3], maps[0, 0, 3] = 100, 99.9, 99.9
    landmarks, _ = LocalSoftArgmax(window=5)(maps)
    np.testing.assert_allclose(landmarks, [[[0.125, 0.125]]], atol=1e-6)  # nothing wraps round


@pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="takes gradients with tf.GradientTape")
def test_gradients_flow_through_the_window_alone():
    import tensorflow as tf

    maps = tf.Variable(np.random.default_rng(0).normal(size=(1, 9, 9, 2)).astype("float32"))
    maps[0, 4, 4].assign([5.0, 5.0])
    layer = LocalSoftArgmax(window=3, temperature=1.0, cell_centre=0.0)

    def loss():
        return tf.reduce_sum(layer(maps)[0] * [[[1.0, 2.0], [-1.0, 0.5]]])

    with tf.GradientTape() as tape:
        value = loss()
    gradient = tape.gradient(value, maps).numpy()
    outside = np.ones((9, 9), bool)
    outside[3:6, 3:6] = False
    assert (gradient[0][outside] == 0).all() and (gradient[0, 3:6, 3:6] != 0).all()
    for place in ((0, 3, 5, 0), (0, 4, 4, 1)):
        before, step = maps.numpy(), np.zeros(maps.shape, "float32")
        step[place] = 1e-2
        maps.assign(before + step)
        above = float(loss())
        maps.assign(before - step)
        assert (above - float(loss())) / 2e-2 == pytest.approx(gradient[place], rel=0.02)
        maps.assign(before)


@pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="TFLite files are written by TensorFlow")
def test_ends_a_graph_for_tflite(tmp_path):
    from ai_edge_litert.interpreter import Interpreter

    image = keras.Input((16, 16, 3), batch_size=1, name="image")
    landmarks, scores = LocalSoftArgmax(window=5)(keras.layers.Conv2D(4, 3, padding="same")(image))
    model = keras.Model(image, {"landmarks": landmarks, "scores": scores})
    assert landmarks.shape == (1, 4, 2) and scores.shape == (1, 4)
    model.export(str(tmp_path / "m.tflite"), format="litert", verbose=False)
    crop = np.random.default_rng(0).uniform(0, 1, (1, 16, 16, 3)).astype("float32")
    interpreter = Interpreter(str(tmp_path / "m.tflite"))
    interpreter.allocate_tensors()
    assert not [d for d in interpreter._get_ops_details() if d["op_name"].startswith("Flex") or d["op_name"] == "CUSTOM"]
    found, expected = interpreter.get_signature_runner()(image=crop), model(crop)
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], atol=1e-4)


def test_half_precision_maps_are_read_in_float32():
    landmarks, scores = LocalSoftArgmax()(np.eye(256, dtype="float16").reshape(1, 16, 16, 256))
    assert {keras.backend.standardize_dtype(part.dtype) for part in (landmarks, scores)} == {"float32"}


def test_other_windows_are_refused():
    with pytest.raises(ValueError, match="window is 3, 5 or 7 cells, not 6"):
        LocalSoftArgmax(window=6)
