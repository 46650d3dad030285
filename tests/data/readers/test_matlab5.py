"""The parser of MATLAB files of version 5: what scipy reads is read alike, and what is damaged is named."""

import random
import struct
import zlib

import numpy as np
import pytest
import scipy.io

from kfacealign.data.readers import matlab, matlab5

rng = np.random.default_rng(0)
VARIABLES = {
    "doubles": rng.random((3, 4)),
    "whole": np.arange(5),
    "stored_small": np.array([[1.0, 2, 3]]),
    "singles": rng.random((2, 3, 4)).astype("float32"),
    "bytes": np.int8([[1, -2]]),
    "flags": np.array([True, False]),
    "nothing": np.zeros((0, 3)),
    "text": "hello",
    "rows": np.array(["ab", "cd"]),
    "accents": "é€",
    "large": np.arange(3000).reshape(10, 300),
}


def element(order, kind, data):
    return struct.pack(f"{order}II", kind, len(data)) + data + bytes(-len(data) % 8)


def matrix(order, name, array):
    """A matrix of doubles as an element, written by hand."""
    flags = element(order, 6, struct.pack(f"{order}II", 6, 0))
    dimensions = element(order, 5, struct.pack(f"{order}{array.ndim}i", *array.shape))
    numbers = element(order, 9, np.asarray(array, f"{order}f8").tobytes(order="F"))
    return element(order, 14, flags + dimensions + element(order, 1, name.encode()) + numbers)


def header(mark=b"IM"):
    return b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\1" + mark


@pytest.mark.parametrize("compressed", [False, True])
def test_it_reads_what_scipy_reads(tmp_path, compressed):
    scipy.io.savemat(tmp_path / "a.mat", VARIABLES, do_compression=compressed)
    expected = scipy.io.loadmat(tmp_path / "a.mat")
    found, names = matlab5.load(tmp_path / "a.mat", list(VARIABLES))
    assert sorted(names) == sorted(VARIABLES)
    for name in VARIABLES:
        assert found[name].dtype == expected[name].dtype, name
        np.testing.assert_array_equal(found[name], expected[name], strict=True)


def test_cells(tmp_path):
    cells = np.empty((3, 1), object)
    cells[:, 0] = [np.array(["x/y.jpg"], object), np.array(["z"], object), np.zeros((1, 2))]
    scipy.io.savemat(tmp_path / "a.mat", {"cells": cells})
    expected, found = scipy.io.loadmat(tmp_path / "a.mat")["cells"], matlab5.load(tmp_path / "a.mat", ["cells"])[0]["cells"]
    assert found.shape == expected.shape == (3, 1)
    assert found[0, 0].shape == expected[0, 0].shape and found[0, 0][0] == "x/y.jpg" and found[1, 0][0] == "z"
    np.testing.assert_array_equal(found[2, 0], expected[2, 0])


def test_either_order_of_bytes(tmp_path):
    array = np.arange(6.0).reshape(2, 3)
    for mark, order in ((b"IM", "<"), (b"MI", ">")):
        (tmp_path / "a.mat").write_bytes(header(mark) + matrix(order, "a", array))
        (found,) = matlab.load(tmp_path / "a.mat", ["a"])
        np.testing.assert_array_equal(found, array)
        assert found.dtype == np.float64 and found.dtype.isnative


SQUARE = matrix("<", "a", np.ones((2, 2)))


@pytest.mark.parametrize(
    "content, reason",
    [
        (header() + SQUARE[:-8], r"an element of \d+ bytes has \d+"),
        (header() + struct.pack("<II", 14, 2**32 - 8), "an element of 4294967288 bytes has 0"),
        (header() + b"\0\0\0", "it ends within a tag"),
        (header() + element("<", 9, bytes(8)), "an element is no variable"),
        (header() + element("<", 15, b"no zlib!"), "its compressed data are damaged"),
        (
            header() + SQUARE.replace(struct.pack("<2i", 2, 2), struct.pack("<2i", 2, 3)),
            "6 numbers has 32",
        ),
        (
            header() + SQUARE.replace(struct.pack("<2i", 2, 2), struct.pack("<2i", -2, -2)),
            "dimensions",
        ),
        (
            header() + SQUARE.replace(struct.pack("<II", 6, 0), struct.pack("<II", 2, 0)),
            "'a' is a struct",
        ),
        (header() + SQUARE.replace(struct.pack("<II", 6, 0), struct.pack("<II", 99, 0)), "class 99"),
        (header() + 2 * SQUARE, "variable a is there twice"),
        (header(b"??"), "the order of bytes"),
    ],
)
def test_damage_is_named(tmp_path, content, reason):
    (tmp_path / "a.mat").write_bytes(content)
    with pytest.raises(ValueError, match=rf"a\.mat: the MATLAB file is truncated or damaged.*{reason}"):
        matlab.load(tmp_path / "a.mat", ["a"])


def test_what_decompresses_to_more_than_the_limit_is_refused(tmp_path, monkeypatch):
    assert matlab5.LIMIT <= 2**28
    monkeypatch.setattr(matlab5, "LIMIT", 2**20)
    packed = zlib.compress(bytes(2**20 + 1))
    (tmp_path / "a.mat").write_bytes(header() + struct.pack("<II", 15, len(packed)) + packed)
    with pytest.raises(ValueError, match=r"a\.mat: .*decompresses to more than 1 MiB"):
        matlab.load(tmp_path / "a.mat", ["a"])


def test_no_random_damage_leads_to_another_error(tmp_path):
    """The library that wrote these files crashes on some such files."""
    names = np.array([np.array([f"{i}.jpg"], object) for i in range(4)], object).reshape(-1, 1)
    path, refused = tmp_path / "a.mat", 0
    for compressed in (False, True):
        scipy.io.savemat(path, {"points": rng.random((4, 6)), "names": names, "text": "abc"}, do_compression=compressed)
        sound = path.read_bytes()
        for seed in range(120):
            draw, content = random.Random(seed), bytearray(sound)
            for _ in range(draw.choice((1, 2, 8))):
                content[draw.randrange(128, len(content))] = draw.choice((0, 1, 14, 15, 127, 255, draw.randrange(256)))
            path.write_bytes(content[: draw.randrange(len(content))] if seed % 5 == 0 else content)
            try:
                matlab.load(path, ["points", "names", "text"])
            except ValueError as error:
                refused += 1
                assert str(path) in str(error)
    assert refused > 120
