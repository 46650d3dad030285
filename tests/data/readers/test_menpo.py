import numpy as np
import pytest

from kfacealign.data import menpo
from kfacealign.data.readers.pts import write_points


def points(count, seed):
    return np.random.default_rng((count, seed)).uniform(10, 200, (count, 2))


@pytest.fixture
def root(tmp_path):
    for part, counts in (("train", (68, 39, 68)), ("test", (39, 68))):
        (tmp_path / part / "images").mkdir(parents=True)
        for i, count in enumerate(counts):
            (tmp_path / part / "images" / f"face_{i}.jpg").touch()
            write_points(tmp_path / part / "images" / f"face_{i}.pts", points(count, i))
    return tmp_path


def test_tracks_are_told_apart_by_their_points(root):
    with pytest.warns(UserWarning, match=r"Menpo 2D \(semifrontal\): .*train 2, expected 5,658; test 1, expected 5,335"):
        dataset = menpo(root)
    assert (dataset.scheme.name, dataset.normalizer, len(dataset.train), len(dataset.test)) == ("ibug68", "diagonal", 2, 1)
    assert dataset.train.names == ["train/images/face_0", "train/images/face_2"]
    np.testing.assert_allclose(dataset.train.landmarks[1], points(68, 2), atol=1e-4)
    with pytest.warns(UserWarning, match="train 1, expected 1,906; test 1, expected 1,946"):
        profile = menpo(root, track="profile")
    assert profile.scheme.name == "menpo39" and profile.test.names == ["test/images/face_0"]


def test_bad_input(root):
    with pytest.raises(ValueError, match="track is 'side'"):
        menpo(root, track="side")
    with pytest.raises(FileNotFoundError, match="The directory level is wrong"):
        menpo(root / "train")
    write_points(root / "test/images/face_0.pts", points(51, 0))
    with pytest.raises(ValueError, match=r"face_0\.pts:2: the file has 51 points"):
        menpo(root)
