"""Reader of the CSV lists that heatmap-regression code bases use (HRNet's), whichever dataset they were made of.

    image_name,scale,center_w,center_h,original_0_x,original_0_y,original_1_x ...
    helen/testset/296814969_3.jpg,1.25,...

`scale` and `center` give a box of 200 * scale pixels around the centre. AFLW's lists have one more column, `box_size`.
Columns are found by the names in the header; all columns after `center_h` are coordinates, x before y.

Convention of the files: a list follows its dataset. The lists of 300W, COFW and AFLW are 1-based (the centre of the first pixel
is (1, 1)), so our coordinates are the file's - 0.5. WFLW's are 0-based, so our coordinates are the file's + 0.5.
"""

import os
import re
from collections.abc import Sequence

import numpy as np

from kfacealign import schemes
from kfacealign.data.faces import Dataset, Faces
from kfacealign.data.readers import checks, folders, texts
from kfacealign.data.readers.entry import Entry
from kfacealign.data.readers.missing import known

BOX = ("scale", "center_w", "center_h")
REFERENCE = 200.0  # pixels of a box of scale 1
# What is added to the file's coordinates. Schemes that are not named here have 1-based lists: -0.5.
OFFSETS = {"wflw98": 0.5}
SUBSETS = {"challenge": "challenging"}  # subsets that have another name here than in the lists
SOURCE = (
    "The lists come with the code of HRNet for facial landmark detection (face_landmarks_300w_train.csv and the like); the "
    "photographs come from the datasets themselves and go to images/."
)


def csv_lists(
    root: str | os.PathLike,
    *,
    scheme: str | schemes.Scheme = "ibug68",
    images: str = "images",
    strict: bool = False,
    missing: Sequence = (),
) -> Dataset:
    """Reads the lists below `root`: `*_train.csv`, and `*_valid.csv` or `*_test.csv` with their subsets.

    Where there is a `*_valid.csv`, it is the test part and `*_valid_NAME.csv` are its subsets. 300W is such a case: its
    `*_test.csv` is the private test set. Where there is none, `*_test.csv` is the test part and `*_test_NAME.csv` are its
    subsets. A part without list is empty.

    Args:
        root: the folder of the lists.
        scheme: scheme of the landmarks, a name or a `Scheme`.
        images: the folder that the image names start from, relative to root.
        strict: whether duplicates and missing photographs raise; if not, they are warned of.
        missing: marks of points that are not annotated, in the coordinates of the files, such as `[(-1, -1)]`.

    Returns:
        A `Dataset` with the boxes of the lists.

    Raises:
        FileNotFoundError: there is no list.
        ValueError: a list is malformed; the message names it and the line. Or a face of a subset is not in the test list.
            With `strict`, see above.
    """
    root, scheme = os.fspath(root), schemes.get(scheme)
    found = folders.names(root) if os.path.isdir(root) else []
    paths = [os.path.join(root, name) for name in found if name.endswith(".csv")]
    lists = {re.sub(r".*?_(train|valid|test)", r"\1", os.path.basename(path)[:-4]): path for path in paths}
    part = "valid" if "valid" in lists else "test"
    if part not in lists and "train" not in lists:
        checks.require("CSV lists", root, ["face_landmarks_DATASET_train.csv", "face_landmarks_DATASET_test.csv"], source=SOURCE)
    options = {"scheme": scheme, "images": os.path.join(root, images), "missing": missing}
    read = {name: read_list(lists[name], **options) if name in lists else Faces(scheme, [], []) for name in ("train", part)}
    for faces in read.values():
        checks.annotated("CSV lists", faces, strict=strict)
    subsets = {}
    for name, path in lists.items():
        if name.startswith(f"{part}_"):
            name = name.removeprefix(f"{part}_")
            subsets[SUBSETS.get(name, name)] = _match(read_list(path, **options), read[part])
    return Dataset(
        name=os.path.basename(os.path.abspath(root)),
        scheme=scheme,
        train=read["train"],
        test=read[part],
        subsets=subsets,
        enlarge=1.25,
        normalizer=scheme.default_normalizer,
    )


def read_list(
    path: str | os.PathLike, *, scheme: str | schemes.Scheme = "ibug68", images: str = "", missing: Sequence = ()
) -> Faces:
    """Reads one list.

    Args:
        path: the CSV file.
        scheme: scheme of the landmarks, a name or a `Scheme`.
        images: the folder that image names start from.
        missing: marks of points that are not annotated, in the coordinates of the files, such as `[(-1, -1)]`.

    Returns:
        `Faces` with the boxes and the names of the list. A point whose fields are empty or `nan` is not annotated.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a column is missing, a line has another number of fields, a value is no finite number, or there is no
            face; the message names file and line.
    """
    path, scheme = os.fspath(path), schemes.get(scheme)
    names, values, lines, columns = _rows(path, scheme)
    offset = OFFSETS.get(scheme.name, -0.5)
    points = values[:, columns[-1] + 1 :].reshape(-1, scheme.num_points, 2) + offset
    scale, centre = values[:, columns[0]], values[:, columns[1:]] + offset
    origins = [f"{path}:{line}" for line in lines]
    points, weights = known(points, missing=missing, offset=offset, origins=origins)
    half = REFERENCE / 2 * scale[:, None]
    return Faces(
        scheme,
        images=[os.path.join(images, name) for name in names],
        landmarks=points,
        weights=weights,
        boxes=np.concatenate([centre - half, centre + half], axis=1),
        names=names,
        origins=origins,
    )


def _rows(path, scheme):
    """Image names, the numbers after them (N, columns), line numbers, and the places of `BOX` among the numbers."""
    if not os.path.exists(path):
        raise FileNotFoundError(f"{path} is missing: expected a list (CSV: image_name, scale, center_w, center_h, then x and y)")
    header, rows = texts.read_table(path)
    lacking = [name for name in ("image_name", *BOX) if name not in header]
    if lacking:
        raise ValueError(
            f"{path}:1: column {', '.join(lacking)} is missing; the header begins with {texts.shown(', '.join(header[:6]))}"
        )
    first = header.index("center_h") + 1
    coordinates = len(header) - first
    if coordinates != 2 * scheme.num_points:
        raise ValueError(
            f"{path}:1: expected {2 * scheme.num_points} columns of coordinates after center_h ({scheme.name}), found "
            f"{coordinates}: a column is missing, or the scheme is another"
        )
    if header[0] != "image_name":
        raise ValueError(f"{path}:1: expected image_name as the first column, found {texts.shown(header[0])}")
    texts.require_fields(path, header, rows)
    if not rows:
        raise ValueError(f"{path}: no face in it, expected a header and one line per face")
    columns = [f"column {name}" for name in header[1:]]
    points = slice(first - 1, None)
    values = np.array([texts.numbers(f"{path}:{line}", row[1:], columns, points=points) for line, row in rows])
    for line, row in rows:
        if not row[0].strip():
            raise ValueError(f"{path}:{line}: the image has no name")
    places = [header.index(name) - 1 for name in BOX]
    return [row[0] for _, row in rows], values, [line for line, _ in rows], places


def _match(subset, faces):
    """Positions in `faces` of the faces of a subset list, which are found by image and landmarks."""
    places = {
        (name, points.tobytes()): place for place, (name, points) in enumerate(zip(faces.names, faces.landmarks, strict=True))
    }
    found = []
    for name, points, origin in zip(subset.names, subset.landmarks, subset.origins, strict=True):
        if (name, points.tobytes()) not in places:
            raise ValueError(f"{origin}: no face of the test list is in {name} with these landmarks")
        found.append(places[name, points.tobytes()])
    return np.array(sorted(found), int)


ENTRIES = (
    Entry(
        name="csv",
        title="CSV lists (HRNet)",
        reader=csv_lists,
        scheme="",
        counts={},
        normalizer="the scheme's",
        crops="200 * scale pixels around the given centre",
        protocol="that of the dataset",
        layout="NAME_train.csv NAME_test.csv (or NAME_valid.csv) NAME_test_SUBSET.csv images/",
        source=SOURCE,
    ),
)
