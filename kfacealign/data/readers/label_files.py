"""What the readers of annotation tools' files share: names of photographs, parts by names of files, faces that are collected.

`images/`, and the folder of the annotations itself, are where photographs are looked for. A name that leads out of the
dataset's folder is refused.
"""

import os
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from kfacealign import geometry, schemes
from kfacealign.console import shown
from kfacealign.data.faces import Dataset, Faces, joined
from kfacealign.data.readers import checks, folders, texts
from kfacealign.data.readers.missing import known

WORDS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val"}
WORDS |= {"test": "test", "testing": "test"}
HELD_OUT = 0.1  # of the photographs, where nothing tells the parts
LONGEST = 4096  # characters of a path
MOST = 2**25  # points of all faces, annotated or not


def inside(where: str, name: str) -> str:
    """A name of a photograph that a file gives, as a path below the dataset's folder.

    Args:
        where: where the name stands, for the message.
        name: the path, with slashes between folders.

    Raises:
        ValueError: the name is empty, begins at the root, leads out of the folder, or cannot be a path.
    """
    parts = name.replace("\\", "/").split("/")
    drive = re.match(r"[A-Za-z]:", parts[0])
    if not name.strip() or name.endswith("/") or len(name) > LONGEST or "\0" in name:
        raise ValueError(f"{where}: {texts.shown(name)} names no photograph")
    if parts[0] == "" or drive or ".." in parts:
        raise ValueError(f"{where}: {texts.shown(name)} leads out of the dataset's folder: give names below it")
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        raise ValueError(f"{where}: {texts.shown(name)} names no photograph: it holds what no text has") from None
    return os.path.normpath(name)


def find_image(bases: Iterable[str], name: str) -> str:
    """The path of a photograph below the first of some folders that has it; below the first one if none has.

    Args:
        bases: folders.
        name: what `inside` returned. With backslashes in it, as Windows writes, it is looked for with slashes, too.
    """
    bases = list(bases)
    spellings = (name, name.replace("\\", "/")) if "\\" in name else (name,)
    for spelling in spellings:
        for base in bases:
            path = os.path.join(base, spelling)
            if os.path.isfile(path):
                return path
    return os.path.join(bases[0], name)


def image_folders(root: str, *more: str) -> list[str]:
    """The folders below which photographs are looked for: `root/images` where it is there, then `root`, then others."""
    images = os.path.join(root, "images")
    return list(dict.fromkeys([*([images] if os.path.isdir(images) else []), root, *more]))


def annotation_files(root: str | os.PathLike, suffix: str, *, below: str = "annotations") -> tuple[str, list[str]]:
    """The files of annotations below a folder.

    Args:
        root: the folder, or one file of annotations in it.
        suffix: what their names end with.
        below: the folder in it that they may be in.

    Returns:
        The folder of the dataset, and the sorted paths of the files.

    Raises:
        FileNotFoundError: there is no such folder, or no such file in it.
    """
    root = os.fspath(root)
    if os.path.isfile(root):
        folder = os.path.dirname(os.path.abspath(root))
        return (os.path.dirname(folder) if os.path.basename(folder) == below else folder), [root]
    if not os.path.isdir(root):
        raise FileNotFoundError(f"{root} is neither a directory nor a file. Expected a directory with NAME{suffix} in it")
    for folder in (os.path.join(root, below), root):
        if os.path.isdir(folder):
            found = [os.path.join(folder, name) for name in folders.names(folder) if name.lower().endswith(suffix)]
            if found:
                return root, found
    raise FileNotFoundError(
        f"{root} holds no NAME{suffix} file, nor does a folder {below} in it; "
        f"it holds {checks.shown(folders.names(root), named=8)}"
    )


def part_of(name: str) -> str:
    """The part that the name of a file or folder tells: "train", "val", "test", or "" where it tells none."""
    words = re.findall(r"[a-z]+", os.path.basename(name).lower())
    return next((WORDS[word] for word in words if word in WORDS), "")


class Collected:
    """Faces that are read one after the other.

    Args:
        title: what the format is called, for messages.
    """

    def __init__(self, title: str):
        self.title, self.rows, self.scanty = title, [], []

    def add(
        self,
        part: str,
        image: str,
        name: str,
        origin: str,
        points: np.ndarray,
        *,
        hidden: np.ndarray | None = None,
        box: np.ndarray | None = None,
    ) -> None:
        """Adds a face.

        Args:
            part: "train", "val", "test", or "".
            image: path of its photograph.
            name: its name for reports.
            origin: where it was read.
            points: (K, 2), image coordinates; NaN is not annotated.
            hidden: (K,) bool, or None.
            box: (4,), image coordinates, or None for that of the landmarks.

        Raises:
            ValueError: the box has no size, or there are more than `MOST` points; the message names the origin.
        """
        points = np.asarray(points, "float64")
        if len(np.unique(points[~np.isnan(points).any(1)], axis=0)) < 2:
            self.scanty.append(origin)
            return
        sound = box is not None and np.isfinite(box).all() and box[2] >= box[0] and box[3] >= box[1] and (box[2:] > box[:2]).any()
        if box is not None and not sound:
            raise ValueError(f"{origin}: its box is {np.asarray(box).tolist()}, expected x0, y0, x1, y1 with x0 < x1 and y0 < y1")
        if (len(self.rows) + 1) * len(points) > MOST:
            raise ValueError(f"{origin}: more than {MOST:,} points in all faces: split the dataset")
        hidden = np.zeros(len(points), bool) if hidden is None else hidden
        box = np.full(4, np.nan) if box is None else box
        self.rows.append((part, image, name, origin, points, hidden, np.asarray(box, "float64")))

    def dataset(
        self,
        root: str,
        scheme: schemes.Scheme,
        *,
        offset: float | np.ndarray,
        missing: Sequence = (),
        strict: bool = False,
        says_hidden: bool | None = None,
    ) -> Dataset:
        """The faces as a `Dataset`.

        The test part is "test", or "val" where there is none. Without a word on parts the test part is the faces of a tenth of
        the photographs, which `numpy.random.default_rng(0)` draws.

        Args:
            root: the dataset's folder.
            scheme: scheme of all faces.
            offset: what was added to the coordinates of the files, for marks of missing points.
            missing: marks of points that are not annotated, in the coordinates of the files.
            strict: whether what is suspicious raises.
            says_hidden: whether the files say which points are hidden; None says they do if any is.

        Raises:
            FileNotFoundError: there is no face.
            ValueError: a face is malformed. With `strict`, see above.
        """
        if self.scanty:
            which = checks.shown(self.scanty)
            checks.report(
                f"{self.title}: {len(self.scanty):,} faces with fewer than two points, left out: {which}", strict=strict
            )
        if not self.rows:
            raise FileNotFoundError(f"{self.title}: {root}: no face with landmarks in its files")
        hidden = any(row[5].any() for row in self.rows) if says_hidden is None else says_hidden
        options = {"offset": offset, "missing": missing, "strict": strict, "hidden": hidden}
        parts = {name: [row for row in self.rows if row[0] == name] for name in ("train", "val", "test", "")}
        parts = {name: _faces(scheme, rows, **options) for name, rows in parts.items() if rows}
        train, test = _parts(self.title, root, scheme, parts)
        for faces in (train, test):
            checks.annotated(self.title, faces, strict=strict)
        return Dataset(
            name=os.path.basename(os.path.abspath(root)),
            scheme=scheme,
            train=train,
            test=test,
            subsets={},
            enlarge=1.25,
            normalizer=scheme.default_normalizer,
        )


def _faces(scheme, rows, *, offset, missing, strict, hidden):
    _, images, names, origins, points, flags, boxes = zip(*rows, strict=True)
    landmarks, weights = known(np.stack(points), missing=missing, offset=offset, origins=origins, strict=strict)
    boxes = np.stack(boxes)
    absent = np.isnan(boxes).any(1)
    if absent.any():
        filled = np.where(np.isnan(landmarks), 0, landmarks)
        boxes[absent] = geometry.landmark_box(filled[absent], weights=weights[absent])
    flags = np.stack(flags) & (weights > 0) if hidden else None
    return Faces(scheme, images, landmarks, weights=weights, boxes=boxes, names=names, origins=origins, occluded=flags)


def _parts(title, root, scheme, parts: Mapping[str, Faces]):
    """Training and test faces of the parts that files name."""
    if set(parts) == {""}:
        return _split(parts[""])
    if "val" in parts and "test" in parts:
        warnings.warn(
            f"{title}: {root}: of its parts val ({len(parts['val']):,} faces) and test ({len(parts['test']):,}) the test part is "
            "test; val is left out",
            stacklevel=5,
        )
    empty = Faces(scheme, [], [])
    train = [parts[name] for name in ("train", "") if name in parts]
    return joined(train) if train else empty, parts.get("test", parts.get("val", empty))


def _split(faces):
    """Training and test faces: those of a tenth of the photographs, none of which is in both parts."""
    names = sorted(set(faces.images))
    if len(names) == 1:
        return faces, faces[:0]
    drawn = np.random.default_rng(0).permutation(len(names))[: max(1, round(HELD_OUT * len(names)))]
    held = {names[place] for place in drawn}
    test = np.array([image in held for image in faces.images])
    return faces[np.flatnonzero(~test)], faces[np.flatnonzero(test)]


def text_of_name(path: str, root: str) -> str:
    """A photograph's path below a folder, with slashes, for names of faces."""
    return shown(os.path.relpath(path, root).replace(os.sep, "/"))
