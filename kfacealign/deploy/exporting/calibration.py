"""What int8 is calibrated on: face crops of an array, of annotated faces, or of a folder."""

import numpy as np

from kfacealign import geometry
from kfacealign.data.crops import Crops
from kfacealign.data.images import read_image
from kfacealign.data.readers.pts import pts
from kfacealign.files import IMAGE_SUFFIXES


def calibration_crops(aligner, calibration, count):
    """`count` evenly spaced crops of `calibration`, float32 `(N, S, S, 3)`."""
    size = aligner.input_size
    chosen = np.unique(np.linspace(0, len(calibration) - 1, min(count, len(calibration))).round().astype(int))
    if not len(chosen):
        raise ValueError("there are no calibration images; about a hundred are enough")
    if hasattr(calibration, "landmarks"):
        views = Crops(calibration[chosen], size=size, enlarge=aligner.enlarge, cache=None)
        # A photograph that cannot be read has no weights; Crops has warned of it.
        samples = [image for image, _, weights in map(views.__getitem__, range(len(views))) if weights.any()]
        if not samples:
            raise ValueError("none of the calibration faces can be read")
        return np.stack(samples).astype("float32")
    crops = np.asarray(calibration)
    if crops.shape[1:] != (size, size, 3):
        raise ValueError(f"calibration crops must be (N, {size}, {size}, 3), got {crops.shape}")
    crops = crops[chosen].astype("float32")
    if not np.isfinite(crops).all():
        raise ValueError("there are calibration crops with values that are not finite")
    return crops


def read_calibration(path, model):
    """Calibration images: `Faces` from a folder with `.pts`, else an array of crops.

    Raises:
        FileNotFoundError, ValueError: there is nothing to read at `path`.
    """
    if path.suffix == ".npy":
        return read_array(path, model.input_size)
    if not path.is_dir():
        raise FileNotFoundError(f"{path}: --calibration is a folder of images or a .npy array of crops")
    if any(path.rglob("*.pts")):
        return pts(path, scheme=model.scheme, test_fraction=0.0).train
    return read_crops(path, model.input_size)


def read_array(path, side):
    """Crops `(N, side, side, 3)` from a `.npy` file.

    Raises:
        FileNotFoundError: there is none. ValueError: it is damaged, or holds something else.
    """
    try:
        crops = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        # NumPy's own message advises to load it unsafely.
        raise ValueError(f"{path}: not a .npy array of numbers, or a damaged one") from error
    if not isinstance(crops, np.ndarray):
        raise ValueError(f"{path}: not a .npy array but an archive of some")
    if crops.shape[1:] != (side, side, 3) or crops.dtype.kind not in "uif":
        raise ValueError(f"{path}: crops are numbers of shape (N, {side}, {side}, 3), these are {crops.dtype} {crops.shape}")
    if not len(crops):
        raise ValueError(f"{path} holds no crop")
    if not np.isfinite(crops).all():
        raise ValueError(f"{path}: crops with values that are not finite")
    return crops


def read_crops(folder, side):
    """Every image below a folder, taken as a face crop, resampled to `(N, side, side, 3)`."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    if not paths:
        raise FileNotFoundError(f"{folder} holds no image; suffixes: {' '.join(IMAGE_SUFFIXES)}")
    crops = []
    for path in paths:
        try:
            image = read_image(path)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
        height, width = image.shape[:2]
        crops.append(geometry.crop(image, (0, 0, width, height), side)[0])
    return np.stack(crops)
