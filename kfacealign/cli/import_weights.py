"""`kfacealign import-weights`: an authors' PyTorch checkpoint as a .keras model."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kfacealign import schemes
from kfacealign.cli.arguments import add_scheme, count
from kfacealign.console import make_console, shown
from kfacealign.files import replacing

DEFAULT_VARIANTS = {"fan": "2dfan"}
OF_PIPNET = ("stride", "neighbors", "meanface")


DESCRIPTION = (
    "Reads the weights that the authors of PIPNet, HIH and FAN published and writes a .keras file that every other command "
    "takes. Every tensor of the checkpoint is used once or named; files that would run code are refused. Needs PyTorch "
    "(pip install 'kfacealign[torch]')."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="a state dict saved by PyTorch (.pth, .pth.tar)")
    parser.add_argument("--model", required=True, choices=("pipnet", "hih", "fan"), help="whose checkpoint it is")
    parser.add_argument(
        "--variant", help="pipnet: resnet18, resnet50 or resnet101; hih: tiny, small or base; fan: 2dfan (its default)"
    )
    parser.add_argument("-o", "--out", required=True, metavar="FILE.keras", help="file of the model")
    add_scheme(parser, "landmark scheme of the checkpoint (default: wflw98; fan: ibug68)")
    parser.add_argument("--input-size", type=count, metavar="PIXELS", help="side of its crops (default 256)")
    parser.add_argument(
        "--enlarge", type=float, metavar="FACTOR", help="side of its crops over the landmark box's (default: the model's)"
    )
    parser.add_argument("--stride", type=count, metavar="PIXELS", help="pipnet: side of a cell (default 32)")
    parser.add_argument(
        "--neighbors", type=count, metavar="N", help="pipnet: neighbours that each landmark predicts (default 10)"
    )
    parser.add_argument(
        "--meanface",
        metavar="FILE",
        help="pipnet: the authors' meanface.txt, x0 y0 x1 y1 ..., in which the neighbours are found (default: this package's "
        "mean shape)",
    )


def run(arguments: argparse.Namespace) -> int:
    out = Path(arguments.out)
    if out.suffix != ".keras":
        raise ValueError(f"--out is a file NAME.keras, not {out}")
    options = model_options(arguments)
    from kfacealign import checkpoints  # after the flags were checked: it imports Keras

    variant = arguments.variant or DEFAULT_VARIANTS.get(arguments.model)
    checkpoints.architecture(arguments.model, variant)
    state = checkpoints.read(arguments.checkpoint)
    model, unused = checkpoints.convert(arguments.model, variant, state, source=arguments.checkpoint, **options)
    with replacing(out) as temporary:
        model.save(temporary)
    console = make_console(soft_wrap=True)
    console.print(f"{len(state) - len(unused)} of {len(state)} tensors used; not used: {describe(unused)}")
    note = checkpoints.caution(arguments.model, options)
    if note:
        console.print(f"note: {note}")
    console.print(f"written: {shown(out)} ({arguments.model} {variant}, {model.scheme.name}, {model.input_size} px)")
    return 0


def model_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """The arguments of the model that were given.

    Raises:
        ValueError: an option belongs to another model or is out of its range, or the mean face cannot be read.
        FileNotFoundError: there is no such file of a mean face.
    """
    foreign = [f"--{name}" for name in OF_PIPNET if getattr(arguments, name) is not None]
    if foreign and arguments.model != "pipnet":
        raise ValueError(f"{', '.join(foreign)} {'is' if len(foreign) == 1 else 'are'} for --model pipnet, not {arguments.model}")
    options = {name: getattr(arguments, name) for name in ("scheme", "input_size", "enlarge", "stride", "neighbors")}
    options = {name: value for name, value in options.items() if value is not None}
    if options.get("enlarge", 1.0) <= 0:
        raise ValueError(f"--enlarge must be positive, got {arguments.enlarge}")
    if arguments.meanface is not None:
        from kfacealign.checkpoints.pipnet import read_meanface

        points = schemes.get(options.get("scheme", "wflw98")).num_points
        options["mean_shape"] = read_meanface(arguments.meanface, points)
    return options


def describe(unused: Sequence[str]) -> str:
    """The tensors that were not used, in words."""
    return f"{len(unused)} counters of training steps (num_batches_tracked)" if unused else "none"
