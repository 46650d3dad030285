import os
from pathlib import Path

import numpy as np
import pytest

from kfacealign.data import csv_lists
from kfacealign.data.readers.csv_lists import read_list

HEADER = ["image_name", "scale", "center_w", "center_h", *(f"original_{i}_{axis}" for i in range(68) for axis in "xy")]
POINTS = np.random.default_rng(0).uniform(20, 180, (4, 68, 2)).round(3)
ROWS = [[f"afw/{i}.jpg", "0.5", "100.0", "120.0", *map(str, points.ravel())] for i, points in enumerate(POINTS)]


def write(path, rows, header=HEADER):
    path.write_text("\n".join(",".join(row) for row in [header, *rows]) + "\n")
    return path


def test_one_list(tmp_path):
    faces = read_list(write(tmp_path / "list.csv", ROWS), images="pictures")
    np.testing.assert_allclose(faces.landmarks, POINTS - 0.5, atol=1e-4)  # 1-based
    np.testing.assert_allclose(faces.boxes[0], [49.5, 69.5, 149.5, 169.5])  # 100 pixels around (100, 120)
    assert faces.images[1] == os.path.join("pictures", "afw/1.jpg") and faces.names[1] == "afw/1.jpg"
    assert faces.origins[2] == f"{tmp_path / 'list.csv'}:4"


def test_columns_are_found_by_name_and_wflw_is_0_based(tmp_path):
    header = ["image_name", "scale", "box_size", "center_w", "center_h", *(f"original_{i}" for i in range(196))]
    points = np.random.default_rng(1).uniform(20, 180, (98, 2)).round(3)
    row = ["a.jpg", "0.5", "77", "100", "120", *map(str, points.ravel())]
    faces = read_list(write(tmp_path / "list.csv", [row], header), scheme="wflw98")
    np.testing.assert_allclose(faces.landmarks[0], points + 0.5, atol=1e-4)
    np.testing.assert_allclose(faces.boxes[0], [50.5, 70.5, 150.5, 170.5])


def test_folder_of_lists(tmp_path):
    (tmp_path / "images/afw").mkdir(parents=True)
    for i in range(4):
        (tmp_path / f"images/afw/{i}.jpg").touch()
    write(tmp_path / "face_landmarks_300w_train.csv", ROWS[:1])
    write(tmp_path / "face_landmarks_300w_valid.csv", ROWS[1:])
    write(tmp_path / "face_landmarks_300w_valid_common.csv", [ROWS[3], ROWS[1]])
    write(tmp_path / "face_landmarks_300w_valid_challenge.csv", ROWS[2:3])
    dataset = csv_lists(tmp_path, strict=True)
    assert (len(dataset.train), len(dataset.test)) == (1, 3)
    assert {name: places.tolist() for name, places in dataset.subsets.items()} == {"common": [0, 2], "challenging": [1]}
    write(tmp_path / "face_landmarks_300w_valid_common.csv", ROWS[:1])
    with pytest.raises(ValueError, match=r"valid_common\.csv:2: no face of the test list is in afw/0\.jpg"):
        csv_lists(tmp_path)


def test_missing_photographs_and_duplicates(tmp_path):
    write(tmp_path / "x_train.csv", ROWS[:2])
    write(tmp_path / "x_test.csv", [ROWS[2], ROWS[2]])
    with pytest.warns(UserWarning) as caught:
        csv_lists(tmp_path)
    told = " ".join(str(warning.message) for warning in caught)
    assert "2 photographs are missing" in told and "x_test.csv:3 repeats" in told and "x_test.csv:2 (afw/2.jpg)" in told
    with pytest.raises(ValueError, match="photographs are missing"):
        csv_lists(tmp_path, strict=True)
    with pytest.raises(FileNotFoundError, match=r"_train\.csv.*HRNet"):
        csv_lists(tmp_path / "nothing")


@pytest.mark.parametrize(
    "row, message",
    [
        (ROWS[1][:-1], "expected 140 fields, found 139"),
        ([*ROWS[1][:-1], "x"], "column original_67_y is 'x'"),
        (["a.png", "nan", *ROWS[1][2:]], "column scale is 'nan'"),
        (ROWS[1][:4] + ["7"] * 136, "the face has no size"),
        (["a.png", "0", *ROWS[1][2:]], "the face has no size: its box"),
    ],
)
def test_bad_lines_are_named(tmp_path, row, message):
    with pytest.raises(ValueError, match=rf"list\.csv:3: .*{message}"):
        read_list(write(tmp_path / "list.csv", [ROWS[0], row]))


def test_bad_files(tmp_path):
    path = tmp_path / "list.csv"
    with pytest.raises(FileNotFoundError, match="expected a list"):
        read_list(path)
    with pytest.raises(ValueError, match=r"list\.csv:1: column center_w is missing"):
        read_list(write(path, ROWS, [name for name in HEADER if name != "center_w"]))
    with pytest.raises(ValueError, match=r"list\.csv:1: expected 136 columns of coordinates .*found 135: a column is missing"):
        read_list(write(path, ROWS, HEADER[:-1]))
    with pytest.raises(ValueError, match=r"expected 196 columns .*wflw98"):
        read_list(write(path, ROWS), scheme="wflw98")
    with pytest.raises(ValueError, match="no face"):
        read_list(write(path, []))
    path.write_text("<!DOCTYPE html>\n<html>")
    with pytest.raises(ValueError, match=r"list\.csv:1: this is a web page"):
        read_list(path)


@pytest.mark.skipif("KFACEALIGN_DATA" not in os.environ, reason="needs the 300W annotations")
def test_real_lists():
    folder = Path(os.environ["KFACEALIGN_DATA"]) / "annotations" / "300w"
    with pytest.warns(UserWarning, match="689 photographs are missing"):
        dataset = csv_lists(folder)
    assert (len(dataset.test), len(dataset.subsets["common"]), len(dataset.subsets["challenging"])) == (689, 554, 135)
    private = read_list(folder / "face_landmarks_300w_test.csv")
    assert len(private) == 600
    first = (folder / "face_landmarks_300w_test.csv").read_text().splitlines()[1].split(",")
    np.testing.assert_allclose(private.landmarks[0, 0], np.float32(first[4:6]) - 0.5)
    for faces in (dataset.test, private):
        middle = (faces.landmarks.min(1) + faces.landmarks.max(1)) / 2
        centre, side = (faces.boxes[:, :2] + faces.boxes[:, 2:]) / 2, faces.boxes[:, 2] - faces.boxes[:, 0]
        # The stated box is around the landmarks: its centre is theirs, give or take a tenth of its side.
        assert (np.abs(middle - centre).max(1) / side).max() < 0.1
