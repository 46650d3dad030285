"""The lag of a filter, on motion whose answer is known."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("jitter_lag", ROOT / "benchmarks" / "jitter_lag.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def moving(shift):
    """Five points that swing to and fro, seen `shift` frames late and 3 pixels beside where they are."""
    times = np.arange(60)[:, None, None] - shift
    phases = np.arange(10).reshape(1, 5, 2)
    return 100 + 20 * np.sin(times / 6 + phases) + 3.0


@pytest.mark.parametrize("shift", [0, 1, 2.5])
def test_the_lag_is_the_shift_whatever_the_offset(script, shift):
    assert script.lag(moving(shift), moving(0) - 3) == pytest.approx(shift, abs=0.051)


def test_the_jitter_at_a_lag_lies_between_the_rows_around_it(script):
    rows = [(0.0, 0.5, 0, 0), (2.0, 0.1, 0, 0), (1.0, 0.3, 0, 0)]
    assert script.at_lag(rows, 1.5) == pytest.approx(0.2)
    assert script.at_lag(rows, 2.5) is None


def test_noise_is_that_of_the_seed_and_the_truth_stays(script):
    source = script.kfa.data.SyntheticFaces(5, size=48)
    images, truth = script.noisy_clip(source, 0, 2, 8.0)
    again, same = script.noisy_clip(source, 0, 2, 8.0)
    clean, _ = script.noisy_clip(source, 0, 2, 0.0)
    assert (images[1] == again[1]).all() and (truth == same).all()
    assert 4 < (images[0].astype(float) - clean[0]).std() < 8.5
    np.testing.assert_array_equal(truth[1], source.clip(0, 2)[1].landmarks["ibug68"])
