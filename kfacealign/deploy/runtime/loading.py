"""Any saved model by its path, with the interface of `FaceAligner.align`."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from kfacealign.deploy.runtime.exported import ExportedAligner
from kfacealign.deploy.runtime.formats import open_graph
from kfacealign.deploy.runtime.streaming import StreamingRuntime

if TYPE_CHECKING:
    from kfacealign.models.aligner import FaceAligner


def load(path: str | os.PathLike, *, threads: int | None = None, trust: bool = False) -> "FaceAligner | ExportedAligner":
    """Any saved model by its path, all with `align`, `scheme`, `input_size` and `enlarge`.

    Args:
        path: a `.keras` file, a `.tflite`, `.onnx` or OpenVINO's `.xml` file, or a SavedModel folder.
        threads: CPU threads of a TFLite, ONNX or OpenVINO model; None leaves it to the runtime.
        trust: whether a SavedModel folder may be loaded. It is a program, and loading it can do whatever its author wrote.

    Returns:
        A `FaceAligner`, `LiteRTAligner`, `OnnxAligner`, `OpenVinoAligner` or `SavedModelAligner`; a
        `StreamingRuntime` where the file is the step of a tracker.

    Raises:
        FileNotFoundError: nothing is at `path`.
        ValueError: it is none of these, is damaged, or is a SavedModel without `trust`.
    """
    path = Path(path)
    if path.suffix == ".keras" and path.exists():
        from kfacealign.models.loading import load_keras  # only these files need Keras

        return load_keras(path)
    model = open_graph(path, threads=threads, trust=trust)
    if model.metadata.get("states"):
        return StreamingRuntime(path, threads=threads, trust=trust)
    return model
