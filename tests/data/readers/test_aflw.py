import numpy as np
import pytest
import scipy.io

from kfacealign.data import aflw
from kfacealign.data import images as references

COUNT = 6
POINTS = np.random.default_rng(6).uniform(20, 90, (COUNT, 19, 2))
NAMES = [f"{(0, 2, 3)[i % 3]}/image{i:05d}.jpg" for i in range(COUNT)]
VISIBLE = np.ones((COUNT, 19), int)
VISIBLE[4, 7:] = 0
ORDER = np.array([3, 1, 5, 6, 2, 4])  # from 1


def write(root, photographs="data/flickr", **change):
    content = {
        "bbox": np.array([[15.0, 95, 18, 103]] * COUNT),
        "data": np.concatenate([POINTS[..., 0], POINTS[..., 1]], axis=1),
        "mask_new": VISIBLE,
        "nameList": np.array([np.array([name], object) for name in NAMES], object).reshape(-1, 1),
        "ra": ORDER[None],
        **change,
    }
    for name in NAMES:
        (root / photographs / name).parent.mkdir(parents=True, exist_ok=True)
        (root / photographs / name).touch()
    scipy.io.savemat(root / "AFLWinfo_release.mat", content)
    return root


@pytest.fixture
def small(monkeypatch):
    """Four training faces, not 20,000."""
    import sys

    monkeypatch.setattr(sys.modules["kfacealign.data.readers.aflw"], "TRAIN", 4)


def test_reads_what_was_written(tmp_path, small):
    with pytest.warns(UserWarning, match="train 4, expected 20,000; test 2, expected 4,386; frontal 2, expected 1,314"):
        dataset = aflw(write(tmp_path))
    for faces, rows in ((dataset.train, [2, 0, 4, 5]), (dataset.test, [1, 3])):
        np.testing.assert_allclose(faces.landmarks, POINTS[rows] - 0.5, atol=1e-4)
        np.testing.assert_array_equal(faces.occluded, VISIBLE[rows] == 0)
        assert faces.names == [NAMES[row] for row in rows]
        assert faces.boxes[0].tolist() == [14.5, 17.5, 94.5, 102.5]
    assert dataset.train.images[0] == str(tmp_path / "data/flickr/3/image00002.jpg")
    assert dataset.train.origins[0].endswith("AFLWinfo_release.mat: row 3")
    assert (dataset.subsets["frontal"].tolist(), dataset.normalizer) == ([0, 1], "image")
    assert references.size(dataset.train.images[0]) == (0, 0)  # an empty file


def test_published_split_of_a_copy_in_the_other_folder(tmp_path):
    with pytest.warns(UserWarning, match="test 0, expected 4,386"):
        assert len(aflw(write(tmp_path, "flickr")).train) == COUNT


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_bad_input(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"AFLWinfo_release.mat"):
        aflw(tmp_path)
    write(tmp_path)
    (tmp_path / "data/flickr" / NAMES[2]).unlink()
    with pytest.warns(UserWarning, match="1 photographs are missing: .*image00002.jpg"):
        aflw(tmp_path)
    with pytest.raises(ValueError, match=r"ra 6 positions; expected 6 of each, ra a permutation"):
        aflw(write(tmp_path, ra=np.ones((1, COUNT))))
    with pytest.raises(ValueError, match=r"mask_new is \(6, 18\), expected \(6, 19\)"):
        aflw(write(tmp_path, mask_new=VISIBLE[:, :18]))
    same = np.concatenate([POINTS[..., 0], POINTS[..., 1]], axis=1)
    same[1] = 50
    with pytest.raises(ValueError, match="row 2: the face has no size"):
        aflw(write(tmp_path, data=same))
