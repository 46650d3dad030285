import resource

import h5py
import numpy as np
import pytest

from kfacealign.data import Crops, Faces, ignore_labels, pack, packed, wflw, write_wflw
from kfacealign.data import images as references


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return wflw(write_wflw(tmp_path_factory.mktemp("data") / "wflw", train=5, test=4, size=96, progress=False))


@pytest.fixture(scope="module")
def path(dataset, tmp_path_factory):
    path = tmp_path_factory.mktemp("pack") / "faces.h5"
    assert pack(dataset, path, size=48, progress=False) == (9, [])
    return path


def test_what_was_packed_is_read_back(dataset, path):
    read = packed(path)
    assert (read.name, read.scheme, read.normalizer, read.enlarge) == ("wflw", dataset.scheme, "inter_ocular", 1.25)
    for part, original in ((read.train, dataset.train), (read.test, dataset.test)):
        crops = Crops(original, 48, cache=None)
        pixels, landmarks, weights = crops.batch(np.arange(len(crops)))
        assert isinstance(part.pixels, np.memmap) and part.pixels.shape == (len(original), 48, 48, 3)
        np.testing.assert_array_equal(part.pixels, pixels)
        np.testing.assert_allclose(part.landmarks / 48, landmarks, atol=1e-5)
        np.testing.assert_array_equal(part.weights, weights)
        np.testing.assert_allclose(part.matrices, crops.matrices)
        assert part.names == original.names and str(original.origins[0]) in part.origins[0]
        for name, flags in original.attributes.items():
            np.testing.assert_array_equal(part.attributes[name], flags)
    assert {name: places.tolist() for name, places in read.subsets.items()} == {
        name: places.tolist() for name, places in dataset.subsets.items()
    }


def test_crops_of_the_same_enlargement_are_the_packed_ones(path):
    faces = packed(path).test
    crops = Crops(faces, 48, cache=None, strict=True)
    np.testing.assert_allclose(crops.matrices, np.tile([[1, 0, 0], [0, 1, 0]], (len(faces), 1, 1)), atol=1e-4)
    assert np.abs(crops.batch([0, 3])[0].astype(int) - faces.pixels[[0, 3]]).max() <= 2


def test_pixels_by_reference_and_a_slice(path):
    read = packed(path)
    np.testing.assert_array_equal(references.read_image(read.test.images[2]), read.test.pixels[2])
    assert references.size(read.test.images[2]) == (48, 48)
    assert read.test[1:3].names == read.test.names[1:3]
    with pytest.raises(ValueError, match="holds 9 crops, none has number 9"):
        references.read_image(f"{path}#9")


def test_occlusion_and_weights_are_kept(dataset, tmp_path):
    hidden = np.random.default_rng(0).random((5, 98)) < 0.5
    weights = np.ones((5, 98))
    weights[0, 3] = 0
    faces = Faces("wflw98", dataset.train.images, dataset.train.landmarks, weights=weights, occluded=hidden)
    pack(faces, tmp_path / "a.h5", size=16, progress=False)
    read = packed(tmp_path / "a.h5")
    np.testing.assert_array_equal(read.train.occluded, hidden)
    np.testing.assert_array_equal(read.train.weights, weights)
    assert len(read.test) == 0


def test_unlabelled_faces(dataset, tmp_path):
    pack(ignore_labels(dataset.train), tmp_path / "a.h5", size=16, box="file", progress=False)
    assert packed(tmp_path / "a.h5").train.attributes["unlabelled"].all()


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_unreadable_photographs_are_left_out(dataset, tmp_path):
    images = [*dataset.train.images]
    images[1] = str(tmp_path / "missing.jpg")
    faces = Faces("wflw98", images, dataset.train.landmarks, names="abcde")
    written, failures = pack(faces, tmp_path / "a.h5", size=16, progress=False)
    assert written == 4 and [path for path, _ in failures] == [images[1]]
    assert packed(tmp_path / "a.h5").train.names == ["a", "c", "d", "e"]
    np.testing.assert_array_equal(packed(tmp_path / "a.h5").train.pixels[1], Crops(faces, 16, cache=None).batch([2])[0][0])
    before = (tmp_path / "a.h5").read_bytes()
    with pytest.raises(ValueError, match=r"missing.jpg: cannot be read"):
        pack(faces, tmp_path / "a.h5", size=16, strict=True, progress=False)
    assert (tmp_path / "a.h5").read_bytes() == before and len(list(tmp_path.iterdir())) == 1


def test_errors(dataset, tmp_path):
    with pytest.raises(ValueError, match=r"a file NAME.h5"):
        pack(dataset, tmp_path / "a.npz")
    with pytest.raises(ValueError, match="no face to pack"):
        pack(Faces("wflw98", [], []), tmp_path / "a.h5")
    with pytest.raises(FileNotFoundError, match="kfacealign datasets pack"):
        packed(tmp_path / "a.h5")
    (tmp_path / "a.h5").write_text("hello")
    with pytest.raises(ValueError, match=r"a\.h5: no packed dataset"):
        packed(tmp_path / "a.h5")
    with h5py.File(tmp_path / "b.h5", "w"):
        pass
    with pytest.raises(ValueError, match="another version"):
        packed(tmp_path / "b.h5")


def test_a_full_disk_is_told_before_the_first_photograph_is_read(dataset, tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, hard))
    try:
        with pytest.raises(OSError, match="no room for") as caught:
            pack(dataset, tmp_path / "faces.h5", size=64)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.filename == str(tmp_path / "faces.h5")
    assert list(tmp_path.glob("*.h5")) == [] and list(tmp_path.glob(".*")) == []
