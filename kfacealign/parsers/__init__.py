"""What the parsers of the commands share. Nothing heavy is imported here or beside it."""

import argparse

SCHEMES = ("wflw98", "ibug68", "cofw29", "aflw19", "jd106", "menpo39")
# Those of `kfacealign.data.catalogue`; CelebA has no labels, the synthetic ones are rendered.
READ = ("300w", "300w-private", "300w-lp", "cofw", "cofw-grey", "cofw68", "aflw", "wflw", "wflw68", "menpo", "menpo-profile")
READ += ("jd106", "lapa", "celeba", "300vw", "talking-face", "csv", "pts", "packed")
DATASETS = (*(name for name in READ if name != "celeba"), "synthetic", "synthetic68", "synthetic106")
PROTOCOLS = ("300w", "wflw", "cofw", "cofw68", "aflw", "menpo", "300vw", "jd106")
FLIP_HELP = "average with the answer on the mirrored crop (.keras models; exported ones by export --flip)"
MODEL_HELP = "a trained model (.keras), an exported one (.tflite, or a SavedModel folder), or a bundled one (kfacealign presets)"


def add_command(commands, name, help, description):
    """A command and its parser; `kfacealign.commands.NAME` runs it."""
    parser = commands.add_parser(name, help=help, description=description)
    parser.set_defaults(command=name)
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


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
