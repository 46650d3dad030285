"""Writer of menpo's landmark files, `.ljson` of version 3, beside the photographs: `PART/NAME.ljson`.

A face is a group, and its box is another; points are y before x, with the centre of the first pixel at (0, 0); see
`kfacealign.data.readers.ljson`.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kfacealign import schemes
from kfacealign.data.readers.ljson import BOX, HIDDEN
from kfacealign.data.writers.parts import Part, exact
from kfacealign.drawing import segments


def write(parts: Sequence[Part], folder: Path) -> list[str]:
    """Writes a `.ljson` beside every photograph.

    Args:
        parts: what `copy_photographs` returned, with photographs in the folders of their parts.
        folder: the folder.

    Returns:
        A sentence on what is lost: the names of points whose number does not tell the scheme.
    """
    for part in parts:
        flags, lines = part.flags(), [list(map(int, pair)) for pair in segments(part.faces.scheme)]
        for image, _, places in part.pictures():
            groups = {}
            for number, place in enumerate(places, start=1):
                name = "face" if len(places) == 1 else f"face_{number}"
                groups[name] = _face(part.faces.landmarks[place], flags[place], lines)
                groups[f"{name}_{BOX}"] = _box(part.faces.boxes[place])
            content = json.dumps({"version": 3, "groups": groups}, allow_nan=False)
            (folder / image).with_suffix(".ljson").write_text(content, encoding="utf-8")
    scheme = parts[0].faces.scheme
    if any(known == scheme for known in schemes.SCHEMES.values()):
        return []
    return [f"the names of the points are not in .ljson: reading it needs the --scheme, {scheme.name}"]


def _face(landmarks, flags, lines):
    points = [
        [exact(y, less=0.5), exact(x, less=0.5)] if flag else [None, None] for (x, y), flag in zip(landmarks, flags, strict=True)
    ]
    labels = [{"label": "all", "mask": list(range(len(points)))}]
    if (flags == 1).any():
        labels.append({"label": HIDDEN, "mask": np.flatnonzero(flags == 1).tolist()})
    return {"labels": labels, "landmarks": {"points": points, "connectivity": lines}}


def _box(box):
    """The box as menpo draws one: its corners in the order of their numbers, joined in a circle."""
    x0, y0, x1, y1 = (exact(value, less=0.5) for value in box)
    points = [[y0, x0], [y1, x0], [y1, x1], [y0, x1]]
    lines = [[0, 1], [1, 2], [2, 3], [3, 0]]
    return {"labels": [{"label": "all", "mask": [0, 1, 2, 3]}], "landmarks": {"points": points, "connectivity": lines}}
