"""Noise that faces and backgrounds are textured with; it is made once in a process, from fixed seeds."""

import functools

import cv2
import numpy as np

SIDE = 640


@functools.cache
def field(kind: str) -> np.ndarray:
    """A field of noise, `(SIDE, SIDE)` uint8 around 128: "pores", "mottle", "strands", "curls" or "clouds"."""
    kinds = {"pores": _pores, "mottle": _mottle, "strands": _strands, "curls": _curls, "clouds": _clouds}
    noise = kinds[kind](np.random.default_rng(sorted(kinds).index(kind)))
    noise.flags.writeable = False  # patches are parts of it
    return noise


def patch(rng: np.random.Generator, kind: str, height: int, width: int) -> np.ndarray:
    """A random part of a field, `(height, width)` uint8, to be read only; larger ones than the field are enlarged."""
    whole = field(kind)
    zoom = max(1.0, height / SIDE, width / SIDE)
    tall, wide = int(height / zoom), int(width / zoom)
    top, left = rng.integers(SIDE - tall + 1), rng.integers(SIDE - wide + 1)
    part = whole[top : top + tall, left : left + wide]
    if rng.random() < 0.5:
        part = cv2.flip(part, 1)
    return part if zoom == 1 else cv2.resize(part, (width, height))


def _grain(rng, wide, tall):
    """White noise whose grains are so many pixels wide and tall, of unit spread."""
    small = rng.normal(size=(SIDE // tall + 3, SIDE // wide + 3)).astype(np.float32)
    large = cv2.resize(small, None, fx=wide, fy=tall, interpolation=cv2.INTER_CUBIC)[tall : tall + SIDE, wide : wide + SIDE]
    return large / large.std()


def _levelled(values, spread):
    values *= spread / values.std()
    return np.clip(128 + values - values.mean(), 0, 255).astype(np.uint8)


def _pores(rng):
    return _levelled(_grain(rng, 1, 1) + 1.5 * _grain(rng, 3, 3), 20)


def _mottle(rng):
    return _levelled(_grain(rng, 16, 16) + _grain(rng, 37, 37) + _grain(rng, 80, 80), 38)


def _strands(rng):
    return _levelled(_grain(rng, 2, 40) + _grain(rng, 7, 110), 45)


def _curls(rng):
    return _levelled(_grain(rng, 5, 5) + 0.5 * _grain(rng, 11, 11), 50)


def _clouds(rng):
    return _levelled(sum((1 + i) * _grain(rng, size, size) for i, size in enumerate((2, 7, 23, 71, 190))), 55)
