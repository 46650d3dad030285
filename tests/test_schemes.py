import dataclasses
import hashlib
import itertools
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest

from kfacealign import landmark_scheme, schemes
from kfacealign.data.rendered import face_points
from kfacealign.schemes import SCHEMES, Contour, Scheme

SIZES = {"wflw98": 98, "ibug68": 68, "cofw29": 29, "aflw19": 19, "jd106": 106, "menpo39": 39}
REAL = {"ibug68": "300w", "wflw98": "wflw", "cofw29": "cofw", "aflw19": "aflw", "jd106": "lapa"}
MIRRORED = {
    "wflw98": [
        (0, 32),
        (16, 16),
        (33, 46),
        (41, 47),
        (51, 51),
        (55, 59),
        (60, 72),
        (61, 71),
        (67, 73),
        (64, 68),
        (76, 82),
        (87, 83),
        (88, 92),
        (95, 93),
        (96, 97),
    ],
    "ibug68": [
        (0, 16),
        (8, 8),
        (17, 26),
        (21, 22),
        (30, 30),
        (31, 35),
        (36, 45),
        (39, 42),
        (41, 46),
        (48, 54),
        (59, 55),
        (60, 64),
        (67, 65),
    ],
    "cofw29": [(0, 1), (2, 3), (4, 6), (5, 7), (8, 9), (10, 11), (12, 14), (13, 15), (16, 17), (18, 19), (22, 23), (28, 28)],
    "aflw19": [(0, 5), (1, 4), (2, 3), (6, 11), (7, 10), (12, 14), (13, 13), (15, 17), (18, 18)],
    "jd106": [(0, 32), (33, 46), (55, 65), (60, 60), (66, 79), (70, 75), (74, 83), (84, 90), (96, 100), (104, 105)],
    "menpo39": [(0, 0), (14, 14), (31, 31), (38, 38)],
}
everywhere = pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)


def real_mean(name):
    if "KFACEALIGN_DATA" not in os.environ:
        pytest.skip("KFACEALIGN_DATA names no directory of real annotations")
    text = (Path(os.environ["KFACEALIGN_DATA"]) / "meanface" / f"{REAL[name]}.txt").read_text()
    return np.array(text.split(), float).reshape(-1, 2)


def fitted(source, target, similarity=False):
    """`source` moved onto `target` by least squares: one scale per axis, or a similarity (Procrustes)."""
    source, centre = source - source.mean(0), target.mean(0)
    target = target - centre
    if not similarity:
        return source * (source * target).sum(0) / (source**2).sum(0) + centre
    u, s, v = np.linalg.svd(source.T @ target)
    return source @ (u @ v) * (s.sum() / (source**2).sum()) + centre


def test_names_and_sizes():
    assert {name: scheme.num_points for name, scheme in SCHEMES.items()} == SIZES
    assert all(scheme.name == name for name, scheme in SCHEMES.items())


def test_get():
    assert schemes.get("wflw98") is schemes.WFLW98
    assert schemes.get(schemes.COFW29) is schemes.COFW29
    with pytest.raises(ValueError, match="'wflw'; there are wflw98, ibug68, cofw29, aflw19, jd106, menpo39"):
        schemes.get("wflw")


@everywhere
def test_points_have_unique_names(scheme):
    assert len(set(scheme.point_names)) == scheme.num_points


@everywhere
def test_the_mirror_undoes_itself(scheme):
    mirror = np.array(scheme.mirror)
    assert sorted(mirror) == list(range(scheme.num_points))
    np.testing.assert_array_equal(mirror[mirror], np.arange(scheme.num_points))


@everywhere
def test_the_mirror_swaps_the_sides_of_the_names(scheme):
    for name, twin in zip(scheme.point_names, scheme.mirror, strict=True):
        side = name.partition("_")[0]
        expected = {"left": "right", "right": "left"}.get(side, side)
        assert scheme.point_names[twin].partition("_")[0] == expected


@everywhere
def test_known_pairs(scheme):
    for first, second in MIRRORED[scheme.name]:
        assert scheme.mirror[first] == second and scheme.mirror[second] == first


@everywhere
def test_regions_part_the_points(scheme):
    assert set(scheme.regions) == {"contour", "brows", "eyes", "nose", "mouth"}
    assert sorted(point for points in scheme.regions.values() for point in points) == list(range(scheme.num_points))


@everywhere
def test_a_region_mirrors_to_itself(scheme):
    for points in scheme.regions.values():
        assert {scheme.mirror[point] for point in points} == set(points)


@everywhere
def test_contours(scheme):
    assert len({contour.name for contour in scheme.contours}) == len(scheme.contours)
    for contour in scheme.contours:
        assert len(set(contour.points)) == len(contour.points) >= 2
        assert min(contour.points) >= 0 and max(contour.points) < scheme.num_points


@everywhere
def test_contours_mirror_to_contours(scheme):
    """Every drawn line is also one of the mirrored face."""

    def lines(permutation):
        pairs = set()
        for contour in scheme.contours:
            points = [permutation[point] for point in contour.points]
            points += points[:1] * contour.closed
            pairs |= {frozenset(pair) for pair in itertools.pairwise(points)}
        return pairs

    assert lines(scheme.mirror) == lines(range(scheme.num_points))


def test_eye_corners_and_pupils():
    corners = {name: scheme.eye_corners for name, scheme in SCHEMES.items()}
    known = {"wflw98": (60, 72), "ibug68": (36, 45), "cofw29": (8, 9), "aflw19": (6, 11), "jd106": (66, 79), "menpo39": None}
    assert corners == known
    assert schemes.WFLW98.pupils == ((96,), (97,))
    assert schemes.IBUG68.pupils == ((36, 37, 38, 39, 40, 41), (42, 43, 44, 45, 46, 47))
    assert schemes.JD106.pupils == ((104,), (105,))
    for scheme in SCHEMES.values():
        if scheme.eye_corners:
            left, right = scheme.eye_corners
            assert scheme.mirror[left] == right
            assert {scheme.mirror[point] for point in scheme.pupils[0]} == set(scheme.pupils[1])


def test_normalizers():
    assert schemes.IBUG68.normalizers() == ("inter_ocular", "inter_pupil", "box", "diagonal", "image")
    assert schemes.IBUG68.default_normalizer == "inter_ocular"
    assert schemes.MENPO39.normalizers() == ("box", "diagonal", "image")
    assert schemes.MENPO39.default_normalizer == "box"


# === What a scheme checks about itself ===


def small(**changes):
    """A scheme of five points: two eyes, the tip of the nose, the corners of the mouth."""
    parts = {
        "point_names": ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth"),
        "mirror": (1, 0, 2, 4, 3),
        "regions": {"eyes": (0, 1), "nose": (2,), "mouth": (3, 4)},
        "contours": (Contour("mouth", (3, 4)),),
        "eye_corners": (0, 1),
        "pupils": ((0,), (1,)),
    }
    return Scheme("small", **{**parts, **changes})


def test_a_scheme_of_ones_own():
    scheme = small()
    assert scheme.num_points == 5 and scheme.mean_shape is None
    assert scheme.normalizers() == ("inter_ocular", "inter_pupil", "box", "diagonal", "image")
    assert small(eye_corners=None, pupils=None).default_normalizer == "box"
    assert small(mirror=tuple(np.array([1, 0, 2, 4, 3]))).mirror == (1, 0, 2, 4, 3)  # NumPy's whole numbers are some


def test_a_scheme_is_written_by_names():
    with pytest.raises(TypeError, match="positional"):
        Scheme("small", ("a",), (0,), {}, (), None, None)


@pytest.mark.parametrize(
    "mirror, message",
    [
        ((1, 2, 0, 4, 3), "mirror is not its own inverse, point 0 becomes 1 and 1 becomes 2"),  # a cycle of three
        ((1, 0, 3, 4, 2), "mirror is not its own inverse, point 2 becomes 3 and 3 becomes 4"),
        ((1, 0, 2, 4, 4), "mirror is no permutation, points 3 and 4 both become 4"),
        ((1, 0, 1, 4, 4), "mirror is no permutation, points 0 and 2 both become 1"),
        ((1, 0, 2, 4), "mirror has 4 entries for 5 points"),
        ((1, 0, 2, 4, 3, 5), "mirror has 6 entries for 5 points"),
        ((2, 1, 3, 5, 4), "mirror holds 5, expected whole numbers from 0 to 4"),  # counted from 1
        ((1, 0, 2, -1, 9), "mirror holds -1, expected whole numbers from 0 to 4"),
        ((1, 0, 2, 4.0, 3), "mirror holds 4.0, expected whole numbers from 0 to 4"),
        ((True, False, 2, 4, 3), "mirror holds True, expected whole numbers from 0 to 4"),
        (("1", 0, 2, 4, 3), "mirror holds '1', expected whole numbers from 0 to 4"),
    ],
)
def test_a_wrong_mirror_is_named(mirror, message):
    with pytest.raises(ValueError, match=re.escape(f"scheme 'small': {message}")):
        small(mirror=mirror)


@pytest.mark.parametrize("wrong", [5, -1, 1.0, np.float32(1), True, np.True_, None, "1"])
@pytest.mark.parametrize(
    "part, what, write",
    [
        ("eye_corners", "eye_corners", lambda index: (0, index)),
        ("pupils", "pupils", lambda index: ((0,), (1, index))),
        ("regions", "region 'mouth'", lambda index: {"eyes": (0, 1), "nose": (2,), "mouth": (3, 4, index, 99)}),
        ("contours", "contour 'mouth'", lambda index: (Contour("nose", (2,)), Contour("mouth", (3, index, 99)))),
    ],
)
def test_an_index_of_no_point_is_named(part, what, write, wrong):
    """The first that is wrong is named, not the 99 behind it."""
    message = f"scheme 'small': {what} holds {wrong!r}, expected whole numbers from 0 to 4"
    with pytest.raises(ValueError, match=re.escape(message)):
        small(**{part: write(wrong)})


def test_names_that_stand_twice_are_named():
    with pytest.raises(ValueError, match="scheme 'small': points 1 and 3 are both called 'b'"):
        small(point_names=("a", "b", "c", "b", "a"))


def test_a_part_of_a_scheme_is_checked_too():
    with pytest.raises(ValueError, match=r"contour 'jaw' holds 68, expected whole numbers from 0 to 67"):
        dataclasses.replace(schemes.IBUG68, contours=(Contour("jaw", (0, 68)),))


def test_schemes_are_dictionary_keys():
    assert {schemes.WFLW98: 1}[schemes.get("wflw98")] == 1


@pytest.mark.parametrize("name", REAL)
def test_the_real_mean_face_is_near_its_mirror_image(name):
    points = real_mean(name)
    mirrored = points[list(SCHEMES[name].mirror)] * [-1, 1]
    mirrored[:, 0] += (points - mirrored)[:, 0].mean()  # about the best axis
    distances = np.linalg.norm(points - mirrored, axis=1)
    assert distances.max() < 0.04
    assert distances.mean() < 0.02


@everywhere
def test_mean_shape_fills_four_fifths_of_the_crop(scheme):
    shape = scheme.mean_shape
    assert shape.shape == (scheme.num_points, 2) and shape.dtype == np.float32
    np.testing.assert_allclose((shape.min(0) + shape.max(0)) / 2, 0.5, atol=1e-6)
    np.testing.assert_allclose(np.ptp(shape, axis=0).max(), 0.8, atol=1e-6)
    shape[:] = 0
    assert scheme.mean_shape.any()  # what was changed is a copy


@everywhere
def test_the_stored_mean_shape_is_near_the_renderers(scheme):
    rendered = face_points.mean_shape(scheme.name)
    assert (scheme.mean_shape.dtype, scheme.mean_shape.shape) == (rendered.dtype, rendered.shape)
    distances = np.linalg.norm(scheme.mean_shape - rendered, axis=1)
    assert distances.mean() < 0.04 and distances.max() < 0.12


def test_the_stored_mean_shapes_do_not_change():
    """PIPNet's neighbours are computed from them, and trained models depend on them."""
    numbers = json.dumps(landmark_scheme.mean_shapes(), sort_keys=True)
    assert hashlib.sha256(numbers.encode()).hexdigest() == "a70e53014973cdafd2fd1e83051d96250ff96aa6864db0d6577aee6817829bfc"


def test_every_scheme_has_a_stored_mean_shape_and_no_other_has():
    assert set(landmark_scheme.mean_shapes()) == set(SCHEMES)


@pytest.mark.parametrize("name", REAL)
def test_mean_shape_is_its_own_mirror_image(name):
    shape = SCHEMES[name].mean_shape
    np.testing.assert_allclose(shape[list(SCHEMES[name].mirror)] * [-1, 1] + [1, 0], shape, atol=1e-5)


@pytest.mark.parametrize("name", REAL)
def test_mean_shape_resembles_the_real_mean_face(name):
    real, shape = real_mean(name), SCHEMES[name].mean_shape.astype(float)
    real *= np.ptp(shape, axis=0) / np.ptp(real, axis=0)  # fractions of crops whose two sides differ
    distances = np.linalg.norm(fitted(shape, real, similarity=True) - real, axis=1)
    assert np.sqrt((distances**2).mean()) < 0.05 * np.ptp(shape, axis=0).max()


@pytest.mark.parametrize("name", REAL)
def test_the_renderers_points_lie_where_those_of_labelled_faces_do(name):
    """In percent of the distance between the eyes' outer corners; without the jaw, which turned heads move in the mean.

    Upwards and downwards a mean mouth, which smiles and is a little open, differs from one at rest.
    """
    scheme, real, shape = SCHEMES[name], real_mean(name), face_points.mean_shape(name).astype(float)
    inner = [point for point in range(scheme.num_points) if point not in scheme.regions["contour"]]
    first, second = scheme.eye_corners
    apart = 100 * (fitted(shape[inner], real[inner]) - real[inner]) / (real[second] - real[first])[0]
    assert np.abs(apart[:, 0]).max() < 4.5 and np.linalg.norm(apart, axis=1).mean() < 2


@pytest.mark.parametrize("name", REAL)
def test_mean_shape_has_the_order_of_the_real_annotation(name):
    """Mostly the nearest real point is the same one; the rest are neighbours on dense contours and lips that touch."""
    real = real_mean(name)
    shape = fitted(SCHEMES[name].mean_shape.astype(float), real)
    nearest = np.linalg.norm(shape[:, None] - real, axis=-1).argmin(1)
    steps = np.abs(nearest - np.arange(len(real)))
    assert (steps == 0).mean() >= 0.75
    assert (steps <= 1).mean() >= 0.9


def test_the_mean_profile_looks_right_and_runs_in_its_order():
    """The order that the comment of MENPO39 promises, on its mean shape."""
    points = dict(zip(schemes.MENPO39.point_names, schemes.MENPO39.mean_shape, strict=True))
    x, y = schemes.MENPO39.mean_shape.T
    assert points["contour_0"][0] == x.min() and points["contour_9"][1] == y.max()
    assert points["bridge_3"][0] == x.max()
    assert (np.diff(y[:10]) > 0).all()  # down the jaw
    assert (np.diff(x[10:14]) > 0).all()  # forward along the brow
    assert (np.diff(y[14:18]) > 0).all() and (np.diff(x[14:18]) > 0).all()  # down the bridge
    assert x[17] > x[18] > x[19:23].max() and y[22] < y[21]  # back to the wing, up its crease
    assert points["eye_0"][0] == x[23:28].min() and y[24] < y[27] and y[25] < y[26]
    assert points["outer_lip_3"][0] == x[28:35].min() and y[28] < y[31] < y[34]
    assert y[28] < y[35] <= y[38] < y[34] and x[35] > x[36] and x[38] > x[37]
