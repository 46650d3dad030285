import itertools
import os

import pytest

from kfacealign.cli.result_names import NUMBERED, key, result_names


@pytest.mark.parametrize(
    ("photos", "expected"),
    [
        (["x.jpg"], ["x"]),
        (["a/x.jpg", "b/x.jpg", "x.jpg"], ["a/x", "b/x", "x"]),
        (["x.jpg", "x.png", "y.jpg"], ["x.jpg", "x.png", "y"]),
        (["x.jpg", "X.JPG"], ["x.jpg", "X.JPG-2"]),  # one file where upper and lower case do not count
        (["X.jpg", "x.png"], ["X.jpg", "x.png"]),
        (["A/x.jpg", "a/x.jpg"], ["A/x.jpg", "a/x.jpg-2"]),
        (["x.jpg", "x_1.jpg", "x_2.jpg"], ["x.jpg", "x_1", "x_2"]),  # x_1.pts is the first face of x.jpg
        (["x.jpg", "x_01.jpg", "x_0.jpg", "x_b.jpg"], ["x", "x_01", "x_0", "x_b"]),
        (["x.jpg", "x.png", "x.jpg.png"], ["x.jpg", "x.png", "x.jpg.png"]),
        (["x.jpg", "x.png", "x.jpg_1.jpg"], ["x.jpg", "x.png", "x.jpg_1.jpg"]),
        (["x", "x_1"], ["x", "x_1-2"]),  # without suffixes
        (["cafe\u0301.jpg", "caf\u00e9.jpg"], ["cafe\u0301.jpg", "caf\u00e9.jpg-2"]),
        (["archive.tar.jpg", ".hidden.jpg"], ["archive.tar", ".hidden"]),
        (["coco.jpg", "b/coco.jpg"], ["coco.jpg", "b/coco"]),
    ],
)
def test_names(photos, expected):
    assert result_names(photos, taken=["coco"]) == expected


def test_no_two_photographs_can_write_the_same_file():
    """Every set of three or four of these names."""
    stems = ["x", "X", "x_1", "x_1_1", "x.jpg", "x.jpg_1", "x.jpg-2"]
    files = [f"{stem}{suffix}" for stem in stems for suffix in (".jpg", ".png", "")]
    for photos in [*itertools.combinations(files, 3), *itertools.combinations(files[::2], 4)]:
        names = [key(name) for name in result_names(photos)]
        assert len(set(names)) == len(names), photos
        of_faces = [found[1] for found in map(NUMBERED.fullmatch, names) if found]
        assert not set(of_faces) & set(names), photos


def test_long_names_are_cut_and_stay_apart():
    photos = [f"{'a' * 250}.{suffix}" for suffix in ("jpg", "png")] + [f"{'é' * 124}.jpg"]
    names = result_names(photos)
    assert len(set(names)) == 3 and all(len(os.fsencode(f".{name}_landmarks.12345678.png")) <= 255 for name in names)
    assert names[0].startswith("a" * 200 + "~") and names == result_names(photos)


def test_names_that_are_no_utf8():
    assert result_names([os.fsdecode(b"caf\xe9.jpg")]) == [os.fsdecode(b"caf\xe9")]
