"""Reader of JD-landmark (106 landmarks), the dataset of the Grand Challenge of 106-point Facial Landmark Localization.

    root/Training_data/{AFW,HELEN,IBUG,LFPW}/picture/NAME.jpg
    root/Training_data/{AFW,HELEN,IBUG,LFPW}/landmark/NAME.jpg.txt       106, then a line x y for each point
    root/Test_data/picture/NAME.jpg
    root/Test_data/landmark/NAME.jpg.txt

There are 11,393 training faces, 2,000 to validate and 2,000 to test (LOTR, Sec. 4.1). Every archive of the challenge has the
pairs of folders `picture` and `landmark`, but the names of the folders above them differ. So the pairs are looked for, and a
folder on the way whose name begins with "train", "val" or "test" says which part they are. To use the corrected training
landmarks, which were given out later, put their folders in place of the first ones.

Convention of the files: see `kfacealign.data.readers.point_files`. The boxes are the boxes of the landmarks. LOTR crops by five
points (`align="five_points"`) and divides errors by sqrt(width * height) of the landmarks' box.
"""

import os
from collections.abc import Sequence

from kfacealign import schemes
from kfacealign.data.faces import Dataset, Faces, joined
from kfacealign.data.readers import checks, folders
from kfacealign.data.readers.entry import Entry
from kfacealign.data.readers.point_files import read_folders

EXPECTED = {"train": 11_393, "val": 2_000, "test": 2_000}
DEPTH = 3  # levels of folders below root that are looked into
SOURCE = (
    "JD-landmark comes from the organisers of the 'Grand Challenge of 106-Point Facial Landmark Localization' (ICME 2019, "
    "and its second edition), who give it to researchers on request."
)


def jd106(root: str | os.PathLike, *, test: str = "test", strict: bool = False, missing: Sequence = ()) -> Dataset:
    """Reads JD-landmark below `root`; no image is opened.

    Args:
        root: the folder that holds the training and the test folders.
        test: the part to test on, "test" or "val".
        strict: whether other counts than the published ones, duplicates and files without counterpart raise; if not, they
            are warned of.
        missing: marks of points that are not annotated, in the coordinates of the files, such as `[(-1, -1)]`.

    Returns:
        A `Dataset`; a part whose folders are absent is empty.

    Raises:
        FileNotFoundError: there is no pair of folders `picture` and `landmark`.
        ValueError: a file is malformed; the message names file and line. Or a pair belongs to no part. With `strict`, see
            above.
    """
    if test not in ("test", "val"):
        raise ValueError(f"test is {test!r}, expected 'test' or 'val'")
    root, scheme = os.fspath(root), schemes.get("jd106")
    pairs = _pairs(root)
    parts = {}
    for part in ("train", test):
        read = [_read(root, folder, scheme, strict, missing) for folder in pairs if _part(root, folder) == part]
        parts[part] = joined(read) if read else Faces(scheme, [], [])
        checks.annotated("JD-landmark", parts[part], strict=strict)
    expected = {part: EXPECTED[part] for part in parts}
    checks.counts("JD-landmark", root, {part: len(faces) for part, faces in parts.items()}, expected, strict=strict)
    return Dataset(
        name="jd106",
        scheme=scheme,
        train=parts["train"],
        test=parts[test],
        subsets={},
        enlarge=1.25,
        normalizer="box",
    )


def _pairs(root):
    """The folders below root that hold `picture` and `landmark`."""
    pairs = []
    for folder, _ in folders.walk(root, depth=DEPTH) if os.path.isdir(root) else ():
        if all(os.path.isdir(os.path.join(folder, kind)) for kind in ("picture", "landmark")):
            pairs.append(folder)
    if not pairs:
        checks.require("JD-landmark", root, [f"Training_data/AFW/{kind}" for kind in ("picture", "landmark")], source=SOURCE)
    return pairs


def _part(root, folder):
    names = os.path.relpath(folder, root).lower().split(os.sep)
    for part in EXPECTED:
        if any(name.startswith(part) for name in names):
            return part
    raise ValueError(
        f"JD-landmark: {folder} holds picture and landmark, but no folder on the way from {root} begins with train, val or "
        "test: name the folder above it, or rename it"
    )


def _read(root, folder, scheme, strict, missing):
    images, landmarks = (os.path.join(folder, kind) for kind in ("picture", "landmark"))
    faces = read_folders(images, landmarks, name="JD-landmark", scheme=scheme, strict=strict, missing=missing)
    faces.names = [f"{os.path.relpath(folder, root)}/{name}".replace(os.sep, "/") for name in faces.names]
    return faces


ENTRIES = (
    Entry(
        name="jd106",
        title="JD-landmark",
        reader=jd106,
        scheme="jd106",
        counts={"train": 11_393, "test": 2_000},
        normalizer="box",
        crops="LOTR: five points (--align five_points)",
        protocol="train on 11,393, test on 2,000; failures beyond 8 %, area below 8 %",
        layout="Training_data/{AFW,HELEN,IBUG,LFPW}/{picture,landmark}/ Test_data/{picture,landmark}/",
        source=SOURCE,
    ),
)
