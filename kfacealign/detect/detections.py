"""What detectors find, and what all of them share."""

import dataclasses
from collections.abc import Sequence
from typing import Protocol

import numpy as np

TWINS = 0.4  # overlap from which on two boxes are one face


@dataclasses.dataclass(frozen=True, eq=False)
class Detections:
    """N faces of an image, the best first.

    Attributes:
        boxes: (N, 4) float32 x0, y0, x1, y1 in image coordinates: landmarks' boxes, brows to chin and ear to ear.
        scores: (N,) float32 in [0, 1]; scores of different detectors mean different things.
        points: (N, 5, 2) float32, image coordinates of the eyes, the tip of the nose and the corners of the mouth, each
            pair from the image's left to its right; None where the detector has none.
    """

    boxes: np.ndarray
    scores: np.ndarray
    points: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, chosen: Sequence[int] | np.ndarray | slice) -> "Detections":
        points = None if self.points is None else self.points[chosen]
        return Detections(self.boxes[chosen], self.scores[chosen], points)

    def above(self, score: float) -> "Detections":
        """The faces whose score is at least `score`."""
        return self[np.flatnonzero(self.scores >= score)]

    def by_size(self) -> "Detections":
        """The same faces, the largest first."""
        sides = (self.boxes[:, 2:] - self.boxes[:, :2]).max(1) if len(self) else np.zeros(0)
        return self[np.argsort(-sides, kind="stable")]


class Detector(Protocol):
    """An object that finds faces: any class with this method will do."""

    def detect(self, image: np.ndarray) -> Detections:
        """The faces in an image (H, W, 3) uint8 RGB; boxes are in image coordinates, brows to chin and ear to ear."""


def none() -> Detections:
    """No face."""
    return Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32))


def joined(parts: Sequence[Detections]) -> Detections:
    """The faces of several looks at an image, the best first; points are kept where every look has them."""
    parts = [part for part in parts if len(part)]
    if not parts:
        return none()
    points = None
    if all(part.points is not None for part in parts):
        points = np.concatenate([part.points for part in parts])
    boxes, scores = (np.concatenate([getattr(part, name) for part in parts]) for name in ("boxes", "scores"))
    everything = Detections(boxes, scores, points)
    return everything[np.argsort(-scores, kind="stable")]


def without_twins(found: Detections, *, overlap: float = TWINS) -> Detections:
    """The faces without those that overlap a better one.

    Two boxes are one face where their intersection is at least `overlap` of the smaller of them: a box inside another is a
    twin, too, whatever its size.

    Args:
        found: the faces.
        overlap: share of the smaller box, in (0, 1].

    Returns:
        The faces that remain, the best first.
    """
    order, kept = np.argsort(-found.scores, kind="stable"), []
    twins = shared(found.boxes[order][:, None], found.boxes[order]) >= overlap
    free = np.ones(len(order), bool)
    for place, index in enumerate(order):
        if free[place]:
            kept.append(index)
            free &= ~twins[place]
    return found[np.array(kept, int)]


def shared(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Area of the intersection of two boxes over the area of the smaller.

    Args:
        first: (..., 4).
        second: (..., 4), of a shape that goes with the other's.

    Returns:
        (...) float64.
    """
    low, high = np.maximum(first[..., :2], second[..., :2]), np.minimum(first[..., 2:], second[..., 2:])
    areas = np.maximum(high - low, 0.0).prod(-1)
    smaller = np.minimum((first[..., 2:] - first[..., :2]).prod(-1), (second[..., 2:] - second[..., :2]).prod(-1))
    return np.divide(areas, smaller, out=np.zeros_like(areas), where=smaller > 0).astype(np.float64)


@dataclasses.dataclass(frozen=True)
class BoxRule:
    """From a detector's box to the landmarks' box: the same centre but for a shift, other sides.

    All in units of the detected box's longer side, medians over faces with landmarks; `benchmarks/detectors.py --fit` finds
    them.

    Attributes:
        right: how far the centre of the landmarks' box lies to the right of the detected one's.
        down: how far it lies below.
        width: width of the landmarks' box.
        height: its height.
    """

    right: float
    down: float
    width: float
    height: float

    def __call__(self, boxes: np.ndarray) -> np.ndarray:
        """Landmarks' boxes of detected boxes, (N, 4) or (4,); float32 of the same shape."""
        boxes = np.asarray(boxes, np.float64)
        low, high = boxes[..., :2], boxes[..., 2:]
        side = (high - low).max(-1, keepdims=True)
        centre = (low + high) / 2 + side * np.array([self.right, self.down])
        half = side * np.array([self.width, self.height]) / 2
        return np.concatenate([centre - half, centre + half], axis=-1).astype(np.float32)
