"""Who is in which photograph, and splits of faces that no person is on both sides of."""

import re
from collections.abc import Sequence

import numpy as np

from kfacealign.data.faces import Faces

# What comes after the person in the name of a picture, which may have its suffix.
NUMBER = re.compile(r"(?:[^\w/\\]|_)*\d+(?:\.[A-Za-z]\w{1,3})?$")


def who(faces: Faces, pattern: str | None = None) -> list[str]:
    """Whose face each is, as far as it is known.

    Args:
        faces: the faces.
        pattern: regular expression that is looked for in the name of each face; what its first group matches, or all that it
            matches where it has no group, is the person. None takes the photograph for the person, so that the faces of one
            photograph stay together.

    Returns:
        A text for each face.

    Raises:
        ValueError: the pattern is none, or does not match the name of a face.
    """
    if pattern is None:
        return list(faces.images)
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ValueError(f"the pattern of people {pattern!r} is no regular expression: {error}") from None
    found = []
    for name in faces.names:
        match = compiled.search(name)
        person = match and match.group(min(1, compiled.groups))
        if not person:
            raise ValueError(f"the pattern of people {pattern!r} finds nobody in the name {name!r}")
        found.append(person)
    return found


def guessed(names: Sequence[str]) -> list[str]:
    """Who is in each picture, as far as its name tells where nobody says it.

    A name or path without the digits at its end, and what parts them from the rest, is taken for the person's: `Ann_Lee_03.jpg`
    and `Ann_Lee_04.jpg` show one, `03.jpg` and `04.jpg` show two.
    """
    found = [NUMBER.sub("", str(name)) for name in names]
    return [str(name) if person == "" or person[-1] in "/\\" else person for name, person in zip(names, found, strict=True)]


def held_out(people: Sequence[str], share: float, *, seed: int = 0) -> np.ndarray:
    """Which faces are held out: whole people, about a share of the faces.

    `numpy.random.default_rng(seed)` permutes the people, who are sorted first. In this order those are held out whose faces
    still fit into the share, which is rounded and at least one face; where nobody fits, it is whoever has the fewest faces.

    Args:
        people: whose face each is, see `who`.
        share: of the faces, above 0 and below 1.
        seed: of the order.

    Returns:
        (N,) bool; somebody is on either side.

    Raises:
        ValueError: the share is not between 0 and 1, or there is one person alone or none.
    """
    if not 0 < share < 1:
        raise ValueError(f"share is {share}, expected one above 0 and below 1")
    names, counts = np.unique(np.asarray(people, str), return_counts=True)
    if len(names) < 2:
        raise ValueError(f"{len(people)} faces of {len(names)} people cannot be split so that each side has somebody")
    order = np.random.default_rng(seed).permutation(len(names))
    wanted, chosen, total = max(1, round(share * len(people))), [], 0
    for place in order:
        if total + counts[place] <= wanted and len(chosen) < len(names) - 1:
            chosen.append(place)
            total += counts[place]
    if not chosen:
        chosen.append(min(order, key=lambda place: counts[place]))
    return np.isin(np.asarray(people, str), names[chosen])
