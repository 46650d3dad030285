"""`kfacealign bench`: what models cost, side by side."""

import argparse
import dataclasses
import json
import os
from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.progress import Progress
from rich.table import Column, Table

from kfacealign.cli.arguments import add_from, add_trust, count
from kfacealign.console import make_console, shown
from kfacealign.deploy.measure import benchmark
from kfacealign.files import replacing

DESCRIPTION = (
    "Measures how long each model takes for one crop (median and 90th percentile, the models taking turns), how much memory, "
    "how much disk, and how many nodes of a .tflite file XNNPACK takes; docs/bench.md explains the columns."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("models", nargs="+", metavar="MODEL", help=".keras, .tflite, .onnx or .xml files, or SavedModel folders")
    parser.add_argument("--threads", nargs="+", type=count, default=[1], metavar="N", help="numbers of CPU threads (default 1)")
    parser.add_argument("--runs", type=count, default=100, metavar="N", help="timed reads of each model (default %(default)s)")
    parser.add_argument(
        "--runtime",
        choices=("interpreter", "compiled"),
        default="interpreter",
        help="compiled: run .tflite files a second time, by LiteRT's CompiledModel, and say how far its answers are from the "
        "interpreter's (default %(default)s)",
    )
    add_from(parser)
    add_trust(parser)
    parser.add_argument("--json", metavar="FILE", help="also write the figures there")


def run(arguments: argparse.Namespace) -> int:
    console = make_console()
    if not arguments.runs or 0 in arguments.threads:
        raise ValueError("--runs and --threads are numbers from 1 on")
    threads = list(dict.fromkeys(arguments.threads))
    for path in arguments.models:
        benchmark.check(path)
    wanted = {"threads": threads, "runs": arguments.runs, "compiled": arguments.runtime == "compiled"}
    means = {"methods": arguments.methods, "trust": arguments.trust}
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("measuring", total=benchmark.steps(arguments.models, **wanted))
        costs = benchmark.bench(arguments.models, **wanted, **means, advance=lambda: bar.advance(task))
    console.print(table(costs, arguments.runs))
    console.print(note(costs), soft_wrap=True)
    for line in differences(costs):
        console.print(line, soft_wrap=True)
    if arguments.json:
        content = {"cores": os.cpu_count(), "runs": arguments.runs, "files": [dataclasses.asdict(cost) for cost in costs]}
        with replacing(arguments.json) as temporary:
            temporary.write_text(json.dumps(content, indent=1), encoding="utf-8")
        console.print(f"written: {shown(arguments.json)}", soft_wrap=True)
    return 0


def table(costs: Sequence[benchmark.Cost], runs: int) -> Table:
    """The costs as a table of 80 columns; figures that do not depend on the threads are in the first block only."""
    headings = ("median", "p90", "ratio", "size", "nodes", "memory", "before")
    columns = (Column(name, justify="right", no_wrap=True) for name in headings)
    columns = (Column("model", overflow="fold"), Column("threads", justify="right"), *columns)
    made = Table(*columns, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    made.title, made.title_justify = f"one crop, {runs} reads by each model in turns, {os.cpu_count()} cores; ms and MB", "left"
    first = costs[0].threads
    for place, (cost, name) in enumerate(zip(costs, names(costs), strict=True)):
        if place and cost.threads != costs[place - 1].threads:
            made.add_section()
        facts = ("", "", "", "")
        if cost.threads == first:
            facts = (megabytes(cost.bytes, digits=2), shares(cost), megabytes(added(cost)), megabytes(cost.before))
        made.add_row(shown(name), str(cost.threads), f"{cost.median:.2f}", f"{cost.p90:.2f}", f"{cost.ratio:.2f}", *facts)
    return made


def note(costs: Sequence[benchmark.Cost]) -> str:
    """What the columns of the table mean."""
    return (
        f"ratio: of the median to that of {shown(costs[0].path)} on as many threads. nodes: those that XNNPACK takes, of all. "
        "memory: the most resident while the model is loaded and reads crops in a process of its own, less what was resident "
        "before, when Python, this package and its backend were (before)."
    )


def names(costs: Sequence[benchmark.Cost]) -> list[str]:
    """Short names of the rows, with the runtime where it is not the usual one."""
    paths = short([cost.path for cost in costs])
    return [f"{path}, {cost.runtime}" if cost.runtime else path for path, cost in zip(paths, costs, strict=True)]


def differences(costs: Sequence[benchmark.Cost]) -> list[str]:
    """How far the answers of CompiledModel are from those of the interpreter, a sentence for each file."""
    told = {cost.path: cost.difference for cost in costs if cost.difference is not None}
    far = {path: f"differ by at most {found:.1e} from" if found else "are to the bit" for path, found in told.items()}
    return [f"{shown(path)}: compiled, its answers on noise {words} those of the interpreter" for path, words in far.items()]


def added(cost: benchmark.Cost) -> int | None:
    """Bytes of memory that the model added, None where the system does not tell."""
    return None if cost.peak is None else max(0, cost.peak - cost.before)


def short(paths: Sequence[str]) -> Sequence[str]:
    """Short names of paths: the last part, or as many of the last parts as it takes to tell the paths apart."""
    for parts in range(1, 1 + max(len(Path(path).parts) for path in paths)):
        names = ["/".join(Path(path).parts[-parts:]) for path in paths]
        if len(set(names)) == len(set(paths)):
            return names
    return paths


def megabytes(count: int | None, *, digits: int = 0) -> str:
    """Bytes in MB (10^6), "-" for None."""
    return "-" if count is None else f"{count / 1e6:.{digits}f}"


def shares(cost: benchmark.Cost) -> str:
    """The nodes that XNNPACK takes, of all; "-" for other files than `.tflite`."""
    return "-" if cost.nodes is None else f"{cost.delegated}/{cost.nodes}"
