"""Pictures in a column of a Parquet file: bytes, or a struct of bytes and path as Hugging Face's data sets have it."""

from collections.abc import Iterator
from typing import Any

from kfacealign.cli.labelling import storage
from kfacealign.console import shown

NAMES = ("image", "img", "picture", "photo", "jpg", "jpeg", "png", "webp", "bytes", "content")  # which of several it is
FIELD = "bytes"  # of a struct
AT_ONCE = 16  # rows
MOST_COLUMNS = 10  # that a message names


def divided(path: str, column: str | None, size: int) -> Iterator[tuple[str, list[int], int]]:
    """The column of pictures, some row groups of about `size` rows together, and the number of their first row, until all are.

    Args:
        path: path or URL of the file.
        column: name of the column; None is found out.
        size: rows from which on no further group is added.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no Parquet file, or has no such column, or several that it could be.
    """
    with storage.opened_anywhere(path) as opened:
        file = parquet_file(opened)
        chosen = column_of(file.schema_arrow, column)
        counts = [file.metadata.row_group(number).num_rows for number in range(file.metadata.num_row_groups)]
    groups, rows, first = [], 0, 0
    for number, count in enumerate(counts):
        groups.append(number)
        rows += count
        if rows >= size or number == len(counts) - 1:
            yield chosen, groups, first
            first += rows
            groups, rows = [], 0


def parquet_file(opened: Any) -> Any:
    """`pyarrow.parquet.ParquetFile` of an open file, which reads a row group bit by bit.

    Raises:
        ValueError: it is no Parquet file.
    """
    import pyarrow as pa
    from pyarrow import parquet

    try:
        return parquet.ParquetFile(opened, pre_buffer=False, buffer_size=storage.BUFFER)
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"no Parquet file, or a damaged one: {' '.join(str(error).split())[:300]}") from None


def column_of(schema: Any, column: str | None) -> str:
    """The name of the column that holds pictures.

    Args:
        schema: of the file.
        column: the name that the user gave, or None.

    Raises:
        ValueError: it is not there or holds something else; or none is given, and not exactly one can be meant.
    """
    holding = [field.name for field in schema if holds_bytes(field.type)]
    there = ", ".join(f"{shown(field.name)} ({field.type})" for field in list(schema)[:MOST_COLUMNS])
    if column is not None:
        if column not in schema.names:
            raise ValueError(f"there is no column {column!r}; there are {there}")
        if column not in holding:
            raise ValueError(f"the column {column!r} holds {schema.field(column).type}, not the bytes of image files")
        chosen = column
    else:
        likely = holding if len(holding) == 1 else [name for name in NAMES if name in holding][:1]
        if not likely:
            raise ValueError(f"no column holds the bytes of image files, or several do; name it by --column: {there}")
        chosen = likely[0]
    if schema.names.count(chosen) > 1:
        raise ValueError(f"there are several columns called {chosen!r}")
    return chosen


def holds_bytes(kind: Any) -> bool:
    """Whether a type is bytes, or a struct with a field of bytes that is called so."""
    import pyarrow as pa

    if pa.types.is_struct(kind):
        place = kind.get_field_index(FIELD)
        return place >= 0 and holds_bytes(kind.field(place).type)
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind)


def rows(path: str, column: str, groups: list[int], start: int) -> Iterator[bytes | None]:
    """The pictures' bytes of row groups from the row `start` of them on; None where there is none.

    Raises:
        OSError, ValueError: the file cannot be read, or is damaged there.
    """
    import pyarrow as pa

    with storage.opened_anywhere(path) as opened:
        file, number = parquet_file(opened), 0
        try:
            for batch in file.iter_batches(AT_ONCE, row_groups=groups, columns=[column], use_threads=False):
                if number + len(batch) > start:
                    for value in batch.column(0)[max(0, start - number) :]:
                        content = value.as_py()
                        yield content.get(FIELD) if isinstance(content, dict) else content
                number += len(batch)
        except (pa.ArrowException, OSError) as error:
            raise ValueError(f"the Parquet file is damaged: {' '.join(str(error).split())[:300]}") from None
