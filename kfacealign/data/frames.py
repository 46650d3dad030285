"""Frames of videos: a file, a folder of images, a webcam or a stream, read one frame after the other.

Frames are numbered from 1. `reference("vid.avi", 12)` is "vid.avi#000012", which stands for an image file wherever the
package reads one (`kfacealign.data.images`). A frame is reached by decoding all frames before it. OpenCV's seeking depends
on the time stamps in the file, and a frame that is off by one would get the landmarks of another.
"""

import collections
import os
import re
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit
from urllib.request import url2pathname

import cv2
import numpy as np

from kfacealign.data.image_files import read, require_size
from kfacealign.data.live import NetworkStream, Webcam, is_address
from kfacealign.data.timing import Clock, Frame, rate
from kfacealign.files import IMAGE_SUFFIXES, require_utf8

KEPT = 8  # decoded frames that a reader remembers, because threads may ask for so many in another order
OPEN = 4  # videos kept open at a time
ROUNDED = 0.002  # fraction by which rounded time stamps miss a frame rate
FAILURES = 250  # so many frames in a row that cannot be decoded end the video


class VideoEnded(ValueError):
    """A frame after the last one was asked for."""


# === Single frames by reference ===


def reference(video: str | os.PathLike, number: int) -> str:
    """The name under which a frame, numbered from 1, is the image of a face."""
    return f"{os.fspath(video)}#{number:06d}"


def read_frame(video: str, number: int) -> np.ndarray:
    """One frame of a video file, (H, W, 3) uint8 RGB. Videos stay open for the frames that follow.

    Raises:
        OSError: the video cannot be opened.
        ValueError: it has no such frame, or the frame is corrupt; the message does not name the file.
    """
    with _lock:
        reader = _readers.pop(video, None) or VideoReader(video)
        _readers[video] = reader
        while len(_readers) > OPEN:
            _readers.popitem(last=False)
    return reader.read(number)


_lock, _readers = threading.Lock(), collections.OrderedDict()


class VideoReader:
    """An open video file whose frames are read by number.

    Reading forwards is quick; reading backwards decodes the file again from its start.

    Args:
        path: the file.
        keep: how many of the last decoded frames are remembered.

    Attributes:
        count: number of frames that the file announces; 0 if it does not say.
        fps: frames a second in the mean; 25 if it does not say.
        times: list of the times in seconds of the frames read so far, the first at 0; they only grow.

    Raises:
        OSError: there is no such file, its name is not UTF-8, or it is no video that OpenCV reads.
        ValueError: its frames have more pixels than `kfacealign.data.image_files.limit_pixels` allows.
    """

    def __init__(self, path: str | os.PathLike, *, keep: int = KEPT):
        self.path, self.keep = os.fspath(path), keep
        self._guard = threading.Lock()
        self._recent = collections.OrderedDict()
        self._open()
        self.count = max(0, int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)))

    def read(self, number: int) -> np.ndarray:
        """A frame by its number, (H, W, 3) uint8 RGB.

        Raises:
            VideoEnded: the video has fewer frames.
            ValueError: this frame is corrupt. Neither message names the file.
        """
        if number < 1:
            raise ValueError(f"there is no frame {number}: frames are numbered from 1")
        with self._guard:
            if number <= self.position and number not in self._recent and number not in self._corrupt:
                self._open()
            while self.position < number:
                self._advance(number)
            if number not in self._recent:
                raise ValueError(f"frame {number} is corrupt")
            return self._recent[number]

    def _open(self):
        if not os.path.isfile(self.path):
            raise FileNotFoundError(2, "no such video file", self.path)
        require_utf8(self.path)
        os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # an exception tells of damage, once
        self._capture = cv2.VideoCapture(self.path)
        if not self._capture.isOpened():
            raise OSError(5, "not a video, damaged at its start, or of a format that OpenCV does not read", self.path)
        sides = (self._capture.get(side) for side in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
        try:
            require_size(*map(int, sides))
        except ValueError as error:
            raise ValueError(f"{self.path}: {error}") from None
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps = float(fps) if np.isfinite(fps) and 0 < fps <= 1000 else 25.0
        self.position, self._corrupt = 0, set()
        self.times, self._clock = [], Clock(self.fps)
        self._recent.clear()

    def _advance(self, wanted):
        """Decodes the next frame and keeps it if it is near the wanted one."""
        if self._grab():
            self.position += 1
        else:
            self._skip_damage()
        while len(self.times) < self.position:
            known = len(self.times) == self.position - 1  # those before it are damaged
            self.times.append(self._clock.tick(self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000 if known else None))
        if self.position <= wanted - self.keep:
            return
        try:
            found, image = self._capture.retrieve()
        except cv2.error:  # OpenCV's own reader of AVI files asserts what a damaged file says
            found, image = False, None
        if not found or image is None:
            self._corrupt.add(self.position)
            return
        self._recent[self.position] = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
        while len(self._recent) > self.keep:
            self._recent.popitem(last=False)

    def _grab(self):
        """Whether there is a next frame that can be taken."""
        try:
            return self._capture.grab()
        except cv2.error:
            return False

    def _skip_damage(self):
        """Goes on from a frame that could not be decoded to the next that can, or raises `VideoEnded`."""
        last = self.position
        for number in range(last + 2, min(self.count, last + 1 + FAILURES) + 1):
            if self._grab():
                self._corrupt.update(range(last + 1, number))
                self.position = number
                return
        early = f" of the {self.count} that it announces" if last < self.count else ""
        raise VideoEnded(f"the video ends after frame {last}{early}")


# === Sources for tracking ===


class VideoFile:
    """The frames of a video file, in order.

    A frame that cannot be decoded is yielded without image. A video that ends before its announced end ends the iteration.
    `problems` tells of both. Times are those of the file's time stamps; where it has none, a frame comes `1 / fps` seconds
    after the frame before.

    Args:
        path: the file.
        every: 2 yields every second frame, and so on.

    Attributes:
        fps: frames a second of what is yielded; where the rate varies, of its quick parts.
        varies: whether the times between frames differ.
        count: how many frames are expected; None if that is not known.
        problems: list of messages, filled while frames are read.
        notes: list of messages of what is no problem.

    Raises:
        OSError: the file cannot be opened.
    """

    def __init__(self, path: str | os.PathLike, *, every: int = 1):
        self.path, self.every = os.fspath(path), every
        self.reader = VideoReader(path, keep=1)
        self.rate = rate(self.path)
        self.varies = self.rate is not None and self.rate.varies
        # A rate that the file tells is that of its time stamps but for their rounding, or a mean that is not meant.
        told = self.rate is None or (not self.varies and abs(self.rate.fps / self.reader.fps - 1) < ROUNDED)
        self.fps = (self.reader.fps if told else self.rate.fps) / every
        # Files without an index announce a number of frames that is estimated from their length.
        count = self.rate.frames if self.varies else self.reader.count
        self.count, self.problems, self.notes = -(-count // every) or None, [], []
        if self.varies:
            told = f"from {self.rate.slowest:.3g} to {self.rate.fps:.3g} frames a second"
            self.notes.append(f"{self.path}: the frame rate varies, {told}; times are those of the file")

    def __iter__(self) -> Iterator[Frame]:
        number = 1
        while True:
            image = None
            try:
                image = self.reader.read(number)
            except VideoEnded as error:
                if self._ended_early():
                    self.problems.append(f"{self.path}: {error}")
                return
            except ValueError as error:
                self.problems.append(f"{self.path}: {error}")
            yield Frame(number, self.reader.times[number - 1], image)
            number += self.every

    def _ended_early(self):
        """Whether frames are missing after the last one; the announced number may be an estimate, and one too many."""
        reader = self.reader
        if reader.count <= reader.position + 1:
            return False
        if self.varies:  # then a long last frame looks like an early end, and packets that are no frames tell of it
            return self.rate.frames > reader.position + 1
        last = reader.times[-1] if reader.times else 0.0
        return reader.count / reader.fps > last + 2.5 / (self.fps * self.every)


class FrameFolder:
    """The images of a folder, in the order of their names, in which numbers are sorted as numbers.

    The attributes have the meaning that they have in `VideoFile`.

    Args:
        path: the folder.
        every: 2 yields every second image, and so on.
        fps: frames a second of the images in the folder.

    Raises:
        OSError: the folder holds no image.
    """

    def __init__(self, path: str | os.PathLike, *, every: int = 1, fps: float = 25.0):
        self.path, self.every, self.frame_rate = os.fspath(path), every, float(fps)
        self.files = image_files(path)
        if not self.files:
            raise FileNotFoundError(2, "the folder holds no image", self.path)
        self.fps, self.count, self.problems = self.frame_rate / every, -(-len(self.files) // every), []
        self.notes, self.varies = [], False

    def __iter__(self) -> Iterator[Frame]:
        for place in range(0, len(self.files), self.every):
            path, image = os.path.join(self.path, self.files[place]), None
            try:
                image = read(path)
            except (OSError, ValueError) as error:
                reason = getattr(error, "strerror", None) or error
                self.problems.append(f"{path}: frame {place + 1} is corrupt: {reason}")
            yield Frame(place + 1, place / self.frame_rate, image)


def open_source(
    source: str | os.PathLike | int, *, every: int = 1, fps: float = 25.0
) -> VideoFile | FrameFolder | Webcam | NetworkStream:
    """A video file, a folder of frames, a webcam or a network stream as an iterable of `Frame`s.

    Args:
        source: a path, a `file://` address, the address of a stream ("rtsp://...", "https://..."), or the number of a webcam.
            A text of digits is a number unless a file has that name.
        every: 2 takes every second frame, and so on.
        fps: frames a second of a folder's images.

    Raises:
        OSError: there is nothing to read.
        ValueError: `every` or `fps` is not positive, or the address is none of a stream.
    """
    if every < 1 or not fps > 0:
        raise ValueError(f"every is {every} and fps {fps}: both must be positive")
    text = os.fspath(source) if not isinstance(source, int) else str(source)
    if text.isdecimal() and not os.path.exists(text):
        return Webcam(int(text), every=every)
    if is_address(text) and not os.path.exists(text):
        return NetworkStream(text, every=every)
    if text.lower().startswith("file://"):
        text = url2pathname(urlsplit(text).path)
    if os.path.isdir(text):
        return FrameFolder(text, every=every, fps=fps)
    return VideoFile(text, every=every)


def image_files(folder: str | os.PathLike) -> list[str]:
    """Names of a folder's images, in the order of the numbers in them."""
    names = [name for name in os.listdir(folder) if name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith(".")]
    return sorted(names, key=natural)


def natural(name: str) -> list[tuple[int, int, str]]:
    """A key that sorts "10" behind "9"."""
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", name) if part]
