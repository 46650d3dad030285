"""The flags and values that several commands share."""

import argparse
import math
from typing import Any

from kfacealign import scheme_files, schemes
from kfacealign.console import shown

MODEL_HELP = (
    "a trained model (.keras), an exported one (.tflite, .onnx, .xml of OpenVINO or a SavedModel folder), or a bundled one "
    "(kfacealign presets)"
)
FLIP_HELP = "average with the answer on the mirrored crop (.keras models; exported ones by export --flip)"


def add_part(parts: Any, name: str, explanation: str, description: str) -> argparse.ArgumentParser:
    """The parser of a command's part, such as `check` of `datasets`.

    Args:
        parts: what `add_subparsers` returned.
        name: the word that chooses the part.
        explanation: what the command's `--help` says of it.
        description: what its own `--help` begins with.
    """
    parser = parts.add_parser(name, help=explanation, description=description)
    # A `--debug` before the part has set the flag already; a default here would set it back.
    parser.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help="show the traceback of an error")
    return parser


def add_model(parser: argparse.ArgumentParser, *flags: str, **options: Any) -> None:
    """Adds the argument that names a model, and `--from`, which imports its class.

    Args:
        parser: the command's parser.
        flags: names of the argument; `--model` by default.
        options: further arguments of `add_argument`.
    """
    parser.add_argument(*(flags or ("--model",)), **options)
    add_from(parser)


def add_trust(parser: argparse.ArgumentParser) -> None:
    """Adds `--trust`, without which a SavedModel folder is not loaded."""
    parser.add_argument(
        "--trust",
        action="store_true",
        help="load SavedModel folders, which are programs, of makers that you trust (other models need no trust)",
    )


def add_from(parser: argparse.ArgumentParser) -> None:
    """Adds `--from MODULE`; `kfacealign.cli.main.import_methods` imports the module before the command runs."""
    parser.add_argument(
        "--from",
        dest="methods",
        action="append",
        default=[],
        metavar="MODULE",
        help="import this module, which defines a method of your own, first; may be given several times",
    )


def add_dataset(parser: argparse.ArgumentParser, **options: Any) -> None:
    """Adds `--dataset`, which chooses a labelled or a rendered dataset, and `--data-dir`.

    Args:
        parser: the command's parser.
        options: further arguments of `add_argument` for `--dataset`.
    """
    from kfacealign.data import catalogue

    parser.add_argument("--dataset", choices=catalogue.DATASETS, **options)
    parser.add_argument("--data-dir", metavar="DIR", help="the dataset's directory; synthetic faces are written to it if need be")
    add_missing(parser)


def add_scheme(parser: argparse.ArgumentParser, purpose: str, **options: Any) -> None:
    """Adds `--scheme`, which takes the name of a landmark scheme or the file of one of the user's own.

    Args:
        parser: the command's parser.
        purpose: what it is the scheme of, for `--help`.
        options: further arguments of `add_argument`.
    """
    parser.add_argument(
        "--scheme", type=scheme_files.argument, metavar="NAME|FILE", help=f"{purpose}: {scheme_files.HELP}", **options
    )


def add_missing(parser: argparse.ArgumentParser) -> None:
    """Adds `--missing`, the marks of points that are not annotated."""
    from kfacealign.data.readers import missing

    parser.add_argument("--missing", type=missing.mark, action="append", default=[], metavar="MARK", help=missing.HELP)


def add_detector(parser: argparse.ArgumentParser) -> None:
    """`--detector` and `--min-score`."""
    parser.add_argument(
        "--detector",
        metavar="NAME|FILE",
        help="what finds the faces: blazeface, haar, or YuNet's .onnx file (default: the best one installed, which is named)",
    )
    parser.add_argument(
        "--min-score",
        type=finite,
        metavar="SCORE",
        help="least score of a face, from 0 to 1 (default: 0.6; with haar 0, because its scores only count detections)",
    )


def add_second_look(parser: argparse.ArgumentParser) -> None:
    """`--second-look`."""
    parser.add_argument(
        "--second-look",
        choices=("rolled", "all", "none"),  # those of `kfacealign.photo`, whose imports would slow --help down
        default="rolled",
        help="which faces are read a second time in the box of their own landmarks: those that are rolled by more than 30 "
        "degrees, turned upright (default), all, which serves boxes that are not exact, or none; --five-points takes its place",
    )


def add_pose(parser: argparse.ArgumentParser, written: str, *, picture: str) -> None:
    """`--pose` and `--focal`, which `check_pose` looks at.

    Args:
        parser: the command's parser.
        written: where poses are written, for `--help`.
        picture: what the camera takes, for `--help`.
    """
    parser.add_argument("--pose", action="store_true", help=f"write which way each head is turned{written}, and draw its axes")
    parser.add_argument(
        "--focal",
        type=positive,
        metavar="PIXELS",
        help=f"with --pose: the camera's focal length in pixels of the {picture} (default: its longer side); the camera is taken "
        f"to look through the middle of the {picture}",
    )


def check_pose(arguments: argparse.Namespace, scheme: schemes.Scheme) -> None:
    """Refuses `--pose` of a scheme without points in three dimensions, and `--focal` without `--pose`.

    Raises:
        ValueError: either of the two.
    """
    from kfacealign import pose

    if arguments.focal is not None and not arguments.pose:
        raise ValueError("--focal is the focal length of --pose: add --pose, or leave --focal out")
    if arguments.pose and pose.head_points(scheme) is None:
        raise ValueError(f"--pose: {shown(scheme.name)} has no points in three dimensions; leave --pose out")


def align_options(arguments: argparse.Namespace) -> dict:
    """The arguments that the command line adds to a call of a model's `align`.

    Raises:
        ValueError: `--flip` was given for an exported model.
    """
    if not arguments.flip:
        return {}
    if not arguments.model.endswith(".keras"):
        raise ValueError(
            f"{arguments.model}: whether an exported model averages with the mirrored crop is chosen by export --flip"
        )
    return {"flip": True}


# === Values ===


def box(text: str) -> tuple[float, float, float, float]:
    """`x0,y0,x1,y1` -> four floats."""
    try:
        x0, y0, x1, y1 = (float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected four numbers x0,y0,x1,y1, got {text!r}") from None
    if not (x0 < x1 and y0 < y1):
        raise argparse.ArgumentTypeError(f"x0 must be less than x1 and y0 less than y1, got {text!r}")
    return x0, y0, x1, y1


def count(text: str) -> int:
    """A whole number, 0 or more."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a number, 0 or more, got {text!r}")
    return int(text)


def positive_count(text: str) -> int:
    """A whole number, 1 or more."""
    number = count(text)
    if not number:
        raise argparse.ArgumentTypeError(f"expected a number, 1 or more, got {text!r}")
    return number


def finite(text: str) -> float:
    """A finite number."""
    return _number(text, lambda value: True, "a number")


def positive(text: str) -> float:
    """A finite number above 0."""
    return _number(text, lambda value: value > 0, "a number above 0")


def not_negative(text: str) -> float:
    """A finite number, 0 or more."""
    return _number(text, lambda value: value >= 0, "a number, 0 or more")


def share(text: str) -> float:
    """A number from 0 to below 1."""
    return _number(text, lambda value: 0 <= value < 1, "a share, from 0 to below 1")


def _number(text, fits, expected):
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and fits(value)):
        raise argparse.ArgumentTypeError(f"expected {expected}, got {text!r}")
    return value
