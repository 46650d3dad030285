"""`kfacealign score`: the errors of predictions in a file, no model needed."""

import json
from pathlib import Path

from rich.console import Console
from rich.table import Column, Table

from kfacealign import schemes
from kfacealign.evaluation import plots, predictions, protocols
from kfacealign.evaluation.report import heading, report, shown
from kfacealign.files import replacing


def run(arguments):
    console = Console()
    scheme = schemes.get(arguments.scheme)
    protocol = protocols.get(arguments.protocol, scheme.name) if arguments.protocol else None
    normalizers = _normalizers(arguments, scheme, protocol)
    truth = predictions.read(arguments.truth, scheme)
    predicted = predictions.read(arguments.predictions, scheme, arguments.first_pixel)
    predictions.check_truth(truth, scheme, normalizers)
    order = predictions.match(truth, predicted)
    left = len(predicted) - len(truth)
    if left:
        message = f"{arguments.predictions}: {left} predictions are of faces that {arguments.truth} does not have"
        console.print(message, style="yellow", soft_wrap=True)
    thresholds = arguments.thresholds or (protocol.thresholds if protocol else (8.0, 10.0))
    names = truth.names or [str(face) for face in range(len(truth))]
    reports = {
        name: report(
            truth.landmarks,
            predicted.landmarks[order],
            scheme,
            truth.weights,
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
        hidden = predictions.occlusion_scores(truth.occlusion, predicted.occlusion[order], arguments.occlusion_threshold)
        console.print(occlusion_line(hidden, arguments.occlusion_threshold))
    main = reports[normalizers[0]]
    placed = protocols.place(protocol.name, main, Path(arguments.predictions).stem) if protocol else None
    for table in placed.console() if placed else ():
        console.print(table)
    for note in placed.notes if placed else ():
        console.print(note, style="yellow", soft_wrap=True)
    if arguments.out:
        for path in write(Path(arguments.out), reports, main, hidden, placed):
            console.print(f"written: {path}", soft_wrap=True)
    return 0


def figures(reports, title):
    """A `rich` table, a line for every normaliser."""
    columns = list(next(iter(reports.values())).summary())
    table = Table(Column("normaliser", no_wrap=True), *(Column(heading(name), justify="right") for name in columns), title=title)
    for name, made in reports.items():
        table.add_row(name.replace("_", "-"), *(shown(column, value) for column, value in made.summary().items()))
    return table


def regions(reports):
    """A `rich` table of the mean error in every region, a column for every normaliser."""
    table = Table("region", *(Column(name.replace("_", "-"), justify="right") for name in reports))
    values = {name: made.regions() for name, made in reports.items()}
    for region in next(iter(values.values())):
        table.add_row(region, *(shown("nme", values[name][region]) for name in reports))
    return table


def occlusion_line(scores, threshold):
    shares = {name: "-" if scores[name] is None else f"{scores[name]:.2f} %" for name in ("precision", "recall")}
    return (
        f"occlusion at {threshold:g}: precision {shares['precision']}, recall {shares['recall']} "
        f"({scores['hidden']:,} points are hidden, {scores['found']:,} were called so)"
    )


def write(out, reports, main, hidden, placed):
    """The files of a run without photographs; returns their paths."""
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
        plots.write_figure(plots.ced_figure(main), out / "ced.png"),
        plots.write_figure(plots.landmark_figure(main), out / "landmark_errors.png"),
        *(placed.save(out) if placed else ()),
    ]


def _normalizers(arguments, scheme, protocol):
    """Names, the main one first: those asked for, else all of the scheme (the image's side only if it is given)."""
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
