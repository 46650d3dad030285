"""Any saved model by its path, with the interface of `FaceAligner.align`."""

from pathlib import Path

from kfacealign.deploy.runtime.formats import open_graph
from kfacealign.deploy.runtime.streaming import StreamingRuntime


def load(path, threads=None):
    """Any saved model by its path, all with `align`, `scheme`, `input_size` and `enlarge`.

    Args:
        path: a `.keras` file, a `.tflite` or `.onnx` file, or a SavedModel folder.
        threads: CPU threads of a TFLite or ONNX model.

    Returns:
        `FaceAligner`, `LiteRTAligner`, `OnnxAligner` or `SavedModelAligner`; `StreamingRuntime` of a tracker's step.

    Raises:
        FileNotFoundError: nothing is at `path`. ValueError: it is none of these.
    """
    path = Path(path)
    if path.suffix == ".keras" and path.exists():
        from kfacealign.models.loading import load_keras  # Keras is needed by these files alone

        return load_keras(path)
    model = open_graph(path, threads)
    if model.metadata.get("states"):
        return StreamingRuntime(path, threads=threads)
    return model
