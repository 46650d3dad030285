"""HDF5 files of strangers, read in a process of their own with limits of time and memory.

The HDF5 library may crash or never return on a damaged file. So a second process reads what is small, and finds where in the
file the pictures lie (`kfacealign.data.readers.hdf5_process`); the pictures are then read from there without the library.
"""

import dataclasses
import json
import math
import os
import signal
import subprocess
import sys
import zlib
from collections.abc import Sequence

import numpy as np

from kfacealign.files import require_regular

SECONDS = 1  # of a processor, for a file of up to 64 MiB; in proportion more for larger ones
WAIT = 120  # seconds by the clock
LIMIT = 2**30  # bytes of all arrays together
MEMORY = 2**32  # bytes of address space of the process, of which libraries take the most
PICTURE = 2**28  # bytes of a picture
MARK = b"\x89HDF\r\n\x1a\n"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Layout:
    """Where the numbers of a dataset lie in its file.

    Attributes:
        shape: shape of the dataset.
        type: NumPy's name of its type.
        chunk: shape of a chunk.
        pieces: (position of a chunk's first element, offset in the file, bytes) of each chunk.
        packed: whether zlib has compressed the chunks.
    """

    shape: tuple[int, ...]
    type: str
    chunk: tuple[int, ...]
    pieces: tuple[tuple[tuple[int, ...], int, int], ...]
    packed: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class Content:
    """What was read of a file.

    Attributes:
        names: what the file holds at its root.
        arrays: name -> array, or list of texts.
        layouts: name -> `Layout`.
        cells: name of an array of cells -> the `Layout` of each cell.
        attributes: name -> text or number.
    """

    names: list[str]
    arrays: dict[str, np.ndarray | list[str]]
    layouts: dict[str, Layout]
    cells: dict[str, list[Layout]]
    attributes: dict[str, str | int | float]


def read(
    path: str | os.PathLike,
    *,
    arrays: Sequence[str] = (),
    layouts: Sequence[str] = (),
    cells: Sequence[str] = (),
    attributes: bool = False,
) -> Content:
    """Reads an HDF5 file.

    Args:
        path: the file.
        arrays: names of the datasets to read; those that are not there are left out, and "GROUP/*" takes a whole group.
        layouts: names of the datasets whose place in the file is wanted.
        cells: names of MATLAB's arrays of cells, the places of whose cells are wanted.
        attributes: whether the attributes of the file are read; each must be a text or a number.

    Raises:
        OSError: there is no such file, or it is no regular file.
        ValueError: it is no HDF5 file, is damaged, or refers to other files; the message names it.
    """
    require_regular(path)
    task = {"path": os.path.abspath(path), "arrays": arrays, "layouts": layouts, "cells": cells, "attributes": attributes}
    said, content = _answer(path, {**task, "limit": LIMIT, "memory": MEMORY, "seconds": SECONDS})
    if "error" in said:
        raise ValueError(f"{path}: the HDF5 file is truncated or damaged: {said['error']}")
    read, place = {}, 0
    for name, told in said["arrays"].items():
        if "texts" in told:
            read[name] = told["texts"]
            continue
        kind, count = np.dtype(told["type"]), math.prod(told["shape"])
        values = np.frombuffer(content, kind, count, place).reshape(told["shape"])
        read[name], place = values.astype(kind.newbyteorder("=")), place + count * kind.itemsize
    return Content(
        names=said["names"],
        arrays=read,
        layouts={name: _layout(told) for name, told in said["layouts"].items()},
        cells={name: [_layout(cell) for cell in told] for name, told in said["cells"].items()},
        attributes=said.get("attributes", {}),
    )


def _answer(path, task):
    """What the other process says: its first line, and the bytes after it."""
    # It finds modules where this process does, and takes no threads, which would count as memory.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-P", "-m", "kfacealign.data.readers.hdf5_process", json.dumps(task)]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, timeout=WAIT, check=False)
    except subprocess.TimeoutExpired:
        raise ValueError(f"{path}: the HDF5 file is damaged: reading it did not end within {WAIT} seconds") from None
    line, end, content = done.stdout.partition(b"\n")
    if done.returncode or not end:
        if done.returncode == -getattr(signal, "SIGXCPU", 0):
            raise ValueError(f"{path}: the HDF5 file is damaged: reading it takes too long")
        last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
        reason = ": ".join([f"reading it ended with status {done.returncode}", *last])
        raise ValueError(f"{path}: the HDF5 file is damaged: {reason}")
    return json.loads(line), content


def _layout(told):
    pieces = tuple((tuple(start), offset, size) for start, offset, size in told["pieces"])
    chunk, shape = tuple(told["chunk"]), tuple(told["shape"])
    return Layout(shape=shape, type=told["type"], chunk=chunk, pieces=pieces, packed=told["packed"])


def read_layout(path: str | os.PathLike, layout: Layout) -> np.ndarray:
    """The numbers of a dataset, read at their place in the file.

    Raises:
        OSError: the file cannot be opened.
        ValueError: it is truncated or damaged, or the dataset is larger than `PICTURE`; the message does not name the file.
    """
    kind, length = np.dtype(layout.type), math.prod(layout.chunk) * np.dtype(layout.type).itemsize
    if max(length, math.prod(layout.shape) * kind.itemsize) > PICTURE:
        raise ValueError(f"an array of shape {layout.shape} is larger than {PICTURE / 2**20:.0f} MiB")
    made = np.zeros(layout.shape, kind)
    with open(path, "rb") as file:
        for start, offset, size in layout.pieces:
            file.seek(offset)
            content = file.read(size)
            if layout.packed:
                content = _inflated(content, length)
            if len(content) != length:
                raise ValueError("the file is truncated or damaged")
            chunk = np.frombuffer(content, kind).reshape(layout.chunk)
            inside = tuple(slice(first, first + side) for first, side in zip(start, layout.chunk, strict=True))
            part = made[inside]
            part[...] = chunk[tuple(slice(0, side) for side in part.shape)]
    return made


def _inflated(content, length):
    try:
        return zlib.decompressobj().decompress(content, length + 1)
    except zlib.error as error:
        raise ValueError(f"the file is damaged ({error})") from None
