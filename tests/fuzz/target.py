"""What a target is, and what its call may return."""

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mutations
import numpy as np

FARTHEST = 1e6  # no landmark lies farther off, in pixels


@dataclass(frozen=True, kw_only=True)
class Target:
    """A piece of code that reads files.

    Attributes:
        make: writes the sound input to an empty folder.
        call: reads it, see the module's text.
        needs: modules without which the target is skipped.
        share: of the number of mutations asked for, so many are made; dear targets have less.
        named: whether a refusal must name the file; where the caller's message names it, as the docstring says, it need not.
        writes: whether the call may change files.
        mutators: path -> names of the mutators for that file.
        sound: what becomes of the sound input, "accepted" or "refused".
    """

    make: Callable[[Path], None]
    call: Callable[[Path, Sequence[str]], Any]
    needs: tuple[str, ...] = ()
    share: float = 1.0
    named: bool = True
    writes: bool = False
    mutators: Callable[[str], Sequence[str]] = mutations.suited
    sound: str = "accepted"


def laid(name: str) -> Callable[[Path], None]:
    """The function of `layouts` of this name; the module is imported when it makes something."""
    return lambda root: getattr(importlib.import_module("layouts"), name)(root)


def only(*names: str) -> Callable[[str], Sequence[str]]:
    """The mutators of the named files; all others stay as they are."""
    return lambda path: mutations.suited(path) if path in names else ()


def filled(path: str) -> Sequence[str]:
    """The mutators of annotations; photographs are empty files, which stay."""
    return () if path.endswith((".jpg", ".png")) else mutations.suited(path)


def unsound(value: Any) -> str | None:
    """What is wrong with the numbers of something that was read, or None."""
    if hasattr(value, "train") and hasattr(value, "test"):
        return unsound(value.train) or unsound(value.test)
    if isinstance(value, list | tuple):
        return next(filter(None, map(unsound, value)), None)
    faces = getattr(value, "faces", value)
    if hasattr(faces, "landmarks"):
        annotated = np.asarray(getattr(faces, "weights", np.ones(faces.landmarks.shape[:-1]))) > 0
        for name in ("landmarks", "boxes"):
            array = getattr(faces, name, None)
            array = None if array is None else np.asarray(array)[annotated] if name == "landmarks" else np.asarray(array)
            if array is not None and not (np.abs(array) <= FARTHEST).all():
                worst = array.ravel()[np.argmax(np.where(np.isnan(array), np.inf, np.abs(array)))]
                return f"{name} with a coordinate of {worst}"
    return None


def every(calls: Sequence[Callable[[], Any]]) -> None:
    """Makes every call, then raises the first refusal, if there is one."""
    refusals = []
    for call in calls:
        try:
            call()
        except (ValueError, OSError) as error:
            refusals.append(error)
    if refusals:
        raise refusals[0]
