"""Which class runs which format."""

from pathlib import Path

from kfacealign.deploy.runtime.litert import LiteRTAligner
from kfacealign.deploy.runtime.onnx import OnnxAligner
from kfacealign.deploy.runtime.saved_model import SavedModelAligner


def open_graph(path, threads=None):
    """The graph of an exported file, by its format; the step of a tracker is given as the graph that it is."""
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(
            f"{path}: no such model. Train one (make train) or give a .keras, .tflite, .onnx or SavedModel path"
        )
    if path.suffix == ".tflite":
        return LiteRTAligner(path, threads=threads)
    if path.suffix == ".onnx":
        return OnnxAligner(path, threads=threads)
    if (path / "saved_model.pb").exists():
        return SavedModelAligner(path)
    raise ValueError(f"{path} is not a model: give a .keras file, a .tflite file, an .onnx file or a SavedModel folder")
