"""Exporting aligners and running what was exported.

Running a `.tflite` or `.onnx` file needs neither Keras nor TensorFlow, so the exporter is imported when it is first used.
"""

from kfacealign.deploy.onnx_runtime import OnnxAligner
from kfacealign.deploy.runtime import LiteRTAligner, SavedModelAligner, load
from kfacealign.deploy.streaming import StreamingRuntime, export_step

__all__ = [
    "LiteRTAligner",
    "OnnxAligner",
    "SavedModelAligner",
    "StreamingRuntime",
    "export",
    "export_step",
    "inference_model",
    "load",
    "quantization_report",
    "report_table",
]


def __getattr__(name):
    if name in ("export", "inference_model"):
        from kfacealign.deploy import exporter

        return getattr(exporter, name)
    if name in ("quantization_report", "report_table"):
        from kfacealign.deploy import quantization

        return getattr(quantization, name)
    raise AttributeError(f"module {__name__} has no attribute {name}")
