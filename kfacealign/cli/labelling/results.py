"""What a run hands over: a folder of shards, one Parquet file, or one file in COCO's layout, and the ledger beside it."""

import collections
import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kfacealign import schemes
from kfacealign.cli import align_tables
from kfacealign.cli.labelling import rows, shards
from kfacealign.files import replacing

LEDGER = "ledger.jsonl"
START = 2**16  # bytes of a COCO file that begin with what run it is of
RUN = re.compile(rb'"run": "([0-9a-f]{64})"')


class Target:
    """Where the rows of a run go.

    Args:
        out: a path that ends in `.parquet` or `.json` (COCO), or else a folder.

    Attributes:
        path: of what is handed over. kind: "parquet", "coco" or "folder".
        folder: where the run works: beside the file, or the folder itself.
        ledger: path of the ledger.
    """

    def __init__(self, out: str | os.PathLike):
        self.path = Path(out)
        suffix = {".parquet": "parquet", ".json": "coco"}.get(self.path.suffix.lower())
        self.kind = "folder" if suffix is None or self.path.is_dir() else suffix
        single = self.kind != "folder"
        self.folder = self.path.with_name(f"{self.path.name}.parts") if single else self.path
        self.ledger = self.path.with_name(f"{self.path.stem}.{LEDGER}") if single else self.path / f"_{LEDGER}"

    def run(self) -> str | None:
        """What run the file is of; None where there is no file, "" where it is none of `kfacealign label`."""
        if self.kind == "folder" or not os.path.lexists(self.path):
            return None
        if self.kind == "coco":
            with open(self.path, "rb") as file:
                found = RUN.search(file.read(START))
            return found[1].decode() if found else ""
        from pyarrow import parquet

        try:
            return (rows.described(parquet.read_schema(self.path)) or {}).get("run", "")
        except (OSError, ValueError):
            return ""

    def hand_over(self, count: int, description: dict[str, Any]) -> collections.Counter:
        """Writes the ledger, and the file unless it is a folder of shards.

        Args:
            count: number of the shards.
            description: of the run.

        Returns:
            How many pictures have each status, and "faces".

        Raises:
            OSError: a file cannot be written.
        """
        paths = [shards.shard_of(self.folder, number) for number in range(count)]
        counts = write_ledger(paths, self.ledger)
        if self.kind == "parquet":
            write_joined(paths, self.path, description)
        elif self.kind == "coco":
            write_coco(paths, self.path, description)
        return counts


def ledger_counts(path: Path) -> collections.Counter:
    """How many pictures of a ledger have each status; none where it is not there."""
    counts = collections.Counter()
    if path.is_file():
        with open(path, encoding="utf-8") as file:
            counts.update(json.loads(line)["status"] for line in file)
    return counts


def write_ledger(paths: Iterable[Path], ledger: Path) -> collections.Counter:
    """Lists the pictures that failed or have no face, one JSON object a line, and counts."""
    counts = collections.Counter()
    with replacing(ledger) as temporary, open(temporary, "w", encoding="utf-8", newline="\n") as file:
        for row in read_rows(paths, ["path", "status", "reason", "face"]):
            first = row["face"] in (None, 1)
            counts[row["status"]] += first
            counts["faces"] += row["status"] == rows.OK
            if row["status"] != rows.OK:
                file.write(json.dumps({name: row[name] for name in ("path", "status", "reason")}, ensure_ascii=False) + "\n")
    return counts


def read_rows(paths: Iterable[Path], columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
    """The rows of shards, in order, a shard at a time in memory."""
    for path in paths:
        yield from shards.read(path, columns).to_pylist()


def write_joined(paths: Iterable[Path], path: Path, description: dict[str, Any]) -> None:
    """Writes one Parquet file of all shards, a row group each."""
    with replacing(path) as temporary, shards.writer(temporary, rows.schema(description)) as file:
        for shard in paths:
            file.write_table(shards.read(shard).replace_schema_metadata(rows.schema(description).metadata))


def write_coco(paths: Sequence[Path], path: Path, description: dict[str, Any]) -> None:
    """Writes the rows in COCO's layout of keypoints, without ever holding all of them."""
    frame = align_tables.frame(schemes.get(description["scheme"]), "faces found by kfacealign label")
    head = {**frame["info"], "run": description["run"], "settings": description["settings"]}
    columns = ["shard", "picture", "path", "status", "width", "height", "face"]
    with replacing(path) as temporary, open(temporary, "w", encoding="utf-8", newline="\n") as file:
        file.write(f'{{"info": {json.dumps(head)}, "categories": {json.dumps(frame["categories"])}, "images": [')
        for text in separated(images(read_rows(paths, columns))):
            file.write(text)
        file.write('], "annotations": [')
        for text in separated(annotations(read_rows(paths))):
            file.write(text)
        file.write("]}\n")


def separated(items: Iterable[dict[str, Any]]) -> Iterator[str]:
    """The items of a JSON list, as text."""
    for number, item in enumerate(items):
        yield f"{',' if number else ''}\n{json.dumps(item, allow_nan=False)}"


def numbered(found: Iterable[dict[str, Any]]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Rows with the number of their picture from 1, without those of pictures that failed."""
    number, before = 0, None
    for row in found:
        if row["status"] != rows.FAILED:
            number += (row["shard"], row["picture"]) != before
            before = row["shard"], row["picture"]
            yield number, row


def images(found: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for number, row in numbered(found):
        if row["face"] in (None, 1):
            yield {"id": number, "file_name": row["path"], "width": row["width"], "height": row["height"]}


def annotations(found: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    faces = 0
    for number, row in numbered(found):
        if row["status"] == rows.OK:
            faces += 1
            landmarks = np.round(np.reshape(row["landmarks"], (-1, 2)).astype(float), 3).tolist()
            box = np.round(np.array(row["box"], float), 3).tolist()
            face = {"face_box": box, "landmarks": landmarks, "mean_score": round(row["mean_score"], 4)}
            yield align_tables.annotation(face, faces, number)
