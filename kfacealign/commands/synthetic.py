"""`kfacealign synthetic`: rendered faces on disk."""

from rich.console import Console

from kfacealign.data import synthetic_disk


def run(arguments):
    out, size, seed = arguments.out, arguments.size, arguments.seed
    return 0
