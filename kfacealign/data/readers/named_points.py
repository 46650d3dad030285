"""The scheme of points that files name, and which point of the scheme each of theirs is."""

import os
import re
import warnings
from collections.abc import Sequence

import numpy as np

from kfacealign import mirrors, schemes
from kfacealign.data.readers.texts import shown
from kfacealign.landmark_scheme import LONGEST, MOST_LINES, MOST_POINTS

WORD = re.compile(r"[a-z]+")
# A word that a point's name has -> the region of the point.
REGIONS = {
    **dict.fromkeys(("brow", "brows", "eyebrow", "eyebrows"), "brows"),
    **dict.fromkeys(("eye", "eyes", "pupil", "iris", "eyelid"), "eyes"),
    **dict.fromkeys(("nose", "nostril", "bridge"), "nose"),
    **dict.fromkeys(("mouth", "lip", "lips", "teeth"), "mouth"),
}


def scheme_of(
    where: str | os.PathLike,
    names: Sequence[str],
    *,
    scheme: str | schemes.Scheme | None = None,
    lines: Sequence[tuple[int, int]] = (),
    mirror: Sequence[int] | None = None,
) -> tuple[schemes.Scheme, np.ndarray]:
    """The scheme of points that a file names.

    A scheme that is given counts where it has as many points. Otherwise it is the one of this package whose points have these
    names; where the names are only numbers, the one with so many points; and else a scheme of these names. The mirror image of a
    point of such a scheme is the point whose name has "left" for "right" or the other way round.

    Args:
        where: the file, for messages.
        names: K names, in the order of the file; empty ones and numbers name nothing.
        scheme: the scheme that the user names, or None.
        lines: pairs of points that are joined by a line, for a scheme of these names.
        mirror: K points that take the places of the file's points in a mirror, for a scheme of these names.

    Returns:
        The `Scheme`, and for each of its K points its position among the names, (K,) int.

    Raises:
        ValueError: a name stands twice, there is no point or there are too many, or the names are numbers and no scheme has so
            many points.
    """
    names = [str(name) for name in names]
    if not 0 < len(names) <= MOST_POINTS:
        raise ValueError(f"{where}: {len(names):,} points in a face, expected 1 to {MOST_POINTS:,}")
    seen = set()
    for name in names:
        if name in seen:
            raise ValueError(f"{where}: two points are called {shown(name)}")
        if not 0 < len(name) <= LONGEST or not name.isprintable() or name != name.strip():
            raise ValueError(f"{where}: a point is called {shown(name)}, expected 1 to {LONGEST} printable characters")
        seen.add(name)
    given = None if scheme is None else schemes.get(scheme)
    if given is not None and given.num_points == len(names):
        return given, _order(names, given)
    for known in schemes.SCHEMES.values():
        if seen == set(known.point_names):
            return known, _order(names, known)
    if anonymous(names):
        return by_count(where, len(names), given), np.arange(len(names))
    return _own(where, names, lines, mirror), np.arange(len(names))


def by_count(where: str | os.PathLike, count: int, scheme: schemes.Scheme | None) -> schemes.Scheme:
    """The scheme of so many points, the given one or one of this package.

    Raises:
        ValueError: there is none; the message says where the points are.
    """
    for known in (scheme, *schemes.SCHEMES.values()):
        if known is not None and known.num_points == count:
            return known
    wanted = "" if scheme is None else f", {scheme.name} has {scheme.num_points}"
    raise ValueError(f"{where}: faces of {count} points without names{wanted}: no scheme has so many; name one with --scheme")


def anonymous(names: Sequence[str]) -> bool:
    """Whether names are only numbers, with the same word before each or none."""
    parts = [re.fullmatch(r"(\D*)(\d*)", name) for name in names]
    return all(parts) and len({part[1] for part in parts}) == 1


def natural(name: str) -> tuple:
    """What to sort names by so that `p2` comes before `p10`."""
    return tuple((int(part), "") if part.isdigit() and part.isascii() else (-1, part) for part in re.split(r"(\d{1,9})", name))


def _order(names, scheme):
    """The position of each point of a scheme among names, which is the names' own where they are others."""
    places = {name: place for place, name in enumerate(names)}
    if set(scheme.point_names) != places.keys():
        return np.arange(len(names))
    return np.array([places[name] for name in scheme.point_names])


def _own(where, names, lines, mirror):
    """A scheme of these names."""
    if mirror is None:
        mirror, lonely = _mirror(names)
        if lonely:
            warnings.warn(
                f"{where}: which points change places in a mirror is told by 'left' and 'right' in their names; "
                f"{lonely} of {len(names)} points have neither a side nor a counterpart and stay in their places. If they do "
                "not: name a --scheme",
                stacklevel=5,
            )
    regions = {}
    for point, name in enumerate(names):
        words = [REGIONS[word] for word in WORD.findall(name.lower()) if word in REGIONS]
        regions.setdefault(words[0] if words else "contour", []).append(point)
    lines = [line for line in lines if line[0] != line[1]]
    contours = (schemes.Contour(f"line_{number}", pair) for number, pair in enumerate(lines[:MOST_LINES]))
    try:
        return schemes.Scheme(
            f"points{len(names)}",
            point_names=tuple(names),
            mirror=tuple(int(point) for point in mirror),
            regions={region: tuple(points) for region, points in regions.items()},
            contours=tuple(contours),
            eye_corners=None,
            pupils=None,
        )
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def _mirror(names):
    """The mirror permutation that the names tell, and how many points have a side but no counterpart, or all if none has one."""
    places = {name: place for place, name in enumerate(names)}
    twins = [mirrors.other_side(name) for name in names]
    mirror = [places.get(twin, place) for place, twin in enumerate(twins)]
    lonely = sum(twin not in places for twin in twins)
    return mirror, (len(names) if twins == names else lonely)
