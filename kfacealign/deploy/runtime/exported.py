"""What exported models share: the interface of `FaceAligner.align`, whatever runs them."""

import os
from collections.abc import Iterable, Sequence

import numpy as np

from kfacealign import schemes
from kfacealign.deploy import metadata
from kfacealign.streaming import require_finite


class ExportedAligner:
    """What exported models share: crops in, landmarks out.

    Args:
        path: the file or folder, for messages.
        described: its metadata, as `kfacealign.deploy.metadata.parse` returns it.
        inputs: name of each tensor that the graph reads -> its shape; a side that is no positive whole number is open.
        outputs: the same of what it gives.

    Attributes:
        path: the file or folder, as text.
        metadata: dict, as `kfacealign.deploy.export` wrote it.
        scheme: the landmark `Scheme`.
        input_size: side of the crops in pixels.
        enlarge: side of the crops over the longer side of the landmark box, as in training.
        dtype: what the graph reads, "float32" or "uint8".
        inputs, outputs: as given.
        resizable: whether the graph takes any number of crops; otherwise it takes one.

    Raises:
        ValueError: the metadata describes no scheme, or the graph has other tensors than the metadata says.
    """

    path: str
    metadata: dict
    scheme: schemes.Scheme
    input_size: int
    enlarge: float
    dtype: str
    resizable: bool
    inputs: dict[str, Sequence]
    outputs: dict[str, Sequence]

    def __init__(self, path: str | os.PathLike, described: dict, inputs: dict[str, Sequence], outputs: dict[str, Sequence]):
        self.path = str(path)
        self.metadata = described
        self.scheme = metadata.scheme_of(described, path)
        self.input_size = described["input_size"]
        self.enlarge = described["enlarge"]
        image = described.get("input", {})
        self.dtype = image.get("dtype", "float32")
        self.resizable = image.get("shape", [1])[0] is None
        self.inputs, self.outputs = inputs, outputs
        self.check_graph()

    def check_graph(self) -> None:
        """Refuses a graph whose tensors are not those of its metadata.

        Raises:
            ValueError: a tensor is missing or has another shape.
        """
        size, points = self.input_size, self.scheme.num_points
        states = {name: tuple(shape) for name, shape in (self.metadata.get("states") or {}).items()}
        answers = {"landmarks": (None, points, 2), "scores": (None, points)}
        expected = ({"image": (None, size, size, 3), **states}, {**answers, **states})
        for what, wanted, found in zip(("input", "output"), expected, (self.inputs, self.outputs), strict=True):
            for name, shape in wanted.items():
                if name not in found or not fits(found[name], shape):
                    told = f"is {list(found[name])}" if name in found else "is missing"
                    raise ValueError(
                        f"{self.path}: its {what} {name} {told}, its metadata says {list(shape)} ({self.scheme.name}); export "
                        "the model again"
                    )
            others = sorted(set(found) - set(wanted))
            if others and what == "input":
                raise ValueError(f"{self.path}: its input {others[0]} is not in its metadata; export the model again")

    def run_tensors(self, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Runs the graph: dict of input arrays -> dict of output arrays."""
        raise TypeError(f"{type(self).__name__} does not define run_tensors")

    def run(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """`(B, S, S, 3)` pixels 0..255, B = 1 unless `resizable` -> landmarks `(B, K, 2)`, scores `(B, K)`."""
        result = self.run_tensors({"image": as_pixels(image, self.dtype)})
        return result["landmarks"], result["scores"]

    def align(self, images: np.ndarray, *, batch_size: int = 32, verbose: str | int = "auto") -> tuple[np.ndarray, np.ndarray]:
        """Landmarks of face crops.

        Args:
            images: `(N, S, S, 3)` pixels 0..255, RGB, uint8 or float, S the input size.
            batch_size: crops that a model takes at once if it is `resizable`; other models take one.
            verbose: 1 shows a progress bar, 0 shows none, "auto" shows one from 128 crops on.

        Returns:
            landmarks `(N, K, 2)` float32 in crop coordinates, scores `(N, K)` float32.

        Raises:
            ValueError: the crops are not of the shape the model reads, or an answer is not finite.
        """
        images = np.asarray(images)
        expected = (self.input_size, self.input_size, 3)
        if images.ndim != 4 or images.shape[1:] != expected:
            raise ValueError(f"align reads crops of shape (N, {expected[0]}, {expected[1]}, 3), got {images.shape}")
        points = self.scheme.num_points
        landmarks = np.zeros((len(images), points, 2), "float32")
        scores = np.zeros((len(images), points), "float32")
        shown = len(images) >= 128 if verbose == "auto" else bool(verbose)
        step = batch_size if self.resizable else 1
        for first in progress(range(0, len(images), step), "aligning", shown):
            batch = slice(first, first + step)
            landmarks[batch], scores[batch] = self.run(images[batch])
        require_finite(landmarks, scores, self.path)
        return landmarks, scores


def first_line(error: Exception) -> str:
    """What a runtime's error says, in one line."""
    text = str(error).strip()
    return text.splitlines()[0][:300] if text else type(error).__name__


def fits(shape: Sequence, expected: Sequence[int | None]) -> bool:
    """Whether a shape has the sides expected; None, and sides that are open, fit all."""
    if len(shape) != len(expected):
        return False
    return all(
        want is None or not isinstance(side, int | np.integer) or side < 1 or side == want
        for side, want in zip(shape, expected, strict=True)
    )


def as_pixels(images: np.ndarray, dtype: str) -> np.ndarray:
    """Pixels of any type as `dtype`, "float32" or "uint8"; for uint8 they are rounded and cut to 0..255."""
    images = np.asarray(images)
    if dtype == "uint8" and images.dtype != np.uint8:
        images = np.clip(np.rint(images), 0, 255)
    return images.astype(dtype, copy=False)


def progress(items: Sequence, description: str, shown: bool) -> Iterable:
    """The items, with a progress bar on a terminal if `shown`."""
    if not shown:
        return items
    from rich.progress import track

    return track(items, description=description)
