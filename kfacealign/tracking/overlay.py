"""The video with the landmarks drawn, at a constant rate whatever the rate of the source."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from kfacealign.drawing import draw_landmarks, draw_pose
from kfacealign.schemes import Scheme
from kfacealign.tracking.track import Track

CODECS = {".mp4": "mp4v", ".avi": "MJPG"}
# Of the faces by their numbers, in turns.
COLORS = (
    (60, 230, 90),
    (255, 150, 40),
    (70, 170, 255),
    (250, 90, 200),
    (250, 230, 60),
    (90, 240, 240),
    (190, 130, 255),
    (255, 90, 80),
)
LONGEST = 60.0  # seconds for which a picture is shown; a longer gap between two frames is cut to it


class Overlay:
    """Writes the video, a frame behind. Its frames are as large as the first one.

    A picture is shown from its time to that of the next one: it is repeated as often as the constant rate needs, and left out
    where another follows within one frame's time.

    Args:
        path: the video, an .mp4 or .avi file.
        fps: frames a second.
        scheme: the scheme of the landmarks.

    Attributes:
        written: how many frames were written.
        cut: seconds that were cut from gaps longer than `LONGEST`.
    """

    def __init__(self, path: Path, *, fps: float, scheme: Scheme):
        self.path, self.fps, self.scheme = path, fps, scheme
        self.written, self.cut = 0, 0.0
        self._writer = self._picture = None

    @property
    def shape(self) -> tuple[int, int, int] | None:
        """(H, W, 3) of the video; None before its first frame."""
        return None if self._picture is None else self._picture.shape

    def add(self, time: float, image: np.ndarray | None, faces: Sequence[Track]) -> None:
        """The next frame; in place of one that could not be read the picture before it is shown on.

        Args:
            time: seconds, later than those of the frame before.
            image: (H, W, 3) uint8 RGB, or None.
            faces: what was found in it.

        Raises:
            OSError: OpenCV cannot write such a video.
        """
        if image is None:
            return
        picture = np.array(image)
        for face in faces:
            picture = draw_landmarks(picture, face.landmarks, self.scheme, color=color(face.id))
            if face.pose is not None:
                picture = draw_pose(picture, face.pose)
        if self._picture is None:
            self._picture = picture
            return
        place = round((time - self.cut) * self.fps)
        most = self.written + round(LONGEST * self.fps)
        if place > most:
            self.cut += (place - most) / self.fps
            place = most
        self._show_until(place)
        self._picture = fitted(picture, self._picture.shape)

    def close(self, *, time: float = 0.0) -> None:
        """Completes the file.

        Args:
            time: seconds until which the last picture is shown; it is shown for one frame at least.
        """
        if self._picture is not None:
            most = self.written + round(LONGEST * self.fps)
            self._show_until(min(max(self.written + 1, round((time - self.cut) * self.fps)), most))
        if self._writer is not None:
            self._writer.release()

    def _show_until(self, place):
        """Writes the picture until the video has `place` frames."""
        if self._writer is None:
            height, width = self._picture.shape[:2]
            codec = cv2.VideoWriter_fourcc(*CODECS[self.path.suffix.lower()])
            self._writer = cv2.VideoWriter(str(self.path), codec, self.fps, (width, height))
            if not self._writer.isOpened():
                raise OSError(f"OpenCV cannot write a video of {width} x {height} as {self.path.suffix}")
        if place > self.written:
            pixels = cv2.cvtColor(self._picture, cv2.COLOR_RGB2BGR)
            for _ in range(place - self.written):
                self._writer.write(pixels)
            self.written = place


def color(number: int) -> tuple[int, int, int]:
    """RGB of a face by its number, from 1."""
    return COLORS[(number - 1) % len(COLORS)]


def fitted(picture: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A picture scaled to fit into `shape` (height, width, ...), in the middle of it, black around."""
    height, width = shape[:2]
    if picture.shape[:2] == (height, width):
        return picture
    scale = min(width / picture.shape[1], height / picture.shape[0])
    size = max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale))
    canvas = np.zeros((height, width, 3), "uint8")
    left, top = (width - size[0]) // 2, (height - size[1]) // 2
    canvas[top : top + size[1], left : left + size[0]] = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return canvas
