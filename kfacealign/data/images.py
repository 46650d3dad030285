"""Pixels of a photograph, wherever they are stored.

A reference is the path of an image file, or `FILE#PLACE` for one image of a file that holds many:

- `COFW_test_color.mat#12` is image 12, counted from 0, of a MATLAB file,
- `faces.h5#3` is crop 3, counted from 0, of a packed dataset,
- `vid.avi#000012` is frame 12, counted from 1, of a video.
"""

import os

import cv2
import numpy as np
import PIL.Image

# With this flag decoders write the channels in RGB order. OpenCV before 4.11 has no such flag: it needs a second pass.
RGB = getattr(cv2, "IMREAD_COLOR_RGB", None)
VIDEO_SUFFIXES = (".avi", ".mp4", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg")


def split(reference: str | os.PathLike) -> tuple[str, int | None]:
    """`(file, place)` of a reference; `place` is None where the file itself is the image."""
    file, mark, place = os.fspath(reference).rpartition("#")
    if mark and place.isdecimal() and os.path.splitext(file)[1]:
        return file, int(place)
    return os.fspath(reference), None


def read_image(reference: str | os.PathLike) -> np.ndarray:
    """The pixels that a reference names, as they are stored: an EXIF rotation is ignored.

    Args:
        reference: the path of an image in any format that OpenCV reads, or `FILE#PLACE`.

    Returns:
        (H, W, 3) uint8, RGB.

    Raises:
        OSError: the file cannot be opened.
        ValueError: it is no complete image, or has no such place; the message does not name the file.
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
    return decode(os.fspath(reference))


def size(reference: str | os.PathLike) -> tuple[int, int]:
    """`(width, height)` of an image, read from its header alone; (0, 0) for a frame of a video and for what is no image."""
    file, place = split(reference)
    suffix = os.path.splitext(file)[1].lower()
    if place is not None and suffix not in VIDEO_SUFFIXES:
        return read_image(reference).shape[1::-1]
    try:
        with PIL.Image.open(file) as image:
            return image.size
    except (OSError, PIL.Image.DecompressionBombError):
        return 0, 0


def decode(path: str | os.PathLike) -> np.ndarray:
    """The pixels of an image file; otherwise it is `read_image`."""
    with open(path, "rb") as file:
        data = np.frombuffer(file.read(), np.uint8)
    if not data.size:
        raise ValueError("the file is empty")
    try:
        # This decodes from memory because cv2.imread gives a truncated JPEG a plain grey rest without a word.
        image = cv2.imdecode(data, (cv2.IMREAD_COLOR if RGB is None else RGB) | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:
        image = None
    if image is None:
        raise ValueError("the file is truncated, damaged or not an image")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB) if RGB is None else image
