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


def test_unsure_values_are_smoothed_more():
    """Without beta the share of a new value is 1 / (1 + fps / (2 pi f)) with f = min_cutoff s / sigma.

    The medians of the first two frames are 2 and 4, so s is 2 and then 3: the cutoffs of the second frame are 3 and 0.6 Hz.
    """
    smoother = OneEuro(fps=25.0, min_cutoff=1.0, beta=0.0)
    np.testing.assert_array_equal(smoother([0.0, 0.0, 0.0], deviations=[2.0, 2.0, 2.0]), [0, 0, 0])
    found = smoother([1.0, 1.0, 1.0], deviations=[1.0, 5.0, 4.0])
    shares = [1 / (1 + 25 / (2 * math.pi * cutoff)) for cutoff in (3.0, 0.6, 0.75)]
    np.testing.assert_allclose(found, shares, rtol=1e-12)
    assert shares[0] > 0.42 and shares[1] < 0.14
    smoother.reset()
    smoother([0.0, 0.0, 0.0], deviations=[3.0, 3.0, 3.0])
    np.testing.assert_allclose(smoother([1.0, 1.0, 1.0], deviations=[3.0, 3.0, 3.0]), 1 / (1 + 25 / (2 * math.pi)), rtol=1e-12)


def test_values_that_are_equally_sure_are_smoothed_as_ever():
    """Also where the face grows, and with it the deviations in pixels; a deviation of 0 passes the value as it is."""
    rng = np.random.default_rng(3)
    plain, sure = OneEuro(), OneEuro()
    for scale in (10.0, 20.0, 15.0, 15.0):
        values = rng.normal(0, 1, (5, 2))
        expected = plain(values, scale=scale)
        np.testing.assert_allclose(sure(values, scale=scale, deviations=np.full((5, 2), 0.02 * scale)), expected, rtol=1e-9)
    surest = np.full((5, 2), 1.0)
    surest[2] = 0
    found = sure(values + 7, scale=1.0, deviations=surest)
    np.testing.assert_allclose(found[2], values[2] + 7, atol=1e-3)
    assert np.isfinite(found).all()
