"""Reader of COCO's keypoint annotations, as COCO, MMPose and many tools write them, and `kfacealign align --format coco`.

    root/annotations/NAME_train.json NAME_val.json ...     or the .json files in root itself
    root/images/FILE_NAME                                  or beside the annotations, or in root/train2017 and the like

    {"images": [{"id": 1, "file_name": "a.jpg", "width": 640, "height": 480}, ...],
     "annotations": [{"image_id": 1, "category_id": 1, "keypoints": [x, y, v, ...], "bbox": [x, y, width, height]}, ...],
     "categories": [{"id": 1, "name": "face", "keypoints": ["left_eye", ...], "skeleton": [[1, 2], ...]}]}

A flag v is 0 for a point that is not annotated, 1 for one that is hidden, 2 for one that is visible. Where every flag is 0 or 1,
as in lists that were made from other datasets, 1 only says that the point is annotated.

Convention of the files: "each keypoint has a 0-indexed location", so the centre of the first pixel is (0, 0), and our coordinates
are the file's + 0.5. Boxes are measured from the outer top-left corner of the image, as ours are. Not all tools keep to that:
CVAT's COCO files have keypoints measured from the corner, too (`first_pixel=0.5`); MMPose's of 300W, COFW and AFLW have those of
the datasets (`first_pixel=1`).
"""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from kfacealign import schemes
from kfacealign.data.faces import Dataset
from kfacealign.data.readers import label_files
from kfacealign.data.readers.documents import entry, numbers, read_json
from kfacealign.data.readers.entry import Entry
from kfacealign.data.readers.named_points import scheme_of


def coco(
    root: str | os.PathLike,
    *,
    scheme: str | schemes.Scheme | None = None,
    first_pixel: float = 0.0,
    strict: bool = False,
    missing: Sequence = (),
) -> Dataset:
    """Reads the keypoint annotations of COCO's layout below `root`; no image is opened.

    The words train, val and test in the names of the files tell the parts, see `kfacealign.data.readers.label_files`. The scheme
    is the one whose points have the names of the category, else a scheme of these names; see `named_points.scheme_of`.

    Args:
        root: the folder, or one of its .json files.
        scheme: scheme of the landmarks, a name or a `Scheme`, where it has as many points as the files' categories.
        first_pixel: the coordinate that the centre of the first pixel has in the files' keypoints.
        strict: whether duplicates, missing photographs and faces without landmarks raise; if not, they are warned of.
        missing: marks of points that are not annotated, in the coordinates of the files, such as `[(-1, -1)]`.

    Returns:
        A `Dataset` with the boxes of the files; `occluded` is what the flags say, or None where they do not.

    Raises:
        FileNotFoundError: there is no file, or no face in them.
        ValueError: a file is malformed, categories have other points, or a photograph's name leads out of the folder; the message
            names the file. With `strict`, see above.
    """
    root, files = label_files.annotation_files(root, ".json")
    # COCO itself has files of other annotations beside those of keypoints.
    files = [path for path in files if "keypoints" in os.path.basename(path)] or files
    found, kinds, flags = label_files.Collected("COCO"), [], set()
    for path in files:
        content = read_json(path)
        categories = _categories(path, content, scheme)
        images = _images(path, content)
        folder = os.path.dirname(os.path.abspath(path))
        part = label_files.part_of(path)
        words = [os.path.join(base, word) for base in (root, os.path.join(root, "images")) for word in _words(path)]
        bases = label_files.image_folders(root, folder, *words)
        for number, row in enumerate(entry(path, content, "annotations", list, default=[])):
            origin = f"{path}, annotation {_identity(row, number)}"
            read = _annotation(origin, row, categories, images, first_pixel)
            if read is None:
                continue
            name, kind, points, values, box = read
            kinds.append((path, kind))
            flags |= set(values.tolist())
            image = label_files.find_image(bases, name)
            found.add(part, image, name, origin, points, hidden=values == 1, box=box)
    chosen = _only(root, kinds)
    options = {"offset": 0.5 - first_pixel, "missing": missing, "strict": strict, "says_hidden": {1, 2} <= flags}
    return found.dataset(root, chosen, **options)


def _words(path):
    """`train2017` of `person_keypoints_train2017.json`: a folder that COCO and CVAT keep the photographs in."""
    return os.path.splitext(os.path.basename(path))[0].split("_")


def _identity(row, number):
    identity = row.get("id") if isinstance(row, dict) else None
    return identity if isinstance(identity, int) and abs(identity) < 2**63 else f"number {number}"


def _categories(path, content, scheme) -> dict[Any, Any]:
    """Identity -> the names of its points and its lines; those without points are None."""
    found = {}
    for number, row in enumerate(entry(path, content, "categories", list, default=[])):
        where = f"{path}, category {number}"
        names = entry(where, row, "keypoints", list, default=[])
        lines = entry(where, row, "skeleton", list, default=[])
        if not all(isinstance(name, str) for name in names):
            raise ValueError(f"{where}: keypoints holds what is no name")
        pairs = [tuple(place - 1 for place in line) for line in lines if _is_line(line, len(names))]
        found[entry(where, row, "id", int)] = scheme_of(where, names, scheme=scheme, lines=pairs) if names else scheme
    return found


def _is_line(line, count):
    whole = isinstance(line, list) and len(line) == 2 and all(isinstance(place, int) for place in line)
    return whole and all(0 < place <= count for place in line)


def _images(path, content):
    """Identity of an image -> its name."""
    found = {}
    for number, row in enumerate(entry(path, content, "images", list)):
        where = f"{path}, image {number}"
        identity = entry(where, row, "id", (int, str))
        if identity in found:
            raise ValueError(f"{where}: the id {identity} is there twice")
        found[identity] = label_files.inside(where, entry(where, row, "file_name", str))
    return found


def _annotation(origin, row, categories, images, first_pixel):
    """Name of the photograph, scheme, points, flags and box of an annotation; None where no keypoint is annotated."""
    values = entry(origin, row, "keypoints", list, default=[])
    if not values:
        return None
    image, category = entry(origin, row, "image_id", (int, str)), row.get("category_id")
    if image not in images:
        raise ValueError(f"{origin}: image_id is {image}, which none of the images has")
    values = numbers(origin, values, what="keypoints")
    if len(values) % 3:
        raise ValueError(f"{origin}: keypoints has {len(values)} numbers, expected three a point: x, y, v")
    points, flags = values.reshape(-1, 3)[:, :2], values.reshape(-1, 3)[:, 2]
    if not np.isin(flags, (0, 1, 2)).all():
        raise ValueError(f"{origin}: a flag of keypoints is {flags[~np.isin(flags, (0, 1, 2))][0]:g}, expected 0, 1 or 2")
    if not flags.any():
        return None
    kind = categories.get(category) if isinstance(category, int | None) else None
    if not isinstance(kind, tuple):
        kind = scheme_of(origin, [str(point) for point in range(len(points))], scheme=kind)
    scheme, order = kind
    if len(order) != len(points):
        raise ValueError(f"{origin}: {len(points)} keypoints, its category has {len(order)}")
    points = np.where((flags > 0)[:, None], points, np.nan)[order] + 0.5 - first_pixel
    if np.isnan(points).any(1).sum() != (flags == 0).sum():
        raise ValueError(f"{origin}: keypoints has null for a point whose flag says that it is annotated")
    return images[image], scheme, points, flags[order], _box(origin, row)


def _box(origin, row):
    """x0, y0, x1, y1 of an annotation; None where it has none, or one of no size."""
    if not row.get("bbox"):
        return None
    x, y, width, height = numbers(origin, row["bbox"], what="bbox", count=4)
    return np.array([x, y, x + width, y + height]) if width > 0 and height > 0 else None


def _only(root, kinds):
    """The scheme of all faces.

    Raises:
        ValueError: there are several.
    """
    if not kinds:
        raise FileNotFoundError(f"COCO: {root}: no annotation in its files has keypoints")
    path, first = kinds[0]
    for other, scheme in kinds:
        if scheme != first:
            raise ValueError(f"{other}: keypoints of {scheme.name} beside those of {first.name} ({path}): keep one category")
    return first


ENTRIES = (
    Entry(
        name="coco",
        title="COCO keypoints (JSON)",
        reader=coco,
        scheme="",
        names_points=True,
        counts={},
        normalizer="the scheme's",
        crops="landmarks' box",
        protocol="parts by the words train, val and test in the names of the files, else a tenth of the photographs is held out",
        layout="annotations/NAME_train.json NAME_val.json (or one NAME.json) images/",
        source="Your own; COCO, MMPose, CVAT, Label Studio and kfacealign datasets convert write such files.",
    ),
)
