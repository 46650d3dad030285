"""A message while a backend makes the training step, during which nothing else is shown."""

from typing import Any, Self

from rich.console import Console

from kfacealign.backend import keras

# What a backend does with the step of a model; PyTorch runs it as it is written.
MADE = {"tensorflow": "tracing", "jax": "compiling"}


class FirstStep(keras.callbacks.Callback):
    """Says, from the beginning of `fit` to its first step, that the step is being made: a spinner on a terminal, else a line.

    The step is made once for each loss: at the beginning, and after the warm-up. Where the model has it already, nothing is said.

    Args:
        model: the model, before its `fit`.
        console: where it is said.

    Example:
        >>> with FirstStep(model, console) as first:
        ...     model.fit(batches, callbacks=[first])
    """

    async_safe = True  # it reads no result of a step, so no step waits for it

    def __init__(self, model: keras.Model, console: Console):
        super().__init__()
        made = MADE.get(keras.config.backend()) if model.train_function is None else None
        self._text = made and f"{made} the training step, which takes longer than all others"
        self._console, self._status = console, None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._end()

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        if self._text is None:
            return
        if self._console.is_terminal:
            self._status = self._console.status(self._text)
            self._status.start()
        else:
            self._console.print(self._text, soft_wrap=True)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self._end()

    def _end(self):
        if self._status is not None:
            self._status.stop()
            self._status = None
