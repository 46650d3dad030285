"""Training that ends when faces which are not trained on are read no better any more."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kfacealign.backend import keras
from kfacealign.console import shown
from kfacealign.files import replacing
from kfacealign.models.aligner import FaceAligner
from kfacealign.training.checkpoint import read_state

WEIGHTS = "best.npz"
ERROR = "val_nme"  # the column of the history that decides


class EarlyStopping(keras.callbacks.Callback):
    """Ends a training when the error of its validation faces has not fallen for some epochs, and keeps the best weights.

    Unlike the callback of Keras it survives an interruption: the best weights are in a file of the run's folder, and the
    history tells of which epoch they are. `kfacealign.training.run` takes it as `stopping`.

    Args:
        directory: the run's folder.
        patience: epochs without a lower error that end the training.
        min_epochs: epochs before which it is not ended. While the learning rate is high the error of a few faces may rise
            for long and fall later.

    Raises:
        ValueError: `patience` is less than 1.
    """

    def __init__(self, directory: str | os.PathLike, patience: int, min_epochs: int = 0):
        super().__init__()
        if patience < 1:
            raise ValueError(f"patience is {patience}, expected 1 epoch or more")
        self.file, self.patience, self.min_epochs = Path(directory) / WEIGHTS, patience, min_epochs
        self.errors = []

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        state = read_state(self.file.parent)
        self.errors = errors([] if state is None else state["history"])

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.errors.append(float((logs or {}).get(ERROR, np.nan)))
        if best(self.errors) == len(self.errors):
            with replacing(self.file) as temporary:
                np.savez(temporary, *self.model.get_weights())
        if self.ended(self.errors):
            self.model.stop_training = True

    def ended(self, errors: Sequence[float]) -> bool:
        """Whether a training with these errors, one an epoch, is over."""
        return len(errors) >= self.min_epochs and len(errors) - best(errors) >= self.patience

    def restore(self, model: FaceAligner, history: Sequence[dict]) -> str:
        """Gives a model the best weights.

        Args:
            model: the model that was trained.
            history: rows of its epochs.

        Returns:
            A sentence on which epoch's they are.

        Raises:
            OSError: their file is not there, or cannot be read.
            ValueError: it holds the weights of another model.
        """
        found = errors(history)
        with np.load(self.file) as file:
            model.set_weights([file[f"arr_{place}"] for place in range(len(file.files))])
        epoch = best(found)
        told = f"the validation error was lowest, {found[epoch - 1]:.2f} %, after epoch {epoch} of {len(found)}"
        return f"{told}; the model is that one ({shown(self.file)})"


def errors(history: Sequence[dict]) -> list[float]:
    """The validation error of each epoch; NaN where it is unknown."""
    return [float(row.get(ERROR, np.nan)) for row in history]


def best(errors: Sequence[float]) -> int:
    """The number of the epoch with the lowest error, counted from 1, the first of several; one without an error is no better."""
    known = np.where(np.isfinite(errors), errors, np.inf)
    return int(np.argmin(known)) + 1 if len(errors) else 0
