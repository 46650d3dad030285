"""What makes a killed run go on: the model, its optimiser and the history after every epoch."""

import contextlib
import csv
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kfacealign.backend import keras
from kfacealign.console import shown
from kfacealign.files import lock, read_bytes, replacing, sweep
from kfacealign.models.loading import open_keras
from kfacealign.process import resumable
from kfacealign.training.devices import alone, writes

# What runs write to their folders.
WRITTEN = (
    *("checkpoint-*.keras", "state.json", "history.csv", "model.keras", "*.tflite", "report.json", "report.html"),
    *("ced.png", "landmark_errors.png", "predictions.png", "predictions.npz", "pseudo_labels.npz", "rounds.json"),
    *("facts.json", "sparsity.csv", "best.npz"),
)

LIMIT = 256 * 2**20  # bytes of a state, which has a row for each epoch


class EpochCheckpoint(keras.callbacks.Callback):
    """Saves the model with its optimiser and the history when an epoch ends.

    `state.json` names the checkpoint it belongs to and is replaced in one step, so a
    process killed at any moment leaves the state of its last finished epoch. Of several processes the first one writes.

    Args:
        directory: where `checkpoint-NNNN.keras`, `state.json` and `history.csv` go.
        history: rows of earlier epochs, as `load_state` returns them.
        settings: JSON-able description of the run, compared on resume.
        phase: name of the loss in use, written to each row.
    """

    def __init__(self, directory: str | os.PathLike, history: list[dict], settings: dict, phase: str):
        super().__init__()
        self.directory = Path(directory)
        self.history = history
        self.settings = settings
        self.phase = phase

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        row = {"epoch": epoch + 1, "phase": self.phase}
        row.update({name: float(value) for name, value in (logs or {}).items()})
        self.history.append(row)
        if not writes():
            return
        checkpoint = self.directory / f"checkpoint-{epoch + 1:04d}.keras"
        with replacing(checkpoint) as temporary, alone():
            self.model.save(temporary)
        state = {"checkpoint": checkpoint.name, "settings": self.settings, "history": self.history}
        with replacing(self.directory / "state.json") as temporary:
            temporary.write_text(json.dumps(state, indent=1))
        write_history(self.directory / "history.csv", self.history)
        for old in self.directory.glob("checkpoint-*.keras"):
            if old != checkpoint:
                old.unlink()


@contextlib.contextmanager
def run_folder(out: str | os.PathLike) -> Iterator[Path]:
    """The folder of a run, which is its alone while the block runs; what a killed run was about to write there is deleted.

    Of several processes the first one has it.

    Args:
        out: the folder; it is made if it is not there.

    Raises:
        BlockingIOError: another run has it; the message names its process.
        OSError: it cannot be made or written to.
    """
    if not writes():
        yield Path(out)
        return
    with lock(out), resumable(f"--resume goes on after the last finished epoch in {shown(out)}"):
        sweep(out, WRITTEN)
        yield Path(out)


def tidy(state: dict[str, Any]) -> None:
    """Brings the other files of a run to what its state says, where a process was killed between the two.

    Args:
        state: what `read_state` returned.
    """
    checkpoint = state["checkpoint"]
    if not writes():
        return
    write_history(checkpoint.with_name("history.csv"), state["history"])
    for other in checkpoint.parent.glob("checkpoint-*.keras"):
        if other != checkpoint:
            other.unlink()


def read_state(directory: str | os.PathLike) -> dict[str, Any] | None:
    """What a run's directory says of its last finished epoch: checkpoint, settings, history; None where none was finished.

    Raises:
        ValueError: `state.json` is damaged, or no run's.
    """
    path = Path(directory) / "state.json"
    if not path.exists():
        return None
    try:
        state = json.loads(read_bytes(path, limit=LIMIT))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not a run's state ({error}); remove the directory to start again") from error
    wrong = misfit(state)
    if wrong:
        raise ValueError(f"{path} is not a run's state (its {wrong} is none); remove the directory to start again")
    return {**state, "checkpoint": path.with_name(state["checkpoint"])}


def misfit(state: Any) -> str | None:
    """What a state lacks, or has of another kind than `EpochCheckpoint` writes; None where nothing is wrong."""
    if not isinstance(state, dict):
        return "content"
    name, history = state.get("checkpoint"), state.get("history")
    if not isinstance(name, str) or "\0" in name or Path(name).name != name or not name.endswith(".keras"):
        return "checkpoint"
    if not isinstance(state.get("settings"), dict):
        return "settings"
    return None if isinstance(history, list) and all(isinstance(row, dict) for row in history) else "history"


def load_state(directory: str | os.PathLike) -> tuple[keras.Model, list[dict], dict] | None:
    """The last finished epoch of a run: (model, history, settings), or None where none was finished."""
    state = read_state(directory)
    if state is None:
        return None
    return open_keras(state["checkpoint"], compiled=True), state["history"], state["settings"]


def write_history(path: str | os.PathLike, history: list[dict]) -> None:
    """The history as CSV; a column for every value that any epoch has."""
    columns = list(dict.fromkeys(name for row in history for name in row))
    with replacing(path) as temporary, open(temporary, "w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=columns)
        writer.writeheader()
        writer.writerows(history)
