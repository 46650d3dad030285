"""Finding faces in an image, and what was found in a turned image in the coordinates of the image as it is."""

from typing import Any

import numpy as np

from kfacealign.detect.choice import make
from kfacealign.detect.detections import Detections
from kfacealign.detect.haar import face_box


def find_faces(image: np.ndarray, *, detector: Any = None) -> np.ndarray:
    """The boxes of the faces in an image, brows to chin and ear to ear, of which crops are made.

    Args:
        image: (H, W, 3) uint8 RGB.
        detector: what `search` takes.

    Returns:
        (N, 4) float32 x0, y0, x1, y1 in image coordinates, the largest first; N may be 0.

    Raises:
        ValueError: the shape is not an image's, or there is no such detector.
        ImportError: the detector is not installed.
    """
    return search(image, detector=detector).boxes


def search(image: np.ndarray, *, detector: Any = None, min_score: float = 0.0) -> Detections:
    """The faces in an image, the largest first.

    Args:
        image: (H, W, 3) uint8 RGB.
        detector: what `make` takes, or an object with a `boxes(image)` like that of `HaarDetector`.
        min_score: faces of a lower score are left out; the detector has a least score of its own.

    Returns:
        `Detections`.

    Raises:
        ValueError: the shape is not an image's, or there is no such detector.
        ImportError: the detector is not installed.
    """
    return looked(np.asarray(image), make(detector)).above(min_score).by_size()


def looked(image: np.ndarray, detector: Any) -> Detections:
    """What a detector finds; one that has `boxes` alone is taken for one in the manner of `HaarDetector`."""
    if hasattr(detector, "detect"):
        return detector.detect(image)
    boxes = face_box(detector.boxes(image)).reshape(-1, 4)
    return Detections(boxes, np.ones(len(boxes), np.float32))


def turned_back(
    found: Detections, quarters: int, shape: tuple[int, ...], landmarks: np.ndarray | None = None
) -> tuple[Detections, np.ndarray | None]:
    """What was found in `np.rot90(image, quarters)`, in the coordinates of the image.

    Args:
        found: the faces.
        quarters: how often the image was turned.
        shape: of the image as it is, (H, W, ...).
        landmarks: (N, K, 2) in the turned image, or None.

    Returns:
        The faces, and the landmarks or None.
    """
    height, width = shape[:2]

    def back(points):
        x, y = points[..., 0], points[..., 1]
        for turn in reversed(range(quarters)):
            # np.rot90 takes (x, y) of an image that is w wide to (y, w - x), and this is its inverse.
            x, y = (height if turn % 2 else width) - y, x
        return np.stack([x, y], axis=-1).astype(np.float32)

    corners = back(found.boxes.reshape(-1, 2, 2))
    boxes = np.concatenate([corners.min(1), corners.max(1)], axis=-1)
    points = None if found.points is None else back(found.points)
    return Detections(boxes, found.scores, points), None if landmarks is None else back(landmarks)
