"""A model as it is at one moment, for programs that ask it for a few crops again and again, as a video's tracker does."""

from typing import TYPE_CHECKING

import numpy as np

from kfacealign.backend import frozen
from kfacealign.streaming import require_finite

if TYPE_CHECKING:
    from kfacealign.models.aligner import FaceAligner

MOST = 8  # crops in a step


class Snapshot:
    """What `FaceAligner.snapshot` returns: reads crops by graphs of TensorFlow in which the weights are constants.

    Each graph is of one size of batch, a power of two up to 8, and is made when it is first needed; smaller batches are filled
    up.

    Args:
        model: the model.

    Attributes:
        scheme: the model's landmark scheme. input_size: side of its crops in pixels. enlarge: see `FaceAligner`.
    """

    def __init__(self, model: "FaceAligner"):
        self.scheme, self.input_size, self.enlarge, self.name = model.scheme, model.input_size, model.enlarge, model.name
        self._inference, self._functions = model.inference_model(), {}

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
        try:
            parts = [self._read(np.asarray(images[start : start + MOST], "float32")) for start in range(0, len(images), MOST)]
        except (ValueError, OSError, MemoryError):
            raise
        except Exception as error:  # TensorFlow has errors of its own for what a damaged description does not fail at before
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ValueError(f"the model {self.name} cannot be run: {reason}") from error
        landmarks, scores = (np.concatenate([part[name] for part in parts]) for name in ("landmarks", "scores"))
        require_finite(landmarks, scores, f"the model {self.name}")
        return landmarks, scores

    def _read(self, images):
        size = 1 << (len(images) - 1).bit_length()
        if size not in self._functions:
            self._functions[size] = frozen(self._inference, size)
        padding = np.broadcast_to(images[-1:], (size - len(images), *images.shape[1:]))
        found = self._functions[size](np.concatenate([images, padding]))
        return {name: values[: len(images)] for name, values in found.items()}
