"""Running TFLite files by LiteRT."""

import os
import threading

import numpy as np

from kfacealign import files
from kfacealign.deploy import flatbuffer, metadata
from kfacealign.deploy.runtime.exported import ExportedAligner, first_line
from kfacealign.deploy.runtime.tflite_check import check_memory, check_tflite
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
        content = files.read_bytes(path)
        if not flatbuffer.is_tflite(content):
            raise ValueError(f"{path}: not a TFLite file")
        try:
            text = flatbuffer.read_metadata(content, metadata.NAME)
            check_tflite(content)
            with quiet():
                self.interpreter = interpreter_class()(model_content=content, num_threads=threads)
                self.interpreter.allocate_tensors()
            check_memory(self.interpreter)
        except ImportError:
            raise
        except Exception as error:
            # A cut file fails anywhere between the bindings and the runtime.
            raise ValueError(f"{path} is damaged: {first_line(error)}") from error
        described = metadata.parse(text, path)
        try:
            self.runner = self.interpreter.get_signature_runner()
            inputs, outputs = (
                {name: tuple(map(int, facts["shape_signature"])) for name, facts in details.items()}
                for details in (self.runner.get_input_details(), self.runner.get_output_details())
            )
        except Exception as error:
            raise ValueError(f"{path} is damaged: {first_line(error)}") from error
        super().__init__(path, described, inputs, outputs)
        self.threads = threads
        self._lock = threading.Lock()

    def run_tensors(self, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        # A runner is one set of tensors: without the lock, threads would read each other's answers.
        with self._lock:
            try:
                return self.runner(**tensors)
            except Exception as error:
                raise ValueError(f"{self.path} cannot be run: {first_line(error)}") from error
