"""Reader of COFW-68: COFW's test faces, annotated again with 68 landmarks and their occlusion.

    root/test_annotations/1_points.mat ... 507_points.mat     Points (68 x 2), Occ (1 x 68)
    root/cofw68_test_bboxes.mat                               bboxes (507 x 4): x, y, width, height
    root/COFW_test_color.mat                                  COFW's images, which may be in another folder

File number n annotates image n of COFW's test file, counted from 1. There are test faces only.

Convention of the files: they follow MATLAB and are 1-based, so our coordinates are the file's - 0.5. PIPNet enlarges the given
boxes by 30 % in its cross-domain setting (Sec. 4.1.2).
"""

import os
from collections.abc import Sequence

import numpy as np

from kfacealign import schemes
from kfacealign.data.faces import Dataset, Faces
from kfacealign.data.readers import checks, matlab
from kfacealign.data.readers.cofw import corners, file_names
from kfacealign.data.readers.entry import Entry
from kfacealign.data.readers.missing import known

COUNT = 507
ANNOTATIONS = "test_annotations"
BOXES = "cofw68_test_bboxes.mat"
SOURCE = (
    "COFW-68 comes from the repository cofw68-benchmark of Golnaz Ghiasi ('Occlusion Coherence: Detecting and Localizing "
    "Occluded Faces', 2015); the images are those of COFW's test file, COFW_test_color.mat."
)


def cofw68(
    root: str | os.PathLike, *, images: str | os.PathLike | None = None, strict: bool = False, missing: Sequence = ()
) -> Dataset:
    """Reads COFW-68 below `root`; no image is decoded.

    Args:
        root: the folder of the annotations.
        images: COFW's test file, or the folder that holds it. None looks for it in root.
        strict: whether duplicates, boxes outside of the image and other counts than 507 raise; if not, they are warned of.
        missing: marks of points that are not annotated, in the coordinates of the files, such as `[(-1, -1)]`.

    Returns:
        A `Dataset` without training faces; the test faces have `occluded` and the published boxes.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is malformed; the message names it. With `strict`, see above.
    """
    images = os.fspath(root if images is None else images)
    if not images.endswith(".mat"):
        names = [file_names(color=color)["test"] for color in (True, False)]
        here = [name for name in names if os.path.exists(os.path.join(images, name))]
        checks.require("COFW-68 (its images)", images, (here or names)[:1], source=SOURCE)
        images = os.path.join(images, here[0])
    sizes = matlab.image_sizes(images)
    faces = read_annotations(root, images=images, strict=strict, missing=missing)
    if len(sizes) != len(faces):
        raise ValueError(f"{images} holds {len(sizes)} images, {root} annotates {len(faces)}: they must be COFW's test images")
    checks.annotated("COFW-68", faces, strict=strict, sizes=sizes)
    return Dataset(
        name="cofw68",
        scheme=schemes.get("ibug68"),
        train=Faces("ibug68", [], []),
        test=faces,
        subsets={},
        enlarge=1.25,
        normalizer="inter_ocular",
    )


def read_annotations(
    root: str | os.PathLike,
    *,
    images: str | os.PathLike = "COFW_test_color.mat",
    strict: bool = False,
    missing: Sequence = (),
) -> Faces:
    """The annotations and boxes alone, for predictions that were made elsewhere; COFW's images need not be there.

    Args:
        root: the folder of the annotations.
        images: the path that the faces' images are named after.
        strict: whether another count than 507 raises; if not, it is warned of.
        missing: see `cofw68`.

    Returns:
        `Faces` with `occluded`, named by the numbers of the annotations, from 1.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is malformed; the message names it.
    """
    root = os.fspath(root)
    checks.require("COFW-68", root, [ANNOTATIONS, BOXES], source=SOURCE)
    (boxes,) = matlab.load_numbers(os.path.join(root, BOXES), ["bboxes"])
    if boxes.ndim != 2 or boxes.shape[1] != 4 or not len(boxes):
        raise ValueError(f"{os.path.join(root, BOXES)}: bboxes is {boxes.shape}, expected (507, 4)")
    paths = [os.path.join(root, ANNOTATIONS, f"{number}_points.mat") for number in range(1, len(boxes) + 1)]
    missing = [path for path in paths if not os.path.exists(path)]
    checks.counts("COFW-68", root, {"boxes": len(boxes)}, {"boxes": COUNT}, strict=strict)
    if missing:
        which = f"{len(missing)} of the {len(boxes)} annotations are missing: {checks.shown(missing)}"
        raise FileNotFoundError(f"COFW-68: {which}. {SOURCE}")
    points, occluded = zip(*(_read(path) for path in paths), strict=True)
    landmarks, weights = known(np.stack(points) - 0.5, missing=missing, offset=-0.5, origins=paths, strict=strict)
    return Faces(
        "ibug68",
        images=[f"{images}#{place}" for place in range(len(paths))],
        landmarks=landmarks,
        weights=weights,
        boxes=corners(boxes),
        names=[str(number) for number in range(1, len(paths) + 1)],
        origins=paths,
        occluded=np.stack(occluded),
    )


def _read(path):
    points, occluded = matlab.load_numbers(path, ["Points", "Occ"])
    if points.shape != (68, 2) or occluded.size != 68:
        raise ValueError(f"{path}: Points is {points.shape} and Occ {occluded.shape}, expected (68, 2) and (1, 68)")
    return points, occluded.ravel()


ENTRIES = (
    Entry(
        name="cofw68",
        title="COFW-68",
        reader=cofw68,
        scheme="ibug68",
        counts={"test": 507},
        normalizer="inter_ocular",
        crops="PIPNet: given box + 30 %",
        protocol="test only, of models trained on 300W",
        layout="test_annotations/N_points.mat cofw68_test_bboxes.mat COFW_test_color.mat",
        source=SOURCE,
    ),
)
