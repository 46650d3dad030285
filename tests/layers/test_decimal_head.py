"""What the heads of decimal heatmaps can be told of, on maps from which the place inside the cell can be read."""

import keras
import numpy as np

from kfacealign.codecs import HeatmapInHeatmap
from kfacealign.codecs.heatmap import gaussian_maps
from kfacealign.layers import AttendedDecimalHead

SIZE, POINTS = 12, 3
CODEC = HeatmapInHeatmap(size=SIZE, decimal_size=4)


def maps_around(landmarks):
    """Gaussians around the landmarks themselves and not around their cells, so that they show the place inside the cell."""
    return keras.ops.convert_to_numpy(gaussian_maps(landmarks * SIZE - 0.5, SIZE, 1.5))


def test_all_cells_are_read_alike():
    """Features and maps that move by whole cells give the same decimal map."""
    head = AttendedDecimalHead(POINTS, size=4, filters=8)
    landmarks = np.random.default_rng(0).uniform(0.35, 0.5, (2, POINTS, 2)).astype("float32")
    here, there = maps_around(landmarks), maps_around(landmarks + np.float32([3 / SIZE, 1 / SIZE]))
    head([here, here])
    keras.utils.set_random_seed(0)
    head.set_weights([np.random.default_rng(1).normal(size=w.shape).astype("float32") ** 2 for w in head.weights])
    decimal = keras.ops.convert_to_numpy(head([here, here]))
    assert decimal.std(axis=(1, 2)).min() > 0.01
    np.testing.assert_allclose(head([there, there]), decimal, rtol=1e-3)


def test_it_reads_the_features_at_the_maximum():
    head = AttendedDecimalHead(1, size=2, filters=1, window=3, temperature=100.0)
    features = np.arange(25, dtype="float32").reshape(1, 5, 5, 1)
    maps = np.zeros((1, 5, 5, 1), "float32")
    maps[0, 1, 3, 0] = 1.0
    head([features, maps])
    head.kernel.assign([[[1, 2, 3, 4], [0, 0, 0, 0]]])
    head.bias.assign([[[0, 0, 0, 100]]])
    np.testing.assert_allclose(keras.ops.convert_to_numpy(head([features, maps]))[0, :, :, 0], [[8, 16], [24, 132]], rtol=1e-4)


def test_it_reads_the_heights_around_the_maximum():
    """In the corner of the map four cells of the window lie in it: 4, 1, 0 (below 0) and 3, whose mean over nine is 8/9."""
    head = AttendedDecimalHead(1, size=2, filters=1, window=3)
    maps = np.zeros((1, 5, 5, 1), "float32")
    maps[0, :2, :2, 0] = [[4, 1], [-2, 3]]
    shares = keras.ops.convert_to_numpy(head.window_shares(maps))[0, 0].reshape(3, 3)
    np.testing.assert_allclose(shares, np.array([[0, 0, 0], [0, 4, 1], [0, 0, 3]]) * 9 / 8, rtol=1e-5)
    flat = keras.ops.convert_to_numpy(head.window_shares(0 * maps))
    np.testing.assert_array_equal(flat, np.zeros((1, 1, 9)))


def test_it_learns_the_place_inside_the_cell_of_landmarks_never_seen():
    """Every step has new landmarks. A head that ignores the maps would be right in about one of 16."""
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    trunk = keras.Input((SIZE, SIZE, POINTS))
    model = keras.Model(trunk, AttendedDecimalHead(POINTS, size=4, filters=24)([10.0 * trunk, trunk]))
    model.compile(
        keras.optimizers.Adam(3e-3, epsilon=1e-8), loss=lambda y, q: CODEC.decimal_term(y, q, keras.ops.ones((32, POINTS)))
    )
    landmarks = rng.uniform(0.1, 0.9, (300 * 32, POINTS, 2)).astype("float32")
    targets = keras.ops.convert_to_numpy(CODEC.encode(landmarks)["decimal"])
    model.fit(maps_around(landmarks), targets, batch_size=32, verbose=0)

    landmarks = rng.uniform(0.1, 0.9, (64, POINTS, 2)).astype("float32")
    target, predicted = CODEC.encode(landmarks)["decimal"], model.predict(maps_around(landmarks), verbose=0)
    right, found = ({"heatmap_1": maps_around(landmarks), "decimal": maps} for maps in (target, predicted))
    same = np.isclose(CODEC.decode(right)[0], CODEC.decode(found)[0]).all(axis=-1)
    weights = np.ones((64, POINTS), "float32")
    ratio = CODEC.decimal_term(target, predicted, weights) / CODEC.decimal_term(target, 0 * predicted, weights)
    assert same.mean() > 0.4 and float(ratio) < 0.6
