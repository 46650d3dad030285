"""Reader of COFW (Caltech Occluded Faces in the Wild, 29 landmarks with occlusion), as published.

    root/COFW_train_color.mat    IsTr (images), phisTr (1345 x 87), bboxesTr (1345 x 4)
    root/COFW_test_color.mat     IsT, phisT (507 x 87), bboxesT (507 x 4)
    root/COFW_train.mat, root/COFW_test.mat      the same with grey images

The files are of MATLAB 7.3. A row of `phis` holds 29 x, 29 y and 29 flags (1: something hides the point); a box is x, y,
width, height. The images stay in the file: the image of a face is called `COFW_test_color.mat#12`, say, and is decoded when
its crop is made.

Convention of the files: they follow MATLAB and are 1-based (the centre of the first pixel is (1, 1)), so our coordinates are
the file's - 0.5. The given boxes come from a detector; PIPNet crops by them without enlarging them (Sec. 4.1.2).
"""

import functools
import os
from collections.abc import Sequence

import numpy as np

from kfacealign import schemes
from kfacealign.data.faces import Dataset, Faces
from kfacealign.data.readers import checks, matlab
from kfacealign.data.readers.entry import Entry
from kfacealign.data.readers.missing import known

POINTS = 29
EXPECTED = {"train": 1345, "test": 507}
SUFFIX = {"train": "Tr", "test": "T"}
SOURCE = (
    "COFW comes from the page 'Robust face landmark estimation under occlusion' (ICCV 2013) of the Computational Vision Lab "
    "at Caltech: COFW_color.zip, or COFW.zip for grey images, unpacked here."
)


def cofw(root: str | os.PathLike, *, color: bool = True, strict: bool = False, missing: Sequence = ()) -> Dataset:
    """Reads COFW below `root`; no image is decoded.

    Args:
        root: the folder that holds the two `.mat` files.
        color: whether the colour images are read; if not, the grey ones are.
        strict: whether other counts than the published ones, duplicates and boxes outside of the image raise; if not, they
            are warned of.
        missing: marks of points that are not annotated, in the coordinates of the files, such as `[(-1, -1)]`.

    Returns:
        A `Dataset` with the published boxes, whose faces have `occluded`.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is not of MATLAB 7.3, or an array has another shape. With `strict`, see above.
    """
    root = os.fspath(root)
    files = file_names(color=color)
    checks.require("COFW", root, list(files.values()), source=SOURCE)
    parts = {part: read_part(os.path.join(root, name), part, strict=strict, missing=missing) for part, name in files.items()}
    checks.counts("COFW", root, {part: len(faces) for part, faces in parts.items()}, EXPECTED, strict=strict)
    return Dataset(
        name="cofw",
        scheme=schemes.get("cofw29"),
        train=parts["train"],
        test=parts["test"],
        subsets={},
        enlarge=1.25,
        normalizer="inter_ocular",
    )


def file_names(*, color: bool = True) -> dict[str, str]:
    """Part -> name of its file."""
    return {part: f"COFW_{part}{'_color' if color else ''}.mat" for part in EXPECTED}


def read_part(path: str | os.PathLike, part: str, *, strict: bool = False, missing: Sequence = ()) -> Faces:
    """The faces of one file.

    Args:
        path: the `.mat` file.
        part: "train" or "test".
        strict: see `cofw`.
        missing: see `cofw`.

    Returns:
        `Faces`, which are named "cofw_test_0012" and so on, counted from 0.

    Raises:
        ValueError: the file is not of MATLAB 7.3, or an array has another shape.
    """
    path = os.fspath(path)
    if matlab.version(path) != "7.3":
        raise ValueError(f"{path}: a MATLAB file older than 7.3, COFW's are version 7.3: it is not the published file")
    suffix = SUFFIX[part]
    phis, boxes = matlab.load_numbers(path, [f"phis{suffix}", f"bboxes{suffix}"])
    sizes = matlab.image_sizes(path)
    count = len(sizes)
    for name, array, columns in (("phis", phis, 3 * POINTS), ("bboxes", boxes, 4)):
        if array.shape != (count, columns):
            raise ValueError(f"{path}: {name}{suffix} is {array.shape}, expected ({count}, {columns}) for the {count} images")
    origins = [f"{path}#{place}" for place in range(count)]
    landmarks = np.stack([phis[:, :POINTS], phis[:, POINTS : 2 * POINTS]], axis=-1) - 0.5
    landmarks, weights = known(landmarks, missing=missing, offset=-0.5, origins=origins, strict=strict)
    faces = Faces(
        "cofw29",
        images=origins,
        landmarks=landmarks,
        weights=weights,
        boxes=corners(boxes),
        names=[f"cofw_{part}_{place:04d}" for place in range(count)],
        origins=origins,
        occluded=phis[:, 2 * POINTS :],
    )
    checks.annotated("COFW", faces, strict=strict, sizes=sizes)
    return faces


def corners(boxes: np.ndarray) -> np.ndarray:
    """1-based boxes x, y, width, height -> boxes x0, y0, x1, y1 in image coordinates."""
    boxes = np.asarray(boxes, "float64")
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1) - 0.5


ENTRIES = (
    Entry(
        name="cofw",
        title="COFW",
        reader=cofw,
        scheme="cofw29",
        counts={"train": 1345, "test": 507},
        normalizer="inter_ocular",
        crops="PIPNet: given box, not enlarged",
        protocol="train on 1,345, test on 507; inter-ocular (and inter-pupil: HIH), failures beyond 10 %",
        layout="COFW_train_color.mat COFW_test_color.mat",
        source=SOURCE,
    ),
    Entry(
        name="cofw-grey",
        title="COFW, grey images",
        reader=functools.partial(cofw, color=False),
        scheme="cofw29",
        counts={"train": 1345, "test": 507},
        normalizer="inter_ocular",
        crops="PIPNet: given box, not enlarged",
        protocol="as cofw",
        layout="COFW_train.mat COFW_test.mat",
        source=SOURCE,
    ),
)
