"""Reader of AFLW-19: AFLW's photographs with the 19 landmarks and the split that all compare on.

    root/AFLWinfo_release.mat                 bbox (24386 x 4), data (24386 x 38), mask_new (24386 x 19), nameList, ra
    root/data/flickr/{0,2,3}/image*.jpg       AFLW's photographs (or root/flickr/...)

A row of `data` holds 19 x and 19 y; a row of `bbox` holds x_min, x_max, y_min, y_max. A row of `mask_new` holds 1 where a point
is visible; hidden points are annotated all the same. `ra` is a permutation of the faces, counted from 1: the first 20,000 are
for training, the other 4,386 are the test faces ("full"). All points are visible in 1,314 of the test faces, which are the
subset "frontal".

Convention of the files: they follow MATLAB and are 1-based, so our coordinates are the file's - 0.5. PIPNet crops by the given
boxes without enlarging them, and divides errors by the side of that crop (Sec. 4.1). To do so, crop by `box="file"` with
enlargement 1, and measure by "image".
"""

import os
from collections.abc import Sequence

import numpy as np

from kfacealign import schemes
from kfacealign.data.faces import Dataset, Faces
from kfacealign.data.readers import checks, matlab
from kfacealign.data.readers.entry import Entry
from kfacealign.data.readers.missing import known

INFO = "AFLWinfo_release.mat"
PHOTOGRAPHS = (os.path.join("data", "flickr"), "flickr")
VARIABLES = ("bbox", "data", "mask_new", "nameList", "ra")
TRAIN = 20_000
EXPECTED = {"train": 20_000, "test": 4_386, "frontal": 1_314}
POINTS = 19
SOURCE = (
    "AFLWinfo_release.mat comes from the page of 'Unconstrained Face Alignment via Cascaded Compositional Learning' (CVPR "
    "2016); the photographs are those of AFLW, which the Institute of Computer Graphics and Vision in Graz gives to "
    "researchers on request."
)


def aflw(root: str | os.PathLike, *, strict: bool = False, missing: Sequence = ()) -> Dataset:
    """Reads AFLW-19 below `root`; no image is opened.

    Args:
        root: the folder that holds `AFLWinfo_release.mat` and `data/flickr`.
        strict: whether other counts than the published ones, duplicates and missing photographs raise; if not, they are
            warned of.
        missing: marks of points that are not annotated, in the coordinates of the files, such as `[(-1, -1)]`.

    Returns:
        A `Dataset` with the published boxes and the subset "frontal"; `occluded` marks the points that are not visible.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is malformed; the message names the variable and the row. With `strict`, see above.
    """
    root = os.fspath(root)
    here = next((folder for folder in PHOTOGRAPHS if os.path.isdir(os.path.join(root, folder))), PHOTOGRAPHS[0])
    checks.require("AFLW-19", root, [INFO, here], source=SOURCE)
    faces, order = read_info(os.path.join(root, INFO), images=os.path.join(root, here), missing=missing)
    train, test = faces[order[:TRAIN]], faces[order[TRAIN:]]
    frontal = np.flatnonzero(~test.occluded.any(1))
    found = {"train": len(train), "test": len(test), "frontal": len(frontal)}
    checks.counts("AFLW-19", root, found, EXPECTED, strict=strict)
    for part in (train, test):
        checks.annotated("AFLW-19", part, strict=strict)
    return Dataset(
        name="aflw",
        scheme=schemes.get("aflw19"),
        train=train,
        test=test,
        subsets={"frontal": frontal},
        enlarge=1.25,
        normalizer="image",
    )


def read_info(path: str | os.PathLike, *, images: str = "flickr", missing: Sequence = ()) -> tuple[Faces, np.ndarray]:
    """All faces of `AFLWinfo_release.mat`, and the permutation that splits them.

    Args:
        path: the file.
        images: the folder that image names start from.
        missing: see `aflw`.

    Returns:
        `Faces`, and (N,) positions from 0, of which the first 20,000 are for training.

    Raises:
        ValueError: an array has another shape, or `ra` is no permutation.
    """
    box, points, visible, order = matlab.load_numbers(path, [name for name in VARIABLES if name != "nameList"])
    (names,) = matlab.load(path, ["nameList"])
    count = len(points)
    for name, array, columns in (("bbox", box, 4), ("data", points, 2 * POINTS), ("mask_new", visible, POINTS)):
        if array.shape != (count, columns):
            raise ValueError(f"{path}: {name} is {array.shape}, expected ({count}, {columns})")
    names = [_name(path, row, cell) for row, cell in enumerate(names.ravel(), start=1)]
    order = order.ravel() - 1
    if len(names) != count or not np.array_equal(np.sort(order), np.arange(count)):
        raise ValueError(
            f"{path}: nameList has {len(names)} names and ra {len(order)} positions; expected {count} of each, ra a permutation"
        )
    origins = [f"{path}: row {row}" for row in range(1, count + 1)]
    landmarks = np.stack([points[:, :POINTS], points[:, POINTS:]], axis=-1) - 0.5
    landmarks, weights = known(landmarks, missing=missing, offset=-0.5, origins=origins)
    faces = Faces(
        "aflw19",
        images=[os.path.join(images, *name.split("/")) for name in names],
        landmarks=landmarks,
        weights=weights,
        boxes=box[:, [0, 2, 1, 3]] - 0.5,
        names=names,
        origins=origins,
        occluded=visible == 0,
    )
    return faces, order.astype(int)


def _name(path, row, cell):
    """A name, taken out of as many cells as MATLAB put it in."""
    while isinstance(cell, np.ndarray) and cell.size == 1:
        cell = cell.ravel()[0]
    if not isinstance(cell, str) or not cell.strip() or "\0" in cell:
        raise ValueError(f"{path}: row {row}: nameList holds no name of a photograph there")
    return str(cell).replace("\\", "/")


ENTRIES = (
    Entry(
        name="aflw",
        title="AFLW-19",
        reader=aflw,
        scheme="aflw19",
        counts={"train": 20_000, "test": 4_386, "frontal": 1_314},
        normalizer="image",
        crops="PIPNet: given box, not enlarged",
        protocol="train on 20,000, test on full and frontal, by the side of the crop",
        layout="AFLWinfo_release.mat data/flickr/{0,2,3}/*.jpg",
        source=SOURCE,
    ),
)
