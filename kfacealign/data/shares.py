"""Batches that several devices share, and several processes: each device gets equally many faces.

Where Keras distributes (`keras.distribution`), a batch is filled up with copies of its own faces until it has its full size and
divides by the number of devices. The weights of the copies are 0, so that they count in no loss and in no error. The filling
does not depend on the number of devices where the batch's size divides by it, so that their number does not change a training.
"""

from typing import Any

import numpy as np

from kfacealign.backend import keras


def devices() -> int:
    """Among how many devices of all processes a batch is divided; 0 where Keras distributes nothing."""
    distribution = keras.distribution.distribution()
    return 0 if distribution is None else distribution.num_model_replicas


def processes() -> tuple[int, int]:
    """The number of this process, and how many there are."""
    if keras.config.backend() != "jax":
        return 0, 1
    import jax

    return jax.process_index(), jax.process_count()


def divisible(size: int, parts: int) -> int:
    """The smallest number from `size` on that divides by `parts`."""
    return -(-size // parts) * parts


def share(places: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """What this process has of a batch.

    Args:
        places: (B,) what the batch is made of, at most `size` of it.
        size: of a full batch.

    Returns:
        places (B',) of this process, and whether each is a copy that only fills up, (B',) bool. Without a distribution these
        are the places as they are.
    """
    copies = np.zeros(len(places), bool)
    if not devices():
        return places, copies
    filled = divisible(size, devices())
    copies = np.arange(filled) >= len(places)
    number, count = processes()
    own = slice(number * filled // count, (number + 1) * filled // count)
    return np.resize(places, filled)[own], copies[own]


def filled_up(x: Any, y: dict[str, Any], batch_size: int | None) -> tuple[Any, dict[str, Any], int | None]:
    """Arrays for `fit` and `evaluate` that make batches of one size only, which the devices of this process can share.

    Args:
        x: (N, ...), or a dict of such.
        y: labels, a dict of arrays (N, ...) with `landmarks` (N, K, 2).
        batch_size: None stands for 32, as in Keras.

    Returns:
        x, y and the size of batches: as they came where Keras distributes nothing, else with copies at their ends whose weights
        are 0, and a size that divides by the number of devices.
    """
    if not devices():
        return x, y, batch_size
    batch_size = divisible(batch_size or 32, devices() // processes()[1])
    count = len(y["landmarks"])
    filled = divisible(count, batch_size)
    y = {"weights": np.ones(np.shape(y["landmarks"])[:-1], "float32"), **y}
    x, y = keras.tree.map_structure(lambda values: np.resize(values, (filled, *np.shape(values)[1:])), (x, y))
    y["weights"][count:] = 0
    return x, y, batch_size
