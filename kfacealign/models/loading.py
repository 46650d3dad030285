"""Trained models from their `.keras` files."""

import os
from pathlib import Path

import keras

from kfacealign.models.aligner import FaceAligner
from kfacealign.quiet import quiet


def load_keras(path: str | os.PathLike) -> FaceAligner:
    """The aligner in a `.keras` file, without its optimiser.

    Args:
        path: the file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, or holds another kind of model.
    """
    if not Path(path).exists():
        raise FileNotFoundError(f"{path}: no such model")
    try:
        with quiet():  # TensorFlow now looks for GPUs, and complains where there are none
            model = keras.saving.load_model(path, compile=False)
    except Exception as error:
        # Keras, zipfile and h5py each raise their own errors; the first line says what is wrong.
        raise ValueError(f"{path} cannot be loaded: {str(error).strip().splitlines()[0]}") from error
    if not isinstance(model, FaceAligner):
        raise ValueError(f"{path} holds a {type(model).__name__}, not a kfacealign model")
    return model
