"""Exporting aligners and running what was exported.

Running a `.tflite` file needs neither Keras nor TensorFlow, so the exporter is imported when it is first used.
"""

from kfacealign.deploy.runtime import LiteRTAligner, SavedModelAligner, load
from kfacealign.deploy.streaming import StreamingRuntime, export_step

__all__ = ["LiteRTAligner", "SavedModelAligner", "StreamingRuntime", "export", "export_step", "inference_model", "load"]


def __getattr__(name):
    if name in ("export", "inference_model"):
        from kfacealign.deploy import exporter

        return getattr(exporter, name)
    raise AttributeError(f"module {__name__} has no attribute {name}")
