import json

import numpy as np
import pytest

from kfacealign import conversions, schemes
from kfacealign.landmark_scheme import MOST_POINTS, Scheme

FIVE = {
    "name": "five",
    "point_names": ["left_eye", "right_eye", "nose", "left_mouth", "right_mouth"],
    "mirror": [1, 0, 2, 4, 3],
    "regions": {"eyes": [0, 1], "nose": [2], "mouth": [3, 4]},
    "contours": [{"name": "mouth", "points": [3, 4], "closed": False}, {"name": "eyes", "points": [0, 1, 2], "closed": True}],
    "eye_corners": [0, 1],
    "pupils": [[0], [1]],
    "mean_shape": [[0.3, 0.3], [0.7, 0.3], [0.5, 0.5], [0.35, 0.7], [0.65, 0.7]],
}


def test_a_description_is_read_as_it_was_written():
    scheme = Scheme.from_config(FIVE)
    assert scheme.get_config() == FIVE
    assert Scheme.from_config(json.loads(json.dumps(FIVE))) == scheme
    assert scheme.contours[1] == schemes.Contour("eyes", (0, 1, 2), closed=True)
    np.testing.assert_array_equal(scheme.mean_shape, np.array(FIVE["mean_shape"], "float32"))
    assert (scheme.default_normalizer, scheme.num_points) == ("inter_ocular", 5)


@pytest.mark.parametrize("name", schemes.SCHEMES)
def test_schemes_of_this_package_are_told_by_name(name):
    scheme = schemes.get(name)
    assert schemes.described(scheme) == name and schemes.get(schemes.described(scheme)) is scheme
    copied = Scheme.from_config({**scheme.get_config(), "mean_shape": None})
    assert copied == scheme and copied.matches(scheme)


def test_other_schemes_are_told_whole():
    for scheme in (Scheme.from_config(FIVE), conversions.scheme("ibug51")):
        told = schemes.described(scheme)
        assert isinstance(told, dict)
        again = schemes.get(json.loads(json.dumps(told)))
        assert again.matches(scheme) and again.regions == scheme.regions and again.contours == scheme.contours
        np.testing.assert_allclose(again.mean_shape, scheme.mean_shape, atol=1e-5)


def test_what_may_be_left_out():
    scheme = Scheme.from_config({key: FIVE[key] for key in ("name", "point_names", "mirror")})
    assert (scheme.regions, scheme.contours, scheme.eye_corners, scheme.pupils) == ({"points": (0, 1, 2, 3, 4)}, (), None, None)
    assert scheme.mean_shape is None and scheme.default_normalizer == "box"
    assert Scheme.from_config({**FIVE, "regions": {"eyes": [0, 1]}}).regions == {"eyes": (0, 1), "other": (2, 3, 4)}


def test_schemes_that_match():
    scheme = Scheme.from_config(FIVE)
    assert scheme.matches(Scheme.from_config({**FIVE, "contours": [], "eye_corners": None, "mean_shape": None}))
    for change, told in (
        ({"name": "other"}, "other"),
        ({"mirror": [1, 0, 2, 3, 4]}, "five with another mirror"),
        ({"point_names": list("abcde")}, "five with other names of points"),
    ):
        other = Scheme.from_config({**FIVE, **change})
        assert not scheme.matches(other) and other.difference(scheme) == told
    four = Scheme.from_config({"name": "five", "point_names": list("abcd"), "mirror": [0, 1, 2, 3]})
    assert four.difference(scheme) == "five with 4 points instead of 5"


DEEP = [[[[[0]]]]]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("name", None, "name is missing"),
        ("name", 5, "name holds 5"),
        ("name", "a\nb", "name holds"),
        ("name", "x" * 101, "name holds"),
        ("point_names", [], "point_names is empty"),
        ("point_names", ["a", 1, "c", "d", "e"], "point_names holds 1"),
        ("point_names", ["a", "a", "c", "d", "e"], "points 0 and 1 are both called 'a'"),
        ("point_names", "abcde", "point_names holds 'abcde'"),
        ("point_names", ["p"] * (MOST_POINTS + 1), "a list of 4,097, expected a list of at most 4,096"),
        ("mirror", None, "mirror is missing"),
        ("mirror", [1, 0, 2], "mirror has 3 entries for 5 points"),
        ("mirror", [1, 2, 0, 4, 3], "mirror is not its own inverse, point 0 becomes 1 and 1 becomes 2"),
        ("mirror", [1, 1, 2, 4, 3], "no permutation, points 0 and 1 both become 1"),
        ("mirror", [2, 1, 3, 5, 4], "entry 3 of mirror is 5, expected a whole number from 0 to 4"),
        ("mirror", [1, 0, 2, 4, -2], "entry 4 of mirror is -2"),
        ("mirror", [1, 0, 2, 4, 3.0], "entry 4 of mirror is 3.0"),
        ("mirror", [1, False, 2, 4, 3], "entry 1 of mirror is False"),
        ("mirror", [1, "0", 2, 4, 3], "entry 1 of mirror is '0'"),
        ("mirror", {"0": 1}, "mirror holds a dict of 1"),
        ("mirror", [1, 0, 2, 4, 10**300], "entry 4 of mirror is a huge number"),
        ("regions", [[0, 1]], "regions holds a list of 1"),
        ("regions", {"eyes": [0, 7]}, "entry 1 of regions is 7"),
        ("regions", {"eyes": [0, 1], "nose": [1]}, "point 1 is in the regions 'eyes' and 'nose'"),
        ("regions", {"eyes": DEEP}, "entry 0 of regions is a list of 1"),
        ("regions", {"": [0]}, "regions holds ''"),
        ("contours", {"a": [0, 1]}, "contours holds a dict of 1"),
        ("contours", [{"name": "a"}], "contours holds a dict of 1"),
        ("contours", [{"name": "a", "points": [0]}], "contours has 1 entries in \\[0\\], expected at least 2"),
        ("contours", [{"name": "a", "points": [0, 1, 0]}], "contours has the point 0 twice"),
        ("contours", [{"name": "a", "points": [0, 1], "closed": 1}], "closed: 1, expected true or false"),
        ("contours", [{"name": "a", "points": [0, 1]}] * 2, "contours has 'a' twice"),
        ("eye_corners", [0], "eye_corners has 1 entries"),
        ("eye_corners", [0, 5], "entry 1 of eye_corners is 5"),
        ("eye_corners", [0, 0], "eye_corners has the point 0 twice"),
        ("eye_corners", "01", "eye_corners holds '01'"),
        ("pupils", [[0]], "pupils holds a list of 1, expected a list of 2"),
        ("pupils", [[0], []], "pupils has 0 entries"),
        ("mean_shape", [[0, 0]] * 4, "mean_shape holds a list of 4, expected a list of 5"),
        ("mean_shape", [[0, 0, 0]] * 5, "entry 0 of mean_shape is \\[0, 0, 0\\], expected two numbers"),
        ("mean_shape", [[0, float("nan")]] * 5, "entry 0 of mean_shape"),
        ("mean_shape", [[0, 1e30]] * 5, "entry 0 of mean_shape"),
        ("mean_shape", [["0", True]] * 5, "entry 0 of mean_shape"),
        ("extra", 1, "'extra' is no key"),
    ],
)
def test_what_is_refused(key, value, message):
    with pytest.raises(ValueError, match=rf"^scheme.*: .*{message}"):
        Scheme.from_config({**FIVE, key: value})


def test_a_scheme_made_in_python_is_checked_too():
    parts = {"point_names": ("a", "b"), "mirror": (1, 0), "regions": {}, "contours": (), "eye_corners": None, "pupils": None}
    assert Scheme("two", **parts, shape=((0.1, 0.5), (0.9, 0.5))).mean_shape.tolist() == [
        [np.float32(0.1), 0.5],
        [np.float32(0.9), 0.5],
    ]
    with pytest.raises(ValueError, match="scheme 'two': mean_shape has 1 entries for 2 points"):
        Scheme("two", **parts, shape=((0.1, 0.5),))
