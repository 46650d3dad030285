"""Reader of menpo's landmark files, `.ljson` of version 2 or 3, beside their images.

    NAME.jpg NAME.ljson        in train/ and test/ or anywhere below root

    {"version": 3, "groups": {"face": {"labels": [{"label": "all", "mask": [0, 1, ...]}],
                                       "landmarks": {"points": [[y, x], ...], "connectivity": [[0, 1], ...]}}}}

Version 2 has `labels` and `landmarks` at its top: it is one group. A group is a face; one of four points is a box where its
name has that word, or where another group has more points: `face_1_box` is the box of `face_1`. A point that is `[null, null]` is
not annotated; a point in the mask of a label "hidden" is hidden.

Convention of the files: y before x, and the centre of the first pixel is (0, 0), as menpo's images are indexed (its reader of
`.pts` takes 1 off), so our coordinates are the file's + 0.5, those of boxes as well.
"""

import os
import warnings
from collections.abc import Sequence

import numpy as np

from kfacealign import schemes
from kfacealign.data.faces import Dataset
from kfacealign.data.readers import checks, folders, label_files, texts
from kfacealign.data.readers.documents import entry, numbers, read_json
from kfacealign.data.readers.entry import Entry
from kfacealign.data.readers.named_points import by_count
from kfacealign.files import IMAGE_SUFFIXES
from kfacealign.landmark_scheme import MOST_POINTS

HIDDEN = "hidden"
BOX = "box"  # the word in the name of a group that is the box of a face
CORNERS = 4


def ljson(
    root: str | os.PathLike,
    *,
    scheme: str | schemes.Scheme | None = None,
    strict: bool = False,
    missing: Sequence = (),
) -> Dataset:
    """Reads the `.ljson` files below `root` that lie beside an image; no image is opened.

    The folder train is the training part, the folder test or val the test part; without them a tenth of the images is.

    Args:
        root: the folder.
        scheme: scheme of the landmarks, a name or a `Scheme`. None takes the one of this package with so many points.
        strict: whether duplicates, files without image and faces without landmarks raise; if not, they are warned of.
        missing: marks of points that are not annotated, (x, y) in the coordinates of the files, such as `[(-1, -1)]`.

    Returns:
        A `Dataset`; `occluded` is what labels "hidden" say, or None where there is none.

    Raises:
        FileNotFoundError: there is no .ljson with an image beside it.
        ValueError: a file is malformed, of another version, or has faces of other points; the message names it. With `strict`,
            see above.
    """
    root = os.fspath(root)
    chosen = None if scheme is None else schemes.get(scheme)
    found, own = label_files.Collected("ljson"), None
    for path, image in _pairs(root):
        folder = os.path.dirname(os.path.relpath(path, root)).split(os.sep)[0]
        part = folder if folder in ("train", "val", "test") else ""
        name = os.path.splitext(label_files.text_of_name(image, root))[0]
        groups = _groups(path)
        for group, (points, hidden) in groups.items():
            if _is_box(group, points, groups):
                continue
            origin = f"{path}, group {texts.shown(group)}"
            own = own or by_count(origin, len(points), chosen)
            if len(points) != own.num_points:
                raise ValueError(f"{origin}: {len(points)} points, {own.name} has {own.num_points}")
            found.add(part, image, name, origin, points + 0.5, hidden=hidden, box=_box(group, groups))
    return found.dataset(root, own or chosen or schemes.get("ibug68"), offset=0.5, missing=missing, strict=strict)


def _pairs(root):
    """Sorted pairs of an .ljson and the image beside it; what has no counterpart is warned of."""
    if not os.path.isdir(root):
        raise FileNotFoundError(f"{root} is no directory. Expected images with .ljson files beside them")
    pairs, lonely = [], []
    for folder, files in folders.walk(root):
        images = {}
        for file in files:
            if file.lower().endswith(IMAGE_SUFFIXES):
                images.setdefault(os.path.splitext(file)[0], []).append(file)
        for file in files:
            stem, suffix = os.path.splitext(file)
            if suffix.lower() != ".ljson":
                continue
            path, beside = os.path.join(folder, file), images.get(stem, [])
            if len(beside) > 1:
                raise ValueError(f"{path}: {' and '.join(beside)} are beside it, their pairing is ambiguous: remove one")
            if beside:
                pairs.append((path, os.path.join(folder, beside[0])))
            else:
                lonely.append(path)
    if lonely:
        warnings.warn(f"{root}: {len(lonely)} .ljson without an image, left out: {checks.shown(sorted(lonely))}", stacklevel=4)
    if not pairs:
        raise FileNotFoundError(f"{root} holds no image with a .ljson file beside it: expected NAME.jpg and NAME.ljson")
    return sorted(pairs)


def _groups(path):
    """Name of a group -> its points (K, 2) as (x, y) in the coordinates of the file, and their hidden flags."""
    content = read_json(path)
    version = entry(path, content, "version", int)
    if version == 2:
        return {"LJSON": _group(path, content)}
    if version == 3:
        groups = entry(path, content, "groups", dict)
        return {name: _group(f"{path}, group {texts.shown(name)}", group) for name, group in groups.items()}
    raise ValueError(f"{path}: version {version} of .ljson, expected 2 or 3: menpo reads it and writes version 3")


def _group(where, group):
    rows = entry(where, entry(where, group, "landmarks", dict), "points", list)
    if len(rows) > MOST_POINTS:
        raise ValueError(f"{where}: {len(rows):,} points in a face")
    points = np.array([numbers(where, row, what=f"point {place}", count=2) for place, row in enumerate(rows)]).reshape(-1, 2)
    half = np.isnan(points).sum(1) == 1
    if half.any():
        raise ValueError(f"{where}: point {int(np.argmax(half))} has one coordinate, expected both or, as null, neither")
    hidden = np.zeros(len(points), bool)
    for label in entry(where, group, "labels", list, default=[]):
        if entry(where, label, "label", str) == HIDDEN:
            for place in entry(where, label, "mask", list):
                if not isinstance(place, int) or not 0 <= place < len(points):
                    raise ValueError(f"{where}: the mask of {HIDDEN} holds a point that is none of its {len(points)}")
                hidden[place] = True
    return points[:, ::-1], hidden


def _is_box(group, points, groups):
    """Whether a group is a box: by its name, or as it has four points and another group has more."""
    others = any(len(other) > CORNERS for other, _ in groups.values())
    return len(points) == CORNERS and (BOX in group.lower() or others)


def _box(face, groups):
    """x0, y0, x1, y1 of the box that belongs to a group: `NAME_box`, or the only one of the only face; None where none does."""
    boxes = {
        group: points for group, (points, _) in groups.items() if _is_box(group, points, groups) and not np.isnan(points).any()
    }
    alone = len(boxes) == 1 and len(groups) == 2
    points = boxes.get(f"{face}_{BOX}", next(iter(boxes.values())) if alone else None)
    return None if points is None else np.concatenate([points.min(0), points.max(0)]) + 0.5


ENTRIES = (
    Entry(
        name="ljson",
        title="menpo (.ljson)",
        reader=ljson,
        scheme="",
        names_points=True,
        counts={},
        normalizer="the scheme's",
        crops="landmarks' box",
        protocol="train/ and test/, or a tenth of the photographs is held out",
        layout="NAME.jpg NAME.ljson, anywhere below",
        source="Your own; menpo's export_landmark_file and landmarker.io write such files.",
    ),
)
