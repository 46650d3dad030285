"""`kfacealign codecs quantization`: what each representation loses by itself."""

import argparse

import numpy as np
from rich.table import Table

from kfacealign import schemes
from kfacealign.cli.arguments import add_part, add_scheme
from kfacealign.console import make_console
from kfacealign.data.readers.csv_lists import read_list

DESCRIPTION = "Studies representations of landmarks. kfacealign codecs COMMAND --help explains a command."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parts = parser.add_subparsers(metavar="COMMAND", required=True)
    part = add_part(
        parts,
        "quantization",
        "the error of encoding landmarks and decoding them again",
        "Prints the mean error (percent of the inter-ocular distance) that each representation makes on true landmarks, "
        "the part of a model's error that no training removes.",
    )
    part.add_argument("--annotations", nargs="+", required=True, metavar="CSV", help="300W lists of landmarks")
    add_scheme(part, "landmark scheme of the lists (default %(default)s)", default="ibug68")


def run(arguments: argparse.Namespace) -> int:
    from kfacealign.codecs.quantization import quantization_table

    scheme = schemes.get(arguments.scheme)
    lists = [read_list(path, scheme=scheme) for path in arguments.annotations]
    whole = [(faces.weights > 0).all(1) for faces in lists]  # a face with points that are not annotated tells nothing
    landmarks = np.concatenate([faces.landmarks[kept] for faces, kept in zip(lists, whole, strict=True)])
    if not len(landmarks):
        raise ValueError(f"{', '.join(arguments.annotations)}: there is no face whose points are all annotated")
    rows = quantization_table(landmarks, scheme)
    table = Table(title=f"encoded and decoded again: {len(landmarks):,} faces, {scheme.name}", title_justify="left")
    table.add_column("representation")
    table.add_column("NME, % inter-ocular", justify="right")
    table.add_column("of the first", justify="right")
    for name, error in rows:
        table.add_row(name, f"{error:.3f}", f"{error / rows[0][1]:.3f}")
    make_console().print(table)
    return 0
