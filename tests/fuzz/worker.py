"""A process that reads what it is told to, within limits of time and memory, and may die of it.

`python worker.py MODULE` takes one order a line from stdin, a JSON object, and answers with one line; MODULE holds `TARGETS`.
"""

import contextlib
import importlib
import json
import math
import os
import resource
import sys
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from faults import Found
from target import unsound

from kfacealign.console import shown

CANARY = "CANARY"
NO_MEMORY = ("Insufficient memory", "bad_alloc", "Unable to allocate")
ROOM = 4  # address space over the memory allowed: libraries reserve more than they use


def main() -> None:
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print is no answer
    warnings.simplefilter("ignore")
    targets = importlib.import_module(sys.argv[1]).TARGETS
    for line in sys.stdin:
        order = json.loads(line)
        target, root = targets[order["target"]], Path(order["root"])
        os.chdir(root)
        if order["do"] == "make":
            target.make(root)
            answer = {"state": "accepted"}
        else:
            answer = outcome(target, root, order["names"], seconds=order["seconds"], memory=order["memory"])
        os.chdir("/")
        answers.write(json.dumps(answer) + "\n")


def outcome(target: Any, root: Path, names: Sequence[str], *, seconds: float, memory: int) -> dict[str, str]:
    """What becomes of an input: `state` accepted, refused or fault; of a fault its `kind`, `where` and `text`."""
    before, held, began = listing(root), start_of_peak(), cpu()
    with limits(seconds, memory * ROOM):
        answer = called(target, root, names)
    spent, grown = cpu() - began, peak() - held
    changed = listing(root) ^ before
    if (root / CANARY).exists() or (changed and not target.writes):
        which = ", ".join(sorted({path for path, _, _ in changed})[:5])
        return fault("canary", "", f"files were written: {which}")
    if grown > memory and answer.get("kind") != "memory":
        return fault("memory", answer.get("where", ""), f"{grown / 2**20:,.0f} MiB more than before; then {answer}")
    if spent > seconds:
        return fault("time", answer.get("where", ""), f"{spent:.1f} s; then {answer}")
    return answer


def called(target: Any, root: Path, names: Sequence[str]) -> dict[str, str]:
    try:
        wrong = unsound(target.call(root, names))
    except Found as found:
        return fault(found.args[0], found.args[1][:26] if found.args[0] != "replaced" else "", found.args[1])
    except MemoryError as error:
        return fault("memory", where(error), told(error))
    except ImportError as error:
        return {"state": "refused", "text": told(error)}
    except (ValueError, OSError) as error:
        if out_of_memory(error):
            return fault("memory", where(error), told(error))
        if target.named and not named(error, root, names):
            return fault("unnamed", where(error), told(error))
        return {"state": "refused", "text": told(error)}
    except BaseException as error:
        if out_of_memory(error):
            return fault("memory", where(error), told(error))
        return fault("exception", f"{type(error).__name__} {where(error)}", told(error))
    return fault("values", "", wrong) if wrong else {"state": "accepted"}


def fault(kind: str, place: str, text: str) -> dict[str, str]:
    return {"state": "fault", "kind": kind, "where": place, "text": text[:600]}


def told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error!s:.500}"


def where(error: BaseException) -> str:
    """The innermost line of the package, not of a library, that the error came through."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "/kfacealign/" in frame.filename]
    if not frames:
        return ""
    return f"{frames[-1].filename.rpartition('/kfacealign/')[2]}:{frames[-1].lineno} {frames[-1].name}"


def named(error: BaseException, root: Path, names: Sequence[str]) -> bool:
    """Whether a refusal has the name of a changed file, or a path below the folder of the input."""
    text = " ".join([str(error), *(str(name) for name in (getattr(error, "filename", None),) if name)])
    wanted = [str(root), *(os.path.basename(name) for name in names)]
    return any(way in text for name in wanted for way in (name, shown(name)))


def out_of_memory(error: BaseException | None) -> bool:
    """Whether an error or what it came of is a lack of memory, as code may take that for damage of the file."""
    while error is not None:
        text = str(error)
        if isinstance(error, MemoryError) or any(
            way in text for way in ("Insufficient memory", "bad_alloc", "Unable to allocate")
        ):
            return True
        error = error.__cause__ or error.__context__
    return False


def listing(root: Path) -> set[tuple[str, int, int]]:
    """(path, size, time of change) of every file below a folder."""
    found = set()
    for folder, _, files in os.walk(root):
        for file in files:
            path = os.path.join(folder, file)
            facts = os.lstat(path)
            found.add((os.path.relpath(path, root), facts.st_size, facts.st_mtime_ns))
    return found


# === Limits ===


@contextlib.contextmanager
def limits(seconds: float, memory: int) -> Iterator[None]:
    """At most so many seconds of the CPU, beyond which the process dies by SIGXCPU, and so much more address space."""
    old = {kind: resource.getrlimit(kind) for kind in (resource.RLIMIT_CPU, resource.RLIMIT_AS)}
    resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(time.process_time() + seconds) + 1, old[resource.RLIMIT_CPU][1]))
    if size := status("VmSize"):
        resource.setrlimit(resource.RLIMIT_AS, (size + memory, old[resource.RLIMIT_AS][1]))
    try:
        yield
    finally:
        for kind, both in old.items():
            resource.setrlimit(kind, both)


def cpu() -> float:
    """Seconds of the CPU that the process and those that it waited for took."""
    return time.process_time() + sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])


def start_of_peak() -> int:
    """Bytes in use now, where the measure of `peak` begins anew."""
    with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    return status("VmRSS") or peak()


def peak() -> int:
    """The most bytes in use since `start_of_peak`, or since the process began where the system does not tell."""
    return status("VmHWM") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def status(key: str) -> int:
    """A figure of the process in bytes; 0 where the system has no /proc."""
    with contextlib.suppress(OSError), open("/proc/self/status") as file:
        for line in file:
            if line.startswith(f"{key}:"):
                return int(line.split()[1]) * 1024
    return 0


if __name__ == "__main__":
    main()
