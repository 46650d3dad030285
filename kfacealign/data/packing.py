"""Writing packed datasets: crops and labels in one file.

`kfacealign.data.readers.packed` reads the file and says what is in it.
"""

import concurrent.futures
import contextlib
import json
import os
import tempfile
from collections.abc import Iterator, Sequence

import h5py
import numpy as np
from rich.progress import Progress

from kfacealign import geometry, schemes
from kfacealign.console import make_console, shown
from kfacealign.data.crops import WORKERS, Crops
from kfacealign.data.encoded_images import ENCODINGS, encode
from kfacealign.data.faces import Dataset, Faces
from kfacealign.data.readers.packed import ENCODED_FORMAT, ENDS, FORMAT, SCHEME, subset_key
from kfacealign.files import replacing, reserve

BATCH = 64  # crops made at a time
QUALITY = {"jpeg": 80, "webp": 85}  # 13 kB a face of 256 px, with which 3,000 take less than 40 MB
BLOCK = 2**24  # bytes copied at a time


def pack(
    dataset: Dataset | Faces,
    path: str | os.PathLike,
    *,
    size: int = 256,
    enlarge: float = 1.25,
    box: str = "landmarks",
    images: str = "raw",
    quality: int | None = None,
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
        images: "raw", pixels that are mapped into memory on reading, or "jpeg" or "webp", which take a tenth of the room and are
            decoded on reading.
        quality: of JPEG and WebP, 1 to 100; None is 80 for JPEG and 85 for WebP.
        strict: whether a photograph that cannot be read raises; if not, its face is left out with a warning.
        progress: whether a progress bar is shown.

    Returns:
        The number of faces written, and a list of (photograph, reason) for the faces left out.

    Raises:
        ValueError: the path does not end in .h5, there is no such kind of images, the quality is none or has no meaning, there is
            no face, no photograph can be read, or, if strict, one cannot.
        OSError: there is no room for the file, or it cannot be written; the error names it.
    """
    path = os.fspath(path)
    if not path.endswith(".h5"):
        raise ValueError(f"{path}: a packed dataset is a file NAME.h5")
    quality = _quality(images, quality)
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
    if not sum(map(len, parts)):
        raise ValueError(f"{dataset.name}: there is no face to pack")
    with contextlib.ExitStack() as stack:
        temporary = stack.enter_context(replacing(path))
        if images == "raw":
            pixels = _Raw(parts, progress)
        else:
            spool = stack.enter_context(tempfile.TemporaryFile(dir=temporary.parent))
            pixels = _Encoded(parts, progress, images, quality, spool)
        # HDF5 does not survive a full disk: claim the room before it begins, and hold it while it writes.
        room = pixels.bytes + room_for_labels(parts)
        reserve(temporary, room)
        failures, written = _write_file(temporary, dataset, parts, pixels, room=room, box=box)
    return written, failures


def _quality(images, quality):
    if images not in ("raw", *ENCODINGS):
        raise ValueError(f"images is {images!r}, expected 'raw', 'jpeg' or 'webp'")
    if images == "raw":
        if quality is not None:
            raise ValueError("raw images have no quality: give it with images of jpeg or webp")
        return None
    quality = QUALITY[images] if quality is None else quality
    if not 1 <= quality <= 100:
        raise ValueError(f"quality is {quality}, expected 1 to 100")
    return quality


def room_for_labels(parts: Sequence[Crops]) -> int:
    """Bytes that a pack of these crops takes at most besides its images."""
    count = 2**20 + 2 * len(json.dumps(parts[0].faces.scheme.get_config()))
    for crops in parts:
        faces, points = crops.faces, crops.faces.scheme.num_points
        texts = sum(len(text.encode()) + 64 for text in (*faces.names, *faces.origins))
        count += texts + len(faces) * (16 * points + 128 + 16 * len(faces.attributes))
    return count


def _write_file(path, dataset, parts, pixels, *, room, box):
    """Writes the pack; returns the failures and the number of faces written."""
    failures = []
    with h5py.File(path, "w") as file:
        images = file.create_dataset("images", pixels.shape, "uint8")
        reserve(path, room)
        pixels.fill(images)
        if pixels.ends is not None:
            file[ENDS] = np.array(pixels.ends, "int64")
        for crops in parts:
            failures += crops.failures
        written = [len(places) for places in pixels.kept]
        if not sum(written):
            first, reason = failures[0]
            raise ValueError(f"{dataset.name}: no photograph could be read, the first: {shown(first)} ({reason})")
        _write_labels(file, parts, pixels.kept)
        _write_subsets(file, dataset, pixels.kept[1])
        attributes = {"dataset": dataset.name, "scheme": dataset.scheme.name, "normalizer": dataset.normalizer, "box": box}
        told = schemes.described(dataset.scheme)
        if isinstance(told, dict):
            file.create_dataset(SCHEME, data=[json.dumps(told)], dtype=h5py.string_dtype())
        cut = {"train": written[0], "size": parts[0].size, "enlarge": parts[0].enlarge}
        file.attrs.update({**pixels.attributes, **attributes, **cut})
        file.flush()
        end = file.id.get_filesize()
    os.truncate(path, end)  # gives the rest of the room back
    return failures, sum(written)


class _Raw:
    """The crops as they are: one row a face, made when the file is there to take them; the unreadable leave rows at the end."""

    attributes, ends = {"format": FORMAT}, None

    def __init__(self, parts, progress):
        self.parts, self.progress = parts, progress
        size = parts[0].size
        self.shape = (sum(map(len, parts)), size, size, 3)
        self.bytes = int(np.prod(self.shape, dtype=object))
        self.kept = [np.zeros(0, int) for _ in parts]

    def fill(self, images):
        row = 0
        for pixels in _readable(self.parts, self.kept, self.progress):
            images[row : row + len(pixels)] = pixels
            row += len(pixels)


class _Encoded:
    """The crops as JPEG or WebP, which lie in a file without a name until their number of bytes is known."""

    def __init__(self, parts, progress, encoding, quality, spool):
        self.attributes = {"format": ENCODED_FORMAT, "encoding": encoding, "quality": quality}
        self.kept, self.ends, self.bytes, self.spool = [np.zeros(0, int) for _ in parts], [], 0, spool
        with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
            for pixels in _readable(parts, self.kept, progress):
                for content in pool.map(lambda image: encode(image, encoding, quality=quality), pixels):
                    spool.write(content)
                    self.bytes += len(content)
                    self.ends.append(self.bytes)
        self.shape = (self.bytes,)

    def fill(self, images):
        self.spool.seek(0)
        for start in range(0, self.bytes, BLOCK):
            content = self.spool.read(BLOCK)
            images[start : start + len(content)] = np.frombuffer(content, "uint8")


def _readable(parts: Sequence[Crops], kept: list[np.ndarray], progress: bool) -> Iterator[np.ndarray]:
    """Pixels (B, S, S, 3) of the crops that can be read; `kept` is filled with their positions in each part."""
    console = make_console()
    with Progress(console=console, transient=True, disable=not (progress and console.is_terminal)) as bar:
        task = bar.add_task("packing", total=sum(map(len, parts)))
        for number, crops in enumerate(parts):
            for start in range(0, len(crops), BATCH):
                batch = np.arange(start, min(start + BATCH, len(crops)))
                pixels, _, weights = crops.batch(batch)
                good = (weights > 0).any(1)  # the weights of an unreadable photograph are 0
                kept[number] = np.concatenate([kept[number], batch[good]])
                yield pixels[good]
                bar.advance(task, len(batch))


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
