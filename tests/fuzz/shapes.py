"""Shapes and pictures that sound inputs are made of."""

import io
from typing import Any

import cv2
import numpy as np
import PIL.Image

from kfacealign import schemes

SHAPES = {name: 20 + 100 * schemes.get(name).mean_shape for name in ("ibug68", "wflw98", "cofw29", "jd106", "aflw19")}
SHAPE = SHAPES["ibug68"]


def picture(width: int = 24, height: int = 20, seed: int = 0) -> np.ndarray:
    """(H, W, 3) uint8 of low-frequency noise."""
    noise = np.random.default_rng(seed).integers(0, 255, (5, 6, 3), "uint8")
    return cv2.resize(noise, (width, height), interpolation=cv2.INTER_LINEAR)


def encoded(image: np.ndarray, kind: str, **options: Any) -> bytes:
    """The image as a file's content, by Pillow."""
    buffer = io.BytesIO()
    PIL.Image.fromarray(image).save(buffer, kind, **options)
    return buffer.getvalue()
