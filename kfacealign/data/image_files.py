"""Image files of any origin: read safely and upright, and written whole or not at all.

Every picture of the package comes through here: photographs, datasets, calibration, folders of frames. A file must be a regular
one. Its header is read first, and a picture of more pixels than `limit_pixels` allows is not decoded. Pixels are turned upright
by the EXIF orientation, once.
"""

import contextlib
import io
import os
import threading

import cv2
import numpy as np
import PIL.Image

from kfacealign.data.image_headers import ORIENTATION, Header, NotRead, opened, orientation_of, read_header
from kfacealign.files import IMAGE_SUFFIXES, read_bytes, replacing, require_regular

# With this flag decoders write the channels in RGB order. OpenCV before 4.11 has no such flag: its channels are swapped after.
RGB = getattr(cv2, "IMREAD_COLOR_RGB", None)
BY_OPENCV = ("JPEG", "PNG", "WEBP")  # quick, and without a second copy; their sizes cannot be read in two ways
ROWS = 2**22  # pixels converted at a time
# Orientation -> whether rows and columns change places, and OpenCV's code of the flip that follows.
TURNS = {2: (False, 1), 3: (False, -1), 4: (False, 0), 5: (True, None), 6: (True, 1), 7: (True, -1), 8: (True, 0)}

PIXELS = 200_000_000  # the most that is decoded unless `limit_pixels` or the environment says otherwise
VARIABLE = "KFACEALIGN_MAX_PIXELS"

_limit = None
_pillow_limit = threading.Lock()


def limit_pixels(pixels: int | None) -> None:
    """Sets how many pixels an image may have to be decoded, in this process.

    Args:
        pixels: width times height at most; None goes back to the environment's `KFACEALIGN_MAX_PIXELS`, and without it to
            200,000,000.

    Raises:
        ValueError: the number is not positive.
    """
    global _limit
    if pixels is not None and pixels < 1:
        raise ValueError(f"a limit of {pixels} pixels: a positive number is needed")
    _limit = pixels


def pixel_limit() -> int:
    """The most pixels that an image may have.

    Raises:
        ValueError: `KFACEALIGN_MAX_PIXELS` is no positive whole number.
    """
    if _limit is not None:
        return _limit
    text = os.environ.get(VARIABLE, str(PIXELS))
    if not text.isdecimal() or not int(text):
        raise NotRead(f"{VARIABLE} is {text!r} in the environment, expected a positive whole number")
    return int(text)


def require_size(width: int, height: int) -> None:
    """Refuses a picture without pixels, and one with more than `pixel_limit` allows.

    Raises:
        ValueError: the message names the size, the limit, and what raises it.
    """
    if width < 1 or height < 1:
        raise NotRead(f"a picture of {width} x {height} pixels: the file is damaged")
    if width * height > pixel_limit():
        raise NotRead(
            f"{width:,} x {height:,} pixels are more than the limit of {pixel_limit():,}, which --max-pixels, {VARIABLE} in "
            "the environment or, in Python, kfacealign.data.image_files.limit_pixels raises"
        )


def read(path: str | os.PathLike) -> np.ndarray:
    """The picture in a file, upright.

    Of several pictures in a file (pages of a TIFF, frames of an animation) it is the first. Grey, palette and CMYK become RGB,
    transparency is left out (the colours stored beneath it are shown), 16 bits are shortened to the upper 8.

    Args:
        path: a JPEG, PNG, WebP, TIFF, BMP, GIF, PPM or PGM file, or an AVIF file where Pillow reads AVIF.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        OSError: the file cannot be opened, or is not a regular file.
        ValueError: it is no complete image, of a format that is not read, has more pixels than `pixel_limit`, or does not fit
            into memory; the message does not name the file.
    """
    return decode(read_bytes(path))


def decode(content: bytes) -> np.ndarray:
    """The picture in the bytes of an image file; otherwise it is `read`."""
    return decode_with_header(content)[0]


def decode_with_header(content: bytes) -> tuple[np.ndarray, Header]:
    """The picture (H, W, 3) in the bytes of an image file, upright, and the file's header; otherwise it is `read`."""
    with _damage_is_told():
        header = read_header(io.BytesIO(content))
        require_size(*header.stored)
        if len(content) < header.least:
            width, height = header.stored
            raise NotRead(f"{len(content):,} bytes cannot hold {width:,} x {height:,} pixels: the image is truncated or damaged")
        if header.format in BY_OPENCV and not header.animated:
            return turned(_by_opencv(content, header), header.orientation), header
        with _unlimited(header):
            return from_pillow(opened(io.BytesIO(content), header.format)), header


def read_size(path: str | os.PathLike) -> tuple[int, int]:
    """`(width, height)` of the upright picture in a file, by its header alone.

    Raises:
        OSError: the file cannot be opened, or is not a regular file.
        ValueError: its header is no image's.
    """
    require_regular(path)
    with open(path, "rb") as file, _damage_is_told():
        return read_header(file).size


def from_pillow(image: PIL.Image.Image) -> np.ndarray:
    """The pixels of an image of Pillow's as `read` gives those of its file: (H, W, 3) uint8 RGB, upright.

    Raises:
        OSError, ValueError: it cannot be decoded, or its pixels have 32 bits a channel.
    """
    with _damage_is_told():
        image.load()  # turns a TIFF upright, and reads the EXIF block of a PNG that has it behind the pixels
        # Pillow takes the orientation from XMP where EXIF has none, which viewers do not.
        by_xmp = any(name in image.info for name in ("xmp", "XML:com.adobe.xmp"))
        orientation = orientation_of(image.info.get("exif")) if by_xmp else image.getexif().get(ORIENTATION, 1)
        return turned(_rgb(image), orientation)


def turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Stored pixels as they are seen.

    Args:
        pixels: (H, W, 3), which may be overwritten.
        orientation: EXIF's 1 to 8; anything else counts as 1.
    """
    swap, flip = TURNS.get(orientation, (False, None))
    if swap:
        pixels = cv2.transpose(pixels)
    return pixels if flip is None else cv2.flip(pixels, flip, pixels)


def write(path: str | os.PathLike, image: np.ndarray, *, quality: int = 95) -> None:
    """Writes a picture; an existing file is replaced in one step.

    Args:
        path: the file; its suffix, one of `kfacealign.files.IMAGE_SUFFIXES`, names the format. Any name will do, be it no UTF-8.
        image: (H, W, 3) uint8 RGB.
        quality: of a JPEG, 0 to 100.

    Raises:
        OSError: the file cannot be written.
        ValueError: the suffix names no format, or the format cannot hold such a picture.
    """
    suffix = os.path.splitext(os.fspath(path))[1].lower()
    if suffix not in IMAGE_SUFFIXES:
        raise ValueError(f"{os.fspath(path)}: a picture is written as {', '.join(IMAGE_SUFFIXES)}")
    options = (cv2.IMWRITE_JPEG_QUALITY, quality) if suffix in (".jpg", ".jpeg") else ()
    try:
        written, content = cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    except cv2.error:
        written = False
    if not written:
        raise ValueError(f"{os.fspath(path)}: {suffix} cannot hold a picture of shape {image.shape}")
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def _by_opencv(content, header):
    # From memory, because cv2.imread gives a truncated JPEG a plain grey rest without a word.
    flag = (cv2.IMREAD_COLOR if RGB is None else RGB) | cv2.IMREAD_IGNORE_ORIENTATION
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), flag)
    if pixels is None or pixels.shape[1::-1] != header.stored:
        raise ValueError
    if RGB is None:
        for start in range(0, len(pixels), 64):
            pixels[start : start + 64] = cv2.cvtColor(pixels[start : start + 64], cv2.COLOR_BGR2RGB)
    return pixels


def _rgb(image):
    """The pixels of a loaded image of Pillow's, (H, W, 3) uint8, as they lie in memory."""
    sixteen = image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM"))
    if image.mode in ("I", "F") and not sixteen:
        raise NotRead("32 bits a pixel are not read: save the picture with 8 bits a channel")
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    step = max(1, ROWS // image.width)
    for top in range(0, image.height, step):
        part = image.crop((0, top, image.width, min(top + step, image.height)))
        if sixteen:
            pixels[top : top + step] = (np.asarray(part) >> 8)[..., None]
        else:
            part = part.convert("RGBA") if part.mode == "RGBa" else part
            pixels[top : top + step] = np.asarray(part.convert("RGB"))
    return pixels


@contextlib.contextmanager
def _damage_is_told():
    """Whatever a decoder raises becomes a ValueError with a sentence for people."""
    try:
        yield
    except (NotRead, KeyboardInterrupt):
        raise
    except MemoryError:
        raise ValueError("the picture is too large for the memory of this machine") from None
    except Exception as error:
        if isinstance(error, cv2.error) and error.code == cv2.Error.StsNoMem:
            raise ValueError("the picture is too large for the memory of this machine") from None
        raise ValueError("the image is truncated or damaged") from error


@contextlib.contextmanager
def _unlimited(header):
    """Pillow has a limit of its own, half of ours, which it holds a large TIFF to while it decodes."""
    width, height = header.stored
    if PIL.Image.MAX_IMAGE_PIXELS is None or width * height <= PIL.Image.MAX_IMAGE_PIXELS:
        yield
        return
    with _pillow_limit:
        before, PIL.Image.MAX_IMAGE_PIXELS = PIL.Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            PIL.Image.MAX_IMAGE_PIXELS = before
