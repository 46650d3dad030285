"""MATLAB files of both kinds: version 7.3, which is HDF5, and older ones.

Arrays are returned as MATLAB shows them, (rows, columns), though HDF5 holds them transposed. The images in a version 7.3 file
are elements of a cell array, which HDF5 holds as references to objects; an image is read when it is asked for.
"""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import h5py

HDF5 = b"\x89HDF\r\n\x1a\n"
HEADER = 512  # bytes that MATLAB puts before HDF5
# The cell arrays that hold images: COFW's training and test faces.
IMAGES = ("IsTr", "IsT")


def load(path: str | os.PathLike, names: Sequence[str]) -> list[np.ndarray]:
    """Variables of a MATLAB file.

    Args:
        path: the file.
        names: names of the variables.

    Returns:
        A list of their arrays, (rows, columns), in the order of the names. A cell array of an older file has the form that
        scipy gives it.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no MATLAB file, or lacks a variable; the message names both.
    """
    path = os.fspath(path)
    if version(path) == "7.3":
        import h5py  # only here: the catalogue, which every command reads, imports this module

        with h5py.File(path, "r") as file:
            _require(path, names, [name for name in file if not name.startswith("#")])
            return [np.asarray(file[name]).T for name in names]
    import scipy.io

    try:
        content = scipy.io.loadmat(path)
    except Exception as error:  # scipy raises what it stumbles on: zlib.error, TypeError, IndexError ...
        raise ValueError(f"{path}: the MATLAB file is truncated or damaged ({error})") from None
    _require(path, names, [name for name in content if not name.startswith("__")])
    return [content[name] for name in names]


def version(path: str | os.PathLike) -> str:
    """The version of a MATLAB file, "7.3" or "5", by its first bytes.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no MATLAB file.
    """
    with open(path, "rb") as file:
        start = file.read(HEADER + len(HDF5))
    if HDF5 in (start[: len(HDF5)], start[HEADER:]):
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
    import h5py

    with h5py.File(path, "r") as file:
        cells = image_cells(file)
        if cells is None or not place < cells.size:
            raise ValueError(f"the file holds {0 if cells is None else cells.size} images, none has number {place} (from 0)")
        pixels = np.asarray(file[cells[np.unravel_index(place, cells.shape)]])
    if pixels.ndim not in (2, 3) or pixels.dtype != np.uint8:
        raise ValueError(f"image {place} has shape {pixels.shape} and type {pixels.dtype}, expected bytes (3, W, H) or (W, H)")
    pixels = pixels.T
    return np.ascontiguousarray(np.stack([pixels] * 3, -1) if pixels.ndim == 2 else pixels)


def image_sizes(path: str | os.PathLike) -> np.ndarray:
    """Width and height (N, 2) of the images of a version 7.3 file; no pixel is read.

    Raises:
        ValueError: there is no image in it.
    """
    import h5py

    with h5py.File(path, "r") as file:
        cells = image_cells(file)
        if cells is None:
            raise ValueError(f"{path}: there are no images in it, expected a cell array {' or '.join(IMAGES)}")
        return np.array([file[cell].shape[-2:] for cell in cells[()].ravel()]).reshape(-1, 2)


def image_cells(file: "h5py.File") -> "h5py.Dataset | None":
    """The cell array of the images, or None if the file has none."""
    return next((file[name] for name in IMAGES if name in file), None)


def _require(path, names, found):
    lacking = [name for name in names if name not in found]
    if lacking:
        raise ValueError(f"{path}: no variable {' or '.join(lacking)} in it, it holds {', '.join(sorted(found)) or 'nothing'}")
