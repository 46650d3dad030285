"""Reader of CelebA (CelebFaces Attributes), 202,599 photographs with boxes, for training without labels.

    root/Img/img_celeba/000001.jpg ...            the photographs "in the wild", not the aligned ones
    root/Anno/list_bbox_celeba.txt                their number, a header, then: image x y width height
    root/Anno/list_landmarks_celeba.txt           five points, which only `five_points` reads

Convention of the files: pixels are counted from 1, so our coordinates are the file's - 0.5. PIPNet detects boxes of its own
and enlarges them by 20 % (Sec. 4.1.2). The given boxes come from a detector as well and are looser.
"""

import os

import numpy as np

from kfacealign import schemes
from kfacealign.data.faces import Faces
from kfacealign.data.readers import checks, folders, texts
from kfacealign.data.readers.entry import Entry
from kfacealign.data.unlabelled import unlabelled_faces

COUNT = 202_599
PHOTOGRAPHS = os.path.join("Img", "img_celeba")
BOXES = os.path.join("Anno", "list_bbox_celeba.txt")
POINTS = os.path.join("Anno", "list_landmarks_celeba.txt")
SOURCE = (
    "CelebA comes from the page of the Multimedia Laboratory of the Chinese University of Hong Kong ('Deep Learning Face "
    "Attributes in the Wild'): img_celeba.7z, in-the-wild images, and Anno."
)


def celeba(root: str | os.PathLike, *, scheme: str | schemes.Scheme = "ibug68", strict: bool = False) -> Faces:
    """Reads CelebA below `root`; no image is opened.

    Args:
        root: the folder that holds `Img` and `Anno`.
        scheme: the landmark scheme that the faces shall be labelled in.
        strict: whether another count than 202,599, missing photographs and boxes of no size raise. If not, they are warned
            of, and the faces without photograph or with a box of no size are left out; the list has a few such boxes.

    Returns:
        `Faces` with the attribute `unlabelled`, such as `kfacealign.data.image_folder` returns.

    Raises:
        FileNotFoundError: the list or the folder is missing.
        ValueError: a line is malformed, which the message names with its file, or there is no photograph at all. With
            `strict`, see above.
    """
    root = os.fspath(root)
    checks.require("CelebA", root, [BOXES, PHOTOGRAPHS], source=SOURCE)
    path = os.path.join(root, BOXES)
    names, values = read_table(path, 4)
    checks.counts("CelebA", root, {"faces": len(names)}, {"faces": COUNT}, strict=strict)
    here = set(folders.names(os.path.join(root, PHOTOGRAPHS)))
    present = np.array([name in here for name in names], bool)
    sized = (values[:, 2:] > 0).all(1)
    for kept, what in ((present, "photographs are missing"), (sized, "boxes have no size")):
        if not kept.all():
            which = checks.shown(names[place] for place in np.flatnonzero(~kept))
            checks.report(f"CelebA: {path}: {(~kept).sum():,} {what}, left out: {which}", strict=strict)
    kept = np.flatnonzero(present & sized)
    if not len(kept):
        raise ValueError(f"CelebA: none of the {len(names):,} photographs of {path} is in {os.path.join(root, PHOTOGRAPHS)}")
    boxes = np.concatenate([values[:, :2], values[:, :2] + values[:, 2:]], axis=1) - 0.5
    images = [os.path.join(root, PHOTOGRAPHS, names[place]) for place in kept]
    return unlabelled_faces(schemes.get(scheme), images, boxes[kept], names=[names[place] for place in kept])


def five_points(root: str | os.PathLike) -> dict[str, np.ndarray]:
    """The given five points, (5, 2) float32 in image coordinates, by name of the photograph: eyes, nose, corners of the mouth."""
    names, values = read_table(os.path.join(os.fspath(root), POINTS), 10)
    return dict(zip(names, (values - 0.5).astype("float32").reshape(-1, 5, 2), strict=True))


def read_table(path: str | os.PathLike, columns: int) -> tuple[list[str], np.ndarray]:
    """Reads a list of CelebA.

    It begins with the number of photographs and a header; then each line holds a name and `columns` numbers.

    Returns:
        Names, and (N, columns) float64.

    Raises:
        ValueError: a line is malformed; the message names it with its file.
    """
    lines = texts.read_lines(path)
    first, said = lines[0] if lines else (1, "nothing")
    count = texts.whole(said)
    if count is None:
        raise ValueError(f"{path}:{first}: expected the number of photographs, found {texts.shown(said)}")
    rows = [(number, line.split()) for number, line in lines[2:]]
    if len(rows) != count:
        raise ValueError(f"{path}:{lines[-1][0]}: {len(rows):,} lines of photographs, the first line says {count:,}")
    for number, row in rows:
        if len(row) != columns + 1:
            raise ValueError(f"{path}:{number}: expected a name and {columns} numbers, found {len(row)} fields")
    titles = [f"number {place}" for place in range(1, columns + 1)]
    values = [texts.numbers(f"{path}:{number}: expected a name and {columns} numbers", row[1:], titles) for number, row in rows]
    seen = {}
    for number, row in rows:
        if row[0] in seen:
            raise ValueError(f"{path}:{number}: {texts.shown(row[0])} is there twice, before in line {seen[row[0]]}")
        seen[row[0]] = number
    return [row[0] for _, row in rows], np.reshape(values, (-1, columns)).astype("float64")


ENTRIES = (
    Entry(
        name="celeba",
        title="CelebA",
        reader=celeba,
        scheme="",
        counts={"train": 202_599},
        normalizer="",
        crops="PIPNet: detected box + 20 %",
        protocol="unlabelled faces of self-training (--unlabelled-dataset celeba)",
        layout="Img/img_celeba/*.jpg Anno/list_bbox_celeba.txt",
        source=SOURCE,
        box="file",
        marks=False,
    ),
)
