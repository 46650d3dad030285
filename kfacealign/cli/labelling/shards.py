"""What one unit has written: parts while it runs, its shard when it is complete.

`_00012-0003.parquet` has the pictures 192 to 255 of unit 12, `shard-00012.parquet` has all of it. Readers of a folder of Parquet
files pass over names that begin with "_". A part is written when a picture behind it was reached, so what ends a damaged archive
is never in one.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kfacealign.cli.labelling import rows as rows_
from kfacealign.files import replacing

if TYPE_CHECKING:
    import pyarrow as pa

PART = 64  # pictures of a part
SHARD = re.compile(r"shard-(\d{5,})\.parquet")
PATTERNS = ("shard-*.parquet", "_*.parquet", "_*.json", "_*.jsonl")  # what a run writes


def shard_of(folder: Path, number: int) -> Path:
    """The file of a complete unit."""
    return folder / f"shard-{number:05d}.parquet"


def part_of(folder: Path, number: int, part: int) -> Path:
    return folder / f"_{number:05d}-{part:04d}.parquet"


def complete(folder: Path) -> set[int]:
    """Numbers of the units that are complete."""
    return {int(found[1]) for name in os.listdir(folder) if (found := SHARD.fullmatch(name))}


class Parts:
    """The files of one unit, which goes on where it was left.

    Args:
        folder: of the run.
        number: of the unit.
        schema: of the rows.

    Attributes:
        pictures: how many pictures the parts have.
    """

    def __init__(self, folder: Path, number: int, schema: "pa.Schema"):
        self.folder, self.number, self.schema = folder, number, schema
        self.rows, self.tables = [], []
        while (table := written(part_of(folder, number, len(self.tables)))) is not None:
            self.tables.append(table)
        self.pictures = len(self.tables) * PART

    def add(self, picture: int, rows: list[dict[str, Any]]) -> None:
        """Adds the rows of a picture; those of the part before are written first.

        Raises:
            OSError: the part cannot be written.
        """
        if picture == (len(self.tables) + 1) * PART:
            table = rows_.table(self.rows, self.schema)
            write(part_of(self.folder, self.number, len(self.tables)), table)
            self.tables.append(table)
            self.rows = []
        self.rows += rows

    def finish(self) -> None:
        """Writes the shard, and deletes the parts.

        Raises:
            OSError: the shard cannot be written.
        """
        import pyarrow as pa

        write(shard_of(self.folder, self.number), pa.concat_tables([*self.tables, rows_.table(self.rows, self.schema)]))
        for part in range(len(self.tables)):
            part_of(self.folder, self.number, part).unlink(missing_ok=True)


def written(path: Path) -> "pa.Table | None":
    """The rows of a part; None where it is not there, or was damaged by a failing disk: it is written anew."""
    try:
        return read(path)
    except (OSError, ValueError):
        return None


def read(path: Path, columns: Sequence[str] | None = None) -> "pa.Table":
    """The rows of a part or shard, of all columns or some."""
    from pyarrow import parquet

    with open(path, "rb") as file:
        return parquet.ParquetFile(file).read(columns=columns)


def write(path: Path, table: "pa.Table") -> None:
    """Writes rows to a file, whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    with replacing(path) as temporary, writer(temporary, table.schema) as file:
        file.write_table(table)


def writer(path: Path, schema: "pa.Schema") -> Any:
    """A `ParquetWriter` that suits numbers of landmarks: their bytes are sorted by place, then compressed."""
    from pyarrow import parquet

    texts = ["path", "status", "reason", "model_sha256"]
    split = [f"{name}.list.element" for name in ("box", "landmarks", "scores", *rows_.EXTRA)]
    options = {"use_dictionary": texts, "use_byte_stream_split": split}
    return parquet.ParquetWriter(path, schema, compression="zstd", **options)
