"""Writing packed datasets: crops and labels in one file.

`kfacealign.data.readers.packed` reads the file and says what is in it.
"""

import json
import os
from collections.abc import Sequence

import h5py
import numpy as np
from rich.progress import Progress

from kfacealign import geometry, schemes
from kfacealign.console import make_console, shown
from kfacealign.data.crops import Crops
from kfacealign.data.faces import Dataset, Faces
from kfacealign.data.readers.packed import FORMAT, SCHEME, subset_key
from kfacealign.files import replacing, reserve

BATCH = 64  # crops made at a time


def pack(
    dataset: Dataset | Faces,
    path: str | os.PathLike,
    *,
    size: int = 256,
    enlarge: float = 1.25,
    box: str = "landmarks",
    strict: bool = False,
    progress: bool = True,
) -> tuple[int, list[tuple[str, str]]]:
    """Writes a dataset's crops and labels to one file.

    Training from the file cuts its crops from the crops in it, so what lies outside of them is lost. A larger enlargement than
    the model's leaves room.

    Args:
        dataset: a `Dataset`, or unlabelled `Faces`, which become the training part.
        path: the file, NAME.h5.
        size: side of the crops in pixels.
        enlarge: see `Crops`.
        box: see `Crops`.
        strict: whether a photograph that cannot be read raises; if not, its face is left out with a warning.
        progress: whether a progress bar is shown.

    Returns:
        The number of faces written, and a list of (photograph, reason) for the faces left out.

    Raises:
        ValueError: the path does not end in .h5, there is no face, no photograph can be read, or, if strict, one cannot.
        OSError: there is no room for the file, or it cannot be written; the error names it.
    """
    path = os.fspath(path)
    if not path.endswith(".h5"):
        raise ValueError(f"{path}: a packed dataset is a file NAME.h5")
    if isinstance(dataset, Faces):
        empty = Faces(dataset.scheme, [], [])
        dataset = Dataset(
            name="unlabelled",
            scheme=dataset.scheme,
            train=dataset,
            test=empty,
            subsets={},
            enlarge=enlarge,
            normalizer=dataset.scheme.default_normalizer,
        )
    options = {"enlarge": enlarge, "box": box, "cache": None, "strict": strict}
    parts = [Crops(faces, size, **options) for faces in (dataset.train, dataset.test)]
    total = sum(map(len, parts))
    if not total:
        raise ValueError(f"{dataset.name}: there is no face to pack")
    room = room_for(parts, size)
    with replacing(path) as temporary:
        # HDF5 does not survive a full disk: claim the room before it begins, and hold it while it writes.
        reserve(temporary, room)
        failures, written = _write_file(temporary, dataset, parts, room=room, progress=progress, box=box)
    return written, failures


def room_for(parts: Sequence[Crops], size: int) -> int:
    """Bytes that a pack of these crops takes at most."""
    count = 2**20 + 2 * len(json.dumps(parts[0].faces.scheme.get_config()))
    for crops in parts:
        faces, points = crops.faces, crops.faces.scheme.num_points
        texts = sum(len(text.encode()) + 64 for text in (*faces.names, *faces.origins))
        count += texts + len(faces) * (3 * size**2 + 16 * points + 128 + 16 * len(faces.attributes))
    return count


def _write_file(path, dataset, parts, *, room, progress, box):
    """Writes the pack; returns the failures and the number of faces written."""
    failures, size = [], parts[0].size
    total = sum(map(len, parts))
    with h5py.File(path, "w") as file:
        images = file.create_dataset("images", (total, size, size, 3), "uint8")
        reserve(path, room)
        kept = _write_images(images, parts, progress)
        for crops in parts:
            failures += crops.failures
        _write_labels(file, parts, kept)
        _write_subsets(file, dataset, kept[1])
        written = [len(places) for places in kept]
        attributes = {"dataset": dataset.name, "scheme": dataset.scheme.name, "normalizer": dataset.normalizer, "box": box}
        told = schemes.described(dataset.scheme)
        if isinstance(told, dict):
            file.create_dataset(SCHEME, data=[json.dumps(told)], dtype=h5py.string_dtype())
        file.attrs.update({"format": FORMAT, **attributes, "train": written[0], "size": size, "enlarge": parts[0].enlarge})
        if not sum(written):
            first, reason = failures[0]
            raise ValueError(f"{dataset.name}: no photograph could be read, the first: {shown(first)} ({reason})")
        file.flush()
        end = file.id.get_filesize()
    os.truncate(path, end)  # gives the rest of the room back
    return failures, sum(written)


def _write_images(images, parts, progress):
    """Fills the first rows with the crops that can be read; returns their positions in each part."""
    console, row, kept = make_console(), 0, []
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
    faces = [crops.faces[places] for crops, places in zip(parts, kept, strict=True)]
    matrices = np.concatenate([crops.matrices[places] for crops, places in zip(parts, kept, strict=True)])
    joint = {name: np.concatenate([getattr(part, name) for part in faces]) for name in ("landmarks", "weights", "boxes")}
    if len(matrices):
        joint["landmarks"] = geometry.apply_affine(matrices, joint["landmarks"])
        joint["boxes"] = geometry.apply_affine(matrices, joint["boxes"].reshape(-1, 2, 2)).reshape(-1, 4)
    for name, values in joint.items():
        file[name] = values.astype("float32")
    file["matrices"] = matrices
    # A part without faces must not keep back what the other part has.
    told = [part for part in faces if len(part)]
    if all(part.occluded is not None for part in told):
        file["occluded"] = np.concatenate([part.occluded for part in told]).astype("uint8")
    for name in ("names", "origins"):
        file.create_dataset(name, data=[shown(text) for part in faces for text in getattr(part, name)], dtype=h5py.string_dtype())
    attributes = file.create_group("attributes")
    for name in told[0].attributes if told else ():
        if all(name in part.attributes for part in told):
            attributes[name] = np.concatenate([part.attributes[name] for part in told]).astype("uint8")


def _write_subsets(file, dataset, kept):
    group = file.create_group("subsets")
    for name, places in dataset.subsets.items():
        group[subset_key(name)] = np.flatnonzero(np.isin(kept, places))
