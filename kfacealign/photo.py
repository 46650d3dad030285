"""From a photograph to the landmarks of its faces: read, crop, align, map back.

This is the only place that does it; commands, benchmarks, notebooks and documentation call it. The boxes come from
`kfacealign.detect.find_faces` or from whoever knows better. A video is the work of `kfacealign.tracking`.

```python
image = read_photo("photo.jpg")
faces = align_photo(model, image, detect.find_faces(image))
faces.landmarks, faces.scores                                  # (N, K, 2) in image coordinates, (N, K)
```
"""

import dataclasses
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from kfacealign import geometry, schemes
from kfacealign.data import image_files
from kfacealign.data.five_points import crop_matrices, usable
from kfacealign.streaming import empty_answers

SMALLEST = 2  # pixels of a box's longer side
LARGEST = 10  # sides of the photograph
LOOKS = ("rolled", "all", "none")  # which faces are read a second time
ROLLED = 30.0  # degrees; the bundled models know faces that are rolled further from few views
FACELIKE = 0.8  # of 1, the least likeness of landmarks to the mean face for which they tell a roll


@dataclasses.dataclass(frozen=True)
class AlignedFaces:
    """The N faces of a photograph.

    Attributes:
        squares: (N, 4) float32 x0, y0, x1, y1, what was cropped for the first reading.
        landmarks: (N, K, 2) float32 in image coordinates.
        scores: (N, K) float32.
        visibility: (N, K) float32, the probability that a point can be seen; None where the model is not calibrated.
        covariance: (N, K, 3) float32, xx, xy and yy of the errors in pixels squared; None likewise.
    """

    squares: np.ndarray
    landmarks: np.ndarray
    scores: np.ndarray
    visibility: np.ndarray | None = None
    covariance: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.squares)


def read_photo(path: str | os.PathLike) -> np.ndarray:
    """The image in a file, (H, W, 3) uint8 RGB, turned upright by its EXIF orientation.

    `kfacealign.data.image_files.read` says which formats are read, and what becomes of pixels that are not RGB.

    Raises:
        OSError: the file cannot be opened, or is not a regular file.
        ValueError: it is not a complete image, or has more pixels than `kfacealign.data.image_files.limit_pixels` allows; the
            message does not name the file.
    """
    return image_files.read(path)


def align_photo(
    model: Any,
    image: np.ndarray,
    boxes: np.ndarray | Sequence,
    *,
    five_points: bool = False,
    second_look: str = "rolled",
    **options: Any,
) -> AlignedFaces:
    """The landmarks of the faces in a photograph.

    Args:
        model: anything that `kfacealign.load` returns.
        image: (H, W, 3) uint8 RGB.
        boxes: (N, 4), brows to chin and ear to ear, in image coordinates, such as `kfacealign.detect.find_faces` gives.
        five_points: whether every face is read a second time, turned upright by the eyes, nose and mouth of the first
            reading; see `align_upright`. There is no other second look then.
        second_look: which faces are read a second time in the box of their own landmarks, "rolled", "all" or "none"; see
            `read_again`.
        options: further arguments of `model.align`.

    Returns:
        `AlignedFaces`, in the order of the boxes.

    Raises:
        ValueError: a box is no face's, as `usable_boxes` says, `five_points` was asked of a scheme that has none, or there is no
            such second look.
    """
    check_look(second_look)
    squares = [geometry.square_box(box, model.enlarge) for box in usable_boxes(boxes, image)]
    found = read_squares(model, image, squares, **options)
    if five_points:
        found = read_upright(model, image, found, **options)
    else:
        found = read_again(model, image, found, which=second_look, **options)
    return AlignedFaces(np.asarray(squares, np.float32).reshape(-1, 4), **found)


def usable_boxes(boxes: np.ndarray | Sequence, image: np.ndarray) -> np.ndarray:
    """Boxes (N, 4) float32 in which a photograph may show a face.

    Args:
        boxes: N boxes x0, y0, x1, y1 in image coordinates; they may reach beyond the photograph.
        image: (H, W, 3), the photograph.

    Raises:
        ValueError: a box is no four finite numbers, lies outside of the photograph, is less than `SMALLEST` pixels wide and
            high, or more than `LARGEST` times as large as the photograph.
    """
    height, width = image.shape[:2]
    boxes = np.asarray(boxes, np.float64)
    if boxes.size and (boxes.ndim != 2 or boxes.shape[1] != 4):
        raise ValueError(f"boxes are (N, 4), got shape {boxes.shape}")
    boxes = boxes.reshape(-1, 4)
    for box in boxes:
        told = f"the box {', '.join(f'{value:g}' for value in box)} in a photograph of {width} x {height} pixels"
        if not np.isfinite(box).all():
            raise ValueError(f"{told} is no box")
        side = (box[2:] - box[:2]).max()
        if (box[2:] <= box[:2]).any() or side < SMALLEST:
            raise ValueError(f"{told} is too small: x0 < x1, y0 < y1 and a side of {SMALLEST} pixels at least are needed")
        if (box[:2] >= [width, height]).any() or (box[2:] <= 0).any():
            raise ValueError(f"{told} lies outside of it")
        if side > LARGEST * max(width, height):
            raise ValueError(f"{told} is too large: {LARGEST} times the photograph's longer side is the most")
    return boxes.astype(np.float32)


def align_squares(
    model: Any, images: np.ndarray | Sequence[np.ndarray], squares: np.ndarray | Sequence, **options: Any
) -> tuple[np.ndarray, np.ndarray]:
    """The landmarks of the faces in square boxes, all read as one batch.

    Args:
        model: anything with `align`, `scheme` and `input_size`.
        images: (H, W, 3) uint8 RGB, the photograph of all faces, or a sequence of N such images, one for each face.
        squares: N boxes (4,) in image coordinates.
        options: further arguments of `model.align`.

    Returns:
        landmarks (N, K, 2) float32 in image coordinates and scores (N, K) float32.

    Raises:
        ValueError: a square has no area, or there are not as many images as squares.
    """
    found = read_squares(model, images, squares, **options)
    return found["landmarks"], found["scores"]


def read_squares(
    model: Any, images: np.ndarray | Sequence[np.ndarray], squares: np.ndarray | Sequence, **options: Any
) -> dict[str, np.ndarray]:
    """All that a model says of the faces in square boxes; arguments and errors as of `align_squares`.

    Returns:
        Dict of `landmarks` (N, K, 2) in image coordinates and `scores` (N, K), and of a calibrated model `visibility` (N, K) and
        `covariance` (N, K, 3), xx, xy and yy in pixels squared; all float32.
    """
    if not len(squares):
        return empty_answers(answers(model), model.scheme.num_points)
    images = [images] * len(squares) if isinstance(images, np.ndarray) and images.ndim == 3 else images
    cut = [geometry.crop(image, square, model.input_size) for image, square in zip(images, squares, strict=True)]
    crops, matrices = zip(*cut, strict=True)
    return read_crops(model, np.stack(crops), np.stack(matrices), **options)


def answers(model: Any) -> tuple[str, ...]:
    """Names of what a model says of a face: `landmarks` and `scores`, and where it is calibrated more."""
    return getattr(model, "answers", ("landmarks", "scores"))


def read_crops(model: Any, crops: np.ndarray, matrices: np.ndarray, **options: Any) -> dict[str, np.ndarray]:
    """All that a model says of crops, in image coordinates, as `read_squares` returns it.

    Args:
        model: anything with `align`.
        crops: (N, S, S, 3) RGB 0..255.
        matrices: (N, 2, 3), their maps from image coordinates to crop pixels.
        options: further arguments of `model.align`.
    """
    if len(answers(model)) > 2:
        found = model.align_all(crops, verbose=0, **options)
    else:
        found = dict(zip(("landmarks", "scores"), model.align(crops, verbose=0, **options), strict=True))
    found["landmarks"] = geometry.from_crop(found["landmarks"], matrices, crops.shape[1])
    if "covariance" in found:
        found["covariance"] = geometry.covariance_from_crop(found["covariance"], matrices, crops.shape[1])
    return found


def align_upright(
    model: Any, image: np.ndarray, landmarks: np.ndarray, scores: np.ndarray, **options: Any
) -> tuple[np.ndarray, np.ndarray]:
    """The landmarks of faces that are read a second time, turned upright by the five points of a first reading.

    A model that was trained on crops aligned by five points needs this where only boxes are known. A face whose five
    points lie in one place after the first reading keeps its first landmarks and scores.

    Args:
        model: anything with `align`, `scheme`, `input_size` and `enlarge`.
        image: (H, W, 3) uint8 RGB, the photograph.
        landmarks: (N, K, 2) of the first reading, in image coordinates.
        scores: (N, K) of the first reading.
        options: further arguments of `model.align`.

    Returns:
        landmarks (N, K, 2) float32 in image coordinates and scores (N, K) float32 of the second reading.

    Raises:
        ValueError: the scheme has no five points.
    """
    found = read_upright(model, image, {"landmarks": landmarks, "scores": scores}, **options)
    return found["landmarks"], found["scores"]


def read_upright(model: Any, image: np.ndarray, found: dict[str, np.ndarray], **options: Any) -> dict[str, np.ndarray]:
    """What `read_squares` returned of a photograph, of a second reading as `align_upright` makes it.

    Args:
        model: as of `align_upright`.
        image: (H, W, 3) uint8 RGB, the photograph.
        found: what the first reading found.
        options: further arguments of `model.align`.

    Raises:
        ValueError: the scheme has no five points.
    """
    found = {name: np.array(values, np.float32) for name, values in found.items()}
    again = np.flatnonzero(usable(found["landmarks"], np.ones(found["scores"].shape), model.scheme))
    if len(again):
        matrices = crop_matrices(found["landmarks"][again], model.scheme, model.input_size, enlarge=model.enlarge)
        crops = np.stack([geometry.warp(image, matrix, model.input_size) for matrix in matrices])
        second = read_crops(model, crops, matrices, **options)
        for name, values in found.items():
            values[again] = second[name]
    return found


# === The second look ===


def check_look(second_look: str) -> None:
    """Raises ValueError unless this is one of LOOKS."""
    if second_look not in LOOKS:
        raise ValueError(f"there is no second look {second_look!r}; take one of {', '.join(LOOKS)}")


def read_again(
    model: Any, image: np.ndarray, found: dict[str, np.ndarray], *, which: str = "rolled", **options: Any
) -> dict[str, np.ndarray]:
    """What `read_squares` returned of a photograph, where faces are looked at a second time, in a better crop.

    The second crop is made as training makes it, by the box of the landmarks, those of the first reading. Where these are rolled
    by more than ROLLED degrees, either way, it is turned upright.

    Args:
        model: anything with `align`, `scheme`, `input_size` and `enlarge`.
        image: (H, W, 3) uint8 RGB, the photograph.
        found: what the first reading found.
        which: "rolled" reads the rolled faces again, "all" all, "none" none. Faces whose landmarks are not like a face's keep
            their first reading, and so do those of schemes without a mean shape and of menpo39, which is of profiles.
        options: further arguments of `model.align`.
    """
    angles = rolls(found["landmarks"], model.scheme) if which != "none" else np.full(len(found["landmarks"]), np.nan)
    again = np.flatnonzero(np.isfinite(angles) if which == "all" else np.abs(angles) > ROLLED)
    if not len(again):
        return found
    found = {name: np.array(values, np.float32) for name, values in found.items()}
    turns = np.where(np.abs(angles) > ROLLED, angles, 0.0)
    matrices = np.stack([upright_matrix(found["landmarks"][place], -turns[place], model) for place in again])
    crops = np.stack([geometry.warp(image, matrix, model.input_size) for matrix in matrices])
    second = read_crops(model, crops, matrices, **options)
    for name, values in found.items():
        values[again] = second[name]
    return found


def rolls(landmarks: np.ndarray, scheme: schemes.Scheme | str) -> np.ndarray:
    """By how many degrees faces are rolled clockwise, (N,): the turn of the mean face that lies nearest to landmarks (N, K, 2).

    NaN where the landmarks are less like the mean face than FACELIKE, or where the scheme has no mean face to compare with.
    """
    scheme = schemes.get(scheme)
    if scheme.mean_shape is None or scheme.name == "menpo39":
        return np.full(len(landmarks), np.nan)
    shapes = (np.asarray(shape, np.float64) for shape in (scheme.mean_shape, landmarks))
    mean, points = (shape[..., 0] + 1j * shape[..., 1] for shape in shapes)  # a turn is a product then
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        mean, points = (shape - shape.mean(-1, keepdims=True) for shape in (mean, points))
        likeness = points @ mean.conj() / (np.linalg.norm(points, axis=-1) * np.linalg.norm(mean))
        return np.where(np.abs(likeness) >= FACELIKE, np.degrees(np.angle(likeness)), np.nan)


def upright_matrix(landmarks: np.ndarray, turn: float, model: Any) -> np.ndarray:
    """The map (2, 3) from image coordinates to the crop around landmarks (K, 2), turned clockwise by so many degrees."""
    cosine, sine = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    rotation = np.array([[cosine, -sine], [sine, cosine]])
    box = geometry.landmark_box((landmarks @ rotation.T).astype(np.float32))
    matrix = geometry.crop_matrix(geometry.square_box(box, model.enlarge), model.input_size)
    return np.column_stack([matrix[:, :2] @ rotation, matrix[:, 2]])
