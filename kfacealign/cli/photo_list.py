"""From what a command line names to its photographs: files, folders, patterns, and a list on standard input.

Every photograph is listed once, under the first of its names. Folders are read with their subfolders; links are followed, and
each folder is read once, however many links lead to it. Names that begin with "." are passed over, and so are pictures that an
earlier run has drawn.
"""

import dataclasses
import fnmatch
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence

from kfacealign.console import shown
from kfacealign.files import IMAGE_SUFFIXES

STDIN = "-"
MAGIC = re.compile(r"[*?\[]")  # what makes a word a pattern


@dataclasses.dataclass(frozen=True)
class PhotoList:
    """The photographs of a run.

    Attributes:
        paths: their paths as they are opened and shown: files in the order in which they were named, those of a folder or a
            pattern sorted.
        below: for each its path below the one folder that all inputs have in common: the folder given, the folder before the
            first wildcard of a pattern, the folder that a named file lies in.
        problems: (path or pattern, reason) of what was named and gave nothing.
        notes: sentences about what was passed over.
    """

    paths: list[str]
    below: list[str]
    problems: list[tuple[str, str]]
    notes: list[str]


def find_photos(words: Sequence[str], *, out: str | os.PathLike, is_overlay: Callable[[str, bool], bool]) -> PhotoList:
    """The photographs that the words of a command line mean.

    Args:
        words: paths of files and folders, patterns, and "-" for a list of paths on standard input. What exists under a word
            goes before the word as a pattern.
        out: the folder of the results, which is passed over in folders and patterns unless it is the one given.
        is_overlay: tells of a path, and whether it was found in a folder or by a pattern, if an earlier run has drawn it.

    Raises:
        ValueError: no photograph was found; the message tells why.
    """
    bases, found, problems = [], {}, []
    for word in listed(words):
        base, paths, searched = looked_up(word, os.path.realpath(out), problems)
        bases.append(base)
        for path in paths:
            found.setdefault(os.path.abspath(path), (path, searched))
    drawn = {path for path, searched in found.values() if is_overlay(path, searched)}
    paths, notes = without_twins([path for path, _ in found.values() if path not in drawn])
    if drawn:
        few = f"{len(drawn)} picture{'s' * (len(drawn) > 1)}"
        notes.append(f"{few} of earlier results (NAME_landmarks.png) passed over, such as {shown(min(drawn))}")
    if not paths:
        reasons = [f"{shown(path)}: {reason}" for path, reason in problems] or notes or ["the list is empty"]
        more = f"; and {len(reasons) - 3} more" if len(reasons) > 3 else ""
        raise ValueError(f"no photograph was found: {'; '.join(reasons[:3])}{more}")
    absolute = [os.path.abspath(path) for path in paths]
    root = os.path.commonpath([*bases, *map(os.path.dirname, absolute)])
    return PhotoList(paths, [os.path.relpath(path, root) for path in absolute], problems, notes)


def listed(words: Iterable[str]) -> Iterator[str]:
    """The words, in place of "-" the lines of standard input."""
    for word in words:
        if word == STDIN:
            yield from split_list(sys.stdin.buffer.read())
        else:
            yield word


def split_list(content: bytes) -> list[str]:
    """The paths of a list, one a line, or separated by NUL where there is one; empty lines do not count."""
    content = content.removeprefix(b"\xef\xbb\xbf")
    lines = content.split(b"\0") if b"\0" in content else [line.removesuffix(b"\r") for line in content.split(b"\n")]
    return [f"./{STDIN}" if line == STDIN.encode() else os.fsdecode(line) for line in lines if line]


def looked_up(word: str, out: str, problems: list[tuple[str, str]]) -> tuple[str, list[str], bool]:
    """What one word means.

    Args:
        word: a path or a pattern.
        out: real path of the folder of results.
        problems: what gives nothing is added to it.

    Returns:
        The folder below which the photographs lie; their paths; whether they were searched for and not named.
    """
    if os.path.isdir(word):
        return os.path.abspath(word), folder_photos(word, out, problems), True
    if os.path.lexists(word) or not MAGIC.search(word):
        return os.path.dirname(os.path.abspath(word)), [word], False
    base, paths = matches(word, out, problems)
    if not paths:
        problems.append((word, "there is no such file, and as a pattern it matches no photograph"))
    return os.path.abspath(base), paths, True


def without_twins(paths: Sequence[str]) -> tuple[list[str], list[str]]:
    """Paths of which no two lead to one file, and a note if links had to go; a file goes before the links to it."""
    first = {}
    for path in sorted(paths, key=os.path.islink):
        first.setdefault(os.path.realpath(path), path)
    kept = [path for path in paths if first[os.path.realpath(path)] == path]
    left = len(paths) - len(kept)
    if not left:
        return kept, []
    return kept, [f"{left} link{'s' * (left > 1)} to photographs that are listed anyway: each photograph is done once"]


# === Folders ===


def folder_photos(folder: str, out: str, problems: list[tuple[str, str]]) -> list[str]:
    """The photographs in a folder and its subfolders, sorted; a folder that cannot be read, or has none, is a problem."""
    known = len(problems)
    found = [
        os.path.join(parent, name)
        for parent, names in walk(folder, out, problems)
        for name in names
        if name.lower().endswith(IMAGE_SUFFIXES) and not os.path.isdir(os.path.join(parent, name))
    ]
    if not found and len(problems) == known:
        problems.append((folder, f"there is no photograph in this folder; suffixes: {' '.join(IMAGE_SUFFIXES)}"))
    return sorted(map(os.path.normpath, found), key=lambda path: path.split(os.sep))


def walk(folder: str, out: str, problems: list[tuple[str, str]]) -> Iterator[tuple[str, list[str]]]:
    """A folder and all folders below it, each once, with the sorted names in it that do not begin with ".".

    Folders that are links come after all that are none, so that a folder keeps its own name where a link leads to it as well.
    """
    seen = set() if os.path.realpath(folder) == out else {out}
    folders, links = [folder], []
    while folders or links:
        parent = folders.pop() if folders else links.pop(0)
        place = os.path.realpath(parent)
        if place in seen:
            continue
        seen.add(place)
        names = visible(parent, problems)
        yield parent, names
        for name in names:
            path = os.path.join(parent, name)
            if os.path.isdir(path):
                (links if os.path.islink(path) else folders).append(path)


def visible(folder: str, problems: list[tuple[str, str]]) -> list[str]:
    """The sorted names in a folder that do not begin with "."; a folder that cannot be read is a problem."""
    try:
        return sorted(name for name in os.listdir(folder) if not name.startswith("."))
    except OSError as error:
        problems.append((folder, error.strerror or str(error)))
        return []


# === Patterns ===


def matches(pattern: str, out: str, problems: list[tuple[str, str]]) -> tuple[str, list[str]]:
    """The folder before the first wildcard of a pattern, and the photographs that the pattern matches, sorted.

    `*`, `?` and `[...]` match within a name, `**` any number of folders. A folder that matches is read with its subfolders. What
    is no image by its suffix is passed over unless the pattern itself ends in a suffix.
    """
    parts = [part for part in pattern.split(os.sep) if part]
    base = os.sep if pattern.startswith(os.sep) else os.curdir
    while os.path.isdir(os.path.join(base, parts[0])):
        base = os.path.join(base, parts.pop(0))
    places = [base]
    for part in parts:
        folders = [place for place in dict.fromkeys(places) if os.path.isdir(place)]
        if part == "**":
            places = [folder for place in folders for folder, _ in walk(place, out, problems)]
        elif MAGIC.search(part):
            places = [os.path.join(place, name) for place in folders for name in fnmatch.filter(visible(place, problems), part)]
        else:
            places = [path for place in folders if os.path.lexists(path := os.path.join(place, part))]
    suffix = os.path.splitext(parts[-1])[1]
    suffixes = IMAGE_SUFFIXES if MAGIC.search(suffix) or not suffix else (suffix.lower(), *IMAGE_SUFFIXES)
    found = []
    for place in places:
        if not os.path.isdir(place):
            found += [place] if place.lower().endswith(suffixes) else []
        elif os.path.realpath(place) != out:
            found += folder_photos(place, out, [])
    return base, sorted(set(map(os.path.normpath, found)), key=lambda path: path.split(os.sep))
