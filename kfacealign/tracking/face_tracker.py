"""One face of a video."""

from typing import Any

import numpy as np

from kfacealign.tracking.one_euro import OneEuro
from kfacealign.tracking.track import Track, nothing
from kfacealign.tracking.tracker import Tracker


class FaceTracker(Tracker):
    """Follows the largest face of a video.

    The detector looks for the face on the first frame and whenever it is lost. From then on the crop is the square around
    the landmarks of the frame before.

    Such a crop is only as good as the model's answer to a crop that is a little off. A model that was trained on exact
    crops takes the crop's size for the face's, and small errors add up from frame to frame. So the tracker looks around:
    it also reads squares that are a little larger, smaller or shifted, and takes the one of the highest mean score. It
    does so in the detector's box. With a model that remembers no frames it also does so now and then when the score falls
    slightly below the usual score of the track. The usual score is the highest so far, which slowly gives way to the
    present one.

    The face counts as lost in five cases: its mean score falls below `threshold` times the usual one; the landmarks' box
    shrinks to nothing or changes its size at a stroke; the centre of that box leaves the frame; the size of the frames
    changes; the detector sees no face where it is checked. The detector is then asked at once, on the same frame. The
    threshold is relative because scores mean different things to different codecs: an absolute value would have to be found
    for each model.

    The detector checks a face whose crop is unlike that of the frame before, as after a cut. The scores of some models are
    the same for everything, those of coordinates that are regressed for example, and cannot tell that a face is gone. A face
    whose score has never differed is also checked every third frame and when its box jumps; two checks in a row without a
    face, and it is lost. Its landmarks are read anew in the detector's box where they have drifted away from it, and its crop
    goes ahead by its velocity, as such a model has no score by which to look around.

    Args:
        model: an object with `scheme`, `input_size`, `enlarge` and one of the following. `align(crops)` reads every frame
            by itself: a `FaceAligner` or what `kfacealign.load` returns. `step(crop)` and `reset()` remember frames:
            `step` takes (S, S, 3) uint8 and returns landmarks (K, 2) in crop coordinates and scores (K,), `reset`
            forgets all frames. `stream()` makes an object with `step` and `reset`.
        detector: what `kfacealign.detect.make` takes, or an object whose `boxes(image)` are (N, 4) like those of
            `HaarDetector`; None is the best one installed. It sees frames that are reduced to 640 pixels.
        threshold: fraction of the usual score below which a face counts as lost; with 0 none is lost by its score.
        hold: the crop stays where it is until the landmarks' centre has moved by this fraction of the crop's side, or
            their size has changed by it. A model that adds up the features of frames needs frames that lie on each
            other. None is 0.1 for models with `step` and 0 for the others.
        smoother: a `OneEuro`, of which the face gets a copy, or None.

    Attributes:
        seconds: dict of "detecting", "cropping" and "model" -> time spent.
        detections: in how many frames the detector was asked.
        reads: how many crops the model read.

    One tracker is for one video in one thread.

    Raises:
        ValueError: `threshold` is not in [0, 1).

    Example:
        >>> tracker = FaceTracker(kfacealign.load("model.tflite"), smoother=OneEuro(fps=25))
        >>> for image in images:
        ...     face = tracker.update(image)
    """

    def __init__(
        self,
        model: Any,
        *,
        detector: Any = None,
        threshold: float = 0.8,
        hold: float | None = None,
        smoother: OneEuro | None = None,
    ):
        super().__init__(model, limit=1, detector=detector, threshold=threshold, hold=hold, smoother=smoother)

    def update(self, image: np.ndarray, time: float | None = None) -> Track:
        """The face in the next frame.

        Args:
            image: (H, W, 3) uint8 RGB.
            time: of the frame in seconds; None is one frame of `smoother.fps`, or a 25th of a second, after the frame before.

        Returns:
            `Track`; its `found` is False in a frame without a face.

        Raises:
            ValueError: the shape is not an image's, or the time is not after that of the frame before.
        """
        return next(iter(self.advance(image, time)), nothing(self.scheme.num_points))
