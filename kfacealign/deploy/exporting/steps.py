"""Trackers for deployment: one frame and the state in, landmarks and the new state out."""

from pathlib import Path

from kfacealign.deploy import flatbuffer, metadata
from kfacealign.files import replacing

PRECISIONS = ("float32", "float16")


def export_step(tracker, path, precision="float32", format=None, licence=None, training_data=None, detector=None):
    """Writes the step of a tracker with its state as explicit tensors.

    The graph reads `image` (1, S, S, 3) float32 RGB 0..255 and the states, such as `state_x` and `state_y`, all zero
    before the first frame of a clip; it returns `landmarks` (1, K, 2) in crop coordinates, `scores` (1, K), and by the
    same names the states for the next frame (in ONNX, which has one name for one tensor, as `next_state_x`). A TFLite
    file holds built-in operators only. The metadata is what `kfacealign.deploy.export` writes, and `states` with their
    shapes. The file or folder appears whole or not at all.

    Args:
        tracker: an `AttentiveHeatmap1DTracker`.
        path: the file or folder; one that exists is replaced.
        precision: "float32", or for TFLite "float16" (weights).
        format, licence, training_data, detector: as of `kfacealign.deploy.export`.

    Returns:
        The path written.

    Raises:
        ValueError: an argument does not fit, or an operator has no counterpart in the format.

    Example:
        >>> kfacealign.deploy.export_step(tracker, "tracker.tflite")
        >>> stream = kfacealign.deploy.StreamingRuntime("tracker.tflite")
    """
    from kfacealign.deploy.exporting import exporter, onnx

    path = Path(path)
    if not hasattr(tracker, "step_parts"):
        raise ValueError(f"{type(tracker).__name__} has no step: a tracker is streamed, for another model use deploy.export")
    if precision not in PRECISIONS:
        raise ValueError(f"precision of a step is {' or '.join(PRECISIONS)}, not {precision!r}")
    format = format or exporter.format_of(path)
    exporter.check(tracker, path, format, precision, None)
    notes = {"licence": licence, "training_data": training_data, "detector": detector, "states": tracker.states}
    opset = onnx.OPSET if format == "onnx" else None
    text = metadata.describe(tracker, precision, **notes, opset=opset)
    with replacing(path) as temporary:
        if format == "savedmodel":
            exporter.write_saved_model(step_model(tracker), temporary)
            exporter.write_notes(temporary, text)
        elif format == "onnx":
            temporary.write_bytes(onnx.to_onnx(step_model(tracker), text))
        else:
            content, sizes = step_to_tflite(tracker, precision)
            text = metadata.describe(tracker, precision, **notes, parts=sizes)
            temporary.write_bytes(flatbuffer.add_metadata(content, metadata.NAME, text))
    return path


def step_model(tracker):
    """`step_model` of a tracker, in float32 even if it was trained in mixed precision."""
    from kfacealign.deploy.exporting import graphs

    return tracker.step_model(graphs.in_float32(tracker.network))


def step_to_tflite(tracker, precision):
    """The TFLite model: the step and the decoding, converted apart and joined. Returns what `litert.joined` does."""
    from kfacealign.deploy.exporting import graphs, litert

    shapes = {"image": (1, tracker.input_size, tracker.input_size, 3), **tracker.states}
    parts = []
    for part in tracker.step_parts(graphs.in_float32(tracker.network)):
        parts.append((graphs.part_model(part.name, part.inputs, part.function, shapes), part.quantizable))
    return litert.joined(parts, precision, keep=tuple(tracker.states))
