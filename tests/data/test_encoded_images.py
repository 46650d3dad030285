"""Packed files with JPEG or WebP inside, and the images in them."""

import pickle
import resource
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest

import kfacealign as kfa
from kfacealign.data import Crops, Faces, pack, packed
from kfacealign.data import images as references
from kfacealign.data.encoded_images import EncodedImages, encode

LOSSY = ("jpeg", "webp")


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """A white square around (50, 50) in each of three photographs of 100 x 100 pixels, red in the last."""
    root = tmp_path_factory.mktemp("photographs")
    paths = [str(root / f"{name}.png") for name in ("one", "two", "red")]
    for path in paths:
        image = np.zeros((100, 100, 3), "uint8")
        image[40:60, 40:60] = (0, 0, 255) if "red" in path else 255  # BGR
        cv2.imwrite(path, image)
    return paths


def dataset(paths, train=1):
    """Landmarks fill a box of 40 pixels around (50, 50)."""
    points = np.full((len(paths), 29, 2), 50.0)
    points[:, 0], points[:, 1] = 30, 70
    weights = np.ones((len(paths), 29))
    weights[:, 5] = 0
    parts = [Faces("cofw29", paths[rows], points[rows], weights=weights[rows]) for rows in (slice(train), slice(train, None))]
    options = {"subsets": {"odd": np.arange(1, len(paths) - train, 2)}, "enlarge": 1.25, "normalizer": "inter_ocular"}
    return kfa.data.Dataset(name="toy", scheme=parts[0].scheme, train=parts[0], test=parts[1], **options)


@pytest.fixture(params=LOSSY)
def path(request, photographs, tmp_path):
    path = tmp_path / "toy.h5"
    assert pack(dataset(photographs), path, size=120, enlarge=1.5, images=request.param, progress=False) == (3, [])
    return path


def test_crops_and_points_are_where_they_were(path):
    """Worked out by hand: the crop has 1.5 times the side of the landmarks' box, 60 pixels, so its upper left corner is (20, 20).

    It has two pixels for each of the photograph.
    """
    read = packed(path)
    assert (read.name, read.scheme.name, read.normalizer, read.enlarge) == ("toy", "cofw29", "inter_ocular", 1.5)
    assert read.train.pixels.shape == (1, 120, 120, 3) and read.test.pixels.shape == (2, 120, 120, 3)
    assert read.subsets["odd"].tolist() == [1]
    np.testing.assert_allclose(read.train.landmarks[0, :3], [[20, 20], [100, 100], [60, 60]], atol=1e-3)
    assert np.flatnonzero(read.test.weights[0] == 0).tolist() == [5]
    for pixels in (read.train.pixels[0], references.read_image(read.train.images[0])):
        assert pixels.shape == (120, 120, 3) and pixels.dtype == np.uint8
        bright = np.argwhere(pixels[..., 1] > 128)
        np.testing.assert_allclose(bright.mean(0) + 0.5, [60, 60], atol=0.1)
        np.testing.assert_allclose(np.ptp(bright, 0) + 1, [40, 40], atol=1)
    assert references.size(read.test.images[1]) == (120, 120)
    red = read.test.pixels[1][60, 60].astype(int)
    assert red[0] > 220 and max(red[1:]) < 40


@pytest.mark.parametrize("images", LOSSY)
def test_labels_are_those_of_the_raw_pack(images, photographs, tmp_path):
    for kind in ("raw", images):
        pack(dataset(photographs), tmp_path / f"{kind}.h5", size=64, images=kind, progress=False)
    with h5py.File(tmp_path / "raw.h5") as raw, h5py.File(tmp_path / f"{images}.h5") as lossy:
        for name in ("landmarks", "weights", "boxes", "matrices", "names", "origins", "subsets/odd"):
            np.testing.assert_array_equal(raw[name][()], lossy[name][()])
        assert len(lossy["images"]) < raw["images"].size / 5
    # The package's own paths: crops for training are cut from the decoded ones.
    faces = [packed(tmp_path / f"{kind}.h5").test for kind in ("raw", images)]
    (raw, points, weights), (lossy, *labels) = (Crops(part, 48, cache=None, strict=True).batch([0, 1]) for part in faces)
    assert np.abs(raw.astype(int) - lossy).mean() < 3
    np.testing.assert_array_equal((points, weights[..., None].repeat(2, -1)), (labels[0], labels[1][..., None].repeat(2, -1)))


def test_images_are_decoded_when_they_are_asked_for(path):
    pixels = packed(path).test.pixels
    assert isinstance(pixels, EncodedImages) and len(pixels) == 2 and isinstance(pixels[:1], EncodedImages)
    both = np.asarray(pixels)
    assert both.shape == pixels.shape and both.dtype == pixels.dtype
    np.testing.assert_array_equal(both[1], pixels[1])
    np.testing.assert_array_equal(np.asarray(pixels[::-1])[0], pixels[-1])
    np.testing.assert_array_equal(np.asarray(pixels[np.array([False, True])]), both[1:])
    np.testing.assert_array_equal(np.asarray(pixels, "float32"), both)
    assert np.asarray(pixels[:0]).shape == (0, 120, 120, 3)
    with pytest.raises(IndexError):
        pixels[2]


def test_more_quality_takes_more_room(photographs, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (100, 100, 3), "uint8")
    cv2.imwrite(str(tmp_path / "noise.png"), noise)
    sizes = []
    for quality in (20, 50, 80):
        for images in LOSSY:
            out = tmp_path / f"{images}{quality}.h5"
            pack(dataset([str(tmp_path / "noise.png")]), out, size=96, images=images, quality=quality, progress=False)
            with h5py.File(out) as file:
                assert (file.attrs["encoding"], file.attrs["quality"]) == (images, quality)
                sizes.append(len(file["images"]))
    assert sizes[::2] == sorted(set(sizes[::2])) and sizes[1::2] == sorted(set(sizes[1::2]))


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_unreadable_photographs_are_left_out(photographs, tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no photograph")
    paths = [photographs[0], str(bad), photographs[2]]
    written, failures = pack(dataset(paths), tmp_path / "a.h5", size=60, images="webp", progress=False)
    assert written == 2 and [path for path, _ in failures] == [str(bad)]
    read = packed(tmp_path / "a.h5")
    assert read.test.names == [photographs[2]] and read.subsets["odd"].tolist() == [0]
    assert read.test.pixels[0][30, 30, 1] < 60
    before = (tmp_path / "a.h5").read_bytes()
    with pytest.raises(ValueError, match=r"bad.png: cannot be read"):
        pack(dataset(paths), tmp_path / "a.h5", size=60, images="webp", strict=True, progress=False)
    for images in ("raw", "webp"):
        with pytest.raises(ValueError, match="no photograph could be read"):
            pack(dataset([str(bad)]), tmp_path / "a.h5", size=60, images=images, progress=False)
    assert (tmp_path / "a.h5").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.h5", "bad.png"]


def test_a_full_disk_leaves_nothing(photographs, tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, hard))
    try:
        with pytest.raises(OSError) as caught:
            pack(dataset(photographs), tmp_path / "a.h5", size=64, images="jpeg", progress=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.filename == str(tmp_path / "a.h5") and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"images": "png"}, "images is 'png'"),
        ({"quality": 90}, "raw images have no quality"),
        ({"images": "webp", "quality": 0}, "quality is 0"),
        ({"images": "jpeg", "quality": 101}, "quality is 101"),
    ],
)
def test_what_cannot_be_asked_for(options, said, photographs, tmp_path):
    with pytest.raises(ValueError, match=said):
        pack(dataset(photographs), tmp_path / "a.h5", size=16, **options)
    assert list(tmp_path.iterdir()) == []


# === Files of strangers ===


def changed(path, **arrays):
    """The file with other arrays or, beginning with a capital, attributes; None takes away."""
    with h5py.File(path, "r+") as file:
        for name, value in arrays.items():
            place, key = (file.attrs, name.lower()) if name[0].isupper() else (file, name)
            del place[key]
            if value is not None:
                place[key] = value
    return path


def with_image(path, place, content):
    """The file with other bytes for one of its three images."""
    with h5py.File(path) as file:
        parts = np.split(file["images"][()], file["ends"][:-1])
    parts[place] = np.frombuffer(content, "uint8")
    return changed(path, images=np.concatenate(parts), ends=np.cumsum([len(part) for part in parts]))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"ends": None}, "it has no ends"),
        ({"ends": np.array([10, 20])}, "its ends are not those of 3 images"),
        ({"ends": np.int64(3)}, "its ends are not those of 3 images"),
        ({"ends": np.array(["a", "b", "c"], object)}, "its ends are not those of 3 images"),
        ({"ends": np.array([[1], [2], [3]])}, "its ends are not those of 3 images"),
        ({"ends": np.array([1.0, 2.0, 3.0])}, "ends are no places in the"),
        ({"ends": np.array([100, 200, 2**62])}, "ends are no places in the"),
        ({"ends": np.array([100, 200, 2**64 - 1], "uint64")}, "ends are no places in the"),
        ({"ends": np.array([200, 100, 300])}, "the image of face 1 has no bytes"),
        ({"ends": np.array([-5, 100, 300])}, "the image of face 0 has no bytes"),
        ({"ends": np.array([0, 100, 300])}, "the image of face 0 has no bytes"),
        ({"images": np.zeros(0, "uint8")}, "ends are no places in the 0 bytes"),
        ({"images": np.zeros((3, 120, 120, 3), "uint8")}, "images has shape"),
        ({"images": np.zeros(4000, "uint16")}, "images has shape"),
        ({"Size": 2**20}, "a side of 1048576 pixels"),
        ({"Size": 0}, "a side of 0 pixels"),
        ({"Size": "120"}, "a side of 120 pixels"),
        ({"Size": None}, "it has no size"),
        ({"Format": "kfacealign packed faces 3"}, "another version"),
        ({"Format": "kfacealign packed faces 1"}, "images has shape"),
    ],
)
def test_a_damaged_file_is_named(changes, said, path):
    changed(path, **changes)
    with pytest.raises(ValueError, match=rf"toy\.h5: .*{said}"):
        packed(path)


def picture(side, encoding="webp"):
    return encode(np.zeros((side, side, 3), "uint8"), encoding, quality=80)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (picture(120)[:-30], "truncated or damaged"),
        (picture(120, "jpeg")[:-60], "truncated or damaged"),
        (picture(64), "a WEBP of 64 x 64 pixels, expected a JPEG or WebP of a side of 120"),
        (picture(16_000), "a WEBP of 16000 x 16000 pixels"),
        (cv2.imencode(".png", np.zeros((120, 120, 3), "uint8"))[1].tobytes(), "a PNG of 120 x 120 pixels"),
        (b"no picture at all", "not an image"),
        (pickle.dumps(np.zeros(4)), "not an image"),
    ],
)
def test_a_broken_image_names_its_face_and_costs_no_other(content, said, path):
    read = packed(with_image(path, 1, content))
    with pytest.raises(ValueError, match=rf"toy\.h5#1: .*{said}"):
        read.test.pixels[0]
    with pytest.raises(ValueError, match=r"toy\.h5#1: "):
        np.asarray(read.test.pixels)
    assert read.train.pixels[0].shape == read.test.pixels[1].shape == (120, 120, 3)
    crops = Crops(read.test, 32, cache=None)
    with pytest.warns(UserWarning, match=rf"toy\.h5#1: cannot be read \(.*{said}.*\), skipped"):
        weights = crops.batch([0, 1])[2]
    assert (weights > 0).any(1).tolist() == [False, True]
    assert crops.failures[0][0] == f"{path}#1"
    with pytest.raises(ValueError, match=rf"toy\.h5#1: cannot be read \(.*{said}"):
        Crops(read.test, 32, cache=None, strict=True).batch([0])


def test_a_pack_of_a_pack(path, tmp_path):
    """What was packed as pixels of a crop is packed again; names of places in files have no part in it."""
    pack(packed(path), tmp_path / "again.h5", size=120, enlarge=1.5, images="raw", progress=False)
    read = packed(tmp_path / "again.h5")
    assert np.abs(read.train.pixels[0].astype(int) - packed(path).train.pixels[0]).max() <= 2
    assert Path(read.train.images[0]).name == "again.h5#0"
