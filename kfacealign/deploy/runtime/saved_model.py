"""Running SavedModels by TensorFlow."""

import os
from pathlib import Path

import numpy as np

from kfacealign.deploy import metadata
from kfacealign.deploy.runtime.exported import ExportedAligner
from kfacealign.quiet import import_tensorflow


class SavedModelAligner(ExportedAligner):
    """A SavedModel written by `export`, run by TensorFlow.

    Args:
        path: the folder.

    Raises:
        ValueError: the folder was not written by `export`, or is damaged.
    """

    def __init__(self, path: str | os.PathLike):
        file = Path(path) / metadata.FILE
        super().__init__(path, metadata.parse(file.read_text(encoding="utf-8") if file.exists() else None, path))
        tf = import_tensorflow()
        try:
            # The model is kept because the signature's variables live only as long as it does.
            self.model = tf.saved_model.load(str(path))
        except Exception as error:
            raise ValueError(f"{path} is damaged: {str(error).strip().splitlines()[0]}") from error

    def run_tensors(self, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {name: value.numpy() for name, value in self.model.signatures["serving_default"](**tensors).items()}
