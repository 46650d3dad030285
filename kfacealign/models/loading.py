"""Trained models from their `.keras` files: the one place where Keras reads such a file.

A file may come from a stranger. It is looked at first, see `keras_archive` and `keras_config`; then Keras makes the network,
which may not have more weights than the file holds; then the values are looked at.
"""

import math
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kfacealign.models.aligner import FaceAligner
from kfacealign.models.keras_archive import first_line, read_archive
from kfacealign.models.keras_config import check_config
from kfacealign.quiet import quiet

# A network may be built from larger ones, and an optimiser has its own arrays.
TIMES, SPARE_VALUES, SPARE_ARRAYS = 4, 64 * 2**20, 10_000
LARGEST_INPUT = 4096  # pixels
LARGEST_TENSOR = 2**27  # values of one crop between two layers
LOADING = threading.RLock()


def load_keras(path: str | os.PathLike) -> FaceAligner:
    """The aligner in a `.keras` file, without its optimiser.

    Args:
        path: the file.

    Raises:
        FileNotFoundError: there is no such file.
        OSError: it cannot be read, or is no regular file.
        ValueError: the file is damaged, refused by `open_keras`, or holds another kind of model.
    """
    model = open_keras(path)
    if not isinstance(model, FaceAligner):
        raise ValueError(f"{path} holds a {type(model).__name__}, not a kfacealign model")
    return model


def open_keras(path: str | os.PathLike, *, compiled: bool = False) -> keras.Model:
    """The model in a `.keras` file, whatever its class, without running anything that the file brings along.

    Args:
        path: the file.
        compiled: whether the model has the optimiser of its training.

    Raises:
        FileNotFoundError: there is no such file.
        OSError: it cannot be read, or is no regular file.
        ValueError: the file is damaged; or it names other objects than layers and functions that only compute, classes of
            this package and classes that the running program registered with Keras; or it would take more memory than its
            size explains; or a weight is not finite. The message names the file.
    """
    if not Path(path).exists():
        raise FileNotFoundError(f"{path}: no such model")
    config, values, arrays = read_archive(path)
    try:
        check_config(config)
    except ValueError as error:
        raise ValueError(f"{path} is refused: {error}") from None
    try:
        # TensorFlow now looks for GPUs, and complains where there are none.
        with quiet(), bounded_weights(TIMES * values + SPARE_VALUES, TIMES * arrays + SPARE_ARRAYS):
            model = keras.saving.load_model(path, compile=compiled, safe_mode=True)
        check_sizes(model)
    except Exception as error:
        # Keras, its backends and h5py each raise their own errors; the first line says what is wrong.
        raise ValueError(f"{path} cannot be loaded: {first_line(error)}") from error
    check_finite(model, path)
    return model


@contextmanager
def bounded_weights(values: int, arrays: int) -> Iterator[None]:
    """Inside the block this thread's layers may make so many weights and no more; one thread at a time is inside.

    Args:
        values: numbers in all weights together.
        arrays: number of weights.

    Raises:
        ValueError: a layer wants more.
    """
    original, thread = keras.layers.Layer.add_weight, threading.get_ident()
    left = {"values": values, "arrays": arrays}

    def add_weight(layer, shape=None, *arguments, **options):
        if threading.get_ident() == thread:
            left["arrays"] -= 1
            left["values"] -= math.prod(shape) if isinstance(shape, tuple | list) else shape or 1
            if min(left.values()) < 0:
                raise ValueError("its network has far more weights than are in the file")
        return original(layer, shape, *arguments, **options)

    with LOADING:
        keras.layers.Layer.add_weight = add_weight
        try:
            yield
        finally:
            keras.layers.Layer.add_weight = original


def check_sizes(model: keras.Model) -> None:
    """Refuses a network whose crops or whose tensors between layers are beyond reason.

    Raises:
        ValueError: it is refused.
    """
    waiting: list[Any] = [getattr(model, "network", model)]
    while waiting:
        network = waiting.pop()
        if not hasattr(network, "operations"):
            continue
        for operation in network.operations:
            for tensor in keras.tree.flatten(getattr(operation, "output", None)):
                size = math.prod(side or 1 for side in getattr(tensor, "shape", ()))
                if size > LARGEST_TENSOR:
                    raise ValueError(f"{operation.name} makes {size} values of one crop, {LARGEST_TENSOR} are the most")
            if isinstance(operation, keras.Model):
                waiting.append(operation)
    if isinstance(model, FaceAligner) and not 0 < (model.input_size or 0) <= LARGEST_INPUT:
        raise ValueError(f"it reads crops of {model.input_size} pixels, {LARGEST_INPUT} are the most")


def check_finite(model: keras.Model, path: str | os.PathLike) -> None:
    """Refuses a model with weights that are no numbers.

    Raises:
        ValueError: there are such weights.
    """
    for weight in model.weights:
        values = keras.ops.convert_to_numpy(weight)
        if values.dtype.kind not in "iub" and not np.isfinite(values.astype("float32", copy=False)).all():
            raise ValueError(f"{path} is damaged: its weights are not finite ({weight.path})")
