"""Crops of a frame read by a model, be it one of single frames or one with a memory."""

import dataclasses
import time
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from kfacealign import geometry
from kfacealign.photo import read_crops

SMALLEST = 12  # pixels; landmarks whose box has a shorter longer side are no face
GROWTH = 1.8  # largest factor by which the box may grow or shrink from frame to frame
BETTER = 1.005  # factor by which the score of another square must be higher
ROUNDS = 3  # how often looking around starts again from the best square
# Squares that are looked at: shift to the right and downwards in sides of the square, and scale.
NEARBY = ((0, 0, 1.12), (0, 0, 1 / 1.12), (0.06, 0, 1), (-0.06, 0, 1), (0, 0.06, 1), (0, -0.06, 1))
VIEW = 16  # pixels of the small grey picture by which crops are compared
PLAIN = 3.0  # grey levels; a crop of a lower deviation shows nothing


@dataclasses.dataclass(frozen=True, eq=False)
class Reading:
    """A model's answer in one square of a frame.

    Attributes:
        landmarks: (K, 2) float32 in image coordinates.
        scores: (K,) float32.
        square: (4,) float32, what was cropped.
        view: (VIEW, VIEW) float32, the crop, small and grey.
        visibility, covariance: (K,) and (K, 3) as of `kfacealign.photo.AlignedFaces`; None where the model is not calibrated.
    """

    landmarks: np.ndarray
    scores: np.ndarray
    square: np.ndarray
    view: np.ndarray
    visibility: np.ndarray | None = None
    covariance: np.ndarray | None = None

    @property
    def score(self) -> float:
        """Mean of the scores."""
        return float(self.scores.mean())

    @property
    def box(self) -> np.ndarray:
        """(4,) float32, the box of the landmarks."""
        return geometry.landmark_box(self.landmarks)


class Reader:
    """Reads squares of a frame.

    Args:
        model: what `FaceTracker` takes.

    Attributes:
        stills: whether the model reads every frame by itself; then all squares of a frame are one batch.
        seconds: dict of "cropping" and "model" -> time spent.
        reads: how many crops the model read.
    """

    def __init__(self, model: Any):
        self.stills = not (hasattr(model, "stream") or hasattr(model, "step"))
        self.model = model.snapshot() if self.stills and hasattr(model, "snapshot") else model
        self.seconds, self.reads = {"cropping": 0.0, "model": 0.0}, 0

    def stream(self) -> Any:
        """The memory of one more face: an object with `step` and `reset`, or None for a model without one."""
        if self.stills:
            return None
        return self.model.stream() if hasattr(self.model, "stream") else self.model

    def read(self, image: np.ndarray, squares: Sequence[np.ndarray], streams: Sequence[Any]) -> list[Reading | None]:
        """The next frame of several faces.

        Args:
            image: (H, W, 3) uint8 RGB.
            squares: N boxes (4,).
            streams: N results of `stream`.

        Returns:
            For each square a `Reading`, or None where the landmarks cannot be a face's.
        """
        if not len(squares):
            return []
        start = time.perf_counter()
        crops, matrices = zip(*[geometry.crop(image, square, self.model.input_size) for square in squares], strict=True)
        middle = time.perf_counter()
        if self.stills:
            found = read_crops(self.model, np.stack(crops), np.stack(matrices))
        else:
            landmarks, scores = zip(*[stream.step(crop) for stream, crop in zip(streams, crops, strict=True)], strict=True)
            placed = geometry.from_crop(np.stack(landmarks), np.stack(matrices), self.model.input_size)
            found = {"landmarks": placed, "scores": scores}
        self.reads += len(crops)
        self.seconds["cropping"] += middle - start
        self.seconds["model"] += time.perf_counter() - middle
        answers = [{name: values[place] for name, values in found.items()} for place in range(len(crops))]
        return [self._face(image, *part) for part in zip(crops, squares, answers, strict=True)]

    def first(self, image: np.ndarray, square: np.ndarray, stream: Any) -> Reading | None:
        """What `read` gives of one square if this frame is the first of a track."""
        if stream is not None:
            stream.reset()
        return self.read(image, [square], [stream])[0]

    def begin(self, image: np.ndarray, box: np.ndarray, stream: Any) -> Reading | None:
        """The face that a detector found in `box`, brows to chin, read at its best; None if the model sees none there."""
        read = self.first(image, geometry.square_box(box, self.model.enlarge), stream)
        if read is None:
            return None
        return self.first(image, self.around(self.look_around(image, read, stream)), stream)

    def look_around(self, image: np.ndarray, read: Reading, stream: Any) -> Reading:
        """The best of `read` and of what is read in the squares near its own."""
        for _ in range(ROUNDS):
            squares = nearby(read.square)
            if self.stills:
                others = self.read(image, squares, [None] * len(squares))
            else:
                others = [self.first(image, square, stream) for square in squares]
            best = read
            for other in others:
                if other is not None and other.score > BETTER * best.score:
                    best = other
            if best is read:
                break
            read = best
        return read

    def around(self, read: Reading) -> np.ndarray:
        """(4,) float32: the square around the landmarks, which is where to look next."""
        return geometry.square_box(read.box, self.model.enlarge)

    def _face(self, image, crop, square, found):
        """The `Reading` of a crop, or None if the landmarks cannot be a face's."""
        found = {name: np.asarray(values, "float32") for name, values in found.items()}
        if not all(np.isfinite(values).all() for values in found.values()):
            return None
        landmarks = found["landmarks"]
        low, high = landmarks.min(0), landmarks.max(0)
        extent, centre = (high - low).max(), (low + high) / 2
        if extent < SMALLEST or (centre < 0).any() or (centre > image.shape[1::-1]).any():
            return None
        if not 1 / GROWTH < extent * self.model.enlarge / (square[2] - square[0]) < GROWTH:
            return None
        return Reading(square=np.asarray(square, "float32"), view=small(crop), **found)


def nearby(square: np.ndarray) -> list[np.ndarray]:
    """The squares (4,) that are looked at around a square."""
    x0, y0, x1, y1 = square
    side, centre, found = x1 - x0, np.array([x0 + x1, y0 + y1]) / 2, []
    for right, down, scale in NEARBY:
        middle, half = centre + side * np.array([right, down]), scale * side / 2
        found.append(np.concatenate([middle - half, middle + half]).astype("float32"))
    return found


def small(crop: np.ndarray) -> np.ndarray:
    """(VIEW, VIEW) float32: a crop (S, S, 3) uint8, small and grey."""
    return cv2.resize(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), (VIEW, VIEW), interpolation=cv2.INTER_AREA).astype("float32")


def likeness(first: np.ndarray, second: np.ndarray) -> float:
    """The correlation of two small grey pictures, from -1 to 1; 0 where one of them shows nothing, 1 where both do."""
    first, second = first - first.mean(), second - second.mean()
    deviations = first.std(), second.std()
    if min(deviations) < PLAIN:
        return float(max(deviations) < PLAIN)
    return float((first * second).mean() / (deviations[0] * deviations[1]))
