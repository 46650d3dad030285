"""Copies of photographs beside labels: their names, those that are written anew, and those that cannot be read."""

import os

import numpy as np
import PIL.Image
import pytest

from kfacealign.data.faces import Dataset, Faces
from kfacealign.data.image_files import read
from kfacealign.data.writers.parts import copy_photographs, exact

POINTS = np.random.default_rng(0).uniform(5, 15, (19, 2)).astype("float32")


def picture(path, width=24, height=20, seed=0, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (height, width, 3), "uint8")
    with open(path, "wb") as file:
        PIL.Image.fromarray(pixels).save(file, options.pop("format", "PNG"), **options)
    return pixels


def dataset(train, test=()):
    parts = [Faces("aflw19", list(map(str, images)), [POINTS] * len(images)) for images in (train, test)]
    return Dataset(name="x", scheme=parts[0].scheme, train=parts[0], test=parts[1], subsets={}, enlarge=1.25, normalizer="box")


def files(folder):
    return sorted(os.path.relpath(os.path.join(parent, name), folder) for parent, _, names in os.walk(folder) for name in names)


def test_names_and_folders_are_kept_below_the_one_that_a_part_shares(tmp_path):
    names = ["in/here/a b.png", "in/here/deep/ü.png", "in/here/deep/er/x.png", "in/here/a b.png"]
    for name in names:
        picture(tmp_path / name)
    picture(tmp_path / "elsewhere" / "t.png", 30, 40)
    made = dataset([tmp_path / name for name in names], [tmp_path / "elsewhere" / "t.png"])
    parts, failures = copy_photographs(made, tmp_path / "out", "images", progress=False)
    assert failures == [] and [part.name for part in parts] == ["train", "test"]
    assert parts[0].images == [f"images/train/{name}" for name in ("a b.png", "deep/ü.png", "deep/er/x.png", "a b.png")]
    assert parts[0].pictures()[0] == ("images/train/a b.png", (24, 20), [0, 3]) and parts[1].sizes.tolist() == [[30, 40]]
    assert files(tmp_path / "out") == sorted({*parts[0].images, *parts[1].images})
    assert (tmp_path / "out" / "images" / "train" / "a b.png").read_bytes() == (tmp_path / names[0]).read_bytes()


def test_names_differ_without_suffix_and_case(tmp_path):
    names = ["a.png", "a.jpg", "A.PNG", "a_2.png"]
    for name in names:
        picture(tmp_path / "in" / name)
    (part,), _ = copy_photographs(dataset([tmp_path / "in" / name for name in names]), tmp_path / "out", "", progress=False)
    stems = [os.path.splitext(image)[0].casefold() for image in part.images]
    assert len(set(stems)) == 4 and part.images[:2] == ["train/a.png", "train/a_2.jpg"]
    assert files(tmp_path / "out") == sorted(part.images)


def test_odd_names_become_plain_ones(tmp_path):
    names = [b"in/caf\xe9.png", b"in/two\nlines.png", b"in/.hidden.png", b"in/a&b.png", b"in/" + b"x" * 250 + b".png"]
    for name in names:
        picture(tmp_path / os.fsdecode(name))
    made = dataset([tmp_path / os.fsdecode(name) for name in names])
    (part,), failures = copy_photographs(made, tmp_path / "out", "images", avoided="&", progress=False)
    expected = ["caf\\xe9.png", "two\\nlines.png", "_hidden.png", "a_b.png", "x" * 200 + ".png"]
    assert not failures and part.images == [f"images/train/{name}" for name in expected]
    assert all((tmp_path / "out" / image).is_file() for image in part.images)


def test_turned_photographs_and_parts_of_files_are_written_upright(tmp_path):
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    picture(tmp_path / "in" / "turned.jpg", 24, 20, format="JPEG", exif=exif)
    picture(tmp_path / "in" / "no suffix", 24, 20)
    made = dataset([tmp_path / "in" / "turned.jpg", tmp_path / "in" / "no suffix"])
    (part,), failures = copy_photographs(made, tmp_path / "out", "images", progress=False)
    assert not failures and part.images == ["images/train/turned.png", "images/train/no suffix.png"]
    assert part.sizes.tolist() == [[20, 24], [24, 20]]
    with PIL.Image.open(tmp_path / "out" / part.images[0]) as image:
        assert image.size == (20, 24) and not image.getexif()
    np.testing.assert_array_equal(read(tmp_path / "out" / part.images[0]), read(tmp_path / "in" / "turned.jpg"))


def test_frames_of_videos_are_pictures(tmp_path):
    cv2 = pytest.importorskip("cv2")
    writer = cv2.VideoWriter(str(tmp_path / "vid.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 25, (32, 24))
    for value in (0, 120, 240):
        writer.write(np.full((24, 32, 3), value, "uint8"))
    writer.release()
    made = dataset([f"{tmp_path / 'vid.avi'}#000002", f"{tmp_path / 'vid.avi'}#000003"])
    (part,), failures = copy_photographs(made, tmp_path / "out", "images", progress=False)
    assert not failures and part.images == ["images/train/vid_000002.png", "images/train/vid_000003.png"]
    assert abs(int(read(tmp_path / "out" / part.images[0]).mean()) - 120) < 8 and part.sizes.tolist() == [[32, 24]] * 2


def test_photographs_that_cannot_be_read_are_left_out(tmp_path):
    picture(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "words.png").write_bytes(b"words")
    made = dataset([tmp_path / "in" / name for name in ("a.png", "words.png", "absent.png", "a.png")])
    (part,), failures = copy_photographs(made, tmp_path / "out", "images", progress=False)
    assert part.images == ["images/train/a.png"] * 2 and [os.path.basename(path) for path, _ in failures] == [
        "words.png",
        "absent.png",
    ]
    assert "not an image" in failures[0][1] and "No such file" in failures[1][1]


@pytest.mark.parametrize("value", [12.3, 0.1, 8191.123, 1e-5, -3.7, 65535.99, 0.5])
def test_shortest_numbers_from_which_float32_is_made_again(value):
    single = np.float32(value)
    assert np.float32(exact(single)) == single and len(repr(exact(single))) <= 12
    assert np.float32(exact(single, less=0.5) + 0.5) == single
