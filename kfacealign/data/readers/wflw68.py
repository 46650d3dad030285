"""Reader of WFLW-68: WFLW's faces with the 68 landmarks that its 98 determine (PIPNet, Sec. 4.1.1), for tests across datasets.

Layout and convention of the files are those of `kfacealign.data.readers.wflw`.

The boxes that WFLW gives reach higher up the forehead than the boxes of 300W and COFW-68. For crops of one style, PIPNet takes
away the top fifth of their height (Sec. 3.4) and enlarges what is left by 20 % (Sec. 4.1.2).
"""

import dataclasses
import os
from collections.abc import Sequence

from kfacealign import schemes
from kfacealign.conversions import convert
from kfacealign.data.faces import Dataset
from kfacealign.data.readers.entry import Entry
from kfacealign.data.readers.wflw import EXPECTED, wflw

LOWERED = 0.2  # share of the height of a box


def wflw68(root: str | os.PathLike, *, lowered: float = LOWERED, strict: bool = False, missing: Sequence = ()) -> Dataset:
    """Reads WFLW below `root` with 68 landmarks.

    Args:
        root: the folder that holds `WFLW_images` and `WFLW_annotations`.
        lowered: the share of a box's height that its top is lowered by; 0 keeps the published boxes.
        strict: see `wflw`.
        missing: marks of points that are not annotated, in the coordinates of the files, such as `[(-1, -1)]`.

    Returns:
        A `Dataset` with WFLW's subsets.

    Raises:
        FileNotFoundError: a folder or list is missing.
        ValueError: a line is malformed, or `lowered` is not in [0, 1).
    """
    if not 0 <= lowered < 1:
        raise ValueError(f"lowered is {lowered}, expected a share of the box's height, 0 or more and less than 1")
    dataset = wflw(root, strict=strict, missing=missing)
    parts = {}
    for part in ("train", "test"):
        faces = convert(getattr(dataset, part), "ibug68")
        faces.boxes[:, 1] += lowered * (faces.boxes[:, 3] - faces.boxes[:, 1])
        parts[part] = faces
    return dataclasses.replace(dataset, name="wflw68", scheme=schemes.get("ibug68"), **parts)


ENTRIES = (
    Entry(
        name="wflw68",
        title="WFLW-68",
        reader=wflw68,
        scheme="ibug68",
        counts=EXPECTED,
        normalizer="inter_ocular",
        crops="PIPNet: given box, top lowered by 20 % of its height, + 20 %",
        protocol="test of models trained on 300W; 68 points converted from 98",
        layout="as wflw",
        source="WFLW's files; the conversion is made here.",
    ),
)
