"""Boxes that move, and which box of this frame is which of the frame before: SORT (Bewley, Ge, Ott, Ramos and Upcroft, 2016).

A box moves at constant velocity under a Kalman filter, and boxes are given to tracks so that the sum of the overlaps
(intersection over union) is the largest, by the Hungarian algorithm.
"""

import copy

import cv2
import numpy as np

from kfacealign.detect.detections import shared

UNIT = 100.0  # sides are told in units in which the first box is this many long, for which SORT's noise was chosen
OVERLAP = 0.3  # least intersection over union of two boxes of one face, as in SORT
AROUND = 0.15  # what a head shows around its landmarks' box, in widths of the box
TOUCHING = 0.15  # least share of the smaller of two heads in the other, if one may hide the other
TWIN = 0.35  # mean distance of two faces' points over the side of their boxes, below which they are one face


class Motion:
    """Where a box is and where it is going: SORT's Kalman filter on centre, area and shape, OpenCV's `KalmanFilter`.

    Args:
        box: (4,) x0, y0, x1, y1 in image coordinates.

    Attributes:
        box: (4,) float64, where the box is by what was seen so far.
    """

    def __init__(self, box: np.ndarray):
        self._unit = max(float(np.max(np.subtract(box[2:], box[:2]))), 1e-3) / UNIT
        self._filter = cv2.KalmanFilter(7, 4, 0, cv2.CV_64F)
        self._filter.transitionMatrix = np.eye(7)
        self._filter.measurementMatrix = np.eye(4, 7)
        self._filter.measurementNoiseCov = np.diag([1.0, 1, 10, 10])
        self._noise = np.diag([1.0, 1, 1, 1, 0.01, 0.01, 0.0001])
        self._filter.errorCovPost = np.diag([10.0, 10, 10, 10, 1e4, 1e4, 1e4])
        self._filter.statePost = np.concatenate([self._measured(box), np.zeros(3)])[:, None]
        # What is seen in the first frame corrects what was known of it.
        self._filter.statePre, self._filter.errorCovPre = self._filter.statePost.copy(), self._filter.errorCovPost.copy()
        self.box = np.asarray(box, float)

    def copy(self) -> "Motion":
        """A motion that goes on from here by itself."""
        twin = Motion(self.box)
        twin._unit, twin._noise = self._unit, self._noise
        for name in ("statePost", "errorCovPost", "statePre", "errorCovPre"):
            setattr(twin._filter, name, copy.deepcopy(getattr(self._filter, name)))
        return twin

    def predict(self, steps: float) -> np.ndarray:
        """Goes on in time.

        Args:
            steps: how many frames of the usual length have passed.

        Returns:
            (4,) float64, where the box should be now.
        """
        transition = np.eye(7)
        transition[[0, 1, 2], [4, 5, 6]] = steps
        self._filter.transitionMatrix, self._filter.processNoiseCov = transition, self._noise * steps
        self.box = self._told(self._filter.predict()[:, 0])
        return self.box

    def correct(self, box: np.ndarray) -> None:
        """The box was seen here."""
        self.box = self._told(self._filter.correct(self._measured(box)[:, None])[:, 0])

    def _measured(self, box):
        x0, y0, x1, y1 = np.asarray(box, float) / self._unit
        width, height = max(x1 - x0, 1e-3), max(y1 - y0, 1e-3)
        return np.array([(x0 + x1) / 2, (y0 + y1) / 2, width * height / UNIT, width / height])

    def _told(self, state):
        x, y, area, shape = state[:4]
        width = np.sqrt(max(area, 1e-3) * UNIT * max(shape, 1e-3))
        height = width / max(shape, 1e-3)
        return self._unit * np.array([x - width / 2, y - height / 2, x + width / 2, y + height / 2])


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    """Intersection over union of two boxes (4,)."""
    low, high = np.maximum(first[:2], second[:2]), np.minimum(first[2:], second[2:])
    area = np.prod(np.maximum(high - low, 0.0))
    union = np.prod(np.subtract(first[2:], first[:2])) + np.prod(np.subtract(second[2:], second[:2])) - area
    return float(area / union) if union > 0 else 0.0


def matched(first: list[np.ndarray], second: list[np.ndarray], *, least: float = OVERLAP) -> dict[int, int]:
    """Which box of the first list is which of the second: the pairs whose overlaps have the largest sum.

    Args:
        first: boxes (4,).
        second: boxes (4,).
        least: pairs of a smaller intersection over union are none.

    Returns:
        dict of a place in `first` -> its place in `second`.
    """
    if not len(first) or not len(second):
        return {}
    from scipy.optimize import linear_sum_assignment  # commands that follow no faces start without SciPy

    table = np.array([[overlap(one, other) for other in second] for one in first])
    rows, columns = linear_sum_assignment(np.where(table >= least, table, 0.0), maximize=True)
    return {int(row): int(column) for row, column in zip(rows, columns, strict=True) if table[row, column] >= least}


def one_face(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether landmarks (K, 2) and (K, 2) lie on one face."""
    side = (np.ptp(first, axis=0).max() + np.ptp(second, axis=0).max()) / 2
    return bool(np.linalg.norm(first - second, axis=1).mean() < TWIN * side)


def distance(first: np.ndarray, second: np.ndarray) -> float:
    """How unlike two boxes (4,) are: how far apart their centres lie, over the mean side, plus the share that one is larger."""
    sides = [float(np.max(np.subtract(box[2:], box[:2]))) for box in (first, second)]
    centres = [np.add(box[:2], box[2:]) / 2 for box in (first, second)]
    apart = np.linalg.norm(centres[0] - centres[1]) / max(sum(sides) / 2, 1e-6)
    return float(apart + abs(np.log(max(sides[0], 1e-6) / max(sides[1], 1e-6))))


def touch(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether one of two boxes (4,) may hide the other: they overlap, or nearly."""
    around = [np.asarray(box, float) + AROUND * (box[2] - box[0]) * np.array([-1, -1, 1, 1]) for box in (first, second)]
    return shared(*around) >= TOUCHING
