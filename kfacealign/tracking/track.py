"""What a tracker says of one face in one frame."""

import dataclasses

import numpy as np

from kfacealign.pose import Pose


@dataclasses.dataclass(kw_only=True)
class Track:
    """What a tracker says of one face in one frame.

    Attributes:
        landmarks: (K, 2) float32 in image coordinates, smoothed if the tracker smooths; NaN if there is no face.
        raw: (K, 2) float32, the landmarks before smoothing.
        scores: (K,) float32, 0 if there is no face.
        score: mean of the scores.
        found: whether there is a face.
        detected: whether the detector found it in this frame, so that a model with a memory and the smoothing start anew.
        box: (4,) float32, the square that was cropped; NaN if there is no face.
        id: the face's number, from 1; 0 if there is no face. A face that was lost and found again has a new one.
        pose: which way the head is turned, where that was asked for and a head fits the landmarks.
    """

    landmarks: np.ndarray
    raw: np.ndarray
    scores: np.ndarray
    score: float
    found: bool
    detected: bool
    box: np.ndarray
    id: int = 0
    pose: Pose | None = None


def nothing(points: int) -> Track:
    """The `Track` of a frame without a face.

    Args:
        points: K, the number of landmarks.
    """
    nowhere, scores = np.full((points, 2), np.nan, "float32"), np.zeros(points, "float32")
    box = np.full(4, np.nan, "float32")
    return Track(landmarks=nowhere, raw=nowhere, scores=scores, score=0.0, found=False, detected=False, box=box)
