"""The face crops by which int8 is calibrated: of an array, of annotated faces, or of a folder."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kfacealign import geometry
from kfacealign.data.crops import Crops
from kfacealign.data.faces import Faces
from kfacealign.data.images import read_image
from kfacealign.data.readers import folders, npz
from kfacealign.data.readers.pts import pts
from kfacealign.files import IMAGE_SUFFIXES

if TYPE_CHECKING:
    from kfacealign.models.aligner import FaceAligner

FEW = 32  # so many crops are needed to see what the network will see
NAMED = 3  # images that a warning names; it counts the rest


def calibration_crops(aligner: "FaceAligner", calibration: np.ndarray | Faces, count: int) -> np.ndarray:
    """At most `count` evenly spaced crops, float32 `(N, S, S, 3)`. Fewer than `FEW` are warned of.

    Args:
        aligner: the model, with `input_size` and `enlarge`.
        calibration: crops `(M, S, S, 3)`, or `Faces`, which are cropped as in training.
        count: the most crops to return.

    Raises:
        ValueError: there are none, none can be read, they have another shape, or they hold values that are not finite.
    """
    size = aligner.input_size
    chosen = np.unique(np.linspace(0, len(calibration) - 1, min(count, len(calibration))).round().astype(int))
    if not len(chosen):
        raise ValueError("there are no calibration images; about a hundred are enough")
    if hasattr(calibration, "landmarks"):
        views = Crops(calibration[chosen], size=size, enlarge=aligner.enlarge, cache=None)
        # The weights of a photograph that cannot be read are 0; `Crops` has warned of it.
        samples = [image for image, _, weights in map(views.__getitem__, range(len(views))) if weights.any()]
        if not samples:
            raise ValueError("none of the calibration faces can be read")
        warn_of_few(len(samples), count)
        return np.stack(samples).astype("float32")
    crops = np.asarray(calibration)
    if crops.shape[1:] != (size, size, 3):
        raise ValueError(f"calibration crops must be (N, {size}, {size}, 3), got {crops.shape}")
    crops = crops[chosen].astype("float32")
    if not np.isfinite(crops).all():
        raise ValueError("there are calibration crops with values that are not finite")
    warn_of_few(len(crops), count)
    return crops


def warn_of_few(found: int, wanted: int) -> None:
    """Warns where a model is calibrated on fewer than `FEW` crops."""
    if found < FEW:
        crops = "1 crop" if found == 1 else f"{found} crops"
        warnings.warn(
            f"int8 is calibrated on {crops}, {wanted} were asked for: a model of so few can be far less exact; give {FEW} faces "
            "at least, about a hundred are enough",
            stacklevel=3,
        )


def read_calibration(path: Path, model: "FaceAligner") -> np.ndarray | Faces:
    """The calibration images at a path.

    Args:
        path: a folder of images, or a `.npy` array of crops.
        model: the model, with `scheme` and `input_size`.

    Returns:
        `Faces` for a folder with `.pts` files; otherwise crops `(N, S, S, 3)`.

    Raises:
        FileNotFoundError: there is no such folder or file, or the folder holds no image.
        ValueError: what is there cannot be read.
    """
    if path.suffix == ".npy":
        return read_array(path, model.input_size)
    if not path.is_dir():
        raise FileNotFoundError(f"{path}: --calibration is a folder of images or a .npy array of crops")
    if any(name.lower().endswith(".pts") for _, names in folders.walk(path) for name in names):
        return pts(path, scheme=model.scheme, test_fraction=0.0).train
    return read_crops(path, model.input_size)


def read_array(path: Path, side: int) -> np.ndarray:
    """Crops `(N, side, side, 3)` from a `.npy` file.

    Raises:
        OSError: there is no such file, or it is no regular file.
        ValueError: it is damaged, or holds something else.
    """
    crops = npz.read_npy(path)
    if crops.shape[1:] != (side, side, 3) or crops.dtype.kind not in "uif":
        raise ValueError(f"{path}: crops are numbers of shape (N, {side}, {side}, 3), these are {crops.dtype} {crops.shape}")
    if not len(crops):
        raise ValueError(f"{path} holds no crop")
    if not np.isfinite(crops).all():
        raise ValueError(f"{path}: crops with values that are not finite")
    return crops


def read_crops(folder: Path, side: int) -> np.ndarray:
    """Every image below a folder, taken as a face crop and resampled: `(N, side, side, 3)`.

    Images that are not square are warned of: they are photographs rather than crops.

    Raises:
        FileNotFoundError: there is no image.
        ValueError: one of them cannot be read.
    """
    found = (Path(below, name) for below, names in folders.walk(folder) for name in names)
    paths = sorted(path for path in found if path.suffix.lower() in IMAGE_SUFFIXES)
    if not paths:
        raise FileNotFoundError(f"{folder} holds no image; suffixes: {' '.join(IMAGE_SUFFIXES)}")
    crops, stretched = [], []
    for path in paths:
        try:
            image = read_image(path)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
        height, width = image.shape[:2]
        if height != width:
            stretched.append(f"{path.name} ({width} x {height})")
        crops.append(geometry.crop(image, (0, 0, width, height), side)[0])
    if stretched:
        more = f" and {len(stretched) - NAMED} more" if len(stretched) > NAMED else ""
        warnings.warn(
            f"{folder}: without .pts files each image is taken to be a face crop, but {len(stretched)} of {len(paths)} are not "
            f"square and were stretched: {', '.join(stretched[:NAMED])}{more}; put .pts files beside photographs, kfacealign "
            "align writes them",
            stacklevel=2,
        )
    return np.stack(crops)
