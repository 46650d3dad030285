"""The same units on a cluster: Ray Data gives them to actors, each of which keeps one worker process.

The actors hold no model themselves. What is written, and how a run goes on, is the same as on one machine: the units and their
parts are files, so the folder of the results must be one that all machines see.

Ray Data starts an actor anew whose machine is lost, on another one, and gives it its units again, however often: `max_restarts`
and `max_task_retries` are -1 by default. (Ten retries were used up before Ray knew of the loss.) The unit goes on after its last
part; one that was complete, and of which nobody had heard, is labelled again, and the same rows take the place of the shard.
"""

import contextlib
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from kfacealign.cli.labelling.workers import NotLabelled, Worker

TRIES = 3  # starts of Ray on this machine
HALF = 0.5  # of a CPU, for the one actor of a cluster of one CPU
LOOK = 5.0  # seconds between two looks at the cluster
PATIENCE = 600.0  # seconds without news, after which that is told


class Actor:
    """Labels the units that Ray Data hands it, one at a time.

    Args:
        settings: of the workers.
    """

    def __init__(self, settings: dict[str, Any]):
        self.worker = Worker(settings)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        told = []
        for job in batch["job"]:
            self.worker.label(json.loads(job), told.append)
        counts = {name: sum(done[name] for done in told) for name in ("pictures", "faces")}
        return {"done": [json.dumps({**counts, "failed": [one for done in told for one in done["failed"]]})]}

    def __del__(self):
        self.worker.close()


def imported() -> Any:
    """Ray with Ray Data, which sends nobody statistics of its use.

    Raises:
        ImportError: it is not installed.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # Ray warns of a change to come otherwise
    os.environ["RAY_ENABLE_AUTO_CONNECT"] = "0"  # a look at a cluster that is shut down would start Ray
    try:
        import ray
        import ray.data
    except ImportError:
        raise ImportError("--engine ray needs Ray Data: pip install 'kfacealign[scale]'") from None
    return ray


def share_of(cpus: int, workers: int | None) -> tuple[int, float]:
    """How many actors there are, and the CPUs of each.

    Ray Data needs a CPU for its own tasks: where actors hold all of them, it waits for ever. So one is left to it.

    Args:
        cpus: of the cluster.
        workers: the number asked for, or None.

    Raises:
        ValueError: the cluster has no CPU.
    """
    if cpus < 1:
        raise ValueError("the Ray cluster has no CPU")
    most = max(1, cpus - 1)
    return min(workers or most, most), 1 if cpus > 1 else HALF


def start(ray: Any, address: str | None) -> None:
    """Connects to a cluster, or starts Ray on this machine, which a busy machine may not do in the 30 s that Ray waits for it.

    Raises:
        NotLabelled: there is no cluster at the address, or Ray does not start.
    """
    # Without an address Ray joins the cluster that was last started here, and waits for it though it may be gone.
    address = address or os.environ.get("RAY_ADDRESS")
    dashboard = None if address else False
    for left in reversed(range(TRIES)):
        try:
            ray.init(address=address or "local", include_dashboard=dashboard, log_to_driver=False, logging_level=logging.ERROR)
            return
        except Exception as error:  # Ray's own are of no common kind
            if address is not None or not left:
                told = " ".join(str(error).split())[:300]
                raise NotLabelled(f"Ray does not start, or is not there: {told}") from None
            ray.shutdown()


def on_ray(
    jobs: Sequence[dict[str, Any]], settings: dict[str, Any], workers: int | None, *, address: str | None, say: Any
) -> Iterator[dict[str, Any]]:
    """Labels units on a Ray cluster.

    Args:
        jobs: the units, see `Worker.label`.
        settings: of the workers.
        workers: number of actors; None is one for each CPU but one.
        address: of the cluster; None is that in the environment's `RAY_ADDRESS`, and without it one of this machine.
        say: is called with a line about what was changed.

    Yields:
        What was done, a unit at a time, as `Worker.label` tells it.

    Raises:
        ImportError: Ray is not installed.
        NotLabelled: there is no cluster at the address, it lost its machines, or a worker cannot work.
    """
    ray = imported()
    start(ray, address)
    try:
        cpus = int(ray.cluster_resources().get("CPU", 0))
        actors, share = share_of(cpus, workers)
        if workers is not None and actors < workers:
            say(f"{actors} actors, not {workers}: the cluster has {cpus} CPUs, of which Ray Data needs one")
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        rows = ray.data.from_items([{"job": json.dumps(job)} for job in jobs], override_num_blocks=len(jobs))
        options = {"fn_constructor_args": (settings,), "batch_size": 1, "num_cpus": share}
        pool = ray.data.ActorPoolStrategy(size=min(actors, len(jobs)))
        with Watch(lambda: ray.cluster_resources().get("CPU", 0), share, say) as watch:
            for row in rows.map_batches(Actor, compute=pool, **options).iter_rows():
                watch.heard()
                yield json.loads(row["done"])
    except ray.exceptions.RayTaskError as error:
        told = str(error.cause or error).strip().splitlines()
        raise NotLabelled(told[-1] if told else "a task of Ray failed") from None
    except ray.exceptions.RayError as error:  # such as one about an actor, or a cluster, that is lost for good
        raise NotLabelled(f"Ray gave up, the same command goes on: {' '.join(str(error).split())[:300]}") from None
    finally:
        ray.shutdown()


class Watch:
    """Tells what Ray waits for without a word: within the block a thread looks at the cluster every `LOOK` seconds.

    Args:
        cpus: function that returns the number of the cluster's CPUs.
        share: CPUs of an actor.
        say: is called with a line.
    """

    def __init__(self, cpus: Callable[[], float], share: float, say: Callable[[str], None]):
        self.cpus, self.share, self.say = cpus, share, say
        self.before, self.last, self.told = cpus(), time.monotonic(), 0
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)

    def heard(self) -> None:
        """There is news: a shard was finished."""
        self.last, self.told = time.monotonic(), 0

    def look(self) -> None:
        """Looks once, and tells of a cluster that has become smaller, and of every `PATIENCE` seconds without news."""
        now, silence = self.cpus(), time.monotonic() - self.last
        if now < self.before:
            self.say(f"the cluster has {now:g} CPUs, not {self.before:g} as before: what the lost ones had begun is done again")
        self.before = now
        if silence >= (self.told + 1) * PATIENCE:
            self.told = int(silence // PATIENCE)
            few = "" if now >= self.share else ", too few for an actor"
            self.say(f"no shard was finished for {silence / 60:.0f} minutes; the cluster has {now:g} CPUs{few}")

    def _watch(self):
        while not self.stopping.wait(LOOK):
            with contextlib.suppress(Exception):  # a cluster that is gone is told to whoever waits for its rows
                self.look()

    def __enter__(self) -> "Watch":
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stopping.set()
        self.thread.join(1)
