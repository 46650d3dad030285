"""`kfacealign compare`: runs on the same faces, face by face."""

import argparse
import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.table import Column, Table

from kfacealign import evaluation
from kfacealign.cli.arguments import count, positive
from kfacealign.console import make_console, shown
from kfacealign.files import replacing
from kfacealign.metrics.distribution import auc, ced

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from kfacealign.evaluation.comparison import Comparison, Run

CHANGED = 6  # faces that are shown of those that got better, and of those that got worse
SIDE = 192  # pixels of a face in the picture


DESCRIPTION = (
    "Compares the first run with each of the others on the same faces: the mean difference of their errors with a bootstrap "
    "confidence interval, a sign test, and the faces that changed most. Writes compare.json, ced.png and, where the runs "
    "have predictions.npz and the photographs can be read, a picture of those faces."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("reports", nargs="+", metavar="REPORT", help="report.json of a run, or its folder; at least two")
    parser.add_argument(
        "--resamples", type=count, default=10_000, metavar="N", help="resamples of the bootstrap (default %(default)s)"
    )
    parser.add_argument(
        "--confidence", type=positive, default=95.0, metavar="PERCENT", help="of the interval (default %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the resamples (default %(default)s)")
    parser.add_argument("--out", default="comparison", metavar="DIR", help="directory of the results (default %(default)s)")


def run(arguments: argparse.Namespace) -> int:
    console = make_console()
    runs = [evaluation.comparison.read_run(path) for path in arguments.reports]
    if len(runs) < 2:
        raise ValueError("one report is not enough: give two or more")
    names = evaluation.comparison.labels(runs)
    orders = [evaluation.comparison.pair(runs[0], other) for other in runs]
    errors = [made.errors[order] for made, order in zip(runs, orders, strict=True)]
    out = Path(arguments.out)
    out.mkdir(parents=True, exist_ok=True)
    written, results = [], {}
    for place in range(1, len(runs)):
        options = {name: getattr(arguments, name) for name in ("resamples", "confidence", "seed")}
        rows = compared(errors[0], errors[place], {**runs[0].subsets, **_moved(runs[place], orders[place])}, options)
        console.print(table(rows, names[0], names[place], arguments.confidence))
        changes = errors[place] - errors[0]
        groups = dict(zip(("better", "worse"), evaluation.comparison.most_changed(changes, CHANGED), strict=True))
        console.print(changed_table(groups, runs[0].names, errors[0], errors[place], names[place]))
        results[names[place]] = {
            "subsets": {name: row and dataclasses.asdict(row) for name, row in rows.items()},
            "changed": {
                group: [_face(runs[0].names[face], errors[0][face], errors[place][face]) for face in faces]
                for group, faces in groups.items()
            },
        }
        path = out / ("changed.png" if len(runs) == 2 else f"changed_{place}.png")
        problem = draw_changed(path, runs[0], runs[place], orders[place], groups, (names[0], names[place]))
        if problem:
            console.print(f"no picture of the faces that changed: {shown(problem)}", style="yellow", soft_wrap=True)
        else:
            written.append(path)
    written += [
        write(out / "compare.json", arguments, runs[0], names, results),
        evaluation.plots.write_figure(curves(names, errors, runs), out / "ced.png"),
    ]
    console.print("written:")
    for path in written:
        console.print(f"  {shown(path)}", soft_wrap=True)
    return 0


def compared(
    first: np.ndarray, second: np.ndarray, subsets: Mapping[str, np.ndarray], options: dict[str, Any]
) -> "dict[str, Comparison | None]":
    """The comparisons of all faces ("full") and of each subset.

    Args:
        first: errors of the first run, one for each face.
        second: errors of the other run on the same faces.
        subsets: name -> positions.
        options: further arguments of `evaluation.comparison.compare`.

    Returns:
        Name -> `Comparison`, None where a subset has no face to compare.
    """
    made = {"full": evaluation.comparison.compare(first, second, **options)}
    return {
        **made,
        **{name: evaluation.comparison.compare(first[where], second[where], **options) for name, where in subsets.items()},
    }


def table(rows: "Mapping[str, Comparison | None]", first: str, second: str, confidence: float) -> Table:
    """The comparisons by subset as a table of 80 columns.

    Args:
        rows: what `compared` returned.
        first: name of the first run.
        second: name of the other run.
        confidence: of the interval, in percent.
    """
    headings = ("faces", "first", "second", "change", f"{confidence:g} % interval", "better", "worse", "p")
    columns = (Column(name, justify="right", no_wrap=True) for name in headings)
    made = Table(Column("subset", no_wrap=True), *columns, box=None, padding=(0, 1, 0, 0))
    made.title = f"first: {shown(first)}, second: {shown(second)}; NME in percent, p of the sign test"
    for name, row in rows.items():
        if row is None:
            made.add_row(shown(name), "0")
            continue
        interval = f"{row.low:+.3f} {row.high:+.3f}"
        figures = (f"{row.first:.3f}", f"{row.second:.3f}", f"{row.difference:+.3f}", interval)
        made.add_row(shown(name), f"{row.faces:,}", *figures, str(row.better), str(row.worse), f"{row.p_value:.1g}")
    return made


def changed_table(
    groups: Mapping[str, Sequence[int]], names: Sequence[str], first: np.ndarray, second: np.ndarray, label: str
) -> Table:
    """The faces whose errors changed most as a table.

    Args:
        groups: "better" and "worse" -> positions of faces.
        names: names of all faces.
        first: errors of the first run.
        second: errors of the other run.
        label: name of the other run.
    """
    made = Table("", "face", *(Column(name, justify="right") for name in ("first", "second", "change")))
    made.title = f"faces that changed most in {shown(label)}"
    for group, faces in groups.items():
        for face in faces:
            made.add_row(
                group, shown(names[face]), f"{first[face]:.2f}", f"{second[face]:.2f}", f"{second[face] - first[face]:+.2f}"
            )
    return made


def curves(names: Sequence[str], errors: Sequence[np.ndarray], runs: "Sequence[Run]") -> "Figure":
    """The error distributions of all runs in one figure."""
    limit = runs[0].threshold
    figure = evaluation.plots.Figure(figsize=(6.4, 4.8), layout="constrained")
    axes = figure.add_subplot()
    for name, values in zip(names, errors, strict=True):
        values = values[np.isfinite(values)]
        if len(values):
            x, y = ced(values)
            label = f"{shown(name)}: AUC {auc(values, limit):.3f}"
            axes.step([0, *x, max(limit, x[-1])], [0, *(100 * y), 100], where="post", label=label)
    axes.set(xlim=(0, limit), ylim=(0, 100), ylabel="faces, %", xlabel=f"NME, % of {runs[0].normalizer.replace('_', '-')}")
    axes.grid(alpha=0.3)
    if axes.get_lines():
        evaluation.plots.add_legend(axes)
    return evaluation.plots.plain(figure)


def draw_changed(
    path: Path,
    first: "Run",
    second: "Run",
    order: np.ndarray,
    groups: Mapping[str, Sequence[int]],
    names: tuple[str, str],
) -> str | None:
    """Draws the faces whose errors changed most, the first run above the second.

    Photographs, truth and predictions are read from `predictions.npz` beside the reports.

    Args:
        path: the picture.
        first: the first run.
        second: the other run.
        order: for each face of the first run its position in the other.
        groups: "better" and "worse" -> positions of faces in the first run.
        names: names of both runs.

    Returns:
        None, or the reason why nothing was drawn.
    """
    faces = [face for group in groups.values() for face in group]
    if not faces:
        return "no face changed"
    stored = []
    for run_ in (first, second):
        file = run_.path.parent / "predictions.npz"
        if not file.is_file():
            return f"{file} is missing"
        try:
            stored.append(evaluation.run_files.read_predictions(file))
        except (OSError, ValueError) as error:
            return str(error)
        points = run_.definition.num_points if run_.definition else None
        if stored[-1]["landmarks"].shape[:2] != (len(run_.names), points):
            return f"{file} is not of the same run as the report"
    figure = evaluation.plots.Figure(figsize=(1.9 * max(2, *map(len, groups.values())), 8.2), layout="constrained")
    grid = figure.subplots(4, max(map(len, groups.values())), squeeze=False)
    for axis in grid.ravel():
        axis.set_axis_off()
    for (group, chosen), axes in zip(groups.items(), (grid[:2], grid[2:]), strict=True):
        for column, face in enumerate(chosen):
            for row, (run_, arrays, place) in enumerate(zip((first, second), stored, (face, order[face]), strict=True)):
                try:
                    picture = evaluation.plots.draw_face(
                        str(arrays["images"][place]),
                        landmarks=arrays["truth"][place],
                        weights=arrays["weights"][place],
                        predicted=arrays["landmarks"][place],
                        scheme=run_.definition,
                        size=SIDE,
                    )
                except (OSError, ValueError) as error:
                    return str(error)
                axes[row, column].imshow(picture)
                axes[row, column].set_title(f"{group}, {shown(names[row])}\n{run_.errors[place]:.2f} %", fontsize=7)
    figure.suptitle("truth green, prediction red", fontsize=9)
    evaluation.plots.write_figure(evaluation.plots.plain(figure), path)
    return None


def write(path: Path, arguments: argparse.Namespace, first: "Run", names: Sequence[str], results: dict[str, Any]) -> Path:
    """Writes `compare.json`; returns its path."""
    content = {
        "first": names[0],
        "scheme": first.scheme,
        "normalizer": first.normalizer,
        "unit": "percent",
        "resamples": arguments.resamples,
        "confidence": arguments.confidence,
        "seed": arguments.seed,
        "against_first": results,
    }
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, allow_nan=False), encoding="utf-8")
    return path


def _moved(run_, order):
    """The subsets of a run, as positions among the first run's faces."""
    return {name: np.flatnonzero(np.isin(order, where)) for name, where in run_.subsets.items()}


def _face(name, first, second):
    return {"name": name, "first": float(first), "second": float(second)}
