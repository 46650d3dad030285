"""Reader of 300W (300 Faces in the Wild, 68 landmarks), as published.

    root/afw/                   337 photographs (.jpg), a .pts beside each: training
    root/helen/trainset/      2,000 (.jpg): training        root/helen/testset/      330: test, common
    root/lfpw/trainset/         811 (.png): training        root/lfpw/testset/       224: test, common
    root/ibug/                  135 (.jpg): test, challenging
    root/300W/01_Indoor/        300 (.png): the challenge's test set, private at its time
    root/300W/02_Outdoor/       300

That is the split that all compare on: 3,148 to train, 689 to test ("full": 554 "common", 135 "challenging").

Convention of the files: `.pts` is 1-based, so our coordinates are the file's - 0.5. The boxes are the boxes of the landmarks, as
in PIPNet, which enlarges them by 10 % (Sec. 4.1.2), and by 30 % in the cross-domain setting.
"""

import functools
import os
from collections.abc import Sequence

import numpy as np

from kfacealign import schemes
from kfacealign.data.faces import Dataset, Faces, joined
from kfacealign.data.readers import checks
from kfacealign.data.readers.entry import Entry
from kfacealign.data.readers.pts import read_folder

TRAIN = {"afw": 337, "helen/trainset": 2000, "lfpw/trainset": 811}
COMMON = {"helen/testset": 330, "lfpw/testset": 224}
CHALLENGING = {"ibug": 135}
PRIVATE = {"300W/01_Indoor": 300, "300W/02_Outdoor": 300}
SOURCE = (
    "300W comes from the page of the '300 Faces In-the-Wild Challenge' of iBUG, Imperial College London: the archives of "
    "AFW, HELEN, LFPW and IBUG with 68 points, and that of the challenge's own images, unpacked here."
)


def w300(root: str | os.PathLike, *, test: str = "public", strict: bool = False, missing: Sequence = ()) -> Dataset:
    """Reads 300W below `root`; no image is opened.

    Args:
        root: the folder that holds `afw`, `helen`, `lfpw` and `ibug`.
        test: "public" takes the 689 test faces, and "private" the 600 of the challenge (`300W/01_Indoor`,
            `300W/02_Outdoor`). With "private" the training folders may be absent.
        strict: whether other counts than the published ones and duplicates raise; if not, they are warned of.
        missing: marks of points that are not annotated, in the coordinates of the files, such as `[(-1, -1)]`.

    Returns:
        A `Dataset` with the subsets "common" and "challenging", or "indoor" and "outdoor".

    Raises:
        FileNotFoundError: a folder is missing, or has no annotated photograph; the message says what is expected where.
        ValueError: a `.pts` is malformed; the message names file and line. With `strict`, see above.
    """
    root = os.fspath(root)
    if test not in ("public", "private"):
        raise ValueError(f"test is {test!r}, expected 'public' or 'private'")
    if test == "private":
        subsets = {"indoor": {"300W/01_Indoor": 300}, "outdoor": {"300W/02_Outdoor": 300}}
        here = TRAIN if all(os.path.isdir(os.path.join(root, folder)) for folder in TRAIN) else {}
    else:
        subsets, here = {"common": COMMON, "challenging": CHALLENGING}, TRAIN
    tested = {folder: count for members in subsets.values() for folder, count in members.items()}
    expected = {**here, **tested}
    checks.require("300W", root, list(expected), source=SOURCE)
    scheme = schemes.get("ibug68")
    read = {folder: _folder(root, folder, scheme, missing) for folder in expected}
    checks.counts("300W", root, {folder: len(faces) for folder, faces in read.items()}, expected, strict=strict)
    train = joined([read[folder] for folder in here]) if here else Faces(scheme, [], [])
    faces = joined([read[folder] for folder in tested])
    for part in (train, faces):
        checks.annotated("300W", part, strict=strict)
    member = np.repeat(list(tested), [len(read[folder]) for folder in tested])
    return Dataset(
        name="300w",
        scheme=scheme,
        train=train,
        test=faces,
        subsets={name: np.flatnonzero(np.isin(member, list(members))) for name, members in subsets.items()},
        enlarge=1.25,
        normalizer="inter_ocular",
    )


def _folder(root, folder, scheme, missing):
    faces = read_folder(os.path.join(root, folder), scheme, missing=missing)
    faces.names = [f"{folder}/{name}" for name in faces.names]
    return faces


ENTRIES = (
    Entry(
        name="300w",
        title="300W",
        reader=w300,
        scheme="ibug68",
        counts={"train": 3148, "test": 689, "common": 554, "challenging": 135},
        normalizer="inter_ocular",
        crops="PIPNet: landmarks' box + 10 %; across datasets + 30 %",
        protocol="train on 3,148, test on common (HELEN, LFPW), challenging (IBUG) and full",
        layout="afw/ helen/trainset/ helen/testset/ lfpw/trainset/ lfpw/testset/ ibug/ (photographs with .pts)",
        source=SOURCE,
    ),
    Entry(
        name="300w-private",
        title="300W private test set",
        reader=functools.partial(w300, test="private"),
        scheme="ibug68",
        counts={"test": 600, "indoor": 300, "outdoor": 300},
        normalizer="box",
        crops="subpixel: face of about 220 px in 256",
        protocol="test on 600, indoor and outdoor; the training part is 300W's where it is there",
        layout="300W/01_Indoor/ 300W/02_Outdoor/ (photographs with .pts)",
        source=SOURCE,
    ),
)
