"""Points that are not annotated, and the marks that stand for them in files.

A point that is NaN in a file is not annotated. Some tools write a position in place of it, mostly (-1, -1) or (0, 0). Such marks
count only where they are named; points that are at the usual ones are warned of.
"""

import os
import warnings
from collections.abc import Sequence

import numpy as np

from kfacealign.data.readers.texts import plain

HELP = (
    "where files put points that are not annotated: -1 for (-1, -1), or --missing=X,Y; may be given several times. NaN is "
    "never annotated"
)
USUAL = ((-1.0, -1.0), (0.0, 0.0))


def mark(text: str) -> tuple[float, float]:
    """The mark that a text names: "-1" is (-1, -1), and "0,0" is (0, 0).

    Raises:
        ValueError: the text is neither a number nor two with a comma between.
    """
    words = text.split(",")
    if len(words) > 2 or not all(words) or not all(map(plain, words)):
        raise ValueError(f"{text!r} is neither a number nor two with a comma between")
    x, y = (words * 2)[:2]
    return float(x), float(y)


def known(
    landmarks: np.ndarray, *, missing: Sequence, offset: float, origins: Sequence[str | os.PathLike], strict: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Landmarks with NaN where none is annotated, and their weights.

    Args:
        landmarks: (N, K, 2) image coordinates; NaN is not annotated.
        missing: the marks, in the coordinates of the file: pairs, or single numbers, which stand for both coordinates.
        offset: what was added to the coordinates of the file.
        origins: N places, for the warning.
        strict: whether points at a usual mark that was not named raise; if not, they are warned of.

    Returns:
        landmarks (N, K, 2) float32, and weights (N, K) float32, which are 0 where a landmark is not annotated.

    Raises:
        ValueError: a mark is neither a number nor a pair of numbers. With `strict`, see above.
    """
    with np.errstate(over="ignore"):
        landmarks = np.array(landmarks, "float32")
    named = [_pair(mark) for mark in missing]
    for mark in named:
        landmarks[_at(landmarks, mark, offset)] = np.nan
    for mark in USUAL:
        there = _at(landmarks, mark, offset)
        if there.any():
            faces = np.flatnonzero(there.any(1))
            text = ",".join(f"{number:g}" for number in mark)
            message = (
                f"{origins[faces[0]]}: {int(there.sum()):,} points of {len(faces):,} faces are at ({text}), where many tools put "
                f"points that are not annotated; they are read as positions. If they are none: --missing={text}, in Python "
                f"missing=[({text})]"
            )
            if strict:
                raise ValueError(message)
            warnings.warn(message, stacklevel=3)
    return landmarks, (~np.isnan(landmarks).any(-1)).astype("float32")


def _pair(mark):
    try:
        pair = np.broadcast_to(np.asarray(mark, "float64"), (2,))
    except (TypeError, ValueError):
        pair = np.full(2, np.nan)
    if not np.isfinite(pair).all():
        raise ValueError(f"missing: {mark!r} marks no point, expected a number or a pair of numbers")
    return pair


def _at(landmarks, mark, offset):
    """(N, K) bool: the landmark is exactly at a position of the file."""
    return (landmarks == (np.asarray(mark) + offset).astype("float32")).all(-1)
