"""Names in folders of annotations. What begins with a dot is passed over: systems keep files of their own under such names."""

import os
from collections.abc import Iterator


def names(folder: str | os.PathLike) -> list[str]:
    """The sorted names of what is in a folder, without those that begin with a dot.

    Raises:
        OSError: it is no folder, or cannot be read.
    """
    return sorted(name for name in os.listdir(folder) if not name.startswith("."))


def walk(root: str | os.PathLike, *, depth: int | None = None) -> Iterator[tuple[str, list[str]]]:
    """The folders below a root, itself included, and the sorted names of the files in each.

    Links to folders are followed, after everything that is reached without them. No folder comes twice, so links in a circle
    have an end.

    Args:
        root: the folder.
        depth: how many levels of folders below the root are looked into; None looks into all.

    Raises:
        OSError: a folder cannot be read.
    """
    seen, pending, links = set(), [(os.fspath(root), 0)], []
    while pending or links:
        folder, level = pending.pop() if pending else links.pop(0)
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in seen:
            continue
        seen.add((status.st_dev, status.st_ino))
        files = []
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name, reverse=True):
                if entry.name.startswith("."):
                    continue
                if not entry.is_dir():
                    files.append(entry.name)
                elif depth is None or level < depth:
                    (links if entry.is_symlink() else pending).append((entry.path, level + 1))
        yield folder, files[::-1]
