"""Parsers of the commands about models and representations."""

from kfacealign.parsers import SCHEMES, add_command


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
    names = ("pipnet", "coordnet", "mapnet", "hih", "lotr", "heatmap1d")
    parser.add_argument("--model", choices=names, help="only this one (default: all, about a minute)")
