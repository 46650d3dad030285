"""Where in a frame the faces are, at a cost that a video can bear."""

import copy
import time
from typing import Any

import cv2
import numpy as np

from kfacealign.detect import BlazeFaceDetector, find_faces, make
from kfacealign.tracking.motion import OVERLAP, overlap

LONGEST_SIDE = 640  # larger frames are reduced first
THOROUGH = 5  # one look at the frame in so many has BlazeFace look for small faces, too
LARGE = 0.1  # fraction of the frame's longer side from which on the other looks find faces
MARGIN = 0.6  # what is seen around a face that is looked at closely, in sides of its box


class Seeker:
    """Asks a detector about frames.

    Args:
        detector: what `FaceTracker` takes.

    Attributes:
        detector: the detector.
        seconds: time that was spent.
    """

    def __init__(self, detector: Any):
        self.detector = self._quick = make(detector)
        if isinstance(self.detector, BlazeFaceDetector):
            self._quick = copy.copy(self.detector)  # the interpreter is shared
            self._quick.smallest = LARGE
        self.seconds = 0.0
        self.reset()

    def reset(self) -> None:
        """Another video begins: the next look is thorough."""
        self._looks = 0

    def everywhere(self, image: np.ndarray) -> list[np.ndarray]:
        """The boxes (4,) float32 of the faces in a frame, brows to chin, the largest first."""
        thorough = self._looks % THOROUGH == 0
        self._looks += 1
        return self._ask(image, self.detector if thorough else self._quick)

    def near(self, image: np.ndarray, box: np.ndarray) -> np.ndarray | None:
        """The face (4,) that is where `box` says; None if there is none."""
        margin = MARGIN * float(np.max(box[2:] - box[:2]))
        left, top = np.clip(np.floor(box[:2] - margin), 0, image.shape[1::-1]).astype(int)
        right, bottom = np.clip(np.ceil(box[2:] + margin), 0, image.shape[1::-1]).astype(int)
        if right - left < 2 or bottom - top < 2:
            return None
        found = self._ask(np.ascontiguousarray(image[top:bottom, left:right]), self._quick)
        found = [one + np.array([left, top, left, top], "float32") for one in found]
        best = max(found, key=lambda one: overlap(one, box), default=None)
        return best if best is not None and overlap(best, box) >= OVERLAP else None

    def _ask(self, image, detector):
        start = time.perf_counter()
        height, width = image.shape[:2]
        reduction = max(1.0, max(height, width) / LONGEST_SIDE)
        size = max(1, round(width / reduction)), max(1, round(height / reduction))
        pixels = cv2.resize(image, size, interpolation=cv2.INTER_AREA) if reduction > 1 else image
        scale = np.tile([width / size[0], height / size[1]], 2)
        boxes = [(box * scale).astype("float32") for box in find_faces(pixels, detector=detector)]
        self.seconds += time.perf_counter() - start
        return boxes
