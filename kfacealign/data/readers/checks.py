"""What readers check: paths at the right level, counts, duplicate faces, photographs that are not there, boxes.

What is only suspicious is a warning, unless the reader is `strict`.
"""

import os
import warnings
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from kfacealign import geometry
from kfacealign.data import images
from kfacealign.data.faces import Faces
from kfacealign.data.readers import folders

HUGE = 100  # a face is at most so many times as large as its image
FAR = 0.5  # sides of an image that a point may lie outside of it
NAMED = 5  # how many things a message names; it counts the rest


def report(message: str, *, strict: bool) -> None:
    """Raises a `ValueError` if strict, and warns if not."""
    if strict:
        raise ValueError(message)
    warnings.warn(message, stacklevel=4)


def shown(items: Iterable, *, named: int = NAMED) -> str:
    """The first items, and how many more there are."""
    items = list(items)
    return ", ".join(map(str, items[:named])) + (f" and {len(items) - named:,} more" if len(items) > named else "")


def require(name: str, root: str | os.PathLike, paths: Sequence[str], *, source: str) -> None:
    """Checks that all paths are there.

    Args:
        name: the dataset's name, for the message.
        root: the directory that the user gave.
        paths: paths relative to it.
        source: where the dataset comes from, in words.

    Raises:
        FileNotFoundError: a path is missing. The message says what is expected and what is there. If the paths are one or
            two levels above or below, it says which directory to name instead.
    """
    root = os.fspath(root)
    missing = [path for path in paths if not os.path.exists(os.path.join(root, path))]
    if not missing:
        return
    found = f"{root} is no directory"
    if os.path.isdir(root):
        found = f"{root} holds {shown(folders.names(root), named=8) or 'nothing'}"
    hint = level_hint(root, paths)
    raise FileNotFoundError(
        f"{name}: {shown(os.path.join(root, path) for path in missing)} is missing ({found}).{hint} "
        f"Expected below {root}: {', '.join(paths)}. {source}"
    )


def level_hint(root: str | os.PathLike, paths: Sequence[str]) -> str:
    """A sentence that names the directory near `root` that holds the paths, or ""."""
    if not os.path.isdir(root):
        return ""
    below = _entries(root)
    parent = os.path.dirname(os.path.abspath(root))
    deeper = [entry for folder in below for entry in _entries(folder)]
    for folder in (parent, os.path.dirname(parent), *below, *deeper):
        if all(os.path.exists(os.path.join(folder, path)) for path in paths):
            return f" The directory level is wrong: {folder} holds them, name that one."
    return ""


def _entries(folder):
    """The first entries of a folder, which may hold 200,000 photographs."""
    return [os.path.join(folder, entry) for entry in folders.names(folder)[:50]] if os.path.isdir(folder) else []


def counts(name: str, root: str, found: Mapping[str, int], expected: Mapping[str, int], *, strict: bool) -> None:
    """Checks that the numbers of faces are the published ones; warns if not, or raises if strict.

    Args:
        name: the dataset's name, for the message.
        root: the directory that the user gave.
        found: part -> number of faces that were read.
        expected: part -> published number; other parts are not checked.
        strict: whether another number raises.
    """
    wrong = [f"{part} {found[part]:,}, expected {number:,}" for part, number in expected.items() if found.get(part, 0) != number]
    if wrong:
        report(f"{name}: {root}: not the published number of faces: {'; '.join(wrong)}", strict=strict)


def annotated(name: str, faces: Faces, *, strict: bool, sizes: np.ndarray | None = None) -> None:
    """Warns of what `problems` finds, or raises it if strict.

    Raises:
        ValueError: a face is more than `HUGE` times as large as its image; the message names it. With `strict`, see above.
    """
    if sizes is not None:
        for place in np.flatnonzero(huge(faces, sizes)):
            raise ValueError(f"{faces.origins[place]}: {_too_large(faces, sizes, place)}: is a decimal point lost?")
    for problem in problems(faces, sizes=sizes):
        report(f"{name}: {problem}", strict=strict)


def problems(faces: Faces, *, sizes: np.ndarray | None = None) -> list[str]:
    """Finds duplicates, missing photographs, and boxes and points outside of their images where the sizes of these are known.

    Args:
        faces: `Faces`.
        sizes: (N, 2) widths and heights of their images; 0 where they are not known.

    Returns:
        A list of sentences that name faces by their origins.
    """
    found = []
    twins = duplicates(faces)
    if twins:
        pairs = [f"{faces.origins[second]} repeats {faces.origins[first]} ({faces.names[second]})" for first, second in twins]
        found.append(f"{len(twins):,} duplicate faces, the same landmarks twice: {shown(pairs)}")
    missing = missing_images(faces)
    if missing:
        found.append(f"{len(missing):,} photographs are missing: {shown(missing)}")
    if sizes is not None and len(faces):
        outside = np.flatnonzero(outside_images(faces.boxes, sizes))
        where = [f"box {np.round(faces.boxes[i], 1).tolist()} in an image of {sizes[i][0]} x {sizes[i][1]}" for i in outside]
        which = [f"{faces.origins[i]}: {text}" for i, text in zip(outside, where, strict=True)]
        if which:
            found.append(f"{len(which):,} boxes lie outside of their image: {shown(which)}")
        which = [f"{faces.origins[i]}: {_too_large(faces, sizes, i)}" for i in np.flatnonzero(huge(faces, sizes))]
        if which:
            found.append(f"{len(which):,} faces are more than {HUGE} times as large as their image: {shown(which)}")
        far = far_outside(faces, sizes)
        if far.any():
            which = [_first_far(faces, sizes, far, place) for place in np.flatnonzero(far.any(1))]
            found.append(f"{int(far.sum()):,} points of {len(which):,} faces lie far outside of their image: {shown(which)}")
    return found


def huge(faces: Faces, sizes: np.ndarray) -> np.ndarray:
    """(N,) bool: the landmarks or the box span more than `HUGE` times the longer side of the image, (N, 2) `sizes`."""
    if not len(faces):
        return np.zeros(0, bool)
    side = np.asarray(sizes, "float64").reshape(-1, 2).max(1)
    spans = [(boxes[:, 2:] - boxes[:, :2]).max(1) for boxes in (faces.boxes, _landmark_boxes(faces))]
    return (np.maximum(*spans) > HUGE * side) & (side > 0)


def far_outside(faces: Faces, sizes: np.ndarray) -> np.ndarray:
    """(N, K) bool: an annotated point lies outside of its image by more than `FAR` times the longer side; (N, 2) `sizes`."""
    sizes = np.asarray(sizes, "float64").reshape(-1, 1, 2)
    margin = FAR * sizes.max(-1, keepdims=True)
    outside = ((faces.landmarks < -margin) | (faces.landmarks > sizes + margin)).any(-1)
    return outside & (faces.weights > 0) & (sizes > 0).all(-1)


def _landmark_boxes(faces):
    return geometry.landmark_box(faces.landmarks, weights=faces.weights)


def _too_large(faces, sizes, place):
    width, height = np.asarray(sizes).reshape(-1, 2)[place]
    low, high = np.split(_landmark_boxes(faces[[place]])[0], 2)
    return f"a face of {' x '.join(f'{side:,.0f}' for side in high - low)} pixels in an image of {width} x {height}"


def _first_far(faces, sizes, far, place):
    point, (width, height) = int(np.argmax(far[place])), np.asarray(sizes).reshape(-1, 2)[place]
    x, y = faces.landmarks[place, point]
    return f"{faces.origins[place]}: point {point} at ({x:,.1f}, {y:,.1f}) in an image of {width} x {height}"


def outside_images(boxes: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """(N,) bool: the box has no pixel in common with its image, or is more than twice its size."""
    sizes = np.asarray(sizes, "float64").reshape(-1, 2)
    apart = ((boxes[:, 2:] <= 0) | (boxes[:, :2] >= sizes)).any(1)
    huge = (boxes[:, 2:] - boxes[:, :2] > 2 * sizes).any(1)
    return (apart | huge) & (sizes > 0).all(1)


def duplicates(faces: Faces) -> list[tuple[int, int]]:
    """Pairs (first, second) of positions with landmarks equal to the last bit: a line or photograph that is there twice."""
    seen, pairs = {}, []
    for place, points in enumerate(faces.landmarks):
        first = seen.setdefault(points.tobytes(), place)
        if first != place:
            pairs.append((first, place))
    return pairs


def missing_images(faces: Faces) -> list[str]:
    """Paths of the photographs that are not on the disk, each once."""
    listed, missing = {}, []
    for path in dict.fromkeys(images.split(image)[0] for image in faces.images):
        folder, name = os.path.split(path)
        if folder not in listed:
            listed[folder] = set(os.listdir(folder or ".")) if os.path.isdir(folder or ".") else set()
        if name not in listed[folder]:
            missing.append(path)
    return missing


def no_inter_ocular(faces: Faces) -> np.ndarray:
    """Positions of the faces whose outer eye corners are annotated and coincide: they have no inter-ocular normaliser."""
    corners = faces.scheme.eye_corners
    if not corners or not len(faces):
        return np.zeros(0, int)
    corners = list(corners)
    distance = np.linalg.norm(np.subtract(*np.moveaxis(faces.landmarks[:, corners], 1, 0)), axis=-1)
    return np.flatnonzero((distance == 0) & (faces.weights[:, corners] > 0).all(1))
