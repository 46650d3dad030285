"""Reader of dlib's XML files of images, boxes and parts, as `imglab` writes them.

    root/NAME_train.xml NAME_test.xml      photographs by their paths from the folder of the file

    <dataset><images>
      <image file="a.jpg"><box top="90" left="194" width="37" height="37"><part name="00" x="201" y="107"/>...</box></image>
    </images></dataset>

Boxes without parts, and those to `ignore`, are passed over. A part that a box lacks is not annotated; numbers that no box has are
points, too.

Convention of the files: coordinates are indices of pixels, so the centre of the first pixel is (0, 0), and our coordinates of
points are the file's + 0.5. A box covers the pixels from `left` to `left + width - 1`: its edges are at `left` and `left + width`
here. dlib itself reads and writes whole numbers only; decimals are read here.
"""

import contextlib
import os
from collections.abc import Sequence

import numpy as np

from kfacealign import schemes
from kfacealign.data.faces import Dataset
from kfacealign.data.readers import label_files, texts
from kfacealign.data.readers.documents import Element, read_xml
from kfacealign.data.readers.entry import Entry
from kfacealign.data.readers.named_points import natural, scheme_of
from kfacealign.landmark_scheme import MOST_POINTS

SIDES = ("left", "top", "width", "height")


def dlib(
    root: str | os.PathLike,
    *,
    scheme: str | schemes.Scheme | None = None,
    strict: bool = False,
    missing: Sequence = (),
) -> Dataset:
    """Reads dlib's XML files below `root`; no image is opened.

    The words train and test in the names of the files tell the parts. Points come in the order of the parts' names, numbers by
    their size.

    Args:
        root: the folder, or one of its .xml files.
        scheme: scheme of the landmarks, a name or a `Scheme`, where it has as many points as the files name.
        strict: whether duplicates, missing photographs and faces without landmarks raise; if not, they are warned of.
        missing: marks of points that are not annotated, in the coordinates of the files, such as `[(-1, -1)]`.

    Returns:
        A `Dataset` with the boxes of the files.

    Raises:
        FileNotFoundError: there is no file, or no box with parts in it.
        ValueError: a file is malformed, or a photograph's name leads out of the folder; the message names file and line. With
            `strict`, see above.
    """
    root, files = label_files.annotation_files(root, ".xml")
    names = {part.attributes.get("name", "") for path in files for box in _boxes(path) for part in box.all("part")}
    if not names:
        raise FileNotFoundError(f"dlib: {root}: no box in its .xml files has parts")
    names = _ordered(names, scheme)
    own, order = scheme_of(files[0], names, scheme=scheme)
    places, found = {name: place for place, name in enumerate(names)}, label_files.Collected("dlib")
    for path in files:
        part = label_files.part_of(path)
        bases = [os.path.dirname(os.path.abspath(path)), *label_files.image_folders(root)]
        for image in read_xml(path, "dataset", ("image",)):
            file, name = _photograph(f"{path}:{image.line}", image.attributes.get("file", ""), bases)
            for box in image.all("box"):
                if box.attributes.get("ignore") == "1" or not box.all("part"):
                    continue
                points = _points(path, box, places)[order] + 0.5
                found.add(part, file, name, f"{path}:{box.line}", points, box=_corners(path, box))
    return found.dataset(root, own, offset=0.5, missing=missing, strict=strict)


def _photograph(where, name, bases):
    """Path and name of a photograph. dlib calls its files ISO-8859-1, but writes the bytes of names as they are, mostly UTF-8."""
    name = label_files.inside(where, name)
    file = label_files.find_image(bases, name)
    if not os.path.isfile(file):
        with contextlib.suppress(UnicodeError):
            other = label_files.inside(where, name.encode("latin-1").decode("utf-8"))
            if os.path.isfile(label_files.find_image(bases, other)):
                return label_files.find_image(bases, other), other
    return file, name


def _ordered(names, scheme):
    """The names of the points in their order. Of numbers those that no box has are filled in, up to the scheme's."""
    numbers = {texts.whole(name): name for name in names}
    if None in numbers or len(numbers) < len(names) or max(numbers) >= MOST_POINTS:
        return sorted(names, key=natural)
    given = None if scheme is None else schemes.get(scheme)
    counts = [one.num_points for one in (given, *schemes.SCHEMES.values()) if one is not None]
    first = int(0 not in numbers and max(numbers) in counts)
    last = max(max(numbers), first + given.num_points - 1 if given else 0)
    return [numbers.get(number, str(number)) for number in range(first, last + 1)]


def _boxes(path):
    boxes = (box for image in read_xml(path, "dataset", ("image",)) for box in image.all("box"))
    return (box for box in boxes if box.attributes.get("ignore") != "1")


def _points(path, box: Element, places):
    """(K, 2) coordinates of the parts of a box, NaN for those that it lacks."""
    points = np.full((len(places), 2), np.nan)
    seen = set()
    for part in box.all("part"):
        where, name = f"{path}:{part.line}", part.attributes.get("name", "")
        if name in seen:
            raise ValueError(f"{where}: the box has two parts {texts.shown(name)}")
        seen.add(name)
        points[places[name]] = texts.numbers(where, [part.attributes.get(axis, "") for axis in "xy"], ("x", "y"))
    return points


def _corners(path, box):
    where = f"{path}:{box.line}"
    left, top, width, height = texts.numbers(where, [box.attributes.get(side, "") for side in SIDES], SIDES)
    return np.array([left, top, left + width, top + height])


ENTRIES = (
    Entry(
        name="dlib",
        title="dlib, imglab (XML)",
        reader=dlib,
        scheme="",
        names_points=True,
        counts={},
        normalizer="the scheme's",
        crops="landmarks' box",
        protocol="parts by the words train and test in the names of the files, else a tenth of the photographs is held out",
        layout="NAME_train.xml NAME_test.xml (or one NAME.xml), photographs by their paths from there",
        source="Your own; dlib's imglab writes such files, and train_shape_predictor reads them.",
    ),
)
