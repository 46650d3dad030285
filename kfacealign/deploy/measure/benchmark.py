"""What models cost: latency, memory, size on disk, nodes that XNNPACK takes.

Measured in processes of their own: the number of threads of TensorFlow is fixed when it starts, and a process that has
loaded one model has paid for much of what the next one needs.
"""

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from kfacealign.deploy import metadata
from kfacealign.deploy.measure import inspection

WARM_UP = 5  # reads of each file before those that count
# After a read, threads of ONNX Runtime and of TensorFlow look for more work for a while, on the core of the next in turn.
PAUSE = 0.01  # seconds
PREFIX = "kfacealign-benchmark "  # of the lines that a process says something in; libraries write there too
SUFFIXES = (".keras", ".tflite", ".onnx")


@dataclasses.dataclass(frozen=True)
class Cost:
    """One file on one number of threads.

    Attributes:
        path: of the file or folder. threads: CPU threads.
        median, p90: milliseconds of `align` on one crop. ratio: of the median to that of the first file on as many threads.
        bytes: size on disk.
        delegated, nodes: how many nodes XNNPACK takes, of all; None for other than `.tflite`.
        before: bytes resident before loading, with kfacealign and its backend imported. peak: the most resident while
            loading and reading crops, `before` included; both on the first number of threads, None where the system
            does not tell.
    """

    path: str
    threads: int
    median: float
    p90: float
    ratio: float
    bytes: int
    delegated: int | None
    nodes: int | None
    before: int | None
    peak: int | None


def bench(paths, threads=(1,), runs=100, advance=lambda: None):
    """Latency, memory and size of models, the files taking turns so that whatever else the machine does falls on all.

    Args:
        paths: `.keras`, `.tflite` and `.onnx` files and SavedModel folders, in any mix; ratios are to the first.
        threads: numbers of CPU threads. Under JAX, `.keras` files take as many as they like.
        runs: timed reads of each file on each number of threads.
        advance: called after each of `steps(paths, threads, runs)` steps, for a progress bar.

    Returns:
        List of `Cost`, by threads, then in the order of the files.

    Raises:
        FileNotFoundError: a file is not there. ValueError: one was not written by kfacealign, or does not run.

    Example:
        >>> for cost in bench(["model.keras", "model.tflite", "model.onnx"], threads=(1, 2)):
        ...     print(cost.path, cost.threads, cost.median)
    """
    paths = [str(path) for path in paths]
    for path in paths:
        check(path)
    facts = {path: facts_of(path, threads[0], advance) for path in dict.fromkeys(paths)}
    costs = []
    for number in threads:
        taken = measured({"measure": "latency", "paths": paths, "threads": number, "runs": runs}, advance)
        medians = [float(np.median(times)) for times in taken]
        for path, times, median in zip(paths, taken, medians, strict=True):
            costs.append(Cost(path, number, median, float(np.percentile(times, 90)), median / medians[0], **facts[path]))
    return costs


def steps(paths, threads, runs):
    """How often `bench` calls `advance`."""
    return len(set(map(str, paths))) + len(threads) * (WARM_UP + runs)


def check(path):
    """Refuses what is not a model of ours, as far as can be told without loading it.

    Raises:
        FileNotFoundError: nothing is there. ValueError: it is no model of kfacealign.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such model")
    if path.suffix in (".tflite", ".onnx"):
        found = inspection.read_metadata(path)
        metadata.parse(None if found is None else json.dumps(found), path)
    elif path.suffix not in SUFFIXES and not (path / "saved_model.pb").exists():
        raise ValueError(f"{path} is not a model: give a .keras, .tflite or .onnx file or a SavedModel folder")


def facts_of(path, threads, advance=lambda: None):
    """What does not change with the threads, as arguments of `Cost`."""
    delegated = nodes = None
    if path.endswith(".tflite"):
        _, delegated, nodes, _ = inspection.delegated_nodes(path)
    memory = measured({"measure": "memory", "paths": [path], "threads": threads, "runs": 3}, advance)
    files = [file for file in [Path(path), *Path(path).rglob("*")] if file.is_file()]
    return {"bytes": sum(file.stat().st_size for file in files), "delegated": delegated, "nodes": nodes, **memory}


# === Processes ===


def measured(task, advance):
    """The result of a task in a process of its own."""
    number = str(task["threads"])
    limits = {name: number for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")}
    command = [sys.executable, "-m", "kfacealign.deploy.measure.benchmark", json.dumps(task)]
    environment = {**os.environ, **limits, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    # What it complains of goes to a file: a pipe that nobody empties would stop it.
    with tempfile.TemporaryFile("w+") as complaints:
        said = listen(command, environment, complaints, advance)
        complaints.seek(0)
        complaint = complaints.read().strip().splitlines()
    if "error" in said:
        raise ValueError(said["error"])
    if "result" not in said:
        names = ", ".join(task["paths"])
        raise ValueError(f"{names}: the process that measures ended with status {said['status']}: {' '.join(complaint[-1:])}")
    return said["result"]


def listen(command, environment, complaints, advance):
    """The last thing that a process said, and its exit status as `status`."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=complaints, text=True, env=environment) as process:
        said = {}
        try:
            for line in process.stdout:
                if line.startswith(PREFIX):
                    said = json.loads(line.removeprefix(PREFIX))
                    if "step" in said:
                        advance()
        except BaseException:
            process.kill()
            raise
    return {**said, "status": process.returncode}


def work(task):
    """What the process does."""
    from kfacealign import deploy

    def load():
        return [deploy.load(path, threads=task["threads"]) for path in task["paths"]]

    measure = latencies if task["measure"] == "latency" else memory
    return measure(load, task["runs"])


def latencies(load, runs):
    """Milliseconds of every read, a list for each model that `load` returns.

    Every round has an order of its own: a large model leaves the one after it with empty caches and busy cores.
    """
    models = load()
    crops = [noise(model.input_size) for model in models]
    taken = [[] for _ in models]
    rng = np.random.default_rng(0)
    for run in range(WARM_UP + runs):
        for place in rng.permutation(len(models)):
            time.sleep(PAUSE)
            start = time.perf_counter()
            models[place].align(crops[place], verbose=0)
            if run >= WARM_UP:
                taken[place].append(1e3 * (time.perf_counter() - start))
        say("step", run)
    return taken


def memory(load, runs):
    """Bytes resident before loading, and the most that were afterwards."""
    before = resident("VmRSS")
    forget_peak()
    for model in load():
        for _ in range(runs):
            model.align(noise(model.input_size), verbose=0)
    say("step", 0)
    return {"before": before, "peak": resident("VmHWM")}


def noise(size):
    """One crop (1, S, S, 3) uint8."""
    return np.random.default_rng(0).integers(0, 256, (1, size, size, 3), "uint8")


def resident(name):
    """Bytes that Linux states for this process: VmRSS, resident now, or VmHWM, the most so far; None elsewhere."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    found = [int(line.split()[1]) * 1024 for line in lines if line.startswith(name)]
    return found[0] if found else None


def forget_peak():
    """Begins the peak of this process anew; without it the peak would be that of the imports."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def say(what, value):
    print(f"\n{PREFIX}{json.dumps({what: value})}", flush=True)


if __name__ == "__main__":
    try:
        say("result", work(json.loads(sys.argv[1])))
    except (ValueError, OSError, ImportError) as error:
        say("error", str(error))
