from .exporting.exporter import export as export
from .exporting.graphs import inference_model as inference_model
from .exporting.steps import export_step as export_step
from .measure.layer_errors import quantization_report as quantization_report, report_table as report_table
from .runtime.litert import LiteRTAligner as LiteRTAligner
from .runtime.loading import load as load
from .runtime.onnx import OnnxAligner as OnnxAligner
from .runtime.saved_model import SavedModelAligner as SavedModelAligner
from .runtime.streaming import StreamingRuntime as StreamingRuntime
