"""MATLAB files of both kinds: version 7.3, which is HDF5, and version 5.

Arrays are returned as MATLAB shows them, (rows, columns), though HDF5 holds them transposed. The images in a version 7.3 file
are elements of a cell array, which HDF5 holds as references to objects; an image is read when it is asked for.
"""

import os
import threading
from collections.abc import Sequence

import numpy as np

from kfacealign.data.readers import hdf5, matlab5
from kfacealign.data.readers.hdf5 import MARK
from kfacealign.files import require_regular

HEADER = 512  # bytes that MATLAB puts before HDF5
# The cell arrays that hold images: COFW's training and test faces.
IMAGES = ("IsTr", "IsT")
FILES = 8  # files whose images are remembered


def load(path: str | os.PathLike, names: Sequence[str]) -> list[np.ndarray]:
    """Variables of a MATLAB file.

    Args:
        path: the file.
        names: names of the variables.

    Returns:
        A list of their arrays, (rows, columns), in the order of the names. Cells of an older file are arrays of objects.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no MATLAB file, is damaged, or lacks a variable; the message names both.
    """
    path = os.fspath(path)
    if version(path) == "5":
        found, there = matlab5.load(path, names)
        _require(path, names, found, there)
        return [found[name] for name in names]
    content, _ = _read(path, names)
    _require(path, names, content.arrays, content.names)
    texts = [name for name in names if not isinstance(content.arrays[name], np.ndarray)]
    if texts:
        raise ValueError(f"{path}: variable {texts[0]} holds texts, expected numbers")
    return [content.arrays[name].T for name in names]


def load_numbers(path: str | os.PathLike, names: Sequence[str]) -> list[np.ndarray]:
    """Variables of a MATLAB file as arrays of real numbers in float64; otherwise it is `load`.

    Raises:
        ValueError: see `load`, or a variable holds no numbers, or an infinite one.
    """
    made = []
    for name, array in zip(names, load(path, names), strict=True):
        if array.dtype.kind not in "fiub":
            raise ValueError(f"{path}: variable {name} holds no numbers")
        made.append(array.astype("float64"))
        if np.isinf(made[-1]).any():
            raise ValueError(f"{path}: variable {name} holds an infinite number")
    return made


def version(path: str | os.PathLike) -> str:
    """The version of a MATLAB file, "7.3" or "5", by its first bytes.

    Raises:
        FileNotFoundError: there is no such file.
        OSError: it is no regular file, or cannot be read.
        ValueError: it is no MATLAB file.
    """
    require_regular(path)
    with open(path, "rb") as file:
        start = file.read(HEADER + len(MARK))
    if MARK in (start[: len(MARK)], start[HEADER:]):
        return "7.3"
    if start.startswith(b"MATLAB 5.0"):
        return "5"
    if not start:
        raise ValueError(f"{path}: the file is empty, expected a MATLAB file")
    if start.lstrip()[:1] == b"<":
        raise ValueError(
            f"{path}: this is a web page (HTML), no MATLAB file: the download was answered with a page, for instance one "
            "that asks to log in. Download it again in a browser"
        )
    raise ValueError(f"{path}: no MATLAB file: it begins with {start[:16]!r}")


def read_image(path: str, place: int) -> np.ndarray:
    """Image `place`, from 0, of a version 7.3 file: (H, W, 3) uint8, RGB; a grey image has three equal channels.

    Raises:
        OSError: the file cannot be opened.
        ValueError: it has no such image.
    """
    cells = _images(path)
    if not place < len(cells):
        raise ValueError(f"the file holds {len(cells)} images, none has number {place} (from 0)")
    layout = cells[place]
    if not _is_image(layout):
        raise ValueError(f"image {place} has shape {layout.shape} and type {layout.type}, expected bytes (3, W, H) or (W, H)")
    pixels = hdf5.read_layout(path, layout).T
    return np.ascontiguousarray(np.stack([pixels] * 3, -1) if pixels.ndim == 2 else pixels)


def image_sizes(path: str | os.PathLike) -> np.ndarray:
    """Width and height (N, 2) of the images of a version 7.3 file; no pixel is read.

    Raises:
        ValueError: there is no image in it, or what should be one is none.
    """
    cells = _images(os.fspath(path))
    if not cells:
        raise ValueError(f"{path}: there are no images in it, expected a cell array {' or '.join(IMAGES)}")
    for place, layout in enumerate(cells):
        if not _is_image(layout):
            raise ValueError(f"{path}#{place}: an array of shape {layout.shape} and type {layout.type} is no image")
    return np.array([layout.shape[-2:] for layout in cells]).reshape(-1, 2)


def _images(path):
    """Where the images of a file lie."""
    if version(path) != "7.3":
        raise ValueError(f"{path}: a MATLAB file older than 7.3, the images are in files of version 7.3")
    status = os.stat(path)
    stamp, cells = _cells.get(path, (None, []))
    if stamp != (status.st_mtime_ns, status.st_size):
        _, cells = _read(path, ())
    return cells


_lock, _cells = threading.Lock(), {}  # of the last files: path -> their time and size, and where their images lie


def _read(path, names):
    """Variables of a version 7.3 file; where its images lie is remembered, as every image asks for it."""
    status = os.stat(path)
    content = hdf5.read(path, arrays=names, cells=IMAGES)
    cells = next((content.cells[name] for name in IMAGES if name in content.cells), [])
    with _lock:
        _cells.pop(path, None)
        while len(_cells) >= FILES:
            del _cells[next(iter(_cells))]
        _cells[path] = ((status.st_mtime_ns, status.st_size), cells)
    return content, cells


def _is_image(layout):
    grey_or_colour = len(layout.shape) == 2 or (len(layout.shape) == 3 and layout.shape[0] == 3)
    return grey_or_colour and layout.type == "|u1" and min(layout.shape) > 0


def _require(path, names, found, there):
    lacking = [name for name in names if name not in found]
    if lacking:
        raise ValueError(f"{path}: no variable {' or '.join(lacking)} in it, it holds {', '.join(sorted(there)) or 'nothing'}")
