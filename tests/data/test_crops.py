import os
import re
import warnings

import cv2
import numpy as np
import PIL.Image
import pytest

from kfacealign import geometry
from kfacealign.data.crops import GREY, Crops, read_image
from kfacealign.data.faces import Faces


def photograph(seed, height=150, width=200):
    rng = np.random.default_rng(seed)
    return cv2.resize(rng.integers(0, 256, (15, 20, 3), "uint8"), (width, height), interpolation=cv2.INTER_CUBIC)


def make_faces(root, count=6, suffix=".png"):
    rng = np.random.default_rng(1)
    images = [str(root / f"{i}{suffix}") for i in range(count)]
    for i, path in enumerate(images):
        assert cv2.imwrite(path, photograph(i)[..., ::-1])
    landmarks = rng.uniform(30, 120, (count, 68, 2))
    boxes = np.tile([40.0, 30.0, 100.0, 120.0], (count, 1))
    return Faces("ibug68", images, landmarks, boxes=boxes)


@pytest.fixture
def faces(tmp_path):
    return make_faces(tmp_path)


def test_landmarks_round_trip(faces):
    for box in ("landmarks", "file"):
        crops = Crops(faces, 64, box=box)
        for i in range(len(faces)):
            image, landmarks, weights = crops[i]
            assert image.shape == (64, 64, 3) and image.dtype == np.uint8 and landmarks.dtype == np.float32
            back = geometry.apply_affine(geometry.invert_affine(crops.matrix(i)), landmarks * 64)
            np.testing.assert_allclose(back, faces.landmarks[i], atol=1e-3)
            assert weights.min() == 1
    low, high = Crops(faces, 64).landmarks.min(1), Crops(faces, 64).landmarks.max(1)
    np.testing.assert_allclose((low + high) / 2, 0.5, atol=1e-5)
    np.testing.assert_allclose((high - low).max(1), 0.8, atol=1e-5)  # enlarge 1.25: the landmarks fill 80 %
    top_and_bottom = geometry.apply_affine(Crops(faces, 64, enlarge=1.0, box="file").matrix(0), [[70.0, 30.0], [70.0, 120.0]])
    np.testing.assert_allclose(top_and_bottom[:, 1], [0, 64])


def test_pixels_are_rgb_and_in_place(tmp_path):
    image = np.zeros((120, 160, 3), "uint8")
    image[40:80, 60:100] = (200, 100, 50)
    cv2.imwrite(str(tmp_path / "a.png"), image[..., ::-1])
    landmarks = np.full((1, 68, 2), 70.0)
    landmarks[0, :2] = [[60, 40], [100, 80]]
    crop, points, _ = Crops(Faces("ibug68", [tmp_path / "a.png"], landmarks), 80, enlarge=2.0)[0]
    np.testing.assert_allclose(points[:2], [[0.25, 0.25], [0.75, 0.75]], atol=1e-6)
    assert crop[20:60, 20:60].reshape(-1, 3).tolist() == [[200, 100, 50]] * 1600
    assert crop.astype(int).sum() == 1600 * 350


def test_outside_the_image_is_legal_and_noted(tmp_path):
    faces = make_faces(tmp_path, 2)
    faces.landmarks[1, 0] = (-40.0, 20.0)
    crops = Crops(faces, 32)
    assert "outside" not in crops.summary()
    crops.batch([0, 1])
    assert not crops.failures and "1 with landmarks outside their image (kept)" in crops.summary()
    np.testing.assert_allclose(crops.batch([1])[1][0, 0, 0], 0.1, atol=1e-5)  # the box follows the landmark
    assert Crops(faces, 32, box="file").landmarks[1, 0, 0] < 0


def truncate(path):
    with open(path, "rb") as file:
        data = file.read()
    with open(path, "wb") as file:
        file.write(data[: int(len(data) * 0.6)])


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".ppm", ".tif", ".webp"])
def test_truncated_images_are_seen(tmp_path, suffix):
    cv2.imwrite(str(tmp_path / f"a{suffix}"), photograph(0))
    assert read_image(tmp_path / f"a{suffix}").shape == (150, 200, 3)
    truncate(tmp_path / f"a{suffix}")
    with pytest.raises(ValueError, match="truncated"):
        read_image(tmp_path / f"a{suffix}")


def test_crops_are_cut_from_the_upright_photograph(tmp_path):
    """A camera held on its side: the file has the photograph turned by a quarter, and EXIF says so."""
    upright = np.kron(np.random.default_rng(2).integers(0, 256, (8, 12, 3)), np.ones((16, 16, 1))).astype("uint8")
    exif = PIL.Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter, clockwise
    PIL.Image.fromarray(np.ascontiguousarray(np.rot90(upright))).save(tmp_path / "a.png", exif=exif)
    points = np.array([[[40, 20], [104, 84]]], "float32")  # a box of 64 x 64 with its corner at (40, 20)
    points = np.concatenate([points, np.repeat(points[:, :1], 27, 1)], axis=1)
    crops = Crops(Faces("cofw29", [tmp_path / "a.png"], points), 64, enlarge=1.0)
    np.testing.assert_array_equal(crops[0][0], upright[20:84, 40:104])


def test_a_coordinate_far_out_costs_one_face_little(tmp_path):
    faces = make_faces(tmp_path, 3)
    faces.landmarks[0, 0, 0], faces.landmarks[1, 0, 0] = 1e6, 3e38
    crops = Crops(faces, 64)
    assert all(not image.any() or image.std() < 20 for image in crops.batch([0, 1])[0])  # a speck, or grey
    assert crops[2][0].std() > 20


@pytest.mark.parametrize("error", [cv2.error("no memory"), MemoryError(), OSError(5, "Input/output error"), ValueError("bad")])
def test_whatever_happens_to_one_face_is_told_by_its_name(tmp_path, monkeypatch, error):
    faces, warp = make_faces(tmp_path, 3), geometry.warp
    failing = Crops(faces, 32).matrices[1]

    def fail(image, matrix, size):
        if (matrix == failing).all():
            raise error
        return warp(image, matrix, size)

    monkeypatch.setattr(geometry, "warp", fail)
    crops = Crops(faces, 32)
    with pytest.warns(UserWarning, match=re.escape(faces.images[1])):
        images, _, weights = crops.batch([0, 1, 2])
    assert (images[1] == GREY).all() and not weights[1].any() and weights[[0, 2]].all()
    assert [path for path, _ in crops.failures] == [faces.images[1]] and all(reason for _, reason in crops.failures)


def test_unreadable_is_reported_once_and_counts_nothing(tmp_path):
    faces = make_faces(tmp_path, suffix=".jpg")
    truncate(faces.images[1])
    os.remove(faces.images[3])
    open(faces.images[4], "w").close()
    crops = Crops(faces, 32)
    with pytest.warns(UserWarning) as warned:
        images, landmarks, weights = crops.batch(range(6))
    assert {str(w.message).split(":")[0] for w in warned} == {faces.images[i] for i in (1, 3, 4)}
    assert (images[[1, 3, 4]] == GREY).all() and not weights[[1, 3, 4]].any() and weights[[0, 2, 5]].all()
    assert np.isfinite(landmarks).all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = crops.batch(range(6))
    np.testing.assert_array_equal(again[0], images)
    np.testing.assert_array_equal(again[2], weights)
    reasons = dict(crops.failures)
    assert len(crops.failures) == 3
    for face, reason in ((1, "truncated"), (3, "No such file"), (4, "empty")):
        assert reason in reasons[faces.images[face]]
    assert "6 face crops of 32 px, 3 skipped" in crops.summary() and faces.images[1] in crops.summary()


def test_strict_fails_by_name(tmp_path):
    faces = make_faces(tmp_path, suffix=".jpg")
    truncate(faces.images[1])
    crops = Crops(faces, 32, strict=True)
    assert crops[0][2].all()
    with pytest.raises(ValueError, match=r"1\.jpg: cannot be read \(.*truncated"):
        crops.batch(range(6))


def test_memory_cache_reads_a_photograph_once(faces):
    crops, fresh = Crops(faces, 32), Crops(faces, 32, cache=None)
    first = crops.batch([4, 2, 2])
    np.testing.assert_array_equal(first[0], fresh.batch([4, 2, 2])[0])
    os.remove(faces.images[2])
    np.testing.assert_array_equal(crops.batch([2])[0][0], first[0][1])
    with pytest.warns(UserWarning, match="No such file"):
        fresh.batch([2])


def test_disk_cache(tmp_path):
    (tmp_path / "photos").mkdir()
    faces, cache = make_faces(tmp_path / "photos"), tmp_path / "cache"
    first = Crops(faces, 32, cache=cache).batch(range(6))[0]
    assert len(os.listdir(cache)) == 2 and not [name for name in os.listdir(cache) if name.endswith(".tmp")]

    again = Crops(faces, 32, cache=cache)
    pixels = np.lib.format.open_memmap(cache / next(n for n in os.listdir(cache) if "sums" not in n), mode="r+")
    os.rename(faces.images[0], faces.images[0] + ".away")
    np.testing.assert_array_equal(again.batch([0])[0][0], first[0])  # from the cache, without the photograph
    pixels[1] = 7  # as a run leaves it that is killed while it writes
    np.testing.assert_array_equal(again.batch([1])[0][0], first[1])
    np.testing.assert_array_equal(pixels[1], first[1])
    os.rename(faces.images[0] + ".away", faces.images[0])

    for other in (Crops(faces, 48, cache=cache), Crops(faces, 32, enlarge=1.5, cache=cache), Crops(faces[:5], 32, cache=cache)):
        assert not other._store.read(0, np.empty((other.size, other.size, 3), "uint8"))
    assert len(os.listdir(cache)) == 8
    cv2.imwrite(faces.images[0], 255 - cv2.imread(faces.images[0]))
    os.utime(faces.images[0], ns=(1, 1))
    changed = Crops(faces, 32, cache=cache).batch([0])[0][0]  # a changed photograph is read anew
    assert not np.array_equal(changed, first[0])


def test_arguments(faces):
    with pytest.raises(ValueError, match="box is 'detector'"):
        Crops(faces, 32, box="detector")
    with pytest.raises(IndexError):
        Crops(faces, 32)[6]
    assert len(Crops(faces[[]], 32)) == 0
    np.testing.assert_array_equal(Crops(faces, 32).batch([-1])[0], Crops(faces, 32).batch([5])[0])
