"""`kfacealign parity`: exported models beside the model that they were made of, on the same crops."""

import argparse
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import Progress, track
from rich.table import Column, Table

from kfacealign import data, deploy, geometry
from kfacealign.cli.arguments import add_dataset, add_from, add_trust, count
from kfacealign.cli.bench import short
from kfacealign.console import make_console, shown
from kfacealign.deploy.measure import benchmark, parity

SEED = 2  # of the drawn faces, which are not those of training
SIDE = 256  # pixels of the drawn pictures


DESCRIPTION = (
    "Gives the same face crops to a model and to what was exported from it, and prints how far the landmarks are apart, of "
    "calibrated models also visibility and covariance, and the error of each where the true landmarks are known. Without "
    "--images and --dataset the faces are drawn by this package. The exit status is 1 if a landmark differs by more than "
    "--tolerance."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "reference", metavar="REFERENCE", help="the model that the others are compared with, mostly a .keras file"
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help=".tflite, .onnx or .xml files, or SavedModel folders")
    parser.add_argument(
        "--images",
        metavar="DIR",
        help="a folder of images; with .pts files beside them cropped as in training, without each is taken to be a crop",
    )
    add_dataset(parser, help="the test faces of a dataset")
    add_from(parser)
    add_trust(parser)
    parser.add_argument("--normalizer", help="what errors are divided by: inter_ocular, inter_pupil, box, diagonal or image")
    parser.add_argument(
        "--count", type=count, default=32, metavar="N", help="most faces that are compared, evenly spaced (default %(default)s)"
    )
    parser.add_argument(
        "--tolerance",
        type=float,
        default=1e-3,
        metavar="SHARE",
        help="the most that a landmark may differ, as a fraction of the crop's side (default %(default)s; int8 files need more)",
    )


def run(arguments: argparse.Namespace) -> int:
    console = make_console()
    if not arguments.count:
        raise ValueError("--count is a number from 1 on")
    for path in (arguments.reference, *arguments.files):
        benchmark.check(path)  # Refuse wrong paths before any face is drawn or read.
    reference = deploy.load(arguments.reference, trust=arguments.trust)
    crops, truth, weights, origin = faces(arguments, reference, console)
    if not len(crops):
        raise ValueError(f"there is no face to compare on in {origin}")
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("comparing", total=1 + len(arguments.files))
        advance = functools.partial(bar.advance, task)
        against = {"truth": truth, "weights": weights, "normalizer": arguments.normalizer, "trust": arguments.trust}
        records = parity.compare(reference, arguments.files, crops, **against, advance=advance)
    names = short([arguments.reference, *arguments.files])
    console.print(
        table(records, names, f"{len(crops)} faces of {shown(origin)}, {reference.input_size} px, {reference.scheme.name}")
    )
    console.print(
        f"largest, mean: distance of a landmark to that of {shown(arguments.reference)}, of the crop's side and in its pixels. "
        f"moved: share of the landmarks more than {parity.MOVED} of the side away.",
        soft_wrap=True,
    )
    if records[0].deviation is not None:
        for line in certainty(records[1:]):
            console.print(line, soft_wrap=True)
    over = [record for record in records[1:] if record.maximum > arguments.tolerance]
    for record in over:
        console.print(
            f"{shown(record.name)}: a landmark differs by {record.maximum:.2g} of the crop, more than --tolerance "
            f"{arguments.tolerance:g}",
            style="red",
            soft_wrap=True,
        )
    return 1 if over else 0


def certainty(records: Sequence[parity.Parity]) -> list[str]:
    """How far the further answers of each record are from those of a calibrated reference, in sentences."""
    lines = []
    for record in records:
        if record.deviation is None or record.visibility is None:
            lines.append(f"{shown(record.name)} is not calibrated: it says neither visibility nor covariance")
            continue
        lines.append(
            f"{shown(record.name)}: visibility differs by {record.visibility:.1e} at most, a standard deviation by "
            f"{record.deviation:.1e} of the crop's side"
        )
    return lines


def faces(
    arguments: argparse.Namespace, model: Any, console: Console
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None, str]:
    """The faces on which models are compared.

    Returns:
        Crops (N, S, S, 3) uint8 or float32; their landmarks (N, K, 2) and weights (N, K), or None and None where they are not
        known; and where the faces come from, in words.

    Raises:
        FileNotFoundError: there are no such files.
        ValueError: the faces cannot be read, or have other landmarks than the model.
    """
    if arguments.images and arguments.dataset:
        raise ValueError("--images and --dataset exclude each other")
    if arguments.dataset:
        found = data.load_dataset(
            arguments.dataset, arguments.data_dir, scheme=model.scheme, needed=("test",), missing=arguments.missing
        )
        found = found.test
        if not found.scheme.matches(model.scheme):
            other = found.scheme.difference(model.scheme)
            raise ValueError(f"{arguments.reference} predicts {model.scheme.name}, the dataset is annotated with {other}")
        return (*cut(found, model, arguments.count), arguments.dataset)
    if arguments.images:
        from kfacealign.deploy.exporting.calibration import read_calibration

        found = read_calibration(Path(arguments.images), model)
        if hasattr(found, "landmarks"):
            return (*cut(found, model, arguments.count), arguments.images)
        return spread(found, arguments.count), None, None, arguments.images
    return (*rendered(model, arguments.count, console), "this package's drawing")


def cut(found: data.Faces, model: Any, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """At most `count` faces, evenly spaced, as crops with landmarks and weights, without those that cannot be read."""
    crops = data.Crops(spread(found, count), size=model.input_size, enlarge=model.enlarge, cache=None)
    images, landmarks, weights = crops.batch(np.arange(len(crops)))
    read = np.asarray(weights).any(-1)
    return images[read], landmarks[read], np.asarray(weights)[read]


def spread(items: Any, count: int) -> Any:
    """At most `count` items of an array or of `Faces`, evenly spaced."""
    return items[np.unique(np.linspace(0, len(items) - 1, min(count, len(items))).round().astype(int))]


def rendered(model: Any, count: int, console: Console) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    """Crops of faces drawn on the fly, their landmarks and weights; None for these if the scheme's points are not drawn."""
    source = data.SyntheticFaces(seed=SEED, size=SIDE)
    scheme = model.scheme.name
    crops, truth = [], []
    for index in track(range(count), "drawing faces", console=console, transient=True):
        face = source.render(index)
        box = geometry.landmark_box(face.landmarks[scheme]) if scheme in face.landmarks else face.box
        square = geometry.square_box(box, model.enlarge)
        pixels, matrix = geometry.crop(face.image, square, model.input_size)
        crops.append(pixels)
        if scheme in face.landmarks:
            truth.append(geometry.apply_affine(matrix, face.landmarks[scheme]) / model.input_size)
    if not truth:
        return np.stack(crops), None, None
    return np.stack(crops), np.stack(truth), np.ones((count, model.scheme.num_points), "float32")


def table(records: Sequence[parity.Parity], names: Sequence[str], title: str) -> Table:
    """The comparison as a table; the first record is the reference."""
    headings = ("largest", "px", "mean", "px", "moved", "NME, %", "ratio")
    columns = (Column(name, justify="right", no_wrap=True) for name in headings)
    style = {"title_justify": "left", "box": SIMPLE_HEAD, "padding": (0, 1, 0, 0)}
    made = Table(Column("model", overflow="fold"), *columns, title=title, **style)
    for record, name in zip(records, names, strict=True):
        error = "-" if record.nme is None else f"{record.nme:.3f}"
        ratio = "-" if record.ratio is None else f"{record.ratio:.3f}"
        distances = ("", "", "", "", "")
        if record is not records[0]:
            distances = (f"{record.maximum:.1e}", f"{record.maximum_pixels:.3f}", f"{record.mean:.1e}")
            distances += (f"{record.mean_pixels:.3f}", f"{100 * record.moved:.2f} %")
        made.add_row(shown(name), *distances, error, ratio)
    return made
