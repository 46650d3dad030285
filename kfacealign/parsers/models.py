"""Parsers of the commands about models and representations."""

import argparse

from kfacealign.parsers import SCHEMES, add_command


def add_export(commands):
    parser = add_command(
        commands,
        "export",
        "write a trained model as TFLite, ONNX or SavedModel",
        "Writes pixels -> network -> decoding as one graph, with the landmark scheme and the input size inside. docs/export.md "
        "says how to read it elsewhere.",
    )
    parser.add_argument("--model", required=True, help="a trained model (.keras)")
    parser.add_argument(
        "--out", metavar="PATH", help="NAME.tflite, NAME.onnx, or a folder for a SavedModel; not needed with --report"
    )
    parser.add_argument("--format", choices=("litert", "onnx", "savedmodel"), help="by default as the suffix of --out says")
    parser.add_argument(
        "--precision",
        choices=("float32", "float16", "int8", "int8_io"),
        default="float32",
        help="int8_io: int8 that reads bytes, 0..255; all but float32 are for TFLite (default %(default)s)",
    )
    parser.add_argument(
        "--batch",
        choices=("1", "any"),
        default="1",
        help="crops that the graph takes at once; one is faster (default %(default)s)",
    )
    parser.add_argument("--flip", action="store_true", help="average with the answer on the mirrored crop, in the graph")
    parser.add_argument(
        "--step", action="store_true", help="of a tracker: the graph takes one frame and its state and returns the new state"
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
    parser.add_argument("--licence", metavar="TEXT", help="what the file says of the model's licence")
    parser.add_argument("--training-data", metavar="TEXT", help="what the file says of the data the model was trained on")
    parser.add_argument(
        "--detector",
        type=detector,
        metavar="RULE",
        help="what the file says of making the crop: 'haar' of this package's face detector's box, or SCALE,DX,DY: its side "
        "over the box's, and how far its centre lies right of and below the box's, in sides of the box",
    )


def detector(text):
    """`haar`, or `SCALE,DX,DY` -> what `kfacealign.deploy.export` takes."""
    if text == "haar":
        return text
    try:
        scale, dx, dy = map(float, text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected 'haar' or three numbers SCALE,DX,DY, got {text!r}") from None
    return {"scale": scale, "shift": [dx, dy]}


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
    names = ("pipnet", "coordnet", "mapnet", "hih", "lotr", "heatmap1d")
    parser.add_argument("--model", choices=names, help="only this one (default: all, about a minute)")
