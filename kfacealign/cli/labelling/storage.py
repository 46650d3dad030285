"""Files of this machine and of storages that pyarrow or fsspec knows, by path or URL."""

import functools
import os
import re
import urllib.parse
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

from kfacealign.files import read_bytes, require_regular

if TYPE_CHECKING:
    import pyarrow.fs

URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
OF_PYARROW = ("file", "s3", "gs", "gcs", "hdfs", "viewfs", "abfs", "abfss")
OF_THE_WEB = ("http", "https")  # whose folders cannot be listed
LARGEST = 2**28  # bytes of a picture's file
BUFFER = 2**20


def require_pyarrow() -> Any:
    """pyarrow, in which rows are written.

    Raises:
        ImportError: it is not installed.
    """
    try:
        import pyarrow
    except ImportError:
        raise ImportError("labels are written as Parquet, which needs pyarrow: pip install 'kfacealign[scale]'") from None
    return pyarrow


def is_url(path: str) -> bool:
    """Whether this is a URL, such as `s3://bucket/photo.jpg`, and no path of this machine."""
    return URL.match(path) is not None


def scheme_of(url: str) -> str:
    return url.partition("://")[0].lower()


@functools.lru_cache(maxsize=64)
def storage(folder: str) -> tuple["pyarrow.fs.FileSystem", str]:
    """The storage that a folder's URL names, and the folder's path in it.

    Raises:
        ValueError: neither pyarrow nor fsspec knows it.
        ImportError: fsspec needs another package for it, which the message names.
    """
    import pyarrow as pa
    from pyarrow import fs

    if scheme_of(folder) in OF_PYARROW:
        try:
            return fs.FileSystem.from_uri(folder)
        except (pa.ArrowInvalid, NotImplementedError) as error:
            raise ValueError(f"{folder}: {error}") from None
    try:
        import fsspec

        found, path = fsspec.core.url_to_fs(folder)
    except ImportError as error:
        raise ImportError(f"{folder}: {error}") from None
    except ValueError as error:
        raise ValueError(f"{folder}: {error}") from None
    return fs.PyFileSystem(fs.FSSpecHandler(found)), path


def located(url: str) -> tuple["pyarrow.fs.FileSystem", str]:
    """The storage of a file's URL, and the file's path in it; raises what `storage` raises."""
    if scheme_of(url) in OF_THE_WEB:  # a query may have anything in it
        return storage("/".join(url.split("/")[:3]) + "/")[0], url
    folder, _, name = url.rpartition("/")
    system, base = storage(f"{folder}/")
    if scheme_of(url) in OF_PYARROW:
        name = urllib.parse.unquote(name)
    return system, f"{base.rstrip('/')}/{name}" if base else name


def opened(path: str) -> BinaryIO:
    """A file, open for reading from its start to its end.

    Raises:
        OSError: it cannot be opened, or is not a regular file. ValueError, ImportError: as `storage`.
    """
    if not is_url(path):
        require_regular(path)
        return open(path, "rb", buffering=BUFFER)
    system, inner = located(path)
    return system.open_input_stream(inner, buffer_size=BUFFER)


def opened_anywhere(path: str) -> Any:
    """A file, open for reading at any place, for pyarrow; raises what `opened` raises."""
    if not is_url(path):
        require_regular(path)
        return open(path, "rb")
    system, inner = located(path)
    return system.open_input_file(inner)


def content_of(path: str) -> bytes:
    """The content of a picture's file.

    Raises:
        OSError: it cannot be read, is not a regular file, or is larger than `LARGEST`. ValueError, ImportError: as `storage`.
    """
    if not is_url(path):
        return read_bytes(path, limit=LARGEST)
    with opened(path) as file:
        content = file.read(LARGEST + 1)
    require_fitting(len(content))
    return content


def require_fitting(size: int) -> None:
    """Refuses a picture of more than `LARGEST` bytes.

    Raises:
        ValueError: it is larger; the message does not name it.
    """
    if size > LARGEST:
        raise ValueError(f"larger than {LARGEST / 2**20:.0f} MiB")


def listed(folder: str) -> Iterator[str]:
    """The URLs of all files below a folder's URL, sorted; names that begin with "." or "_" are passed over.

    Raises:
        OSError: there is no such folder, or it cannot be read. ValueError, ImportError: as `storage`.
    """
    from pyarrow import fs

    folder = f"{folder.rstrip('/')}/"
    system, base = storage(folder)
    start = base.rstrip("/")
    quoted = urllib.parse.quote if scheme_of(folder) in OF_PYARROW else str
    found = system.get_file_info(fs.FileSelector(start, recursive=True))
    for path in sorted(info.path for info in found if info.type == fs.FileType.File):
        below = path.removeprefix(start).lstrip("/")
        if not any(name.startswith((".", "_")) for name in below.split("/")):
            yield folder + quoted(below)


def absolute(path: str, base: str) -> str:
    """A path of a plan as it is opened: from the folder in which the plan was made; a URL as it is."""
    return path if is_url(path) else os.path.join(base, path)
