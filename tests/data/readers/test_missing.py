"""Points that are not annotated, in every reader that may meet them."""

import numpy as np
import pytest

from kfacealign.data import Crops, csv_lists, menpo, pts, w300, wflw, wflw68, write_wflw
from kfacealign.data.readers import missing
from kfacealign.data.readers.pts import write_points
from kfacealign.data.readers.wflw import LISTS

SHAPE = np.random.default_rng(0).uniform(20, 90, (68, 2)).round(3)


def marked(x, y):
    """The shape, whose first point is at a place of the file, which is 1-based."""
    points = SHAPE.copy()
    points[0] = x - 0.5, y - 0.5
    return points


def folder(root, **shapes):
    for name, points in shapes.items():
        path = root / "train" / f"{name}.jpg"
        for file in (path, root / "test" / "t.jpg"):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
        write_points(path.with_suffix(".pts"), points)
    write_points(root / "test" / "t.pts", SHAPE)
    return root


def test_marks_are_exact_and_in_coordinates_of_the_file():
    points = np.tile(SHAPE, (2, 1, 1)).astype("float32")
    points[0, 3], points[1, 4], points[1, 5] = (-1.5, -1.5), (-0.5, -0.5), (-1.5, -0.5)
    with pytest.warns(UserWarning, match=r"^b: 1 points of 1 faces are at \(0,0\).*--missing=0,0"):
        found, weights = missing.known(points, missing=[-1], offset=-0.5, origins="ab")
    assert np.argwhere(weights == 0).tolist() == [[0, 3]] and np.isnan(found[0, 3]).all()
    np.testing.assert_array_equal(found[1], points[1])
    _, weights = missing.known(points, missing=[(-1, -1), (0, 0)], offset=-0.5, origins="ab")
    assert np.argwhere(weights == 0).tolist() == [[0, 3], [1, 4]]
    with pytest.raises(ValueError, match="b: 1 points"):
        missing.known(points, missing=[-1], offset=-0.5, origins="ab", strict=True)
    with pytest.raises(ValueError, match="marks no point"):
        missing.known(points, missing=["x"], offset=0, origins="ab")


def test_marks_of_the_command_line():
    assert [missing.mark(text) for text in ("-1", "0,0", "-1,5")] == [(-1, -1), (0, 0), (-1, 5)]
    for text in ("", "x", "1,2,3", "nan", ","):
        with pytest.raises(ValueError):
            missing.mark(text)


def test_a_mark_does_not_move_boxes_and_crops(tmp_path):
    root = folder(tmp_path, a=marked(-1, -1), b=marked(0, 0), c=SHAPE)
    with pytest.warns(UserWarning) as told:
        assert (pts(root).train.weights == 1).all()
    told = " ".join(str(warning.message) for warning in told)
    assert "a.pts: 1 points of 1 faces are at (-1,-1)" in told and "b.pts: 1 points of 1 faces are at (0,0)" in told
    faces = pts(root, missing=[(-1, -1), (0, 0)]).train
    assert faces.weights[:, 0].tolist() == [0, 0, 1] and faces.weights[:, 1:].all()
    low, high = SHAPE[1:].min(0), SHAPE[1:].max(0)
    np.testing.assert_allclose(faces.boxes[:2], [[*low, *high]] * 2, atol=1e-4)
    crops = Crops(faces, 32, cache=None)
    np.testing.assert_allclose(crops.matrices[0], crops.matrices[1])
    np.testing.assert_allclose(crops.landmarks[0, 1:], crops.landmarks[1, 1:])


def test_nan_is_never_annotated(tmp_path):
    root = folder(tmp_path, a=SHAPE)
    path = root / "train" / "a.pts"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:3], "nan nan", *lines[4:]]))
    assert pts(root).train.weights[0].tolist() == [0] + [1] * 67
    path.write_text("\n".join([*lines[:3], *["nan nan"] * 68, "}"]))
    with pytest.raises(ValueError, match=r"a\.pts: the face has no size: its annotated landmarks coincide or there are none"):
        pts(root)


def test_empty_fields_of_a_list(tmp_path):
    header = ["image_name", "scale", "center_w", "center_h", *(f"p{i}_{axis}" for i in range(68) for axis in "xy")]
    row = ["a.jpg", "1", "50", "60", "", "", "-1", "-1", *map(str, SHAPE[2:].ravel())]
    (tmp_path / "a_train.csv").write_text("\n".join([",".join(header), ",".join(row)]))
    with pytest.warns(UserWarning):
        assert csv_lists(tmp_path).train.weights[0, :3].tolist() == [0, 1, 1]
    with pytest.warns(UserWarning, match="photographs are missing"):
        faces = csv_lists(tmp_path, missing=[-1]).train
    assert faces.weights[0, :3].tolist() == [0, 0, 1]
    np.testing.assert_allclose(faces.landmarks[0, 2], SHAPE[2] - 0.5, atol=1e-4)


def test_wflw_and_its_subsets(tmp_path):
    root = write_wflw(tmp_path / "w", train=1, test=2, size=32, progress=False)
    for path in [root / LISTS.format("test"), *(root / "WFLW_annotations" / "list_98pt_test").iterdir()]:
        lines = [line.split() for line in path.read_text().splitlines()]
        path.write_text("".join(f"{' '.join(['nan', 'nan', '-1', '-1', *line[4:]])}\n" for line in lines))
    dataset = wflw(root, missing=[(-1, -1)])
    assert dataset.test.weights[:, :3].tolist() == [[0, 0, 1]] * 2
    # Points 0 and 2 of 98 become 0 and 1 of 68.
    assert wflw68(root, missing=[-1]).test.weights[:, :3].tolist() == [[0, 1, 1]] * 2


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_other_folders(tmp_path):
    for part in ("train", "test"):
        (tmp_path / part).mkdir()
        (tmp_path / part / "a.jpg").touch()
        write_points(tmp_path / part / "a.pts", marked(-1, -1))
    assert menpo(tmp_path, missing=[-1]).test.weights[0, 0] == 0
    for name in ("300W/01_Indoor", "300W/02_Outdoor"):
        folder(tmp_path / name, a=marked(0, 0))
    assert w300(tmp_path, test="private", missing=[0]).test.weights[:, 0].tolist() == [1, 0, 1, 0]
