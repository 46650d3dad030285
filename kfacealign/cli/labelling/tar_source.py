"""Pictures in a tar shard, as WebDataset writes them: read once from front to back, nothing is written to the disk."""

import bz2
import gzip
import lzma
import tarfile
from collections.abc import Iterator
from typing import Any, BinaryIO

from kfacealign.cli.labelling import storage
from kfacealign.files import IMAGE_SUFFIXES

LARGEST_HEADER = 2**24  # bytes of a member's extended header
STEP = 2**20  # bytes that are passed over at a time
OPENERS = {b"\x1f\x8b": gzip.open, b"BZ": bz2.open, b"\xfd7": lzma.open}  # by the first two bytes


class Forward:
    """A stream as `tarfile` reads it: it can be sought forwards alone, and no header is read that would not fit into memory.

    Args:
        stream: open for reading.

    Attributes:
        place: where it is. limit: bytes that may be read at once. last: what was read last.
    """

    def __init__(self, stream: BinaryIO):
        self.stream, self.place, self.limit, self.last = stream, 0, LARGEST_HEADER, b""

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes, all of them unless the stream ends.

        Raises:
            ValueError: more than `limit` bytes are asked for.
        """
        if not 0 <= size <= self.limit:
            raise ValueError(f"a header of {size:,} bytes")
        parts, left = [], size
        while left and (part := self.stream.read(left)):
            parts.append(part)
            left -= len(part)
        self.last = b"".join(parts)
        self.place += len(self.last)
        return self.last

    def tell(self) -> int:
        return self.place

    def seek(self, place: int) -> int:
        """Passes over what lies before `place`.

        Raises:
            ValueError: it lies behind.
        """
        if place < self.place:
            raise ValueError("the archive leads backwards")
        while self.place < place and (part := self.stream.read(min(STEP, place - self.place))):
            self.place += len(part)
        return self.place


def members(path: str, start: int) -> Iterator[tuple[str, bytes | ValueError]]:
    """Name and content of each picture of a tar shard from the picture `start` on; in place of the content why there is none.

    A member is a picture if it is a file with the suffix of one. Names are told as they are and lead nowhere.

    Args:
        path: path or URL of the archive, which may be compressed by gzip, bzip2 or xz.
        start: number of the first picture, from 0.

    Raises:
        OSError, ValueError: it cannot be opened, or is damaged from some place on.
    """
    with storage.opened(path) as raw:
        stream = Forward(decompressed(raw))
        number = -1
        try:
            with tarfile.TarFile(fileobj=stream, mode="r", errorlevel=1) as archive:
                while (member := archive.next()) is not None:
                    archive.members = []  # which would grow with every member
                    if not (member.isreg() and member.name.lower().endswith(IMAGE_SUFFIXES)):
                        continue
                    number += 1
                    if number >= start:
                        yield member.name, content_of(archive, member, stream)
                if stream.last != bytes(tarfile.BLOCKSIZE):  # `tarfile` takes a header that it cannot read for the end
                    raise tarfile.ReadError("a header is cut or damaged, or the end is missing")
        except Exception as error:  # of tarfile, zlib, lzma, the storage: each has its own
            told = " ".join(str(error).split()) or type(error).__name__
            raise ValueError(f"the archive is damaged behind {number + 1} pictures: {told}") from None
    if number < 0:
        raise ValueError("there is no picture in this archive")


def decompressed(raw: BinaryIO) -> Any:
    """The stream of a tar file, by its first bytes decompressed."""
    start = raw.read(2)
    joined = Joined(start, raw)
    opener = OPENERS.get(start)
    return joined if opener is None else opener(joined, "rb")


class Joined:
    """A stream with the bytes before it that were read already."""

    def __init__(self, start: bytes, rest: BinaryIO):
        self.start, self.rest, self.closed = start, rest, False

    def read(self, size: int = -1) -> bytes:
        if not self.start:
            return self.rest.read() if size is None or size < 0 else self.rest.read(size)
        if size is None or size < 0:
            found, self.start = self.start + self.rest.read(), b""
        else:
            found, self.start = self.start[:size], self.start[size:]
        return found

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False


def content_of(archive: tarfile.TarFile, member: tarfile.TarInfo, stream: Forward) -> bytes | ValueError:
    """The bytes of a member, or why it is not read.

    Raises:
        tarfile.TarError: the archive ends within it.
    """
    if member.issparse():
        return ValueError("a sparse file is not read")
    try:
        storage.require_fitting(member.size)
    except ValueError as error:
        return error
    stream.seek(member.offset_data)
    stream.limit = max(LARGEST_HEADER, member.size)
    content = stream.read(member.size)
    stream.limit = LARGEST_HEADER
    if len(content) < member.size:
        raise tarfile.ReadError(f"it ends within {member.name!r}")
    return content
