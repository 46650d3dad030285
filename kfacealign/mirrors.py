"""What points become in a mirror, found from their names or from the mean shape of faces."""

import re
from collections.abc import Sequence

import numpy as np

from kfacealign.landmark_scheme import SchemeError

# Words of a name: `leftEye_2`, `left eye 2` and `L-eye-2` are three words each. What is between them is kept.
WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[^A-Za-z]+|[A-Z]")
SIDES = {"left": "right", "right": "left", "l": "r", "r": "l"}
FAR = 0.04  # of the shape's longer side: a point that lies farther from where its mirror image should be is looked at
ROUNDS = 10
ANGLES = np.array([0, 5, -5, 10, -10, 15, -15, 20, -20, 25, -25, 30, -30])  # degrees of the axis from upright
MANY = 400  # points above which only the upright axis is tried


def other_side(name: str) -> str:
    """The name with left and right, or l and r where they are words of their own, exchanged."""
    words = WORDS.findall(name)
    return "".join(_like(word, SIDES[word.lower()]) if word.lower() in SIDES else word for word in words)


def by_names(names: Sequence[str]) -> tuple[int, ...]:
    """The mirror that names tell: "left_eye" and "right_eye" change places, a name without a side stays.

    Raises:
        SchemeError: a name has no counterpart, or none has a side.
    """
    places = {name: place for place, name in enumerate(names)}
    mirror = []
    for place, name in enumerate(names):
        twin = other_side(name)
        if twin not in places:
            raise SchemeError(
                "point_names", f"point {place}, {name!r}, has no counterpart {twin!r}: add mirror, what each point becomes"
            )
        mirror.append(places[twin])
    if mirror == list(range(len(names))):
        raise SchemeError(
            "mirror",
            "mirror is missing, and no name says left or right: add what each point becomes in a mirror; kfacealign datasets "
            "scheme finds it in the faces",
        )
    return tuple(mirror)


def by_shape(shape: np.ndarray, *, faces: np.ndarray | None = None) -> tuple[tuple[int, ...], np.ndarray]:
    """The mirror that a mean shape tells: points are paired so that the shape is most like its mirror image.

    Axes that are turned by up to 30 degrees are tried. From the one that fits best, axis and pairs are found from each other by
    turns. In a mean shape whose mouth is closed, a point of the upper lip lies where one of the lower lip does. Faces tell them
    apart: points that belong together move together.

    Args:
        shape: (K, 2), in any unit, the eyes above the mouth.
        faces: (N, K, 2), faces that were moved onto the shape; None does without.

    Returns:
        The mirror, and for each point the distance (K,) between the mirror image of the shape and where its counterpart
        lies, as a share of the shape's longer side.
    """
    shape = np.asarray(shape, np.float64)
    turns = np.exp(2j * np.deg2rad(ANGLES if len(shape) <= MANY else ANGLES[:1]))
    mirror, _ = min((_best(shape, _reflected(shape, -turn)) for turn in turns), key=lambda found: found[1])
    for _ in range(ROUNDS):
        before = mirror
        mirror, _ = _best(shape, _mirrored(shape, mirror))
        if mirror == before:
            break
    if faces is not None and len(faces):
        mirror = _together(shape, mirror, faces)
    return mirror, distances(shape, mirror)


def distances(shape: np.ndarray, mirror: Sequence[int]) -> np.ndarray:
    """(K,) distances between a shape and its mirror image with the points so exchanged, as shares of its longer side."""
    shape = np.asarray(shape, np.float64)
    apart = np.linalg.norm(_mirrored(shape, mirror) - shape[list(mirror)], axis=-1)
    return apart / max(np.ptp(shape, axis=0).max(), 1e-12)


def doubtful(shape: np.ndarray, mirror: Sequence[int]) -> list[int]:
    """The points that a mirror takes far from where the mean shape has their counterparts, where other pairs would fit well.

    Args:
        shape: (K, 2), mean shape of faces.
        mirror: K indices.
    """
    best, apart = by_shape(shape)
    found = distances(shape, mirror)
    return [point for point in range(len(mirror)) if mirror[point] != best[point] and found[point] > max(FAR, 2 * apart[point])]


def _like(word, other):
    """The other word in capitals or not as the word is."""
    if word.isupper():
        return other.upper()
    return other.capitalize() if word[0].isupper() else other


def _best(shape, image):
    """The mirror that takes the points of a shape nearest to their places in its mirror image, and the sum of the squares."""
    from scipy.optimize import linear_sum_assignment  # slow to import, and every command imports this module

    costs = ((image[:, None] - shape[None]) ** 2).sum(-1)
    mirror = _paired(linear_sum_assignment(costs)[1], costs)
    return mirror, costs[np.arange(len(shape)), mirror].sum()


def _together(shape, mirror, faces):
    """The mirror that takes the points of all faces, and not of their mean alone, nearest to their places."""
    from scipy.optimize import linear_sum_assignment

    places = (np.asarray(faces, np.float64) - shape.mean(0)) @ [1, 1j]
    # The mean over the faces of |turn conj(p_i) - p_j|^2, by its three terms.
    squares = (np.abs(places) ** 2).mean(0)
    products = (_turn(shape, mirror) * (places.conj().T @ places.conj())).real / len(places)
    costs = squares[:, None] + squares[None] - 2 * products
    return _paired(linear_sum_assignment(costs)[1], costs)


def _turn(shape, mirror):
    """exp(2ia) of the axis a about which the shape is nearest to its points as `mirror` exchanges them."""
    centred = (shape - shape.mean(0)) @ [1, 1j]
    turn = (centred[list(mirror)] * centred).sum()
    return turn / abs(turn) if abs(turn) > 0 else -1


def _mirrored(shape, mirror):
    """The shape reflected so that it is nearest to its points as `mirror` exchanges them."""
    return _reflected(shape, _turn(shape, mirror))


def _reflected(shape, turn):
    """The shape reflected about an axis through its mean; one at the angle a takes z to exp(2ia) conj(z), `turn` is exp(2ia)."""
    centre = shape.mean(0)
    image = turn * ((shape - centre) @ [1, 1j]).conj()
    return np.stack([image.real, image.imag], -1) + centre


def _paired(order, costs):
    """A permutation as one that is its own inverse: of each of its circles, every second step is kept."""
    mirror, done = list(range(len(order))), set()
    for start in range(len(order)):
        circle = []
        while start not in done:
            done.add(start)
            circle.append(start)
            start = int(order[start])
        ways = [_steps(circle, first, len(circle) % 2) for first in range(len(circle))]
        for one, other in min(ways, key=lambda pairs: sum(costs[pair] for pair in pairs), default=()):
            mirror[one], mirror[other] = other, one
    return tuple(mirror)


def _steps(circle, first, alone):
    """The pairs of a circle from a place on; with `alone`, the point at that place stays for itself."""
    turned = circle[first:] + circle[:first]
    pairs = [(turned[0], turned[0])] * alone
    rest = turned[alone:]
    return pairs + list(zip(rest[::2], rest[1::2], strict=True))
