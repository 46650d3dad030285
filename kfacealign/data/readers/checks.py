"""What readers check: paths at the right level, counts, duplicate faces, photographs that are not there, boxes.

Where a reader's `strict` is false, what is only suspicious is a warning.
"""

import os
import warnings

import numpy as np

from kfacealign.data import images

NAMED = 5  # things that a message names before it only counts


def report(message, strict):
    """Raises or warns."""
    if strict:
        raise ValueError(message)
    warnings.warn(message, stacklevel=4)


def shown(items, named=NAMED):
    """The first items, and how many more there are."""
    items = list(items)
    return ", ".join(map(str, items[:named])) + (f" and {len(items) - named:,} more" if len(items) > named else "")


def numbers(where, words, columns):
    """A line's words as finite float64.

    Raises:
        ValueError: one is none; the message says `where` and in which of the `columns`.
    """
    try:
        values = np.array(words, "float64")
    except ValueError:
        values = np.array([_number(word) for word in words])
    if not np.isfinite(values).all():
        first = int(np.flatnonzero(~np.isfinite(values))[0])
        raise ValueError(f"{where}: {columns[first]} is {words[first]!r}, expected a finite number")
    return values


def _number(word):
    try:
        return float(word)
    except ValueError:
        return np.nan


def require(name, root, paths, source):
    """All of `paths` are below `root`.

    Args:
        name: the dataset's name, for the message.
        root: the directory given by the user.
        paths: paths relative to it.
        source: where the dataset comes from, in words.

    Raises:
        FileNotFoundError: one is not; the message says what is expected, what is there, and if the paths are one or two
            levels above or below, which directory to name instead.
    """
    root = os.fspath(root)
    missing = [path for path in paths if not os.path.exists(os.path.join(root, path))]
    if not missing:
        return
    found = f"{root} is no directory"
    if os.path.isdir(root):
        found = f"{root} holds {shown(sorted(os.listdir(root)), 8) or 'nothing'}"
    hint = level_hint(root, paths)
    raise FileNotFoundError(
        f"{name}: {shown(os.path.join(root, path) for path in missing)} is missing ({found}).{hint} "
        f"Expected below {root}: {', '.join(paths)}. {source}"
    )


def level_hint(root, paths):
    """ " Did you mean DIR?" for the directory near `root` that holds the paths, or ""."""
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
    """The first entries of a folder; of photographs there may be 200,000."""
    return [os.path.join(folder, entry) for entry in sorted(os.listdir(folder))[:50]] if os.path.isdir(folder) else []


def counts(name, root, found, expected, strict, lacking=()):
    """The numbers of faces are the published ones.

    Args:
        found, expected: dicts of part -> number; parts that are not expected are not checked.
        lacking: files known to be missing, for the message.
    """
    wrong = [f"{part} {found[part]:,}, expected {number:,}" for part, number in expected.items() if found.get(part, 0) != number]
    if wrong:
        which = f"; missing: {shown(lacking)}" if lacking else ""
        report(f"{name}: {root}: not the published number of faces: {'; '.join(wrong)}{which}", strict)


def annotated(name, faces, strict, sizes=None):
    """Warns of what `problems` finds, or raises it."""
    for problem in problems(faces, sizes):
        report(f"{name}: {problem}", strict)


def problems(faces, sizes=None):
    """Duplicates, photographs that are not there and, where the images' sizes are known, boxes outside of them.

    Args:
        faces: `Faces`.
        sizes: (N, 2) widths and heights; 0 where they are not known.

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
    return found


def outside_images(boxes, sizes):
    """(N,) bool: the box has no pixel in common with its image, or is more than twice its size."""
    sizes = np.asarray(sizes, "float64").reshape(-1, 2)
    apart = ((boxes[:, 2:] <= 0) | (boxes[:, :2] >= sizes)).any(1)
    huge = (boxes[:, 2:] - boxes[:, :2] > 2 * sizes).any(1)
    return (apart | huge) & (sizes > 0).all(1)


def duplicates(faces):
    """Pairs (first, second) of positions whose landmarks are equal to the last bit: lines or photographs that are there twice."""
    seen, pairs = {}, []
    for place, points in enumerate(faces.landmarks):
        first = seen.setdefault(points.tobytes(), place)
        if first != place:
            pairs.append((first, place))
    return pairs


def missing_images(faces):
    """Paths of the photographs that are not on the disk, each once."""
    listed, missing = {}, []
    for path in dict.fromkeys(images.split(image)[0] for image in faces.images):
        folder, name = os.path.split(path)
        if folder not in listed:
            listed[folder] = set(os.listdir(folder)) if os.path.isdir(folder) else set()
        if name not in listed[folder]:
            missing.append(path)
    return missing


def no_inter_ocular(faces):
    """Positions of the faces whose outer eye corners are annotated and coincide: their error has no inter-ocular normaliser."""
    corners = faces.scheme.eye_corners
    if not corners or not len(faces):
        return np.zeros(0, int)
    corners = list(corners)
    distance = np.linalg.norm(np.subtract(*np.moveaxis(faces.landmarks[:, corners], 1, 0)), axis=-1)
    return np.flatnonzero((distance == 0) & (faces.weights[:, corners] > 0).all(1))
