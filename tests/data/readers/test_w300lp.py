import numpy as np
import pytest
import scipy.io

from kfacealign import schemes
from kfacealign.data import w300lp

POINTS = np.random.default_rng(7).uniform(100, 350, (4, 68, 2))


@pytest.fixture
def root(tmp_path):
    for i, folder in enumerate(("AFW", "HELEN", "IBUG", "LFPW")):
        for part in (folder, f"{folder}_Flip", f"landmarks/{folder}"):
            (tmp_path / part).mkdir(parents=True)
        (tmp_path / folder / "face_0.jpg").touch()
        (tmp_path / f"{folder}_Flip" / "face_0.jpg").touch()
        content = {"pts_2d": POINTS[i], "pts_3d": np.zeros((68, 3))}
        scipy.io.savemat(tmp_path / "landmarks" / folder / "face_0_pts.mat", content)
    return tmp_path


def test_reads_what_was_written(root):
    with pytest.warns(UserWarning, match="AFW 1, expected 5,207; HELEN 1, expected 37,676"):
        dataset = w300lp(root)
    np.testing.assert_allclose(dataset.train.landmarks, POINTS - 0.5, atol=1e-4)
    assert dataset.train.names == ["AFW/face_0", "HELEN/face_0", "IBUG/face_0", "LFPW/face_0"]
    assert len(dataset.test) == 0


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_flips(root):
    train = w300lp(root, flips=True).train
    assert train.names[:2] == ["AFW/face_0", "AFW_Flip/face_0"]
    # In 1-based coordinates a mirrored pixel x is at 451 - x.
    mirrored = (POINTS[0] * [-1, 1] + [451, 0])[list(schemes.IBUG68.mirror)]
    np.testing.assert_allclose(train.landmarks[1], mirrored - 0.5, atol=1e-3)
    (root / "IBUG_Flip" / "face_0.jpg").unlink()
    with pytest.warns(UserWarning, match="1 photographs are missing: .*IBUG_Flip"):
        w300lp(root, flips=True)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_bad_input(root):
    with pytest.raises(ValueError, match="expected 5,207"):
        w300lp(root, strict=True)
    with pytest.raises(FileNotFoundError, match="The directory level is wrong"):
        w300lp(root / "AFW")
    (root / "AFW" / "face_1.jpg").touch()
    with pytest.warns(UserWarning, match="AFW: 1 photographs without landmarks: face_1"):
        w300lp(root)
    (root / "landmarks" / "LFPW" / "face_0_pts.mat").write_text("<html>")
    with pytest.raises(ValueError, match=r"face_0_pts\.mat: this is a web page"):
        w300lp(root)
    scipy.io.savemat(root / "landmarks" / "LFPW" / "face_0_pts.mat", {"pts_2d": POINTS[0].T})
    with pytest.raises(ValueError, match=r"pts_2d is \(2, 68\)"):
        w300lp(root)
