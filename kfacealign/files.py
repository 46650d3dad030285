"""Files that are read whole and within limits, files and folders that appear whole or not at all, image suffixes."""

import errno
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".ppm", ".pgm", ".tif", ".tiff", ".webp")


def require_regular(path: str | os.PathLike) -> None:
    """Refuses what is no file with an end: named pipes, sockets, devices and folders. Links are followed.

    Raises:
        OSError: nothing is at the path, or it is not a regular file; the error carries the path.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError(errno.EINVAL, "not a regular file", os.fspath(path))


def require_utf8(path: str | os.PathLike) -> None:
    """Refuses a name that is no UTF-8 before OpenCV gets it: the process would end there.

    Raises:
        OSError: the name cannot be encoded; the error carries the path.
    """
    try:
        os.fspath(path).encode()
    except UnicodeEncodeError:
        raise OSError(errno.EILSEQ, "OpenCV opens no file whose path is not UTF-8: rename it", os.fspath(path)) from None


def read_bytes(path: str | os.PathLike, *, limit: int = 2**30) -> bytes:
    """The content of a regular file.

    Args:
        path: the file; links are followed.
        limit: bytes that are read at most.

    Raises:
        OSError: it cannot be read, is not a regular file, or is larger than the limit; the error carries the path.
    """
    require_regular(path)
    with open(path, "rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"larger than {limit / 2**20:.0f} MiB", os.fspath(path))
    return content


@contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place when the block ends without an error.

    The block writes a file or a folder at the temporary path. An existing file is replaced in one step; an existing folder
    is moved aside first. After an error the temporary is deleted and `path` is as it was.

    Example:
        >>> with replacing("run/report.json") as temporary:
        ...     temporary.write_text("{}")
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix stays last, because writers choose their format by it.
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    remove(temporary)
    try:
        yield temporary
        if path.is_dir():
            replace_folder(temporary, path)
        else:
            os.replace(temporary, path)
    finally:
        remove(temporary)


def replace_folder(temporary: Path, path: Path) -> None:
    """Moves the folder `temporary` to where the folder `path` is, which is deleted."""
    old = path.with_name(f"{temporary.name}.old")
    os.replace(path, old)
    os.replace(temporary, path)
    remove(old)


def remove(path: Path) -> None:
    """Deletes a file or a folder; where nothing is, nothing happens."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
