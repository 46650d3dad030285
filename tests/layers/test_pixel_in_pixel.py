"""The gathered head against its dense convolutions."""

import keras
import numpy as np
import pytest
from keras import ops

from kfacealign.layers.pixel_in_pixel import PixelInPixelHead, features_at_cells

POINTS, NEIGHBORS, CHANNELS, SIZE = 7, 3, 12, 4


@pytest.fixture(scope="module")
def head():
    keras.utils.set_random_seed(0)
    layer = PixelInPixelHead(POINTS, NEIGHBORS)
    layer.build((None, SIZE, SIZE, CHANNELS))
    for variable in layer.weights:
        variable.assign(keras.random.normal(variable.shape, seed=len(variable.path)))
    return layer


@pytest.fixture(scope="module")
def case():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(2, SIZE, SIZE, CHANNELS)).astype("float32")
    return features, rng.integers(0, SIZE, (2, POINTS, 2))


def read(dense, cells, neighbors):
    """The maps of `dense` at the cells, by loops."""
    found = {}
    for name in ("x", "y", "neighbor_x", "neighbor_y"):
        maps = ops.convert_to_numpy(dense[name])
        each = 1 if len(name) == 1 else neighbors
        maps = maps.reshape(*maps.shape[:3], POINTS, each)
        values = [[maps[b, cells[b, k, 1], cells[b, k, 0], k] for k in range(POINTS)] for b in range(len(maps))]
        found[name] = np.array(values) if each > 1 else np.array(values)[..., 0]
    return found


@pytest.mark.parametrize("method", ["at_cells", "convolve_at_cells"])
def test_offsets_at_cells_are_those_of_the_dense_convolutions(head, case, method):
    features, cells = case
    found = getattr(head, method)(features_at_cells(ops.array(features), ops.array(cells, dtype="float32")))
    for name, expected in read(head.dense(ops.array(features)), cells, NEIGHBORS).items():
        np.testing.assert_allclose(found[name], expected, rtol=1e-5, atol=1e-5)


def test_features_come_from_row_y_and_column_x():
    features = ops.reshape(ops.arange(2 * 2 * 3, dtype="float32"), (2, 2, 3, 1))
    cells = ops.array([[[2.0, 0.0]], [[0.0, 1.0]]])
    np.testing.assert_array_equal(features_at_cells(features, cells), [[[2.0]], [[9.0]]])


def test_gathering_costs_under_three_million_multiply_adds_at_98_landmarks():
    head = PixelInPixelHead(98, 10)
    head.build((None, 8, 8, 1280))
    gathered = np.prod(head.columns(head.branches)[0].shape)
    dense = sum(np.prod(getattr(head, name).kernel.shape) for name in head.branches) * 64
    assert gathered == 98 * 1280 * 22 < 3e6
    assert dense == 64 * gathered


def test_without_neighbours_there_are_three_branches():
    head = PixelInPixelHead(POINTS, 0)
    head.build((None, SIZE, SIZE, CHANNELS))
    assert len(head.weights) == 6
    for found in (head.at_cells, head.convolve_at_cells):
        assert set(found(ops.zeros((1, POINTS, CHANNELS)))) == {"x", "y"}


def test_branches_start_near_zero():
    head = PixelInPixelHead(68, 10)
    head.build((None, 8, 8, 512))
    assert 0.0009 < float(np.std(head.neighbor_x.kernel)) < 0.0011
    assert not np.any(head.score.bias)
