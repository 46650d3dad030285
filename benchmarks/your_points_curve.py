"""How many faces points of your own need: the error of recipes/your_points.py by the number of labelled faces.

    python benchmarks/your_points_curve.py --data-dir FRL189                 # every row, seed 0; goes on where it was stopped
    python benchmarks/your_points_curve.py --data-dir FRL189 --faces 5 20 --begin preset imagenet --seeds 0 1 2
    python benchmarks/your_points_curve.py --data-dir FRL189 --points 42     # brows, eyes and lips of 300W's points
    python benchmarks/your_points_curve.py --data-dir FRL189 --draw          # only prints the table and draws the picture

FRL189 is a folder of portraits with 189 points in .pts files, one portrait a person (Face Research Lab London Set). The same
22 people, drawn once, are the test of every row and in none of its trainings; the first 5, 10, 20, 50 or all 80 of the others
are the labelled faces, of which the recipe keeps some to stop by. Each row is what a user does: a folder, a scheme whose mirror
is found in the labelled faces, and the recipe with its own settings as a process of its own. The beginnings are the backbone of
the bundled preset, ImageNet's weights, and random ones.

The rows go to OUT/curve.csv as they come, with a line for each training; a row that is there is not trained again. Errors are in
percent of the distance between the outer corners of the eyes; minutes are those of the whole process, export and reports
included. OUT/curve_POINTS.svg has the curve, the mean of the seeds.
"""

import argparse
import csv
import json
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from rich.table import Table

import kfacealign as kfa
from kfacealign import mirrors
from kfacealign.console import make_console
from kfacealign.data.mean_shape import aligned, mean_shape
from kfacealign.data.readers.pts import read_pts, write_points
from kfacealign.files import replacing

RECIPE = Path(__file__).parents[1] / "recipes" / "your_points.py"
BEGINNINGS = {"preset": "pipnet_lite0_ibug68", "imagenet": "imagenet", "random": "none"}
COLORS = {"preset": "#1f5fbf", "imagenet": "#e07b00", "random": "#7f7f7f"}
TESTED = 22
COLUMNS = ("points", "begin", "faces", "seed", "nme", "epochs", "minutes", "processor_minutes")
KEY = COLUMNS[:4]
# Of the 189 points, counted from 0: the corners of the eyes, and the curves on which those of 300W lie.
CORNERS = (18, 22, 23, 27)
BROWS = (range(71, 77), range(77, 83))
EYES = (((18, 19, 20, 21, 22), (18, 28, 29, 30, 22)), ((23, 24, 25, 26, 27), (23, 31, 32, 33, 27)))
LIPS = (range(87, 94), (87, *range(104, 109), 93))
MOUTH = ((87, *range(94, 99), 93), (87, *range(99, 104), 93))


def resampled(curve, count):
    """`count` points (count, 2) at equal distances along a polyline (n, 2)."""
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(curve, axis=0), axis=1))])
    places = np.linspace(0, along[-1], count)
    return np.stack([np.interp(places, along, curve[:, axis]) for axis in (0, 1)], axis=1)


def as_ibug(points):
    """42 of 300W's points (brows 17-26, eyes 36-47, lips 48-67) from the 189 (189, 2)."""

    def curve(indices):
        line = points[list(indices)]
        return line if line[0, 0] <= line[-1, 0] else line[::-1]

    found = [resampled(curve(brow), 5) for brow in BROWS]
    for upper, lower in EYES:
        found += [resampled(curve(upper), 4), resampled(curve(lower), 4)[2:0:-1]]
    found += [curve(LIPS[0]), curve(LIPS[1])[-2:0:-1]]
    upper, lower = (curve(lip) for lip in MOUTH)
    ends = [0.8 * upper[place] + 0.2 * upper[beside] for place, beside in ((0, 1), (-1, -2))]
    return np.concatenate([*found, ends[:1], upper[2:5], ends[1:], lower[4:1:-1]])


def portraits(folder):
    """The portraits' paths, and of them the tested ones and the others in the order in which they are labelled."""
    images = sorted(path for path in Path(folder).iterdir() if path.with_suffix(".pts").exists() and path.suffix != ".pts")
    if len(images) <= TESTED:
        raise ValueError(f"{folder} has {len(images)} portraits with .pts files, more than {TESTED} are needed")
    order = np.random.default_rng(0).permutation(len(images))
    return [images[place] for place in order[:TESTED]], [images[place] for place in order[TESTED:]]


def write_cell(folder, parts, points):
    """Writes train and test folders and the scheme that the labelled faces tell; returns its file."""
    shutil.rmtree(folder, ignore_errors=True)
    for part, images in parts.items():
        (folder / part).mkdir(parents=True)
        for image in images:
            shutil.copy(image, folder / part)
            landmarks = read_pts(image.with_suffix(".pts"), num_points=189)
            write_points(folder / part / f"{image.stem}.pts", landmarks if points == 189 else as_ibug(landmarks))
    every = tuple(range(points))
    rest = {"regions": {"points": every}, "contours": (), "eye_corners": None, "pupils": None}
    blank = kfa.schemes.Scheme("frl", point_names=tuple(map(str, every)), mirror=every, **rest)
    faces = kfa.data.pts(folder / "train", scheme=blank, test_fraction=0).train
    shape = mean_shape([faces])
    mirror, _ = mirrors.by_shape(shape, faces=aligned([faces], shape))
    corners = sorted(CORNERS if points == 189 else (10, 13, 16, 19), key=lambda corner: shape[corner, 0])
    scheme = {
        "name": f"frl{points}",
        "points": points,
        "mirror": list(map(int, mirror)),
        "eye_corners": corners[:: len(corners) - 1],
    }
    path = folder / "points.json"
    path.write_text(json.dumps(scheme))
    return path


def train(arguments, begin, count, seed):
    """One row: writes the folder, runs the recipe, reads its report."""
    tested, others = portraits(arguments.data_dir)
    if count > len(others):
        raise ValueError(
            f"{count} labelled faces are asked for, {len(others)} are there beside the {len(tested)} that are tested"
        )
    out = Path(arguments.out) / f"{arguments.points}_{begin}_{count}_{seed}"
    shutil.rmtree(out, ignore_errors=True)
    scheme = write_cell(out / "faces", {"train": others[:count], "test": tested}, arguments.points)
    command = [sys.executable, RECIPE, "--data-dir", out / "faces", "--scheme", scheme, "--out", out / "run"]
    command += ["--backbone-weights", BEGINNINGS[begin], "--seed", seed, *arguments.recipe]
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    with open(out / "log.txt", "w") as log:
        subprocess.run(list(map(str, command)), check=True, stdout=log, stderr=subprocess.STDOUT)
    minutes, after = (time.perf_counter() - start) / 60, resource.getrusage(resource.RUSAGE_CHILDREN)
    work = (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / 60
    report = json.loads((out / "run" / "report.json").read_text())
    if report["normalizer"] != "inter_ocular":
        raise ValueError(f"{out} was measured by {report['normalizer']}")
    with open(out / "run" / "history.csv", newline="") as file:
        epochs = len(list(csv.DictReader(file)))
    values = (
        arguments.points,
        begin,
        count,
        seed,
        f"{report['subsets']['full']['nme']:.3f}",
        epochs,
        f"{minutes:.1f}",
        f"{work:.1f}",
    )
    return dict(zip(COLUMNS, map(str, values), strict=True))


def read_rows(path):
    """The rows that are done, each a dict of texts."""
    if not path.exists():
        return []
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def write_rows(path, rows):
    """Writes all rows at once."""
    with replacing(path) as temporary, open(temporary, "w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def means(rows, points):
    """(beginning, faces) -> the errors and the minutes of all seeds."""
    found = {}
    for row in rows:
        if int(row["points"]) == points:
            found.setdefault((row["begin"], int(row["faces"])), []).append((float(row["nme"]), float(row["minutes"])))
    return {key: np.array(found[key]) for key in sorted(found, key=lambda key: (list(BEGINNINGS).index(key[0]), key[1]))}


def show(rows, points, console):
    """Prints the table."""
    table = Table(title=f"{points} points, {TESTED} people tested")
    for column in ("begun with", "labelled faces", "seeds", "NME, % inter-ocular", "minutes"):
        table.add_column(column, justify="left" if column == "begun with" else "right")
    for (begin, count), values in means(rows, points).items():
        spread = f" ({values[:, 0].min():.2f} to {values[:, 0].max():.2f})" if len(values) > 1 else ""
        error, minutes = values.mean(0)
        table.add_row(begin, str(count), str(len(values)), f"{error:.2f}{spread}", f"{minutes:.1f}")
    console.print(table)


def draw(rows, points, path):
    """Draws the curve."""
    plt.rcParams.update({"svg.hashsalt": "kfacealign", "svg.fonttype": "none", "font.size": 9})
    figure, axes = plt.subplots(figsize=(5.2, 3.2))
    found = means(rows, points)
    for begin in BEGINNINGS:
        counts = [count for name, count in found if name == begin]
        if counts:
            errors = [found[begin, count][:, 0].mean() for count in counts]
            axes.plot(counts, errors, marker="o", markersize=4, color=COLORS[begin], label=begin)
    counts = sorted({count for _, count in found})
    axes.set(xscale="log", xlabel="labelled faces", ylabel="NME, % inter-ocular", ylim=(0, None))
    axes.set_xticks(counts, map(str, counts))
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend(title="backbone begins with", frameon=False)
    figure.savefig(path, bbox_inches="tight", facecolor="white", metadata={"Date": None})
    plt.close(figure)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", required=True, help="the portraits")
    parser.add_argument("--points", type=int, choices=(189, 42), default=189)
    parser.add_argument("--faces", type=int, nargs="+", default=[5, 10, 20, 50, 80], help="how many are labelled")
    parser.add_argument("--begin", nargs="+", choices=BEGINNINGS, default=list(BEGINNINGS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument(
        "--out", default="runs/your_points_curve", help="folder of the rows and of all runs (default %(default)s)"
    )
    parser.add_argument("--draw", action="store_true", help="train nothing: print and draw the rows that are there")
    parser.add_argument("recipe", nargs="*", help="further flags of the recipe, after --")
    arguments = parser.parse_args()
    console, path = make_console(), Path(arguments.out) / "curve.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = read_rows(path)
    cells = [(begin, count, seed) for seed in arguments.seeds for count in arguments.faces for begin in arguments.begin]
    for begin, count, seed in [] if arguments.draw else cells:
        key = tuple(map(str, (arguments.points, begin, count, seed)))
        if any(tuple(row[name] for name in KEY) == key for row in rows):
            continue
        row = train(arguments, begin, count, seed)
        rows = [*read_rows(path), row]
        write_rows(path, rows)
        console.print(", ".join(f"{name} {value}" for name, value in row.items()))
    show(rows, arguments.points, console)
    picture = path.with_name(f"curve_{arguments.points}.svg")
    draw(rows, arguments.points, picture)
    console.print(f"written: {path}, {picture}")


if __name__ == "__main__":
    main()
