import os
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io

from kfacealign.data import cofw68
from kfacealign.data.readers.cofw68 import read_annotations

POINTS = np.random.default_rng(4).uniform(20, 90, (3, 68, 2))
HIDDEN = np.random.default_rng(5).random((3, 68)) < 0.3


@pytest.fixture
def root(tmp_path):
    (tmp_path / "test_annotations").mkdir()
    for i in range(3):
        content = {"Points": POINTS[i], "Occ": HIDDEN[i].astype("uint8")}
        scipy.io.savemat(tmp_path / "test_annotations" / f"{i + 1}_points.mat", content)
    scipy.io.savemat(tmp_path / "cofw68_test_bboxes.mat", {"bboxes": np.array([[15.0, 18, 80, 85]] * 3)})
    with h5py.File(tmp_path / "COFW_test_color.mat", "w", userblock_size=512) as file:
        cells = file.create_dataset("IsT", (1, 3), h5py.ref_dtype)
        for i in range(3):
            cells[0, i] = file.create_dataset(f"#refs#/{i}", data=np.zeros((3, 130, 110), "uint8")).ref
    return tmp_path


def test_reads_what_was_written(root):
    with pytest.warns(UserWarning, match="boxes 3, expected 507"):
        dataset = cofw68(root)
    assert (len(dataset.train), len(dataset.test), dataset.scheme.name) == (0, 3, "ibug68")
    np.testing.assert_allclose(dataset.test.landmarks, POINTS - 0.5, atol=1e-4)
    np.testing.assert_array_equal(dataset.test.occluded, HIDDEN)
    assert dataset.test.boxes[2].tolist() == [14.5, 17.5, 94.5, 102.5]
    assert dataset.test.images[2] == f"{root / 'COFW_test_color.mat'}#2"
    assert dataset.test.names == ["1", "2", "3"]  # as `kfacealign score` names the files of the folder


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_bad_input(root):
    (root / "COFW_test_color.mat").rename(root / "elsewhere.mat")
    with pytest.raises(FileNotFoundError, match=r"COFW_test_color.mat is missing"):
        cofw68(root)
    assert len(cofw68(root, images=root / "elsewhere.mat").test) == 3
    assert len(read_annotations(root)) == 3
    (root / "test_annotations" / "2_points.mat").unlink()
    with pytest.raises(FileNotFoundError, match=r"1 of the 3 annotations are missing: .*2_points\.mat"):
        read_annotations(root)
    scipy.io.savemat(root / "test_annotations" / "2_points.mat", {"Points": POINTS[0][:60], "Occ": HIDDEN[0]})
    with pytest.raises(ValueError, match=r"2_points\.mat: Points is \(60, 2\)"):
        read_annotations(root)
    with pytest.raises(FileNotFoundError, match="The directory level is wrong"):
        read_annotations(root / "test_annotations")


@pytest.mark.skipif("KFACEALIGN_DATA" not in os.environ, reason="needs the annotations of COFW-68")
def test_real_annotations():
    faces = read_annotations(Path(os.environ["KFACEALIGN_DATA"]) / "annotations" / "cofw68", strict=True)
    assert len(faces) == 507 and faces.occluded.shape == (507, 68)
    assert faces.occluded.any(1).sum() > 250 and 0.2 < faces.occluded.mean() < 0.25
    # File 1 begins 58.0063 31.0436; the boxes are around the landmarks.
    np.testing.assert_allclose(faces.landmarks[0, 0], [57.5063, 30.5436], atol=1e-3)
    assert faces.occluded[0, :3].tolist() == [True, False, True]
    inside = (faces.landmarks > faces.boxes[:, None, :2] - 5) & (faces.landmarks < faces.boxes[:, None, 2:] + 5)
    assert inside.mean() > 0.98
