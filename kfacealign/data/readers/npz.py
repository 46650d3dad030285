"""Arrays of `.npz` files of strangers: plain numbers and texts, whose sizes are checked before memory is taken.

An `.npz` is a zip archive of `.npy` files. Nothing in it is executed: arrays of objects, which NumPy would unpickle, are refused.
"""

import math
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Sequence

import numpy as np

from kfacealign.files import require_regular

LIMIT = 2**28  # bytes of the arrays that are read
NPY_LIMIT = 2**34  # bytes of a .npy file, which takes as much memory as disk
DIRECTORY = 2**20  # bytes of the archive's table of contents
HEADER = re.compile(
    r"\{'descr': '([<>|=]?[fiubU][0-9]{1,9})', 'fortran_order': (True|False), "
    r"'shape': \(((?:[0-9]{1,12}, ?)*[0-9]{0,12},?)\), ?\}\s*"
)
COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
END = struct.Struct("<4s4H2LH")  # the last record of an archive


def read(path: str | os.PathLike, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Arrays of an `.npz` file.

    Args:
        path: the file.
        names: the arrays that are wanted.

    Returns:
        Name -> array of those that are there.

    Raises:
        OSError: there is no such file, it cannot be read or is no regular file.
        ValueError: it is no `.npz` file of plain arrays, is damaged or encrypted, or its arrays are larger than `LIMIT`; the
            message names it.
    """
    require_regular(path)
    reasons = (ValueError, EOFError, RuntimeError, LookupError, TypeError, OverflowError, MemoryError, zipfile.BadZipFile)
    try:
        with open(path, "rb") as opened:
            _check_directory(opened)
            with zipfile.ZipFile(opened) as archive:
                return _arrays(archive, names)
    except (*reasons, zlib.error, struct.error) as error:  # NotImplementedError is a RuntimeError
        raise ValueError(f"{path}: not an .npz file of plain arrays, or a damaged one ({error})") from None
    except OSError as error:
        if error.filename is None:
            raise ValueError(f"{path}: not an .npz file of plain arrays, or a damaged one ({error})") from None
        raise


def read_npy(path: str | os.PathLike) -> np.ndarray:
    """The array of a `.npy` file.

    Raises:
        OSError: there is no such file, it cannot be read or is no regular file.
        ValueError: it is no `.npy` file of numbers, is damaged, or larger than `NPY_LIMIT`; the message names it.
    """
    require_regular(path)
    size = os.path.getsize(path)
    try:
        if size > NPY_LIMIT:
            raise ValueError(f"it is larger than {NPY_LIMIT / 2**30:.0f} GiB")
        with open(path, "rb") as file:
            return _array("the file", file, size)
    except (ValueError, LookupError, TypeError, OverflowError, MemoryError) as error:
        raise ValueError(f"{path}: not a .npy array of numbers, or a damaged one ({error})") from None


def _check_directory(opened):
    """Refuses an archive whose table of contents, which is read as a whole, is large."""
    opened.seek(0, os.SEEK_END)
    opened.seek(max(0, opened.tell() - END.size - 2**16))
    content = opened.read()
    place = content.rfind(b"PK\5\6")
    if 0 <= place <= len(content) - END.size and END.unpack_from(content, place)[5] > DIRECTORY:
        raise ValueError("it has too many members")
    opened.seek(0)


def _arrays(archive, names):
    members = {name: [info for info in archive.infolist() if info.filename == f"{name}.npy"] for name in names}
    members = {name: infos for name, infos in members.items() if infos}
    left, made = LIMIT, {}
    for name, infos in members.items():
        info = infos[0]
        if len(infos) > 1:
            raise ValueError(f"{name} is there twice")
        if info.flag_bits & 1:
            raise ValueError(f"{name} is encrypted")
        if info.compress_type not in COMPRESSIONS:
            raise ValueError(f"{name} is compressed in a way that is not read")
        left -= info.file_size
        if left < 0:
            raise ValueError(f"its arrays are larger than {LIMIT / 2**20:.0f} MiB")
        with archive.open(info) as member:
            made[name] = _array(name, member, info.file_size)
    return made


def _array(name, member, size):
    """One array, whose header must tell the number of bytes that follow it."""
    start = member.read(8)
    width = {b"\x93NUMPY\1\0": 2, b"\x93NUMPY\2\0": 4, b"\x93NUMPY\3\0": 4}.get(start)
    if width is None:
        raise ValueError(f"{name} is no .npy")
    length = int.from_bytes(member.read(width), "little")
    if length > 10_000:
        raise ValueError(f"{name} has a header of {length:,} bytes")
    header = HEADER.fullmatch(member.read(length).decode("latin-1"))
    if header is None:
        raise ValueError(f"{name} holds neither numbers nor texts")
    kind, shape = np.dtype(header[1]), tuple(int(side) for side in re.findall("[0-9]+", header[3]))
    count = math.prod(shape)
    if len(shape) > 8 or count * kind.itemsize != size - 8 - width - length:
        raise ValueError(f"{name} has not the bytes of an array of shape {shape}")
    content = member.read()
    if len(content) != count * kind.itemsize:
        raise ValueError(f"{name} is truncated")
    array = np.frombuffer(content, kind) if count and kind.itemsize else np.zeros(count, kind)
    array = array.astype(kind.newbyteorder("="))
    if kind.kind == "U" and array.size and array.view("uint32").max(initial=0) > 0x10FFFF:
        raise ValueError(f"{name} holds what is no text")
    return array.reshape(shape, order="F" if header[2] == "True" else "C")
