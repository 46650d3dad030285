"""Pixels of a photograph, wherever they are stored.

A reference is the path of an image file, or `FILE#PLACE` for one image of a file that holds many:

- `COFW_test_color.mat#12` is image 12, counted from 0, of a MATLAB file,
- `faces.h5#3` is crop 3, counted from 0, of a packed dataset,
- `vid.avi#000012` is frame 12, counted from 1, of a video.
"""

import os

import numpy as np

from kfacealign.data import image_files

VIDEO_SUFFIXES = (".avi", ".mp4", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg")


def split(reference: str | os.PathLike) -> tuple[str, int | None]:
    """`(file, place)` of a reference; `place` is None where the file itself is the image."""
    file, mark, place = os.fspath(reference).rpartition("#")
    if mark and place.isdecimal() and os.path.splitext(file)[1]:
        return file, int(place)
    return os.fspath(reference), None


def read_image(reference: str | os.PathLike) -> np.ndarray:
    """The pixels that a reference names; an image file is turned upright by its EXIF orientation.

    Args:
        reference: the path of an image that `kfacealign.data.image_files.read` reads, or `FILE#PLACE`.

    Returns:
        (H, W, 3) uint8, RGB.

    Raises:
        OSError: the file cannot be opened, or is not a regular file.
        ValueError: it is no complete image, too large, or has no such place; the message does not name the file.
    """
    file, place = split(reference)
    suffix = os.path.splitext(file)[1].lower()
    if place is not None and suffix == ".mat":
        from kfacealign.data.readers import matlab

        return matlab.read_image(file, place)
    if place is not None and suffix == ".h5":
        from kfacealign.data.readers import packed

        return packed.read_image(file, place)
    if place is not None and suffix in VIDEO_SUFFIXES:
        from kfacealign.data import frames

        return frames.read_frame(file, place)
    return image_files.read(reference)


def size(reference: str | os.PathLike) -> tuple[int, int]:
    """`(width, height)` of an upright image, by its header alone; (0, 0) for a frame of a video and for what is no image."""
    file, place = split(reference)
    try:
        if place is None or os.path.splitext(file)[1].lower() in VIDEO_SUFFIXES:
            return image_files.read_size(reference)
        return read_image(reference).shape[1::-1]
    except (OSError, ValueError):
        return 0, 0
