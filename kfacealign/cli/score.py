"""`kfacealign score`: the errors of predictions in a file, no model needed."""

import argparse
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.table import Column, Table

from kfacealign import evaluation, schemes
from kfacealign.cli.arguments import add_missing, add_scheme, positive
from kfacealign.console import make_console, shown
from kfacealign.data.readers.checks import shown as first_of
from kfacealign.evaluation import protocols
from kfacealign.files import replacing

if TYPE_CHECKING:
    from kfacealign.evaluation.landmark_files import PointFile
    from kfacealign.evaluation.published_tables import Placed
    from kfacealign.evaluation.reports import Report

NORMALIZERS = ("inter_ocular", "inter_pupil", "box", "diagonal", "image")
FORMATS = (
    "an .npz with landmarks (N, K, 2) and, where there are such, names and occlusion; a .csv with the header name,x0,y0,...; "
    "the text format of the COFW-68 benchmark (.txt); a folder of .pts files; the folder of kfacealign align; or COFW-68's "
    "folder test_annotations"
)
DESCRIPTION = (
    "Prints the errors of predicted landmarks under every normaliser that the scheme has, and how well hidden points were "
    f"found where both files say. Files: {FORMATS}. Faces are paired by name where both have names, else in order."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_scheme(parser, "landmark scheme of both", required=True)
    parser.add_argument("--truth", required=True, metavar="PATH", help="the annotation")
    parser.add_argument("--predictions", required=True, metavar="PATH", help="the predicted landmarks")
    parser.add_argument(
        "--normalizer",
        action="append",
        choices=NORMALIZERS,
        help="measure by this normaliser only; may be given several times, the main one first",
    )
    parser.add_argument(
        "--thresholds", type=positive, nargs="+", metavar="PERCENT", help="thresholds of failure rate and AUC (default 8 10)"
    )
    parser.add_argument("--image-size", type=positive, metavar="PIXELS", help="side of the images, for the normaliser image")
    parser.add_argument(
        "--first-pixel",
        type=float,
        choices=(0.0, 0.5, 1.0),
        default=0.5,
        help="where .npz and .csv predictions have the centre of the first pixel: 0 as OpenCV, 1 as MATLAB (default %(default)s)",
    )
    parser.add_argument(
        "--occlusion-threshold", type=float, default=0.5, metavar="T", help="least value that means hidden (default %(default)s)"
    )
    add_missing(parser)
    parser.add_argument(
        "--missing-faces",
        choices=("fail", "skip"),
        default="fail",
        help="what to do about faces that have no prediction: stop, or leave them out and count them (default %(default)s)",
    )
    parser.add_argument("--protocol", choices=protocols.PROTOCOLS, help="show the figures among those that papers published")
    parser.add_argument("--out", metavar="DIR", help="write score.json, report.json, pictures and the protocol's tables there")


def run(arguments: argparse.Namespace) -> int:
    console = make_console()
    scheme = schemes.get(arguments.scheme)
    protocol = protocols.get(arguments.protocol, scheme=scheme.name) if arguments.protocol else None
    normalizers = _normalizers(arguments, scheme, protocol)
    options = {"missing": arguments.missing}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        truth = evaluation.landmark_files.read(arguments.truth, scheme, **options)
        predicted = evaluation.landmark_files.read(arguments.predictions, scheme, first_pixel=arguments.first_pixel, **options)
    for warning in caught:
        console.print(str(warning.message), style="yellow", markup=False, highlight=False, soft_wrap=True)
    evaluation.landmark_files.check_truth(truth, scheme, normalizers)
    order = evaluation.landmark_files.match(truth, predicted, missing_faces=arguments.missing_faces)
    for message in left_out(truth, predicted, order):
        console.print(shown(message), style="yellow", soft_wrap=True)
    found = np.flatnonzero(order >= 0)
    order, truth = order[found], truth.part(found)
    thresholds = arguments.thresholds or (protocol.thresholds if protocol else (8.0, 10.0))
    names = truth.names or [str(face) for face in range(len(truth))]
    reports = {
        name: evaluation.report(
            truth.landmarks,
            predicted.landmarks[order],
            scheme,
            weights=truth.weights * (predicted.weights[order] > 0),
            normalizer=name,
            thresholds=thresholds,
            names=names,
            image_size=arguments.image_size,
        )
        for name in normalizers
    }
    console.print(figures(reports, f"{len(truth):,} faces, {scheme.name}, errors in percent"))
    console.print(regions(reports))
    hidden = None
    if truth.occlusion is not None and predicted.occlusion is not None:
        hidden = evaluation.landmark_files.occlusion_scores(
            truth.occlusion, predicted.occlusion[order], threshold=arguments.occlusion_threshold
        )
        console.print(occlusion_line(hidden, arguments.occlusion_threshold))
    main = reports[normalizers[0]]
    placed = protocols.place(protocol.name, main, label=shown(Path(arguments.predictions).stem)) if protocol else None
    for table in placed.console() if placed else ():
        console.print(table)
    for note in placed.notes if placed else ():
        console.print(shown(note), style="yellow", soft_wrap=True)
    if arguments.out:
        for path in write(Path(arguments.out), reports, main, hidden, placed):
            console.print(f"written: {shown(path)}", soft_wrap=True)
    return 0


def left_out(truth: "PointFile", predicted: "PointFile", order: np.ndarray) -> list[str]:
    """What of the truth and of the predictions does not count, in sentences.

    Args:
        truth: N true faces.
        predicted: the predicted ones.
        order: (N,) position of each face's prediction; -1 where it has none.
    """
    told = []
    lacking = np.flatnonzero(order < 0)
    if len(lacking):
        which = first_of(truth.names[face] for face in lacking)
        told.append(f"{len(lacking):,} of {len(truth):,} faces have no prediction and are left out: {which}")
    unused = len(predicted) - len(np.unique(order[order >= 0]))
    if unused:
        told.append(f"{predicted.path}: {unused:,} predictions are of faces that {truth.path} does not have")
    found = order >= 0
    annotated, predicted_points = truth.weights[found] > 0, predicted.weights[order[found]] > 0
    if not annotated.all():
        which = f"{int((~annotated).sum()):,} points of {int((~annotated).any(1).sum()):,} faces"
        told.append(f"{truth.path}: {which} are not annotated and are left out")
    absent = annotated & ~predicted_points
    if absent.any():
        which = f"{int(absent.sum()):,} points of {int(absent.any(1).sum()):,} faces"
        told.append(f"{predicted.path}: {which} have no prediction and are left out")
    return told


def figures(reports: "Mapping[str, Report]", title: str) -> Table:
    """The summaries as a table, one row for each normaliser."""
    columns = list(next(iter(reports.values())).summary())
    table = Table(
        Column("normaliser", no_wrap=True),
        *(Column(evaluation.reports.heading(name), justify="right") for name in columns),
        title=title,
    )
    for name, made in reports.items():
        table.add_row(
            name.replace("_", "-"), *(evaluation.reports.shown(column, value) for column, value in made.summary().items())
        )
    return table


def regions(reports: "Mapping[str, Report]") -> Table:
    """The mean error in every region as a table, one column for each normaliser."""
    table = Table("region", *(Column(name.replace("_", "-"), justify="right") for name in reports))
    values = {name: made.regions() for name, made in reports.items()}
    for region in next(iter(values.values())):
        table.add_row(region, *(evaluation.reports.shown("nme", values[name][region]) for name in reports))
    return table


def occlusion_line(scores: Mapping[str, Any], threshold: float) -> str:
    """What is said of hidden points: the precision and the recall with which they were found."""
    shares = {name: "-" if scores[name] is None else f"{scores[name]:.2f} %" for name in ("precision", "recall")}
    return (
        f"occlusion at {threshold:g}: precision {shares['precision']}, recall {shares['recall']} "
        f"({scores['hidden']:,} points are hidden, {scores['found']:,} were called so)"
    )


def write(
    out: Path,
    reports: "Mapping[str, Report]",
    main: "Report",
    hidden: Mapping[str, Any] | None,
    placed: "Placed | None",
) -> list[Path]:
    """Writes the files of a run without photographs; returns their paths.

    Args:
        out: the folder.
        reports: name of a normaliser -> report.
        main: the report of the main normaliser.
        hidden: scores of occlusion, or None.
        placed: the figures among published ones, or None.
    """
    out.mkdir(parents=True, exist_ok=True)
    content = {
        "scheme": main.scheme,
        "normalizers": {name: {**made.summary(), "regions": made.regions()} for name, made in reports.items()},
        "occlusion": hidden,
    }
    with replacing(out / "score.json") as temporary:
        temporary.write_text(json.dumps(content, indent=1, allow_nan=False), encoding="utf-8")
    return [
        out / "score.json",
        main.save(out / "report.json"),
        evaluation.plots.write_figure(evaluation.plots.ced_figure(main), out / "ced.png"),
        evaluation.plots.write_figure(evaluation.plots.landmark_figure(main), out / "landmark_errors.png"),
        *(placed.save(out) if placed else ()),
    ]


def _normalizers(arguments, scheme, protocol):
    """Names of normalisers, the main one first.

    They are those that the user asked for; by default all that the scheme has, the image's side only if it is given.
    """
    allowed = [name for name in scheme.normalizers() if name != "image" or arguments.image_size]
    for name in arguments.normalizer or ():
        if name == "image" and not arguments.image_size:
            raise ValueError("the normaliser 'image' needs --image-size")
        if name not in allowed:
            raise ValueError(f"{scheme.name} has no normaliser {name!r}; it has {', '.join(scheme.normalizers())}")
    if arguments.normalizer:
        return list(dict.fromkeys(arguments.normalizer))
    if protocol:
        allowed.sort(key=lambda name: name != protocol.normalizer)
    return allowed
