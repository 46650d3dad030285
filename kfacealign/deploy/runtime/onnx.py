"""Running ONNX models by ONNX Runtime, with the interface of `FaceAligner.align`."""

import os
import re
from typing import TYPE_CHECKING

import numpy as np

from kfacealign import files
from kfacealign.deploy import metadata
from kfacealign.deploy.runtime.exported import ExportedAligner, first_line
from kfacealign.quiet import import_onnxruntime

if TYPE_CHECKING:
    import onnxruntime


# The key under which protocol buffers name another file, in every way in which tag and length may be written.
EXTERNAL = re.compile(rb"(?:\n|\x8a\x80*\x00)(?:\x08|\x88\x80*\x00)location")


class OnnxAligner(ExportedAligner):
    """An ONNX model written by `export`, run by ONNX Runtime on the CPU.

    Args:
        path: the `.onnx` file.
        threads: number of CPU threads; None leaves it to the runtime.

    Raises:
        ValueError: the file is no ONNX model, has weights in other files, or was not written by `export`.
        ImportError: onnxruntime is not installed.

    Example:
        >>> aligner = OnnxAligner("hih.onnx")
        >>> landmarks, scores = aligner.align(crops)
    """

    def __init__(self, path: str | os.PathLike, *, threads: int | None = None):
        content = files.read_bytes(path)
        if EXTERNAL.search(content) or content[4:8] == b"ORTM":
            raise ValueError(f"{path} is refused: it keeps weights in other files, or is no plain ONNX file; export it again")
        try:
            self.session = session_of(content, threads=threads)
            text = self.session.get_modelmeta().custom_metadata_map.get(metadata.NAME)
            # A state comes out as `next_state_x`: ONNX has one name for one tensor.
            outputs = {output.name.removeprefix("next_"): tuple(output.shape) for output in self.session.get_outputs()}
            inputs = {given.name: tuple(given.shape) for given in self.session.get_inputs()}
        except (ImportError, OSError):
            raise
        except Exception as error:
            # ONNX Runtime has an exception for every stage of loading.
            raise ValueError(f"{path}: not an ONNX model, or a damaged one: {first_line(error)}") from error
        super().__init__(path, metadata.parse(text, path), inputs, outputs)
        self.threads = threads
        self.names = list(outputs)

    def run_tensors(self, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        try:
            return dict(zip(self.names, self.session.run(None, tensors), strict=True))
        except Exception as error:
            raise ValueError(f"{self.path} cannot be run: {first_line(error)}") from error


def session_of(model: str | bytes, *, threads: int | None = None) -> "onnxruntime.InferenceSession":
    """An ONNX Runtime session of a model, given as the path of a file or as its bytes.

    Raises:
        ImportError: onnxruntime is not installed.
    """
    try:
        onnxruntime = import_onnxruntime()
    except ImportError:
        raise ImportError("running ONNX models needs onnxruntime: pip install 'kfacealign[export]'") from None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only, and those are exceptions as well
    if threads is not None:
        options.intra_op_num_threads = threads
    # Threads that spin while they wait would keep the cores busy when it is another program's turn.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
