"""Running TFLite files by LiteRT."""

import os
from pathlib import Path

import numpy as np

from kfacealign.deploy import flatbuffer, metadata
from kfacealign.deploy.runtime.exported import ExportedAligner
from kfacealign.quiet import quiet


class LiteRTAligner(ExportedAligner):
    """A TFLite model written by `export`, run by LiteRT (or TensorFlow's interpreter) with XNNPACK.

    Args:
        path: the `.tflite` file.
        threads: number of CPU threads; None leaves it to the runtime.

    Raises:
        ValueError: the file is no TFLite model, or was not written by `export`.

    Example:
        >>> aligner = LiteRTAligner("hih.tflite")
        >>> landmarks, scores = aligner.align(crops)
    """

    def __init__(self, path: str | os.PathLike, *, threads: int | None = None):
        content = Path(path).read_bytes()
        if not flatbuffer.is_tflite(content):
            raise ValueError(f"{path}: not a TFLite file")
        try:
            text = flatbuffer.read_metadata(content, metadata.NAME)
            with quiet():
                self.interpreter = interpreter_class()(model_content=content, num_threads=threads)
                self.interpreter.allocate_tensors()
        except Exception as error:
            # A cut file fails anywhere between the bindings and the runtime.
            raise ValueError(f"{path} is damaged: {error}") from error
        super().__init__(path, metadata.parse(text, path))
        self.threads = threads
        self.runner = self.interpreter.get_signature_runner()

    def run_tensors(self, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return self.runner(**tensors)


def interpreter_class() -> type:
    """LiteRT's interpreter; where LiteRT is not installed, TensorFlow's, which is the same runtime.

    Raises:
        ImportError: neither of them is installed.
    """
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        from tensorflow.lite import Interpreter
    return Interpreter
