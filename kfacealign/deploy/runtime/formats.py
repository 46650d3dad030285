"""Which class runs which format."""

import os
from pathlib import Path

from kfacealign.deploy.runtime.exported import ExportedAligner
from kfacealign.deploy.runtime.litert import LiteRTAligner
from kfacealign.deploy.runtime.onnx import OnnxAligner
from kfacealign.deploy.runtime.openvino import OpenVinoAligner, weights_of
from kfacealign.deploy.runtime.saved_model import SavedModelAligner


def open_graph(path: str | os.PathLike, *, threads: int | None = None, trust: bool = False) -> ExportedAligner:
    """The graph of an exported file, by the class that runs its format.

    The step of a tracker is returned as a graph like any other; `StreamingRuntime` adds the memory.

    Args:
        path: a `.tflite`, `.onnx` or OpenVINO's `.xml` file, or a SavedModel folder.
        threads: CPU threads of any but a SavedModel; None leaves it to the runtime.
        trust: whether a SavedModel folder may be loaded. It is a program, and loading it can do whatever its author wrote.

    Raises:
        FileNotFoundError: nothing is at `path`.
        ValueError: it is none of these formats, not written by `kfacealign.deploy.export`, or a SavedModel without
            `trust`.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(
            f"{path}: no such model. Train one (make train) or give a .keras, .tflite, .onnx, .xml (OpenVINO) or SavedModel path"
        )
    if path.suffix == ".tflite":
        return LiteRTAligner(path, threads=threads)
    if path.suffix == ".onnx":
        return OnnxAligner(path, threads=threads)
    if path.suffix == ".xml":
        return OpenVinoAligner(path, threads=threads)
    if (path / "saved_model.pb").exists():
        return SavedModelAligner(path, trust=trust)
    raise ValueError(
        f"{path} is not a model: give a .keras file, a .tflite file, an .onnx file, OpenVINO's .xml file or a SavedModel folder"
    )


def files_of(path: str | os.PathLike) -> list[Path]:
    """The files of a model: the file itself, of an OpenVINO model its weights, too, and all that are in a SavedModel folder."""
    path = Path(path)
    found = [path, *path.rglob("*"), *([weights_of(path)] if path.suffix == ".xml" else [])]
    return [file for file in found if file.is_file()]
