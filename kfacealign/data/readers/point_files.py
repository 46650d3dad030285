"""Text files of points, as JD-landmark and LaPa have them.

    106
    x0 y0
    ...

The first line is the number of points; then each point has a line.

Convention of the files: pixels are counted from 0 (the centre of the first pixel is (0, 0)), so our coordinates are the file's
+ 0.5. Neither dataset states its origin; the tools that wrote them count from 0.
"""

import os

import numpy as np

from kfacealign import schemes
from kfacealign.data.faces import Faces
from kfacealign.data.readers import checks
from kfacealign.files import IMAGE_SUFFIXES


def read_points(path: str | os.PathLike, num_points: int) -> np.ndarray:
    """The points of one file, which must be so many: (K, 2) float64, image coordinates.

    Raises:
        ValueError: the file is malformed; the message names it and the line.
    """
    with open(path, encoding="utf-8", errors="replace") as file:
        lines = file.read().splitlines()
    while lines and not lines[-1].strip():
        lines.pop()
    first = lines[0].strip() if lines else "nothing"
    if first != str(num_points):
        raise ValueError(f"{path}:1: expected the number of points, {num_points}, found {first[:40]!r}")
    if len(lines) != num_points + 1:
        raise ValueError(f"{path}:{len(lines)}: {len(lines) - 1} points, expected {num_points}")
    points = np.empty((num_points, 2))
    for row, line in enumerate(lines[1:]):
        words = line.split()
        try:
            values = [float(word) for word in words]
        except ValueError:
            values = []
        if len(values) != 2 or not np.isfinite(values).all():
            raise ValueError(f"{path}:{row + 2}: '{line.strip()}', expected two finite numbers x y")
        points[row] = values
    return points + 0.5


def read_folders(images: str, landmarks: str, *, name: str, scheme: str | schemes.Scheme, strict: bool) -> Faces:
    """The faces of a folder of images and a folder of point files: `a.jpg` belongs to `a.txt` or `a.jpg.txt`.

    Args:
        images: the folder of the images.
        landmarks: the folder of the point files.
        name: the dataset's name, for messages.
        scheme: scheme of the points, a name or a `Scheme`.
        strict: whether images without points and points without image raise; if not, they are warned of and left out.

    Returns:
        `Faces` sorted by name.

    Raises:
        ValueError: a file is malformed, or there is no pair. With `strict`, see above.
    """
    scheme = schemes.get(scheme)
    pictures = {os.path.splitext(file)[0]: file for file in os.listdir(images) if file.lower().endswith(IMAGE_SUFFIXES)}
    texts = {}
    for file in os.listdir(landmarks):
        if file.endswith(".txt"):
            stem = file[: -len(".txt")]
            texts[os.path.splitext(stem)[0] if stem.lower().endswith(IMAGE_SUFFIXES) else stem] = file
    names = sorted(pictures.keys() & texts.keys())
    for folder, lonely in ((images, pictures.keys() - texts.keys()), (landmarks, texts.keys() - pictures.keys())):
        if lonely:
            which = checks.shown(sorted(lonely))
            checks.report(f"{name}: {folder}: {len(lonely):,} files without their counterpart: {which}", strict=strict)
    if not names:
        raise ValueError(f"{name}: no image in {images} has a file of points in {landmarks}")
    paths = [os.path.join(landmarks, texts[stem]) for stem in names]
    return Faces(
        scheme,
        images=[os.path.join(images, pictures[stem]) for stem in names],
        landmarks=np.stack([read_points(path, scheme.num_points) for path in paths]),
        names=names,
        origins=paths,
    )
