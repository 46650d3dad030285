"""Reader of YOLO-pose datasets, as Ultralytics lays them out.

    root/data.yaml                     train: images/train    val: images/val    kpt_shape: [68, 3]    kpt_names: {0: [...]}
    root/images/train/a.jpg            root/labels/train/a.txt: a line for each face
    class x y width height x0 y0 v0 x1 y1 v1 ...

`v` is 0 for a point that is not annotated, 1 for one that is hidden, 2 for one that is visible; with `kpt_shape: [68, 2]` there
is none, and a point with a negative coordinate is not annotated.

Convention of the files: the centre of the box, its sides and the points are fractions of the width and height of the upright
image from its outer top-left corner: 1 is the opposite edge. So our coordinates are the file's times width and height. Labels
that Ultralytics' converter made of COCO's keypoints are half a pixel too small in both, as it divides COCO's indices of pixels.
"""

import os
import warnings
from collections.abc import Sequence

import numpy as np

from kfacealign import plain_yaml, schemes
from kfacealign.data import images
from kfacealign.data.faces import Dataset
from kfacealign.data.readers import checks, folders, label_files, texts
from kfacealign.data.readers.entry import Entry
from kfacealign.data.readers.named_points import scheme_of
from kfacealign.files import IMAGE_SUFFIXES
from kfacealign.landmark_scheme import MOST_POINTS

BOX = ("class", "x", "y", "width", "height")


def yolo(
    root: str | os.PathLike,
    *,
    scheme: str | schemes.Scheme | None = None,
    strict: bool = False,
    missing: Sequence = (),
) -> Dataset:
    """Reads a YOLO-pose dataset; of every image only the size is read.

    Args:
        root: the folder of data.yaml, or that file.
        scheme: scheme of the landmarks, a name or a `Scheme`, where it has as many points as the files.
        strict: whether duplicates, images that cannot be read and faces without landmarks raise; if not, they are warned of.
        missing: marks of points that are not annotated, in pixels, such as `[(0, 0)]`.

    Returns:
        A `Dataset` with the boxes of the files; its test part is test, or val where there is none. `occluded` is what the flags
        say, or None where they are not 1 and 2 both.

    Raises:
        FileNotFoundError: there is no data.yaml, a folder that it names is missing, or there is no face.
        ValueError: a file is malformed, or a path leads out of the folder; the message names it and the line. With `strict`, see
            above.
    """
    path = _description(os.fspath(root))
    root, (content, _) = os.path.dirname(path) or ".", plain_yaml.read(path)
    count, axes = _shape(path, content.get("kpt_shape"))
    names = _names(path, content.get("kpt_names"), count)
    own, order = scheme_of(path, names, scheme=scheme, mirror=_mirror(path, content.get("flip_idx"), count))
    found, flags, unreadable = label_files.Collected("YOLO"), set(), []
    columns = [*BOX, *(f"{axis}{point}" for point in range(count) for axis in "xyv"[:axes])]
    for part in ("train", "val", "test"):
        for image in _images(_bases(path, root, content.get("path")), path, content.get(part)):
            lines = _lines(image)
            size = images.size(image) if lines else (0, 0)
            if lines and not all(size):
                unreadable.append(image)
                continue
            for number, line in lines:
                origin = f"{_label(image)}:{number}"
                values = _row(origin, line, columns)
                points, seen, box = _face(origin, values, axes, np.array(size))
                flags |= set(seen.tolist())
                name = label_files.text_of_name(image, root)
                found.add(part, image, name, origin, points[order], hidden=seen[order] == 1, box=box)
    if unreadable:
        message = f"YOLO: {len(unreadable):,} images cannot be read, their faces are left out: {checks.shown(unreadable)}"
        checks.report(message, strict=strict)
    return found.dataset(root, own, offset=0.0, missing=missing, strict=strict, says_hidden={1, 2} <= flags)


def _description(root):
    if os.path.isfile(root):
        return root
    found = [name for name in folders.names(root) if name.lower().endswith((".yaml", ".yml"))] if os.path.isdir(root) else []
    if "data.yaml" in found or len(found) == 1:
        return os.path.join(root, "data.yaml" if "data.yaml" in found else found[0])
    told = f"holds {checks.shown(found)}" if found else "holds no .yaml file"
    raise FileNotFoundError(f"YOLO: {root} {told}; expected data.yaml with train:, val: and kpt_shape:")


def _shape(path, shape):
    whole = isinstance(shape, list) and len(shape) == 2 and all(type(side) is int for side in shape)
    if not whole or not 0 < shape[0] <= MOST_POINTS or shape[1] not in (2, 3):
        raise ValueError(
            f"{path}: kpt_shape is {texts.shown(repr(shape))[1:-1]}, expected [points, 2 or 3]: a dataset of poses has it"
        )
    return shape


def _names(path, names, count):
    """The names of the points, which classes share; numbers where there are none."""
    lists = list(names.values()) if isinstance(names, dict) else [names] if names else []
    if not lists:
        return [str(point) for point in range(count)]
    first = lists[0]
    if not isinstance(first, list) or len(first) != count or any(other != first for other in lists):
        raise ValueError(f"{path}: kpt_names has not {count} names, the same for each class")
    if not all(isinstance(name, str | int | float) and not isinstance(name, bool) for name in first):
        raise ValueError(f"{path}: kpt_names holds what is no name")
    return [str(name) for name in first]


def _mirror(path, flip, count):
    if flip is None:
        return None
    if not isinstance(flip, list) or len(flip) != count or not all(type(place) is int for place in flip):
        raise ValueError(f"{path}: flip_idx has not {count} whole numbers")
    return flip


def _bases(path, root, told):
    """The folders that images are told from: that of data.yaml, and the one in it that `path` names."""
    if not isinstance(told, str) or os.path.isabs(told) or ".." in told.split("/") or not told.strip("./ "):
        return [root]
    return [root, os.path.join(root, label_files.inside(path, told.rstrip("/")))]


def _images(bases, path, told):
    """Paths of the images of a part: those in the folders that data.yaml names, or in the lists."""
    for name in told if isinstance(told, list) else [told] if told else []:
        if not isinstance(name, str):
            raise ValueError(f"{path}: {texts.shown(repr(name))[1:-1]} is no folder of images")
        name = name.rstrip("/").removeprefix("../")  # as Roboflow writes it; Ultralytics takes it off, too
        below = "." if name in ("", ".") else label_files.inside(path, name)
        places = [os.path.join(base, below) for base in bases]
        place = next((place for place in places if os.path.exists(place)), places[0])
        if os.path.isdir(place):
            for folder, files in folders.walk(place):
                yield from (os.path.join(folder, file) for file in files if file.lower().endswith(IMAGE_SUFFIXES))
            _report_lonely(place)
        elif name.endswith(".txt"):
            for number, line in texts.read_lines(place):
                yield label_files.find_image(bases, label_files.inside(f"{place}:{number}", line))
        else:
            raise FileNotFoundError(f"{path}: {place} is missing")


def _label(image):
    """The path of an image's labels: labels/ for the last images/ in it, and .txt for its suffix."""
    before, images_, after = image.rpartition(f"{os.sep}images{os.sep}")
    return os.path.splitext(f"{before}{os.sep}labels{os.sep}{after}" if images_ else image)[0] + ".txt"


def _report_lonely(place):
    """Warns of labels that have no image."""
    labels = os.path.dirname(_label(os.path.join(place, "x.jpg")))
    if labels == place or not os.path.isdir(labels):
        return
    stems = {
        os.path.splitext(os.path.relpath(os.path.join(folder, file), place))[0]
        for folder, files in folders.walk(place)
        for file in files
    }
    paths = [os.path.join(folder, file) for folder, files in folders.walk(labels) for file in files if file.endswith(".txt")]
    lonely = [path for path in paths if os.path.splitext(os.path.relpath(path, labels))[0] not in stems]
    if lonely:
        warnings.warn(f"YOLO: {len(lonely)} .txt without an image, left out: {checks.shown(lonely)}", stacklevel=4)


def _lines(image):
    label = _label(image)
    return texts.read_lines(label) if os.path.isfile(label) else []


def _row(origin, line, columns):
    words = line.split()
    if len(words) != len(columns):
        raise ValueError(f"{origin}: {len(words)} numbers, expected {len(columns)}: class, box, {len(columns) - 5} of the points")
    return texts.numbers(origin, words, columns)


def _face(origin, values, axes, size):
    """Points in pixels, their flags and the box of a line; the flags are 2 where the file has none."""
    rows = values[5:].reshape(-1, axes)
    seen = rows[:, 2] if axes == 3 else np.where((rows < 0).any(1), 0.0, 2.0)
    if not np.isin(seen, (0, 1, 2)).all():
        raise ValueError(f"{origin}: a flag of a point is {seen[~np.isin(seen, (0, 1, 2))][0]:g}, expected 0, 1 or 2")
    points = np.where((seen > 0)[:, None], rows[:, :2], np.nan) * size
    x, y, width, height = values[1:5]
    if width <= 0 or height <= 0:
        return points, seen, None
    return points, seen, np.array([x - width / 2, y - height / 2, x + width / 2, y + height / 2]) * np.tile(size, 2)


ENTRIES = (
    Entry(
        name="yolo",
        title="YOLO-pose (Ultralytics)",
        reader=yolo,
        scheme="",
        names_points=True,
        counts={},
        normalizer="the scheme's",
        crops="landmarks' box",
        protocol="train and test, or val where there is no test",
        layout="data.yaml images/train/ images/val/ labels/train/ labels/val/",
        source="Your own; Ultralytics trains on it, and Roboflow, CVAT and Label Studio export it.",
    ),
)
