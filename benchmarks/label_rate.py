"""How many pictures `kfacealign label` labels in a second, beside its parts and beside `kfacealign align`.

    python benchmarks/label_rate.py PHOTOS --before ../kfacealign-0.1     # `align` is that of an older copy of the sources
    python benchmarks/label_rate.py PHOTOS --draw 300                     # first draws so many photographs into the folder

The first `--count` pictures of the folders are read, decoded, searched for faces and aligned by one process on one core, each
part measured apart: that is what the work costs. Then the commands do the same pictures, each on the cores that it is given:
`align` with its defaults, and `label` with one worker a core. Figures are of the runs whose clock is the median of `--runs`; the
commands take turns. CPU is user and system time of the command and its children. `start` is what a run of one picture for each
worker costs, so that the share without start is what many pictures would get. Where other programs use the cores, believe CPU
seconds alone.

The last line plans 100 machines of eight cores on paper: a million such pictures, of which listing, planning and handing over,
which one process does, are measured here, and the rest is divided.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from kfacealign.cli.labelling import results, units
from kfacealign.data import SyntheticFaces, image_files
from kfacealign.data.rendered import noise, scene
from kfacealign.files import IMAGE_SUFFIXES

HERE = Path(__file__).parents[1]
PARTS = ("read", "decode", "detect", "align")
ASKED_SHARE, ASKED_RATIO = 0.85, 5.0
MACHINES, CORES, PICTURES = 100, 8, 1_000_000
WIDTH, HEIGHT, MOST_FACES = 1280, 960, 3  # of a drawn photograph
# The parts, in a process of their own: seconds of the clock and of CPU of each, and how many faces there are.
BARE = """
import json, sys, time
import cv2
from kfacealign import FaceLandmarks, detect, photo
from kfacealign.data import image_files
cv2.setNumThreads(1)
landmarker = FaceLandmarks(threads=1)
spent = {}
def timed(name, work, *given):
    start = time.perf_counter(), time.process_time()
    found = work(*given)
    clock, cpu = spent.get(name, (0, 0))
    spent[name] = clock + time.perf_counter() - start[0], cpu + time.process_time() - start[1]
    return found
def content(path):
    with open(path, "rb") as file:
        return file.read()
faces = 0
for path in json.load(open(sys.argv[1])):
    image = timed("decode", image_files.decode, timed("read", content, path))
    found = timed("detect", lambda: detect.search(image, detector=landmarker.detector))
    timed("align", lambda: photo.align_photo(landmarker.model, image, found.boxes))
    faces += len(found)
print(json.dumps({"spent": spent, "faces": faces}))
"""


def run(folder, sources, options, cores):
    """(seconds of the clock, seconds of CPU, what was printed) of a Python process with these sources on so many cores."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    chosen = sorted(os.sched_getaffinity(0))[:cores]
    done = subprocess.run(
        [sys.executable, *options],
        cwd=folder,  # which `-m` searches before PYTHONPATH
        env={**os.environ, "PYTHONPATH": str(sources)},
        capture_output=True,
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, chosen),
    )
    clock, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode not in (0, 1):  # 1: a picture failed, or has no face
        raise SystemExit(f"{' '.join(options)}: {done.stderr.strip()[-2000:]}")
    return clock, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime, done.stdout


def label(folder, paths, workers, number):
    """The command that labels pictures, and the file that it writes."""
    listed, out = folder / f"list_{len(paths)}.txt", folder / f"faces_{len(paths)}_{workers}_{number}.parquet"
    listed.write_text("\n".join(paths))
    return ["-m", "kfacealign", "label", str(listed), "--out", str(out), "--workers", str(workers)], out


def median(runs):
    """The run, (clock, CPU, ...), whose clock is the median."""
    middle = statistics.median_low(clock for clock, *_ in runs)
    return next(one for one in runs if one[0] == middle)


def serial(folder, paths):
    """Seconds a picture of what one process does: listing and planning, and handing over."""
    start = time.process_time()
    found = units.find(paths, out=[folder / "nowhere"])
    count = len(list(units.planned(found, workers=2)))
    planning = time.process_time() - start
    command, rows = label(folder, paths, 2, "folder")
    out = rows.with_suffix("")
    run(folder, HERE, [str(out) if word == str(rows) else word for word in command], 2)
    shards = sorted(out.glob("shard-*.parquet"))
    assert len(shards) == count
    description = json.loads((out / "_run.json").read_text())["description"]
    start = time.process_time()
    results.write_ledger(shards, folder / "ledger.jsonl")
    results.write_joined(shards, folder / "joined.parquet", description)
    return planning / len(paths), (time.process_time() - start) / len(paths)


def draw(folder, count):
    """Writes so many JPEGs, each with one to three rendered faces before a textured background; the same ones every time."""
    folder.mkdir(parents=True, exist_ok=True)
    column = WIDTH // MOST_FACES
    for number in range(count):
        rng = np.random.default_rng([0, number])
        grain = cv2.cvtColor(noise.patch(rng, "pores", HEIGHT, WIDTH), cv2.COLOR_GRAY2RGB)
        image = cv2.addWeighted(scene.background(rng, WIDTH)[:HEIGHT], 1, grain, 0.5, -64)
        for place in rng.permutation(MOST_FACES)[: rng.integers(1, MOST_FACES + 1)]:
            side = int(rng.integers(160, column))
            top, left = rng.integers(HEIGHT - side), place * column + rng.integers(column - side)
            face = SyntheticFaces(1, size=side).render(MOST_FACES * number + int(place)).image
            image[top : top + side, left : left + side] = face
        image_files.write(folder / f"{number:05d}.jpg", image, quality=90)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", metavar="PHOTOS", type=Path)
    parser.add_argument("--before", metavar="DIR", type=Path, help="another copy of the sources, for `align`")
    parser.add_argument("--count", type=int, default=300, help="pictures (default %(default)s)")
    parser.add_argument("--runs", type=int, default=3, help="default %(default)s")
    parser.add_argument("--draw", type=int, metavar="N", help="draw N photographs into the first folder before that")
    arguments = parser.parse_args()
    if arguments.draw:
        draw(arguments.folders[0], arguments.draw)
    found = [path for folder in arguments.folders for path in sorted(folder.rglob("*")) if path.suffix.lower() in IMAGE_SUFFIXES]
    paths = [str(path.absolute()) for path in found[: arguments.count]]
    most, console = len(os.sched_getaffinity(0)), Console(width=140)
    before = (arguments.before or HERE).resolve()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        (folder / "paths.json").write_text(json.dumps(paths))
        (folder / "list.txt").write_text("\n".join(paths))
        bare, align, labels, starts = [], [], {1: [], 2: []}, {1: [], 2: []}
        for number in range(arguments.runs):
            bare.append(run(folder, HERE, ["-c", BARE, str(folder / "paths.json")], 1))
            command = ["-m", "kfacealign", "align", *paths, "--out", str(folder / f"aligned_{number}")]
            align.append(run(folder, before, command, 2))
            for workers in labels:
                command, out = label(folder, paths, workers, number)
                labels[workers].append((*run(folder, HERE, command, workers), out.stat().st_size))
                starts[workers].append(run(folder, HERE, label(folder, paths[:workers], workers, f"start_{number}")[0], workers))
        planning, handing = serial(folder, paths)
    report(
        console, paths, most, [json.loads(printed) for _, _, printed in bare], median(align), labels, starts, (planning, handing)
    )


def report(console, paths, most, bare, align, labels, starts, serially):
    """Prints the tables; `bare` holds what BARE printed, the others are as `main` has them."""
    count, faces = len(paths), bare[0]["faces"]
    middle = {part: median([tuple(one["spent"][part]) for one in bare]) for part in PARTS}
    sums = [sum(one[place] for one in middle.values()) for place in (0, 1)]
    table = Table("part, one core", "ms a picture (clock)", "ms a picture (CPU)", title=f"{count} pictures, {faces} faces")
    for part, (clock, cpu) in [*middle.items(), ("sum", sums)]:
        table.add_row(part, f"{1e3 * clock / count:.2f}", f"{1e3 * cpu / count:.2f}")
    console.print(table)
    headings = ("command", "cores", "clock", "CPU", "pictures/s", "by CPU", "of parts", "without start", "to align", "by CPU")
    title = "seconds; pictures a second, a core by CPU; share of the sum of parts by CPU; times as fast as align by clock, CPU"
    table = Table(*headings, title=title, title_justify="left")
    rows = {"align": (2, *align[:2], 0, 0)}
    for workers, runs in labels.items():
        start = median(starts[workers])
        rows[f"label, {workers} worker{'s' * (workers > 1)}"] = (workers, *median(runs)[:2], start[0], start[1])
    shares = {}
    for name, (cores, clock, cpu, _, start_cpu) in rows.items():
        shares[name] = sums[1] * (1 - cores * bool(start_cpu) / count) / (cpu - start_cpu)
        used = 1 if name == "align" else cores  # align keeps one core busy
        figures = (clock, cpu, count / clock, count / cpu, sums[1] / cpu, shares[name], align[0] / clock, align[1] / (cpu / used))
        table.add_row(name, str(cores), *(f"{value:.2f}" for value in figures))
    console.print(table)
    _, clock, cpu, _, start_cpu = rows["label, 2 workers"]
    told = ", ".join(f"{name} {share:.2f}" for name, share in shares.items())
    console.print(f"asked: {ASKED_SHARE} of the sum of its parts (CPU, without start): {told}")
    console.print(
        f"asked: {ASKED_RATIO} times align on two cores: {align[0] / clock:.2f} by the clock, {2 * align[1] / cpu:.2f} by CPU"
    )
    console.print(f"bytes a face: {labels[2][0][3] / max(faces, 1):.0f} in {labels[2][0][3]:,} bytes of Parquet")
    console.print(f"two workers for one: {rows['label, 1 worker'][1] / clock:.2f} times as fast by the clock; {most} cores here")
    work = (cpu - start_cpu) / count * PICTURES
    alone = [PICTURES * seconds for seconds in serially]
    hours = (work / (MACHINES * CORES) + start_cpu / 2 + sum(alone)) / 3600
    console.print(
        f"on paper, {PICTURES:,} such pictures on {MACHINES} machines of {CORES} such cores: {work / 3600:.1f} hours of one "
        f"core, divided {work / (MACHINES * CORES):.0f} s; by one process {alone[0]:.0f} s of planning and {alone[1]:.0f} s of "
        f"handing over; {60 * hours:.1f} minutes in all; on one machine of two cores {work / 2 / 3600:.1f} hours"
    )


if __name__ == "__main__":
    main()
