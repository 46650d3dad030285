import os
from pathlib import Path

import numpy as np
import pytest

from kfacealign import conversions, schemes
from kfacealign.conversions import convert, convert_landmarks
from kfacealign.data import Faces

REAL = {"ibug68": "300w", "wflw98": "wflw", "jd106": "lapa", "aflw19": "aflw"}
PAIRS = conversions.conversions()
DIRECT = tuple(conversions.SOURCES)
# Largest distance of a point in the package's own mean shapes after a similarity fit, in inter-ocular distances. A
# neighbouring point in its place is farther off.
FAR = 0.03
# Below the nose, where the own shapes of jd106 and the others differ: real mean faces tell these (below).
BASE = {"ibug68": (31, 32, 33, 34, 35), "ibug51": (14, 15, 16, 17, 18), "ibug49": (14, 15, 16, 17, 18), "aflw19": (12, 14)}


def mean(name):
    return conversions.scheme(name).mean_shape.astype(float)


def fitted(source, target, points=slice(None)):
    """`source` moved onto `target` by the similarity transform of least squares of these points."""
    a, b = source[points], target[points]
    u, s, v = np.linalg.svd((a - a.mean(0)).T @ (b - b.mean(0)))
    return (source - a.mean(0)) @ (u @ v) * (s.sum() / ((a - a.mean(0)) ** 2).sum()) + b.mean(0)


def distances(converted, target, name, points=slice(None)):
    """Of these points, fitted by them, in inter-ocular distances."""
    corners = list(conversions.scheme(name).eye_corners)
    ocular = np.linalg.norm(np.subtract(*target[corners]))
    return np.linalg.norm(fitted(converted, target, points) - target, axis=1)[points] / ocular


def real_means(*names):
    if "KFACEALIGN_DATA" not in os.environ:
        pytest.skip("KFACEALIGN_DATA names no directory of real mean faces")
    folder = Path(os.environ["KFACEALIGN_DATA"]) / "meanface"
    return [np.array((folder / f"{REAL[name]}.txt").read_text().split(), float).reshape(-1, 2) for name in names]


def test_pairs():
    wanted = {("wflw98", "ibug68"), ("jd106", "ibug68"), ("wflw98", "aflw19"), ("jd106", "ibug49"), ("ibug68", "common7")}
    assert wanted <= set(PAIRS)
    for source, target in PAIRS:
        matrix = conversions.matrix(source, target)
        assert matrix.shape == (conversions.scheme(target).num_points, schemes.get(source).num_points)
        np.testing.assert_allclose(matrix.sum(1), 1)


def compared(source, target):
    """The points of the target that the own mean shapes can tell."""
    count = conversions.scheme(target).num_points
    return np.setdiff1d(np.arange(count), BASE.get(target, ()) if source == "jd106" else ())


@pytest.mark.parametrize("source, target", PAIRS)
def test_own_mean_shapes_agree(source, target):
    points = compared(source, target)
    assert distances(convert_landmarks(mean(source), source, target), mean(target), target, points).max() < FAR


@pytest.mark.parametrize("source, target", DIRECT)
def test_a_wrong_index_would_be_seen(source, target):
    """Every point replaced by its neighbour in the source is farther off than any point of the conversion."""
    shape, goal, points = mean(source), mean(target), compared(source, target)
    matrix = conversions.matrix(source, target)
    for row in points:
        if np.count_nonzero(matrix[row]) == 1:
            for neighbour in (-1, 1):
                wrong = matrix.copy()
                wrong[row] = np.roll(wrong[row], neighbour)
                assert distances(wrong @ shape, goal, target, points).max() > FAR


@pytest.mark.parametrize("target", ["ibug68", "aflw19"])
def test_below_the_nose_real_mean_faces_agree(target):
    """By the affine map of eyes and tip of the nose, and not with the neighbouring points."""
    real, goal = real_means("jd106", target)
    matrix = conversions.matrix("jd106", target)
    fixed = [*schemes.get(target).regions["eyes"], {"ibug68": 30, "aflw19": 13}[target]]

    def error(rows):
        moved = np.c_[rows @ real, np.ones(len(rows))]
        affine = np.linalg.lstsq(moved[fixed], goal[fixed], rcond=None)[0]
        ocular = np.linalg.norm(np.subtract(*goal[list(schemes.get(target).eye_corners)]))
        return np.linalg.norm(moved @ affine - goal, axis=1)[list(BASE[target])] / ocular

    assert error(matrix).max() < 0.035
    for shift in (-1, 1):
        wrong = matrix.copy()
        wrong[list(BASE[target])] = np.roll(matrix[list(BASE[target])], shift, axis=1)
        assert error(wrong).max() > 0.035


@pytest.mark.parametrize("source, target", [pair for pair in PAIRS if pair[1] in REAL])
def test_real_mean_shapes_agree(source, target):
    """Real mean faces are those of differently shaped crops, so one scale per axis is fitted."""
    real, goal = real_means(source, target)
    converted = convert_landmarks(real, source, target).astype(float)
    centred, to = converted - converted.mean(0), goal - goal.mean(0)
    placed = centred * (centred * to).sum(0) / (centred**2).sum(0) + goal.mean(0)
    ocular = np.linalg.norm(np.subtract(*goal[list(schemes.get(target).eye_corners)]))
    error = np.linalg.norm(placed - goal, axis=1) / ocular
    assert error.mean() < 0.045 and error.max() < 0.12
    swapped = placed.copy()
    swapped[[0, 1]] = swapped[[1, 0]]
    assert (np.linalg.norm(swapped - goal, axis=1) / ocular).max() > error.max()


def test_known_points():
    points = np.arange(98)[:, None] * np.ones(2)
    converted = convert_landmarks(points, "wflw98", "ibug68")[:, 0]
    assert converted[[0, 8, 16, 17, 22, 27, 31, 36, 37, 38, 39, 48, 60, 67]].tolist() == [
        *(0, 16, 32, 33, 42, 51, 55, 60, 61, 63, 64, 76, 88, 95)
    ]
    points = np.arange(106)[:, None] * np.ones(2)
    converted = convert_landmarks(points, "jd106", "ibug68")[:, 0]
    assert converted[[16, 26, 30, 31, 35, 36, 42, 45, 48, 67]].tolist() == [32, 46, 54, 58, 62, 66, 75, 79, 84, 103]
    points = np.arange(68)[:, None] * np.ones(2)
    inner = convert_landmarks(points, "ibug68", "ibug49")[:, 0].tolist()
    assert len(inner) == 49 and inner[0] == 17 and 60 not in inner and 64 not in inner
    assert convert_landmarks(points, "ibug68", "ibug51")[:, 0].tolist() == list(range(17, 68))
    assert convert_landmarks(points, "ibug68", "common7")[:, 0].tolist() == [36, 39, 42, 45, 30, 48, 54]


@pytest.mark.parametrize("name", ["ibug51", "ibug49", "common7"])
def test_partial_schemes(name):
    scheme = conversions.scheme(name)
    mirror = np.array(scheme.mirror)
    np.testing.assert_array_equal(mirror[mirror], np.arange(scheme.num_points))
    shape = scheme.mean_shape
    np.testing.assert_allclose(shape[mirror] * [-1, 1] + [1, 0], shape, atol=1e-5)
    assert sorted(point for points in scheme.regions.values() for point in points) == list(range(scheme.num_points))
    assert [scheme.point_names[point] for point in scheme.eye_corners] == ["left_eye_0", "right_eye_3"]


@pytest.mark.parametrize("source, target", PAIRS)
def test_a_mirrored_face_converts_to_the_mirrored_face(source, target):
    points = np.random.default_rng(0).random((schemes.get(source).num_points, 2))

    def flip(shape, name):
        return (shape * [-1, 1] + [1, 0])[list(conversions.scheme(name).mirror)]

    first = convert_landmarks(flip(points, source), source, target)
    np.testing.assert_allclose(first, flip(convert_landmarks(points, source, target), target), atol=1e-6)


def test_faces_keep_what_they_have():
    rng = np.random.default_rng(1)
    weights, occluded = np.ones((2, 98)), np.zeros((2, 98), bool)
    landmarks = rng.uniform(10, 90, (2, 98, 2))
    weights[0, 35], landmarks[0, 35] = 0, 1e6
    occluded[1, 40] = True
    boxes = np.array([[0, 0, 99, 99], [1, 1, 80, 90]])
    faces = Faces(
        "wflw98",
        ["a", "b"],
        landmarks,
        weights=weights,
        boxes=boxes,
        attributes={"blur": [1, 0]},
        names=["A", "B"],
        origins=["l:1", "l:2"],
        occluded=occluded,
    )
    converted = convert(faces, "aflw19")
    assert converted.weights[0].tolist() == [1, 0, *[1] * 17] and converted.weights[1].all()
    assert converted.occluded[1].tolist() == [False, True, *[False] * 17]
    assert np.abs(converted.landmarks[0]).max() < 100
    assert (converted.names, converted.origins, converted.images) == (["A", "B"], ["l:1", "l:2"], ["a", "b"])
    assert converted.boxes.tolist() == boxes.tolist() and converted.attributes["blur"].tolist() == [True, False]
    assert convert(faces, "wflw98") is faces
    assert convert(faces, "ibug49").scheme.name == "ibug49"


def test_errors():
    faces = Faces("cofw29", ["a"], np.random.default_rng(0).random((1, 29, 2)))
    with pytest.raises(ValueError, match="no conversion from cofw29 to ibug68; from cofw29 there is none"):
        convert(faces, "ibug68")
    with pytest.raises(ValueError, match="no landmark scheme"):
        convert(faces, "ibug50")
    with pytest.raises(ValueError, match=r"wflw98 are \(..., 98, 2\)"):
        convert_landmarks(np.zeros((3, 68, 2)), "wflw98", "ibug68")
