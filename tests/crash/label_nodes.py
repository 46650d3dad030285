"""Takes a machine from under `kfacealign label --engine ray` and looks at its rows: `python tests/crash/label_nodes.py`.

A Ray cluster of two nodes of one CPU each is started on this machine. The CPU of the first node is held until the run has written
some shards, so its actor is on the second node, which is then killed. The run must go on, or end by itself, after which the same
command is called again; its rows must be those of a run in processes, in the same order, none twice, none missing.

How many shards are written before the node is killed is drawn from `--seed`.
"""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import ray
from crash import ROOT, begin, leftovers
from label_kills import done, rows_of, write_inputs
from ray.cluster_utils import Cluster
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from kfacealign.console import make_console

# For Ray's processes, too, which a busy machine is slow to start.
ENVIRONMENT = {
    "PYTHONPATH": str(ROOT),
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_raylet_start_wait_time_s": "120",
    "RAY_worker_register_timeout_seconds": "180",
}
TRIES = 3  # starts of a node, and calls of the command
STEP = 0.1  # seconds between two looks at the shards


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=400, help="default %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="of the moment (default %(default)s)")
    parser.add_argument(
        "--limit", type=float, default=600, metavar="SECONDS", help="a call that takes longer hangs (default 600)"
    )
    arguments = parser.parse_args()
    os.environ |= ENVIRONMENT
    console, problems = make_console(), []
    with tempfile.TemporaryDirectory() as folder, two_nodes() as (cluster, second):
        folder = Path(folder)
        write_inputs(folder / "pictures", arguments.pictures)
        whole, out = folder / "whole", folder / "out"
        words = ["-m", "kfacealign", "label", str(folder / "pictures"), "--workers", "1"]
        done([*words, "--out", str(whole)])
        units = len(shards(whole))
        moment = int(np.random.default_rng(arguments.seed).integers(1, units))
        command = [*words, "--out", str(out), "--engine", "ray", "--address", cluster.address]
        holder = held(cluster.head_node.node_id)
        process = begin(command)
        written = wait_for(out, moment, process, arguments.limit)
        ray.kill(holder)
        cluster.remove_node(second, allow_graceful=False)
        console.print(f"the second node is killed when {written} of {units} shards are written")
        if not written or written >= units:
            problems.append(f"{written} of {units} shards were written: the run was not in its middle")
        calls = called(process, command, arguments.limit, problems)
        problems += compared(rows_of(whole), rows_of(out) if out.exists() else [])
        problems += [f"{name} is left" for name in leftovers(out)]
        ray.shutdown()
    told = "\n".join(problems) or "none"
    console.print(f"{units} shards, {calls} calls of the command; problems: {told}", soft_wrap=True)
    return int(bool(problems))


@contextlib.contextmanager
def two_nodes() -> Iterator[tuple[Cluster, Any]]:
    """A cluster of two nodes of one CPU each, to which this process is connected, and the second of them."""
    cluster = Cluster()
    try:
        started(cluster, include_dashboard=False, no_monitor=True)
        second = started(cluster)
        ray.init(address=cluster.address, include_dashboard=False, log_to_driver=False)
        yield cluster, second
    finally:
        ray.shutdown()
        cluster.shutdown()


def started(cluster: Cluster, **options: Any) -> Any:
    """A new node of one CPU; Ray gives up early where the machine is busy, so it is tried again."""
    for left in reversed(range(TRIES)):
        with contextlib.suppress(*([Exception] if left else [])):
            return cluster.add_node(num_cpus=1, include_log_monitor=False, **options)


def held(node: str) -> Any:
    """An actor that holds the CPU of a node until it is killed."""
    place = NodeAffinitySchedulingStrategy(node, soft=False)
    holder = Holder.options(num_cpus=1, scheduling_strategy=place).remote()
    ray.get(holder.there.remote())
    return holder


@ray.remote
class Holder:
    """Does nothing."""

    def there(self) -> bool:
        return True


def shards(folder: Path) -> list[Path]:
    return sorted(folder.glob("shard-*.parquet"))


def wait_for(out: Path, count: int, process: subprocess.Popen, limit: float) -> int:
    """Waits until a run has written so many shards, or has ended; returns how many there are."""
    end = time.monotonic() + limit
    while len(shards(out)) < count and process.poll() is None and time.monotonic() < end:
        time.sleep(STEP)
    return len(shards(out))


def called(process: subprocess.Popen, command: list[str], limit: float, problems: list[str]) -> int:
    """Waits for a run, and calls the command again where it gave up; returns the number of calls."""
    for call in range(1, TRIES + 1):
        process = process if call == 1 else begin(command)
        try:
            _, errors = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            problems.append(f"call {call} hung")
            return call
        if process.returncode in (0, 1):  # 1: some pictures are damaged
            return call
        make_console(stderr=True).print(f"call {call}: status {process.returncode}: {errors[-500:]}", soft_wrap=True)
    problems.append(f"{TRIES} calls gave up")
    return TRIES


def compared(expected: list[tuple], found: list[tuple]) -> list[str]:
    """What is wrong with the rows."""
    if found == expected:
        return []
    twice, lost = len(found) - len(set(map(str, found))), len(set(map(str, expected)) - set(map(str, found)))
    return [f"{len(found)} rows, {twice} twice, {lost} missing or other"]


if __name__ == "__main__":
    sys.exit(main())
