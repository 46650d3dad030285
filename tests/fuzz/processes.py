"""Workers: processes that may die, and are started again."""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SOURCES = Path(__file__).resolve().parents[2]
STARTING = 300  # seconds that a start may take, imports and all
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1", "OPENCV_FFMPEG_LOGLEVEL": "-8", "OMP_NUM_THREADS": "1"}


class Worker:
    """A process of `worker.py`; it is started when it is first asked, and again after its death.

    Args:
        module: the module that holds the targets.
        models: the folder where the models of a run are.
    """

    def __init__(self, module: str, models: Path):
        self.module, self.models, self.process = module, models, None
        self.prepared: set[str] = set()

    def ask(self, order: dict, *, wait: float) -> dict:
        """The answer to an order, or what the process died of."""
        if self.process is None:
            self._start()
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps(order).encode() + b"\n")
            self.process.stdin.flush()
        line = self._line(time.monotonic() + wait)
        if line is None:
            self.stop()
            return {"state": "fault", "kind": "time", "where": "", "text": f"no answer within {wait:.0f} s"}
        if line:
            return json.loads(line)
        return self._death()

    def stop(self) -> None:
        """Ends the process and what it started."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process.stdin.close()
            self.process.stdout.close()
            self.complaints.close()
        self.process = None
        self.prepared.clear()

    def _start(self):
        folder = Path(__file__).parent
        paths = [str(folder), os.environ.get("PYTHONPATH") or str(SOURCES)]
        environment = {**os.environ, **QUIET, "PYTHONPATH": os.pathsep.join(paths), "FUZZ_MODELS": str(self.models)}
        self.complaints = tempfile.TemporaryFile()  # noqa: SIM115
        self.process = subprocess.Popen(
            [sys.executable, str(folder / "worker.py"), self.module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.complaints,
            env=environment,
            start_new_session=True,
        )

    def _line(self, deadline):
        """One line of the process; b"" at its end, None if it says nothing until then."""
        line = b""
        while not line.endswith(b"\n"):
            ready, _, _ = select.select([self.process.stdout], [], [], max(0, deadline - time.monotonic()))
            if not ready:
                return None
            piece = os.read(self.process.stdout.fileno(), 65_536)
            if not piece:
                return b""
            line += piece
        return line

    def _death(self):
        code = self.process.wait()
        self.complaints.seek(0)
        last = self.complaints.read().decode("utf-8", "replace").strip()[-400:]
        self.stop()
        if code == -signal.SIGXCPU:
            return {"state": "fault", "kind": "time", "where": "", "text": "the limit of CPU seconds"}
        name = signal.Signals(-code).name if code < 0 else f"exit status {code}"
        return {"state": "fault", "kind": "death", "where": name, "text": f"{name}; {last}"}
