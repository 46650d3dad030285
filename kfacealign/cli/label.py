"""`kfacealign label`: the landmarks of all faces in very many pictures, as one table."""

import argparse
import collections
import importlib.util
import os
import time
from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.text import Text

from kfacealign import deploy, detect, presets
from kfacealign.cli import align_results
from kfacealign.cli.arguments import add_detector, add_second_look, count, positive_count
from kfacealign.cli.labelling import on_ray, results, runs, storage, units, workers
from kfacealign.console import make_console, shown
from kfacealign.data import five_points
from kfacealign.data.image_files import limit_pixels
from kfacealign.files import lock
from kfacealign.process import resumable

ENGINES = ("processes", "ray")
MODELS = (".tflite", ".onnx", ".xml")  # what runs without Keras and TensorFlow
FORMATS = {"parquet": ".parquet", "coco": ".json"}  # what --to names, and how its file ends
TOLD = 20  # failures that are printed; the ledger has all
HINT = "the same command goes on"
DESCRIPTION = (
    "Labels the faces of any number of pictures: one row a face with path, box, landmarks, scores, status and the checksum of "
    "the model, in Parquet or COCO's JSON. A picture that fails, or has no face, has one row that says so, and a line in the "
    "ledger beside the rows; it ends nothing. The command may be killed at any moment: the same command goes on, and each "
    "picture has its rows once. Needs pip install 'kfacealign[scale]'."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="pictures, tar shards (.tar, .tar.gz) and Parquet files with a column of pictures (.parquet): their paths, folders, "
        "patterns in quotes, or URLs of a storage that pyarrow or fsspec knows, such as s3://bucket/photos/; a .txt file, or - "
        "for standard input, is a list of these, one a line",
    )
    parser.add_argument(
        "--to",
        choices=tuple(FORMATS),
        help="what is written: Parquet, or COCO's keypoints in JSON, for tools in which labels are corrected (default: what the "
        "name of --out says, else parquet)",
    )
    parser.add_argument(
        "--out",
        metavar="OUT",
        help="FILE.parquet, FILE.json (COCO), or a folder, which gets one Parquet file a shard (default labels.parquet, or "
        "labels.json with --to coco)",
    )
    parser.add_argument(
        "--model",
        help="an exported model (.tflite, .onnx, .xml of OpenVINO) or a bundled one (kfacealign presets); by default the first "
        "that kfacealign presets lists",
    )
    add_detector(parser)
    parser.add_argument("--any-rotation", action="store_true", help="read each picture on its sides and upside down, too")
    parser.add_argument("--five-points", action="store_true", help="read each face a second time, turned upright")
    add_second_look(parser)
    parser.add_argument(
        "--column", metavar="NAME", help="column of Parquet files that has the pictures (default: found by its content)"
    )
    parser.add_argument(
        "--max-pixels", type=count, metavar="N", help="most pixels of a picture that is decoded (default 200,000,000)"
    )
    parser.add_argument(
        "--overlays", metavar="DIR", help="also write each picture with its landmarks drawn, as DIR/SHARD/PICTURE.jpg"
    )
    parser.add_argument("--workers", type=positive_count, metavar="N", help="processes (default: one for each core)")
    parser.add_argument(
        "--engine", choices=ENGINES, default=ENGINES[0], help="processes of this machine, or actors of Ray Data on a cluster"
    )
    parser.add_argument(
        "--address", metavar="HOST:PORT", help="address of the Ray cluster (default: RAY_ADDRESS, else this machine)"
    )
    parser.add_argument("--overwrite", action="store_true", help="begin anew and replace results that are there")


def run(arguments: argparse.Namespace) -> int:
    storage.require_pyarrow()
    if arguments.address is not None and arguments.engine != "ray":
        raise ValueError("--address is that of a Ray cluster: add --engine ray")
    console, target = make_console(), target_of(arguments)
    if arguments.engine == "ray":
        on_ray.imported()
    words, told = units.expanded(arguments.inputs)
    model, scheme, settings = settings_of(arguments, console)
    description = runs.description_of(settings, told, scheme)
    if runs.done_before(target, description, overwrite=arguments.overwrite):
        say(console, f"{shown(target.path)} was written before; --overwrite writes it anew")
        return 1 if results.ledger_counts(target.ledger)["failed"] else 0
    new = align_results.prepare_folder(target.folder)
    try:
        with lock(target.folder), resumable(HINT):
            planned = runs.begun(target, description, overwrite=arguments.overwrite)
            if planned is None:
                planned = runs.begin(target, description, plan(words, target, arguments, console))
            return labelled(planned, model, arguments, console)
    finally:
        if new:
            align_results.remove_unused(target.folder)


def target_of(arguments: argparse.Namespace) -> results.Target:
    """Where the rows go, as `--to` and `--out` say.

    Raises:
        ValueError: they do not fit together, or the place is a storage's.
    """
    if arguments.out is None:
        return results.Target(f"labels{FORMATS[arguments.to or 'parquet']}")
    if storage.is_url(arguments.out):
        raise ValueError(
            f"--out {shown(arguments.out)}: results are written to a folder or file of this machine; copy them afterwards"
        )
    target = results.Target(arguments.out)
    if arguments.to == "coco" and target.kind != "coco":
        raise ValueError(f"--to coco writes one file: give --out a name that ends in .json, not {shown(arguments.out)}")
    if arguments.to == "parquet" and target.kind == "coco":
        raise ValueError(f"--to parquet: {shown(arguments.out)} ends as COCO's file does; give --out another name")
    return target


def settings_of(arguments: argparse.Namespace, console: Console) -> tuple[str, Any, dict[str, Any]]:
    """The model's path, its scheme, and what the rows depend on besides the pictures.

    Raises:
        ValueError: the model needs Keras or TensorFlow, or is damaged. ImportError: the model's runtime is not installed.
    """
    limit_pixels(arguments.max_pixels)
    model = presets.chosen(arguments.model, console=console)
    detector = arguments.detector or detect.available()[0]
    if os.path.isdir(model) or not model.lower().endswith(MODELS):
        what = "workers run exported models, without Keras and TensorFlow"
        raise ValueError(
            f"{shown(model)}: {what}; write one by kfacealign export --out NAME.tflite, or install LiteRT for the presets"
        )
    if (model.lower().endswith(".tflite") or detector == "blazeface") and importlib.util.find_spec("ai_edge_litert") is None:
        raise ImportError("the workers run without TensorFlow and need LiteRT: pip install 'kfacealign[scale]'")
    loaded = deploy.load(model, threads=1)
    detect.make(detector, min_score=arguments.min_score)
    if arguments.five_points:
        five_points.indices(loaded.scheme)
    say(console, f"detector: {detector}")
    settings = {
        "model": align_results.as_text(os.path.basename(model)),
        "model_sha256": align_results.checksum(model),
        "detector": align_results.as_text(os.path.basename(detector)),
        "detector_sha256": align_results.checksum(detector) if os.path.isfile(detector) else None,
        **{
            name: getattr(arguments, name)
            for name in ("min_score", "any_rotation", "second_look", "five_points", "max_pixels", "column")
        },
    }
    return model, loaded.scheme, settings


def plan(words: list[str], target: results.Target, arguments: argparse.Namespace, console: Console) -> list[units.Unit]:
    """The units of a new run.

    Raises:
        ValueError: there is nothing to label.
    """
    found = units.find(words, out=(target.path, target.folder))
    for note in found.notes:
        say(console, note)
    many = arguments.workers or cores()
    planned = list(units.planned(found, workers=many, column=arguments.column))
    refused = [unit for unit in planned if unit.kind == "refused"]
    if len(refused) == len(planned):
        raise ValueError("; ".join(f"{shown(unit.paths[0])}: {unit.reason}" for unit in refused[:3]))
    kinds = {"picture": len(found.pictures), "tar shard": len(found.tars), "Parquet file": len(found.parquets)}
    told = ", ".join(counted(number, kind) for kind, number in kinds.items() if number)
    say(console, f"{told}: {counted(len(planned), 'shard')} to write")
    return planned


def labelled(planned: runs.Run, model: str, arguments: argparse.Namespace, console: Console) -> int:
    """Labels what is left of a run, hands its rows over, and returns the exit status."""
    jobs, start = planned.jobs(), time.monotonic()
    if len(jobs) < len(planned.units):
        say(console, f"{len(planned.units) - len(jobs)} of {len(planned.units)} shards were done before")
    detector = arguments.detector or planned.description["settings"]["detector"]
    settings = runs.settings_of_workers(planned, model=model, detector=detector, overlays=arguments.overlays)
    done = collections.Counter()
    if jobs:
        if arguments.engine == "ray":
            events = on_ray.on_ray(
                jobs, settings, arguments.workers, address=arguments.address, say=lambda text: say(console, text)
            )
        else:
            events = workers.in_processes(jobs, settings, arguments.workers or cores())
        done = followed(events, console)
    seconds = time.monotonic() - start
    counts = planned.finish()
    pictures = sum(counts[status] for status in ("ok", "no face", "failed"))
    faces = counted(counts["faces"], "face")
    told = f"{counted(pictures, 'picture')}: {faces}, {counts['no face']:,} without a face, {counts['failed']:,} failed"
    rate = f"; {done['pictures'] / seconds:.1f} pictures a second in this call" if done["pictures"] else ""
    say(console, f"{told} -> {shown(planned.target.path)}{rate}")
    if counts["failed"] or counts["no face"]:
        say(console, f"ledger: {shown(planned.target.ledger)}")
    return 1 if counts["failed"] else 0


def followed(events: Iterable[dict[str, Any]], console: Console) -> collections.Counter:
    """Tells of what is done while it is done, and returns how many pictures and faces it was."""
    from rich.progress import Progress, TextColumn, TimeElapsedColumn

    done, failures = collections.Counter(), 0
    columns = (TextColumn("labelling: {task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=None)
        for event in events:
            done.update(pictures=event["pictures"], faces=event["faces"])
            for path, reason in event["failed"]:
                failures += 1
                if failures <= TOLD:
                    say(bar.console, Text.assemble(f"{shown(path)}: ", ("failed", "red"), f": {shown(reason)}"))
                elif failures == TOLD + 1:
                    say(bar.console, "further failures are listed in the ledger alone")
            bar.update(task, description=f"{done['pictures']:,} pictures, {done['faces']:,} faces, {failures:,} failed")
    return done


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"


def say(console: Console, text: str | Text) -> None:
    """Prints a line, however long it is."""
    console.print(text, soft_wrap=True)
