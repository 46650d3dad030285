"""Head poses: known answers, signs worked out by hand, weights, and what is no head."""

import cv2
import numpy as np
import pytest
from scipy.optimize import least_squares

from kfacealign import conversions, pose, schemes
from kfacealign.data.rendered import face3d, face_points, pose_points, render

SIZE = (640, 480)
CAMERA = pose.camera_matrix(SIZE)
SCHEMES = (*schemes.SCHEMES, "ibug51", "ibug49", "common7")
TURNS = [(0, 0, 0), (25, 10, -15), (-40, -20, 30), (60, 15, 5), (10, 5, 170)]


def seen(turn, scheme="ibug68", *, camera=CAMERA, place=(40.0, -30.0, 700.0)):
    """Landmarks (K, 2) of a neutral head in image coordinates."""
    points = pose.head_points(scheme)[0] @ pose.rotation_matrix(*turn).T + place
    return (points @ camera.T)[:, :2] / points[:, 2:]


def turned(found):
    return found.yaw, found.pitch, found.roll


# === Known answers ===


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("turn", TURNS)
def test_a_projected_head_comes_back(scheme, turn):
    found = pose.estimate(seen(turn, scheme), scheme, CAMERA)
    np.testing.assert_allclose(turned(found), turn, atol=0.01)
    np.testing.assert_allclose(found.rotation, pose.rotation_matrix(*turn), atol=1e-4)
    np.testing.assert_allclose(found.translation, [40, -30, 700], atol=0.1)
    assert found.error < 1e-3
    np.testing.assert_allclose(found.project(pose.head_points(scheme)[0]), seen(turn, scheme), atol=1e-2)


def test_angles_are_those_of_the_rotation():
    for turn in [*TURNS, (-175, 80, -100)]:
        np.testing.assert_allclose(pose.angles(pose.rotation_matrix(*turn)), turn, atol=1e-9)


def test_signs_by_hand():
    nose, top = np.array([0, 0, -1]), np.array([0, -1, 0])  # out of the face and out of the head's top, in the head's axes
    np.testing.assert_allclose(pose.rotation_matrix(90, 0, 0) @ nose, [1, 0, 0], atol=1e-12)  # to the right of the image
    np.testing.assert_allclose(pose.rotation_matrix(0, 90, 0) @ nose, [0, 1, 0], atol=1e-12)  # down
    np.testing.assert_allclose(pose.rotation_matrix(0, 0, 90) @ top, [1, 0, 0], atol=1e-12)  # clockwise, to the right
    # The yaw comes first: the nose that was turned aside rolls down, and a nod does not move it.
    np.testing.assert_allclose(pose.rotation_matrix(90, 0, 90) @ nose, [0, 1, 0], atol=1e-12)
    np.testing.assert_allclose(pose.rotation_matrix(90, 90, 0) @ nose, [1, 0, 0], atol=1e-12)


def test_the_tip_of_the_nose_by_hand():
    """A head a metre away, turned 30 degrees to its own left: the tip, 44.614 mm in front, goes to the right of the image."""
    tip = seen((30, 0, 0), camera=pose.camera_matrix(SIZE, focal=1000), place=(0, 0, 1000))[30]
    depth = 1000 - 44.614 * np.cos(np.radians(30))
    np.testing.assert_allclose(tip, [320 + 1000 * 44.614 * 0.5 / depth, 240 + 1000 * 36.408 / depth], atol=1e-6)
    landmarks = seen((0, 0, 0), place=(0, 0, 1000))
    landmarks[27:36, 0] += 10  # the nose of a frontal face moves to the right of the image
    assert pose.estimate(landmarks, "ibug68", CAMERA).yaw > 5
    landmarks = seen((0, 0, 0), place=(0, 0, 1000))
    landmarks[27:36, 1] += 10
    assert pose.estimate(landmarks, "ibug68", CAMERA).pitch > 5


def test_the_camera_by_hand():
    np.testing.assert_array_equal(CAMERA, [[640, 0, 320], [0, 640, 240], [0, 0, 1]])
    np.testing.assert_array_equal(pose.camera_matrix((480, 640), focal=500), [[500, 0, 240], [0, 500, 320], [0, 0, 1]])


def test_half_a_pixel():
    """A head on the camera's axis is seen around (320, 240); half a pixel is 700 / 640 / 2 = 0.547 mm at 70 cm."""
    landmarks = seen((0, 0, 0), place=(0, 0, 700))
    np.testing.assert_allclose(landmarks[[36, 45]].mean(0), [320, 240], atol=0.1)
    np.testing.assert_allclose(pose.estimate(landmarks, "ibug68", CAMERA).translation, [0, 0, 700], atol=1e-3)
    moved = pose.estimate(landmarks - 0.5, "ibug68", CAMERA)
    np.testing.assert_allclose(moved.translation[:2], [-0.547, -0.547], atol=0.01)
    # Numbers of OpenCV, whose first pixel has its centre at 0, go with a camera of OpenCV's.
    calibrated = CAMERA - [[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]]
    np.testing.assert_allclose(pose.estimate(landmarks - 0.5, "ibug68", calibrated).translation, [0, 0, 700], atol=1e-3)


def test_the_focal_length_sets_the_distance():
    near, far = (pose.estimate(seen((0, 0, 0)), "ibug68", pose.camera_matrix(SIZE, focal=focal)) for focal in (640, 1280))
    assert far.translation[2] == pytest.approx(2 * near.translation[2], rel=0.05)


@pytest.mark.parametrize("factor", [0.1, 2, 50])
def test_a_scaled_picture_shows_the_same_pose(factor):
    noise = np.random.default_rng(0).normal(0, 2, (68, 2))
    unsure = np.tile(np.diag([4.0, 1.0]), (68, 1, 1))
    found = pose.estimate(seen(TURNS[1]) + noise, "ibug68", CAMERA, covariances=unsure)
    size = [side * factor for side in SIZE]
    scaled = factor * (seen(TURNS[1]) + noise)
    other = pose.estimate(scaled, "ibug68", pose.camera_matrix(size), covariances=factor**2 * unsure)
    np.testing.assert_allclose(other.rotation, found.rotation, atol=1e-6)
    np.testing.assert_allclose(other.translation, found.translation, rtol=1e-5)
    assert other.error == pytest.approx(factor * found.error, rel=1e-4)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("turn", TURNS[:4])
def test_in_the_mirror_yaw_and_roll_change_their_signs(scheme, turn):
    landmarks = seen(turn, scheme) + np.random.default_rng(1).normal(0, 1, (conversions.scheme(scheme).num_points, 2))
    flipped = (landmarks * [-1, 1] + [SIZE[0], 0])[list(conversions.scheme(scheme).mirror)]
    found, other = (pose.estimate(points, scheme, CAMERA) for points in (landmarks, flipped))
    np.testing.assert_allclose(turned(other), np.array(turned(found)) * [-1, 1, -1], atol=1e-3)


@pytest.mark.parametrize("turn", TURNS[1:4])
def test_the_renderer_has_the_same_angles(turn):
    face, view = face3d.Face(), render.View(*np.radians(turn), scale=80.0, shift=(130.0, 120.0))
    landmarks, _ = view.project(face_points.landmarks3d(face, "wflw98"))
    focal = view.scale / render.PERSPECTIVE  # the camera is 1 / PERSPECTIVE away from the pivot, which it sees at the shift
    camera = np.array([[focal, 0, 130], [0, focal, 120], [0, 0, 1]])
    np.testing.assert_allclose(turned(pose.estimate(landmarks, "wflw98", camera)), turn, atol=0.01)


# === The head ===


def test_the_stored_head_is_the_renderers():
    assert set(pose.stored_points()) == set(schemes.SCHEMES)
    for scheme in ("aflw19", "menpo39"):
        np.testing.assert_allclose(pose.stored_points()[scheme], pose_points.pose_points(scheme), atol=2e-3)
    for scheme in schemes.SCHEMES:
        np.testing.assert_allclose(np.array(pose.stored_points()[scheme])[:, :3], pose_points.neutral(scheme), atol=1e-3)


@pytest.mark.parametrize("scheme", [name for name in SCHEMES if name != "menpo39"])
def test_the_head_is_its_own_mirror_image(scheme):
    points, _ = pose.head_points(scheme)
    np.testing.assert_allclose(points[list(conversions.scheme(scheme).mirror)] * [-1, 1, 1], points, atol=2e-3)


def test_the_head_by_its_measures():
    """The corners of the eyes are 90 mm apart around the origin; the nose is in front, the ears behind, the chin below."""
    points, spread = pose.head_points("ibug68")
    np.testing.assert_allclose(points[[36, 45]], [[-45, 0, 0], [45, 0, 0]], atol=1e-3)
    assert 35 < -points[30, 2] < 60 and 25 < points[0, 2] < 50 and 95 < points[8, 1] < 135
    assert spread.min() > 0 and spread[57] > 3 * spread[39]  # the lower lip, an inner corner of an eye


# === Weights ===


def test_a_point_that_is_not_sure_moves_nothing():
    landmarks, truth = seen(TURNS[1]), TURNS[1]
    landmarks[36] += [30, 0]
    assert np.abs(np.subtract(turned(pose.estimate(landmarks, "ibug68", CAMERA)), truth)).max() > 0.5
    unsure = np.zeros((68, 2, 2))
    unsure[36] = 1e6 * np.eye(2)
    np.testing.assert_allclose(turned(pose.estimate(landmarks, "ibug68", CAMERA, covariances=unsure)), truth, atol=0.01)
    unsure[36] = np.diag([1e6, 0.0])  # unsure along x alone, where it is wrong
    np.testing.assert_allclose(turned(pose.estimate(landmarks, "ibug68", CAMERA, covariances=unsure)), truth, atol=0.01)
    unsure[36] = np.diag([0.0, 1e6])
    assert np.abs(np.subtract(turned(pose.estimate(landmarks, "ibug68", CAMERA, covariances=unsure)), truth)).max() > 0.5


def test_weight_0_and_nan_leave_a_point_out():
    landmarks, weights = seen(TURNS[2]) + np.random.default_rng(2).normal(0, 1, (68, 2)), np.ones(68)
    landmarks[40:60] += 30
    weights[40:60] = 0
    without = landmarks.copy()
    without[40:60] = np.nan
    first = pose.estimate(landmarks, "ibug68", CAMERA, weights=weights)
    second = pose.estimate(without, "ibug68", CAMERA)
    np.testing.assert_allclose(first.rotation, second.rotation, atol=1e-9)
    assert np.abs(np.subtract(turned(first), TURNS[2])).max() < 5


def test_the_contour_does_not_count():
    landmarks = seen(TURNS[1])
    landmarks[:17] += np.random.default_rng(3).normal(0, 30, (17, 2))
    np.testing.assert_allclose(turned(pose.estimate(landmarks, "ibug68", CAMERA)), TURNS[1], atol=0.01)


def test_the_fit_is_the_least_sum_of_squares():
    """SciPy, from the true pose and with differences for derivatives, ends where the fit ends."""
    rng = np.random.default_rng(4)
    landmarks, weights = seen(TURNS[1]) + rng.normal(0, 3, (68, 2)), rng.uniform(0.2, 3, 68)
    roots = rng.normal(0, 3, (68, 2, 2))
    unsure = roots @ np.swapaxes(roots, 1, 2)
    points, spread = pose.head_points("ibug68")
    found = pose.estimate(landmarks, "ibug68", CAMERA, weights=weights, covariances=unsure)
    # The spread of the head is seen at the distance at which the fit began.
    inner = points[17:]
    begun = pose.started(inner, (landmarks[17:] - CAMERA[:2, 2]) / 640)[1][2]
    whole = unsure[17:] + (640 * spread[17:] / begun)[:, None, None] ** 2 * np.eye(2)
    roots = np.linalg.cholesky(np.linalg.inv(whole) * weights[17:, None, None])

    def errors(six):
        placed = inner @ cv2.Rodrigues(six[:3])[0].T + six[3:] * 100
        left = (placed @ CAMERA.T)[:, :2] / placed[:, 2:] - landmarks[17:]
        return (np.swapaxes(roots, 1, 2) @ left[..., None]).ravel()

    start = [*cv2.Rodrigues(pose.rotation_matrix(*TURNS[1]))[0].ravel(), 0.4, -0.3, 7]
    best = least_squares(errors, start, xtol=1e-12, ftol=1e-12, gtol=1e-12).x
    np.testing.assert_allclose(found.rotation, cv2.Rodrigues(best[:3])[0], atol=1e-4)
    np.testing.assert_allclose(found.translation, best[3:] * 100, atol=0.1)


# === What is no head ===


def degenerate():
    landmarks = seen(TURNS[1])
    few = np.full((68, 2), np.nan)
    few[36:41] = landmarks[36:41]
    contour = np.full((68, 2), np.nan)
    contour[:17] = landmarks[:17]
    eyes = np.full((68, 2), np.nan)
    eyes[[27, 28, 29, 30, 33, 51]] = landmarks[[27, 28, 29, 30, 33, 51]]  # six points of one plane, which is seen
    rng = np.random.default_rng(5)
    line = np.linspace(0, 400, 68)
    return {
        "all NaN": np.full((68, 2), np.nan),
        "infinite": np.full((68, 2), np.inf),
        "five points": few,
        "a contour": contour,
        "one place": np.full((68, 2), 123.4),
        "a line": np.stack([line, 0.5 * line + 3], -1),
        "an upright line": np.stack([0 * line + 7, line], -1),
        "nearly a line": np.stack([line, 0.5 * line + rng.normal(0, 0.5, 68)], -1),
        "noise": rng.uniform(0, 400, (68, 2)),
        "points in disorder": rng.permutation(landmarks),
        "huge numbers": landmarks * 1e200,
        "mirrored": landmarks * [-1, 1] + [SIZE[0], 0],
        "mirrored and upside down": landmarks * [1, -1] + [0, SIZE[1]],
    }


@pytest.mark.parametrize("name", degenerate())
def test_what_is_no_head_has_no_pose(name):
    with np.errstate(all="ignore"):
        assert pose.estimate(degenerate()[name], "ibug68", CAMERA) is None


@pytest.mark.parametrize("scheme", [name for name in SCHEMES if name != "menpo39"])
@pytest.mark.parametrize("turn", [(0, 0, 0), (30, -10, 20), (-60, 10, 0)])
def test_a_mirrored_face_is_no_head_in_any_scheme(scheme, turn):
    assert pose.estimate(seen(turn, scheme) * [-1, 1] + [SIZE[0], 0], scheme, CAMERA) is None


@pytest.mark.parametrize("seed", range(20))
def test_no_input_makes_opencv_raise(seed):
    rng = np.random.default_rng(seed)
    landmarks = rng.normal(0, 10.0 ** rng.integers(-6, 7), (68, 2)) * rng.choice([0, 1], 2)
    landmarks[rng.random(68) < rng.random()] = np.nan
    assert pose.estimate(landmarks, "ibug68", CAMERA) is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"landmarks": np.zeros((67, 2))}, r"landmarks have the shape \(68, 2\), got \(67, 2\)"),
        ({"weights": np.ones(67)}, r"weights have the shape \(68,\)"),
        ({"weights": -np.ones(68)}, "not below 0"),
        ({"weights": np.full(68, np.nan)}, "finite"),
        ({"covariances": np.ones((68, 2))}, r"covariances have the shape \(68, 2, 2\)"),
        ({"covariances": np.tile([[1.0, 2], [2, 1]], (68, 1, 1))}, "covariance of point 17 has a negative variance"),
        ({"covariances": np.tile([[1.0, 2], [0, 9]], (68, 1, 1))}, "covariance of point 17 is not finite and symmetric"),
        ({"covariances": np.full((68, 2, 2), np.inf)}, "not finite"),
        ({"camera": np.eye(4)}, r"shape \(3, 3\)"),
        ({"camera": np.diag([-1.0, 1, 1])}, "focal lengths above 0"),
        ({"camera": np.diag([1.0, 1, 2])}, "last number"),
        ({"camera": np.full((3, 3), np.nan)}, "focal lengths above 0"),
        ({"scheme": "no such"}, "no landmark scheme"),
    ],
)
def test_mistakes_are_told(arguments, message):
    whole = {"landmarks": seen((0, 0, 0)), "scheme": "ibug68", "camera": CAMERA, **arguments}
    with pytest.raises(ValueError, match=message):
        pose.estimate(whole.pop("landmarks"), whole.pop("scheme"), whole.pop("camera"), **whole)


def test_a_scheme_of_ones_own_has_no_head():
    names = tuple(f"p{i}" for i in range(7))
    own = schemes.Scheme("own", point_names=names, mirror=tuple(range(7)), regions={}, contours=(), eye_corners=None, pupils=None)
    assert pose.head_points(own) is None
    with pytest.raises(ValueError, match="own has no points in three dimensions"):
        pose.estimate(np.zeros((7, 2)), own, CAMERA)


@pytest.mark.parametrize(("size", "focal"), [((0, 10), None), ((10, 10), 0), ((10, 10), -3), ((10, 10), np.nan)])
def test_what_is_no_camera(size, focal):
    with pytest.raises(ValueError, match="above 0"):
        pose.camera_matrix(size, focal=focal)


def test_derivatives_are_those_of_the_residuals():
    rng = np.random.default_rng(3)
    head, place, small = rng.normal(0, 40, (7, 3)), np.array([10.0, -20, 600]), 1e-5
    rotation = pose.rotation_matrix(20, -10, 5)
    found = pose.derivatives(head @ rotation.T, place)
    for axis in range(6):
        step = np.eye(6)[axis] * (small if axis < 3 else 100 * small)
        ends = [
            pose.residuals(head, np.zeros((7, 2)), cv2.Rodrigues(side * step[:3])[0] @ rotation, place + side * step[3:])
            for side in (-1, 1)
        ]
        np.testing.assert_allclose(found[:, :, axis], (ends[1] - ends[0]) / (2 * step.sum()), rtol=1e-5, atol=1e-9)


def test_one_covariance_among_others_is_named():
    unsure = np.tile(np.eye(2), (68, 1, 1))
    for point, wrong, said in ((20, [[1, 0], [0, np.nan]], "not finite"), (30, [[1, 2], [2, 1]], "negative variance")):
        covariances = unsure.copy()
        covariances[point] = wrong
        with pytest.raises(ValueError, match=f"covariance of point {point} .*{said}"):
            pose.estimate(seen(TURNS[1]), "ibug68", CAMERA, covariances=covariances)
    unsure[3] = np.nan  # a point of the contour, which is not used
    assert pose.estimate(seen(TURNS[1]), "ibug68", CAMERA, covariances=unsure) is not None
