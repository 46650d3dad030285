"""MATLAB files of version 5, read by a parser of our own: every length in the file is checked against the bytes that are there.

The file is a header of 128 bytes and elements: a tag of type and size, then the data, filled up to a multiple of 8 bytes. An
element of up to 4 bytes may be packed into its tag. The variables are elements of type `MATRIX`, or such elements compressed by
zlib; a matrix is itself a row of elements: flags, dimensions, name, then numbers, or the matrices of a cell array. Read are
arrays of real numbers, of text and of cells, which is all that the datasets need.
"""

import dataclasses
import math
import os
import struct
import zlib
from collections.abc import Iterator, Sequence

import numpy as np

from kfacealign.files import read_bytes

LIMIT = 2**27  # bytes of a file, and of all that is decompressed of it
DEPTH = 8  # cells in cells
MOST = 2**20  # characters of a text, or cells of an array
MATRIX, COMPRESSED = 14, 15
NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
TEXTS = {1: "latin-1", 2: "latin-1", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}
CELL, CHAR = 1, 4
CLASSES = {2: "a struct", 3: "an object", 5: "a sparse matrix", 16: "a function", 17: "an object"}
NUMERIC = range(6, 16)
COMPLEX = 0x0800
EMPTY = np.zeros((0, 0))


def load(path: str | os.PathLike, names: Sequence[str]) -> tuple[dict[str, np.ndarray], list[str]]:
    """Variables of a MATLAB file of version 5.

    Args:
        path: the file.
        names: the variables that are wanted; the others are passed over.

    Returns:
        Name -> array of those wanted that are there: numbers in the type that they are stored in, rows of text as an array of
        `str`, cells as an array of objects. And the names of all variables.

    Raises:
        OSError: the file cannot be read or is too large.
        ValueError: it is damaged, or a variable that is wanted has another kind; the message names the file.
    """
    content = read_bytes(path, limit=LIMIT)
    try:
        return _variables(content, set(names))
    except ValueError as error:
        raise ValueError(f"{path}: the MATLAB file is truncated or damaged, or of a kind that is not read: {error}") from None


@dataclasses.dataclass
class _Element:
    type: int
    data: memoryview


def _variables(content, wanted):
    order = {b"IM": "<", b"MI": ">"}.get(content[126:128])
    if order is None:
        raise ValueError("its header does not say the order of bytes")
    found, names, left = {}, [], LIMIT
    for element in _elements(memoryview(content)[128:], order):
        if element.type == COMPRESSED:
            data = _decompressed(element.data, left)
            left -= len(data)
            element = next(_elements(memoryview(data), order), None)
        if element is None or element.type != MATRIX:
            raise ValueError("an element is no variable")
        name, read = _matrix(element.data, order, wanted, 0)
        names.append(name)
        if read is not None:
            if name in found:
                raise ValueError(f"variable {name} is there twice")
            found[name] = read
    return found, names


def _elements(data, order) -> Iterator[_Element]:
    place = 0
    while place < len(data):
        if len(data) - place < 8:
            raise ValueError("it ends within a tag")
        first, size = struct.unpack_from(f"{order}II", data, place)
        if first >> 16:  # up to four bytes, packed into the tag
            kind, size, start = first & 0xFFFF, first >> 16, place + 4
            if size > 4:
                raise ValueError("a packed element has more than 4 bytes")
            end = place + 8
        else:
            kind, start = first, place + 8
            end = start + size
            # Compressed elements are not filled up.
            end += 0 if kind == COMPRESSED else -size % 8
        if start + size > len(data):
            raise ValueError(f"an element of {size} bytes has {max(0, len(data) - start)}")
        yield _Element(kind, data[start : start + size])
        place = end


def _decompressed(data, limit):
    decoder = zlib.decompressobj()
    try:
        content = decoder.decompress(data, limit + 1)
    except zlib.error as error:
        raise ValueError(f"its compressed data are damaged ({error})") from None
    if len(content) > limit:
        raise ValueError(f"it decompresses to more than {LIMIT / 2**20:.0f} MiB")
    if not decoder.eof:
        raise ValueError("its compressed data end early")
    return content


def _matrix(data, order, wanted, depth):
    """Name and array of a matrix; None in place of the array where the name is not wanted. A set of None wants every name."""
    elements = _elements(data, order)
    flags = _integers(next(elements, None), order, "u4")
    dimensions = _integers(next(elements, None), order, "i4")
    name = _Element(0, b"") if (name := next(elements, None)) is None else name
    name = bytes(name.data).decode("latin-1")
    if len(flags) != 2 or not 2 <= len(dimensions) <= 8 or min(dimensions) < 0:
        raise ValueError("a variable has no flags or dimensions")
    if wanted is not None and name not in wanted:
        return name, None
    kind, shape = flags[0] & 0xFF, tuple(dimensions)
    count = math.prod(shape)
    if kind in (CELL, CHAR) and count > MOST:
        raise ValueError(f"variable {name!r} has {count:,} cells or characters, {MOST:,} are read at most")
    if kind in CLASSES or flags[0] & COMPLEX:
        raise ValueError(f"variable {name!r} is {CLASSES.get(kind, 'complex')}, which is not read")
    if kind == CELL:
        return name, _cells(elements, order, count, shape, depth)
    if kind == CHAR:
        return name, _text(next(elements, None), order, count, shape)
    if kind not in NUMERIC:
        raise ValueError(f"variable {name!r} is of the unknown class {kind}")
    return name, _numbers(next(elements, None), order, count).reshape(shape, order="F")


def _integers(element, order, kind):
    """The whole numbers of a small element of this type."""
    if element is None or NUMBERS.get(element.type) != kind or not len(element.data) or len(element.data) % 4:
        return []
    return np.frombuffer(element.data, f"{order}{kind}").tolist()


def _numbers(element, order, count):
    kind = NUMBERS.get(element.type) if element else None
    if kind is None:
        raise ValueError("an array has no numbers")
    values = np.dtype(f"{order}{kind}")
    if len(element.data) != count * values.itemsize:
        raise ValueError(f"an array of {count} numbers has {len(element.data)} bytes, not {count * values.itemsize}")
    return np.frombuffer(element.data, values).astype(values.newbyteorder("="))


def _text(element, order, count, shape):
    """The rows of an array of characters."""
    coding = TEXTS.get(element.type) if element else None
    if coding is None:
        raise ValueError("a text has no characters")
    if coding.startswith("utf-") and coding != "utf-8":
        coding += "-le" if order == "<" else "-be"
    text = bytes(element.data).decode(coding, errors="replace")
    if len(text) != count:
        raise ValueError(f"a text of {count} characters has {len(text)}")
    rows = np.array(list(text), "U1").reshape(shape, order="F").reshape(-1, shape[-1]) if count else []
    return np.array(["".join(row) for row in rows], "U" if count else "U1")


def _cells(elements, order, count, shape, depth):
    if depth == DEPTH:
        raise ValueError(f"cells are nested more than {DEPTH} times")
    cells = []
    for element in elements:
        if element.type != MATRIX or len(cells) == count:
            raise ValueError(f"a cell array of {count} cells holds something else")
        cells.append(_matrix(element.data, order, None, depth + 1)[1] if len(element.data) else EMPTY)
    if len(cells) != count:
        raise ValueError(f"a cell array of {count} cells has {len(cells)}")
    made = np.empty(count, object)
    made[:] = cells
    return made.reshape(shape, order="F")
