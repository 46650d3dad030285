"""Text of annotation files: lines, tables, numbers and points, which are read or refused by file and line.

A text is UTF-8, with or without a byte order mark and with line ends of any system. A number is a plain decimal number in
ASCII, such as `-12.5` or `1e2`. A coordinate that is not annotated is `nan` or, in a table, an empty field; it is read as NaN.
"""

import csv
import os
import re
from collections.abc import Sequence

import numpy as np

from kfacealign.data.faces import FURTHEST
from kfacealign.files import read_bytes

LIMIT = 2**27  # bytes of a text at most
LONGEST = 2**20  # characters of a line at most
PLAIN = b"0123456789+-.eE \t\r\n"
SHOWN = 60  # characters of a text that a message shows


def read_text(path: str | os.PathLike, *, limit: int = LIMIT) -> str:
    """The text of a file, in which every line ends with a single line feed.

    Args:
        path: the file.
        limit: bytes that it may have.

    Raises:
        OSError: it cannot be read, is no regular file or is larger than the limit.
        ValueError: it is not UTF-8, has a byte of value 0 or a line longer than `LONGEST`; the message names file and line.
    """
    content = read_bytes(path, limit=limit)
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise ValueError(f"{path}:1: not UTF-8 but UTF-16: save the file as UTF-8")
    content = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # The decoder counts from behind a byte order mark.
        place = error.start + len(content) - len(error.object)
        line = content.count(b"\n", 0, place) + 1
        raise ValueError(f"{path}:{line}: not UTF-8 (byte 0x{content[place]:02x}): save the file as UTF-8") from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise ValueError(f"{path}:{line}: a byte of value 0: the file is damaged or no text")
    if len(text) > LONGEST:
        line = next((number for number, line in enumerate(text.split("\n"), start=1) if len(line) > LONGEST), None)
        if line:
            raise ValueError(f"{path}:{line}: a line of more than {LONGEST:,} characters: the file is damaged or no list")
    return text


def read_lines(path: str | os.PathLike) -> list[tuple[int, str]]:
    """The lines of a text that are not blank, without spaces at their ends, with their numbers from 1.

    Raises:
        OSError, ValueError: see `read_text`.
    """
    lines = enumerate(read_text(path).split("\n"), start=1)
    return [(number, line.strip()) for number, line in lines if line.strip()]


def read_table(path: str | os.PathLike) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The header of a CSV file, and its other rows that are not empty with the numbers of their last lines.

    Raises:
        OSError: see `read_text`.
        ValueError: see `read_text`, or it is a web page, no CSV, or a column is there twice; the message names file and line.
    """
    text = read_text(path)
    if text.lstrip().startswith("<"):
        raise ValueError(f"{path}:1: this is a web page (HTML), no list: download the raw file")
    reader = csv.reader(f"{line}\n" for line in text.split("\n"))
    try:
        rows = [(reader.line_num, row) for row in reader if row]
    except csv.Error as error:
        raise ValueError(f"{path}:{reader.line_num}: {error}") from None
    header, seen = [name.strip() for name in rows[0][1]] if rows else [], set()
    for name in header:
        if name and name in seen:
            raise ValueError(f"{path}:1: column {shown(name)} is there twice")
        seen.add(name)
    return header, rows[1:]


def require_fields(path: str | os.PathLike, header: Sequence[str], rows: Sequence[tuple[int, list[str]]]) -> None:
    """Refuses a row of a table that has another number of fields than the header.

    Raises:
        ValueError: there is such a row; the message names file and line.
    """
    for line, row in rows:
        if len(row) != len(header):
            raise ValueError(f"{path}:{line}: expected {len(header)} fields, found {len(row)}")


def shown(text: str) -> str:
    """A text between quotes for a message, cut where it is long."""
    return repr(text if len(text) <= SHOWN else f"{text[:SHOWN]}...")


def plain(text: str) -> bool:
    """Whether a text is made of what plain decimal numbers are made of."""
    return text.isascii() and not text.encode().translate(None, PLAIN)


def whole(word: str) -> int | None:
    """The whole number, 0 or more, that a word of ASCII digits is; None if it is none or has more than nine digits."""
    word = word.strip()  # of separators such as \x1c, too, which int() refuses
    return int(word) if re.fullmatch(r"[0-9]{1,9}", word) else None


def numbers(where: str, words: Sequence[str], columns: Sequence[str], *, points: slice = slice(0), axes: int = 2) -> np.ndarray:
    """The words of a line as float64.

    Args:
        where: the place of the line, for messages.
        words: N words.
        columns: the names of their N columns, for messages.
        points: which of the columns are the coordinates of points, x before y; only they may be NaN, for a point that is not
            annotated.
        axes: how many coordinates of a point are in these columns; where it is 1, the other is elsewhere.

    Raises:
        ValueError: a word is no plain decimal number, is beyond `FURTHEST`, or only one coordinate of a point is NaN; the
            message says where and in which column.
    """
    values = _quick(words)
    if values is None:
        values = np.array([_number(word) for word in words], "float64")
        words_of_points, absent = [word.strip().lower() for word in words[points]], np.zeros(len(words), bool)
        absent[points] = [word in ("", "nan") for word in words_of_points]
        _refuse(where, words, columns, np.isnan(values) & ~absent, "expected a finite number")
        pairs = absent[points].reshape(-1, max(axes, 1))
        absent[points] = (pairs & ~pairs.all(1, keepdims=True)).ravel()
        _refuse(where, words, columns, absent, "expected a finite number, or none for the point's other coordinate either")
    far = np.abs(values) > FURTHEST
    _refuse(where, words, columns, far, f"expected no number beyond {FURTHEST:,.0f}: is a decimal point lost?")
    return values


def point(where: str, line: str) -> np.ndarray:
    """The two numbers of a line `x y`, (2,) float64; NaN where it is `nan nan`.

    Raises:
        ValueError: the line has other words; the message says where.
    """
    words = line.split()
    if len(words) != 2:
        raise ValueError(f"{where}: {shown(line.strip())}, expected two finite numbers x y")
    try:
        return numbers(where, words, ("x", "y"), points=slice(2))
    except ValueError as error:
        reason = str(error).rpartition("expected ")[2]
        wanted = "two finite numbers x y" if reason.startswith("a finite number") else reason
        raise ValueError(f"{where}: {shown(line.strip())}, expected {wanted}") from None


def points(path: str | os.PathLike, lines: Sequence[tuple[int, str]]) -> np.ndarray:
    """The points of lines `x y`, (N, 2) float64, NaN where a line is `nan nan`.

    Args:
        path: the file, for messages.
        lines: N numbers of lines and lines.

    Raises:
        ValueError: a line has other words; the message names it.
    """
    words = [line.split() for _, line in lines]
    if all(len(pair) == 2 for pair in words):
        values = _quick([word for pair in words for word in pair])
        if values is not None and (np.abs(values) <= FURTHEST).all():
            return values.reshape(-1, 2)
    return np.array([point(f"{path}:{number}", line) for number, line in lines]).reshape(-1, 2)


def _quick(words):
    """All words as float64 if they are plain numbers, else None."""
    if not plain(" ".join(words)):
        return None
    try:
        return np.array([float(word) for word in words], "float64")
    except ValueError:
        return None


def _number(word):
    try:
        return float(word) if plain(word) else np.nan
    except ValueError:
        return np.nan


def _refuse(where, words, columns, wrong, expected):
    if wrong.any():
        first = int(np.argmax(wrong))
        raise ValueError(f"{where}: {columns[first]} is {shown(words[first])}, {expected}")
