"""Latency of the int8 TFLite model over the float32 one.

    python benchmarks/litert_latency.py                       # HIH as the quick recipe builds it
    python benchmarks/litert_latency.py --model runs/x/model.keras

Runs of the two alternate, so that whatever else the machine does falls on both; the
ratio is of the medians.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

import kfacealign as kfa


def latencies(aligners, image, runs):
    """Name -> median seconds of one crop, the aligners taking turns."""
    seconds = {name: [] for name in aligners}
    for run in range(runs + 3):
        for name, aligner in aligners.items():
            start = time.perf_counter()
            aligner.run(image)
            if run >= 3:  # the first runs warm the caches
                seconds[name].append(time.perf_counter() - start)
    return {name: float(np.median(times)) for name, times in seconds.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="a .keras file; by default an untrained narrow HIH at 128 px")
    parser.add_argument("--runs", type=int, default=100)
    arguments = parser.parse_args()
    if arguments.model:
        model = kfa.deploy.load(arguments.model)
    else:
        model = kfa.models.HIH("wflw98", input_size=128, width=64, decimal_width=96)

    size = model.input_size
    crops = np.random.default_rng(0).uniform(0, 255, (16, size, size, 3)).astype("float32")
    table = Table(title=f"{type(model).__name__}, {size} px, {model.scheme.name}: median of {arguments.runs} interleaved runs")
    for column in ("threads", "float32, ms", "int8, ms", "int8 / float32"):
        table.add_column(column, justify="right")
    with tempfile.TemporaryDirectory() as folder:
        for precision in ("float32", "int8"):
            kfa.deploy.export(model, Path(folder) / f"{precision}.tflite", precision=precision, calibration=crops)
        for threads in (1, 2):
            aligners = {
                precision: kfa.deploy.LiteRTAligner(Path(folder) / f"{precision}.tflite", threads=threads)
                for precision in ("float32", "int8")
            }
            median = latencies(aligners, crops[:1], arguments.runs)
            ratio = median["int8"] / median["float32"]
            table.add_row(str(threads), f"{median['float32'] * 1e3:.2f}", f"{median['int8'] * 1e3:.2f}", f"{ratio:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
