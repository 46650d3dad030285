"""What the header of an image file says, read before anything is decoded: the format, the size, which way is up.

The format is told by the first bytes, never by the name. PNG and WebP are walked chunk by chunk here, because Pillow decodes the
picture to learn its EXIF; the headers of the other formats are Pillow's work.
"""

import dataclasses
import importlib
from typing import BinaryIO

import PIL.Image
from PIL import features

ORIENTATION = 0x0112
FORMATS = "JPEG, PNG, WebP, TIFF, BMP, GIF, PPM and AVIF"
# Format -> where Pillow reads it. `PIL.Image.open` would start every plugin there is, Ghostscript's among them, and warn of
# pictures of 90 megapixels.
PLUGINS = {
    "JPEG": ("JpegImagePlugin", "JpegImageFile"),
    "PNG": ("PngImagePlugin", "PngImageFile"),
    "WEBP": ("WebPImagePlugin", "WebPImageFile"),
    "TIFF": ("TiffImagePlugin", "TiffImageFile"),
    "BMP": ("BmpImagePlugin", "BmpImageFile"),
    "GIF": ("GifImagePlugin", "GifImageFile"),
    "PPM": ("PpmImagePlugin", "PpmImageFile"),
    "AVIF": ("AvifImagePlugin", "AvifImageFile"),
}
BEGINNINGS = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
    b"BM": "BMP",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    **{b"P%d" % number: "PPM" for number in range(1, 7)},
}
HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1")
CHUNKS = 1_000_000  # no file has so many; an EXIF block behind them is not seen
PNG_CHANNELS = {2: 3, 4: 2, 6: 4}  # colour type -> channels, others have one
DEFLATED = 1_100  # bytes that a byte of deflated data becomes at most (1,032 by its format)
# Likewise the pixels of a byte of a JPEG (512: a bit for each block of 64) and of a GIF (about 1,400).
MOST = {"JPEG": 1_024, "GIF": 4_096}
# And the bytes of a byte of a TIFF by its compression: none, LZW, JPEG, deflate twice, PackBits. Fax and others know no limit.
TIFF_MOST = {1: 1, 5: 2_048, 7: 2_048, 8: DEFLATED, 32946: DEFLATED, 32773: 128}


class NotRead(ValueError):
    """A file that holds no picture, or one of a kind that is not read; the message says what to do."""


@dataclasses.dataclass(frozen=True)
class Header:
    """What a file says of its first picture.

    Attributes:
        format: a key of `PLUGINS`.
        stored: (width, height) of the pixels as they are stored.
        orientation: EXIF's 1 to 8; 1 is upright.
        animated: whether a PNG or WebP holds several pictures.
        least: bytes that a complete file of such a picture has at least, as far as the format tells.
    """

    format: str
    stored: tuple[int, int]
    orientation: int = 1
    animated: bool = False
    least: int = 0

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the upright picture."""
        return self.stored[::-1] if self.orientation >= 5 else self.stored


def read_header(file: BinaryIO) -> Header:
    """The header of an image file.

    Args:
        file: the open file, at its start.

    Raises:
        ValueError: it is empty, no image, or of a format that is not read.
        Exception: Pillow finds it damaged; Pillow's errors are of many kinds.
    """
    start = file.read(64)
    file.seek(0)
    format = format_of(start)
    if format == "PNG":
        return _png(file)
    if format == "WEBP":
        return _webp(file)
    image = opened(file, format)
    if format == "TIFF":
        return _tiff(image.tag_v2)
    width, height = image.size
    return Header(format, image.size, orientation_of(image.info.get("exif")), least=width * height // MOST.get(format, 2**62))


def _tiff(tags):
    width, height, orientation = int(tags[256]), int(tags[257]), tags.get(ORIENTATION)
    bits = tags.get(258, 1)
    bits = sum(bits) if isinstance(bits, tuple) else bits
    least = width * height * bits // 8 // TIFF_MOST.get(tags.get(259, 1), 2**62)
    return Header("TIFF", (width, height), orientation if orientation in range(1, 9) else 1, least=least)


def format_of(start: bytes) -> str:
    """The format of a file by its first 64 bytes.

    Raises:
        ValueError: it is none of `PLUGINS`.
    """
    if not start:
        raise NotRead("the file is empty, not an image")
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "WEBP"
    if start[4:8] == b"ftyp":
        return _brand(start)
    for beginning, format in BEGINNINGS.items():
        if start.startswith(beginning):
            return format
    raise NotRead(f"not an image, or of a format that is not read ({FORMATS} are)")


def _brand(start):
    """AVIF, where Pillow reads it; photographs of phones that are not read are named."""
    brands = {start[8:12], *(start[place : place + 4] for place in range(16, len(start), 4))}
    if brands & {b"avif", b"avis"}:
        if features.check("avif"):
            return "AVIF"
        raise NotRead("AVIF is not read by the Pillow that is installed: convert it to JPEG or PNG")
    if brands & set(HEIC):
        raise NotRead("HEIC is not read: convert it to JPEG or PNG")
    raise NotRead("not an image but a video or another file of its kind")


def opened(file: BinaryIO, format: str) -> PIL.Image.Image:
    """The file as an image of Pillow's that is not decoded yet."""
    module, name = PLUGINS[format]
    return getattr(importlib.import_module(f"PIL.{module}"), name)(file)


def orientation_of(exif: bytes | None) -> int:
    """The orientation in an EXIF block; 1 where it is not there, not one of 1 to 8, or the block is damaged."""
    if not exif:
        return 1
    tags = PIL.Image.Exif()
    try:
        tags.load(exif)
        value = tags.get(ORIENTATION)
    except Exception:
        return 1
    return value if isinstance(value, int) and value in range(1, 9) else 1


def _png(file):
    end = file.seek(0, 2)
    file.seek(8)
    start, content = file.read(8), file.read(13)
    if start != b"\0\0\0\rIHDR" or len(content) != 13:
        raise NotRead("the PNG does not begin with its size: the file is truncated or damaged")
    width, height = int.from_bytes(content[:4], "big"), int.from_bytes(content[4:8], "big")
    bits = content[8] * PNG_CHANNELS.get(content[9], 1)
    exif, animated, place = None, False, 33
    for _ in range(CHUNKS):
        file.seek(place)
        start = file.read(8)
        length, kind = int.from_bytes(start[:4], "big"), start[4:]
        place += length + 12
        # Decoders take memory for a chunk by the length that it announces.
        if len(start) < 8 or place > end:
            raise NotRead("the image is truncated or damaged")
        if kind == b"IEND":
            return Header("PNG", (width, height), orientation_of(exif), animated, height * (width * bits // 8 + 1) // DEFLATED)
        if kind == b"eXIf" and exif is None:
            exif = file.read(length)
        animated |= kind == b"acTL"
    raise NotRead(f"the PNG has more than {CHUNKS:,} chunks")


def _webp(file):
    file.seek(12)
    start = file.read(18)
    kind, content = start[:4], start[8:]
    if kind == b"VP8 " and content[3:6] == b"\x9d\x01\x2a":
        words = int.from_bytes(content[6:8], "little"), int.from_bytes(content[8:10], "little")
        return Header("WEBP", (words[0] & 0x3FFF, words[1] & 0x3FFF))
    if kind == b"VP8L" and content[:1] == b"\x2f":
        bits = int.from_bytes(content[1:5], "little")
        return Header("WEBP", ((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1))
    if kind != b"VP8X" or len(content) < 10:
        raise NotRead("the WebP does not begin with its size: the file is truncated or damaged")
    size = int.from_bytes(content[4:7], "little") + 1, int.from_bytes(content[7:10], "little") + 1
    return Header("WEBP", size, orientation_of(_webp_exif(file)), bool(content[0] & 2))


def _webp_exif(file):
    """The EXIF block of a WebP file that is read up to its first chunk's end, or None."""
    for _ in range(CHUNKS):
        start = file.read(8)
        if len(start) < 8:
            return None
        length = int.from_bytes(start[4:], "little")
        if start[:4] == b"EXIF":
            return file.read(length)
        file.seek(length + length % 2, 1)
    return None
