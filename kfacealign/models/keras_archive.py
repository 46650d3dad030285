"""What is in a `.keras` file, looked at before Keras is: a zip of two JSON files and the weights in HDF5.

Everything that a file could have and that Keras never writes is refused: other members, weights that lie outside of the file,
sizes that are announced but not there. So reading a file takes memory in proportion to its size.
"""

import io
import math
import os
import zipfile
import zlib

import h5py

from kfacealign.files import require_regular

CONFIG, WEIGHTS, METADATA = "config.json", "model.weights.h5", "metadata.json"
LIMITS = {CONFIG: 16 * 2**20, METADATA: 2**20, WEIGHTS: 2**31}  # bytes, unpacked
FILE_LIMIT = 2**31
# Unpacked, or declared by HDF5, against what is stored. Pruned weights and unused slots of an optimiser pack well.
MOST_PACKED, SPARE = 20, 32 * 2**20
END = 22  # bytes of a zip's last record, which names the list of members
CHUNK = 64 * 2**20  # bytes of a piece in which HDF5 packs an array
FILTERS = (h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32)
MOST_OBJECTS = 200_000
DAMAGED = "is damaged or cut short"


def read_archive(path: str | os.PathLike) -> tuple[bytes, int, int]:
    """The description of the model in a `.keras` file, and how many weights the file has.

    Args:
        path: the file.

    Returns:
        The bytes of `config.json`, the number of values in the arrays of the weights, and the number of arrays.

    Raises:
        OSError: it cannot be read, or is no regular file; the error carries the path.
        ValueError: it is damaged, or holds what no `.keras` file holds; the message names the file.
    """
    require_regular(path)
    if os.path.getsize(path) > FILE_LIMIT:
        raise ValueError(f"{path} is refused: it is larger than {FILE_LIMIT // 2**20} MiB")
    try:
        check_end(path)
        with zipfile.ZipFile(path) as archive:
            check_members(archive.infolist())
            config = archive.read(CONFIG)
            weights = archive.read(WEIGHTS)
    except OSError as error:
        if error.filename is not None:
            raise
        raise ValueError(f"{path} {DAMAGED}: {first_line(error)}") from error  # a place before the file's beginning
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OverflowError) as error:
        raise ValueError(f"{path} {DAMAGED}: {first_line(error)}") from error
    except ValueError as error:
        raise ValueError(f"{path} {error}") from None
    try:
        values, arrays = count_weights(weights)
    except (OSError, RuntimeError, KeyError, TypeError, OverflowError, AttributeError, UnicodeError, MemoryError) as error:
        raise ValueError(f"{path} {DAMAGED}: its weights cannot be read ({first_line(error)})") from error
    except ValueError as error:
        raise ValueError(f"{path} is refused: {error}") from None
    return config, values, arrays


def first_line(error: Exception) -> str:
    """What an error says, in one line."""
    text = str(error).strip()
    return text.splitlines()[0][:300] if text else type(error).__name__


# === The zip ===


def check_end(path: str | os.PathLike) -> None:
    """Refuses a file that does not end like a zip of a few members.

    `zipfile` reads the list of members whole, and its length is in the zip's last record.

    Raises:
        ValueError: the file ends in another way.
    """
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - END - 20))
        tail = file.read()
    last, before = tail[-END:], tail[:-END]
    if not zipfile.is_zipfile(path) or last[:4] != b"PK\5\6" or last[-2:] != b"\0\0":
        raise ValueError(f"{DAMAGED}: a .keras file is a zip archive")
    members, length = int.from_bytes(last[10:12], "little"), int.from_bytes(last[12:16], "little")
    if before[:4] == b"PK\6\7" or members > 8 or length > 2**16:
        raise ValueError(f"is refused: a .keras file has three members, not {members}")


def check_members(members: list[zipfile.ZipInfo]) -> None:
    """Refuses a zip whose members are not those of a `.keras` file.

    Raises:
        ValueError: a member is missing, twice there, unknown, encrypted, or too large.
    """
    names = [member.filename for member in members]
    others = sorted(set(names) - set(LIMITS))
    if others:
        raise ValueError(f"is refused: besides {', '.join(LIMITS)} it holds {others[0][:100]!r}")
    if len(set(names)) < len(names):
        raise ValueError(f"is refused: it holds {max(names, key=names.count)} more than once")
    missing = [name for name in (CONFIG, WEIGHTS) if name not in names]
    if missing:
        raise ValueError(f"{DAMAGED}: it has no {missing[0]}")
    for member in members:
        if member.flag_bits & 0x1 or member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"is refused: {member.filename} is encrypted, or packed as Keras packs nothing")
        if member.file_size > min(LIMITS[member.filename], MOST_PACKED * member.compress_size + SPARE):
            raise ValueError(f"is refused: {member.filename} would take {member.file_size / 2**20:.0f} MiB")


# === The weights ===


def count_weights(content: bytes) -> tuple[int, int]:
    """The number of values in the arrays of an HDF5 file and the number of arrays, each array looked at but not read.

    Raises:
        ValueError: the file refers to other files, holds what is no array of numbers, or announces more than it has.
    """
    values, arrays, declared, seen = 0, 0, 0, set()
    with h5py.File(io.BytesIO(content), "r") as file:
        groups = [file]
        while groups:
            group = groups.pop()
            for name in group:
                if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                    raise ValueError(f"its weights {shown(name)} are a link to another place")
                item = group[name]
                address = h5py.h5o.get_info(item.id).addr
                if address in seen or len(seen) > MOST_OBJECTS:
                    raise ValueError(f"its weights {shown(name)} are in the file more than once")
                seen.add(address)
                if isinstance(item, h5py.Group):
                    groups.append(item)
                    continue
                declared += check_array(item, name)
                values, arrays = values + item.size, arrays + 1
    if declared > MOST_PACKED * len(content) + SPARE:
        raise ValueError(f"its weights would take {declared / 2**20:.0f} MiB, {len(content) / 2**20:.0f} MiB are stored")
    return values, arrays


def check_array(item: h5py.Dataset, name: str) -> int:
    """Refuses what is no array of numbers in this very file; returns the bytes that it takes in memory.

    Raises:
        ValueError: it is refused.
    """
    if not isinstance(item, h5py.Dataset) or item.shape is None or item.dtype.kind not in "fiub":
        raise ValueError(f"its weights {shown(name)} are no array of numbers")
    if item.external or item.is_virtual:
        raise ValueError(f"its weights {shown(name)} lie in another file")
    settings = item.id.get_create_plist()
    if any(settings.get_filter(number)[0] not in FILTERS for number in range(settings.get_nfilters())):
        raise ValueError(f"its weights {shown(name)} are packed as Keras packs nothing")
    size = math.prod(item.shape) * item.dtype.itemsize
    if item.chunks is None and size > item.id.get_storage_size():
        raise ValueError(f"its weights {shown(name)} would take {size / 2**20:.0f} MiB, but are not stored")
    if item.chunks is not None and math.prod(item.chunks) * item.dtype.itemsize > CHUNK:
        raise ValueError(f"its weights {shown(name)} are in pieces of more than {CHUNK // 2**20} MiB")
    return size


def shown(name: str) -> str:
    """A name from a file as a message shows it."""
    return repr(name[:100])
