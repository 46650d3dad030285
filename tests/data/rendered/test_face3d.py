import numpy as np
import pytest

from kfacealign import schemes
from kfacealign.data.rendered import face3d, face_points
from kfacealign.data.rendered.render import View, visible


@pytest.mark.parametrize("name", schemes.SCHEMES)
def test_every_scheme_has_its_points_on_the_skin(name):
    face = face3d.Face()
    points = face_points.landmarks3d(face, name)
    assert points.shape == (schemes.get(name).num_points, 3)
    np.testing.assert_allclose(points[:, 2], face.surface(points[:, 0], points[:, 1]))


@pytest.mark.parametrize("name", [name for name in schemes.SCHEMES if name != "menpo39"])
def test_the_mean_face_is_its_own_mirror_image(name):
    shape = face_points.mean_shape(name)
    mirrored = shape[list(schemes.get(name).mirror)] * (-1, 1) + (1, 0)
    np.testing.assert_allclose(mirrored, shape, atol=1e-6)


@pytest.mark.parametrize("name", schemes.SCHEMES)
def test_the_mean_shape_fills_four_fifths_of_the_crop(name):
    shape = face_points.mean_shape(name)
    low, high = shape.min(0), shape.max(0)
    np.testing.assert_allclose((low + high) / 2, 0.5, atol=1e-6)
    assert (high - low).max() == pytest.approx(0.8, abs=1e-6)


def test_the_same_places_agree_between_schemes():
    face = face3d.Face(face3d.Identity(width=1.05, eye_tilt=0.03), face3d.Expression(mouth=0.6, smile=0.5))
    wflw, ibug, cofw = (face_points.landmarks3d(face, name) for name in ("wflw98", "ibug68", "cofw29"))
    jd, aflw = face_points.landmarks3d(face, "jd106"), face_points.landmarks3d(face, "aflw19")
    for first, second in (
        (ibug[8], wflw[16]),
        (ibug[36], wflw[60]),
        (ibug[45], wflw[72]),
        (ibug[30], wflw[54]),
        (ibug[54], wflw[82]),
    ):
        np.testing.assert_array_equal(first, second)
    for first, second in (
        (cofw[8], wflw[60]),
        (cofw[9], wflw[72]),
        (cofw[16], wflw[96]),
        (cofw[28], wflw[16]),
        (aflw[18], wflw[16]),
    ):
        np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(jd[104:], wflw[96:])


@pytest.mark.parametrize(
    "name, place, share",
    [
        # Shares of the distance between the outer corners of the eyes from the middle, of faces that people have labelled.
        ("ibug68", 22, 0.140),  # 300W: 1,289 faces
        ("aflw19", 3, 0.158),
        ("cofw29", 3, 0.161),
        ("wflw98", 42, 0.152),
        ("jd106", 42, 0.151),  # LaPa
    ],
)
def test_brows_end_where_people_say(name, place, share):
    points, (left, right) = face_points.landmarks2d(face3d.Face(), name), schemes.get(name).eye_corners
    assert points[place, 0] / (points[right, 0] - points[left, 0]) == pytest.approx(share, abs=0.02)


def test_lips_have_their_points_where_each_dataset_has_them():
    """The points beside the middle of the inner lips, as shares of the mouth's half width: even in WFLW and JD-landmark only."""
    face = face3d.Face()
    for name, place, corner, share in (("ibug68", 63, 54, 0.28), ("wflw98", 91, 82, 0.48), ("jd106", 99, 90, 0.50)):
        points = face_points.landmarks2d(face, name)
        assert points[place, 0] / points[corner, 0] == pytest.approx(share, abs=0.03), name


def test_the_contour_of_106_points_begins_above_the_ears():
    face = face3d.Face()
    jd, wflw = (face_points.landmarks2d(face, name) for name in ("jd106", "wflw98"))
    assert jd[0, 1] < wflw[0, 1] - 0.1 and jd[32, 1] == jd[0, 1] and jd[16, 1] == wflw[16, 1]


def test_an_open_mouth_moves_the_lower_lip_and_the_chin_and_nothing_above():
    shut, opened = (
        face_points.landmarks3d(face3d.Face(expression=face3d.Expression(mouth=m)), "ibug68")[:, :2] for m in (0.0, 1.0)
    )
    moved = np.linalg.norm(opened - shut, axis=1)
    assert moved[66] > 0.3 and moved[57] > 0.3 and moved[8] > 0.15
    assert moved[17:48].max() < 1e-9


def test_closed_eyes_have_their_lids_together():
    points = face_points.landmarks3d(face3d.Face(expression=face3d.Expression(left_eye=0.0)), "wflw98")
    assert abs(points[62, 1] - points[66, 1]) < 0.02
    assert abs(points[70, 1] - points[74, 1]) > 0.1


@pytest.mark.parametrize("yaw, pitch, roll, expected", [(0.5, 0, 0, (1, 0)), (0, 0.5, 0, (0, 1))])
def test_yaw_turns_the_nose_right_and_pitch_down(yaw, pitch, roll, expected):
    tip = face_points.landmarks3d(face3d.Face(), "ibug68")[30:31]
    ear = face_points.landmarks3d(face3d.Face(), "ibug68")[[0, 16]].mean(0, keepdims=True)
    view, front = View(yaw, pitch, roll), View(0, 0, 0)
    offset = (view.project(tip)[0] - view.project(ear)[0]) - (front.project(tip)[0] - front.project(ear)[0])
    assert np.argmax(np.abs(offset[0])) == np.argmax(expected)
    assert offset[0] @ np.array(expected) > 0.2


def test_roll_is_clockwise():
    """A quarter turn takes the chin, below, to the left."""
    chin = face_points.landmarks3d(face3d.Face(), "ibug68")[8:9]
    upright, turned = View(0, 0, 0).project(chin)[0][0], View(0, 0, np.pi / 2).project(chin)[0][0]
    np.testing.assert_allclose(turned, (-upright[1], upright[0]), atol=1e-9)


def test_the_far_side_of_a_turned_head_is_hidden():
    """Nose to the right: the far eye's outer corner and the far jaw are behind, the near ones in view."""
    face = face3d.Face()
    points = face_points.landmarks3d(face, "ibug68")
    turned = visible(face, View(np.radians(55), 0, 0), points)
    assert turned[:8].all() and turned[36:40].all()
    assert not turned[13:17].any()
    front = visible(face, View(0, 0, 0), points)
    assert front[17:].mean() > 0.97
