"""Trackers for deployment: one frame and the state in, landmarks and the new state out."""

import functools
import os
from pathlib import Path

import keras

from kfacealign.deploy import metadata
from kfacealign.deploy.exporting import exporter, graphs, litert
from kfacealign.models.heatmap1d_tracker import AttentiveHeatmap1DTracker
from kfacealign.models.inference import in_float32

PRECISIONS = ("float32", "float16")


def export_step(
    tracker: AttentiveHeatmap1DTracker,
    path: str | os.PathLike,
    *,
    precision: str = "float32",
    format: str | None = None,
    licence: str | None = None,
    training_data: str | None = None,
    detector: str | dict | None = None,
    errors: list[dict] | None = None,
) -> Path:
    """Writes the step of a tracker with its state as explicit tensors.

    The graph reads `image` (1, S, S, 3) float32 RGB 0..255 and the states, such as `state_x` and `state_y`, which are all
    zero before the first frame of a clip. It returns `landmarks` (1, K, 2) in crop coordinates, `scores` (1, K), and the
    states for the next frame under the names of the states that it read. In ONNX and OpenVINO, where two tensors
    cannot share a name, these are called `next_state_x` and so on. A TFLite file holds built-in operators only. The metadata
    is that which `kfacealign.deploy.export` writes, with the shapes of the states as `states` in addition. The file or
    folder appears whole or not at all.

    Args:
        tracker: an `AttentiveHeatmap1DTracker`.
        path: the file or folder; one that exists is replaced.
        precision: "float32", or for TFLite and OpenVINO "float16" (weights).
        format: see `kfacealign.deploy.export`.
        licence: see there.
        training_data: see there.
        detector: see there.
        errors: see there.

    Returns:
        The path written.

    Raises:
        ValueError: an argument does not fit, or an operator has no counterpart in the format.
        ImportError: the format's packages are not installed.

    Example:
        >>> kfacealign.deploy.export_step(tracker, "tracker.tflite")
        >>> stream = kfacealign.deploy.StreamingRuntime("tracker.tflite")
    """
    path = Path(path)
    if not hasattr(tracker, "step_parts"):
        raise ValueError(f"{type(tracker).__name__} has no step: a tracker is streamed, for another model use deploy.export")
    if precision not in PRECISIONS:
        raise ValueError(f"precision of a step is {' or '.join(PRECISIONS)}, not {precision!r}")
    format = format or exporter.format_of(path)
    exporter.check(tracker, path, format=format, precision=precision)
    notes = {"licence": licence, "training_data": training_data, "detector": detector, "errors": errors, "states": tracker.states}

    def to_tflite():
        content, sizes = step_to_tflite(tracker, precision)
        return content, {"parts": sizes}

    return exporter.write(
        path,
        format,
        precision=precision,
        describe=functools.partial(metadata.describe, tracker, precision, **notes),
        to_tflite=to_tflite,
        to_graph=functools.partial(step_model, tracker),
    )


def step_model(tracker: AttentiveHeatmap1DTracker) -> keras.Model:
    """The step of a tracker as a functional model, in float32 even if it was trained in mixed precision."""
    return tracker.step_model(network=in_float32(tracker.network))


def step_to_tflite(tracker: AttentiveHeatmap1DTracker, precision: str) -> tuple[bytes, dict[str, int]]:
    """The step and the decoding, converted apart and joined to one TFLite model.

    Returns:
        Bytes of the file, and the number of operators that it has of each part, by the parts' names.
    """
    shapes = {"image": (1, tracker.input_size, tracker.input_size, 3), **tracker.states}
    parts = []
    for part in tracker.step_parts(network=in_float32(tracker.network)):
        parts.append((graphs.part_model(part.name, part.inputs, part.function, shapes), part.quantizable))
    return litert.joined(parts, precision, keep=tuple(tracker.states))
