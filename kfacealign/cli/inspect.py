"""`kfacealign inspect`: what is in an exported file."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Column, Table

from kfacealign.console import make_console, shown
from kfacealign.deploy import error_bands
from kfacealign.deploy.measure import inspection
from kfacealign.deploy.runtime.formats import files_of

DESCRIPTION = (
    "Prints the metadata of a .tflite, .onnx or .xml file, its inputs and outputs, its operators with their counts, and how many "
    "nodes of a .tflite file XNNPACK takes."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="a .tflite or .onnx file")


def run(arguments: argparse.Namespace) -> int:
    path = Path(arguments.file)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file")
    if path.suffix not in inspection.SUFFIXES:
        raise ValueError(f"{path}: inspect reads .tflite, .onnx and OpenVINO's .xml files")
    console = make_console()
    found = inspection.read_metadata(path)
    inputs, outputs = inspection.tensors(path)
    counted = inspection.operators(path)
    console.print(f"{shown(path)}, {sum(file.stat().st_size for file in files_of(path)) / 1e6:.2f} MB", soft_wrap=True)
    console.print(metadata_table(found) if found else "no kfacealign metadata: the file was not written by kfacealign export")
    if found and error_bands.is_bands(found.get("errors")):
        console.print(error_table(found["errors"]))
        for sentence in error_bands.sentences(found["errors"]):
            console.print(sentence, soft_wrap=True)
    console.print(tensor_table(inputs, outputs))
    console.print(operator_table(counted))
    if path.suffix == ".onnx":
        console.print(f"opset {inspection.onnx_opset(path)}")
    if path.suffix != ".tflite":
        return 0
    delegates, taken, total, left = inspection.delegated_nodes(path)
    rest = f"left to the interpreter: {', '.join(left) or 'none'}"
    console.print(f"XNNPACK takes {taken} of {total} nodes, in {delegates} piece{'s' * (delegates != 1)}; {rest}", soft_wrap=True)
    shares = inspection.delegated_parts(path)
    if shares:
        console.print(share_table(shares))
    return 0


def metadata_table(found: Mapping[str, Any]) -> Table:
    """The metadata as a table, one entry a row; long lists are counted and cut."""
    made = Table("metadata", "", title_justify="left")
    for key, value in found.items():
        if key == "errors":  # they have a table of their own
            continue
        text = str(value)
        if isinstance(value, list) and len(value) > 6:
            text = f"{len(value)}: {', '.join(map(str, value[:6]))}, ..."
        elif isinstance(value, dict):
            text = ", ".join(f"{name} {entry}" for name, entry in value.items())
        made.add_row(shown(key), shown(text))
    return made


def error_table(bands: Sequence[Mapping[str, Any]]) -> Table:
    """How errors grow with the turn of the head, as a table with a bar for each band."""
    made = Table("head turned", "error, % of the box", "", title_justify="left")
    top = max((band["error"] for band in bands), default=0) or 1
    for kind in error_bands.OF:
        for band in error_bands.of_kind(bands, kind):
            bar = "█" * max(1, round(24 * band["error"] / top))
            made.add_row(f"{kind} {band['from']:g} to {band['to']:g} degrees", f"{band['error']:.2f}", bar)
    return made


def tensor_table(inputs: Sequence[inspection.Tensor], outputs: Sequence[inspection.Tensor]) -> Table:
    """Inputs and outputs as a table."""
    made = Table("tensor", "name", "shape", "type")
    for kind, tensors in (("input", inputs), ("output", outputs)):
        for tensor in tensors:
            made.add_row(kind, shown(tensor.name), " x ".join(map(str, tensor.shape)), tensor.dtype)
    return made


def share_table(shares: Sequence[inspection.Share]) -> Table:
    """What XNNPACK takes of each part of inference, as a table."""
    right = [Column(name, justify="right") for name in ("nodes", "XNNPACK")]
    made = Table("part", *right, "left to the interpreter")
    for share in shares:
        made.add_row(share.part, str(share.nodes), str(share.taken), ", ".join(share.left))
    return made


def operator_table(counted: Sequence[tuple[str, str, int]]) -> Table:
    """The operators of a file and their counts as a table."""
    made = Table("operator", "type", Column("count", justify="right"))
    for name, kind, count in counted:
        made.add_row(shown(name), kind.lower(), str(count))
    return made
