"""Crops that lie encoded in a file, one JPEG or WebP after the other, and are decoded when they are asked for."""

import io
import os

import cv2
import numpy as np

from kfacealign.data.image_files import decode
from kfacealign.data.image_headers import NotRead, read_header

OPTIONS = {"jpeg": (".jpg", cv2.IMWRITE_JPEG_QUALITY), "webp": (".webp", cv2.IMWRITE_WEBP_QUALITY)}
ENCODINGS = tuple(OPTIONS)
FORMATS = ("JPEG", "WEBP")  # as headers name them
LARGEST = 2**14  # pixels along a side


def encode(image: np.ndarray, encoding: str, *, quality: int) -> bytes:
    """The bytes of an image file.

    Args:
        image: (H, W, 3) uint8 RGB.
        encoding: one of `ENCODINGS`.
        quality: 1 to 100, of which none is without loss.

    Raises:
        ValueError: the encoding cannot hold such a picture.
    """
    suffix, option = OPTIONS[encoding]
    try:
        return cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), (option, quality))[1].tobytes()
    except cv2.error:
        raise ValueError(f"{encoding} cannot hold a picture of shape {image.shape}") from None


class EncodedImages:
    """N square images that lie one after the other in the bytes of a file; each is decoded anew whenever it is asked for.

    `images[3]` is an array, (S, S, 3) uint8; `images[10:20]` and `images[indices]` are `EncodedImages`, and `numpy.asarray`
    decodes all of them.

    Args:
        path: the file, which messages name.
        content: bytes of all images, (B,) uint8, such as a `numpy.memmap`.
        ends: (N,) integers, where in the bytes each image ends and the next begins.
        size: side S of the images in pixels.

    Attributes:
        shape: (N, S, S, 3).
        dtype: uint8.

    Raises:
        ValueError: the ends do not lie within the bytes in their order, or the size is absurd; the message names the file.
    """

    dtype = np.dtype("uint8")

    def __init__(self, path: str | os.PathLike, content: np.ndarray, ends: np.ndarray, size: int):
        self.path, self._content, self._size = os.fspath(path), content, size
        if not isinstance(size, int) or not 1 <= size <= LARGEST:
            raise ValueError(f"{self.path}: it is damaged: its crops have a side of {size} pixels")
        ends = np.asarray(ends)
        if ends.ndim != 1 or ends.dtype.kind not in "iu" or (ends.size and int(ends.max()) > len(content)):
            raise ValueError(f"{self.path}: it is damaged: ends are no places in the {len(content):,} bytes of its images")
        ends = ends.astype("int64")
        self._starts, self._ends = np.concatenate([[0], ends[:-1]]).astype("int64"), ends
        if (self._starts >= self._ends).any():
            raise ValueError(
                f"{self.path}: it is damaged: the image of face {np.argmax(self._starts >= self._ends)} has no bytes"
            )
        self._places = np.arange(len(ends))

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return len(self), self._size, self._size, 3

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int | slice | np.ndarray) -> "np.ndarray | EncodedImages":
        """One image decoded, or several that are not yet.

        Raises:
            ValueError: the image is damaged; the message names the file and the place of the face in it.
        """
        if isinstance(index, (int, np.integer)):
            place = int(self._places[index])
            try:
                return self.decode(place)
            except ValueError as error:
                raise ValueError(f"{self.path}#{place}: {error}") from error
        chosen = object.__new__(EncodedImages)
        chosen.__dict__ = {**self.__dict__, "_places": self._places[index]}
        return chosen

    def __array__(self, dtype: type | None = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("encoded images cannot be an array without decoding them")
        images = [self[place] for place in range(len(self))]
        array = np.stack(images) if images else np.zeros(self.shape, self.dtype)
        return array if dtype is None else array.astype(dtype)

    def decode(self, place: int) -> np.ndarray:
        """The image at a place of the whole file, from 0: (S, S, 3) uint8 RGB.

        Raises:
            ValueError: it is no complete JPEG or WebP of this size; the message does not name the file.
        """
        content = bytes(self._content[self._starts[place] : self._ends[place]])
        try:
            header = read_header(io.BytesIO(content))
        except NotRead:
            raise
        except Exception as error:  # Pillow's errors are of many kinds
            raise ValueError("the image is truncated or damaged") from error
        if header.format not in FORMATS or header.stored != (self._size, self._size):
            width, height = header.stored
            raise ValueError(f"a {header.format} of {width} x {height} pixels, expected a JPEG or WebP of a side of {self._size}")
        return decode(content)
