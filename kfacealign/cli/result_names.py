"""Names of results that no two photographs of a run share."""

import os
import re
import unicodedata
import zlib
from collections import defaultdict
from collections.abc import Iterable, Sequence

LONGEST = 200  # bytes of a name; file systems take 255, and results add a suffix
NUMBERED = re.compile(r"(.+)_[1-9][0-9]*", re.DOTALL)  # x_2.pts is the second face of x


def result_names(below: Sequence[str], *, taken: Iterable[str] = ()) -> list[str]:
    """For each photograph the path of its results below their folder, without suffix.

    The name is the photograph's without its suffix: `a/x` of `a/x.jpg`. It keeps its suffix, `a/x.jpg`, if another photograph of
    that folder has the same name (upper and lower case do not count), or is called `x_1`, `x_2`, ..., as the files of its faces
    are. Names that are the same even so are numbered. What is longer than `LONGEST` bytes is cut, and ends in a checksum.

    Args:
        below: paths of the photographs below the folder that they have in common, all different.
        taken: names that belong to other files.

    Example:
        >>> result_names(["a/x.jpg", "a/y.jpg", "a/y.png"])
        ['a/x', 'a/y.jpg', 'a/y.png']
    """
    taken = {key(name) for name in taken}
    levels = [0] * len(below)
    names = [at_level(path, 0) for path in below]
    while crowded := conflicts(names, levels, taken):
        for place in crowded:
            levels[place] += 1
            names[place] = at_level(below[place], levels[place])
    return names


def conflicts(names: Sequence[str], levels: Sequence[int], taken: set[str]) -> set[int]:
    """Positions of the names that must give way: those without their suffix first, the later of others."""
    groups = defaultdict(list)
    for place, name in enumerate(names):
        groups[key(name)].append(place)
    crowded = {place for name in taken for place in groups.get(name, ())}
    for name, places in groups.items():
        if len(places) > 1:
            crowded.update([place for place in places if not levels[place]] or places[1:])
        numbered = NUMBERED.fullmatch(name)
        of_faces = groups.get(numbered[1], ()) if numbered else ()
        if of_faces:
            crowded.update([place for place in of_faces if not levels[place]] or places)
    return crowded


def at_level(path: str, level: int) -> str:
    """A photograph's name: 0 without its suffix, 1 with it, 2 and more with a number behind it."""
    folder, file = os.path.split(path)
    name = os.path.splitext(file)[0] if not level else file
    content = os.fsencode(name)
    if len(content) > LONGEST:
        name = f"{content[:LONGEST].decode('utf-8', 'ignore')}~{zlib.crc32(os.fsencode(file)):08x}"
    return os.path.join(folder, name if level < 2 else f"{name}-{level}")


def key(name: str) -> str:
    """What two names have in common that a file system may take for one."""
    return unicodedata.normalize("NFC", name).casefold()
