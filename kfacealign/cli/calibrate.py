"""`kfacealign calibrate`: a trained model learns to say which points are hidden, and how far off each may be."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from kfacealign import data, deploy, presets
from kfacealign.cli.arguments import add_dataset, add_model, add_scheme, count, positive_count
from kfacealign.console import make_console, shown
from kfacealign.files import replacing

if TYPE_CHECKING:
    from kfacealign.models.aligner import FaceAligner

DESCRIPTION = (
    "Gives a trained model two more answers: the probability that each point can be seen, and the ellipse in which it lies. The "
    "model itself stays as it is. A small head learns from a dataset's training faces; faces of other people set the size of the "
    "ellipses, so that they hold as many of the errors as they say. Where the dataset does not say which points are hidden, "
    "the visibility is learnt from rendered faces."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model(parser, required=True, help="a trained model (.keras), or a bundled one (kfacealign presets)")
    add_dataset(parser, default="pts", help="the dataset to learn from (default %(default)s)")
    add_scheme(parser, "landmark scheme of --dataset pts and csv (default: the model's)")
    parser.add_argument("--out", metavar="NEW.keras", help="the calibrated model (default: NAME_calibrated.keras)")
    parser.add_argument(
        "--kept-back",
        choices=("test", "train"),
        default="test",
        help="whose faces set the size of the ellipses: those of the test part, or of three in ten people of the training part, "
        "which only suit a model that was not trained on them (default %(default)s)",
    )
    parser.add_argument(
        "--rendered",
        type=positive_count,
        default=2000,
        metavar="N",
        help="rendered faces, where the dataset has no flags of hidden points (default %(default)s)",
    )
    parser.add_argument("--epochs", type=positive_count, default=30, metavar="N", help="epochs of the head (default %(default)s)")
    parser.add_argument("--seed", type=count, default=0, metavar="N", help="seed of the head and the rendered faces (default 0)")


def run(arguments: argparse.Namespace) -> int:
    console = make_console(soft_wrap=True)
    path = presets.chosen(arguments.model, keras=True, console=console)
    if not path.endswith(".keras"):
        raise ValueError(f"{shown(path)}: calibrate the .keras file, then export it")
    out = Path(arguments.out or f"{Path(path).stem}_calibrated.keras")
    if out.suffix != ".keras":
        raise ValueError(f"--out is a file NAME.keras, not {shown(str(out))}")
    from kfacealign.training import calibrating  # after the flags were checked: it imports Keras

    model = deploy.load(path)
    fit, held = parts(arguments, model)
    console.print(f"{len(fit):,} faces to learn from, {len(held):,} kept back ({arguments.kept_back})")
    made = calibrating.calibrate(model, fit, held, rendered=arguments.rendered, epochs=arguments.epochs, seed=arguments.seed)
    with replacing(out) as temporary:
        made.save(temporary)
    radii = ", ".join(f"{level:.0%} within {radius:.2f}" for level, radius in made.radii.items())
    console.print(f"of the errors, {radii} standard deviations")
    console.print(f"written: {shown(str(out))}")
    return 0


def parts(arguments: argparse.Namespace, model: "FaceAligner") -> tuple[data.Faces, data.Faces]:
    """The faces to learn from, and those that are kept back."""
    from kfacealign.training import calibrating

    needed = ("train", "test") if arguments.kept_back == "test" else ("train",)
    dataset = data.load_dataset(
        arguments.dataset,
        arguments.data_dir,
        scheme=arguments.scheme or model.scheme,
        needed=needed,
        missing=arguments.missing,
    )
    if arguments.kept_back == "test":
        return dataset.train, dataset.test
    return calibrating.split_people(dataset.train, calibrating.KEPT_BACK, seed=arguments.seed)
