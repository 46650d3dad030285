"""`kfacealign models`: parameters, and multiply-adds or megabytes, of the models, beside those of the papers."""

import argparse
import math
from typing import Any

from rich.progress import track
from rich.table import Table

from kfacealign import schemes
from kfacealign.cli.arguments import add_from
from kfacealign.console import make_console
from kfacealign.quiet import quiet

DESCRIPTION = (
    "Builds the networks of every method with random weights and prints their parameters, and multiply-adds or megabytes, "
    "beside the numbers that the papers give. Methods of your own are shown where --from names their modules."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument(
        "--model", nargs="+", metavar="NAME", help="only these, by their class, such as PIPNet (default: all, about a minute)"
    )
    add_from(parser)


def run(arguments: argparse.Namespace) -> int:
    """Prints a table of the networks whose papers give sizes, one of those in megabytes, and one of all others."""
    console = make_console()
    rows = chosen(arguments.model)
    published = [row for row in rows if row[1].gflops != "-"]
    megabytes = [row for row in rows if row[1].megabytes]
    others = [row for row in rows if row not in (*published, *megabytes)]
    for found, measured, made in (
        (published, measure, size_table),
        (megabytes, measure_megabytes, megabyte_table),
        (others, measure, plain_table),
    ):
        if found:
            console.print(made(found, [measured(*row) for row in track(found, "building", console=console, transient=True)]))
        for note in dict.fromkeys(variant.note for _, variant in found if variant.note):
            console.print(note)
    return 0


def chosen(names: list[str] | None) -> list[tuple]:
    """Pairs of a method's class and a variant: of the methods named, or of all that are known.

    Raises:
        ValueError: there is no such method; the message lists them.
    """
    with quiet():  # notices of TensorFlow and KerasHub when they start
        from kfacealign import models

    known = models.methods()
    by_name = {name.lower(): method for name, method in known.items()}
    unknown = [name for name in names or () if name.lower() not in by_name]
    if unknown:
        raise ValueError(f"no method is called {', '.join(unknown)}; there are {', '.join(known)}")
    methods = [by_name[name.lower()] for name in names] if names else known.values()
    return [(method, variant) for method in methods for variant in models.variants_of(method)]


def measure(method: type, variant: Any) -> tuple[int, int, int]:
    """Trainable parameters, multiply-adds and values of the output of a network at its default size, for one crop."""
    from kfacealign.models.complexity import multiply_adds, output_values, trainable_parameters

    with quiet():
        model = method(variant.scheme, **variant.settings)
    return trainable_parameters(model), multiply_adds(model.network), output_values(model.network)


def size_table(rows: list[tuple], sizes: list[tuple[int, int, int]]) -> Table:
    """The rows, and what `measure` found for each, beside the papers' figures."""
    table = Table(title="trainable parameters and multiply-adds of one crop", title_justify="left")
    for name in ("model", "network", "points", "parameters, M", "paper", "GFLOPs", "paper"):
        table.add_column(name, justify="left" if name in ("model", "network") else "right")
    for (method, variant), (parameters, operations, _) in zip(rows, sizes, strict=True):
        figures = (f"{parameters / 1e6:.2f}", variant.parameters, f"{operations / 1e9:.2f}", variant.gflops)
        table.add_row(method.__name__, variant.name, str(schemes.get(variant.scheme).num_points), *figures)
    return table


def plain_table(rows: list[tuple], sizes: list[tuple[int, int, int]]) -> Table:
    """The rows, and what `measure` found for each. The products of an attention are not among the multiply-adds."""
    table = Table(title="networks whose papers give no sizes; values are those of the output of one crop", title_justify="left")
    for name in ("model", "network", "values", "parameters, M", "GFLOPs"):
        table.add_column(name, justify="left" if name in ("model", "network") else "right")
    for (method, variant), (parameters, operations, values) in zip(rows, sizes, strict=True):
        figures = (f"{values:,}", f"{parameters / 1e6:.2f}", f"{operations / 1e9:.2f}")
        table.add_row(method.__name__, variant.name, *figures)
    return table


def measure_megabytes(method: type, variant: Any) -> tuple[int, int]:
    """Parameters of a network, batch-norm statistics among them, and the trainable ones."""
    from kfacealign.models.complexity import trainable_parameters

    with quiet():
        model = method(variant.scheme, **variant.settings)
    return model.count_params(), trainable_parameters(model)


def megabyte_table(rows: list[tuple], sizes: list[tuple[int, int]]) -> Table:
    """The rows, and what `measure_megabytes` found, as a table. Megabytes are cut off after two digits, as the paper's."""
    title = "parameters with batch-norm statistics, and four bytes of each trainable one"
    table = Table("network", title=title, title_justify="left")
    for name in ("parameters, M", "paper", "MB (2^20 bytes)", "paper"):
        table.add_column(name, justify="right")
    for (_, variant), (parameters, trainable) in zip(rows, sizes, strict=True):
        megabytes = math.floor(100 * 4 * trainable / 2**20) / 100
        table.add_row(variant.name, f"{parameters / 1e6:.2f}", variant.parameters, f"{megabytes:.2f}", variant.megabytes)
    return table
