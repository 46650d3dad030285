"""Reader of Label Studio's JSON exports of images with keypoints.

    root/NAME.json              root/images/PHOTOGRAPH, or the photographs in root itself
    root/label_config.xml       the labelling interface, if it is there: it tells all points and their order

    [{"data": {"image": "/data/local-files/?d=images/a.jpg"},
      "annotations": [{"result": [
        {"id": "b1", "type": "rectanglelabels", "original_width": 640, "original_height": 480, "value": {"x": 10, ...}},
        {"id": "k1", "type": "keypointlabels", "parentID": "b1", "original_width": 640, "original_height": 480,
         "value": {"x": 50.0, "y": 25.0, "width": 0.5, "keypointlabels": ["left_eye"]}}, ...]}]}]

The points of a face are those that have been dragged into one rectangle (`parentID`), which is its box. Where no point is in a
rectangle, all points of a task are one face. A point whose region has the choice "hidden" is hidden; one that is not there is not
annotated. Of several annotations of a task, the ground truth counts, else the latest.

Convention of the files: x and y are percent of the image's width and height from its outer top-left corner, so our coordinates
are x / 100 * original_width and y / 100 * original_height.
"""

import os
import re
from collections.abc import Sequence
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np

from kfacealign import schemes
from kfacealign.data.faces import Dataset
from kfacealign.data.readers import label_files, texts
from kfacealign.data.readers.documents import entry, number, read_json, read_xml
from kfacealign.data.readers.entry import Entry
from kfacealign.data.readers.named_points import natural, scheme_of
from kfacealign.files import IMAGE_SUFFIXES

CONFIG = "label_config.xml"
HIDDEN = "hidden"
UPLOADED = re.compile(r"[0-9a-f]{8}-(?=.)")  # what Label Studio puts before the name of a file that is uploaded


def labelstudio(
    root: str | os.PathLike,
    *,
    scheme: str | schemes.Scheme | None = None,
    strict: bool = False,
    missing: Sequence = (),
) -> Dataset:
    """Reads Label Studio's JSON exports below `root`; no image is opened.

    The words train and test in the names of the files tell the parts.

    Args:
        root: the folder, or one of its .json files.
        scheme: scheme of the landmarks, a name or a `Scheme`, where its points have the labels' names, or are as many.
        strict: whether duplicates, missing photographs and faces without landmarks raise; if not, they are warned of.
        missing: marks of points that are not annotated, in pixels, such as `[(-1, -1)]`.

    Returns:
        A `Dataset` with the rectangles as boxes; `occluded` is None where no point is hidden.

    Raises:
        FileNotFoundError: there is no file, or no keypoint in it.
        ValueError: a file is malformed, a label is twice in a face, an image is rotated, or a photograph's name leads out of the
            folder; the message names file and task. With `strict`, see above.
    """
    root, files = label_files.annotation_files(root, ".json")
    tasks = [task for path in files for task in _tasks(path)]
    names = _names(root, tasks)
    if not names:
        raise FileNotFoundError(f"Label Studio: {root}: no keypoint has a label in its .json files")
    given = None if scheme is None else schemes.get(scheme)
    if given is not None and set(names) <= set(given.point_names):
        names = list(given.point_names)
    own, order = scheme_of(files[0], names, scheme=given)
    places = {name: place for place, name in enumerate(names)}
    found, bases = label_files.Collected("Label Studio"), label_files.image_folders(root)
    for path, where, url, faces in tasks:
        image, name = _photograph(where, url, bases)
        for face, (points, box) in enumerate(faces):
            landmarks, hidden = np.full((len(names), 2), np.nan), np.zeros(len(names), bool)
            for label, (place, flag) in points.items():
                landmarks[places[label]], hidden[places[label]] = place, flag
            origin = where if len(faces) == 1 else f"{where}, face {face}"
            found.add(label_files.part_of(path), image, name, origin, landmarks[order], hidden=hidden[order], box=box)
    return found.dataset(root, own, offset=0.0, missing=missing, strict=strict)


def _tasks(path):
    """(file, place, URL of the image, faces) of each task; a face is a dict of label -> (x, y), hidden, and its box."""
    content = read_json(path)
    if not isinstance(content, list):
        raise ValueError(f"{path}: no list of tasks: export from Label Studio as JSON")
    found = []
    for position, task in enumerate(content):
        identity = task.get("id") if isinstance(task, dict) else None
        where = f"{path}, task {identity if isinstance(identity, int) and abs(identity) < 2**63 else f'number {position}'}"
        data = entry(where, task, "data", dict)
        if not isinstance(task.get("annotations"), list):
            raise ValueError(f"{where}: annotations is absent or no list: export from Label Studio as JSON, not as JSON-MIN")
        faces = _faces(where, _latest(where, task["annotations"]))
        if faces:
            found.append((path, where, _url(where, data), faces))
    return found


def _latest(where, annotations):
    """The results of the annotation that counts."""
    alive = [one for one in annotations if entry(where, one, "result", list, default=[]) and one.get("was_cancelled") is not True]
    if not alive:
        return []
    return max(alive, key=lambda one: (one.get("ground_truth") is True, str(one.get("created_at", ""))))["result"]


def _url(where, data):
    """The URL of a task's image: the value of image, or the first that ends like an image."""
    texts_of = {key: value for key, value in data.items() if isinstance(value, str)}
    likely = [value for value in texts_of.values() if value.lower().partition("?")[0].endswith(IMAGE_SUFFIXES) or "?d=" in value]
    found = texts_of.get("image") or next(iter(likely), None)
    if not found:
        raise ValueError(f"{where}: no image in its data")
    return found


def _faces(where, results):
    points, boxes, hidden = [], {}, set()
    for place, result in enumerate(results):
        at = f"{where}, result {place}"
        kind = entry(at, result, "type", str, default="none")
        identity = result.get("id") if isinstance(result.get("id"), str) else None
        if kind == "keypointlabels":
            parent = result.get("parentID") if isinstance(result.get("parentID"), str) else None
            points.append((at, identity, parent, *_point(at, result)))
        elif kind == "rectanglelabels":
            boxes[identity] = _box(at, result)
        elif kind == "choices" and HIDDEN in entry(at, entry(at, result, "value", dict), "choices", list, default=[]):
            hidden.add(identity)
    faces = {}
    for at, identity, parent, label, place in points:
        parent = parent if parent in boxes else None
        face = faces.setdefault(parent, {})
        if label in face:
            raise ValueError(
                f"{at}: the label {texts.shown(label)} is twice in a face: in a picture of several faces, draw a rectangle "
                "around each, and drag its points into it in Label Studio's list of regions"
            )
        face[label] = place, identity is not None and identity in hidden
    if list(faces) == [None] and len(boxes) == 1:
        return [(faces[None], next(iter(boxes.values())))]
    return [(face, boxes.get(parent)) for parent, face in faces.items()]


def _point(at, result):
    """Label and (x, y) in pixels of a keypoint."""
    value = entry(at, result, "value", dict)
    labels = entry(at, value, "keypointlabels", list)
    if len(labels) != 1 or not isinstance(labels[0], str):
        raise ValueError(f"{at}: keypointlabels has {len(labels)} labels, expected the name of one point")
    return labels[0], np.array([number(at, value, "x"), number(at, value, "y")]) / 100 * _size(at, result)


def _box(at, result):
    """x0, y0, x1, y1 in pixels of a rectangle; None where it is turned or has no size."""
    value = entry(at, result, "value", dict)
    x, y, width, height = (number(at, value, key) for key in ("x", "y", "width", "height"))
    if value.get("rotation") or width <= 0 or height <= 0:
        return None
    return np.array([x, y, x + width, y + height]) / 100 * np.tile(_size(at, result), 2)


def _size(at, result):
    """(width, height) of the image that a result belongs to."""
    if result.get("image_rotation"):
        raise ValueError(f"{at}: the image is rotated in Label Studio, where its points are measured otherwise: rotate it back")
    size = np.array([number(at, result, f"original_{side}") for side in ("width", "height")])
    if not (size >= 1).all():
        raise ValueError(f"{at}: an image of {size[0]:g} x {size[1]:g} pixels")
    return size


def _names(root, tasks):
    """The labels of points: those of the labelling interface, or the ones found, sorted."""
    seen = {label for *_, faces in tasks for points, _ in faces for label in points}
    config = os.path.join(root, CONFIG)
    if not os.path.isfile(config):
        return sorted(seen, key=natural)
    told = []
    for control in read_xml(config, "View", ("KeyPointLabels",)):
        told += [label.attributes.get("value", "") for label in control.all("Label")]
    return [*told, *sorted(seen - set(told), key=natural)]


def _photograph(where, url, bases):
    """Path and name of the photograph that a URL means."""
    try:
        parts = urlsplit(url)
        local = parse_qs(parts.query).get("d") if parts.path.endswith("/data/local-files/") else None
    except ValueError as error:
        raise ValueError(f"{where}: {texts.shown(url)} is no address of an image ({error})") from None
    if local:
        steps = local[0].replace("\\", "/").strip("/").split("/")
        names = ["/".join(steps[first:]) for first in range(len(steps))]
    elif parts.scheme or parts.path.startswith("/"):
        last = unquote(parts.path).rpartition("/")[2]
        names = [last, UPLOADED.sub("", last, count=1)]
    else:
        names = [url]
    names = [label_files.inside(where, name) for name in dict.fromkeys(names)]
    paths = [label_files.find_image(bases, name) for name in names]
    return next(((path, name) for path, name in zip(paths, names, strict=True) if os.path.isfile(path)), (paths[0], names[0]))


ENTRIES = (
    Entry(
        name="labelstudio",
        title="Label Studio (JSON)",
        reader=labelstudio,
        scheme="",
        names_points=True,
        counts={},
        normalizer="the scheme's",
        crops="landmarks' box",
        protocol="parts by the words train and test in the names of the files, else a tenth of the photographs is held out",
        layout="NAME.json images/ (and label_config.xml, the labelling interface)",
        source="Your own; Label Studio exports a project so, as JSON.",
    ),
)
