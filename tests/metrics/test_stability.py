import numpy as np
import pytest

from kfacealign import schemes
from kfacealign.metrics import jitter

IBUG = schemes.get("ibug68")


def still(frames, scale=100.0):
    return np.repeat(scale * IBUG.mean_shape[None].astype("float64"), frames, axis=0)


def eyes(landmarks):
    return np.linalg.norm(np.subtract(*landmarks[list(IBUG.eye_corners)]))


def test_constant_velocity_has_no_jitter():
    moving = still(9) + np.arange(9)[:, None, None] * [1.5, -0.25]
    assert jitter(moving, "ibug68") == pytest.approx(0, abs=1e-9)


def test_points_that_jump_to_and_fro():
    # p = +e, -e, +e: the second difference is 4 e.
    shaken = still(6) + 0.5 * (-1.0) ** np.arange(6)[:, None, None] * [0.6, 0.8]
    assert jitter(shaken, "ibug68") == pytest.approx(400 * 0.5 / eyes(shaken[0]), rel=1e-6)
    assert jitter(3 * shaken, "ibug68") == pytest.approx(jitter(shaken, "ibug68"), rel=1e-6)


def test_constant_acceleration_of_some_points():
    bent = still(5)
    bent[:, 60:66, 0] += 0.1 * np.arange(5)[:, None] ** 2  # 6 of 68 points, second difference 0.2, none an eye's corner
    assert jitter(bent, "ibug68") == pytest.approx(100 * (6 / 68) * 0.2 / eyes(bent[0]), rel=1e-6)


def test_a_scheme_without_eye_corners_is_measured_by_its_box():
    scheme = schemes.get("menpo39")
    assert scheme.eye_corners is None
    points = np.random.default_rng(0).uniform(0, 40, (39, 2))
    shaken = points + 0.25 * (-1.0) ** np.arange(4)[:, None, None] * [1.0, 0.0]
    assert jitter(shaken, scheme) == pytest.approx(100 / np.sqrt(np.ptp(points, axis=0).prod()), rel=1e-6)


def test_lost_frames_and_new_tracks_are_not_crossed():
    landmarks = still(9)
    landmarks[5:] += 40.0  # a cut between frames 4 and 5
    assert jitter(landmarks, "ibug68") > 1
    assert jitter(landmarks, "ibug68", starts=np.arange(9) == 5) == 0
    landmarks[4] = np.nan
    assert jitter(landmarks, "ibug68") == 0
    landmarks[4] = 7e6
    assert jitter(landmarks, "ibug68", found=np.arange(9) != 4) == 0


def test_nothing_to_measure():
    assert np.isnan(jitter(still(2), "ibug68"))
    assert np.isnan(jitter(still(6), "ibug68", found=[True, True, False] * 2))


def test_wrong_shapes_are_named():
    with pytest.raises(ValueError, match=r"\(T, 68, 2\), got shape \(4, 5, 2\)"):
        jitter(np.zeros((4, 5, 2)), "ibug68")
    with pytest.raises(ValueError, match=r"starts must be \(6,\)"):
        jitter(still(6), "ibug68", starts=[True])
