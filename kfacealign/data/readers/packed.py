"""Reader of packed datasets: crops and labels in one file, for training far from the photographs and without decoding any.

The file is HDF5, and nothing in it is executed on reading. Its pixels are one contiguous block, which is mapped into memory: so
it opens at once whatever its size, and any program can use it that reads HDF5 or maps bytes at an offset. The layout:

    images      (N, S, S, 3) uint8, RGB; the training faces, then the test faces
    landmarks   (N, K, 2) float32, pixels of the crop       weights (N, K) float32
    boxes       (N, 4) float32, pixels of the crop          occluded (N, K) uint8, only where the dataset has it
    matrices    (N, 2, 3) float64, the photograph's image coordinates -> pixels of the crop
    names, origins                                          text that can be printed: other bytes and signs as \\xe9, \\n
    attributes/NAME (N,) uint8                              subsets/NAME: positions among the test faces
    attributes of the file: format, dataset, scheme, normalizer, train (number), size, enlarge, box

Convention of the file: coordinates have their origin at the outer top-left corner of the crop, as everywhere in this package.
`kfacealign.data.packing` writes it.
"""

import functools
import os
from typing import Any

import numpy as np

from kfacealign import schemes
from kfacealign.data.faces import Dataset, Faces
from kfacealign.data.readers.entry import Entry

FORMAT = "kfacealign packed faces 1"


class PackedFaces(Faces):
    """`Faces` whose photographs are their crops in the packed file.

    Attributes:
        pixels: (N, S, S, 3) uint8, RGB, mapped into memory; landmarks divided by S are the crop coordinates.
        matrices: (N, 2, 3) float64, image coordinates of the photographs that the crops were cut from -> pixels of the crop.
    """

    def __init__(self, *arguments: Any, pixels: np.ndarray, matrices: np.ndarray, **keywords: Any):
        super().__init__(*arguments, **keywords)
        self.pixels, self.matrices = pixels, matrices


def packed(path: str | os.PathLike) -> Dataset:
    """Reads a packed dataset; no pixel is copied.

    Args:
        path: the file.

    Returns:
        A `Dataset` whose parts are `PackedFaces`. Landmarks and boxes are in pixels of the crops, and `pixels` holds the
        crops. The images are named `FILE#PLACE`, so that `Crops`, training, evaluation and plots read them like photographs.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no packed dataset.
    """
    path = os.fspath(path)
    with _open(path) as file:
        count, train = len(file["landmarks"]), int(file.attrs["train"])
        pixels = _pixels(path, os.stat(path).st_mtime_ns)
        part = functools.partial(_part, file, path, pixels)
        return Dataset(
            name=file.attrs["dataset"],
            scheme=schemes.get(file.attrs["scheme"]),
            train=part(slice(0, train)),
            test=part(slice(train, count)),
            subsets={subset_name(key): places[()] for key, places in file["subsets"].items()},
            enlarge=float(file.attrs["enlarge"]),
            normalizer=file.attrs["normalizer"],
        )


def read_image(path: str, place: int) -> np.ndarray:
    """Crop `place` of a packed dataset, (S, S, 3) uint8.

    Raises:
        OSError: the file cannot be opened.
        ValueError: it is no packed dataset, or has no such crop.
    """
    pixels = _pixels(path, os.stat(path).st_mtime_ns)
    if not place < len(pixels):
        raise ValueError(f"the file holds {len(pixels)} crops, none has number {place} (from 0)")
    return np.array(pixels[place])


def subset_key(name: str) -> str:
    """The name of a subset in the file: "/" and a leading "." mean something else to HDF5 and are written as %2F and %2E."""
    key = name.replace("%", "%25").replace("/", "%2F")
    return f"%2E{key[1:]}" if key.startswith(".") else key


def subset_name(key: str) -> str:
    """The inverse of `subset_key`."""
    return key.replace("%2E", ".").replace("%2F", "/").replace("%25", "%")


def _part(file, path, pixels, rows):
    faces = range(len(pixels))[rows]
    return PackedFaces(
        file.attrs["scheme"],
        images=[f"{path}#{place}" for place in faces],
        landmarks=file["landmarks"][rows],
        weights=file["weights"][rows],
        boxes=file["boxes"][rows],
        attributes={name: flags[rows] for name, flags in file["attributes"].items()},
        names=file["names"].asstr()[rows],
        origins=[f"{path}#{place} ({origin})" for place, origin in zip(faces, file["origins"].asstr()[rows], strict=True)],
        occluded=file["occluded"][rows] if "occluded" in file else None,
        pixels=pixels[rows],
        matrices=file["matrices"][rows],
    )


def _open(path):
    import h5py  # only here: the catalogue, which every command reads, imports this module

    try:
        file = h5py.File(path, "r")
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} is missing: expected a file that kfacealign datasets pack wrote") from None
    except OSError as error:
        raise ValueError(f"{path}: no packed dataset: {error}") from None
    if file.attrs.get("format") != FORMAT:
        file.close()
        raise ValueError(f"{path}: no packed dataset, or one of another version: expected format {FORMAT!r}")
    return file


@functools.lru_cache(maxsize=8)
def _pixels(path, changed):
    """The crops, mapped into memory; `changed` is the file's time, so that a file that is written anew is mapped anew."""
    with _open(path) as file:
        images = file["images"]
        count, offset = len(file["landmarks"]), images.id.get_offset()
        shape = (count, *images.shape[1:])
    if not os.path.getsize(path) >= offset + int(np.prod(shape)):
        raise ValueError(f"{path}: the file is truncated")
    return np.memmap(path, "uint8", "r", offset, shape)


ENTRIES = (
    Entry(
        name="packed",
        title="a packed dataset",
        reader=packed,
        scheme="any",
        counts={},
        normalizer="the dataset's",
        crops="cut when it was packed",
        protocol="that of the dataset",
        layout="the file itself",
        source="kfacealign datasets pack NAME DIR FILE.h5 writes it.",
    ),
)
