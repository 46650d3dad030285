"""Kills commands at random moments and looks at what is left: `python tests/crash/crash.py --kills 20`, or `make crash`.

    train hih, train pipnet   resumed to the end, history.csv and the weights are those of an undisturbed run, bit for bit
    align                     called again, every result is whole and that of an undisturbed call, nothing temporary is left
    pack                      the file is whole or absent, and the next call writes the same faces

The moments are drawn from `--seed`. A process that was done before its moment is counted apart, and another is killed in
its place. With `--signal INT` or `TERM` the processes are asked to stop: then each must end by
itself, with one line on stderr and the status 130 or 143, unless it was done before.
"""

import argparse
import contextlib
import dataclasses
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from rich.table import Table

from kfacealign.console import make_console
from kfacealign.data import packed, write_pts
from kfacealign.data.readers.pts import read_pts
from kfacealign.files import TEMPORARY

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
COMMANDS = ("hih", "pipnet", "align", "pack")
CHAIN = 4  # kills of one training before it may go on to its end
LIMIT = 1800  # seconds after which a process hangs
# One thread: sums of floats depend on who adds first.
CALM = {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1", "OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
BOX = "--box=8,8,88,88"


@dataclasses.dataclass(kw_only=True)
class Row:
    """What happened to one command."""

    name: str
    kills: int = 0  # processes that were killed before they were done
    late: int = 0  # processes that were done before
    problems: list[str] = dataclasses.field(default_factory=list)


class Killer:
    """Starts commands and kills them at random moments.

    Args:
        number: the signal.
        seed: of the moments.
        row: where it is counted.
    """

    def __init__(self, number: signal.Signals, seed: int, row: Row):
        self.number, self.row, self.rng = number, row, np.random.default_rng(seed)

    def __call__(self, command: list[str], seconds: float) -> bool:
        """Runs a command and kills it within `seconds`; returns whether it was killed before it was done."""
        # Python answers by itself what comes before a program has begun.
        moment = self.rng.uniform(0 if self.number == signal.SIGKILL else seconds / 4, seconds)
        process = begin(command)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(moment)
        early = process.poll() is None
        if early:
            os.killpg(process.pid, self.number)
        try:
            _, errors = process.communicate(timeout=LIMIT)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            _, errors = process.communicate()
            self.row.problems.append(f"it hung after a signal at {moment:.2f} s")
        self.row.kills += early
        self.row.late += not early
        what = f"{self.number.name} at {moment:.1f} s" if early else "done before"
        make_console(stderr=True).print(f"{self.row.name}: {what}, status {process.returncode}, {_brief(errors)}", soft_wrap=True)
        if early and self.number != signal.SIGKILL:
            self._check_end(process.returncode, errors, moment)
        return early

    def _check_end(self, status, errors, moment):
        lines = [line for line in errors.splitlines() if line.strip()]
        if status == 0:  # the signal came when everything was done
            self.row.kills -= 1
            self.row.late += 1
        elif status != 128 + self.number or len(lines) != 1:
            last = " | ".join([*lines[:1], *lines[-2:]])
            self.row.problems.append(f"at {moment:.2f} s: status {status}, {len(lines)} lines: {last}")


def _brief(errors):
    lines = [line for line in errors.splitlines() if line.strip()]
    return f"{len(lines)} lines on stderr{f', the last: {lines[-1]}' if lines else ''}"


def turns(row: Row, kill_count: int) -> Iterator[int]:
    """Counts from 0 until `kill_count` processes were killed."""
    turn = 0
    while row.kills < kill_count:
        yield turn
        turn += 1


def begin(command: list[str]) -> subprocess.Popen:
    """Starts a command of this package in a process group of its own, in which signals do what they do by default."""
    environment = {**os.environ, **CALM, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, *command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env=environment,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def finish(command: list[str], statuses: tuple[int, ...] = (0,)) -> float:
    """Runs a command to its end and returns its seconds; raises RuntimeError where it has another exit status."""
    start, process = time.monotonic(), begin(command)
    _, errors = process.communicate(timeout=LIMIT)
    if process.returncode not in statuses:
        raise RuntimeError(f"{' '.join(command)}: status {process.returncode}: {errors[-2000:]}")
    return time.monotonic() - start


# === Training ===


def train(method: str, folder: Path, kill_count: int, number: signal.Signals, seed: int) -> Row:
    """Kills a training until `kill_count` processes were killed, in chains of `CHAIN` kills that end in an undisturbed call."""
    row = Row(name=f"train {method}")
    killer = Killer(number, seed, row)
    script, data = str(HERE / "tiny_training.py"), str(folder / "faces")

    def command(out):
        return [script, method, "--data-dir", data, "--out", str(out), "--resume"]

    whole = folder / f"{method}_whole"
    seconds = finish(command(whole))
    expected = (whole / "history.csv").read_bytes(), weights(whole / "model.keras")
    chain = 0
    while row.kills < kill_count:
        out = folder / f"{method}_{chain}"
        for _ in range(min(CHAIN, kill_count - row.kills)):
            killer(command(out), seconds)
        finish(command(out))
        found = (out / "history.csv").read_bytes(), weights(out / "model.keras")
        for what, one, other in zip(("history.csv", "the weights"), expected, found, strict=True):
            if one != other:
                row.problems.append(f"chain {chain}: {what} differ from the undisturbed run's")
        row.problems += [f"chain {chain}: {name} is left" for name in leftovers(out)]
        if len(list(out.glob("checkpoint-*.keras"))) != 1:
            row.problems.append(f"chain {chain}: not one checkpoint is left")
        chain += 1
    return row


def weights(path: Path) -> str:
    """A hash of the weights in a `.keras` file; the archive around them has the time in it."""
    import h5py

    digest = hashlib.sha256()

    def add(name, item):
        if isinstance(item, h5py.Dataset):
            digest.update(name.encode() + np.ascontiguousarray(item[()]).tobytes())

    with zipfile.ZipFile(path) as archive, archive.open("model.weights.h5") as opened, h5py.File(opened, "r") as file:
        file.visititems(add)
    return digest.hexdigest()


def leftovers(folder: Path) -> list[str]:
    """Names of temporaries in a folder."""
    return sorted(path.name for path in folder.rglob("*") if TEMPORARY.fullmatch(path.name))


# === Photographs ===


def align(folder: Path, kill_count: int, number: signal.Signals, seed: int) -> Row:
    """Kills `kfacealign align` and calls it again until the results are there."""
    row = Row(name="align")
    killer = Killer(number, seed, row)
    photos = sorted(str(path) for path in (folder / "faces" / "train").glob("*.jpg"))
    known = subprocess.run([sys.executable, "-m", "kfacealign", "align", "--help"], capture_output=True, text=True, cwd=ROOT)
    overwrite = ["--overwrite"] if "--overwrite" in known.stdout else []

    def command(out):
        return ["-m", "kfacealign", "align", *photos, BOX, "--out", str(out), *overwrite]

    whole = folder / "aligned_whole"
    seconds = finish(command(whole))
    expected = contents(whole)
    for turn in turns(row, kill_count):
        out = folder / f"aligned_{turn}"
        killer(command(out), seconds)
        row.problems += [f"turn {turn}, after the kill: {problem}" for problem in broken(out)]
        finish(command(out))
        row.problems += [f"turn {turn}: {problem}" for problem in broken(out)]
        row.problems += [f"turn {turn}: {name} is left" for name in leftovers(out)]
        if contents(out) != expected:
            row.problems.append(f"turn {turn}: the results differ from those of an undisturbed call")
    return row


def contents(folder: Path) -> dict[str, bytes]:
    """Name -> bytes of the files in a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith(".")}


def broken(folder: Path) -> list[str]:
    """What is wrong with results: each file that is there must be whole."""
    found = []
    for path in sorted(folder.glob("*")) if folder.is_dir() else ():
        try:
            if path.suffix == ".json":
                json.loads(path.read_text())
            elif path.suffix == ".pts":
                read_pts(path, num_points=68)
            elif path.suffix == ".png" and not path.read_bytes().endswith(b"IEND\xaeB`\x82"):
                found.append(f"{path.name} is cut")
        except ValueError as error:
            found.append(str(error))
    return found


# === Packs ===


def pack(folder: Path, kill_count: int, number: signal.Signals, seed: int) -> Row:
    """Kills `kfacealign datasets pack`."""
    row = Row(name="pack")
    killer = Killer(number, seed, row)

    def command(out, images):
        return [
            "-m",
            "kfacealign",
            "datasets",
            "pack",
            "pts",
            str(folder / "faces"),
            str(out),
            "--size",
            "64",
            "--images",
            images,
        ]

    kinds = ("raw", "webp")
    seconds = {images: finish(command(folder / f"{images}.h5", images)) for images in kinds}
    expected = {images: faces_of(folder / f"{images}.h5") for images in kinds}
    for turn in turns(row, kill_count):
        out, images = folder / f"pack_{turn}.h5", kinds[turn % 2]
        killer(command(out, images), seconds[images])
        if out.exists() and faces_of(out) != expected[images]:
            row.problems.append(f"turn {turn}: the file is there, but not whole")
        finish(command(out, images))
        if faces_of(out) != expected[images]:
            row.problems.append(f"turn {turn}: called again, it writes something else")
    return row


def faces_of(path: Path) -> list[bytes]:
    """The pixels and landmarks of a pack."""
    read = packed(path)
    parts = (read.train, read.test)
    return [array.tobytes() for part in parts for array in (np.ascontiguousarray(part.pixels), part.landmarks)]


# === All of them ===


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, help="of each command (default %(default)s)")
    parser.add_argument("--signal", choices=("KILL", "INT", "TERM"), default="KILL", help="default %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (default %(default)s)")
    parser.add_argument("--only", nargs="+", choices=COMMANDS, default=COMMANDS)
    arguments = parser.parse_args()
    number, console = signal.Signals[f"SIG{arguments.signal}"], make_console()
    table = Table("command", "killed", "done before", "problems")
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        write_pts(folder / "faces", train=12, test=4, size=96, progress=False)
        given = (folder, arguments.kills, number, arguments.seed)
        for name in arguments.only:
            row = {"align": align, "pack": pack}[name](*given) if name in ("align", "pack") else train(name, *given)
            console.print(f"{row.name}: {row.kills} killed, {len(row.problems)} problems")
            table.add_row(row.name, str(row.kills), str(row.late), "\n".join(row.problems) or "none")
            failed |= bool(row.problems)
    console.print(table)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
