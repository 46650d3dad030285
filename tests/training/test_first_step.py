import io

import keras
import numpy as np
import pytest
from rich.console import Console

from kfacealign.training.first_step import FirstStep

TOLD = "tracing the training step"


@pytest.fixture
def model():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", loss="mse")
    return model


def fit(model, console, *callbacks, epochs=1):
    with FirstStep(model, console) as first:
        model.fit(np.zeros((4, 2)), np.zeros((4, 1)), batch_size=2, epochs=epochs, verbose=0, callbacks=[first, *callbacks])


def test_a_line_is_printed_once_for_each_step_that_is_made(model):
    console = Console(file=io.StringIO(), width=200)
    fit(model, console, epochs=2)
    assert console.file.getvalue().count(TOLD) == 1 and console.file.getvalue().endswith("\n")
    fit(model, console)
    assert console.file.getvalue().count(TOLD) == 1
    model.train_function = None  # as a change of the loss does
    fit(model, console)
    assert console.file.getvalue().count(TOLD) == 2


class Watch(keras.callbacks.Callback):
    """Whether something is shown live when the first batch begins, and when it has ended; then it raises, if it is told to."""

    def __init__(self, console, error=None):
        super().__init__()
        self.console, self.error, self.seen = console, error, []

    def look(self):
        self.seen.append(bool(self.console._live_stack))

    def on_train_batch_begin(self, batch, logs=None):
        self.look()
        if self.error:
            raise self.error

    def on_train_batch_end(self, batch, logs=None):
        self.look()


def test_on_a_terminal_it_goes_away_with_the_first_step(model):
    console = Console(file=io.StringIO(), force_terminal=True, width=200)
    watch = Watch(console)
    fit(model, console, watch)
    assert watch.seen == [True, False, False, False] and TOLD in console.file.getvalue()


def test_it_goes_away_with_an_error(model):
    console = Console(file=io.StringIO(), force_terminal=True, width=200)
    with pytest.raises(ValueError, match="no more"):
        fit(model, console, Watch(console, ValueError("no more")))
    assert not console._live_stack


def test_a_process_that_says_nothing(model):
    console = Console(file=io.StringIO(), quiet=True)
    fit(model, console)
    assert console.file.getvalue() == ""
