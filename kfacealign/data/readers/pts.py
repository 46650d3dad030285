"""Reader of a folder of images with iBUG `.pts` landmark files beside them.

    version: 1
    n_points: 68
    {
    x0 y0
    ...
    }

Convention of the files: they are 1-based. The centre of the top-left pixel is (1, 1) in them and (0.5, 0.5) here, so our
coordinates are the file's - 0.5.
"""

import os
import warnings
from collections.abc import Sequence

import numpy as np

from kfacealign import schemes
from kfacealign.data.faces import Dataset, Faces
from kfacealign.data.readers import folders, texts
from kfacealign.data.readers.entry import Entry
from kfacealign.data.readers.missing import known
from kfacealign.files import IMAGE_SUFFIXES, replacing

NAMED = 5  # how many unmatched files a warning names; it counts the rest


def pts(
    root: str | os.PathLike,
    *,
    scheme: str | schemes.Scheme = "ibug68",
    test_fraction: float = 0.1,
    seed: int = 0,
    missing: Sequence = (),
) -> Dataset:
    """Reads a folder tree of images and `.pts` files (`NAME.jpg` beside `NAME.pts`); no image is opened.

    Where `root/train` and `root/test` both exist, they are the two parts, each read with its subfolders. Otherwise the whole
    tree is read and the test part is drawn from it: the faces are sorted by path, `numpy.random.default_rng(seed)` permutes
    them, and the first `test_fraction` of the permutation are the test faces (at least one face, unless the fraction is 0).
    Such a split knows nothing of people or clips. When frames of one video are in the folder, make `train` and `test` folders
    that no person shares.

    Images without `.pts` and `.pts` without image are warned of and left out.

    Args:
        root: the folder.
        scheme: the scheme, or its name, that the points of every file follow.
        test_fraction: the held-out share, 0 to 1, where there are no `train` and `test` folders; 1 makes every face a test
            face.
        seed: seed of the split.
        missing: marks of points that are not annotated, in the coordinates of the files, such as `[(-1, -1)]`.

    Returns:
        A `Dataset` without subsets; its boxes are the boxes of the landmarks, and `enlarge` is 1.25.

    Raises:
        FileNotFoundError: the folder is missing or holds no image with a `.pts` beside it.
        ValueError: a `.pts` is malformed; the message names the file and the line.
    """
    root, scheme = os.fspath(root), schemes.get(scheme)
    if not 0 <= test_fraction <= 1:
        raise ValueError(f"test_fraction is {test_fraction}, expected a share from 0 to 1")
    if not os.path.isdir(root):
        raise FileNotFoundError(
            f"{root} is no directory. Expected a folder of images with .pts files beside them (NAME.jpg and NAME.pts), "
            "with or without train and test subfolders. The embedded synthetic faces need no download: "
            "kfacealign.data.write_pts(folder) writes them so."
        )
    parts = [os.path.join(root, part) for part in ("train", "test")]
    if all(os.path.isdir(folder) for folder in parts):
        train, test = (read_folder(folder, scheme, missing=missing) for folder in parts)
    else:
        train, test = _split(read_folder(root, scheme, missing=missing), test_fraction, seed)
    return Dataset(
        name=os.path.basename(os.path.abspath(root)),
        scheme=scheme,
        train=train,
        test=test,
        subsets={},
        enlarge=1.25,
        normalizer=scheme.default_normalizer,
    )


def read_pts(path: str | os.PathLike, *, num_points: int | None = None) -> np.ndarray:
    """Reads one `.pts` file.

    Args:
        path: the file.
        num_points: the number of points that it must hold. None takes any number.

    Returns:
        (K, 2) float32, image coordinates (the file's - 0.5); NaN where a line is `nan nan`, for a point that is not annotated.

    Raises:
        OSError: it cannot be read, or is no regular file.
        ValueError: the file is malformed; the message names it and the line.
    """
    lines = texts.read_lines(path)
    declared, points, opened, closed = None, [], False, False
    for number, line in lines:
        where = f"{path}:{number}"
        if closed:
            raise ValueError(f"{where}: {texts.shown(line)} after the closing brace")
        if opened and line == "}":
            closed = True
        elif opened:
            points.append((number, line))
        elif line == "{":
            opened = True
        elif line.startswith("n_points"):
            declared = _declared(where, line, declared)
            if num_points is not None and declared != num_points:
                raise ValueError(f"{where}: the file has {declared} points, the scheme needs {num_points}")
        elif not line.startswith("version"):
            raise ValueError(f"{where}: {texts.shown(line)}, expected 'version: 1', 'n_points: K' or an opening brace")
    end = f"{path}:{lines[-1][0] if lines else 1}"
    if not opened:
        raise ValueError(f"{end}: no opening brace, expected 'version', 'n_points', then points between braces")
    found = texts.points(path, points)
    if not closed:
        raise ValueError(f"{end}: the file ends after {len(points)} points without a closing brace: it is truncated")
    if declared is None:
        raise ValueError(f"{path}:1: no 'n_points: K' line before the points")
    if len(points) != declared:
        raise ValueError(f"{end}: {len(points)} points between the braces, expected {declared}")
    return (found - 0.5).astype("float32")


def write_points(path: str | os.PathLike, landmarks: np.ndarray) -> None:
    """Writes (K, 2) image coordinates as a `.pts` file, which is 1-based: our coordinates + 0.5."""
    with replacing(path) as temporary:
        temporary.write_text(points_text(landmarks), encoding="utf-8")


def points_text(landmarks: np.ndarray) -> str:
    """The content of a `.pts` file for (K, 2) image coordinates."""
    lines = [f"{x + 0.5:.6f} {y + 0.5:.6f}" for x, y in np.asarray(landmarks, "float64")]
    return "\n".join(["version: 1", f"n_points: {len(lines)}", "{", *lines, "}"]) + "\n"


def _declared(where, line, before):
    word, _, number = line.partition(":")
    declared = texts.whole(number)
    if word.strip() != "n_points" or declared is None:
        raise ValueError(f"{where}: {texts.shown(line)}, expected 'n_points: K'")
    if before is not None:
        raise ValueError(f"{where}: {texts.shown(line)} is there twice")
    return declared


def read_folder(folder: str | os.PathLike, scheme: schemes.Scheme, *, missing: Sequence = ()) -> Faces:
    """The faces of all images in a folder and its subfolders that have a `.pts` beside them, sorted by path.

    Args:
        folder: the folder.
        scheme: scheme of the points.
        missing: marks of points that are not annotated, in the coordinates of the files, such as `[(-1, -1)]`.

    Returns:
        `Faces` named by their paths below the folder, without suffix. Images without `.pts` and `.pts` without image are
        warned of.

    Raises:
        FileNotFoundError: there is no image with a `.pts` beside it.
        ValueError: a `.pts` is malformed.
    """
    images, points = file_pairs(folder)
    names = sorted(images.keys() & points.keys())
    lonely = {
        "image without a .pts": images.keys() - points.keys(),
        ".pts without an image": points.keys() - images.keys(),
    }
    for kind, only in lonely.items():
        if only:
            shown = ", ".join(sorted(only)[:NAMED]) + (", ..." if len(only) > NAMED else "")
            warnings.warn(f"{folder}: {len(only)} {kind}, left out: {shown}", stacklevel=4)
    if not names:
        raise FileNotFoundError(
            f"{folder} holds no image with a .pts file beside it ({len(images)} images, {len(points)} .pts files). "
            f"Expected NAME.jpg and NAME.pts; image suffixes: {' '.join(IMAGE_SUFFIXES)}"
        )
    origins = [points[name] for name in names]
    landmarks = np.stack([read_pts(path, num_points=scheme.num_points) for path in origins])
    landmarks, weights = known(landmarks, missing=missing, offset=-0.5, origins=origins)
    paths = [images[name] for name in names]
    return Faces(scheme, images=paths, landmarks=landmarks, weights=weights, names=names, origins=origins)


def file_pairs(folder: str | os.PathLike) -> tuple[dict[str, str], dict[str, str]]:
    """The images and the `.pts` files below a folder: two dicts of relative path without suffix -> path.

    Raises:
        ValueError: two images, or two `.pts`, share one name.
    """
    images, points = {}, {}
    for parent, files in folders.walk(folder):
        for file in files:
            stem, suffix = os.path.splitext(file)
            suffix = suffix.lower()
            found = points if suffix == ".pts" else images if suffix in IMAGE_SUFFIXES else None
            if found is None:
                continue
            name = os.path.relpath(os.path.join(parent, stem), folder)
            path = os.path.join(parent, file)
            if name in found:
                raise ValueError(f"{path} and {found[name]} share one name, their pairing is ambiguous: remove one")
            found[name] = path
    return images, points


def _split(faces, test_fraction, seed):
    order = np.random.default_rng(seed).permutation(len(faces))
    count = round(test_fraction * len(faces))
    if 0 < test_fraction < 1 and len(faces) > 1:
        count = min(max(count, 1), len(faces) - 1)
    return faces[np.sort(order[count:])], faces[np.sort(order[:count])]


ENTRIES = (
    Entry(
        name="pts",
        title="any folder with .pts files",
        reader=pts,
        scheme="",
        counts={},
        normalizer="the scheme's",
        crops="landmarks' box",
        protocol="train/ and test/, or a share of the faces is held out",
        layout="NAME.jpg NAME.pts, anywhere below",
        source="Your own, or kfacealign synthetic pts DIR.",
    ),
)
