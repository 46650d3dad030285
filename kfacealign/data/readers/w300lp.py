"""Reader of 300W-LP (300W across Large Poses, 68 landmarks), for pre-training.

    root/{AFW,HELEN,IBUG,LFPW}/NAME.jpg                      61,225 photographs of 450 x 450 pixels, turned in 3D
    root/{AFW,HELEN,IBUG,LFPW}_Flip/NAME.jpg                 their mirror images
    root/landmarks/{AFW,HELEN,IBUG,LFPW}/NAME_pts.mat        pts_2d (68 x 2); pts_3d is not read

Convention of the files: they follow MATLAB and are 1-based, so our coordinates are the file's - 0.5. A mirror image
gets the landmarks of its original, mirrored: x -> 450 - x, then the scheme's permutation. The boxes are the boxes of the
landmarks. (The paper 'Subpixel heatmap regression' gives 61,125 photographs; the published archive holds 61,225.)
"""

import os
from collections.abc import Sequence

import numpy as np

from kfacealign import schemes
from kfacealign.data.faces import Dataset, Faces, joined
from kfacealign.data.readers import checks, folders, matlab
from kfacealign.data.readers.entry import Entry
from kfacealign.data.readers.missing import known

EXPECTED = {"AFW": 5207, "HELEN": 37676, "IBUG": 1786, "LFPW": 16556}
SIDE = 450  # pixels of every photograph
SOURCE = (
    "300W-LP comes from the page of 'Face Alignment Across Large Poses: A 3D Solution' (CVPR 2016; 3DDFA), 300W-LP.zip, "
    "unpacked here."
)


def w300lp(root: str | os.PathLike, *, flips: bool = False, strict: bool = False, missing: Sequence = ()) -> Dataset:
    """Reads 300W-LP below `root`; no image is opened. It takes a minute, because each face has a file of its own.

    Args:
        root: the folder that holds `AFW`, `HELEN`, `IBUG`, `LFPW` and `landmarks`.
        flips: whether the mirror images are read as well (122,450 faces). Training mirrors at random anyway.
        strict: whether other counts than the published ones and photographs without landmarks raise; if not, they are
            warned of.
        missing: marks of points that are not annotated, in the coordinates of the files, such as `[(-1, -1)]`.

    Returns:
        A `Dataset` of training faces; the test part is empty.

    Raises:
        FileNotFoundError: a folder is missing.
        ValueError: a file is malformed; the message names it. With `strict`, see above.
    """
    root, scheme = os.fspath(root), schemes.get("ibug68")
    checks.require("300W-LP", root, [*EXPECTED, "landmarks"], source=SOURCE)
    parts = {}
    for folder in EXPECTED:
        parts[folder] = _folder(root, folder, scheme, strict, missing)
        if flips:
            parts[f"{folder}_Flip"] = _flipped(root, folder, parts[folder], strict)
    expected = EXPECTED | {f"{folder}_Flip": count for folder, count in EXPECTED.items() if flips}
    checks.counts("300W-LP", root, {folder: len(faces) for folder, faces in parts.items()}, expected, strict=strict)
    return Dataset(
        name="300w-lp",
        scheme=scheme,
        train=joined(parts.values()),
        test=Faces(scheme, [], []),
        subsets={},
        enlarge=1.25,
        normalizer="inter_ocular",
    )


def _folder(root, folder, scheme, strict, missing):
    """The faces of one folder, which are its photographs that have landmarks."""
    images = {name[: -len(".jpg")] for name in folders.names(os.path.join(root, folder)) if name.endswith(".jpg")}
    points = os.path.join(root, "landmarks", folder)
    checks.require("300W-LP", root, [os.path.join("landmarks", folder)], source=SOURCE)
    annotated = {name[: -len("_pts.mat")] for name in folders.names(points) if name.endswith("_pts.mat")}
    names = sorted(images & annotated)
    lonely = {"photographs without landmarks": images - annotated, "landmarks without photograph": annotated - images}
    for what, only in lonely.items():
        if only:
            where = os.path.join(root, folder)
            checks.report(f"300W-LP: {where}: {len(only):,} {what}: {checks.shown(sorted(only))}", strict=strict)
    paths = [os.path.join(points, f"{name}_pts.mat") for name in names]
    landmarks = np.array([_points(path) for path in paths]).reshape(-1, 68, 2) - 0.5
    landmarks, weights = known(landmarks, missing=missing, offset=-0.5, origins=paths, strict=strict)
    faces = Faces(
        scheme,
        images=[os.path.join(root, folder, f"{name}.jpg") for name in names],
        landmarks=landmarks,
        weights=weights,
        names=[f"{folder}/{name}" for name in names],
        origins=paths,
    )
    checks.annotated("300W-LP", faces, strict=strict, sizes=np.full((len(faces), 2), SIDE))
    return faces


def _points(path):
    (points,) = matlab.load_numbers(path, ["pts_2d"])
    if points.shape != (68, 2):
        raise ValueError(f"{path}: pts_2d is {points.shape}, expected (68, 2)")
    return points


def _flipped(root, folder, faces, strict):
    folder = f"{folder}_Flip"
    checks.require("300W-LP", root, [folder], source=SOURCE)
    landmarks = faces.landmarks[:, list(faces.scheme.mirror)] * np.float32([-1, 1]) + np.float32([SIDE, 0])
    images = [os.path.join(root, folder, os.path.basename(image)) for image in faces.images]
    flipped = Faces(
        faces.scheme,
        images=images,
        landmarks=landmarks,
        weights=faces.weights[:, list(faces.scheme.mirror)],
        names=[f"{folder}/{os.path.basename(name)}" for name in faces.names],
        origins=faces.origins,
    )
    missing = checks.missing_images(flipped)
    if missing:
        checks.report(f"300W-LP: {len(missing):,} photographs are missing: {checks.shown(missing)}", strict=strict)
    return flipped


ENTRIES = (
    Entry(
        name="300w-lp",
        title="300W-LP",
        reader=w300lp,
        scheme="ibug68",
        counts={"train": 61_225},
        normalizer="inter_ocular",
        crops="subpixel: face of about 220 px in 256",
        protocol="pre-training only; no test faces",
        layout="AFW/ HELEN/ IBUG/ LFPW/ (.jpg), with _Flip beside them, landmarks/FOLDER/NAME_pts.mat",
        source=SOURCE,
    ),
)
