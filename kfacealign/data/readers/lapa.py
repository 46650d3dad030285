"""Reader of LaPa (Landmark guided face Parsing dataset, 106 landmarks), as published.

    root/{train,val,test}/images/NAME.jpg
    root/{train,val,test}/landmarks/NAME.txt       106, then a line x y for each point
    root/{train,val,test}/labels/NAME.png          segmentation, not read

There are 18,176 faces to train, 2,000 to validate and 2,000 to test. The boxes are the boxes of the landmarks.

Convention of the files: see `kfacealign.data.readers.point_files`.
"""

import os
from collections.abc import Sequence

from kfacealign import schemes
from kfacealign.data.faces import Dataset
from kfacealign.data.readers import checks
from kfacealign.data.readers.entry import Entry
from kfacealign.data.readers.point_files import read_folders

EXPECTED = {"train": 18_176, "val": 2_000, "test": 2_000}
SOURCE = (
    "LaPa comes from the repository lapa-dataset of JD AI Research ('A New Dataset and Boundary-Attention Semantic "
    "Segmentation for Face Parsing', AAAI 2020)."
)


def lapa(root: str | os.PathLike, *, test: str = "test", strict: bool = False, missing: Sequence = ()) -> Dataset:
    """Reads LaPa below `root`; no image is opened.

    Args:
        root: the folder that holds `train`, `val` and `test`.
        test: the part to test on, "test" or "val".
        strict: whether other counts than the published ones, duplicates and files without counterpart raise; if not, they
            are warned of.
        missing: marks of points that are not annotated, in the coordinates of the files, such as `[(-1, -1)]`.

    Returns:
        A `Dataset` of the training faces and that part.

    Raises:
        FileNotFoundError: a folder is missing.
        ValueError: a file is malformed; the message names file and line. With `strict`, see above.
    """
    if test not in ("test", "val"):
        raise ValueError(f"test is {test!r}, expected 'test' or 'val'")
    root, scheme, parts = os.fspath(root), schemes.get("jd106"), {}
    checks.require(
        "LaPa", root, [f"{part}/{kind}" for part in ("train", test) for kind in ("images", "landmarks")], source=SOURCE
    )
    for part in ("train", test):
        pair = [os.path.join(root, part, kind) for kind in ("images", "landmarks")]
        parts[part] = read_folders(*pair, name="LaPa", scheme=scheme, strict=strict, missing=missing)
        checks.annotated("LaPa", parts[part], strict=strict)
    expected = {part: EXPECTED[part] for part in parts}
    checks.counts("LaPa", root, {part: len(faces) for part, faces in parts.items()}, expected, strict=strict)
    return Dataset(
        name="lapa",
        scheme=scheme,
        train=parts["train"],
        test=parts[test],
        subsets={},
        enlarge=1.25,
        normalizer="box",
    )


ENTRIES = (
    Entry(
        name="lapa",
        title="LaPa-106",
        reader=lapa,
        scheme="jd106",
        counts={"train": 18_176, "test": 2_000},
        normalizer="box",
        crops="none of the five",
        protocol="train on 18,176, validate and test on 2,000 each",
        layout="{train,val,test}/{images,landmarks}/",
        source=SOURCE,
    ),
)
