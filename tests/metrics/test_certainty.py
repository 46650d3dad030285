"""How sure a model may be: known answers."""

import numpy as np
import pytest

from kfacealign import metrics


def test_distances_by_hand():
    # Standard deviations 2 and 3 along the axes: (2, 0) and (0, 3) are one away. In [[4, 2], [2, 10]], (2, 4) has r^2 = 2.
    found = metrics.ellipse_distances(np.array([[2.0, 0], [0, 3], [4, 0]]), np.array([4.0, 0, 9]))
    np.testing.assert_allclose(found, [1, 1, 2])
    np.testing.assert_allclose(metrics.ellipse_distances(np.array([2.0, 4]), np.array([4.0, 2, 10])), np.sqrt(2))
    # An ellipse that leans to the right and down holds what lies there, and not what lies to the right and up.
    leaning = np.array([1.0, 0.9, 1.0])
    assert metrics.ellipse_distances([1, 1], leaning) < 1.1 < 4 < metrics.ellipse_distances([1, -1], leaning)


def test_a_gaussian_is_held():
    assert np.isclose(metrics.gaussian_radius(0.9), 2.14597, atol=1e-5)
    errors = np.random.default_rng(0).multivariate_normal([0, 0], [[4, 2], [2, 10]], 200_000)
    distances = metrics.ellipse_distances(errors, [4.0, 2.0, 10.0])
    for level in (0.5, 0.8, 0.9):
        assert abs(metrics.coverage(distances, metrics.gaussian_radius(level)) - level) < 0.004


def test_the_conformal_radius_by_hand():
    # Of 9 distances at 80 %: the ceil(10 * 0.8) = 8th. Of 19 at 90 %: the ceil(20 * 0.9) = 18th.
    assert metrics.conformal_radius([9, 1, 8, 2, 7, 3, 6, 4, 5], 0.8) == 8
    assert metrics.conformal_radius(np.arange(19.0), 0.9) == 17
    assert metrics.conformal_radius(np.arange(10.0), 0.9) == 9  # the ceil(9.9) = 10th
    with pytest.raises(ValueError, match="8 errors are too few"):
        metrics.conformal_radius(np.arange(8.0), 0.9)


def test_it_covers_a_new_error_as_often_as_it_says():
    rng, held = np.random.default_rng(0), 0
    for _ in range(4000):
        drawn = rng.exponential(size=20)
        held += drawn[-1] <= metrics.conformal_radius(drawn[:-1], 0.8)
    assert abs(held / 4000 - 0.8) < 0.02


def test_coverage_counts_by_weights():
    assert metrics.coverage([1.0, 2.0, 3.0, 4.0], 2.0) == 0.5
    assert metrics.coverage([1.0, 2.0, 3.0, 4.0], 2.0, weights=np.array([1, 1, 0, 0])) == 1.0


def test_the_calibration_error_by_hand():
    # Two bins: 0.2 and 0.2 with one of two true (0.3 apart), 0.9 and 0.7 with both true (0.2 apart).
    assert np.isclose(metrics.calibration_error([0.2, 0.2, 0.9, 0.7], [0, 1, 1, 1], bins=2), (2 * 0.3 + 2 * 0.2) / 4)
    assert metrics.calibration_error([1.0, 0.0], [1, 0]) == 0
    said = np.random.default_rng(0).uniform(size=100_000)
    assert metrics.calibration_error(said, np.random.default_rng(1).uniform(size=100_000) < said) < 0.01


def test_average_precision_by_hand():
    # Ranked: hit, miss, hit, miss: (1 / 1 + 2 / 3) / 2.
    assert np.isclose(metrics.average_precision([4, 3, 2, 1], [1, 0, 1, 0]), (1 + 2 / 3) / 2)
    # One score for all: the share of the true.
    assert np.isclose(metrics.average_precision([1, 1, 1, 1], [1, 0, 0, 0]), 0.25)
    with pytest.raises(ValueError, match="no true entry"):
        metrics.average_precision([1, 2], [0, 0])
