"""Square face crops from the photographs, made once and cached.

Annotations are on the upright picture: the EXIF orientation is applied when a photograph is decoded. To come to crop
coordinates, image coordinates go through the crop's affine map and are divided by its size: they are in [0, 1] inside the
crop and beyond that range for a landmark that lies outside.
"""

import concurrent.futures
import hashlib
import os
import threading
import warnings
import zlib
from collections.abc import Sequence

import cv2
import numpy as np

from kfacealign import geometry
from kfacealign.console import shown
from kfacealign.data import five_points
from kfacealign.data.faces import Faces
from kfacealign.data.images import read_image, split

GREY = 128  # value of the crop that stands in for an unreadable photograph
WORKERS = min(8, os.cpu_count() or 1)
NAMED = 5  # failures that the summary names before it only counts


class Crops:
    """The square crops of a list of faces, each made when it is first asked for.

    The crop is the square around the face's box whose side is `enlarge` times the box's longer side. With
    `align="five_points"` it is the square that turns the face upright and has its eyes, nose and mouth where the template of
    `kfacealign.data.five_points` has them. Either way `matrices` take points into the crop, and their inverses take
    predictions back. A photograph that cannot be read gives a grey crop, a warning and an entry in `failures`; the weights of
    its landmarks are 0, so that they count nowhere. With `strict` it raises.

    ```python
    crops = Crops(dataset.train, size=128)
    image, landmarks, weights = crops[0]
    print(crops.summary())
    ```

    Args:
        faces: `Faces`.
        size: side S of the crops in pixels.
        enlarge: side of the crop over the longer side of the box; at 1.25 the landmarks fill 80 % of the crop. An upright
            face that is aligned by five points fills 2/3 of the crop at 1.25, and less at a larger factor.
        box: "landmarks", the box of the annotated landmarks, or "file", the box that the dataset gives.
        cache: "memory" keeps every crop made (S * S * 3 bytes each), "device" keeps them in the memory of the accelerator, too,
            where batches are then made of them (not under TensorFlow), None keeps none, and a directory keeps them there
            across runs. Its files are used again only if faces, photographs, size, enlargement, box and alignment are the
            same.
        strict: whether an unreadable photograph raises.
        align: "box" or "five_points". With "five_points", a face whose five points are not annotated is cropped by its
            box, and the summary counts it.

    Attributes:
        landmarks: (N, K, 2) float32, crop coordinates of all faces.
        matrices: (N, 2, 3) float64, image coordinates -> crop pixels.
        aligned: (N,) bool, whether the face is aligned by five points.
        failures: list of (path, reason) with one entry for each face.
        checked: whether `strict` crops have all been read once.
        resident: all crops in the accelerator's memory, (N, S, S, 3) uint8, once `cache="device"` has brought them there.

    Raises:
        ValueError: `box` or `align` has none of the values above, or the scheme has no five points (`menpo39`).
    """

    def __init__(
        self,
        faces: Faces,
        size: int,
        *,
        enlarge: float = 1.25,
        box: str = "landmarks",
        cache: str | os.PathLike | None = "memory",
        strict: bool = False,
        align: str = "box",
    ):
        if box not in ("landmarks", "file"):
            raise ValueError(f"box is {box!r}, expected 'landmarks' or 'file'")
        if align not in ("box", "five_points"):
            raise ValueError(f"align is {align!r}, expected 'box' or 'five_points'")
        self.faces, self.size, self.enlarge, self.box = faces, int(size), float(enlarge), box
        self.cache, self.strict, self.align = cache, bool(strict), align
        self.matrices = self._box_matrices()
        self.aligned = np.zeros(len(faces), bool)
        if align == "five_points":
            self.aligned = five_points.usable(faces.landmarks, faces.weights, faces.scheme)
            points = faces.landmarks[self.aligned]
            self.matrices[self.aligned] = five_points.crop_matrices(points, faces.scheme, self.size, enlarge=self.enlarge)
        self.landmarks = faces.landmarks
        if len(faces):
            self.landmarks = geometry.apply_affine(self.matrices, faces.landmarks) / np.float32(self.size)
        self.failures = []
        self.checked = False
        self.resident = None
        self._failed = np.zeros(len(faces), bool)
        self._outside = np.zeros(len(faces), bool)
        self._lock = threading.Lock()
        self._store = _store(cache, (len(faces), self.size, self.size, 3), self._key)

    def __len__(self) -> int:
        return len(self.faces)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The crop (S, S, 3) uint8, its landmarks (K, 2) in crop coordinates and their weights (K,)."""
        images, landmarks, weights = self.batch([index])
        return images[0], landmarks[0], weights[0]

    def matrix(self, index: int) -> np.ndarray:
        """The map (2, 3) float64 from image coordinates to the crop pixels of this face."""
        return self.matrices[index]

    @property
    def sides(self) -> np.ndarray:
        """(N,) float64: the side of each crop in pixels of its photograph."""
        return self.size / geometry.length_scale(self.matrices)

    def batch(self, indices: Sequence[int] | np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The crops of several faces; crops that are not cached are made in parallel.

        Args:
            indices: B positions.

        Returns:
            images (B, S, S, 3) uint8, landmarks (B, K, 2) float32 in crop coordinates, weights (B, K) float32.

        Raises:
            ValueError: with `strict`, a photograph cannot be read; the message names it.
        """
        indices = np.arange(len(self))[np.asarray(indices, int)]
        images = np.empty((len(indices), self.size, self.size, 3), "uint8")
        missing = [place for place, index in enumerate(indices) if not self._recall(index, images[place])]
        if len(missing) == 1:
            self._make(indices[missing[0]], images[missing[0]])
        elif missing:
            with concurrent.futures.ThreadPoolExecutor(min(WORKERS, len(missing))) as pool:
                list(pool.map(self._make, indices[missing], [images[place] for place in missing]))
        return images, *self.labels(indices)

    def labels(self, indices: Sequence[int] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The landmarks (B, K, 2) and weights (B, K) of several faces, as `batch` returns them once their crops were made."""
        indices = np.asarray(indices, int)
        weights = np.where(self._failed[indices, None], np.float32(0), self.faces.weights[indices])
        return self.landmarks[indices], weights

    def summary(self) -> str:
        """One line for people: how many crops there are, how many are not aligned, and which photographs cannot be read."""
        text = f"{len(self):,} face crops of {self.size} px"
        boxed = len(self) - int(self.aligned.sum())
        if self.align == "five_points" and boxed:
            text += f", {boxed:,} cropped by their box because their five points are not annotated"
        if self.failures:
            named = "; ".join(f"{shown(path)} ({reason})" for path, reason in self.failures[:NAMED])
            more = f"; and {len(self.failures) - NAMED:,} more" if len(self.failures) > NAMED else ""
            text += f", {len(self.failures):,} skipped because their image cannot be read: {named}{more}"
        if self._outside.any():
            text += f", {int(self._outside.sum()):,} with landmarks outside their image (kept)"
        return text

    def _box_matrices(self):
        boxes = self.faces.boxes
        if self.box == "landmarks" and len(self):
            boxes = geometry.landmark_box(self.faces.landmarks, weights=self.faces.weights)
        squares = [geometry.square_box(box, self.enlarge) for box in boxes]
        return np.array([geometry.crop_matrix(square, self.size) for square in squares]).reshape(-1, 2, 3)

    def _recall(self, index, out):
        """Fills `out` from the cache; returns False if it is not there."""
        if self._failed[index]:
            out[:] = GREY
            return True
        return self._store is not None and self._store.read(index, out)

    def _make(self, index, out):
        """Decodes a photograph and fills `out` with its crop, or with grey."""
        path = self.faces.images[index]
        try:
            image = read_image(path)
            out[:] = self._cut(image, index)
        except (OSError, ValueError, MemoryError, cv2.error) as error:
            out[:] = GREY
            self._fail(index, path, reason(error))
            return
        points = self.faces.landmarks[index][self.faces.weights[index] > 0]
        self._outside[index] = bool(((points < 0) | (points > image.shape[1::-1])).any())
        if self._store is not None:
            self._store.write(index, out)

    def _cut(self, image, index):
        return geometry.warp(image, self.matrices[index], self.size)

    def _fail(self, index, path, reason):
        if self.strict:
            raise ValueError(f"{shown(path)}: cannot be read ({reason}). Without strict it would be skipped and counted.")
        with self._lock:
            if self._failed[index]:
                return
            self._failed[index] = True
            self.failures.append((path, reason))
        warnings.warn(f"{shown(path)}: cannot be read ({reason}), skipped", stacklevel=2)

    def _key(self):
        """A hash of all that the pixels depend on; the photographs enter it by size and modification time."""
        digest = hashlib.sha256(f"upright {self.size} {self.enlarge} {self.box} {self.align}".encode())
        digest.update(self.matrices.tobytes())
        for path in self.faces.images:
            try:
                status = os.stat(split(path)[0])
                digest.update(f"{os.path.abspath(path)} {status.st_size} {status.st_mtime_ns}\n".encode())
            except OSError:
                digest.update(f"{os.path.abspath(path)} missing\n".encode())
        return digest.hexdigest()[:16]


def reason(error: BaseException) -> str:
    """Why a photograph gives no crop, in a few words for people."""
    if isinstance(error, MemoryError):
        return "it does not fit into memory"
    return " ".join(str(getattr(error, "strerror", None) or error).split())


def _store(cache, shape, key):
    if cache is None or not shape[0]:
        return None
    if isinstance(cache, str) and cache in ("memory", "device"):
        return _MemoryStore(shape)
    return _DiskStore(os.fspath(cache), shape, key())


class _MemoryStore:
    def __init__(self, shape):
        self._pixels = np.zeros(shape, "uint8")  # pages are taken from the system as they are written
        self._filled = np.zeros(shape[0], bool)

    def read(self, index, out):
        if self._filled[index]:
            out[:] = self._pixels[index]
        return self._filled[index]

    def write(self, index, pixels):
        self._pixels[index] = pixels
        self._filled[index] = True


class _DiskStore:
    """Crops in a memory-mapped `.npy`, each with a checksum: a crop that a killed run wrote half does not match its own."""

    def __init__(self, directory, shape, key):
        os.makedirs(directory, exist_ok=True)
        self._pixels = _memmap(os.path.join(directory, f"crops-{key}.npy"), "uint8", shape)
        self._sums = _memmap(os.path.join(directory, f"crops-{key}.sums.npy"), "uint64", shape[:1])

    def read(self, index, out):
        expected = int(self._sums[index])
        if not expected:
            return False
        out[:] = self._pixels[index]
        return _checksum(out) == expected

    def write(self, index, pixels):
        self._pixels[index] = pixels
        self._sums[index] = _checksum(pixels)


def _checksum(pixels):
    return zlib.crc32(np.ascontiguousarray(pixels)) + 1  # 0 is kept for "not made yet"


def _memmap(path, dtype, shape):
    """Opens a `.npy` for reading and writing; if it is not there or has another shape, it is made first."""
    try:
        array = np.load(path, mmap_mode="r+")
        if array.shape == shape and array.dtype == dtype:
            return array
    except (OSError, ValueError):
        pass
    temporary = f"{path}.{os.getpid()}.tmp"
    array = np.lib.format.open_memmap(temporary, mode="w+", dtype=dtype, shape=shape)
    if hasattr(os, "posix_fallocate"):
        # Claim the space now: on a full disk this raises, where a write through the map would kill the process.
        descriptor = os.open(temporary, os.O_RDWR)
        try:
            os.posix_fallocate(descriptor, 0, os.fstat(descriptor).st_size)
        except OSError as error:
            os.remove(temporary)
            raise OSError(error.errno, f"no room for the crop cache of {array.nbytes / 2**20:,.0f} MiB", path) from None
        finally:
            os.close(descriptor)
    os.replace(temporary, path)
    return array
