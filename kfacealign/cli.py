"""The `kfacealign` command: what it accepts. What it does is in `kfacealign.commands`.

Nothing heavy is imported here, so that `--help` and mistakes answer at once.
"""

import argparse
import importlib
import os
import sys
import traceback

from kfacealign.quiet import quiet

SCHEMES = ("wflw98", "ibug68", "cofw29", "aflw19", "jd106", "menpo39")
DATASETS = ("wflw", "pts", "synthetic", "synthetic68", "synthetic106")
FLIP_HELP = "average with the answer on the mirrored crop (.keras models; exported ones by export --flip)"
MODEL_HELP = "a trained model (.keras) or an exported one (.tflite, or a SavedModel folder)"


def main(argv=None):
    """Runs one command.

    Args:
        argv: arguments without the program's name; by default those of the process.

    Returns:
        Exit status: 0 done, 1 some of the inputs failed (they were named), 2 a mistake in
        the input, told in one line on stderr, 130 interrupted.
    """
    arguments = build_parser().parse_args(argv)
    # TensorFlow's notices about this machine are not for this command's user; its errors are exceptions.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        with quiet():
            command = importlib.import_module(f"kfacealign.commands.{arguments.command}")
        return command.run(arguments)
    except (ValueError, OSError, ImportError) as error:
        if arguments.debug:
            traceback.print_exc()
        print(f"kfacealign: error: {one_line(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("kfacealign: interrupted", file=sys.stderr)
        return 130


def one_line(error):
    """An error's message without line breaks, a system error as `file: reason`."""
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split())


def build_parser():
    parser = argparse.ArgumentParser(
        prog="kfacealign",
        description="Facial landmark alignment: find landmarks in photographs, evaluate, export.",
        epilog="kfacealign COMMAND --help explains a command.",
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for add in (add_align, add_evaluate, add_export, add_codecs, add_models, add_synthetic):
        add(commands)
    return parser


def add_command(commands, name, help, description):
    """A command and its parser; `kfacealign.commands.NAME` runs it."""
    parser = commands.add_parser(name, help=help, description=description)
    parser.set_defaults(command=name)
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


# === Commands ===


def add_align(commands):
    parser = add_command(
        commands,
        "align",
        "find the landmarks of the faces in photographs",
        "Finds the faces of each photograph (OpenCV's Haar cascades) and their landmarks. Writes "
        "PHOTO_landmarks.png (the photograph with the landmarks drawn), PHOTO.json (landmarks in image coordinates, scores, "
        "boxes) and one .pts file for each face. A photograph that fails is named and skipped; the exit status is then 1.",
    )
    parser.add_argument("photos", nargs="+", metavar="PHOTO")
    parser.add_argument("--model", required=True, help=MODEL_HELP)
    parser.add_argument(
        "--box",
        type=box,
        metavar="X0,Y0,X1,Y1",
        help="the face's box, brows to chin and ear to ear, in pixels from the top-left corner, in place of the detector; "
        "write --box=X0,... if X0 is negative",
    )
    parser.add_argument(
        "--five-points",
        action="store_true",
        help="read each face a second time, turned upright by the eyes, nose and mouth found; for models trained on such crops",
    )
    parser.add_argument("--flip", action="store_true", help=FLIP_HELP)
    parser.add_argument("--out", default="aligned", metavar="DIR", help="directory of the results (default %(default)s)")


def add_evaluate(commands):
    parser = add_command(
        commands,
        "evaluate",
        "measure a model on a dataset's test faces",
        "Prints the errors of a model on the test part of a dataset, by subset and region, and writes report.json, ced.png, "
        "landmark_errors.png and predictions.png.",
    )
    parser.add_argument("--model", required=True, help=MODEL_HELP)
    parser.add_argument("--dataset", required=True, choices=DATASETS)
    parser.add_argument("--data-dir", metavar="DIR", help="the dataset's directory; synthetic faces are written to it if need be")
    parser.add_argument("--scheme", choices=SCHEMES, help="landmark scheme of --dataset pts (default: the model's)")
    parser.add_argument("--normalizer", help="what errors are divided by: inter_ocular, inter_pupil, box, diagonal or image")
    parser.add_argument(
        "--align", choices=("box", "five_points"), default="box", help="how faces are cropped; as in training (default %(default)s)"
    )
    parser.add_argument("--flip", action="store_true", help=FLIP_HELP)
    parser.add_argument(
        "--decoder",
        choices=("argmax", "shift", "wsm", "dark", "soft", "local"),
        help="read the heatmaps of a .keras model in another way than its own",
    )
    parser.add_argument("--out", default="evaluation", metavar="DIR", help="directory of the results (default %(default)s)")


def add_export(commands):
    parser = add_command(
        commands,
        "export",
        "write a trained model as TFLite or SavedModel",
        "Writes pixels -> network -> decoding as one graph, with the landmark scheme and the input size inside.",
    )
    parser.add_argument("--model", required=True, help="a trained model (.keras)")
    parser.add_argument("--out", required=True, metavar="PATH", help="NAME.tflite, or a folder for a SavedModel")
    parser.add_argument("--format", choices=("litert", "savedmodel"), help="by default as the suffix of --out says")
    parser.add_argument("--precision", choices=("float32", "float16", "int8"), default="float32", help="default %(default)s")
    parser.add_argument("--flip", action="store_true", help="average with the answer on the mirrored crop, in the graph")
    parser.add_argument(
        "--calibration",
        metavar="PATH",
        help="for int8: a folder of images (with .pts files beside them they are cropped as in training; without, each is "
        "taken to be a face crop), or a .npy array of crops (N, S, S, 3)",
    )


def add_codecs(commands):
    parser = commands.add_parser("codecs", help="study how landmarks are represented")
    parts = parser.add_subparsers(metavar="COMMAND", required=True)
    parser = add_command(
        parts,
        "quantization",
        "the error of encoding landmarks and decoding them again",
        "Prints the mean error (percent of the inter-ocular distance) that each representation makes on true landmarks, "
        "the part of a model's error that no training removes.",
    )
    parser.add_argument("--annotations", nargs="+", required=True, metavar="CSV", help="300W lists of landmarks")
    parser.add_argument("--scheme", choices=SCHEMES, default="ibug68", help="default %(default)s")


def add_models(commands):
    parser = add_command(
        commands,
        "models",
        "the size of every model beside its paper's",
        "Builds the models with random weights and prints their parameters, and multiply-adds or megabytes, beside the numbers "
        "that the papers give.",
    )
    names = ("pipnet", "coordnet", "mapnet", "hih", "lotr")
    parser.add_argument("--model", choices=names, help="only this one (default: all, about a minute)")


def add_synthetic(commands):
    parser = commands.add_parser("synthetic", help="render faces to disk in the layout of a dataset")
    layouts = parser.add_subparsers(metavar="LAYOUT", dest="layout", required=True)
    for layout, help in (
        ("wflw", "images and lists like WFLW's, 98 landmarks"),
        ("pts", "images with .pts files beside them, in train and test"),
        ("clips", "clips of a smoothly moving face, a folder of frames each"),
    ):
        description = f"Renders faces with exact landmarks: {help}. The same arguments give the same files."
        parser = add_command(layouts, layout, help, description)
        parser.set_defaults(command="synthetic")
        parser.add_argument("out", metavar="DIR")
        if layout == "clips":
            parser.add_argument("--clips", type=count, default=20, metavar="N", help="default %(default)s")
            parser.add_argument("--frames", type=count, default=30, metavar="N", help="of a clip (default %(default)s)")
        else:
            parser.add_argument("--train", type=count, default=2000, metavar="N", help="training faces (default %(default)s)")
            parser.add_argument("--test", type=count, default=400, metavar="N", help="test faces (default %(default)s)")
        if layout != "wflw":
            parser.add_argument("--scheme", choices=SCHEMES, default="ibug68", help="landmarks written (default %(default)s)")
        parser.add_argument("--size", type=count, default=256, help="side of the images in pixels (default %(default)s)")
        parser.add_argument("--seed", type=int, default=0, help="default %(default)s")


# === Values ===


def box(text):
    """`x0,y0,x1,y1` -> four floats."""
    try:
        x0, y0, x1, y1 = (float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected four numbers x0,y0,x1,y1, got {text!r}") from None
    if not (x0 < x1 and y0 < y1):
        raise argparse.ArgumentTypeError(f"x0 must be less than x1 and y0 less than y1, got {text!r}")
    return x0, y0, x1, y1


def count(text):
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a number, 0 or more, got {text!r}")
    return int(text)
