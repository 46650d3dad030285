"""Several faces of a video."""

from typing import Any

import numpy as np

from kfacealign.tracking.one_euro import OneEuro
from kfacealign.tracking.track import Track
from kfacealign.tracking.tracker import Tracker


class MultiFaceTracker(Tracker):
    """Follows several faces of a video, each under a number of its own.

    It is `FaceTracker` for several faces: each has its own crop, its own memory of a model that remembers frames, and its own
    smoothing. The crops of all faces are one batch for a model that reads single frames. Which face is which is told in the
    manner of SORT (Bewley, Ge, Ott, Ramos and Upcroft, "Simple online and realtime tracking", ICIP 2016): boxes move at
    constant velocity under a Kalman filter, and what the detector finds is given to the tracks by the Hungarian algorithm
    with the intersection over union of boxes as gain. In place of a detector at every frame, the landmarks' boxes are what
    the filter sees.

    The detector looks for further faces every few frames while fewer than wanted are followed. Two tracks whose landmarks
    lie on one face are one: the one that was less expected there is taken for hidden, goes on by its velocity for two
    seconds at most, and is found again under its number behind the other face. Any other face that is missed in more than
    one frame is lost, and has a new number when it comes back.

    Args:
        model: as for `FaceTracker`; one with `step` needs `stream()` to follow more than one face.
        faces: how many faces are followed at most, the largest first; None follows all.
        detector: as for `FaceTracker`.
        threshold: as for `FaceTracker`.
        hold: as for `FaceTracker`.
        smoother: a `OneEuro` of which every face gets a copy, or None.

    Attributes:
        seconds: dict of "detecting", "cropping" and "model" -> time spent.
        detections: in how many frames the detector was asked.
        reads: how many crops the model read.

    One tracker is for one video in one thread. Model and detector may be shared by trackers of several threads where they
    say so of themselves; the detectors and exported models of this package do.

    Raises:
        ValueError: `threshold` is not in [0, 1), `faces` is less than 1, or the model remembers one face only.

    Example:
        >>> tracker = MultiFaceTracker(kfacealign.load("model.tflite"), faces=4)
        >>> for image in images:
        ...     for face in tracker.update(image):
        ...         print(face.id, face.landmarks.shape)
    """

    def __init__(
        self,
        model: Any,
        *,
        faces: int | None = None,
        detector: Any = None,
        threshold: float = 0.8,
        hold: float | None = None,
        smoother: OneEuro | None = None,
    ):
        super().__init__(model, limit=faces, detector=detector, threshold=threshold, hold=hold, smoother=smoother)

    def update(self, image: np.ndarray, time: float | None = None) -> list[Track]:
        """The faces in the next frame.

        Args:
            image: (H, W, 3) uint8 RGB.
            time: of the frame in seconds, which smoothing and motion go by; None is one frame of `smoother.fps`, or a 25th
                of a second, after the frame before.

        Returns:
            List of `Track`, in the order of their `id`; the list is empty in a frame without a face.

        Raises:
            ValueError: the shape is not an image's, or the time is not after that of the frame before.
        """
        return self.advance(image, time)
