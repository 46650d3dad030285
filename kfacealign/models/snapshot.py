"""A model as it is at one moment, for programs that ask it for a few crops again and again, as a video's tracker does."""

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from kfacealign.backend import frozen, keras
from kfacealign.deploy.exporting.conversion import convert
from kfacealign.interpreter import interpreter_class
from kfacealign.models.inference import in_float32
from kfacealign.quiet import quiet
from kfacealign.streaming import require_finite

if TYPE_CHECKING:
    from kfacealign.models.aligner import FaceAligner

MOST = 8  # crops in a step of TensorFlow


class Snapshot:
    """What `FaceAligner.snapshot` returns: a model converted to TFLite in memory, which LiteRT runs crop by crop.

    The conversion takes some seconds, and a crop then less than half of the time that Keras takes. A model with layers that
    TFLite has no counterpart for is read by graphs of TensorFlow in which the weights are constants. Each graph is of one size
    of batch, a power of two up to 8, and is made when it is first needed; smaller batches are filled up.

    Args:
        model: the model. What it computes in half precision is computed in float32, as in exported files.
        threads: CPU threads of LiteRT; None leaves it to the runtime.

    One snapshot may be shared by threads: a lock lets one of them read at a time.

    Attributes:
        scheme: the model's landmark scheme. input_size: side of its crops in pixels. enlarge: see `FaceAligner`.
        answers: names of what it says of a crop.
        converted: whether LiteRT runs it.
    """

    def __init__(self, model: "FaceAligner", *, threads: int | None = None):
        self.scheme, self.input_size, self.enlarge, self.name = model.scheme, model.input_size, model.enlarge, model.name
        self.answers, self._lock = model.answers, threading.Lock()
        network = in_float32(model.network)
        run = lite(model.inference_model(batch_size=1, network=network), threads)
        self.converted = run is not None
        self._run = run or Batches(model.inference_model())

    def align(self, images: np.ndarray, *, verbose: int | str = 0) -> tuple[np.ndarray, np.ndarray]:
        """Landmarks of face crops.

        Args:
            images: `(N, S, S, 3)` pixels 0..255, RGB, uint8 or float; N is 1 or more, S the input size.
            verbose: is there because every model's `align` has it; nothing is shown.

        Returns:
            landmarks `(N, K, 2)` float32 in crop coordinates, scores `(N, K)` float32.

        Raises:
            ValueError: an answer is not finite, or the model cannot be run.
        """
        found = self.align_all(images, verbose=verbose)
        return found["landmarks"], found["scores"]

    def align_all(self, images: np.ndarray, *, verbose: int | str = 0) -> dict[str, np.ndarray]:
        """All `answers` on face crops by their names, as of `FaceAligner.align_all`; arguments and errors as of `align`."""
        step = 1 if self.converted else MOST
        try:
            with self._lock:
                parts = [self._run(np.asarray(images[start : start + step], "float32")) for start in range(0, len(images), step)]
        except (ValueError, OSError, MemoryError):
            raise
        except Exception as error:  # TensorFlow has errors of its own for what a damaged description does not fail at before
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ValueError(f"the model {self.name} cannot be run: {reason}") from error
        found = {name: np.concatenate([part[name] for part in parts]) for name in self.answers}
        require_finite(found["landmarks"], found["scores"], f"the model {self.name}")
        return found


def lite(model: keras.Model, threads: int | None = None) -> Callable[[np.ndarray], dict[str, np.ndarray]] | None:
    """A functional model `image` (1, S, S, 3) -> dict, as LiteRT runs it; None where it cannot be converted.

    Args:
        model: the model.
        threads: CPU threads; None leaves it to the runtime.

    Returns:
        A function from an array (1, S, S, 3) float32 to a dict of arrays.
    """
    try:
        content = convert(model)
        with quiet():
            interpreter = interpreter_class()(model_content=content, num_threads=threads)
            interpreter.allocate_tensors()
        runner = interpreter.get_signature_runner()
    except Exception:  # the converter and the runtime raise what they like; what is wrong with the model is told when it is run
        return None
    return lambda images: runner(image=images)


class Batches:
    """A functional model read by TensorFlow in batches of fixed sizes, see `kfacealign.backend.frozen`."""

    def __init__(self, model: keras.Model):
        self._model, self._functions = model, {}

    def __call__(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """(N, S, S, 3) float32, N from 1 to `MOST` -> dict of arrays (N, ...)."""
        size = 1 << (len(images) - 1).bit_length()
        if size not in self._functions:
            self._functions[size] = frozen(self._model, size)
        padding = np.broadcast_to(images[-1:], (size - len(images), *images.shape[1:]))
        found = self._functions[size](np.concatenate([images, padding]))
        return {name: values[: len(images)] for name, values in found.items()}
