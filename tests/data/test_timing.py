import numpy as np
import pytest

from kfacealign.data.timing import Clock, rate_of


def ticks(stamps, fps=10.0):
    clock = Clock(fps)
    return [clock.tick(stamp) for stamp in stamps]


def test_times_are_the_stamps_since_the_first():
    np.testing.assert_allclose(ticks([5.0, 5.1, 5.5, 9.0]), [0, 0.1, 0.5, 4.0])


def test_frames_without_a_stamp_follow_by_the_rate():
    np.testing.assert_allclose(ticks([0.0, 0.0, 0.0]), [0, 0.1, 0.2])
    np.testing.assert_allclose(ticks([None, None, float("nan")]), [0, 0.1, 0.2])
    np.testing.assert_allclose(ticks([0.0, 0.2, None, 0.6]), [0, 0.2, 0.3, 0.6])
    np.testing.assert_allclose(ticks([0.0, 0.2, 0.0, 0.6]), [0, 0.2, 0.3, 0.6])


def test_times_never_go_back():
    # The stamps start anew at the fourth frame, as in files put together: 0.5 + 0.1, then the steps of the stamps.
    np.testing.assert_allclose(ticks([1.0, 1.25, 1.5, 0.1, 0.3]), [0, 0.25, 0.5, 0.6, 0.8])
    np.testing.assert_allclose(ticks([1.0, 1.25, 1.25, 1.5]), [0, 0.25, 0.35, 0.6])
    for seed in range(20):
        found = ticks(np.random.default_rng(seed).uniform(-1, 1, 50))
        assert found[0] == 0 and (np.diff(found) > 0).all()


def test_a_rate_that_varies_is_seen():
    constant = rate_of(np.arange(100) / 29.97)
    assert constant.fps == pytest.approx(29.97, abs=1e-3) and not constant.varies and constant.frames == 100
    rounded = rate_of(np.round(np.arange(100) / 30, 3))  # as Matroska has them
    assert rounded.fps == pytest.approx(30, abs=0.02) and not rounded.varies
    stamps = np.concatenate([np.arange(30) / 30, 1 + np.arange(30) / 5])
    found = rate_of(np.random.default_rng(0).permutation(stamps))  # packets come in the order of decoding
    assert found.varies and found.fps == pytest.approx(30, rel=0.01) and found.slowest == pytest.approx(5)
    assert rate_of(np.array([0.0, 0.1])) is None and rate_of(np.zeros(40)) is None
