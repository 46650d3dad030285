import math

import numpy as np
import pytest

from kfacealign.tracking import OneEuro


def scalar_one_euro(samples, fps, min_cutoff, beta, d_cutoff, scale):
    period, previous, speed, smooth = 1 / fps, None, 0.0, []
    for sample in samples:
        if previous is None:
            previous = sample
        else:
            tau = 1 / (2 * math.pi * d_cutoff)
            alpha = 1 / (1 + tau / period)
            speed = alpha * (sample - previous) / period + (1 - alpha) * speed
            tau = 1 / (2 * math.pi * (min_cutoff + beta * abs(speed) / scale))
            alpha = 1 / (1 + tau / period)
            previous = alpha * sample + (1 - alpha) * previous
        smooth.append(previous)
    return smooth


def test_one_euro_is_its_formula():
    samples = np.random.default_rng(0).normal(0, 3, (40, 19, 2)).cumsum(0)
    smoother = OneEuro(fps=30.0, min_cutoff=0.7, beta=0.3, d_cutoff=1.3)
    found = np.stack([smoother(sample, scale=2.0) for sample in samples])
    for point, axis in ((0, 0), (7, 1), (18, 0)):
        expected = scalar_one_euro(samples[:, point, axis], 30.0, 0.7, 0.3, 1.3, 2.0)
        np.testing.assert_allclose(found[:, point, axis], expected, rtol=1e-12)
    smoother.reset()
    np.testing.assert_array_equal(smoother(samples[5]), samples[5])


def test_one_euro_calms_what_rests_and_follows_what_moves():
    noise = np.random.default_rng(1).normal(0, 1, 400)
    for samples, lag in ((noise, None), (10.0 * np.arange(400) + noise, 12.0)):
        smoother = OneEuro(fps=25.0, min_cutoff=1.0, beta=0.05)
        found = np.array([smoother(sample) for sample in samples])
        if lag is None:
            assert found[50:].std() < 0.5 * noise[50:].std()
        else:
            assert np.abs(found - samples)[50:].mean() < lag
    with pytest.raises(ValueError, match="min_cutoff 0"):
        OneEuro(min_cutoff=0)


def test_time_stamps_take_the_place_of_the_frame_rate():
    """Values at 25 a second, of which the filter sees every second one by its time, are values at 12.5 a second."""
    samples = np.random.default_rng(2).normal(0, 3, (30, 2)).cumsum(0)
    by_rate, by_time = OneEuro(fps=12.5), OneEuro(fps=25.0)
    for place, sample in enumerate(samples):
        np.testing.assert_allclose(by_time(sample, time=3 + 0.08 * place), by_rate(sample), rtol=1e-9)
    # Long after the last value nothing of it is left: alpha = 1 / (1 + 1 / (2 pi f T)) with T = 1000.
    np.testing.assert_allclose(by_time([500.0, -500.0], time=1006.0), [500.0, -500.0], rtol=1e-3)
    with pytest.raises(ValueError, match=r"time 1006\.0 is not after 1006\.0"):
        by_time([0.0, 0.0], time=1006.0)
