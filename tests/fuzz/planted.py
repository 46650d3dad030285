"""Targets with a fault of each kind, by which the harness is tested; each shows it only where its word is in the file."""

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from faults import Found
from target import Target

SOUND = b"".join(b"sound line %d\n" % number for number in range(20))


def make(root: Path) -> None:
    (root / "input.txt").write_bytes(SOUND)


def reads(act: Any) -> Any:
    """A call that does its harm where the file is no longer the sound one."""

    def call(root: Path, _: Sequence[str]) -> Any:
        content = (root / "input.txt").read_bytes()
        if content == SOUND:
            return None
        return act(root)

    return call


def raises(error: BaseException) -> Any:
    def act(root: Path) -> None:
        raise error

    return reads(act)


def finds(landmarks: list) -> Any:
    return reads(lambda root: SimpleNamespace(landmarks=np.array(landmarks, "float32")))


def odd_line(root: Path, _: Sequence[str]) -> None:
    """Stumbles over a line of the one kind, wherever it is; the smallest such file is that word."""
    if b"nan" in (root / "input.txt").read_bytes():
        raise KeyError("nan")


def names_the_file(root: Path) -> None:
    raise ValueError(f"{root / 'input.txt'}:1: not what it was")


def hangs(root: Path) -> None:
    while True:
        pass


def sleeps(root: Path) -> None:
    time.sleep(600)


def dies(root: Path) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def eats(root: Path) -> None:
    np.ones(2**25)  # 256 MiB


def asks_for_too_much(root: Path) -> None:
    try:
        np.ones(2**40)
    except MemoryError:
        raise ValueError(f"{root / 'input.txt'} is damaged") from None


def writes(root: Path) -> None:
    Path("CANARY").write_text("I was here")


def replaces(root: Path) -> None:
    raise Found("replaced", "x.pts is another")


CALLS = {
    "sound": reads(lambda root: SimpleNamespace(landmarks=np.array([[1.0, 2.0]]))),
    "refuses": reads(names_the_file),
    "absent": raises(ImportError("no module that reads this")),
    "raises": raises(KeyError("a key")),
    "exits": raises(SystemExit(3)),
    "unnamed": raises(ValueError("something is wrong")),
    "hangs": reads(hangs),
    "sleeps": reads(sleeps),
    "dies": reads(dies),
    "eats": reads(eats),
    "asks": reads(asks_for_too_much),
    "writes": reads(writes),
    "nan": finds([[[np.nan, 1.0]]]),
    "far": finds([[[2e6, 1.0]]]),
    "replaces": reads(replaces),
}
# What is inserted changes the file for certain.
TARGETS = {name: Target(make=make, call=call, mutators=lambda _: ("text_insert",)) for name, call in CALLS.items()}
TARGETS["lacking"] = Target(make=make, call=CALLS["raises"], needs=("a_module_that_is_nowhere",))
TARGETS["odd-line"] = Target(make=make, call=odd_line, mutators=lambda _: ("text_token",))
TARGETS["broken"] = Target(make=make, call=lambda root, _: names_the_file(root))
