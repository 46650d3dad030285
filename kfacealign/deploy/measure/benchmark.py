"""What models cost: latency, memory, size on disk, nodes that XNNPACK takes.

Each measurement runs in a process of its own: TensorFlow fixes its number of threads when it starts, and a process that has
loaded one model has paid for much of what the next one needs.
"""

import contextlib
import dataclasses
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from kfacealign.deploy import metadata
from kfacealign.deploy.measure import inspection
from kfacealign.deploy.runtime import formats
from kfacealign.deploy.runtime.compiled import CompiledAligner

WARM_UP = 5  # reads of each file that do not count
# Seconds between two reads: for a while after a read, threads of ONNX Runtime and TensorFlow look for more work, on the core
# that the next model needs.
PAUSE = 0.01
# It marks the lines by which a process reports; libraries write to the same stream.
PREFIX = "kfacealign-benchmark "


@dataclasses.dataclass(frozen=True)
class Cost:
    """What one file costs on one number of threads.

    Attributes:
        path: the file or folder.
        threads: number of CPU threads.
        median: milliseconds of `align` on one crop, the median of all reads.
        p90: milliseconds of `align` on one crop, the 90th percentile.
        ratio: the median over the first file's median on as many threads.
        bytes: size on disk.
        delegated: number of nodes that XNNPACK takes; None for other files than `.tflite`.
        nodes: number of all nodes; None for other files than `.tflite`.
        before: bytes resident before loading, when kfacealign and its backend were imported.
        peak: the most bytes resident while loading and reading crops, those of `before` included. `before` and `peak` are
            measured on the first number of threads, and None where the system does not tell.
        runtime: "compiled" where LiteRT's CompiledModel has run the file; "" for what `kfacealign.deploy.load` chooses.
        difference: of "compiled": the largest difference of an output's number from the interpreter's, on noise.
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
    runtime: str = ""
    difference: float | None = None


def bench(
    paths: Sequence[str | os.PathLike],
    *,
    threads: Sequence[int] = (1,),
    runs: int = 100,
    methods: Sequence[str] = (),
    trust: bool = False,
    compiled: bool = False,
    advance: Callable[[], Any] = lambda: None,
) -> list[Cost]:
    """Latency, memory and size of models.

    The files take turns, so that whatever else the machine does slows down all of them.

    Args:
        paths: `.keras`, `.tflite`, `.onnx` and OpenVINO's `.xml` files and SavedModel folders, in any mix; ratios are to the
            first.
        threads: numbers of CPU threads. Under JAX, `.keras` files take as many as they like.
        runs: timed reads of each file on each number of threads.
        methods: modules that define the classes of `.keras` files, where these are of another package.
        trust: whether SavedModel folders may be loaded, which are programs.
        compiled: whether `.tflite` files are measured a second time, by LiteRT's CompiledModel.
        advance: called after each of the `steps`, for a progress bar.

    Returns:
        List of `Cost`, ordered by threads, then as the files are; "compiled" comes behind the same file's own.

    Raises:
        FileNotFoundError: a file is not there.
        ValueError: a file was not written by kfacealign, or does not run; or CompiledModel is asked for, and no file is
            `.tflite` or it cannot be compiled.

    Example:
        >>> for cost in bench(["model.keras", "model.tflite", "model.onnx"], threads=(1, 2)):
        ...     print(cost.path, cost.threads, cost.median)
    """
    paths = [str(path) for path in paths]
    for path in paths:
        check(path)
    means = {"methods": list(methods), "trust": trust}
    rows = rows_of(paths, compiled)
    facts = {row: facts_of(*row, threads[0], means, advance=advance) for row in dict.fromkeys(rows)}
    costs = []
    for number in threads:
        ways = {"paths": [path for path, _ in rows], "runtimes": [runtime for _, runtime in rows]}
        taken = measured({"measure": "latency", **ways, "threads": number, "runs": runs, **means}, advance)
        medians = [float(np.median(times)) for times in taken]
        for row, times, median in zip(rows, taken, medians, strict=True):
            figures = (number, median, float(np.percentile(times, 90)), median / medians[0])
            costs.append(Cost(row[0], *figures, **facts[row], runtime=row[1]))
    return costs


def rows_of(paths: Sequence[str], compiled: bool) -> list[tuple[str, str]]:
    """(path, runtime) of each row of the table.

    Raises:
        ValueError: CompiledModel is asked for, and no file is `.tflite`.
    """
    if compiled and not any(path.endswith(".tflite") for path in paths):
        raise ValueError("LiteRT's CompiledModel runs .tflite files, and there is none among these")
    twice = ("", "compiled")
    return [(path, runtime) for path in paths for runtime in (twice if compiled and path.endswith(".tflite") else twice[:1])]


def steps(paths: Iterable[str | os.PathLike], *, threads: Sequence[int], runs: int, compiled: bool = False) -> int:
    """How often `bench` calls `advance`."""
    rows = set(rows_of(list(map(str, paths)), compiled))
    further = sum(runtime == "compiled" for _, runtime in rows)
    return len(rows) + further + len(threads) * (WARM_UP + runs)


def check(path: str | os.PathLike) -> None:
    """Refuses files that are no models of kfacealign, as far as this can be told without loading them.

    Raises:
        FileNotFoundError: nothing is there.
        ValueError: it is no model of kfacealign.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such model")
    if path.suffix in inspection.SUFFIXES:
        found = inspection.read_metadata(path)
        metadata.parse(None if found is None else json.dumps(found), path)
    elif path.suffix != ".keras" and not (path / "saved_model.pb").exists():
        raise ValueError(f"{path} is not a model: give a .keras, .tflite, .onnx or .xml file or a SavedModel folder")


def facts_of(
    path: str, runtime: str, threads: int, means: dict[str, Any], *, advance: Callable[[], Any] = lambda: None
) -> dict[str, int | float | None]:
    """The arguments of `Cost` that do not change with the number of threads."""
    delegated = nodes = None
    task = {"paths": [path], "runtimes": [runtime], "threads": threads, "runs": 3, **means}
    memory = measured({"measure": "memory", **task}, advance)
    if runtime == "compiled":
        both = {**task, "paths": [path, path], "runtimes": ["", runtime]}
        memory["difference"] = measured({"measure": "difference", **both}, advance)
    elif path.endswith(".tflite"):
        _, delegated, nodes, _ = inspection.delegated_nodes(path)
    return {
        "bytes": sum(file.stat().st_size for file in formats.files_of(path)),
        "delegated": delegated,
        "nodes": nodes,
        **memory,
    }


# === Processes ===


def measured(task: dict, advance: Callable[[], Any]) -> Any:
    """The result of a task in a process of its own.

    Args:
        task: dict of `measure` ("latency", "memory" or "difference"), `paths`, `threads`, `runs`, `methods` and `trust`, see
            `bench`; and, where they are not all "", `runtimes`, that of each path.
        advance: called after each step that the process reports.

    Returns:
        What `latencies`, `memory` or `difference` returns.

    Raises:
        ValueError: the process failed; the message says why.
    """
    number = str(task["threads"])
    limits = {name: number for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")}
    command = [sys.executable, "-m", "kfacealign.deploy.measure.benchmark", json.dumps(task)]
    environment = {**os.environ, **limits, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    # The process complains to a file: a pipe that nobody empties would stop it.
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


def listen(command: Sequence[str], environment: dict[str, str], complaints: TextIO, advance: Callable[[], Any]) -> dict[str, Any]:
    """Runs a process and returns its last report, with its exit status as `status`."""
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


def work(task: dict) -> Any:
    """The work of the process: `latencies`, `memory` or `difference`, as the task says."""
    # Keras and its backend are imported whatever the files need, so that `before` means the same for all of them.
    from kfacealign import deploy, models  # noqa: F401

    for module in task.get("methods", ()):
        importlib.import_module(module)

    def opened(path, runtime):
        if runtime == "compiled":
            return CompiledAligner(path, threads=task["threads"])
        return deploy.load(path, threads=task["threads"], trust=task.get("trust", False))

    def load():
        return list(map(opened, task["paths"], task.get("runtimes") or [""] * len(task["paths"])))

    return {"latency": latencies, "memory": memory, "difference": difference}[task["measure"]](load, task["runs"])


def latencies(load: Callable[[], list], runs: int) -> list[list[float]]:
    """Milliseconds of every timed read, a list of `runs` for each model that `load` returns.

    The order of the models changes from round to round: a large model leaves cold caches and busy cores to the one after it.
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


def memory(load: Callable[[], list], runs: int) -> dict[str, int | None]:
    """Bytes resident before loading as `before`, and the most bytes resident afterwards as `peak`."""
    before = resident("VmRSS")
    forget_peak()
    for model in load():
        for _ in range(runs):
            model.align(noise(model.input_size), verbose=0)
    say("step", 0)
    return {"before": before, "peak": resident("VmHWM")}


def difference(load: Callable[[], list], runs: int) -> float:
    """The largest difference of a number in the answers of two models, on `runs` crops of noise."""
    first, second = load()
    crops = np.random.default_rng(0).integers(0, 256, (runs, first.input_size, first.input_size, 3), "uint8")
    wanted, found = first.align_all(crops, verbose=0), second.align_all(crops, verbose=0)
    say("step", 0)
    return max(float(np.abs(found[name] - wanted[name]).max()) for name in wanted)


def noise(size: int) -> np.ndarray:
    """One crop of noise, (1, S, S, 3) uint8."""
    return np.random.default_rng(0).integers(0, 256, (1, size, size, 3), "uint8")


def resident(name: str) -> int | None:
    """Bytes of memory that Linux states for this process; None on other systems.

    Args:
        name: "VmRSS" for what is resident now, "VmHWM" for the most so far.
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    found = [int(line.split()[1]) * 1024 for line in lines if line.startswith(name)]
    return found[0] if found else None


def forget_peak() -> None:
    """Resets the peak of this process, which otherwise might date from the imports."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def say(what: str, value: Any) -> None:
    """Reports to the process that waits."""
    print(f"\n{PREFIX}{json.dumps({what: value})}", flush=True)


if __name__ == "__main__":
    try:
        say("result", work(json.loads(sys.argv[1])))
    except (ValueError, OSError, ImportError) as error:
        say("error", str(error))
