import json

import numpy as np
import pytest

from kfacealign.training import EarlyStopping


class Counting:
    """A stand-in for a model: its only weight is the number of the epoch."""

    def __init__(self):
        self.weight, self.stop_training = 0.0, False

    def get_weights(self):
        return [np.float32([self.weight])]

    def set_weights(self, weights):
        self.weight = float(weights[0][0])


def epochs(folder, errors, patience, *, before=(), min_epochs=0):
    """Trains until the callback ends it; returns the stand-in, the callback and the history."""
    history, model = [{"epoch": place + 1, "val_nme": error} for place, error in enumerate(before)], Counting()
    if before:
        state = {"checkpoint": "checkpoint-0001.keras", "settings": {}, "history": history}
        (folder / "state.json").write_text(json.dumps(state))
    stopping = EarlyStopping(folder, patience, min_epochs)
    stopping.set_model(model)
    stopping.on_train_begin()
    for error in errors[len(before) :]:
        model.weight = float(len(history) + 1)
        row = {} if error is None else {"val_nme": error}
        stopping.on_epoch_end(len(history), row)
        history.append(row)
        if model.stop_training:
            break
    return model, stopping, history


@pytest.mark.parametrize(
    ("errors", "patience", "ran", "best"),
    [
        ([5, 4, 4.5, 4.6, 1], 2, 4, 2),  # two epochs after the second are no better
        ([5, 4, 4, 4, 1], 3, 5, 5),  # equal is no better, but three are waited for
        ([5, 4, 4, 4, 4, 1], 3, 5, 2),
        ([3, 2, 1], 1, 3, 3),  # ever better: it is not ended
        ([3, float("nan"), None, 2, 1], 4, 5, 5),  # an epoch without an error is no better
        ([1, 2], 1, 2, 1),
    ],
)
def test_the_best_weights_are_kept(tmp_path, errors, patience, ran, best):
    model, stopping, history = epochs(tmp_path, errors, patience)
    assert len(history) == ran
    told = stopping.restore(model, history)
    assert model.weight == best
    assert f"{errors[best - 1]:.2f} %, after epoch {best} of {ran}" in told


@pytest.mark.parametrize("killed", range(1, 4))
def test_a_resumed_training_ends_where_it_would_have(tmp_path, killed):
    errors = [5, 4, 4.5, 4.6, 1, 0]
    epochs(tmp_path, errors[:killed], 2)
    model, stopping, history = epochs(tmp_path, errors, 2, before=errors[:killed])
    assert len(history) == 4
    stopping.restore(model, history)
    assert model.weight == 2


def test_a_training_that_was_over_is_over(tmp_path):
    stopping = EarlyStopping(tmp_path, 2)
    assert stopping.ended([5, 4, 4.5, 4.6]) and not stopping.ended([5, 4, 4.5]) and not stopping.ended([])


@pytest.mark.parametrize(("min_epochs", "ran", "best"), [(0, 4, 2), (4, 4, 2), (5, 5, 2), (6, 8, 6)])
def test_a_training_is_not_ended_before_its_least_epochs(tmp_path, min_epochs, ran, best):
    errors = [5, 4, 4.5, 4.6, 4.7, 1, 2, 3, 4]
    model, stopping, history = epochs(tmp_path, errors, 2, min_epochs=min_epochs)
    assert len(history) == ran
    stopping.restore(model, history)
    assert model.weight == best


def test_patience_is_one_epoch_at_least(tmp_path):
    with pytest.raises(ValueError, match="patience is 0"):
        EarlyStopping(tmp_path, 0)
