"""The pictures of a unit, one after the other, wherever they are."""

import dataclasses
from collections.abc import Iterator

from kfacealign.cli.given_boxes import as_text
from kfacealign.cli.labelling import parquet_source, storage, tar_source
from kfacealign.cli.labelling.units import Unit
from kfacealign.console import shown


@dataclasses.dataclass(frozen=True, eq=False)
class Picture:
    """A picture, still encoded.

    Attributes:
        number: in its unit, from 0.
        path: what its rows are called.
        content: bytes of its file; None where it cannot be read.
        reason: why it cannot.
    """

    number: int
    path: str
    content: bytes | None
    reason: str = ""


def pictures(unit: Unit, start: int, *, base: str) -> Iterator[Picture]:
    """The pictures of a unit from the one of number `start` on.

    What cannot be read is a picture with a reason; a tar or Parquet file that is damaged is one such picture, the last.

    Args:
        unit: the unit.
        start: number of the first picture.
        base: folder from which the unit's paths are meant.
    """
    number = start
    try:
        for path, content in READERS[unit.kind](unit, start, base):
            told = content if isinstance(content, bytes) else None
            yield Picture(number, as_text(path), told, "" if told is not None else reason_of(content))
            number += 1
    except Exception as error:  # a storage may raise anything; the other units go on
        yield Picture(number, as_text(unit.paths[0]), None, reason_of(error))


def reason_of(error: BaseException | None) -> str:
    """Why a picture failed, in one line."""
    if error is None:
        return "there is no picture in this row"
    if isinstance(error, MemoryError):
        return "there is not enough memory for it"
    return shown(" ".join(str(getattr(error, "strerror", None) or error).split())) or type(error).__name__


def _files(unit, start, base):
    for path in unit.paths[start:]:
        try:
            yield path, storage.content_of(storage.absolute(path, base))
        except Exception as error:  # likewise
            yield path, error


def _tar(unit, start, base):
    (path,) = unit.paths
    for name, content in tar_source.members(storage.absolute(path, base), start):
        yield f"{path}/{name}", content


def _parquet(unit, start, base):
    (path,) = unit.paths
    found = parquet_source.rows(storage.absolute(path, base), unit.column, unit.groups, start)
    for row, content in enumerate(found, unit.first + start):
        if content is not None and len(content) > storage.LARGEST:
            content = ValueError(f"larger than {storage.LARGEST / 2**20:.0f} MiB")
        yield f"{path}#{row}", content


def _refused(unit, start, base):
    if not start:
        yield unit.paths[0], ValueError(unit.reason)


READERS = {"files": _files, "tar": _tar, "parquet": _parquet, "refused": _refused}
