"""Text files of points, as JD-landmark and LaPa have them.

    106
    x0 y0
    ...

The first line is the number of points; then each point has a line.

Convention of the files: pixels are counted from 0 (the centre of the first pixel is (0, 0)), so our coordinates are the file's
+ 0.5. Neither dataset states its origin; the tools that wrote them count from 0.
"""

import os
from collections.abc import Sequence

import numpy as np

from kfacealign import schemes
from kfacealign.data.faces import Faces
from kfacealign.data.readers import checks, folders, texts
from kfacealign.data.readers.missing import known
from kfacealign.files import IMAGE_SUFFIXES


def read_points(path: str | os.PathLike, num_points: int) -> np.ndarray:
    """The points of one file, which must be so many: (K, 2) float64, image coordinates; NaN where a line is `nan nan`.

    Raises:
        OSError: it cannot be read, or is no regular file.
        ValueError: the file is malformed; the message names it and the line.
    """
    lines = texts.read_lines(path)
    first, words = lines[0] if lines else (1, "nothing")
    if words != str(num_points):
        raise ValueError(f"{path}:{first}: expected the number of points, {num_points}, found {texts.shown(words)}")
    points = texts.points(path, lines[1:])
    if len(points) != num_points:
        raise ValueError(f"{path}:{lines[-1][0]}: {len(points)} points, expected {num_points}")
    return points + 0.5


def read_folders(
    images: str, landmarks: str, *, name: str, scheme: str | schemes.Scheme, strict: bool, missing: Sequence = ()
) -> Faces:
    """The faces of a folder of images and a folder of point files: `a.jpg` belongs to `a.txt` or `a.jpg.txt`.

    Args:
        images: the folder of the images.
        landmarks: the folder of the point files.
        name: the dataset's name, for messages.
        scheme: scheme of the points, a name or a `Scheme`.
        strict: whether images without points and points without image raise; if not, they are warned of and left out.
        missing: marks of points that are not annotated, in the coordinates of the files, such as `[(-1, -1)]`.

    Returns:
        `Faces` sorted by name.

    Raises:
        ValueError: a file is malformed, or there is no pair. With `strict`, see above.
    """
    scheme = schemes.get(scheme)
    pictures = _by_stem(images, {file: os.path.splitext(file)[0] for file in folders.names(images) if _is_image(file)})
    stems = {file: file[: -len(".txt")] for file in folders.names(landmarks) if file.endswith(".txt")}
    stems = {file: os.path.splitext(stem)[0] if _is_image(stem) else stem for file, stem in stems.items()}
    points = _by_stem(landmarks, stems)
    names = sorted(pictures.keys() & points.keys())
    for folder, lonely in ((images, pictures.keys() - points.keys()), (landmarks, points.keys() - pictures.keys())):
        if lonely:
            which = checks.shown(sorted(lonely))
            checks.report(f"{name}: {folder}: {len(lonely):,} files without their counterpart: {which}", strict=strict)
    if not names:
        raise ValueError(f"{name}: no image in {images} has a file of points in {landmarks}")
    paths = [os.path.join(landmarks, points[stem]) for stem in names]
    landmarks = np.stack([read_points(path, scheme.num_points) for path in paths])
    landmarks, weights = known(landmarks, missing=missing, offset=0.5, origins=paths, strict=strict)
    pictures = [os.path.join(images, pictures[stem]) for stem in names]
    return Faces(scheme, images=pictures, landmarks=landmarks, weights=weights, names=names, origins=paths)


def _is_image(name):
    return name.lower().endswith(IMAGE_SUFFIXES)


def _by_stem(folder, stems):
    """Stem -> name of the file, of a dict of names -> stems."""
    found = {}
    for file, stem in stems.items():
        if stem in found:
            raise ValueError(
                f"{os.path.join(folder, file)} and {found[stem]} share one name, their pairing is ambiguous: remove one"
            )
        found[stem] = file
    return found
