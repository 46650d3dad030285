"""The front door to trained models."""

import os
from pathlib import Path
from typing import Any

from kfacealign.deploy.runtime import loading
from kfacealign.presets import store


def load(source: str | os.PathLike = store.DEFAULT, *, threads: int | None = None, trust: bool = False) -> Any:
    """A trained model by the path of its file or by the name of a preset.

    Args:
        source: a `.keras`, `.tflite`, `.onnx` or OpenVINO's `.xml` file, a SavedModel folder, or one of
            `kfacealign.presets.names()`, whose `.keras` file is loaded. The name goes before the path: a file that is
            called like a preset is ./NAME.
        threads: CPU threads of a TFLite, ONNX or OpenVINO model; None leaves it to the runtime.
        trust: whether a SavedModel folder may be loaded. It is a program, and loading it can do whatever its author wrote.

    Returns:
        A model with `align`, `scheme`, `input_size` and `enlarge`; `kfacealign.deploy.load` lists the classes.

    Raises:
        FileNotFoundError: `source` is neither a preset's name nor the path of anything.
        ValueError: what is there is no model, a damaged one, or a SavedModel without `trust`.

    Example:
        >>> model = kfacealign.load("runs/hih/model.keras")
        >>> landmarks, scores = model.align(crops)
    """
    if isinstance(source, str) and source in store.names():
        return store.from_preset(source, threads=threads)
    return loading.load(Path(source), threads=threads, trust=trust)
