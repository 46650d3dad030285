"""Files and folders that appear whole or not at all, and the suffixes of image files."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".ppm", ".pgm", ".tif", ".tiff", ".webp")


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
