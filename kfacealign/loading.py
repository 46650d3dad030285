"""The front door to trained models."""

import os
from pathlib import Path

from kfacealign.deploy.runtime import loading
from kfacealign.presets import store


def load(source: str | os.PathLike = store.DEFAULT, *, threads: int | None = None):
    """A trained model by the path of its file or by the name of a preset.

    Args:
        source: a `.keras`, `.tflite` or `.onnx` file, a SavedModel folder, or one of `kfacealign.presets.names()`, of which
            the `.keras` file is loaded. A file that has a preset's name is named as ./NAME.
        threads: CPU threads of a TFLite or ONNX model; None leaves it to the runtime.

    Returns:
        As `kfacealign.deploy.load`: a model with `align`, `scheme`, `input_size` and `enlarge`.

    Raises:
        FileNotFoundError: nothing is at `source`, nor is it a preset's name. ValueError: it is no model, or a damaged one.

    Example:
        >>> model = kfacealign.load("runs/hih/model.keras")
        >>> landmarks, scores = model.align(crops)
    """
    if isinstance(source, str) and source in store.names():
        return store.from_preset(source, threads=threads)
    return loading.load(Path(source), threads)
