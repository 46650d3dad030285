"""Reader of CVAT's "for images" XML (version 1.1): skeletons, or shapes of several points.

    root/annotations.xml
    root/images/NAME           or root/images/SUBSET/NAME

    <image id="0" name="a.jpg" subset="train" width="640" height="480">
      <skeleton label="face" group_id="1"><points label="left_eye" outside="0" occluded="1" points="10.50,20.00"/>...</skeleton>
      <box label="face_box" group_id="1" xtl="1.00" ytl="2.00" xbr="30.00" ybr="40.00"/>
      <points label="face" points="10.50,20.00;30.00,20.00;..."/>
    </image>

A point of a skeleton that is `outside` is not annotated, one that is `occluded` is hidden. The box of a face is the box in its
group, or else that of its landmarks.

Convention of the files: CVAT's canvas begins at the outer top-left corner of the image and ends at (width, height), for points as
for boxes, so our coordinates are the file's. CVAT writes two decimals.
"""

import os
from collections.abc import Sequence

import numpy as np

from kfacealign import schemes
from kfacealign.data.faces import Dataset
from kfacealign.data.readers import label_files, texts
from kfacealign.data.readers.documents import Element, read_xml
from kfacealign.data.readers.entry import Entry
from kfacealign.data.readers.named_points import natural, scheme_of

CORNERS = ("xtl", "ytl", "xbr", "ybr")


def cvat(
    root: str | os.PathLike,
    *,
    scheme: str | schemes.Scheme | None = None,
    strict: bool = False,
    missing: Sequence = (),
) -> Dataset:
    """Reads CVAT's XML files for images below `root`; no image is opened.

    The parts are told by the images' subsets, or by the names of the files. The order of the points is that of the labels in the
    file's head, or that of their names where it has none.

    Args:
        root: the folder, or the .xml file in it.
        scheme: scheme of the landmarks, a name or a `Scheme`, where it has as many points as the files' faces.
        strict: whether duplicates, missing photographs and faces without landmarks raise; if not, they are warned of.
        missing: marks of points that are not annotated, in the coordinates of the files, such as `[(-1, -1)]`.

    Returns:
        A `Dataset`; `occluded` is what the skeletons say, or None where no point is hidden.

    Raises:
        FileNotFoundError: there is no file, or no face in it.
        ValueError: a file is malformed, faces have other points, or a photograph's name leads out of the folder; the message
            names file and line. With `strict`, see above.
    """
    root, files = label_files.annotation_files(root, ".xml")
    found, kinds = label_files.Collected("CVAT"), []
    for path in files:
        part, names = _head(path)
        kind = {label: scheme_of(path, list(places), scheme=scheme) for label, places in names.items() if places}
        for image in read_xml(path, "annotations", ("image",)):
            where, subset = f"{path}:{image.line}", image.attributes.get("subset", "")
            name = label_files.inside(where, image.attributes.get("name", ""))
            file = label_files.find_image(_bases(root, path, where, subset), name)
            boxes = _boxes(path, image)
            for face in (*image.all("skeleton"), *image.all("points")):
                read = _skeleton(path, face, names, kind) if face.tag == "skeleton" else _shape(path, face, scheme)
                if read is None:
                    continue
                points, hidden, own = read
                kinds.append(own)
                if own != kinds[0]:
                    raise ValueError(f"{path}:{face.line}: points of {own.name} beside those of {kinds[0].name}: keep one kind")
                box = boxes.get(face.attributes.get("group_id"))
                options = {"hidden": hidden, "box": box}
                found.add(label_files.part_of(subset) or part, file, name, f"{path}:{face.line}", points, **options)
    if not kinds:
        raise FileNotFoundError(f"CVAT: {root}: no skeleton and no shape of several points in its files")
    return found.dataset(root, kinds[0], offset=0.0, missing=missing, strict=strict)


def _head(path):
    """The part of a file; and for each label of skeletons a dict of the names of its points -> their places."""
    part, told, seen = label_files.part_of(path), {}, {}
    for element in read_xml(path, "annotations", ("label", "subset", "track", "skeleton")):
        if element.tag == "track":
            raise ValueError(f"{path}:{element.line}: a track: export the task as 'CVAT for images 1.1', not 'for video'")
        if element.tag == "subset":
            part = label_files.part_of(element.text) or part
        elif element.tag == "skeleton":
            own = seen.setdefault(element.attributes.get("label", ""), set())
            own |= {point.attributes.get("label", "") for point in element.all("points")}
        elif element.text_of("parent"):
            told.setdefault(element.text_of("parent"), {}).setdefault(element.text_of("name"))
    lists = {label: list(told.get(label, ())) or sorted(names, key=natural) for label, names in seen.items()}
    return part, {label: {name: place for place, name in enumerate(names)} for label, names in lists.items()}


def _bases(root, path, where, subset):
    """The folders below which the photographs of a subset are looked for."""
    bases = label_files.image_folders(root, os.path.dirname(os.path.abspath(path)))
    return [*bases, os.path.join(bases[0], label_files.inside(where, subset))] if subset.strip() else bases


def _skeleton(path, face: Element, names, kind):
    """Points, hidden flags and scheme of a skeleton; None where it has no point."""
    label, seen = face.attributes.get("label", ""), set()
    if label not in kind:
        return None
    (own, order), places = kind[label], names[label]
    points, hidden = np.full((len(places), 2), np.nan), np.zeros(len(places), bool)
    for point in face.all("points"):
        name, where = point.attributes.get("label", ""), f"{path}:{point.line}"
        if name in seen or name not in places:
            raise ValueError(f"{where}: {'a second' if name in seen else 'no'} point {texts.shown(name)} of {texts.shown(label)}")
        seen.add(name)
        place = _points(where, point)
        if len(place) != 1:
            raise ValueError(f"{where}: {len(place)} points, expected one: x,y")
        if point.attributes.get("outside") != "1":
            points[places[name]] = place[0]
            hidden[places[name]] = point.attributes.get("occluded") == "1"
    return points[order], hidden[order], own


def _shape(path, shape: Element, scheme):
    """Points, hidden flags and scheme of a shape of several points; None where it has only one."""
    where = f"{path}:{shape.line}"
    points = _points(where, shape)
    if len(points) < 2:
        return None
    own, order = scheme_of(where, [str(place) for place in range(len(points))], scheme=scheme)
    return points[order], np.full(len(points), shape.attributes.get("occluded") == "1"), own


def _points(where, element):
    """(N, 2) coordinates of an attribute `points="x,y;x,y"`."""
    pairs = [pair.split(",") for pair in element.attributes.get("points", "").split(";")]
    if not all(len(pair) == 2 for pair in pairs):
        raise ValueError(f"{where}: points is {texts.shown(element.attributes.get('points', ''))}, expected x,y;x,y;...")
    words = [word for pair in pairs for word in pair]
    return texts.numbers(where, words, ["x", "y"] * len(pairs)).reshape(-1, 2)


def _boxes(path, image):
    """Group -> the box in it."""
    boxes = {}
    for box in image.all("box"):
        where, group = f"{path}:{box.line}", box.attributes.get("group_id")
        if group in (None, "0"):
            continue
        boxes[group] = texts.numbers(where, [box.attributes.get(corner, "") for corner in CORNERS], CORNERS)
    return boxes


ENTRIES = (
    Entry(
        name="cvat",
        title="CVAT for images (XML 1.1)",
        reader=cvat,
        scheme="",
        names_points=True,
        counts={},
        normalizer="the scheme's",
        crops="landmarks' box",
        protocol="parts by the images' subsets, else a tenth of the photographs is held out",
        layout="annotations.xml images/",
        source="Your own; CVAT exports a task or project so, as 'CVAT for images 1.1'.",
    ),
)
