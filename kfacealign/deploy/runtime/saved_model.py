"""Running SavedModels by TensorFlow."""

import os
from pathlib import Path
from typing import Any

import numpy as np

from kfacealign.deploy import metadata
from kfacealign.deploy.runtime.exported import ExportedAligner, first_line
from kfacealign.files import read_bytes
from kfacealign.quiet import import_tensorflow


class SavedModelAligner(ExportedAligner):
    """A SavedModel written by `export`, run by TensorFlow.

    A SavedModel is a program: it can read and write files when it is loaded and when it runs.

    Args:
        path: the folder.
        trust: whether it may be loaded.

    Raises:
        ValueError: `trust` is False, or the folder was not written by `export`, or is damaged.
    """

    def __init__(self, path: str | os.PathLike, *, trust: bool = False):
        if not trust:
            raise ValueError(
                f"{path} is a SavedModel, a program: loading it can read, write and delete whatever you can. If you trust "
                "whoever made it, say so by --trust (in Python trust=True); .keras, .tflite, .onnx and .xml files need no trust"
            )
        file = Path(path) / metadata.FILE
        described = metadata.parse(read_bytes(file, limit=metadata.LIMIT) if file.exists() else None, path)
        tf = import_tensorflow()
        try:
            # The model is kept because the signature's variables live only as long as it does.
            self.model = tf.saved_model.load(str(path))
            signature = self.model.signatures["serving_default"]
            inputs = {name: as_shape(spec) for name, spec in signature.structured_input_signature[1].items()}
            outputs = {name: as_shape(spec) for name, spec in signature.structured_outputs.items()}
        except Exception as error:
            raise ValueError(f"{path} is damaged: {first_line(error)}") from error
        super().__init__(path, described, inputs, outputs)

    def run_tensors(self, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {name: value.numpy() for name, value in self.model.signatures["serving_default"](**tensors).items()}


def as_shape(spec: Any) -> tuple[int | None, ...]:
    """The shape of a TensorFlow `TensorSpec`; open sides are None."""
    return tuple(spec.shape.as_list())
