"""Trackers for deployment: one frame and the state in, landmarks and the new state out."""

import json
from pathlib import Path

import numpy as np

from kfacealign.deploy import flatbuffer, metadata
from kfacealign.deploy.runtime import LiteRTAligner
from kfacealign.files import replacing
from kfacealign.streaming import Stream

PRECISIONS = ("float32", "float16")


def export_step(tracker, path, precision="float32"):
    """Writes the step of a tracker as a TFLite file with its state as explicit tensors.

    Built-in operators only. The signature reads `image` (1, S, S, 3) float32 RGB 0..255 and the states, such as
    `state_x` and `state_y`, all zero before the first frame of a clip; it returns `landmarks` (1, K, 2) in crop
    coordinates, `scores` (1, K), and by the same names the states for the next frame. The metadata entry `kfacealign`
    holds what `kfacealign.deploy.export` writes, and `states` with their shapes. The file appears whole or not at all.

    Args:
        tracker: an `AttentiveHeatmap1DTracker`.
        path: the `.tflite` file; one that exists is replaced.
        precision: "float32" or "float16" (weights).

    Returns:
        The path written.

    Raises:
        ValueError: an argument does not fit, or an operator has no built-in TFLite counterpart.

    Example:
        >>> kfacealign.deploy.export_step(tracker, "tracker.tflite")
        >>> stream = kfacealign.deploy.StreamingRuntime("tracker.tflite")
    """
    from kfacealign.deploy import exporter

    path = Path(path)
    if not hasattr(tracker, "step_parts"):
        raise ValueError(f"{type(tracker).__name__} has no step: a tracker is streamed, for another model use deploy.export")
    if precision not in PRECISIONS:
        raise ValueError(f"precision of a step is {' or '.join(PRECISIONS)}, not {precision!r}")
    if path.suffix != ".tflite":
        raise ValueError(f"a step is written as a .tflite file, got {path.name}")
    exporter.check(tracker, path, "litert", precision, None)
    with replacing(path) as temporary:
        temporary.write_bytes(step_to_tflite(tracker, precision))
    return path


def step_to_tflite(tracker, precision):
    """Bytes of the TFLite model: the step and the decoding, converted apart and joined."""
    import keras

    from kfacealign.deploy import exporter

    shapes = {"image": (1, tracker.input_size, tracker.input_size, 3), **tracker.states}
    contents = []
    for part in tracker.step_parts(exporter.in_float32(tracker.network)):
        inputs = {name: keras.Input(batch_shape=shapes[name], dtype="float32", name=name) for name in part.inputs}
        outputs = part(inputs)
        shapes.update({name: tensor.shape for name, tensor in outputs.items()})
        model = keras.Model(inputs, outputs, name=part.name)
        contents.append(exporter.convert(model, precision if part.quantizable else "float32"))
    content = flatbuffer.join(*contents, keep=tuple(tracker.states))
    described = {**json.loads(metadata.describe(tracker, precision)), "states": tracker.states}
    content = flatbuffer.add_metadata(content, metadata.NAME, json.dumps(described, indent=1))
    custom = sorted({name for name, _ in flatbuffer.operators(content) if name.startswith("CUSTOM")})
    if custom:
        raise ValueError(f"these operations are no TFLite built-ins: {', '.join(custom)}")
    return content


class StreamingRuntime(LiteRTAligner):
    """A tracker written by `export_step`, run by LiteRT: `reset()` and `step(crop)` as `Stream`.

    What the states are called and how large they are is read from the file's signature. `align` takes every crop for a
    clip of its own; it leaves what `step` remembers as it is.

    Args:
        path: the `.tflite` file. threads: number of CPU threads; None leaves it to the runtime.

    Attributes:
        states: dict of state name -> shape.

    Raises:
        ValueError: the file is no TFLite model, was not written by `export_step`, or is that of a model without state.

    Example:
        >>> stream = StreamingRuntime("tracker.tflite")
        >>> landmarks, scores = stream.step(crop)     # (K, 2), (K,)
        >>> stream.reset()                            # after a cut
    """

    def __init__(self, path, threads=None):
        super().__init__(path, threads)
        details = self.runner.get_input_details()
        states = {name: tuple(map(int, detail["shape"])) for name, detail in details.items() if name != "image"}
        if not states:
            raise ValueError(f"{path} keeps no state between frames: it was written by deploy.export; run it by deploy.load")
        self.states = states
        only = self.stream()
        self.reset, self.step = only.reset, only.step

    def stream(self):
        """A `Stream` with a state of its own, one for each face that is followed; all share the interpreter."""
        return Stream(self.run_step, self.states, self.input_size)

    def run_step(self, tensors):
        """One step: dict of arrays to dict of arrays."""
        return self.runner(**tensors)

    def run(self, image):
        result = self.run_step({"image": image, **{name: np.zeros(shape, "float32") for name, shape in self.states.items()}})
        return result["landmarks"], result["scores"]
