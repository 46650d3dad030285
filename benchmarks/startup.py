"""How long the command line takes to answer, beside another copy of the sources.

    python benchmarks/startup.py PHOTO
    python benchmarks/startup.py PHOTO --before ../kfacealign-0.1     # the same, by an older copy of the sources

Seconds of CPU (user and system, of the process and its children) and of the clock, from the start of `python -m kfacealign`
to its end: `--help`, and `align PHOTO` with the bundled model to the written results. The copies take turns, so that
whatever else the machine does falls on both; figures are medians. The last column is the ratio to the first row of the
same command.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parents[1]
# What stands for `python -m kfacealign`, and tells in the end what was imported.
WATCHED = """
import runpy, sys
try:
    runpy.run_module("kfacealign", run_name="__main__")
except SystemExit as stop:
    assert not stop.code, stop.code
print()
print(*{name.partition(".")[0] for name in sys.modules})
"""
HEAVY = ("keras", "tensorflow", "jax", "torch", "matplotlib", "scipy", "h5py")


def run(sources, options):
    """What a Python process with these sources printed.

    Raises:
        SystemExit: it failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "PYTHONPATH": str(sources)}
        result = subprocess.run([sys.executable, *options], cwd=folder, env=environment, capture_output=True, text=True)
    if result.returncode:
        raise SystemExit(f"{' '.join(options)} with {sources}: {result.stderr.strip()}")
    return result.stdout


def measured(sources, command):
    """Seconds of CPU and of the clock of one command by a copy of the sources."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    run(sources, ["-m", "kfacealign", *command])
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime, seconds


def heavy_imports(sources, command):
    """The packages of `HEAVY` that a command has imported when it ends."""
    printed = run(sources, ["-c", WATCHED, *command]).splitlines()[-1]
    return [name for name in HEAVY if name in printed.split()]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photo", metavar="PHOTO", type=lambda path: str(Path(path).resolve()))
    parser.add_argument("--before", metavar="DIR", type=Path, help="another copy of the sources")
    parser.add_argument("--runs", type=int, default=5, help="of each command (default %(default)s)")
    arguments = parser.parse_args()
    copies = [arguments.before.resolve(), HERE] if arguments.before else [HERE]
    table = Table(title=f"medians of {arguments.runs} runs, {os.cpu_count()} cores", title_justify="left")
    for heading in ("command", "sources", "CPU, s", "clock, s", "clock, ratio", "heavy imports"):
        table.add_column(heading)
    for command in (["--help"], ["align", arguments.photo]):
        taken = {copy: [] for copy in copies}
        for _ in range(arguments.runs + 1):  # the first is not counted: it fills the caches
            for copy, times in taken.items():
                times.append(measured(copy, command))
        first = None
        for copy, times in taken.items():
            cpu, clock = (statistics.median(values) for values in zip(*times[1:], strict=True))
            first = first or clock
            heavy = ", ".join(heavy_imports(copy, command)) or "none"
            name = "here" if copy == HERE else copy.name
            table.add_row(command[0], name, f"{cpu:.2f}", f"{clock:.2f}", f"{clock / first:.2f}", heavy)
    Console().print(table)


if __name__ == "__main__":
    main()
