"""What happens to the frames of clips: motion of the crop, light, and an object that hides a part.

`kfacealign.data.motion` draws effects at random; `kfacealign.data.clip_batches` applies them when crops are made.
"""

import dataclasses
import hashlib
from typing import Self

import cv2
import numpy as np


@dataclasses.dataclass(kw_only=True)
class Effects:
    """What happens to the frames of C clips of T frames each.

    Attributes:
        motion: (C, T, 2, 3) float64, crop coordinates -> crop coordinates.
        gain: (C, T) float64, factor of the pixels.
        boxes: (C, T, 4) float64, x0, y0, x1, y1 in crop coordinates: what an object covers. A box without area stands for
            no object.
        colors: (C, 3) uint8, RGB of the clip's object.
    """

    motion: np.ndarray
    gain: np.ndarray
    boxes: np.ndarray
    colors: np.ndarray

    @classmethod
    def none(cls, clips: int, frames: int) -> Self:
        """Effects that change nothing, for so many clips of so many frames each."""
        return cls(
            motion=np.broadcast_to(np.eye(2, 3), (clips, frames, 2, 3)).copy(),
            gain=np.ones((clips, frames)),
            boxes=np.zeros((clips, frames, 4)),
            colors=np.zeros((clips, 3), "uint8"),
        )

    @property
    def shape(self) -> tuple[int, int]:
        """(C, T)."""
        return self.gain.shape

    def __getitem__(self, chosen: slice | np.ndarray) -> "Effects":
        """The effects of some clips."""
        return Effects(**{name: getattr(self, name)[chosen] for name in ("motion", "gain", "boxes", "colors")})

    def key(self) -> str:
        """A hash of everything, for crops that are kept on disk."""
        digest = hashlib.sha256()
        for values in (self.motion, self.gain, self.boxes, self.colors):
            digest.update(np.ascontiguousarray(values).tobytes())
        return digest.hexdigest()[:16]

    def move(self, matrices: np.ndarray, size: int) -> np.ndarray:
        """The maps of crops, followed by the motion.

        Args:
            matrices: (C T, 2, 3), image coordinates -> crop pixels.
            size: side of the crops in pixels.

        Returns:
            (C T, 2, 3) float64, image coordinates -> pixels of the moved crop.
        """
        motion = self.motion.reshape(-1, 2, 3)
        offset = (motion[:, :, :2] @ matrices[:, :, 2:])[..., 0] + motion[:, :, 2] * size
        return np.concatenate([motion[:, :, :2] @ matrices[:, :, :2], offset[..., None]], axis=-1)

    def paint(self, crop: np.ndarray, clip: int, frame: int) -> np.ndarray:
        """A crop (S, S, 3) uint8 in the light of its frame, with the clip's object in front of it."""
        crop = cv2.convertScaleAbs(crop, alpha=float(self.gain[clip, frame]))
        size = crop.shape[0]
        # The object covers the pixels whose centre lies inside its box.
        x0, y0, x1, y1 = np.ceil(self.boxes[clip, frame] * size - 0.5).astype(int).clip(0, size)
        crop[y0:y1, x0:x1] = self.colors[clip]
        return crop
