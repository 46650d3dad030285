"""Boxes of faces from a file, for `kfacealign align --boxes`.

| file | content |
|---|---|
| `.json` | `{"photo.jpg": [[x0, y0, x1, y1], ...], ...}`, or a list of `{"photo": "photo.jpg", "box": [x0, y0, x1, y1]}` |
| `.json` | what `kfacealign align` writes of a photograph, or a list of these |
| `.csv` | a header with `photo,x0,y0,x1,y1`, one row a face; or the `landmarks.csv` of `kfacealign align` |

Boxes reach from brows to chin and from ear to ear, in image coordinates: the outer top-left corner of the photograph is (0, 0).
"""

import csv
import io
import json
import math
import os
import reprlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from kfacealign.console import shown
from kfacealign.files import read_bytes

LISTED = 5  # bad rows that a message names
LARGEST = 2**28  # bytes of a file
CORNERS = ("x0", "y0", "x1", "y1")

Row = tuple[str, str, Any]  # where it stands, the photograph, the four numbers or the ValueError that they are


def read_boxes(path: str | os.PathLike) -> dict[str, list[list[float]]]:
    """The boxes of each photograph that a file names, in the order of the file.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is none of the kinds of the module's table, or a row is wrong; the message names file, place and reason.
    """
    path = Path(path)
    content = read_bytes(path, limit=LARGEST)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ValueError(f"{shown(path)}:{line}: the file is not UTF-8; save it as UTF-8") from None
    readers = {".json": json_rows, ".csv": csv_rows}
    if path.suffix.lower() not in readers:
        raise ValueError(f"{shown(path)}: boxes are read from .json and .csv files")
    boxes, wrong = defaultdict(list), []
    for place, photo, values in readers[path.suffix.lower()](shown(path), text):
        try:
            if not photo:
                raise ValueError("there is no photograph in this row")
            boxes[as_text(photo)].append(checked(values))
        except ValueError as error:
            wrong.append(f"{place}: {error}")
    if wrong:
        more = f"; and {len(wrong) - LISTED} more" if len(wrong) > LISTED else ""
        raise ValueError("; ".join(wrong[:LISTED]) + more)
    if not boxes:
        raise ValueError(f"{shown(path)}: there is no box in it")
    return dict(boxes)


def boxes_of(
    paths: Sequence[str], boxes: dict[str, list[list[float]]], file: str | os.PathLike
) -> tuple[dict[str, list[list[float]]], list[str]]:
    """The photographs of a run that have boxes, and their boxes.

    A photograph in the file is a path as it is given on the command line, from the current folder. Where no photograph of the run
    has that path, it is a path from the file's folder.

    Args:
        paths: the photographs of the run.
        boxes: what `read_boxes` returned.
        file: the file of the boxes.

    Returns:
        The boxes of each photograph that has any, and the names in the file that are no photograph of the run.
    """
    wanted = {as_text(os.path.abspath(path)): path for path in paths}
    folders = [as_text(os.path.abspath(folder)) for folder in (os.curdir, os.path.dirname(os.path.abspath(file)))]
    found, unused = defaultdict(list), []
    for photo, its in boxes.items():
        places = (os.path.normpath(os.path.join(folder, photo)) for folder in folders)
        place = next((place for place in places if place in wanted), None)
        if place is None:
            unused.append(photo)
        else:
            found[wanted[place]] += its
    return dict(found), unused


def as_text(path: str | os.PathLike) -> str:
    """A path as text that can be written to any file: bytes that are no UTF-8 are `\\xe9`."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def checked(values: Any) -> list[float]:
    """The four numbers of a box.

    Raises:
        ValueError: they are none, or enclose nothing.
    """
    if isinstance(values, ValueError):
        raise values
    if not isinstance(values, list) or len(values) != 4:
        raise ValueError(f"a box is four numbers x0, y0, x1, y1, got {reprlib.repr(values)}")
    try:
        numbers = [math.nan if isinstance(value, bool) else float(value) for value in values]
    except (TypeError, ValueError, OverflowError):
        numbers = [math.nan]
    if not all(map(math.isfinite, numbers)):
        raise ValueError(f"a box is four finite numbers x0, y0, x1, y1, got {reprlib.repr(values)}")
    x0, y0, x1, y1 = numbers
    if not (x0 < x1 and y0 < y1):
        raise ValueError(f"x0 must be less than x1 and y0 less than y1, got {reprlib.repr(values)}")
    return numbers


# === CSV ===


def csv_rows(name: str, text: str) -> Iterator[Row]:
    """The rows of a CSV file; `name` is the file as messages show it."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [field.strip() for field in next(reader, [])]
        own = [f"box_{corner}" for corner in CORNERS]
        columns = ["photo", *(own if set(own) <= set(header) else CORNERS)]
        lacking = [column for column in columns if column not in header]
        if lacking or header.count("photo") > 1:
            raise ValueError(f"{name}:1: the header must have photo,x0,y0,x1,y1, got {','.join(header)[:80]!r}")
        if columns[1] == "x0" and "x2" in header:
            raise ValueError(f"{name}:1: x0, y0, ... are landmarks here and no boxes, as there is a column x2")
        places = [header.index(column) for column in columns]
        for row in reader:
            if not any(field.strip() for field in row):
                continue
            where = f"{name}:{reader.line_num}"
            if len(row) != len(header):
                yield where, row[0], ValueError(f"expected {len(header)} fields as in the header, got {len(row)}")
                continue
            photo, *values = (row[place] for place in places)
            yield where, photo, [value.strip() for value in values]
    except csv.Error as error:
        raise ValueError(f"{name}:{reader.line_num}: {error}") from None


# === JSON ===


def json_rows(name: str, text: str) -> Iterator[Row]:
    """The rows of a JSON file; `name` is the file as messages show it."""
    try:
        content = json.loads(text, object_pairs_hook=without_repetition)
    except json.JSONDecodeError as error:
        raise ValueError(f"{name}:{error.lineno}: not JSON: {error.msg}") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name}: {error}") from None
    if isinstance(content, dict) and "faces" not in content:
        for photo, boxes in content.items():
            flat = isinstance(boxes, list) and boxes and not isinstance(boxes[0], list)
            for number, values in enumerate([boxes] if flat or not isinstance(boxes, list) else boxes, start=1):
                yield f"{name}: {shown(photo)}, box {number}", photo, values
        return
    for number, row in enumerate(content if isinstance(content, list) else [content], start=1):
        where = f"{name}: entry {number}"
        if not isinstance(row, dict) or not isinstance(row.get("photo"), str):
            raise ValueError(f"{where}: expected a photograph and its box or faces, got {reprlib.repr(row)}")
        faces = row.get("faces", [row])
        for place, face in enumerate(faces if isinstance(faces, list) else [faces], start=1):
            values = face.get("face_box" if "faces" in row else "box") if isinstance(face, dict) else face
            yield f"{where}, face {place}" if "faces" in row else where, row["photo"], values


def without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The pairs of a JSON object.

    Raises:
        ValueError: a key is there twice.
    """
    made = dict(pairs)
    if len(made) < len(pairs):
        (key, _), *_ = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"{key!r} is there twice")
    return made
