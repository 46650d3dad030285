"""Follows one face through a video: a detector finds it, from then on the box of the last landmarks says where to look."""

import dataclasses
import time
from typing import Any

import numpy as np

from kfacealign import geometry
from kfacealign.detect import HaarDetector, find_faces

SMALLEST = 12  # pixels; landmarks whose box has a shorter longer side are no face
GROWTH = 1.8  # largest factor by which the box may grow or shrink from frame to frame
CANDIDATES = 3  # detections that are looked at, the largest first
MEMORY = 0.98  # share of the past in the usual score, while scores are lower
SLIGHT = 0.97  # fraction of the usual score below which a tracker of single frames looks around,
PAUSE = 5  # but only after this many frames without looking around, so that the model seldom reads twice as much
BETTER = 1.005  # factor by which the score of another square must be higher
ROUNDS = 3  # how often looking around starts again from the best square
# Squares that are looked at: shift to the right and downwards in sides of the square, and scale.
NEARBY = ((0, 0, 1.12), (0, 0, 1 / 1.12), (0.06, 0, 1), (-0.06, 0, 1), (0, 0.06, 1), (0, -0.06, 1))


@dataclasses.dataclass(kw_only=True)
class Track:
    """What a tracker says about one frame.

    Attributes:
        landmarks: (K, 2) float32 in image coordinates, smoothed if the tracker smooths; NaN if there is no face.
        raw: (K, 2) float32, the landmarks before smoothing.
        scores: (K,) float32, 0 if there is no face.
        score: mean of the scores.
        found: whether there is a face.
        detected: whether the detector found it, so that a new track starts here.
        box: (4,) float32, the square that was cropped; NaN if there is no face.
    """

    landmarks: np.ndarray
    raw: np.ndarray
    scores: np.ndarray
    score: float
    found: bool
    detected: bool
    box: np.ndarray


class FaceTracker:
    """Follows the largest face of a video.

    The detector looks for the face on the first frame and whenever it is lost. From then on the crop is the square around
    the landmarks of the frame before.

    Such a crop is only as good as the model's answer to a crop that is a little off. A model that was trained on exact
    crops takes the crop's size for the face's, and small errors add up from frame to frame. So the tracker looks around:
    it also reads squares that are a little larger, smaller or shifted, and takes the one of the highest mean score. It
    does so in the detector's box. With a model that remembers no frames it also does so now and then when the score falls
    slightly below the usual score of the track. The usual score is the highest so far, which slowly gives way to the
    present one.

    The face counts as lost in four cases: its mean score falls below `threshold` times the usual one; the landmarks' box
    shrinks to nothing or changes its size at a stroke; the centre of that box leaves the frame; the size of the frames
    changes. The detector is then asked at once, on the same frame. The threshold is relative because scores mean
    different things to different codecs: an absolute value would have to be found for each model.

    Args:
        model: an object with `scheme`, `input_size`, `enlarge` and one of the following. `align(crops)` reads every frame
            by itself: a `FaceAligner` or what `kfacealign.load` returns. `step(crop)` and `reset()` remember frames:
            `step` takes (S, S, 3) uint8 and returns landmarks (K, 2) in crop coordinates and scores (K,), `reset`
            forgets all frames. `stream()` makes an object with `step` and `reset`.
        detector: an object whose `boxes(image)` are (N, 4) like those of `HaarDetector`; None makes a `HaarDetector`.
        threshold: fraction of the usual score below which a face counts as lost; with 0 none is lost by its score.
        hold: the crop stays where it is until the landmarks' centre has moved by this fraction of the crop's side, or
            their size has changed by it. A model that adds up the features of frames needs frames that lie on each
            other. None is 0.1 for models with `step` and 0 for the others.
        smoother: a `OneEuro`, or None.

    Attributes:
        seconds: dict of "detecting", "cropping" and "model" -> time spent.
        detections: how often the detector was asked.
        reads: how many crops the model read.

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
        smoother: "OneEuro | None" = None,
    ):
        if not 0 <= threshold < 1:
            raise ValueError(f"threshold is {threshold}: expected a fraction from 0 to below 1 of the usual score")
        self.scheme, self.input_size, self.enlarge = model.scheme, model.input_size, model.enlarge
        self._stream = model.stream() if hasattr(model, "stream") else model if hasattr(model, "step") else _Stills(model)
        self.detector = HaarDetector() if detector is None else detector
        self.threshold = threshold
        self.hold = hold if hold is not None else 0.0 if isinstance(self._stream, _Stills) else 0.1
        self.smoother = smoother
        self.seconds = {"detecting": 0.0, "cropping": 0.0, "model": 0.0}
        self.detections = self.reads = 0
        self.reset()

    def reset(self) -> None:
        """Forgets the face: the next frame is the first of another video."""
        self._square = self._size = self._usual = None
        self._looked = 0  # frames since it last looked around
        self._stream.reset()

    def update(self, image: np.ndarray) -> Track:
        """The face in the next frame.

        Args:
            image: (H, W, 3) uint8 RGB.

        Returns:
            `Track`.

        Raises:
            ValueError: the shape is not an image's.
        """
        image = np.asarray(image)
        if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
            raise ValueError(f"a frame is RGB (H, W, 3), got shape {image.shape}")
        if self._square is not None and image.shape[:2] == self._size:
            read = self._next(image)
            if read is not None:
                return self._follow(read, detected=False)
        self._size = image.shape[:2]
        read = self._find(image)
        if read is not None:
            return self._follow(read, detected=True)
        self.reset()
        nothing = np.full((self.scheme.num_points, 2), np.nan, "float32")
        scores = np.zeros(self.scheme.num_points, "float32")
        nowhere = np.full(4, np.nan, "float32")
        return Track(landmarks=nothing, raw=nothing, scores=scores, score=0.0, found=False, detected=False, box=nowhere)

    def _next(self, image):
        """What `_read` gives near the last place of the face, or None if the face is lost."""
        read = self._read(image, self._square)
        # A face that is lost is not looked around for: the best of many squares of anything may score like a face.
        if read is None or _score(read) < self.threshold * self._usual:
            return None
        self._looked += 1
        if isinstance(self._stream, _Stills) and self._looked > PAUSE and _score(read) < SLIGHT * self._usual:
            self._looked = 0
            return self._look_around(image, read)
        return read

    def _find(self, image):
        """What `_read` gives of the face that the detector finds, or None if it finds none."""
        start = time.perf_counter()
        boxes = find_faces(image, detector=self.detector)[:CANDIDATES]
        self.detections += 1
        self.seconds["detecting"] += time.perf_counter() - start
        for box in boxes:
            read = self._first(image, geometry.square_box(box, self.enlarge))
            if read is not None:
                read = self._first(image, self._around(self._look_around(image, read)[0]))
            if read is not None:
                return read
        return None

    def _look_around(self, image, read):
        """The best of `read` and of what `_read` gives in the squares near its own."""
        for _ in range(ROUNDS):
            x0, y0, x1, y1 = read[2]
            side, centre, best = x1 - x0, np.array([x0 + x1, y0 + y1]) / 2, read
            for right, down, scale in NEARBY:
                middle, half = centre + side * np.array([right, down]), scale * side / 2
                other = self._first(image, np.concatenate([middle - half, middle + half]).astype("float32"))
                if other is not None and _score(other) > BETTER * _score(best):
                    best = other
            if best is read:
                break
            read = best
        return read

    def _first(self, image, square):
        """What `_read` gives if this frame is the first of a track."""
        self._stream.reset()
        return self._read(image, square)

    def _read(self, image, square):
        """Landmarks (K, 2) in image coordinates, scores (K,) and the square; None if the landmarks cannot be a face's."""
        start = time.perf_counter()
        crop, matrix = geometry.crop(image, square, self.input_size)
        middle = time.perf_counter()
        landmarks, scores = (np.asarray(value, "float32") for value in self._stream.step(crop))
        self.reads += 1
        self.seconds["cropping"] += middle - start
        self.seconds["model"] += time.perf_counter() - middle
        if not np.isfinite(landmarks).all() or not np.isfinite(scores).all():
            return None
        landmarks = geometry.from_crop(landmarks, matrix, self.input_size)
        low, high = landmarks.min(0), landmarks.max(0)
        extent, centre = (high - low).max(), (low + high) / 2
        if extent < SMALLEST or (centre < 0).any() or (centre > image.shape[1::-1]).any():
            return None
        if not 1 / GROWTH < extent * self.enlarge / (square[2] - square[0]) < GROWTH:
            return None
        return landmarks, scores, square

    def _follow(self, read, detected):
        """The `Track` of a face that was read; settles where to look in the next frame."""
        landmarks, scores, square = read
        score = _score(read)
        self._usual = score if detected else max(score, MEMORY * self._usual + (1 - MEMORY) * score)
        following = self._around(landmarks)
        side, change = square[2] - square[0], following - square
        moved = np.abs(change[:2] + change[2:]).max() / 2
        grown = abs(change[2] - change[0])
        self._square = square if max(moved, grown) < self.hold * side else following
        smooth = landmarks
        if self.smoother is not None:
            if detected:
                self.smoother.reset()
            smooth = self.smoother(landmarks, scale=side).astype("float32")
        return Track(landmarks=smooth, raw=landmarks, scores=scores, score=score, found=True, detected=detected, box=square)

    def _around(self, landmarks):
        return geometry.square_box(geometry.landmark_box(landmarks), self.enlarge)


def _score(read):
    return float(read[1].mean())


class _Stills:
    """Gives a model that reads every frame by itself the `step` and `reset` of one that remembers frames."""

    def __init__(self, model):
        self.model = model

    def reset(self):
        pass

    def step(self, crop):
        landmarks, scores = self.model.align(crop[None], verbose=0)
        return landmarks[0], scores[0]


class OneEuro:
    """The One-Euro filter (Casiez, Roussel and Vogel, CHI 2012): points that move lag little, points that rest tremble little.

    With T_e the time between frames, for every coordinate x:

        alpha(f) = 1 / (1 + 1 / (2 pi f T_e))
        v_t = alpha(d_cutoff) (x_t - y_(t-1)) / T_e + (1 - alpha(d_cutoff)) v_(t-1)
        y_t = alpha(f_t) x_t + (1 - alpha(f_t)) y_(t-1)   with   f_t = min_cutoff + beta |v_t| / scale

    Args:
        fps: frames a second.
        min_cutoff: cutoff for points that rest, in Hz; a lower one trembles less and lags more.
        beta: how the cutoff grows with the speed, in Hz per (scale per second); with a higher one points that move lag
            less. The tracker's scale is the side of the crop, which makes `beta` independent of the size of the face.
        d_cutoff: cutoff for the speed, in Hz.

    Raises:
        ValueError: a number is not positive (`beta` may be 0).
    """

    def __init__(self, *, fps: float = 25.0, min_cutoff: float = 1.0, beta: float = 20.0, d_cutoff: float = 1.0):
        if not (fps > 0 and min_cutoff > 0 and beta >= 0 and d_cutoff > 0):
            raise ValueError(f"fps {fps}, min_cutoff {min_cutoff}, beta {beta}, d_cutoff {d_cutoff}: expected positive numbers")
        self.fps, self.min_cutoff, self.beta, self.d_cutoff = fps, min_cutoff, beta, d_cutoff
        self.reset()

    def reset(self) -> None:
        """Forgets the past: the next values pass as they are."""
        self._values = self._speed = None

    def __call__(self, values: np.ndarray, *, scale: float = 1.0) -> np.ndarray:
        """Filters the values of the next frame.

        Args:
            values: an array of any shape, the same in every frame.
            scale: length that speeds are divided by, in the unit of the values.

        Returns:
            float64 of the same shape.
        """
        values = np.asarray(values, "float64")
        if self._values is None:
            self._values, self._speed = values, np.zeros_like(values)
            return values
        share = self._share(self.d_cutoff)
        self._speed = share * (values - self._values) * self.fps + (1 - share) * self._speed
        share = self._share(self.min_cutoff + self.beta * np.abs(self._speed) / scale)
        self._values = share * values + (1 - share) * self._values
        return self._values

    def _share(self, cutoff):
        return 1 / (1 + self.fps / (2 * np.pi * cutoff))
