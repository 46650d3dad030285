import numpy as np
import pytest

from kfacealign.data import Faces
from kfacealign.data.readers import checks

POINTS = np.random.default_rng(0).uniform(10, 90, (3, 68, 2))


def test_boxes_outside_of_their_image():
    boxes = [[0, 0, 50, 50], [120, 0, 160, 50], [-60, 10, -5, 40], [0, 0, 300, 90], [-20, -20, 110, 110], [500, 0, 501, 1]]
    boxes = np.array(boxes)
    sizes = np.array([[100, 100]] * 5 + [[0, 0]])
    assert checks.outside_images(boxes, sizes).tolist() == [False, True, True, True, False, False]


def test_duplicates_are_equal_landmarks():
    faces = Faces("ibug68", ["a", "b", "a", "c"], POINTS[[0, 1, 2, 1]])
    assert checks.duplicates(faces) == [(1, 3)]  # one photograph with two faces is none


def test_faces_without_inter_ocular_distance():
    landmarks, weights = POINTS.copy(), np.ones((3, 68))
    landmarks[1:, 45] = landmarks[1:, 36]
    weights[2, 45] = 0
    assert checks.no_inter_ocular(Faces("ibug68", "abc", landmarks, weights=weights)).tolist() == [1]
    assert checks.no_inter_ocular(Faces("menpo39", "abc", POINTS[:, :39])).tolist() == []


def test_missing_images(tmp_path):
    (tmp_path / "a.jpg").touch()
    paths = [tmp_path / "a.jpg", tmp_path / "b.jpg", tmp_path / "no" / "c.jpg"]
    assert checks.missing_images(Faces("ibug68", paths, POINTS)) == [str(path) for path in paths[1:]]
    inside = Faces("ibug68", [f"{tmp_path / 'x.mat'}#{i}" for i in range(3)], POINTS)
    assert checks.missing_images(inside) == [str(tmp_path / "x.mat")]


def test_report_raises_or_warns():
    with pytest.raises(ValueError, match="twice"):
        checks.report("twice", strict=True)
    with pytest.warns(UserWarning, match="twice"):
        checks.report("twice", strict=False)


def test_points_far_outside_of_their_image():
    landmarks = POINTS.copy()
    landmarks[0, 3], landmarks[1, 4], landmarks[2, 5] = (-51, 50), (149, 149), (50, 151)
    weights = np.ones((3, 68))
    weights[2, 5] = 0
    faces = Faces("ibug68", ["a", "b", "c"], landmarks, weights=weights)
    # Half of the longer side of 100 is allowed.
    assert np.argwhere(checks.far_outside(faces, [[100, 90], [100, 100], [100, 100]])).tolist() == [[0, 3]]
    assert not checks.far_outside(faces, np.zeros((3, 2))).any()
    found = " ".join(checks.problems(faces, sizes=np.array([[100, 90]] * 3)))
    assert "2 points of 2 faces lie far outside of their image: a: point 3 at (-51.0, 50.0) in an image of 100 x 90" in found


def test_faces_of_a_hundred_times_their_image():
    landmarks = POINTS.copy()
    landmarks[1, 0] = (10_200, 50)
    faces = Faces("ibug68", ["a", "b", "c"], landmarks)
    assert checks.huge(faces, [[100, 100]] * 3).tolist() == [False, True, False]
    assert not checks.huge(faces, [[0, 0], [200, 100], [100, 100]]).any()
    with pytest.raises(ValueError, match=r"^b: a face of 10,\d+ x \d+ pixels in an image of 100 x 100: is a decimal point lost"):
        checks.annotated("X", faces, strict=False, sizes=np.array([[100, 100]] * 3))
    assert any(
        "faces are more than 100 times as large" in text for text in checks.problems(faces, sizes=np.array([[100, 100]] * 3))
    )
