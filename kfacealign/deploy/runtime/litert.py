"""Running TFLite files by LiteRT."""

import os
import threading
from pathlib import Path

import numpy as np

from kfacealign.deploy import flatbuffer, metadata
from kfacealign.deploy.runtime.exported import ExportedAligner
from kfacealign.interpreter import interpreter_class
from kfacealign.quiet import quiet


class LiteRTAligner(ExportedAligner):
    """A TFLite model written by `export`, run by LiteRT (or TensorFlow's interpreter) with XNNPACK.

    Args:
        path: the `.tflite` file.
        threads: number of CPU threads; None leaves it to the runtime.

    One aligner may be shared by threads: a lock lets one of them run the model at a time.

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
        self._lock = threading.Lock()

    def run_tensors(self, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        # A runner is one set of tensors: without the lock, threads would read each other's answers.
        with self._lock:
            return self.runner(**tensors)
