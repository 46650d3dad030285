"""`kfacealign export`: a trained model as TFLite, ONNX, OpenVINO or SavedModel, and what int8 costs it."""

import argparse
import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from kfacealign import deploy, presets
from kfacealign.cli.arguments import add_model
from kfacealign.console import make_console, shown
from kfacealign.deploy.runtime.formats import files_of

if TYPE_CHECKING:
    import numpy as np

    from kfacealign.data.faces import Faces
    from kfacealign.models.aligner import FaceAligner

DESCRIPTION = (
    "Writes pixels -> network -> decoding as one graph, with the landmark scheme and the input size inside. docs/export.md "
    "says how to read it elsewhere."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model(parser, required=True, help="a trained model (.keras), or a bundled one (kfacealign presets)")
    parser.add_argument(
        "--out",
        metavar="PATH",
        help="NAME.tflite, NAME.onnx, NAME.xml (OpenVINO), or a folder for a SavedModel; not needed with --report",
    )
    parser.add_argument(
        "--format",
        choices=("litert", "onnx", "openvino", "savedmodel"),
        help="format of the file (default: as the suffix of --out says)",
    )
    parser.add_argument(
        "--precision",
        choices=("float32", "float16", "int8", "int8_io"),
        default="float32",
        help="int8_io: int8 that reads bytes, 0..255; int8 is for TFLite, float16 for TFLite and OpenVINO (default %(default)s)",
    )
    parser.add_argument(
        "--batch",
        choices=("1", "any"),
        default="1",
        help="crops that the graph takes at once; one is faster (default %(default)s)",
    )
    parser.add_argument("--flip", action="store_true", help="average with the answer on the mirrored crop, in the graph")
    parser.add_argument(
        "--step", action="store_true", help="for a tracker: the graph takes one frame and a state and returns the new state"
    )
    parser.add_argument(
        "--calibration",
        metavar="PATH",
        help="for int8: a folder of images (with .pts files beside them they are cropped as in training; without, each is "
        "taken to be a face crop), or a .npy array of crops (N, S, S, 3)",
    )
    parser.add_argument("--report", action="store_true", help="for int8: print the layers that lose most by it")
    parser.add_argument(
        "--keep-float", nargs="+", default=(), metavar="NAME", help="for int8: layers to compute in float32 (see --report)"
    )
    parser.add_argument("--licence", metavar="TEXT", help="what the file says of the model's licence (default: a preset's card)")
    parser.add_argument(
        "--training-data", metavar="TEXT", help="what the file says of the training data (default: a preset's card)"
    )
    parser.add_argument(
        "--detector",
        type=detector,
        metavar="RULE",
        help="the rule that the file has for making the crop from a face detector's box: 'haar', that of this package's Haar "
        "detector, or SCALE,DX,DY: the crop's side over the box's, and how far the crop's centre lies right of and below the "
        "box's, in sides of the box",
    )


def detector(text: str) -> str | dict:
    """`haar`, or `SCALE,DX,DY` -> the argument of `kfacealign.deploy.export`."""
    if text == "haar":
        return text
    try:
        scale, dx, dy = map(float, text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected 'haar' or three numbers SCALE,DX,DY, got {text!r}") from None
    return {"scale": scale, "shift": [dx, dy]}


def run(arguments: argparse.Namespace) -> int:
    from kfacealign.deploy.exporting.calibration import read_calibration
    from kfacealign.models.loading import load_keras

    path = Path(presets.chosen(arguments.model, keras=True))
    integers = arguments.precision.startswith("int8")
    if path.suffix != ".keras":
        raise ValueError(f"{path}: only a .keras file can be exported: give the one that it was made of")
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such model")
    if integers != (arguments.calibration is not None):
        raise ValueError("--precision int8 and --calibration (a folder of images, or a .npy array of crops) go together")
    if arguments.report and not integers:
        raise ValueError("--report needs --precision int8")
    if not (arguments.out or arguments.report):
        raise ValueError("give --out, the file or folder to write")
    model, console = load_keras(path), make_console()
    with warnings_in_one_line(console):
        calibration = read_calibration(Path(arguments.calibration), model) if integers else None
        if arguments.report:
            with console.status("measuring what int8 adds in each layer"):
                records = deploy.quantization_report(model, calibration, flip=arguments.flip)
            console.print(deploy.report_table(records))
        if arguments.out:
            with console.status(Text(f"writing {shown(arguments.out)}")):
                written = write(arguments, model, calibration)
            facts = f"{size(written) / 1e6:.2f} MB, {arguments.precision}, {model.scheme.name}, {model.input_size} px"
            console.print(f"written: {shown(written)} ({facts})", soft_wrap=True)
    return 0


@contextlib.contextmanager
def warnings_in_one_line(console: Console) -> Iterator[None]:
    """Warnings are printed as sentences, without the line of code that they come from, and each once."""
    told = set()

    def show(message, *_, **__):
        text = " ".join(str(message).split())
        if text not in told:
            told.add(text)
            console.print(f"warning: {text}", style="yellow", markup=False, highlight=False, soft_wrap=True)

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


def write(arguments: argparse.Namespace, model: "FaceAligner", calibration: "np.ndarray | Faces | None") -> Path:
    """Exports a model as the command line says; returns the path."""
    notes = {name: getattr(arguments, name) for name in ("format", "precision", "licence", "training_data", "detector")}
    if arguments.model in presets.names():
        told = presets.cards.notes(presets.card(arguments.model))
        notes = {**notes, **{name: notes.get(name) or value for name, value in told.items()}}
    if not arguments.step:
        further = {"flip": arguments.flip, "batch": None if arguments.batch == "any" else 1, "keep_float": arguments.keep_float}
        return deploy.export(model, arguments.out, calibration=calibration, **further, **notes)
    if arguments.flip or arguments.batch == "any":
        raise ValueError("--step goes with neither --flip nor --batch any")
    return deploy.export_step(model, arguments.out, **notes)


def size(path: Path) -> int:
    """Bytes of all files of a model."""
    return sum(file.stat().st_size for file in files_of(path))
