"""Reader of packed datasets: crops and labels in one file, for training far from the photographs and without decoding any.

The file is HDF5, and nothing in it is executed on reading. Its images are one contiguous block, which is mapped into memory: so
it opens at once whatever its size, and any program can use it that reads HDF5 or maps bytes at an offset. The layout:

    images      (N, S, S, 3) uint8, RGB; the training faces, then the test faces; in format 2 (B,) uint8, the bytes of JPEG or
                WebP files one after the other
    ends        (N,) int64, only in format 2: where in `images` each file ends, and the next begins
    landmarks   (N, K, 2) float32, pixels of the crop       weights (N, K) float32
    boxes       (N, 4) float32, pixels of the crop          occluded (N, K) uint8, only where the dataset has it
    matrices    (N, 2, 3) float64, the photograph's image coordinates -> pixels of the crop
    names, origins                                          text that can be printed: other bytes and signs as \\xe9, \\n
    attributes/NAME (N,) uint8                              subsets/NAME: positions among the test faces
    scheme      a text, JSON, that describes a landmark scheme which is not one of this package
    attributes of the file: format, dataset, scheme, normalizer, train (number), size (S), enlarge, box; in format 2 also
                encoding and quality

Convention of the file: coordinates have their origin at the outer top-left corner of the crop, as everywhere in this package.
`kfacealign.data.packing` writes it.
"""

import functools
import json
import os
from typing import Any

import numpy as np

from kfacealign import schemes
from kfacealign.data.encoded_images import EncodedImages
from kfacealign.data.faces import Dataset, Faces
from kfacealign.data.readers import hdf5
from kfacealign.data.readers.entry import Entry

FORMAT = "kfacealign packed faces 1"
ENCODED_FORMAT = "kfacealign packed faces 2"
NEEDED = ("landmarks", "weights", "boxes", "matrices", "names", "origins")
SCHEME, ENDS = "scheme", "ends"
ARRAYS = (*NEEDED, SCHEME, ENDS, "occluded", "attributes/*", "subsets/*")


class PackedFaces(Faces):
    """`Faces` whose photographs are their crops in the packed file.

    Attributes:
        pixels: (N, S, S, 3) uint8, RGB, mapped into memory; or, of a file of JPEG or WebP, `EncodedImages` of that shape.
            Landmarks divided by S are the crop coordinates.
        matrices: (N, 2, 3) float64, image coordinates of the photographs that the crops were cut from -> pixels of the crop.
    """

    def __init__(self, *arguments: Any, pixels: np.ndarray | EncodedImages, matrices: np.ndarray, **keywords: Any):
        super().__init__(*arguments, **keywords)
        self.pixels, self.matrices = pixels, matrices


def packed(path: str | os.PathLike) -> Dataset:
    """Reads a packed dataset; no pixel is copied or decoded.

    Args:
        path: the file.

    Returns:
        A `Dataset` whose parts are `PackedFaces`. Landmarks and boxes are in pixels of the crops, and `pixels` holds the
        crops. The images are named `FILE#PLACE`, so that `Crops`, training, evaluation and plots read them like photographs.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no packed dataset, or is damaged; the message names it.
    """
    path = os.fspath(path)
    if not os.path.exists(path):
        raise FileNotFoundError(f"{path} is missing: expected a file that kfacealign datasets pack wrote")
    content = _read(path, ARRAYS)
    return _dataset(path, content, _pixels(path, content))


def read_image(path: str, place: int) -> np.ndarray:
    """Crop `place` of a packed dataset, (S, S, 3) uint8.

    Raises:
        OSError: the file cannot be opened.
        ValueError: it is no packed dataset, has no such crop, or the crop is damaged.
    """
    status = os.stat(path)
    pixels = _remembered(path, status.st_mtime_ns, status.st_size)
    if not place < len(pixels):
        raise ValueError(f"the file holds {len(pixels)} crops, none has number {place} (from 0)")
    return pixels.decode(place) if isinstance(pixels, EncodedImages) else np.array(pixels[place])


def subset_key(name: str) -> str:
    """The name of a subset in the file: "/" and a leading "." mean something else to HDF5 and are written as %2F and %2E."""
    key = name.replace("%", "%25").replace("/", "%2F")
    return f"%2E{key[1:]}" if key.startswith(".") else key


def subset_name(key: str) -> str:
    """The inverse of `subset_key`."""
    return key.replace("%2E", ".").replace("%2F", "/").replace("%25", "%")


def _dataset(path, content, pixels):
    said, count = content.attributes, len(pixels)
    train = said["train"]
    if not isinstance(train, int) or not 0 <= train <= count:
        raise ValueError(f"{path}: it is damaged: it has {count} faces, {train} of them for training")
    for name in ("dataset", "normalizer", "scheme"):
        if not isinstance(said[name], str):
            raise ValueError(f"{path}: it is damaged: its {name} is no text")
    if not isinstance(said["enlarge"], int | float) or not 0 < said["enlarge"] < 1e3:
        raise ValueError(f"{path}: it is damaged: its enlargement is {said['enlarge']}")
    scheme = _scheme(path, said["scheme"], content.arrays)
    arrays = {name: values for name, values in content.arrays.items() if name not in (SCHEME, ENDS)}
    arrays = _checked(path, arrays, count, scheme.num_points)
    tests = count - train
    subsets = {subset_name(name.partition("/")[2]): places for name, places in arrays.items() if name.startswith("subsets/")}
    for name, places in subsets.items():
        wrong = (
            places.ndim != 1 or places.dtype.kind not in "iu" or (places.size and not 0 <= places.min() <= places.max() < tests)
        )
        if wrong:
            raise ValueError(f"{path}: it is damaged: subset {name} is no list of positions of {tests} test faces")
    return Dataset(
        name=said["dataset"],
        scheme=scheme,
        train=_part(path, scheme, arrays, pixels, slice(0, train)),
        test=_part(path, scheme, arrays, pixels, slice(train, count)),
        subsets=subsets,
        enlarge=float(said["enlarge"]),
        normalizer=said["normalizer"],
    )


def _scheme(path, name, arrays):
    """The landmark scheme: the one of this package of that name, or the one that the file describes."""
    described = arrays.get(SCHEME)
    if described is None:
        if name not in schemes.SCHEMES:
            raise ValueError(f"{path}: it has the scheme {name!r}, there are {', '.join(schemes.SCHEMES)}")
        return schemes.get(name)
    try:
        told = json.loads(described[0]) if isinstance(described, list) and len(described) == 1 else None
        made = schemes.get(told) if isinstance(told, dict) else None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: it is damaged: its scheme is wrong: {error}") from None
    if made is None or made.name != name or name in schemes.BUILT_IN:
        raise ValueError(f"{path}: it is damaged: its scheme is not the description of {name!r}")
    return made


def _checked(path, arrays, count, points):
    """The arrays, whose shapes are those of so many faces and points."""
    shapes = {"landmarks": (count, points, 2), "weights": (count, points), "boxes": (count, 4), "matrices": (count, 2, 3)}
    if "occluded" in arrays:
        shapes["occluded"] = (count, points)
    shapes |= dict.fromkeys(("names", "origins", *(name for name in arrays if name.startswith("attributes/"))), (count,))
    for name, shape in shapes.items():
        array = arrays[name]
        if isinstance(array, list) != (name in ("names", "origins")):
            raise ValueError(f"{path}: it is damaged: {name} holds another kind of values")
        found = (len(array),) if isinstance(array, list) else array.shape
        if found != shape and count:
            raise ValueError(f"{path}: it is damaged: {name} has shape {found}, expected {shape}")
    if not np.isfinite(arrays["matrices"]).all():
        raise ValueError(f"{path}: it is damaged: matrices holds a number that is not finite")
    return arrays


def _part(path, scheme, arrays, pixels, rows):
    faces = range(len(pixels))[rows]
    attributes = {name.partition("/")[2]: flags[rows] for name, flags in arrays.items() if name.startswith("attributes/")}
    return PackedFaces(
        scheme,
        images=[f"{path}#{place}" for place in faces],
        landmarks=arrays["landmarks"][rows],
        weights=arrays["weights"][rows],
        boxes=arrays["boxes"][rows],
        attributes=attributes,
        names=arrays["names"][rows],
        origins=[f"{path}#{place} ({origin})" for place, origin in zip(faces, arrays["origins"][rows], strict=True)],
        occluded=arrays["occluded"][rows] if "occluded" in arrays else None,
        pixels=pixels[rows],
        matrices=arrays["matrices"][rows],
    )


def _read(path, arrays):
    """The content of a packed dataset, of whose arrays the given ones are read."""
    try:
        content = hdf5.read(path, arrays=arrays, layouts=["images"], attributes=True)
    except ValueError as error:
        reason = str(error).removeprefix(f"{path}: ")
        raise ValueError(f"{path}: no packed dataset: {reason}") from None
    if content.attributes.get("format") not in (FORMAT, ENCODED_FORMAT):
        expected = f"expected format {FORMAT!r} or {ENCODED_FORMAT!r}"
        raise ValueError(f"{path}: no packed dataset, or one of another version: {expected}")
    needed = {**dict.fromkeys(set(arrays) & set(NEEDED), content.arrays), "images": content.layouts}
    if content.attributes["format"] == ENCODED_FORMAT:
        needed |= {ENDS: content.arrays, "size": content.attributes}
    needed |= dict.fromkeys(("dataset", "scheme", "normalizer", "train", "enlarge"), content.attributes)
    lacking = [name for name, found in needed.items() if name not in found]
    if lacking:
        raise ValueError(f"{path}: it is damaged: it has no {', '.join(sorted(lacking))}")
    return content


def _pixels(path, content):
    """The crops, mapped into memory."""
    if content.attributes["format"] == ENCODED_FORMAT:
        return _encoded_pixels(path, content)
    layout = content.layouts["images"]
    square = len(layout.shape) == 4 and layout.shape[1] == layout.shape[2] > 0 and layout.shape[3] == 3
    if not square or layout.type != "|u1" or len(layout.pieces) != 1 or layout.packed or layout.chunk != layout.shape:
        raise ValueError(f"{path}: it is damaged: images has shape {layout.shape} and type {layout.type}, or is in pieces")
    # Photographs that could not be read leave rows empty at the end.
    count = len(content.arrays["landmarks"])
    if count > layout.shape[0]:
        raise ValueError(f"{path}: it is damaged: it has {layout.shape[0]} crops and {count} landmarks")
    if not count:
        return np.zeros((0, *layout.shape[1:]), "uint8")
    return np.memmap(path, "uint8", "r", layout.pieces[0][1], (count, *layout.shape[1:]))


def _encoded_pixels(path, content):
    layout, ends = content.layouts["images"], content.arrays[ENDS]
    if len(layout.shape) != 1 or layout.type != "|u1" or len(layout.pieces) != 1 or layout.packed or layout.chunk != layout.shape:
        raise ValueError(f"{path}: it is damaged: images has shape {layout.shape} and type {layout.type}, or is in pieces")
    count = len(content.arrays["landmarks"])
    if isinstance(ends, list) or ends.shape != (count,):
        raise ValueError(f"{path}: it is damaged: its ends are not those of {count} images")
    mapped = np.memmap(path, "uint8", "r", layout.pieces[0][1], layout.shape) if layout.shape[0] else np.zeros(0, "uint8")
    return EncodedImages(path, mapped, ends, content.attributes["size"])


@functools.lru_cache(maxsize=8)
def _remembered(path, *_changed):
    """The crops of the last files; a file that is written anew is mapped anew."""
    return _pixels(path, _read(path, ("landmarks", ENDS)))


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
        marks=False,
    ),
)
