"""When a video shows its frames: time stamps that only grow, and frame rates that may vary."""

import dataclasses
import math

import cv2
import numpy as np

MOST_PACKETS = 2_000_000  # of which time stamps are read: 18 hours of 30 frames a second
REGULAR = 0.25  # fraction of the mean time between frames by which that of a constant rate may differ,
ROUNDING = 2e-3  # and the seconds by which rounding makes it differ
RATES = (0.1, 1000.0)  # frames a second; what lies outside is no frame rate


@dataclasses.dataclass
class Frame:
    """A frame of a source.

    Attributes:
        number: the frame's number, from 1.
        time: seconds since the first frame.
        image: (H, W, 3) uint8 RGB, or None where it cannot be read.
    """

    number: int
    time: float
    image: np.ndarray | None


class Clock:
    """Times of frames, from time stamps that may be missing or go back.

    Args:
        fps: frames a second, by which frames without a time stamp follow the frame before.
    """

    def __init__(self, fps: float):
        self.fps, self._offset, self._time = fps, None, None

    def tick(self, stamp: float | None) -> float:
        """The time of the next frame in seconds, 0 for the first; it is always later than that of the frame before.

        Args:
            stamp: what the file says, in seconds from any start; None if it says nothing. A stamp of 0 after the first frame
                says nothing, which is how OpenCV tells that there is none.
        """
        known = stamp is not None and math.isfinite(stamp) and (stamp != 0 or self._time is None)
        if self._time is None:
            self._time, self._offset = 0.0, stamp if known else 0.0
        elif known and stamp - self._offset > self._time:
            self._time = stamp - self._offset
        else:
            self._time += 1 / self.fps
            if known:  # the stamps went back: they go on from here
                self._offset = stamp - self._time
        return self._time


@dataclasses.dataclass(frozen=True)
class Rate:
    """The frame rate of a video.

    Attributes:
        frames: how many frames have a time stamp.
        fps: frames a second; where the rate varies, those of its quick parts.
        slowest: frames a second of the longest time between two frames.
        varies: whether the times between frames differ by more than rounding.
    """

    frames: int
    fps: float
    slowest: float
    varies: bool


def rate(path: str) -> Rate | None:
    """The frame rate by the time stamps of a file, which are read without decoding a frame.

    Returns:
        None where there are fewer than three stamps, or OpenCV cannot tell them.
    """
    capture = cv2.VideoCapture(path, cv2.CAP_FFMPEG)
    stamps = []
    if capture.isOpened() and capture.set(cv2.CAP_PROP_FORMAT, -1):  # packets as they are
        while len(stamps) < MOST_PACKETS and capture.grab():
            stamps.append(capture.get(cv2.CAP_PROP_POS_MSEC) / 1000)
    capture.release()
    return rate_of(np.array(stamps))


def rate_of(stamps: np.ndarray) -> Rate | None:
    """The frame rate by time stamps (N,) in seconds, in any order; None where there are fewer than three different ones."""
    times = np.unique(stamps[np.isfinite(stamps)])
    # Packets come in the order of decoding; a video with a few doubles has other faults, one of doubles has no stamps.
    if len(times) < 3 or len(times) < len(stamps) / 2:
        return None
    steps = np.diff(times)
    mean = float(steps.mean())
    varies = bool(np.abs(steps - mean).max() > max(REGULAR * mean, ROUNDING))
    quick = steps[steps <= 1.5 * np.quantile(steps, 0.1)].mean() if varies else mean
    fps = float(np.clip(1 / quick, *RATES))
    return Rate(frames=len(stamps), fps=round(fps, 3), slowest=float(1 / steps.max()), varies=varies)
