"""Decoding of `Heatmap` with the quarter-cell shift."""

import numpy as np
import pytest

from kfacealign.codecs import Heatmap
from kfacealign.codecs.decoders import argmax_cells, quarter_shift


def shift_by_loops(maps, cells):
    """The definition, one landmark at a time."""
    shift = np.zeros(cells.shape)
    _, height, width, _ = maps.shape
    for b, k in np.ndindex(cells.shape[:2]):
        x, y = cells[b, k].astype(int)
        if 0 < x < width - 1:
            shift[b, k, 0] = 0.25 * np.sign(maps[b, y, x + 1, k] - maps[b, y, x - 1, k])
        if 0 < y < height - 1:
            shift[b, k, 1] = 0.25 * np.sign(maps[b, y + 1, x, k] - maps[b, y - 1, x, k])
    return shift


def test_the_shift_is_the_definitions():
    """Maxima everywhere, on borders and in corners too; the map is not square."""
    maps = np.random.default_rng(0).normal(size=(3, 5, 7, 35)).astype("float32")
    maps[:2].reshape(2, 35, 35)[:, np.arange(35), np.arange(35)] = 9
    cells, _ = argmax_cells(maps)
    expected = shift_by_loops(maps, np.asarray(cells))
    assert set(np.unique(expected)) == {-0.25, 0, 0.25}
    np.testing.assert_array_equal(quarter_shift(maps, cells), expected)


def test_equal_neighbours_do_not_shift():
    codec = Heatmap(size=16, sigma=2.0, decoder="shift")
    landmarks = np.array([[[5 / 16, 11 / 16], [0.0, 8 / 16], [15 / 16, 15 / 16]]], "float32")
    decoded, scores = codec.decode({"heatmap_1": codec.encode(landmarks)["heatmap"]})
    np.testing.assert_array_equal(decoded, landmarks)
    np.testing.assert_array_equal(scores, np.ones((1, 3)))


def test_a_peak_between_cells_is_met_within_a_quarter():
    """Gaussians around positions in cells: argmax is off by up to 0.5, the shift by up to 0.25."""
    position = np.random.default_rng(1).uniform(2, 13, (1, 50, 2))
    cells = np.arange(16.0)
    x, y = (np.exp(-((cells[None, :, None] - position[:, None, :, axis]) ** 2) / 8) for axis in (0, 1))
    maps = (y[:, :, None] * x[:, None]).astype("float32")
    argmax, shift = (
        np.abs(16 * np.asarray(Heatmap(16, decoder=name).decode({"heatmap_1": maps})[0]) - position)
        for name in ("argmax", "shift")
    )
    assert shift.max() <= 0.2501 < 0.45 < argmax.max()


def test_the_default_stays_the_maximum():
    maps = np.zeros((1, 4, 4, 1), "float32")
    maps[0, 1, 1:3, 0] = [2, 1]
    np.testing.assert_allclose(Heatmap(4).decode({"heatmap_1": maps})[0], [[[0.25, 0.25]]])
    np.testing.assert_allclose(Heatmap(4, decoder="shift").decode({"heatmap_1": maps})[0], [[[1.25 / 4, 0.25]]])


def test_nan_stays_inside_the_map():
    decoded, _ = Heatmap(4, decoder="shift").decode({"heatmap_1": np.full((1, 4, 4, 1), np.nan, "float32")})
    assert ((np.asarray(decoded) >= 0) & (np.asarray(decoded) <= 1)).all()


def test_configuration_has_what_is_not_a_default_and_unknown_decoders_are_refused():
    assert Heatmap(32, 1.0, decoder="shift").get_config() == {"size": 32, "sigma": 1.0, "decoder": "shift"}
    with pytest.raises(ValueError, match="decoder is one of argmax, shift, wsm, dark, soft, local, not 'mean'"):
        Heatmap(decoder="mean")
