"""dlib's XML, as imglab and dlib's own writer write it."""

import numpy as np
import pytest

from kfacealign.data.readers.dlib import dlib

POINTS = np.random.default_rng(0).integers(5, 90, (3, 19, 2))
HEAD = "<?xml version='1.0' encoding='ISO-8859-1'?>\n<?xml-stylesheet type='text/xsl' href='image_metadata_stylesheet.xsl'?>\n"


def box(points, corners="top='2' left='1' width='59' height='60'", names=None, left_out=()):
    names = [f"{place:02d}" for place in range(len(points))] if names is None else names
    rows = list(zip(names, points.tolist(), strict=True))
    parts = "".join(f"<part name='{name}' x='{x}' y='{y}'/>\n" for name, (x, y) in rows if name not in left_out)
    return f"<box {corners}>\n<label>face</label>\n{parts}</box>\n"


def write(root, images, name="faces.xml"):
    body = "".join(f"<image file='{file}' width='100' height='90'>\n{inner}</image>\n" for file, inner in images)
    text = f"{HEAD}<dataset>\n<name>imglab dataset</name>\n<comment/>\n<images>\n{body}</images>\n</dataset>\n"
    (root / name).write_bytes(text.encode("iso-8859-1"))
    for place in ("a b.jpg", "deep/ü.jpg"):
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).touch()


def test_the_first_pixel_and_boxes(tmp_path):
    """A part at (0, 0) is in the middle of the first pixel; a box of width 10 from 0 covers the pixels 0 to 9."""
    points = POINTS[0].copy()
    points[:2] = [[0, 0], [9, 19]]
    write(tmp_path, [("a b.jpg", box(points, "top='0' left='0' width='10' height='20'"))])
    with pytest.warns(UserWarning, match=r"at \(0,0\)"):
        faces = dlib(tmp_path).train
    np.testing.assert_array_equal(faces.landmarks[0, :2], [[0.5, 0.5], [9.5, 19.5]])
    np.testing.assert_array_equal(faces.boxes, [[0, 0, 10, 20]])
    assert faces.scheme.name == "aflw19" and faces.occluded is None and faces.weights.all()


def test_several_boxes_and_parts_that_are_not_there(tmp_path):
    passed = "<box top='1' left='1' width='5' height='5'/>\n"
    passed += "<box top='1' left='1' width='5' height='5' ignore='1'><part name='x' x='1' y='2'/></box>\n"
    inner = box(POINTS[0], left_out=("03",)) + passed + box(POINTS[1], "top='2' left='1' width='9' height='9' occluded='1'")
    write(tmp_path, [("deep\\ü.jpg", inner)], "training_with_face_landmarks.xml")
    write(tmp_path, [("a b.jpg", box(POINTS[2]))], "testing_with_face_landmarks.xml")
    made = dlib(tmp_path)
    assert (len(made.train), made.test.names) == (2, ["a b.jpg"]) and np.flatnonzero(made.train.weights[0] == 0).tolist() == [3]
    assert made.train.images == [str(tmp_path / "deep" / "ü.jpg")] * 2
    lines = (tmp_path / "training_with_face_landmarks.xml").read_text("iso-8859-1").splitlines()
    assert all(lines[int(origin.rpartition(":")[2]) - 1].startswith("<box") for origin in made.train.origins)


def test_names_in_utf8_in_a_file_that_is_called_latin1(tmp_path):
    """So dlib's own writer writes them: it copies the bytes of names."""
    write(tmp_path, [("deep/ü.jpg", box(POINTS[0]))])
    content = (tmp_path / "faces.xml").read_bytes().replace("ü".encode("latin-1"), "ü".encode())
    (tmp_path / "faces.xml").write_bytes(content)
    faces = dlib(tmp_path).train
    assert faces.images == [str(tmp_path / "deep" / "ü.jpg")] and faces.names == ["deep/ü.jpg"]


def test_the_order_of_parts_is_that_of_their_names(tmp_path):
    """Numbers by their size, whether of one width or not; names of other kinds by the alphabet, as dlib sorts them."""
    for names in ([str(place) for place in range(19)], [f"p{place:03d}" for place in range(19)]):
        shuffled = np.random.default_rng(1).permutation(19)
        write(tmp_path, [("a b.jpg", box(POINTS[0][shuffled], names=[names[place] for place in shuffled]))])
        np.testing.assert_array_equal(dlib(tmp_path).train.landmarks[0], POINTS[0] + 0.5)
    write(tmp_path, [("a b.jpg", box(POINTS[0][:3], names=["right_eye", "left_eye", "nose"]))])
    assert dlib(tmp_path).scheme.point_names == ("left_eye", "nose", "right_eye")


@pytest.mark.parametrize(("first", "left_out", "scheme"), [(0, (0, 7), None), (1, (7, 9), None), (0, (18,), "aflw19")])
def test_numbers_that_no_box_has_are_points(tmp_path, first, left_out, scheme):
    names = [str(first + place) for place in range(19)]
    write(tmp_path, [("a b.jpg", box(POINTS[0], names=names, left_out=[names[place] for place in left_out]))])
    faces = dlib(tmp_path, scheme=scheme).train
    assert faces.scheme.name == "aflw19" and np.flatnonzero(faces.weights[0] == 0).tolist() == list(left_out)
    np.testing.assert_array_equal(faces.landmarks[0, 1:7], POINTS[0, 1:7] + 0.5)


@pytest.mark.parametrize(
    "images, message",
    [
        ([("../a.jpg", box(POINTS[0]))], r"faces\.xml:\d+: '\.\./a\.jpg' leads out"),
        ([("a b.jpg", box(POINTS[1]) + box(POINTS[0]).replace("'01'", "'00'"))], r"faces\.xml:\d+: the box has two parts '00'"),
        ([("a b.jpg", box(POINTS[0]).replace("x='", "x='x", 1))], r"faces\.xml:\d+: x is 'x\d+'"),
        ([("a b.jpg", box(POINTS[0]).replace(" y=", " z=", 1))], r"faces\.xml:\d+: y is ''"),
        ([("a b.jpg", box(POINTS[0], "top='2' left='1' width='0' height='0'"))], r"faces\.xml:\d+: its box is"),
        ([("a b.jpg", box(POINTS[0], "top='2' left='1' height='5'"))], r"faces\.xml:\d+: width is ''"),
        ([("a&b.jpg", box(POINTS[0]))], r"faces\.xml:\d+: not XML, or damaged"),
        ([("a b.jpg", "<box top='1' left='1' width='5' height='5'/>")], "no box in its .xml files has parts"),
    ],
)
def test_malformed_files_are_named(tmp_path, images, message):
    write(tmp_path, images)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        dlib(tmp_path)
