"""Kills `kfacealign label` at random moments and looks at its rows: `python tests/crash/label_kills.py --kills 10`.

Pictures, a tar shard and a Parquet file are labelled once without a kill. Then a run is killed up to `CHAIN` times, each time
called again, and called to its end: its rows must be those of the undisturbed run, in the same order, none twice, none missing.
That is done until there were `--kills` kills. `--engine ray` kills Ray's driver.

The moments are drawn from `--seed`. With `--signal INT` or `TERM` the command must end by itself, with one line on stderr and the
status 130 or 143.
"""

import argparse
import io
import signal
import sys
import tarfile
import tempfile
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
from crash import Killer, Row, finish, leftovers
from pyarrow import parquet

from kfacealign.console import make_console
from kfacealign.data import SyntheticFaces

FACES = 12
CHAIN = 3  # kills of one run before it may go on to its end


def pictures(count: int) -> list[bytes]:
    """JPEG files: every fourth a face, every fiftieth damaged, others plain."""
    source = SyntheticFaces(7, size=192)
    faces = [source.render(number).image for number in range(FACES)]
    found = []
    for number in range(count):
        plain = np.full((96, 128, 3), 40 + number % 150, np.uint8)
        content = cv2.imencode(".jpg", faces[number % FACES] if number % 4 == 0 else plain)[1].tobytes()
        found.append(content[:200] if number % 50 == 49 else content)
    return found


def write_inputs(folder: Path, count: int) -> None:
    """A third each as files, in a tar shard and in a Parquet file."""
    folder.mkdir()
    contents = pictures(count)
    files, packed, rows = contents[::3], contents[1::3], contents[2::3]
    for number, content in enumerate(files):
        (folder / f"{number:05d}.jpg").write_bytes(content)
    with tarfile.open(folder / "shard.tar", "w") as file:
        for number, content in enumerate(packed):
            info = tarfile.TarInfo(f"{number:05d}.jpg")
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    parquet.write_table(pa.table({"image": rows}), folder / "rows.parquet", row_group_size=50)


def key(row: dict) -> tuple:
    return row["shard"], row["picture"], row["face"], row["path"], row["status"], row["reason"], row["landmarks"], row["scores"]


def rows_of(path: Path) -> list[tuple]:
    return [key(row) for row in parquet.read_table(path).to_pylist()]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10, help="default %(default)s")
    parser.add_argument("--pictures", type=int, default=400, help="default %(default)s")
    parser.add_argument("--signal", choices=("KILL", "INT", "TERM"), default="KILL", help="default %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (default %(default)s)")
    parser.add_argument("--engine", choices=("processes", "ray"), default="processes")
    arguments = parser.parse_args()
    console, row = make_console(), Row(name="label")
    killer = Killer(signal.Signals[f"SIG{arguments.signal}"], arguments.seed, row)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        write_inputs(folder / "pictures", arguments.pictures)

        def command(out):
            return [
                *("-m", "kfacealign", "label", str(folder / "pictures"), "--out", str(out)),
                *("--workers", "2", "--engine", arguments.engine),
            ]

        seconds = done(command(folder / "whole.parquet"))
        expected = rows_of(folder / "whole.parquet")
        console.print(f"undisturbed: {len(expected)} rows in {seconds:.1f} s")
        number = 0
        while row.kills < arguments.kills and number < 3 * arguments.kills:
            out = folder / f"killed_{number}.parquet"
            for _ in range(min(CHAIN, arguments.kills - row.kills)):
                if not killer(command(out), seconds):
                    break
            done(command(out))
            found = rows_of(out)
            if found != expected:
                twice, lost = len(found) - len(set(map(str, found))), len(set(map(str, expected)) - set(map(str, found)))
                row.problems.append(f"run {number}: {len(found)} rows, {twice} twice, {lost} missing or other")
            names = {f"killed_{number}.parquet", f"killed_{number}.ledger.jsonl"}
            here = {path.name for path in folder.iterdir() if path.name.startswith((f"killed_{number}", "."))}
            row.problems += [f"run {number}: {name} is left" for name in sorted(here - names) + leftovers(folder)]
            number += 1
    problems = "\n".join(row.problems) or "none"
    console.print(f"{row.kills} killed, {row.late} done before; {len(expected)} rows each; problems: {problems}")
    return int(bool(row.problems))


def done(command: list[str]) -> float:
    """Runs a command to its end; that some pictures are damaged is its status 1."""
    try:
        return finish(command, statuses=(0, 1))
    except RuntimeError as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    sys.exit(main())
