"""Trackers that were exported, at work on one frame after another."""

import numpy as np

from kfacealign.deploy.runtime.exported import ExportedAligner
from kfacealign.deploy.runtime.formats import open_graph
from kfacealign.streaming import Stream


class StreamingRuntime(ExportedAligner):
    """A tracker written by `export_step`, run by the runtime of its format: `reset()` and `step(crop)` as `Stream`.

    What the states are called and how large they are is read from the file's metadata. `align` takes every crop for a
    clip of its own; it leaves what `step` remembers as it is.

    Args:
        path: the `.tflite` or `.onnx` file, or the SavedModel folder.
        threads: number of CPU threads; None leaves it to the runtime.

    Attributes:
        states: dict of state name -> shape.

    Raises:
        ValueError: the file is no exported model, or that of a model without state.

    Example:
        >>> stream = StreamingRuntime("tracker.tflite")
        >>> landmarks, scores = stream.step(crop)     # (K, 2), (K,)
        >>> stream.reset()                            # after a cut
    """

    def __init__(self, path, threads=None):
        self.graph = open_graph(path, threads)
        super().__init__(path, self.graph.metadata)
        if not self.metadata.get("states"):
            raise ValueError(f"{path} keeps no state between frames: it was written by deploy.export; run it by deploy.load")
        self.threads = threads
        self.states = {name: tuple(shape) for name, shape in self.metadata["states"].items()}
        only = self.stream()
        self.reset, self.step = only.reset, only.step

    def stream(self):
        """A `Stream` with a state of its own, one for each face that is followed; all share the graph."""
        return Stream(self.graph.run_tensors, self.states, self.input_size)

    def run_tensors(self, tensors):
        """One step, of a clip's first frame where no states are given."""
        return self.graph.run_tensors({**{name: np.zeros(shape, "float32") for name, shape in self.states.items()}, **tensors})
