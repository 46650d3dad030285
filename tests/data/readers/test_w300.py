import os

import numpy as np
import pytest

from kfacealign.data import w300
from kfacealign.data.readers.pts import write_points

FOLDERS = {"afw": 2, "helen/trainset": 3, "lfpw/trainset": 2, "helen/testset": 2, "lfpw/testset": 1, "ibug": 2}


def face(seed):
    return np.random.default_rng(seed).uniform(10, 200, (68, 2)).astype("float32")


def fill(root, folders):
    for folder, count in folders.items():
        os.makedirs(root / folder)
        for i in range(count):
            suffix = "png" if folder.startswith(("lfpw", "300W")) else "jpg"
            (root / folder / f"image_{i}.{suffix}").touch()
            write_points(root / folder / f"image_{i}.pts", face((len(folder), ord(folder[0]), i)))
    return root


@pytest.fixture
def root(tmp_path):
    return fill(tmp_path / "300w", FOLDERS)


def test_reads_the_split(root):
    with pytest.warns(UserWarning, match="afw 2, expected 337; helen/trainset 3, expected 2,000"):
        dataset = w300(root)
    assert (len(dataset.train), len(dataset.test)) == (7, 5)
    assert dataset.train.names[:3] == ["afw/image_0", "afw/image_1", "helen/trainset/image_0"]
    assert [dataset.test.names[i] for i in dataset.subsets["challenging"]] == ["ibug/image_0", "ibug/image_1"]
    assert dataset.subsets["common"].tolist() == [0, 1, 2]
    assert dataset.train.images[5] == str(root / "lfpw/trainset/image_0.png")
    np.testing.assert_allclose(dataset.train.landmarks[0], face((3, ord("a"), 0)), atol=1e-4)
    assert (dataset.scheme.name, dataset.normalizer) == ("ibug68", "inter_ocular")


def test_private_test_set(root):
    fill(root, {"300W/01_Indoor": 2, "300W/02_Outdoor": 3})
    with pytest.warns(UserWarning, match="300W/01_Indoor 2, expected 300"):
        dataset = w300(root, test="private")
    assert (len(dataset.train), len(dataset.test)) == (7, 5)
    assert {name: len(places) for name, places in dataset.subsets.items()} == {"indoor": 2, "outdoor": 3}


def test_private_test_set_alone(tmp_path):
    fill(tmp_path, {"300W/01_Indoor": 2, "300W/02_Outdoor": 3})
    with pytest.warns(UserWarning, match="published number"):
        dataset = w300(tmp_path, test="private")
    assert (len(dataset.train), len(dataset.test)) == (0, 5)


def test_strict_counts(root):
    with pytest.raises(ValueError, match="ibug 2, expected 135"):
        w300(root, strict=True)


def test_wrong_level(root):
    with pytest.raises(FileNotFoundError, match=rf"The directory level is wrong: {root} holds them"):
        w300(root.parent)
    with pytest.raises(FileNotFoundError, match=rf"The directory level is wrong: {root} holds them"):
        w300(root / "afw")
    with pytest.raises(FileNotFoundError, match=r"is no directory.*Expected below.*ibug.*comes from"):
        w300(root / "nowhere")


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_lonely_files_and_twins_are_named(root):
    (root / "afw" / "image_0.pts").unlink()
    with pytest.warns(UserWarning, match="1 image without a .pts, left out: image_0"):
        assert len(w300(root).train) == 6
    (root / "ibug" / "image_1.pts").write_bytes((root / "ibug" / "image_0.pts").read_bytes())
    with pytest.warns(UserWarning, match=r"1 duplicate faces.*image_1\.pts repeats .*image_0\.pts"):
        w300(root)


def test_malformed_points_name_file_and_line(root):
    path = root / "ibug" / "image_1.pts"
    path.write_text(path.read_text().replace("n_points: 68", "n_points: 51"))
    with pytest.raises(ValueError, match=r"image_1\.pts:2: the file has 51 points"):
        w300(root)
