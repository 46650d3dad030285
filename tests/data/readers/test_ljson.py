"""menpo's `.ljson` of version 2 and 3, as menpo's exporter and landmarker.io write them."""

import json

import numpy as np
import pytest

from kfacealign.data.readers.ljson import ljson

POINTS = np.random.default_rng(0).uniform(5, 90, (3, 19, 2)).round(2)


def group(points, hidden=()):
    """A group of points (x, y): menpo writes y before x, and null for NaN."""
    rows = [[None if np.isnan(value) else value for value in (y, x)] for x, y in np.asarray(points, "float64").tolist()]
    labels = [{"label": "all", "mask": list(range(len(rows)))}]
    labels += [{"label": "hidden", "mask": list(hidden)}] if hidden else []
    return {"labels": labels, "landmarks": {"points": rows, "connectivity": [[0, 1]]}}


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".jpg").touch()
    path.write_text(json.dumps(content))


def corners(x0, y0, x1, y1):
    return group([[x0, y0], [x0, y1], [x1, y1], [x1, y0]])


def test_the_first_pixel_and_the_order_of_x_and_y(tmp_path):
    points = POINTS[0].copy()
    points[:2] = [[0, 0], [3, 7]]
    write(tmp_path / "a.ljson", {"version": 2, **group(points)})
    write(tmp_path / "b.ljson", {"version": 3, "groups": {"PTS": group(points), "bb": corners(-0.5, -0.5, 9.5, 19.5)}})
    with pytest.warns(UserWarning, match=r"at \(0,0\)"):
        made = ljson(tmp_path)
    for faces in (made.train, made.test):
        np.testing.assert_array_equal(faces.landmarks[0, :2], [[0.5, 0.5], [3.5, 7.5]])
    faces = made.train if made.train.names == ["b"] else made.test
    np.testing.assert_array_equal(faces.boxes, [[0, 0, 10, 20]])
    assert made.scheme.name == "aflw19" and faces.occluded is None


def test_several_faces_hidden_points_and_points_that_are_not_annotated(tmp_path):
    points = POINTS[0].copy()
    points[5] = np.nan
    groups = {"face_1": group(points, (2, 3)), "face_1_box": corners(1, 2, 3, 4), "face_10": group(POINTS[1])}
    write(tmp_path / "train" / "deep" / "a b.ljson", {"version": 3, "groups": {**groups, "face_10_box": corners(5, 6, 7, 8)}})
    write(tmp_path / "test" / "ü.ljson", {"version": 2, **group(POINTS[2])})
    made = ljson(tmp_path)
    assert (made.train.names, made.test.names) == (["train/deep/a b"] * 2, ["test/ü"])
    np.testing.assert_array_equal(made.train.boxes, [[1.5, 2.5, 3.5, 4.5], [5.5, 6.5, 7.5, 8.5]])
    assert np.flatnonzero(made.train.weights[0] == 0).tolist() == [5]
    assert np.argwhere(made.train.occluded).tolist() == [[0, 2], [0, 3]]


def test_schemes(tmp_path):
    write(tmp_path / "a.ljson", {"version": 2, **group(POINTS[0][:5])})
    with pytest.raises(ValueError, match=r"a\.ljson, group 'LJSON': faces of 5 points without names: no scheme has so many"):
        ljson(tmp_path)
    write(tmp_path / "a.ljson", {"version": 3, "groups": {"one": group(POINTS[0]), "two": group(POINTS[1][:18])}})
    with pytest.raises(ValueError, match="group 'two': 18 points, aflw19 has 19"):
        ljson(tmp_path)


def test_files_without_counterpart(tmp_path):
    write(tmp_path / "a.ljson", {"version": 2, **group(POINTS[0])})
    write(tmp_path / "b.ljson", {"version": 2, **group(POINTS[1])})
    (tmp_path / "b.jpg").unlink()
    with pytest.warns(UserWarning, match=r"1 \.ljson without an image, left out: .*b\.ljson"):
        assert ljson(tmp_path).train.names == ["a"]
    (tmp_path / "a.png").touch()
    with pytest.raises(ValueError, match=r"a\.jpg and a\.png are beside it"):
        ljson(tmp_path)
    with pytest.raises(FileNotFoundError, match="is no directory"):
        ljson(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda c: c.update(version=1), "version 1 of .ljson, expected 2 or 3"),
        (lambda c: c.pop("version"), "version is absent"),
        (lambda c: c.update(groups=[]), "groups is a list, expected an object"),
        (lambda c: c["groups"]["face"].pop("landmarks"), "group 'face': landmarks is absent"),
        (lambda c: c["groups"]["face"]["landmarks"]["points"][3].pop(), "group 'face': point 3 is 1 values, expected 2 numbers"),
        (
            lambda c: c["groups"]["face"]["landmarks"]["points"][3].__setitem__(0, None),
            "group 'face': point 3 has one coordinate",
        ),
        (lambda c: c["groups"]["face"]["landmarks"]["points"][3].__setitem__(0, "1"), "group 'face': point 3 holds '1'"),
        (lambda c: c["groups"]["face"]["labels"][1]["mask"].append(19), "group 'face': the mask of hidden holds a point"),
    ],
)
def test_malformed_files_are_named(tmp_path, change, message):
    content = {"version": 3, "groups": {"face": group(POINTS[0], (1,))}}
    change(content)
    write(tmp_path / "a.ljson", content)
    with pytest.raises(ValueError, match=rf"a\.ljson.*{message}"):
        ljson(tmp_path)
