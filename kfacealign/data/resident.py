"""Crops that live in the accelerator's memory, so that a batch is no more than a list of numbers."""

from typing import Any

import numpy as np

from kfacealign.backend import keras, ops
from kfacealign.data.crops import Crops

READ = 256  # crops that are made at a time


def check_backend(crops: Crops) -> None:
    """Refuses `Crops` with `cache="device"` where batches are made by `tf.data`, which works in the host's memory.

    Raises:
        ValueError: they are such, and the backend is TensorFlow.
    """
    if crops.cache == "device" and keras.config.backend() == "tensorflow":
        raise ValueError("cache 'device' needs Keras on JAX (KERAS_BACKEND=jax): under TensorFlow use 'memory' or a directory")


def resident(crops: Crops, indices: np.ndarray) -> Any:
    """Crops by their positions, gathered on the accelerator; the first call makes all crops and brings them there.

    Args:
        crops: `Crops` with `cache="device"`.
        indices: (B,) positions.

    Returns:
        Tensor (B, S, S, 3) uint8.

    Raises:
        MemoryError: the crops do not fit; the message says how large they are.
    """
    if crops.resident is None:
        pixels = np.empty((len(crops), crops.size, crops.size, 3), "uint8")
        for start in range(0, len(crops), READ):
            places = np.arange(start, min(start + READ, len(crops)))
            pixels[places] = crops.batch(places)[0]
        crops.resident = on_device(pixels)
    return ops.take(crops.resident, np.asarray(indices, "int32"), axis=0)


def on_device(pixels: np.ndarray) -> Any:
    """An array as a tensor of the backend's device.

    Raises:
        MemoryError: it does not fit.
    """
    try:
        return ops.convert_to_tensor(pixels, dtype="uint8")
    except Exception as error:  # each backend has its own
        size = f"{len(pixels):,} crops of {pixels.shape[1]} px take {pixels.nbytes / 2**20:,.0f} MiB"
        raise MemoryError(f"{size}, which the device does not have ({error}): use cache 'memory'") from error
