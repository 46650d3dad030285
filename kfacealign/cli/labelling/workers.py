"""Worker processes of this machine, and what happens when one dies over a picture."""

import collections
import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import kfacealign

CHILD = "kfacealign.cli.labelling.child"
# One thread a worker: as many of them as cores are quicker than threads that wait for each other.
CALM = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "ARROW_NUM_THREADS")}
TRIES = 3  # deaths of which no picture is known to be the reason


class NotLabelled(OSError):
    """A worker cannot work, or what it has done cannot be written. Going on would be in vain."""


Tell = Callable[[dict[str, Any]], None]


class Worker:
    """One process that labels units, and is started again when it dies.

    A death may be a picture's doing, on which a decoder crashes or memory ends. So the unit is gone through again from its last
    part on, carefully: each picture is announced, and the one at which the process dies again is a failure like any other.

    Args:
        settings: what `kfacealign.cli.labelling.child.Labeller` takes.
    """

    def __init__(self, settings: dict[str, Any]):
        self.settings, self.process = settings, None

    def label(self, job: dict[str, Any], tell: Tell) -> None:
        """Labels a unit.

        Args:
            job: "unit", "number" and "base".
            tell: is called with what was done: a dict of "pictures", "faces" and "failed", a list of (path, reason).

        Raises:
            NotLabelled: the process cannot work, or rows cannot be written; the message says why.
        """
        careful, deadly, unexplained = False, {}, 0
        while True:
            at, reason = self._try({**job, "careful": careful, "deadly": deadly}, tell)
            if reason is None:
                return
            if at is None:
                unexplained += careful
            else:
                deadly[str(at)] = f"the process that read it {reason}"
            if unexplained >= TRIES:
                raise NotLabelled(f"a worker {reason} {TRIES} times over {job['unit']['paths'][0]}")
            careful = True

    def close(self) -> None:
        """Ends the process."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            for stream in (self.process.stdin, self.process.stdout):
                with contextlib.suppress(OSError):
                    stream.close()
            self.process = None

    def _try(self, job, tell):
        """The picture at which the process died and how, both None where it labelled the unit."""
        at = None
        if self.process is None:
            self._start()
        self._order(job)
        for answer in self._answers():
            at = answer.get("at", at)
            if "done" in answer:
                tell(answer["done"])
            if "finished" in answer:
                return None, None
        return at, self._end()

    def _start(self):
        environment = {**os.environ, **CALM, "PYTHONPATH": search_path()}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen([sys.executable, "-m", CHILD], text=True, encoding="utf-8", env=environment, **pipes)
        self._order(self.settings)
        for answer in self._answers():
            if "ready" in answer:
                return
        raise NotLabelled(f"a worker {self._end()} before it could begin")

    def _order(self, content):
        with contextlib.suppress(BrokenPipeError):  # it has died: its answers end
            self.process.stdin.write(json.dumps(content) + "\n")
            self.process.stdin.flush()

    def _answers(self):
        for line in self.process.stdout:
            answer = json.loads(line)
            if "error" in answer:
                raise NotLabelled(answer["error"])
            if "bug" in answer:
                raise RuntimeError(f"a worker has a fault: {answer['bug']}")
            yield answer

    def _end(self):
        """How the process ended."""
        process, status = self.process, self.process.wait()
        self.close()
        if status >= 0:
            return f"ended with status {process.returncode}"
        return f"was ended by {signal.Signals(-status).name}{', perhaps for want of memory' if status == -signal.SIGKILL else ''}"


def search_path() -> str:
    """`PYTHONPATH` of a process that imports this package as this process does."""
    before = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    return os.pathsep.join(dict.fromkeys([str(Path(kfacealign.__file__).parents[1]), *before]))


def in_processes(jobs: Sequence[dict[str, Any]], settings: dict[str, Any], workers: int) -> Iterator[dict[str, Any]]:
    """Labels units in processes of this machine.

    Args:
        jobs: the units, see `Worker.label`.
        settings: of the workers.
        workers: number of processes.

    Yields:
        What was done, as `Worker.label` tells it.

    Raises:
        NotLabelled: a worker cannot work.
    """
    events, left = queue.SimpleQueue(), collections.deque(jobs)
    started = [Worker(settings) for _ in range(min(workers, len(jobs)))]
    stopping = threading.Event()

    def serve(worker):
        try:
            with contextlib.suppress(IndexError):
                while not stopping.is_set():
                    worker.label(left.popleft(), events.put)
            events.put(None)
        except Exception as error:
            events.put(error)

    threads = [threading.Thread(target=serve, args=(worker,), daemon=True) for worker in started]
    try:
        for thread in threads:
            thread.start()
        busy = len(threads)
        while busy:
            event = events.get()
            if isinstance(event, Exception):
                raise event
            if event is None:
                busy -= 1
            else:
                yield event
    finally:
        stopping.set()
        for worker in started:
            if worker.process is not None:
                worker.process.kill()  # whatever it has not written is done again
        for thread, worker in zip(threads, started, strict=True):
            if thread.is_alive():
                thread.join(1)
            worker.close()
