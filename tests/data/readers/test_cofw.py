import h5py
import numpy as np
import pytest

from kfacealign.data import Crops, cofw
from kfacealign.data import images as references

POINTS = np.random.default_rng(2).uniform(20, 90, (5, 29, 2))
HIDDEN = np.random.default_rng(3).random((5, 29)) < 0.3
BOXES = np.array([[15, 18, 80, 85]] * 5, float)


def picture(i, grey=False):
    pixels = np.random.default_rng(i).integers(0, 255, (110, 130, 3), "uint8")
    return pixels[..., 0] if grey else pixels


def write(path, suffix, faces, grey=(), points=POINTS, boxes=BOXES):
    """A MATLAB 7.3 file as MATLAB writes it: arrays transposed, a cell array as references to objects in `#refs#`."""
    with h5py.File(path, "w", userblock_size=512) as file:
        cells = file.create_dataset(f"Is{suffix}", (1, len(faces)), h5py.ref_dtype)
        for place, i in enumerate(faces):
            cells[0, place] = file.create_dataset(f"#refs#/{place}", data=picture(i, i in grey).T).ref
        phis = np.concatenate([points[faces, :, 0], points[faces, :, 1], HIDDEN[faces]], axis=1)
        file[f"phis{suffix}"], file[f"bboxes{suffix}"] = phis.T, boxes[faces].T


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "cofw"
    root.mkdir()
    write(root / "COFW_train_color.mat", "Tr", [0, 1, 2], grey=[1])
    write(root / "COFW_test_color.mat", "T", [3, 4])
    return root


def test_reads_what_was_written(root):
    with pytest.warns(UserWarning, match="train 3, expected 1,345; test 2, expected 507"):
        dataset = cofw(root)
    for faces, rows in ((dataset.train, [0, 1, 2]), (dataset.test, [3, 4])):
        np.testing.assert_allclose(faces.landmarks, POINTS[rows] - 0.5, atol=1e-4)
        np.testing.assert_array_equal(faces.occluded, HIDDEN[rows])
        assert faces.boxes[0].tolist() == [14.5, 17.5, 94.5, 102.5]
        assert (faces.weights == 1).all()
    assert (dataset.test.names[1], dataset.test.images[1]) == ("cofw_test_0001", f"{root / 'COFW_test_color.mat'}#1")
    assert dataset.test[1:].occluded.tolist() == HIDDEN[4:].tolist()
    assert dataset.test[1].occluded.tolist() == HIDDEN[4].tolist()


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_images_are_decoded_from_the_file(root):
    dataset = cofw(root)
    np.testing.assert_array_equal(references.read_image(dataset.test.images[0]), picture(3))
    grey = references.read_image(dataset.train.images[1])
    np.testing.assert_array_equal(grey, np.stack([picture(1, True)] * 3, -1))
    assert references.size(dataset.test.images[0]) == (130, 110)
    crops = Crops(dataset.train, 64, cache=None, strict=True)
    assert crops.batch([0, 1, 2])[0].std() > 10
    with pytest.raises(ValueError, match="holds 2 images, none has number 7"):
        references.read_image(f"{root / 'COFW_test_color.mat'}#7")


def test_grey_files(tmp_path):
    write(tmp_path / "COFW_train.mat", "Tr", [0], grey=[0])
    write(tmp_path / "COFW_test.mat", "T", [1], grey=[1])
    with pytest.warns(UserWarning, match="published"):
        assert len(cofw(tmp_path, color=False).train) == 1
    with pytest.raises(FileNotFoundError, match=r"COFW_train_color.mat"):
        cofw(tmp_path)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_bad_input(root, tmp_path):
    with pytest.raises(FileNotFoundError, match="The directory level is wrong"):
        cofw(tmp_path)
    test = root / "COFW_test_color.mat"
    write(test, "T", [3, 4], points=np.where(np.arange(5)[:, None, None] == 4, 7.0, POINTS))
    with pytest.raises(ValueError, match=r"COFW_test_color\.mat#1: the face has no size"):
        cofw(root)
    write(test, "T", [3, 4], boxes=BOXES + np.array([500, 0, 0, 0]))
    with pytest.warns(UserWarning, match=r"2 boxes lie outside of their image: .*color\.mat#0: box .* image of 130 x 110"):
        cofw(root)
    with pytest.raises(ValueError, match=r"boxes lie outside|published number"):
        cofw(root, strict=True)
    write(test, "T", [3, 3])
    with pytest.warns(UserWarning, match=r"color\.mat#1 repeats .*color\.mat#0"):
        cofw(root)
    write(test, "T", [3, 4], boxes=BOXES[:, :3])
    with pytest.raises(ValueError, match=r"bboxesT is \(2, 3\), expected \(2, 4\)"):
        cofw(root)
    write(test, "Tr", [3, 4])
    with pytest.raises(ValueError, match="no variable phisT or bboxesT"):
        cofw(root)
    test.write_text("<html>please log in</html>")
    with pytest.raises(ValueError, match=r"COFW_test_color\.mat: this is a web page"):
        cofw(root)
