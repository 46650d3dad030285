"""Packed datasets: crops and labels in one file, for training far from the photographs and without decoding any.

The file is HDF5. Its pixels are one contiguous block, mapped into memory, so that it opens at once whatever its size and
any program that reads HDF5 (or maps bytes at an offset) can use it; nothing in it is executed on reading.

    images      (N, S, S, 3) uint8, RGB; the training faces, then the test faces
    landmarks   (N, K, 2) float32, pixels of the crop       weights (N, K) float32
    boxes       (N, 4) float32, pixels of the crop          occluded (N, K) uint8, only where the dataset has it
    matrices    (N, 2, 3) float64, the photograph's image coordinates -> pixels of the crop
    names, origins                                          text
    attributes/NAME (N,) uint8                              subsets/NAME: positions among the test faces
    attributes of the file: format, dataset, scheme, normalizer, train (number), size, enlarge, box
"""

import functools
import os

import h5py
import numpy as np
from rich.console import Console
from rich.progress import Progress

from kfacealign import geometry, schemes
from kfacealign.data.crops import Crops
from kfacealign.data.faces import Dataset, Faces
from kfacealign.files import replacing

FORMAT = "kfacealign packed faces 1"
BATCH = 64  # crops made at a time


class PackedFaces(Faces):
    """`Faces` whose photographs are their crops, in the packed file.

    Attributes:
        pixels: (N, S, S, 3) uint8, RGB, mapped into memory; landmarks divided by S are the crop coordinates.
        matrices: (N, 2, 3), image coordinates of the photographs that the crops were cut from -> pixels of the crop.
    """

    def __init__(self, *arguments, pixels, matrices, **keywords):
        super().__init__(*arguments, **keywords)
        self.pixels, self.matrices = pixels, matrices


def pack(dataset, path, size=256, enlarge=1.25, box="landmarks", strict=False, progress=True):
    """Writes a dataset's crops and labels to one file.

    Args:
        dataset: a `Dataset`, or `Faces` (unlabelled ones), which become its training part.
        path: the file, NAME.h5.
        size, enlarge, box: of the crops, as of `Crops`. Training from the file cuts its crops from these, so what lies
            outside of them is lost: an enlargement of more than the model's leaves room.
        strict: whether a photograph that cannot be read raises; else its face is left out with a warning.
        progress: whether a progress bar is shown.

    Returns:
        (number of faces written, list of (photograph, reason) of those left out).

    Raises:
        ValueError: the path does not end in .h5, there is no face, or, if strict, an unreadable photograph.
    """
    path = os.fspath(path)
    if not path.endswith(".h5"):
        raise ValueError(f"{path}: a packed dataset is a file NAME.h5")
    if isinstance(dataset, Faces):
        empty = Faces(dataset.scheme, [], [])
        dataset = Dataset("unlabelled", dataset.scheme, dataset, empty, {}, enlarge, dataset.scheme.default_normalizer)
    parts = [Crops(faces, size, enlarge, box, cache=None, strict=strict) for faces in (dataset.train, dataset.test)]
    total = sum(map(len, parts))
    if not total:
        raise ValueError(f"{dataset.name}: there is no face to pack")
    failures = []
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        images = file.create_dataset("images", (total, size, size, 3), "uint8")
        kept = _write_images(images, parts, progress)
        for crops in parts:
            failures += crops.failures
        _write_labels(file, parts, kept)
        _write_subsets(file, dataset, kept[1])
        written = [len(places) for places in kept]
        attributes = {"dataset": dataset.name, "scheme": dataset.scheme.name, "normalizer": dataset.normalizer, "box": box}
        file.attrs.update({"format": FORMAT, **attributes, "train": written[0], "size": size, "enlarge": float(enlarge)})
        if not sum(written):
            raise ValueError(f"{dataset.name}: no photograph could be read, the first: {failures[0][0]} ({failures[0][1]})")
    return sum(written), failures


def packed(path):
    """Reads a packed dataset; no pixel is copied.

    Args:
        path: the file.

    Returns:
        A `Dataset` whose parts are `PackedFaces`: landmarks and boxes are in pixels of the crops, `pixels` has the crops,
        and the images are named `FILE#PLACE`, so that `Crops`, training, evaluation and plots read them like photographs.

    Raises:
        FileNotFoundError: there is no such file. ValueError: it is no packed dataset.
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
            subsets={name: places[()] for name, places in file["subsets"].items()},
            enlarge=float(file.attrs["enlarge"]),
            normalizer=file.attrs["normalizer"],
        )


def read_image(path, place):
    """Crop `place` of a packed dataset, (S, S, 3) uint8.

    Raises:
        OSError, ValueError: the file cannot be opened, or has no such crop.
    """
    pixels = _pixels(path, os.stat(path).st_mtime_ns)
    if not place < len(pixels):
        raise ValueError(f"the file holds {len(pixels)} crops, none has number {place} (from 0)")
    return np.array(pixels[place])


def _write_images(images, parts, progress):
    """Fills the first rows with the crops that can be read; returns the positions of these in each part."""
    console, row, kept = Console(), 0, []
    with Progress(console=console, transient=True, disable=not (progress and console.is_terminal)) as bar:
        task = bar.add_task("packing", total=len(images))
        for crops in parts:
            places = []
            for start in range(0, len(crops), BATCH):
                batch = np.arange(start, min(start + BATCH, len(crops)))
                pixels, _, weights = crops.batch(batch)
                good = (weights > 0).any(1)  # the weights of an unreadable photograph are 0
                images[row : row + good.sum()] = pixels[good]
                row += int(good.sum())
                places.append(batch[good])
                bar.advance(task, len(batch))
            kept.append(np.concatenate(places) if places else np.zeros(0, int))
    return kept


def _write_labels(file, parts, kept):
    faces = [crops.faces[places] for crops, places in zip(parts, kept)]
    matrices = np.concatenate([crops.matrices[places] for crops, places in zip(parts, kept)])
    joint = {name: np.concatenate([getattr(part, name) for part in faces]) for name in ("landmarks", "weights", "boxes")}
    if len(matrices):
        joint["landmarks"] = geometry.apply_affine(matrices, joint["landmarks"])
        joint["boxes"] = geometry.apply_affine(matrices, joint["boxes"].reshape(-1, 2, 2)).reshape(-1, 4)
    for name, values in joint.items():
        file[name] = values.astype("float32")
    file["matrices"] = matrices
    # A part without faces has no say in what the other knows of its own.
    told = [part for part in faces if len(part)]
    if all(part.occluded is not None for part in told):
        file["occluded"] = np.concatenate([part.occluded for part in told]).astype("uint8")
    for name in ("names", "origins"):
        file.create_dataset(name, data=[text for part in faces for text in getattr(part, name)], dtype=h5py.string_dtype())
    attributes = file.create_group("attributes")
    for name in told[0].attributes if told else ():
        if all(name in part.attributes for part in told):
            attributes[name] = np.concatenate([part.attributes[name] for part in told]).astype("uint8")


def _write_subsets(file, dataset, kept):
    group = file.create_group("subsets")
    for name, places in dataset.subsets.items():
        group[name] = np.flatnonzero(np.isin(kept, places))


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
        origins=[f"{path}#{place} ({origin})" for place, origin in zip(faces, file["origins"].asstr()[rows])],
        occluded=file["occluded"][rows] if "occluded" in file else None,
        pixels=pixels[rows],
        matrices=file["matrices"][rows],
    )


def _open(path):
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
    """The crops, mapped into memory; `changed` is the file's time, so that a file written anew is mapped anew."""
    with _open(path) as file:
        images = file["images"]
        count, offset = len(file["landmarks"]), images.id.get_offset()
        shape = (count, *images.shape[1:])
    if not os.path.getsize(path) >= offset + int(np.prod(shape)):
        raise ValueError(f"{path}: the file is truncated")
    return np.memmap(path, "uint8", "r", offset, shape)
