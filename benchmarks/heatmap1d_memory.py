"""What the resolution L of heatmaps costs in training: 2 N L values for 1D heatmaps against N L^2 for 2D ones.

    python benchmarks/heatmap1d_memory.py                                     # batch 10, 256 px: up to 16 GiB, an hour on a CPU
    python benchmarks/heatmap1d_memory.py --width 16 --stacks 1 --input-size 64 --batch-size 2 --resolutions 16 48

Every model trains in a process of its own, on random crops: its peak is that of the process, TensorFlow and all, or, on a
GPU, of the device. A process that needs more than --limit is ended, and the larger ones of its kind are not tried. The
last columns are ratios to the first L of the same kind.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

from rich.console import Console
from rich.table import Table

# The process that measures the others imports neither Keras nor TensorFlow, so that nothing of it counts.
KINDS = ("1d", "2d")
GIB = 2**30


def train(arguments):
    """Trains one model and prints what it took as JSON."""
    import keras
    import numpy as np

    import kfacealign as kfa

    keras.utils.set_random_seed(0)
    build = kfa.models.AttentiveHeatmap1D if arguments.kind == "1d" else kfa.models.Heatmap2D
    size = {"stacks": arguments.stacks, "width": arguments.width, "input_size": arguments.input_size}
    model = build(arguments.scheme, resolution=arguments.resolution, **size)
    model.compile(keras.optimizers.Adam(1e-4))
    rng, batch, points = np.random.default_rng(0), arguments.batch_size, model.scheme.num_points
    images = rng.integers(0, 256, (batch, model.input_size, model.input_size, 3)).astype("uint8")
    labels = {"landmarks": rng.uniform(0.1, 0.9, (batch, points, 2)).astype("float32")}
    labels["weights"] = np.ones((batch, points), "float32")
    seconds = []
    for _ in range(arguments.steps + 1):
        start = time.perf_counter()
        model.train_on_batch(images, labels)
        seconds.append(time.perf_counter() - start)
    values = sum(np.prod(output.shape[1:]) for output in model.network.output.values())
    peak, where = peak_memory()
    print(json.dumps({"values": int(values), "peak": peak, "where": where, "seconds": float(np.median(seconds[1:]))}))


def peak_memory():
    """Most bytes in use at a time, and where: on the GPU if there is one, else in this process."""
    import keras

    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        if tf.config.list_physical_devices("GPU"):
            return tf.config.experimental.get_memory_info("GPU:0")["peak"], "device"
    return status_bytes("self", "VmHWM"), "process"


def status_bytes(process, field):
    """A size in /proc/PROCESS/status in bytes; 0 where the process is gone."""
    try:
        with open(f"/proc/{process}/status") as file:
            lines = [line for line in file if line.startswith(f"{field}:")]
    except OSError:
        return 0
    return int(lines[0].split()[1]) * 1024 if lines else 0


def measure(arguments, kind, resolution):
    """What a model took, as `train` prints it, or {"failed": why}."""
    command = [sys.executable, __file__, "--kind", kind, "--resolution", str(resolution)]
    for name in ("scheme", "stacks", "width", "input_size", "batch_size", "steps"):
        command += [f"--{name.replace('_', '-')}", str(getattr(arguments, name))]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "TF_FORCE_GPU_ALLOW_GROWTH": "true"}
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:  # files never fill up, pipes do
        child = subprocess.Popen(command, stdout=output, stderr=errors, env=environment)
        while child.poll() is None:
            if status_bytes(child.pid, "VmRSS") > arguments.limit * GIB:
                child.kill()
                child.wait()
                return {"failed": f"more than {arguments.limit:g} GiB"}
            time.sleep(0.05)
        output.seek(0)
        errors.seek(0)
        printed, complaints = output.read(), errors.read()
    if child.returncode:
        last = (complaints.strip().splitlines() or [f"ended by signal {-child.returncode}"])[-1]
        return {"failed": last[:80]}
    found = json.loads(printed.strip().splitlines()[-1])
    return {"failed": f"more than {arguments.limit:g} GiB"} if found["peak"] > arguments.limit * GIB else found


def compare(arguments, console):
    """All models, the table of what they took, and for each kind the ratio of its last peak to its first."""
    title = (
        f"training, batch {arguments.batch_size}, {arguments.input_size} px, {arguments.scheme}, "
        f"{arguments.stacks} stacks of width {arguments.width}"
    )
    columns = ("maps", "L", "values", "GiB", "s a step", "x values", "x GiB", "x s")
    table, where = Table(*columns, title=title), set()
    for kind in arguments.kinds:
        first = None
        for resolution in arguments.resolutions:
            with console.status(f"{kind} heatmaps, L = {resolution}"):
                found = measure(arguments, kind, resolution)
            if "failed" in found:
                table.add_row(kind, str(resolution), "", found["failed"], "", "", "", "")
                break
            first = first or found
            where.add(found["where"])
            ratios = [f"{found[name] / first[name]:.2f}" for name in ("values", "peak", "seconds")]
            table.add_row(
                kind, str(resolution), f"{found['values']:,}", f"{found['peak'] / GIB:.2f}", f"{found['seconds']:.2f}", *ratios
            )
    console.print(table)
    console.print(f"values of one face, peak memory of the {' and the '.join(sorted(where)) or 'process'}")


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--resolutions", type=int, nargs="+", default=[64, 128, 256, 384, 512, 640, 768])
    parser.add_argument("--scheme", default="ibug68")
    parser.add_argument("--stacks", type=int, default=4)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--input-size", type=int, default=256)
    parser.add_argument("--batch-size", type=int, default=10)
    parser.add_argument("--steps", type=int, default=3, help="timed, after a first one that is not (default %(default)s)")
    parser.add_argument("--limit", type=float, default=16.0, help="GiB at which a process is ended (default %(default)s)")
    parser.add_argument("--kind", choices=KINDS, help=argparse.SUPPRESS)
    parser.add_argument("--resolution", type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    arguments = parse()
    if arguments.kind:
        train(arguments)
    else:
        compare(arguments, Console())
