"""What decoding takes of a TFLite file's time, for any trained or untrained models.

    python benchmarks/decode_share.py exported/*/model.keras           # those that export/export_suite.py leaves
    python benchmarks/decode_share.py runs/wflw_hih/model.keras --threads 1 2 --runs 100

Each part of the float32 graph (docs/export.md) is converted apart and runs alone on what the part before it found of one
noisy crop; parts take turns, figures are medians. Decoding is all that is no network: for PIPNet finding the winning cells
and merging votes, and not the product between them, which gathers what the authors' network computes at every cell.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

import kfacealign as kfa
from kfacealign.deploy.exporting import conversion, graphs
from kfacealign.interpreter import interpreter_class

NETWORK = ("network", "step", "offsets", "regression")  # parts that are none of the decoding


def part_models(model):
    """The parts of a model's inference as functional models, a tracker's step included."""
    if not hasattr(model, "step_parts"):
        return [part for part, _ in graphs.part_models(model)]
    shapes = {"image": (1, model.input_size, model.input_size, 3), **model.states}
    return [graphs.part_model(part.name, part.inputs, part.function, shapes) for part in model.step_parts()]


def prepared(part, tensors, threads):
    """An interpreter of a part that is ready to run; what it finds is added to `tensors`."""
    interpreter = interpreter_class()(model_content=conversion.convert(part), num_threads=threads)
    runner = interpreter.get_signature_runner()
    tensors.update(runner(**{name: tensors[name] for name in part.input}))
    return interpreter


def medians(interpreters, runs):
    """Median milliseconds of each, all taking turns; the first three runs fill the caches."""
    taken = {name: [] for name in interpreters}
    for run in range(runs + 3):
        for name, interpreter in interpreters.items():
            start = time.perf_counter()
            interpreter.invoke()
            if run >= 3:
                taken[name].append(1e3 * (time.perf_counter() - start))
    return {name: float(np.median(values)) for name, values in taken.items()}


def measured(path, threads, runs):
    """Milliseconds of the network and of decoding."""
    model = kfa.deploy.load(path)
    parts = part_models(model)
    image = np.random.default_rng(0).uniform(0, 255, (1, model.input_size, model.input_size, 3)).astype("float32")
    tensors = {"image": image}
    for name, shape in getattr(model, "states", {}).items():
        tensors[name] = np.zeros(shape, "float32")
    taken = medians({part.name: prepared(part, tensors, threads) for part in parts}, runs)
    network = sum(value for name, value in taken.items() if name in NETWORK)
    return network, sum(taken.values()) - network


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="MODEL", help="a .keras file")
    parser.add_argument("--threads", type=int, nargs="+", default=(1, 2))
    parser.add_argument("--runs", type=int, default=30, help="timed runs of each part (default %(default)s)")
    arguments = parser.parse_args()
    console = Console()
    table = Table(title=f"float32 TFLite, batch 1, medians of {arguments.runs} runs")
    for heading in ("model", "threads", "network, ms", "decoding, ms", "decoding, % of the network"):
        table.add_column(heading, no_wrap=True)
    for path in arguments.models:
        for threads in arguments.threads:
            network, decoding = measured(path, threads, arguments.runs)
            name = f"{Path(path).parent.name}/{Path(path).name}"
            table.add_row(name, str(threads), f"{network:.2f}", f"{decoding:.3f}", f"{100 * decoding / network:.2f}")
    console.print(table)


if __name__ == "__main__":
    main()
