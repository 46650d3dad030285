"""OpenCV's Haar cascades, the detector that needs nothing but OpenCV."""

import os
import threading

import cv2
import numpy as np

from kfacealign.detect.detections import Detections, without_twins

# The profile cascade draws larger boxes around the same face than the frontal one: the landmarks' box is 0.70-0.75 of its
# side instead of 0.86. Shrunk by this factor its boxes mean the same.
_PROFILE_SCALE = 0.85
_LONGEST_SIDE = 640  # larger photographs are reduced first: detection is faster, and film grain does not disturb it

# The landmarks' box in units of the detected side: how far its centre lies below the detection's, its width, its height.
_LOWER, _WIDTH, _HEIGHT = 0.164, 0.857, 0.825


def face_box(detected_box: np.ndarray) -> np.ndarray:
    """From a detected box to the box that crops are made of: the bounding box of the landmarks, brows to chin.

    The rule was measured on 200 seeded training images of YouTube Faces (68 landmarks), where the largest detection is
    the annotated face 198 times. Medians and standard deviations in units of the detected side:

    | landmarks' box | median | deviation |
    |---|---|---|
    | its centre lies to the right of the detection's centre by | 0.006, taken for 0 | 0.088 |
    | its centre lies below the detection's centre by | 0.164 | 0.041 |
    | its width | 0.857 | 0.082 |
    | its height | 0.825 | 0.083 |

    The mapped box overlaps the true one by 0.76 in the mean (intersection over union), the bare detection by 0.57.

    Args:
        detected_box: (4,) or (N, 4) x0, y0, x1, y1 in image coordinates, from `HaarDetector.boxes`.

    Returns:
        float32 boxes of the same shape.
    """
    x0, y0, x1, y1 = np.moveaxis(np.asarray(detected_box, np.float64), -1, 0)
    side = x1 - x0
    x, y = (x0 + x1) / 2, (y0 + y1) / 2 + _LOWER * side
    half_width, half_height = _WIDTH * side / 2, _HEIGHT * side / 2
    corners = [x - half_width, y - half_height, x + half_width, y + half_height]
    return np.stack(corners, axis=-1).astype(np.float32)


def _cascade(name):
    folder = getattr(getattr(cv2, "data", None), "haarcascades", "")
    path = os.path.join(folder, f"haarcascade_{name}.xml")
    if not hasattr(cv2, "CascadeClassifier") or not os.path.exists(path):
        raise ImportError(
            f"OpenCV {cv2.__version__} has no haarcascade_{name}.xml (versions from 5 on dropped it): "
            "install opencv-python-headless<5, or give face boxes of your own"
        )
    return cv2.CascadeClassifier(path)


def _gray(image):
    image = np.asarray(image)
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (1, 3)) or 0 in image.shape:
        raise ValueError(f"an image is (H, W), (H, W, 1) or RGB (H, W, 3), got shape {image.shape}")
    if image.dtype != np.uint8:
        image = np.clip(np.rint(image), 0, 255).astype(np.uint8)
    if image.ndim == 3 and image.shape[2] == 3:
        return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return np.ascontiguousarray(image.reshape(image.shape[:2]))


class HaarDetector:
    """Finds faces in photographs with the Haar cascades that come with OpenCV 4.

    The frontal cascade is tried first; where it finds nothing, the profile cascade looks for faces turned to either
    side. In the 396 test frames of YouTube Faces the largest detection is the annotated face 393 times. Faces that are
    tilted, or turned and half hidden, are often missed.

    Args:
        smallest: side of the smallest face looked for, as a fraction of the image's shorter side.
        min_neighbors: how many overlapping detections make a face; more means fewer faces, and fewer false ones.
        min_score: least score of a face for `detect`; n overlapping detections have the score 1 - 2^(-n / `min_neighbors`).

    One detector may be shared by threads: a lock lets one of them run the cascades at a time.

    Raises:
        ImportError: the installed OpenCV has no cascades.

    Example:
        >>> found = HaarDetector().detect(image)
        >>> pixels, matrix = geometry.crop(image, geometry.square_box(found.boxes[0], 1.2), 256)
    """

    name = "haar"

    def __init__(self, *, smallest: float = 1 / 12, min_neighbors: int = 4, min_score: float = 0.0):
        self.smallest, self.min_neighbors, self.min_score = smallest, min_neighbors, min_score
        self._lock = threading.Lock()
        self._frontal = _cascade("frontalface_default")
        self._profile = _cascade("profileface")

    @staticmethod
    def check() -> None:
        """Raises ImportError where the installed OpenCV has no cascades."""
        _cascade("frontalface_default")

    def detect(self, image: np.ndarray) -> Detections:
        """The faces in an image, the best first, without points.

        Args:
            image: (H, W, 3) RGB, or (H, W) or (H, W, 1) grey; 0..255, uint8 or float.

        Raises:
            ValueError: the shape is not an image's.
        """
        squares, neighbors = self._squares(image)
        scores = (1 - np.exp2(-neighbors / self.min_neighbors)).astype(np.float32)
        return without_twins(Detections(face_box(squares).reshape(-1, 4), scores)).above(self.min_score)

    def boxes(self, image: np.ndarray) -> np.ndarray:
        """The squares in which the cascades see faces.

        Args:
            image: (H, W, 3) RGB, or (H, W) or (H, W, 1) grey; 0..255, uint8 or float.

        Returns:
            (N, 4) float32 x0, y0, x1, y1 in image coordinates: squares from the forehead to below the mouth, the largest
            first; N may be 0. `face_box` makes the boxes of landmarks of them.

        Raises:
            ValueError: the shape is not an image's.
        """
        return self._squares(image)[0]

    def _squares(self, image):
        """The squares (N, 4) of `boxes`, and how many detections made each, (N,)."""
        gray = _gray(image)
        height, width = gray.shape
        reduction = max(1.0, max(height, width) / _LONGEST_SIDE)
        if reduction > 1:
            size = (max(1, round(width / reduction)), max(1, round(height / reduction)))
            gray = cv2.resize(gray, size, interpolation=cv2.INTER_AREA)
        with self._lock:
            found, neighbors = self._detect(self._frontal, gray)
            if not len(found):
                found, neighbors = self._profiles(gray)
        found = found * np.tile([width / gray.shape[1], height / gray.shape[0]], 2)
        order = np.lexsort((found[:, 1], found[:, 0], found[:, 0] - found[:, 2]))
        return found[order].astype(np.float32), neighbors[order]

    def _detect(self, cascade, gray):
        side = max(1, round(self.smallest * min(gray.shape)))
        found, neighbors = cascade.detectMultiScale2(gray, 1.05, self.min_neighbors, minSize=(side, side))
        x, y, width, height = np.asarray(found, np.float64).reshape(-1, 4).T
        return np.stack([x, y, x + width, y + height], axis=-1), np.asarray(neighbors, np.float64).reshape(-1)

    def _profiles(self, gray):
        """Faces in profile. The cascade knows one side only; the mirrored image shows it the other."""
        mirrored, seen = self._detect(self._profile, np.ascontiguousarray(gray[:, ::-1]))
        mirrored = mirrored[:, [2, 1, 0, 3]]
        mirrored[:, [0, 2]] = gray.shape[1] - mirrored[:, [0, 2]]
        found, neighbors = self._detect(self._profile, gray)
        found, neighbors = np.concatenate([found, mirrored]), np.concatenate([neighbors, seen])
        centre, half = (found[:, :2] + found[:, 2:]) / 2, (found[:, 2:] - found[:, :2]) / 2 * _PROFILE_SCALE
        return np.concatenate([centre - half, centre + half], axis=-1), neighbors
