"""Exported trackers at work on one frame after another."""

import os

import numpy as np

from kfacealign.deploy.runtime.exported import ExportedAligner
from kfacealign.deploy.runtime.formats import open_graph
from kfacealign.streaming import Stream


class StreamingRuntime(ExportedAligner):
    """A tracker written by `export_step`, run by the runtime of its format.

    `step(crop)` and `reset()` do what they do for a `kfacealign.streaming.Stream`. The names and the sizes of the states are
    read from the file's metadata. `align` takes every crop for the first frame of a clip; it does not touch what `step`
    remembers.

    Args:
        path: the `.tflite`, `.onnx` or OpenVINO's `.xml` file, or the SavedModel folder.
        threads: number of CPU threads; None leaves it to the runtime.
        trust: whether a SavedModel folder may be loaded. It is a program, and loading it can do whatever its author wrote.

    Attributes:
        states: dict of state name -> shape.

    Raises:
        ValueError: the file is no exported model, or its model keeps no state.

    Example:
        >>> stream = StreamingRuntime("tracker.tflite")
        >>> landmarks, scores = stream.step(crop)     # (K, 2), (K,)
        >>> stream.reset()                            # after a cut
    """

    def __init__(self, path: str | os.PathLike, *, threads: int | None = None, trust: bool = False):
        self.graph = open_graph(path, threads=threads, trust=trust)
        super().__init__(path, self.graph.metadata, self.graph.inputs, self.graph.outputs)
        if not self.metadata.get("states"):
            raise ValueError(f"{path} keeps no state between frames: it was written by deploy.export; run it by deploy.load")
        self.threads = threads
        self.states = {name: tuple(shape) for name, shape in self.metadata["states"].items()}
        only = self.stream()
        self.reset, self.step = only.reset, only.step

    def stream(self) -> Stream:
        """A new `Stream` with a state of its own, for one more face to follow; all streams share the graph."""
        return Stream(self.graph.run_tensors, self.states, self.input_size, self.path)

    def run_tensors(self, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Runs one step; without states among `tensors` it is the step of a clip's first frame."""
        return self.graph.run_tensors({**{name: np.zeros(shape, "float32") for name, shape in self.states.items()}, **tensors})
