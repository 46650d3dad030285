"""Frames that come while they are read: webcams and network streams."""

import os
import re
import time
from collections.abc import Iterator

import cv2

from kfacealign.data.timing import Clock, Frame

SCHEMES = ("rtsp", "rtsps", "rtmp", "rtmps", "http", "https", "rtp", "udp", "tcp", "srt")
PATIENCE = 15_000  # milliseconds without an answer or a frame that end a stream


def is_address(text: str) -> bool:
    """Whether a text is the address of a network stream, such as "rtsp://camera/1", and no path."""
    return bool(re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", text)) and not text.lower().startswith("file://")


def without_secrets(address: str) -> str:
    """An address that may be printed: without user, password, query and fragment."""
    head, _, rest = address.partition("://")
    place, slash, path = rest.partition("/")
    user, at, host = place.rpartition("@")
    if re.search(r"[?#]", user) or (not at and "@" in path):
        return f"{head}://..."  # where its password ends cannot be told
    parts = re.split(r"[?#]", host + slash + path, maxsplit=1)
    return f"{head}://{parts[0]}" + ("?..." if len(parts) > 1 else "")


class Webcam:
    """The frames of a camera, until it stops.

    The attributes have the meaning that they have in `VideoFile`.

    Args:
        index: number of the camera.
        every: 2 yields every second frame, and so on.

    Raises:
        OSError: there is no such camera.
    """

    def __init__(self, index: int, *, every: int = 1):
        self.path, self.every = f"webcam {index}", every
        self.capture = cv2.VideoCapture(index)
        if not self.capture.isOpened():
            raise OSError(f"webcam {index} cannot be opened; is it connected, and used by no other program?")
        self.fps = frame_rate(self.capture, 30.0) / every
        self.count, self.problems, self.notes, self.varies = None, [], [], True

    def __iter__(self) -> Iterator[Frame]:
        start, clock = time.monotonic(), Clock(self.fps * self.every)
        number = 1
        while self.capture.grab():
            now = clock.tick(time.monotonic() - start)
            if (number - 1) % self.every == 0:
                found, image = self.capture.retrieve()
                yield Frame(number, now, cv2.cvtColor(image, cv2.COLOR_BGR2RGB) if found else None)
            number += 1
        self.problems.append(f"{self.path}: no more frames after frame {number - 1}")


class NetworkStream:
    """The frames of a stream by its address, until it ends; it is not opened again.

    The attributes have the meaning that they have in `VideoFile`. `path`, messages and errors name the address without user,
    password and query.

    Args:
        address: such as "rtsp://user:password@camera/1" or "https://example.org/video.mp4".
        every: 2 yields every second frame, and so on.

    Raises:
        ValueError: it is the address of no stream.
        OSError: it cannot be opened.
    """

    def __init__(self, address: str, *, every: int = 1):
        self.path, self.every = without_secrets(address), every
        if address.partition("://")[0].lower() not in SCHEMES:
            raise ValueError(f"{self.path}: no stream; an address begins with {', '.join(f'{one}://' for one in SCHEMES)}")
        os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # which would print the address as it is
        limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, PATIENCE, cv2.CAP_PROP_READ_TIMEOUT_MSEC, PATIENCE]
        self.capture = cv2.VideoCapture(address, cv2.CAP_FFMPEG, limits)
        if not self.capture.isOpened():
            raise OSError(f"{self.path} cannot be opened; is the address right, and does it need a user and a password?")
        self.fps = frame_rate(self.capture, 25.0) / every
        self.count, self.problems, self.notes, self.varies = None, [], [], True

    def __iter__(self) -> Iterator[Frame]:
        number, clock = 1, Clock(self.fps * self.every)
        while self.capture.grab():
            now = clock.tick(self.capture.get(cv2.CAP_PROP_POS_MSEC) / 1000)
            if (number - 1) % self.every == 0:
                found, image = self.capture.retrieve()
                yield Frame(number, now, cv2.cvtColor(image, cv2.COLOR_BGR2RGB) if found else None)
            number += 1
        self.notes.append(f"{self.path}: the stream ended after frame {number - 1}")


def frame_rate(capture: "cv2.VideoCapture", otherwise: float) -> float:
    """Frames a second that a capture tells; `otherwise` where it tells nothing sensible."""
    fps = capture.get(cv2.CAP_PROP_FPS)
    return float(fps) if 0 < fps <= 1000 else otherwise
