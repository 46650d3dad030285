"""From the words of a command line to units of work: chunks of picture files, tar shards, row groups of Parquet files."""

import dataclasses
import fnmatch
import hashlib
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence

from kfacealign.cli import align_results, photo_list
from kfacealign.cli.labelling import parquet_source, storage
from kfacealign.console import shown
from kfacealign.files import IMAGE_SUFFIXES, read_bytes

TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
PARQUET_SUFFIXES = (".parquet", ".pq")
LIST_SUFFIX = ".txt"
LARGEST_LIST = 2**31  # bytes
FEWEST, MOST = 16, 1_000  # pictures of a unit
SHARE = 8  # units that each worker gets at least, so that none waits long for the last


@dataclasses.dataclass(frozen=True, kw_only=True)
class Unit:
    """What one worker labels in one go, in order.

    Attributes:
        kind: "files", "tar", "parquet", or "refused" for what cannot be read at all.
        paths: of pictures, or the one path of a tar or Parquet file.
        column: of a Parquet file, where the pictures are.
        groups: row groups of a Parquet file.
        first: number of the first row in them, from 0.
        reason: why it is refused.
    """

    kind: str
    paths: list[str]
    column: str = ""
    groups: list[int] = dataclasses.field(default_factory=list)
    first: int = 0
    reason: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inputs:
    """What a command line names.

    Attributes:
        pictures: paths and URLs of pictures, each file once.
        tars: of tar shards. parquets: of Parquet files.
        problems: (word, reason) of what gave nothing.
        notes: sentences about what was passed over.
    """

    pictures: list[str]
    tars: list[str]
    parquets: list[str]
    problems: list[tuple[str, str]]
    notes: list[str]


def expanded(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The words with lists in place of "-" and of `.txt` files, and the words as they are compared with those of another run.

    In the second a list is its checksum: a list of other pictures is another input.

    Raises:
        OSError: a list cannot be read.
        ValueError: a list is empty.
    """
    found, told = [], []
    for word in words:
        if word == photo_list.STDIN:
            content = sys.stdin.buffer.read()
        elif word.lower().endswith(LIST_SUFFIX) and not storage.is_url(word) and os.path.isfile(word):
            content = read_bytes(word, limit=LARGEST_LIST)
        else:
            found.append(word)
            told.append(align_results.as_text(word))
            continue
        lines = photo_list.split_list(content)
        if not lines:
            raise ValueError(f"{shown(word)}: the list is empty")
        found += lines
        told.append(f"list {hashlib.sha256(content).hexdigest()}")
    return found, told


def find(words: Iterable[str], *, out: Sequence[str | os.PathLike]) -> Inputs:
    """The pictures and shards that words mean.

    Args:
        words: files, folders, patterns and URLs.
        out: the files and folders of the results, the folder last; what is found there does not count.

    Raises:
        ValueError: nothing was found; the message tells why.
    """
    found, problems, notes = [], [], []
    own = tuple(os.path.realpath(path) for path in out)
    for word in words:
        found += in_storage(word, problems) if storage.is_url(word) else in_folders(word, own, problems)
    found = list(dict.fromkeys(found))
    kept, more = photo_list.without_twins([path for path in found if not storage.is_url(path)])
    if not found:
        reasons = [f"{shown(path)}: {reason}" for path, reason in problems] or ["the list is empty"]
        rest = f"; and {len(reasons) - 3} more" if len(reasons) > 3 else ""
        raise ValueError(f"no picture was found: {'; '.join(reasons[:3])}{rest}")
    once = set(kept)
    kinds = {"files": [], "tar": [], "parquet": []}
    for path in found:
        if storage.is_url(path) or path in once:
            kinds[kind_of(path)].append(path)
    pictures, tars, parquets = kinds.values()
    return Inputs(pictures=pictures, tars=tars, parquets=parquets, problems=problems, notes=notes + more)


def kind_of(path: str) -> str:
    """ "tar", "parquet", or "files" for anything else, by the suffix."""
    name = name_of(path)
    return "tar" if name.endswith(TAR_SUFFIXES) else "parquet" if name.endswith(PARQUET_SUFFIXES) else "files"


def readable(path: str) -> bool:
    """Whether a file found by a search is a picture or a shard, by its suffix."""
    return name_of(path).endswith((*IMAGE_SUFFIXES, *TAR_SUFFIXES, *PARQUET_SUFFIXES))


def name_of(path: str) -> str:
    """A path or URL in small letters, without the query of a URL."""
    return (path.partition("?")[0] if storage.is_url(path) else path).lower()


def in_folders(word: str, own: Sequence[str], problems: list[tuple[str, str]]) -> list[str]:
    """The paths that one word means on this machine; what gives nothing is a problem."""
    if not os.path.isdir(word):
        _, paths, searched = photo_list.looked_up(word, own[-1], problems)
        if searched:
            paths = [path for path in paths if os.path.realpath(path) not in own]
        return [path for path in paths if not align_results.is_overlay(path, searched)]
    known = len(problems)
    found = [
        os.path.normpath(os.path.join(parent, name))
        for parent, names in photo_list.walk(word, own[-1], problems)
        for name in names
        if readable(name) and not os.path.isdir(os.path.join(parent, name))
    ]
    found = [path for path in found if kind_of(path) == "files" or os.path.realpath(path) not in own]
    if not found and len(problems) == known:
        problems.append((word, "there is no picture, tar or Parquet file in this folder"))
    ordered = sorted(found, key=lambda path: path.split(os.sep))
    return [path for path in ordered if not align_results.is_overlay(path, True)]


def in_storage(url: str, problems: list[tuple[str, str]]) -> list[str]:
    """The URLs that one means: itself, all below a folder, or those that a pattern with `*` or `[...]` matches."""
    pattern = re.compile(r"[*\[]")  # a question mark begins a query
    if storage.scheme_of(url) in storage.OF_THE_WEB or (readable(url) and not pattern.search(url)):
        return [url]
    folder = url
    while pattern.search(folder):
        folder = folder.rpartition("/")[0]
    try:
        found = [path for path in storage.listed(folder) if readable(path)]
    except (OSError, ValueError) as error:
        problems.append((url, " ".join(str(error).split())))
        return []
    matching = found if folder == url else [path for path in found if fnmatch.fnmatchcase(path, url)]
    if not matching:
        problems.append((url, "there is no picture, tar or Parquet file at this URL"))
    return matching


def planned(inputs: Inputs, *, workers: int, column: str | None = None) -> Iterator[Unit]:
    """The units of a run: chunks of the pictures, then the tar shards, the row groups of Parquet files, and what is refused.

    Args:
        inputs: what was found.
        workers: processes that share the units.
        column: name of the column of pictures in Parquet files; None is found out.
    """
    size = min(MOST, max(FEWEST, -(-len(inputs.pictures) // (workers * SHARE))))
    for start in range(0, len(inputs.pictures), size):
        yield Unit(kind="files", paths=inputs.pictures[start : start + size])
    for path in inputs.tars:
        yield Unit(kind="tar", paths=[path])
    for path in inputs.parquets:
        try:
            for chosen, groups, first in parquet_source.divided(path, column, MOST):
                yield Unit(kind="parquet", paths=[path], column=chosen, groups=groups, first=first)
        except (ValueError, OSError) as error:
            yield Unit(kind="refused", paths=[path], reason=str(getattr(error, "strerror", None) or error))
    for word, reason in inputs.problems:
        yield Unit(kind="refused", paths=[word], reason=reason)
