"""Reader of WFLW (Wider Facial Landmarks in-the-wild, 98 landmarks), as published.

    root/WFLW_images/...                                                          the photographs
    root/WFLW_annotations/list_98pt_rect_attr_train_test/list_98pt_rect_attr_{train,test}.txt
    root/WFLW_annotations/list_98pt_test/list_98pt_test_{largepose,expression,illumination,makeup,occlusion,blur}.txt

A line of the first two lists holds 196 coordinates x0 y0 ... x97 y97, the face box x_min y_min x_max y_max, six flags (pose,
expression, illumination, make-up, occlusion, blur) and the image's path below `WFLW_images`. A line of a subset list holds
196 coordinates and the path.

Convention of the files: coordinates are 0-based with integers at pixel centres (the centre of the first pixel is (0, 0)), so
our coordinates are the file's + 0.5, for landmarks and boxes alike.
"""

import os
import warnings
from collections.abc import Sequence

import numpy as np

from kfacealign import schemes
from kfacealign.data.faces import FURTHEST, Dataset, Faces
from kfacealign.data.readers import checks, folders, texts
from kfacealign.data.readers.entry import Entry
from kfacealign.data.readers.missing import known

IMAGES = "WFLW_images"
LISTS = os.path.join("WFLW_annotations", "list_98pt_rect_attr_train_test", "list_98pt_rect_attr_{}.txt")
SUBSET_LISTS = os.path.join("WFLW_annotations", "list_98pt_test", "list_98pt_test_{}.txt")
# The names that the subsets have here, in the order of the flags, and the names of their lists.
SUBSETS = {
    "pose": "largepose",
    "expression": "expression",
    "illumination": "illumination",
    "makeup": "makeup",
    "occlusion": "occlusion",
    "blur": "blur",
}
EXPECTED = {"train": 7500, "test": 2500, "pose": 326, "expression": 314, "illumination": 698, "makeup": 206, "occlusion": 736}
EXPECTED["blur"] = 773
COORDINATES = 196
SAME_FACE = 0.01  # pixels; a subset list repeats the numbers of the test list up to their rounding


def wflw(root: str | os.PathLike, *, strict: bool = False, missing: Sequence = ()) -> Dataset:
    """Reads the WFLW annotations below `root`; no image is opened.

    As published, WFLW holds 7,500 training and 2,500 test faces, and the subsets pose 326, expression 314, illumination 698,
    makeup 206, occlusion 736 and blur 773. Other counts are accepted; `Dataset.summary()` says what was read. A subset comes
    from its list, whose faces are found in the test list by image and coordinates. Where there is no list, the subset comes
    from the flags. Where list and flags disagree, the list is used and a warning counts the faces.

    Args:
        root: the folder that holds `WFLW_images` and `WFLW_annotations`.
        strict: whether other counts than the published ones, duplicates and missing photographs raise.
        missing: marks of points that are not annotated, in the coordinates of the files, such as `[(-1, -1)]`.

    Returns:
        A `Dataset` with the published boxes, the `subsets` "pose", "expression", "illumination", "makeup", "occlusion" and
        "blur", and `enlarge` 1.25: the square around the landmarks' box, enlarged by a quarter.

    Raises:
        FileNotFoundError: a folder or list is missing; the message says what is expected where.
        ValueError: a line is malformed; the message names it with its file. With `strict`, see above.
    """
    root = os.fspath(root)
    for path in (IMAGES, LISTS.format("train"), LISTS.format("test")):
        if not os.path.exists(os.path.join(root, path)):
            raise FileNotFoundError(_missing(root, path))
    parts = {}
    for part in ("train", "test"):
        rows, paths, lines = _read_list(os.path.join(root, LISTS.format(part)), COORDINATES + 4 + len(SUBSETS))
        parts[part] = _faces(root, os.path.join(root, LISTS.format(part)), rows, paths, lines, missing)
    subsets = _subsets(root, parts["test"], missing)
    if strict:
        found = {name: len(faces) for name, faces in [*parts.items(), *subsets.items()]}
        checks.counts("WFLW", root, found, EXPECTED, strict=strict)
        for faces in parts.values():
            checks.annotated("WFLW", faces, strict=strict)
    return Dataset(
        name="wflw",
        scheme=schemes.get("wflw98"),
        train=parts["train"],
        test=parts["test"],
        subsets=subsets,
        enlarge=1.25,
        normalizer="inter_ocular",
    )


def _missing(root, path):
    """The message for a missing path: what was expected, what is there instead, and where WFLW comes from."""
    found = f"{root} is no directory"
    if os.path.isdir(root):
        found = f"{root} holds {', '.join(folders.names(root)[:8]) or 'nothing'}"
    return (
        f"WFLW: {os.path.join(root, path)} is missing ({found}).{checks.level_hint(root, [path])} "
        f"Expected below {root}: {IMAGES}/ and "
        f"{LISTS.format('train')} and {LISTS.format('test')}, as unpacked from the images and the annotations archives "
        "of the WFLW project page ('Look at Boundary: A Boundary-Aware Face Alignment Algorithm', CVPR 2018). "
        "The embedded synthetic faces need no download: kfacealign.data.write_wflw(folder) writes them in this layout."
    )


def _read_list(path, numbers):
    """Reads lines of `numbers` numbers and an image path.

    Returns:
        (N, numbers) float64, whose coordinates of points may be NaN; N relative image paths and N line numbers.
    """
    lines = texts.read_lines(path)
    rows = _quick_rows([text for _, text in lines], numbers)
    if rows is not None:
        return rows, [text.rpartition(" ")[2] for _, text in lines], [line for line, _ in lines]
    # A list with anything odd is read field by field, to name the field.
    fields = [(line, text.split()) for line, text in lines]
    for line, row in fields:
        if len(row) != numbers + 1:
            expected = f"{numbers + 1} fields ({numbers} numbers and an image path)"
            raise ValueError(f"{path}:{line}: expected {expected}, found {len(row)}")
    columns, points = [f"field {position}" for position in range(1, numbers + 1)], slice(COORDINATES)
    rows = [texts.numbers(f"{path}:{line}", row[:-1], columns, points=points) for line, row in fields]
    return np.reshape(rows, (-1, numbers)), [row[-1] for _, row in fields], [line for line, _ in fields]


def _quick_rows(lines, numbers):
    """The numbers of well-formed lines, (N, numbers) float64; None if one of them is malformed, whichever it is."""
    if not lines or any(text.count(" ") != numbers or "  " in text for text in lines):
        return None
    joint = " ".join(text.rpartition(" ")[0] for text in lines)
    if not texts.plain(joint):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)  # older NumPy warns of text that is no number, and stops there
        try:
            values = np.fromstring(joint, sep=" ")
        except (ValueError, DeprecationWarning):
            return None
    # No field is empty, so a field that holds no number, or two as in "1.2.3", changes the count.
    if values.size != len(lines) * numbers or not (np.abs(values) <= FURTHEST).all():
        return None
    return values.reshape(-1, numbers)


def _faces(root, path, rows, paths, lines, missing):
    origins = [f"{path}:{line}" for line in lines]
    if not paths:
        raise ValueError(f"{path}: the list is empty, expected one face per line")
    flags = rows[:, COORDINATES + 4 :]
    bad = ~np.isin(flags, (0, 1)).all(1)
    if bad.any():
        face = int(np.flatnonzero(bad)[0])
        raise ValueError(f"{origins[face]}: fields 201 to 206 are flags of 0 or 1, found {flags[face].tolist()}")
    landmarks, weights = known(_points(rows), missing=missing, offset=0.5, origins=origins)
    return Faces(
        "wflw98",
        images=[os.path.join(root, IMAGES, name) for name in paths],
        landmarks=landmarks,
        weights=weights,
        boxes=rows[:, COORDINATES : COORDINATES + 4] + 0.5,
        attributes={name: flags[:, i] == 1 for i, name in enumerate(SUBSETS)},
        names=paths,
        origins=origins,
    )


def _points(rows):
    return (rows[:, :COORDINATES] + 0.5).reshape(-1, COORDINATES // 2, 2)


def _subsets(root, test, missing):
    by_image = {}
    for face, name in enumerate(test.names):
        by_image.setdefault(name, []).append(face)
    subsets = {}
    for name, list_name in SUBSETS.items():
        flagged = np.flatnonzero(test.attributes[name])
        path = os.path.join(root, SUBSET_LISTS.format(list_name))
        if os.path.exists(path):
            subsets[name] = _match(path, test, by_image, missing)
            differ = np.setxor1d(subsets[name], flagged)
            if len(differ):
                warnings.warn(
                    f"{path}: {len(differ)} faces are in the list but not flagged '{name}' in the test list, or the "
                    f"reverse (first: {test.names[differ[0]]}); the subset follows the list",
                    stacklevel=3,
                )
        else:
            subsets[name] = flagged
    return subsets


def _match(path, test, by_image, missing):
    """Positions in `test` of the faces of a subset list. Coordinates decide, because an image may hold several faces."""
    rows, names, lines = _read_list(path, COORDINATES)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the test list has the same points, and has been warned of
        landmarks, _ = known(_points(rows), missing=missing, offset=0.5, origins=[path] * len(rows))
    landmarks = np.nan_to_num(landmarks, nan=0)  # as `Faces` keeps points that are not annotated
    positions = set()
    for points, name, line in zip(landmarks, names, lines, strict=True):
        candidates = by_image.get(name, [])
        distances = [np.abs(test.landmarks[face] - points).max() for face in candidates]
        if not candidates or min(distances) > SAME_FACE:
            raise ValueError(
                f"{path}:{line}: no face of the test list is in {name} with these landmarks "
                f"({len(candidates)} faces of that image are in {os.path.basename(LISTS.format('test'))})"
            )
        positions.add(candidates[int(np.argmin(distances))])
    return np.array(sorted(positions), int)


ENTRIES = (
    Entry(
        name="wflw",
        title="WFLW",
        reader=wflw,
        scheme="wflw98",
        counts=EXPECTED,
        normalizer="inter_ocular",
        crops="PIPNet: given box + 20 %",
        protocol="train on 7,500, test on 2,500 and six subsets; failures beyond 10 %, area below 10 %",
        layout="WFLW_images/ WFLW_annotations/list_98pt_rect_attr_train_test/ WFLW_annotations/list_98pt_test/",
        source="WFLW comes from its project page ('Look at Boundary', CVPR 2018): the images and the annotations, unpacked here.",
    ),
)
