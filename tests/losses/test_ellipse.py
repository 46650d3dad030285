"""Likelihoods against their formulas, worked out by hand and by NumPy's determinants and inverses."""

import numpy as np

from kfacealign.losses import ellipse

# L = [[2, 0], [1, 3]], L L^T = [[4, 2], [2, 10]]. Of the error (2, 4): L^-1 e = (1, (4 - 1) / 3) = (1, 1), r^2 = 2.
FACTORS, ERROR = np.array([2.0, 1.0, 3.0], "float32"), np.array([2.0, 4.0], "float32")


def test_a_gaussian_by_hand():
    assert np.isclose(ellipse.squared_distances(ERROR, FACTORS), 2.0)
    assert np.isclose(ellipse.gaussian_likelihood(ERROR, FACTORS), 1.0 + np.log(2 * np.pi * 6), rtol=1e-6)
    assert np.isclose(ellipse.laplace_likelihood(ERROR, FACTORS), np.sqrt(2) + np.log(2 * np.pi * 6), rtol=1e-6)


def test_the_gaussian_is_that_of_the_covariance():
    rng = np.random.default_rng(0)
    factors = np.stack([rng.uniform(0.5, 2, 50), rng.normal(size=50), rng.uniform(0.5, 2, 50)], -1).astype("float32")
    errors = rng.normal(size=(50, 2)).astype("float32")
    for (a, b, c), error, found in zip(factors, errors, ellipse.gaussian_likelihood(errors, factors), strict=True):
        matrix = np.array([[a, 0], [b, c]], float) @ np.array([[a, b], [0, c]], float)
        density = np.exp(-error @ np.linalg.inv(matrix) @ error / 2) / (2 * np.pi * np.sqrt(np.linalg.det(matrix)))
        assert np.isclose(float(found), -np.log(density), rtol=1e-4)


def test_densities_hold_all_of_the_probability():
    side = np.linspace(-40, 40, 1201)
    grid = np.stack(np.meshgrid(side, side), -1).astype("float32")
    for likelihood in (ellipse.gaussian_likelihood, ellipse.laplace_likelihood):
        total = np.exp(-np.asarray(likelihood(grid, FACTORS), float)).sum() * (side[1] - side[0]) ** 2
        assert np.isclose(total, 1.0, atol=2e-3)
