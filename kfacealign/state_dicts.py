"""PyTorch's state dicts without PyTorch: tensors alone, and nothing in the file is run.

`torch.save` wrote two layouts. A zip archive (since 1.6) holds `NAME/data.pkl`, and each storage as `NAME/data/KEY`. The
older layout is a row of pickles: a magic number, a version, the machine's types, the object, the keys of the storages; then
each storage in this order, its number of elements (int64) before its bytes.

`kfacealign.checkpoints` reads the authors' checkpoints with PyTorch itself.
"""

import collections
import dataclasses
import io
import math
import os
import pickle
import zipfile
from typing import Any, NoReturn

import numpy as np

from kfacealign.files import read_bytes

MAGIC, VERSION = 0x1950A86A20F9469CFC6C, 1001
LIMIT = 2**30  # bytes of a file, and of all its storages together
# PyTorch's name of a storage -> the type of its elements.
TYPES = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "<i1",
    "ByteStorage": "<u1",
    "BoolStorage": "|b1",
}


@dataclasses.dataclass(frozen=True)
class Storage:
    """A row of numbers in the file: its key, and the type of its elements."""

    key: str
    dtype: np.dtype


@dataclasses.dataclass(frozen=True)
class View:
    """A tensor: what it shows of its storage, counted in elements."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read_state_dict(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """The tensors of a state dict.

    Args:
        path: a file that `torch.save(model.state_dict(), path)` wrote, in the older or the newer layout.

    Returns:
        Name of a tensor -> its array, in the file's own type.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is damaged, or holds anything but a dict of tensors.
    """
    content = read_bytes(path, limit=LIMIT)
    try:
        views, storages = (zipped if zipfile.is_zipfile(io.BytesIO(content)) else rowed)(content)
        if not isinstance(views, dict) or not all(isinstance(view, View) for view in views.values()):
            refuse("a state dict is a dict of tensors alone")
        return {str(name): tensor(view, storages) for name, view in views.items()}
    except RecursionError:
        raise ValueError(f"{os.fspath(path)} is no state dict: it is nested too deeply") from None
    except Exception as error:  # unpickling bytes of any kind raises errors of any kind
        raise ValueError(f"{os.fspath(path)} is no state dict, or a damaged one: {error}") from error


def rowed(content: bytes) -> tuple[Any, dict[str, np.ndarray]]:
    """What the older layout holds: the object, and key -> storage."""
    stream = io.BytesIO(content)
    if (load(stream), load(stream)) != (MAGIC, VERSION):
        refuse("it does not begin as one")
    load(stream)
    reader = Reader(stream)
    views, storages = reader.load(), {}
    for key in load(stream):
        dtype = reader.storages[key].dtype
        count = int.from_bytes(stream.read(8), "little")
        data = stream.read(min(count, LIMIT) * dtype.itemsize)
        if len(data) != count * dtype.itemsize:
            refuse("it is cut short")
        storages[key] = np.frombuffer(data, dtype)
    return views, storages


def zipped(content: bytes) -> tuple[Any, dict[str, np.ndarray]]:
    """What the newer layout holds: the object, and key -> storage."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        if sum(member.file_size for member in archive.infolist()) > LIMIT:
            refuse("its members are too large")
        pickles = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        if len(pickles) != 1:
            refuse("it has no data.pkl")
        folder = pickles[0].removesuffix("data.pkl")
        if f"{folder}byteorder" in archive.namelist() and archive.read(f"{folder}byteorder") != b"little":
            refuse("its numbers are big-endian")
        reader = Reader(io.BytesIO(archive.read(pickles[0])))
        views = reader.load()
        storages = {
            key: np.frombuffer(archive.read(f"{folder}data/{key}"), storage.dtype) for key, storage in reader.storages.items()
        }
    return views, storages


def tensor(view: View, storages: dict[str, np.ndarray]) -> np.ndarray:
    """The array that a view shows: its own copy, in the order of its shape, whatever its strides are."""
    data = storages[view.storage.key]
    numbers = (view.offset, *view.shape, *view.strides)
    if len(view.shape) != len(view.strides) or not all(isinstance(number, int) and number >= 0 for number in numbers):
        refuse("a tensor's shape and strides do not fit")
    last = view.offset + sum((side - 1) * stride for side, stride in zip(view.shape, view.strides, strict=True))
    if math.prod(view.shape) > LIMIT or (math.prod(view.shape) and last >= len(data)):
        refuse("a tensor reaches beyond its storage")
    strides = [stride * data.itemsize for stride in view.strides]
    return np.lib.stride_tricks.as_strided(data[view.offset :], view.shape, strides).copy()


# === Unpickling ===


class Reader(pickle.Unpickler):
    """Unpickles dicts, text, numbers and tensors. The names in the file are not looked up: four of them mean what is here.

    Attributes:
        storages: key -> the storages that were met.
    """

    def __init__(self, stream: io.BytesIO):
        super().__init__(stream)
        self.storages = {}

    def find_class(self, module: str, name: str) -> Any:
        known = {
            ("collections", "OrderedDict"): collections.OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): rebuilt,
            ("torch._utils", "_rebuild_parameter"): parameter,
        }
        if module == "torch" and name in TYPES:
            return np.dtype(TYPES[name])
        if (module, name) not in known:
            refuse(f"it asks for {module}.{name}, which would have to be run")
        return known[module, name]

    def persistent_load(self, pid: Any) -> Storage:
        kind, dtype, key = pid[0], pid[1], pid[2]
        if kind != "storage" or not isinstance(dtype, np.dtype) or (len(pid) > 5 and pid[5] is not None):
            refuse("it holds a storage of an unknown kind")
        return self.storages.setdefault(key, Storage(key, dtype))


def rebuilt(storage: Storage, offset: int, shape: tuple, strides: tuple, *rest: Any) -> View:
    """A tensor of `torch.save`; the rest are whether it needs gradients, and its hooks."""
    if not isinstance(storage, Storage):
        refuse("a tensor without a storage")
    return View(storage, offset, tuple(shape), tuple(strides))


def parameter(view: View, *rest: Any) -> View:
    """A parameter of `torch.save`: a tensor, whether it needs gradients, and its hooks."""
    return view


def load(stream: io.BytesIO) -> Any:
    """The next pickle, of plain values alone."""
    return Reader(stream).load()


def refuse(reason: str) -> NoReturn:
    raise ValueError(reason)
