"""benchmarks/label_noise.py: what of an error is the labels' own."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("label_noise", Path(__file__).parents[1] / "benchmarks/label_noise.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_noise_of_three_answers_is_told_apart(script):
    """Gaussian errors of 3, 1 and 5 % along each axis: an rms of sqrt(2) times that, and a mean length of sqrt(pi / 2) times."""
    rng = np.random.default_rng(0)
    answers = [rng.normal(scale=scale, size=(4000, 10, 2)) for scale in (3, 1, 5)]
    answers[1] += np.arange(10)[:, None]  # another definition of the points is no noise
    nme, varying, faultless, *spread = script.figures(*answers)
    np.testing.assert_allclose(spread, np.sqrt(2) * np.array([3, 1, 5]), rtol=0.05)
    assert varying == pytest.approx(np.sqrt(np.pi / 2 * 10), rel=0.01) and nme > 1.3 * varying
    assert faultless == pytest.approx(3 * np.sqrt(np.pi / 2), rel=0.02)


def test_exact_labels_leave_nothing(script):
    rng = np.random.default_rng(0)
    truth = np.zeros((500, 4, 2))
    *_, faultless, labels, first, _ = script.figures(truth, rng.normal(size=truth.shape), rng.normal(size=truth.shape))
    assert labels < 0.3 and faultless < 0.3 and first == pytest.approx(np.sqrt(2), rel=0.05)


def test_the_frame_is_that_of_the_reference_eyes(script):
    """Eyes 10 px apart, the second below the first: a point 1 px to the left is 10 % further along y of that frame."""
    reference = np.array([[[5.0, 0.0], [5.0, 10.0], [7.0, 5.0]]])
    moved = reference + [[[0, 0], [0, 1], [-1, 0]]]
    np.testing.assert_allclose(script.local(moved, reference, (0, 1)), [[[0, 0], [10, 0], [0, 10]]], atol=1e-9)


def test_an_interval_holds_the_figure(script):
    rng = np.random.default_rng(1)
    answers = [rng.normal(size=(60, 5, 2)) for _ in range(3)]
    found, (low, high) = script.with_intervals(answers, np.repeat(np.arange(20), 3))
    assert (low <= found).all() and (found <= high).all() and (high - low)[0] < 0.5
