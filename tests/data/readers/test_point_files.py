"""JD-landmark and LaPa: folders of images and of text files of 106 points."""

import numpy as np
import pytest

from kfacealign.data import jd106, lapa
from kfacealign.data.readers.point_files import read_points

POINTS = np.random.default_rng(8).uniform(10, 200, (8, 106, 2)).round(3)


def text(points):
    return f"{len(points)}\n" + "".join(f"{x} {y}\n" for x, y in points)


def pair(images, landmarks, name, points, suffix=""):
    for folder in (images, landmarks):
        folder.mkdir(parents=True, exist_ok=True)
    (images / f"{name}.jpg").touch()
    (landmarks / f"{name}{suffix}.txt").write_text(text(points))


def test_lapa(tmp_path):
    for i, part in enumerate(("train", "val", "test")):
        pair(tmp_path / part / "images", tmp_path / part / "landmarks", f"{i}_0", POINTS[i])
    with pytest.warns(UserWarning, match="train 1, expected 18,176; test 1, expected 2,000"):
        dataset = lapa(tmp_path)
    np.testing.assert_allclose(dataset.test.landmarks[0], POINTS[2] + 0.5, atol=1e-4)
    assert (dataset.scheme.name, dataset.normalizer, dataset.train.names) == ("jd106", "box", ["0_0"])
    with pytest.warns(UserWarning, match="val 1, expected 2,000"):
        assert lapa(tmp_path, test="val").test.names == ["1_0"]
    with pytest.raises(ValueError, match="expected 'test' or 'val'"):
        lapa(tmp_path, test="train")
    with pytest.raises(FileNotFoundError, match="The directory level is wrong"):
        lapa(tmp_path / "train")


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_lonely_files(tmp_path):
    for i, part in enumerate(("train", "test")):
        pair(tmp_path / part / "images", tmp_path / part / "landmarks", "a", POINTS[i])
    (tmp_path / "test" / "images" / "b.jpg").touch()
    with pytest.warns(UserWarning, match="images: 1 files without their counterpart: b"):
        lapa(tmp_path)
    with pytest.raises(ValueError, match="without their counterpart"):
        lapa(tmp_path, strict=True)
    (tmp_path / "test" / "images" / "a.jpg").unlink()
    with pytest.raises(ValueError, match=r"no image in .* has a file of points"):
        lapa(tmp_path)


def test_jd106(tmp_path):
    for i, folder in enumerate(("Training_data/AFW", "Training_data/IBUG", "Test_data", "Validation_data")):
        pair(tmp_path / folder / "picture", tmp_path / folder / "landmark", f"face_{i}", POINTS[i], ".jpg")
    with pytest.warns(UserWarning, match="train 2, expected 11,393; test 1, expected 2,000"):
        dataset = jd106(tmp_path)
    assert dataset.train.names == ["Training_data/AFW/face_0", "Training_data/IBUG/face_1"]
    np.testing.assert_allclose(dataset.test.landmarks[0], POINTS[2] + 0.5, atol=1e-4)
    with pytest.warns(UserWarning, match="val 1, expected 2,000"):
        assert jd106(tmp_path, test="val").test.names == ["Validation_data/face_3"]


def test_jd106_elsewhere(tmp_path):
    with pytest.raises(FileNotFoundError, match="Training_data/AFW/picture"):
        jd106(tmp_path)
    pair(tmp_path / "faces" / "picture", tmp_path / "faces" / "landmark", "a", POINTS[0])
    with pytest.raises(ValueError, match=r"no folder on the way .* begins with train, val or test"):
        jd106(tmp_path)


@pytest.mark.parametrize(
    "change, line, message",
    [
        (lambda lines: ["98", *lines[1:]], 1, "expected the number of points, 106, found '98'"),
        (lambda lines: lines[:-1], 106, "105 points, expected 106"),
        (lambda lines: [*lines[:4], "1 2 3", *lines[5:]], 5, "'1 2 3', expected two finite numbers"),
        (lambda lines: [*lines[:4], "nan 2", *lines[5:]], 5, "'nan 2', expected two finite numbers"),
        (lambda lines: [], 1, "found 'nothing'"),
    ],
)
def test_bad_lines_are_named(tmp_path, change, line, message):
    path = tmp_path / "a.txt"
    path.write_text("\n".join(change(text(POINTS[0]).splitlines())))
    with pytest.raises(ValueError, match=rf"a\.txt:{line}: .*{message}"):
        read_points(path, 106)
