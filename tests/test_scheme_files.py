import argparse
import dataclasses

import pytest

from kfacealign import scheme_files, schemes

NAMES = "names: [left_eye, right_eye, nose, left_mouth, right_mouth]\n"
FIVE = f"""# points of a toy
name: five
{NAMES}mirror: [1, 0, 2, 4, 3]
regions: {{eyes: [0, 1], nose: [2]}}
contours:
  mouth: [3, 4]
  eyes: {{points: [0, 1, 2], closed: true}}
eye_corners: [0, 1]
"""


@pytest.fixture
def read(tmp_path):
    def read(text, name="my points.yaml"):
        (tmp_path / name).write_text(text, encoding="utf-8")
        return scheme_files.read(tmp_path / name)

    return read


def test_a_file(read):
    scheme = read(FIVE)
    assert (scheme.name, scheme.num_points, scheme.mirror) == ("five", 5, (1, 0, 2, 4, 3))
    assert scheme.point_names[3] == "left_mouth"
    assert scheme.regions == {"eyes": (0, 1), "nose": (2,), "other": (3, 4)}
    assert scheme.contours == (schemes.Contour("mouth", (3, 4)), schemes.Contour("eyes", (0, 1, 2), closed=True))
    assert (scheme.eye_corners, scheme.pupils, scheme.mean_shape) == ((0, 1), None, None)


def test_the_mirror_of_names_and_the_name_of_the_file(read):
    scheme = read(NAMES)
    assert (scheme.name, scheme.mirror, scheme.regions) == ("my points", (1, 0, 2, 4, 3), {"points": (0, 1, 2, 3, 4)})


def test_points_without_names(read):
    scheme = read("points: 3\nmirror: [1, 0, 2]\n")
    assert scheme.point_names == ("point_0", "point_1", "point_2")


def test_names_that_other_readers_of_yaml_take_for_something_else(read):
    assert read("names: [no, yes, '12', é]\nmirror: [0, 1, 2, 3]\n").point_names == ("no", "yes", "12", "é")


def test_json(read):
    assert read('{"points": 2, "mirror": [1, 0], "pupils": [[0], [1]]}', "a.json").pupils == ((0,), (1,))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("points: 2\nmirror: [1, 0, 2]\n", r":2: mirror: entry 2 of mirror is 2, expected"),
        ("points: 4\nmirror: [1, 0, 2]\n", r":2: mirror: mirror has 3 entries for 4 points"),
        ("points: 3\nmirror: [1, 2, 0]\n", r":2: mirror: mirror is not its own inverse, point 0 becomes 1"),
        ("points: 2\nmirror: [2, 1]\n", r":2: mirror: entry 0 of mirror is 2, expected a whole number from 0 to 1"),
        ("points: 2\nmirror: [1, 00]\n", r":2: mirror: entry 1 of mirror is '00'"),
        ("points: 2\nmirror: [1, ٠]\n", r":2: mirror: entry 1 of mirror is '٠'"),
        ("points: ٢\nmirror: [1, 0]\n", r":1: points: is '٢'"),
        ("points: 2\n", r":1: mirror: missing, and there are no names"),
        ("names: [a, b]\n", r":1: mirror: mirror is missing, and no name says left or right"),
        ("names: [left_a, b]\n", r":1: names: point 0, 'left_a', has no counterpart 'right_a'"),
        ("mirror: [0]\n", r":1: names: missing: add names"),
        ("\nnames: [a, a]\nmirror: [0, 1]\n", r":2: names: points 0 and 1 are both called 'a'"),
        ("names: [1, 2]\nmirror: [0, 1]\n", r":1: names: 1 among them, expected a list .* between quotes"),
        ("names: []\n", r":1: names: \[\], expected a list"),
        ("names: a\n", r":1: names: 'a', expected a list"),
        ("points: 3\nnames: [a, b]\nmirror: [0, 1]\n", r":1: points: is 3, but there are 2 names"),
        ("points: 0\nmirror: []\n", r":1: points: is 0, expected a whole number from 1 to 4,096"),
        ("points: 1000000\nmirror: [0]\n", r":1: points: is 1000000"),
        ("points: true\nmirror: [0]\n", r":1: points: is True"),
        ("points: 1\nmirror: [0]\ncolour: red\n", r":3: colour: no such key, expected name, points"),
        ("name: ibug68\npoints: 1\nmirror: [0]\n", r":1: name: ibug68 is a scheme of this package"),
        ("name: [a]\npoints: 1\nmirror: [0]\n", r":1: name: name holds \['a'\]"),
        ("points: 2\nmirror: [1, 0]\ncontours: [0, 1]\n", r":3: contours: \[0, 1\], expected names with their points"),
        ("points: 2\nmirror: [1, 0]\ncontours: {a: {closed: true}}\n", r":3: contours: "),
        ("points: 2\nmirror: [1, 0]\neye_corners: [0, 2]\n", r":3: eye_corners: entry 1 of eye_corners is 2"),
        ("points: 2\nmirror: [1, 0]\nmean_shape: [[0, 0], [1, .inf]]\n", r":3: mean_shape: entry 1"),
        ("a: &a 1\n", r":1: anchors"),
    ],
)
def test_what_is_refused(read, text, message):
    with pytest.raises(ValueError, match=rf"my points\.yaml{message}"):
        read(text)


def test_a_written_file_is_read_as_it_was(read):
    names = ['[left "eye"]', "right", "nose", "é"]
    parts = {"mirror": (1, 0, 2, 3), "regions": {"a: b": (0, 1), "other": (2, 3)}, "pupils": None}
    contours = (schemes.Contour("#1", (0, 1, 2), closed=True), schemes.Contour("line", (2, 3)))
    shape = tuple((0.1 * point, 0.25) for point in range(4))
    scheme = schemes.Scheme("mine - 2", point_names=tuple(names), contours=contours, eye_corners=(0, 1), shape=shape, **parts)
    for key in ("name", "mirror", "eye_corners", "pupils"):
        text = scheme_files.text(scheme, comments={key: "a comment\nof two lines"})
        assert "# a comment\n# of two lines\n" in text
        assert read(text).get_config() == scheme.get_config()
    numbered = dataclasses.replace(schemes.get("wflw98"), name="n", point_names=tuple(f"point_{point}" for point in range(98)))
    text = scheme_files.text(numbered)
    assert "points: 98\n" in text and "names" not in text and read(text) == numbered


def test_what_a_flag_names(tmp_path):
    path = tmp_path / "points.yaml"
    path.write_text(FIVE)
    assert scheme_files.argument("ibug68") == "ibug68" and scheme_files.find("ibug68") is schemes.IBUG68
    assert scheme_files.argument(str(path)) == scheme_files.find(str(path)) == scheme_files.read(path)
    for text, message in (
        ("ibug69", "no landmark scheme 'ibug69'; there are wflw98, .*, or name a file"),
        (str(tmp_path / "none.yaml"), "none.yaml: No such file"),
        (str(tmp_path), "not a regular file"),
    ):
        with pytest.raises(argparse.ArgumentTypeError, match=message):
            scheme_files.argument(text)
    path.write_text("points: x\n")
    with pytest.raises(argparse.ArgumentTypeError, match=r"points\.yaml:1: points: is 'x'"):
        scheme_files.argument(str(path))
