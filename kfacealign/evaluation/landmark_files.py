"""Readers of landmarks that were predicted or annotated elsewhere; they need neither a model nor photographs.

| file | content | coordinates |
|---|---|---|
| `.npz` | `landmarks` (N, K, 2); may have `names` (N,), `occlusion` (N, K), `weights` (N, K), 0 = not annotated | image |
| `.csv` | header `name,x0,y0,...`; may have `occlusion0,...`; or a list that `kfacealign.data.csv_lists` reads | image |
| `.txt` | COFW-68's benchmark, four lines for each face: its index, all x, all y, the occlusion of all points | 1-based |
| folder of `.pts` | subfolders are read, too; a face's name is the path of its file without the suffix | 1-based |
| folder of `N_points.mat` | COFW-68's `test_annotations`; a face's name is N | 1-based |

Image coordinates have the centre of the first pixel at (0.5, 0.5). Where an `.npz` or `.csv` has it elsewhere, pass its
coordinate as `first_pixel`. Occlusion is 1 for a hidden point, or a score that grows with the probability that the point is
hidden.
"""

import csv
import dataclasses
import os
import zipfile
from collections.abc import Iterable

import numpy as np

from kfacealign import schemes
from kfacealign.data.readers import matlab
from kfacealign.data.readers.checks import numbers
from kfacealign.data.readers.csv_lists import read_list
from kfacealign.data.readers.pts import IMAGE_SUFFIXES, read_pts

LISTED = 3  # number of names that a message shows
MATLAB = "_points.mat"


@dataclasses.dataclass(kw_only=True)
class PointFile:
    """Landmarks of N faces and where each was read.

    Attributes:
        path: the file or folder.
        landmarks: (N, K, 2) float32, image coordinates.
        origins: N strings that say where a face was read, "file.csv:12" or "file.npz, face 12".
        names: N unique names, or None.
        weights: (N, K) float32, 0 = not annotated.
        occlusion: (N, K) float32, or None.
    """

    path: str
    landmarks: np.ndarray
    origins: list[str]
    names: list[str] | None
    weights: np.ndarray
    occlusion: np.ndarray | None

    def __len__(self) -> int:
        return len(self.landmarks)


def read(path: str | os.PathLike, scheme: schemes.Scheme | str, *, first_pixel: float = 0.5) -> PointFile:
    """Reads a file or folder of landmarks; its suffix and content decide how.

    Args:
        path: a file or folder of the module's table.
        scheme: scheme of the landmarks, a name or a `Scheme`.
        first_pixel: coordinate of the first pixel's centre in `.npz` and `name,x0,y0,...` files: 0.5 (this package), 0
            (OpenCV), or 1 (MATLAB).

    Raises:
        FileNotFoundError: there is no such file, or the folder has none of these files.
        ValueError: the file is malformed; the message names the file and the line or face.
    """
    path, scheme = os.fspath(path), schemes.get(scheme)
    suffix = os.path.splitext(path)[1].lower()
    if os.path.isdir(path):
        made = _read_folder(path, scheme)
    elif not os.path.exists(path):
        raise FileNotFoundError(f"{path} is missing: expected landmarks as .npz, .csv, COFW-68's .txt, or a folder of .pts")
    elif suffix not in (".npz", ".csv", ".txt"):
        raise ValueError(f"{path}: landmarks are read from .npz, .csv, COFW-68's .txt, or a folder of .pts or {MATLAB} files")
    else:
        readers = {".npz": _read_npz, ".csv": _read_csv, ".txt": _read_cofw}
        made = readers[suffix](path, scheme, np.float32(0.5 - first_pixel))
    if not len(made):
        raise ValueError(f"{path}: there is no face in it")
    _check_names(made)
    return made


def check_truth(truth: PointFile, scheme: schemes.Scheme | str, normalizers: Iterable[str]) -> None:
    """Checks that every face can be measured.

    A face passes if points that a normaliser needs are not annotated; it then does not count under that normaliser.

    Args:
        truth: the true landmarks.
        scheme: their scheme, a name or a `Scheme`.
        normalizers: names of the normalisers.

    Raises:
        ValueError: all landmarks of a face are equal, or a normaliser has length 0 in it.
    """
    from kfacealign import metrics

    scheme = schemes.get(scheme)
    annotated = truth.weights > 0
    low = np.where(annotated[..., None], truth.landmarks, np.inf).min(1)
    high = np.where(annotated[..., None], truth.landmarks, -np.inf).max(1)
    _refuse(truth, annotated.any(1) & ~(high > low).any(1), "all landmarks are equal: the face has no size")
    needed = {"inter_ocular": scheme.eye_corners or (), "inter_pupil": [p for group in scheme.pupils or () for p in group]}
    for name in normalizers:
        if name != "image":
            lengths = np.asarray(metrics.normalizer(truth.landmarks, scheme, name=name, weights=truth.weights))
            known = annotated[:, list(needed.get(name, range(scheme.num_points)))]
            known = known.all(1) if name in needed else known.any(1)
            _refuse(truth, known & ~(lengths > 0), f"the normaliser {name} has length 0 (leave it out with --normalizer)")


def match(truth: PointFile, predicted: PointFile) -> np.ndarray:
    """Finds the prediction of every face, by name if both files have names, and by order if not.

    Names are compared without the suffix of an image.

    Returns:
        (N,) int: for each of the N faces of `truth`, its position in `predicted`.

    Raises:
        ValueError: a face has no prediction, or there are no names and the numbers of faces differ.
    """
    if truth.names is None or predicted.names is None:
        if len(truth) != len(predicted):
            raise ValueError(
                f"{truth.path} has {len(truth)} faces and {predicted.path} {len(predicted)}: without names in both they are "
                "paired in order and must be as many"
            )
        return np.arange(len(truth))
    places = {_stem(name): place for place, name in enumerate(predicted.names)}
    lacking = [place for place, name in enumerate(truth.names) if _stem(name) not in places]
    if lacking:
        shown = ", ".join(truth.names[place] for place in lacking[:LISTED]) + (", ..." if len(lacking) > LISTED else "")
        raise ValueError(
            f"{predicted.path}: no prediction for {len(lacking)} of {len(truth)} faces: {shown} ({truth.origins[lacking[0]]}); "
            f"its own names are like {predicted.names[0]}"
        )
    return np.array([places[_stem(name)] for name in truth.names])


def occlusion_scores(truth: np.ndarray, predicted: np.ndarray, *, threshold: float = 0.5) -> dict[str, float | int | None]:
    """How well hidden points were told from visible ones.

    Args:
        truth: (N, K), 1 = hidden.
        predicted: (N, K) flags or scores.
        threshold: a score at or above it means hidden.

    Returns:
        Dict of `precision` and `recall` in percent, None where there is no point to compute them of; `hidden`, the number of
        points that are hidden; and `found`, the number of points that were called hidden.
    """
    truth, found = np.asarray(truth) > 0.5, np.asarray(predicted) >= threshold
    right = int((truth & found).sum())
    return {
        "precision": 100.0 * right / int(found.sum()) if found.any() else None,
        "recall": 100.0 * right / int(truth.sum()) if truth.any() else None,
        "hidden": int(truth.sum()),
        "found": int(found.sum()),
    }


# === Readers ===


def _read_npz(path, scheme, offset):
    shape = f"landmarks (N, {scheme.num_points}, 2)"
    try:
        with np.load(path) as file:
            content = {name: file[name] for name in ("landmarks", "names", "occlusion", "weights") if name in file}
    except (ValueError, OSError, zipfile.BadZipFile, EOFError) as error:
        raise ValueError(f"{path}: not an .npz file of plain arrays ({error})") from None
    if "landmarks" not in content:
        raise ValueError(f"{path}: no array 'landmarks' in it, expected {shape}")
    landmarks = content.pop("landmarks")
    if landmarks.ndim != 3 or landmarks.shape[1:] != (scheme.num_points, 2) or landmarks.dtype.kind not in "fiu":
        raise ValueError(f"{path}: landmarks have shape {landmarks.shape} ({landmarks.dtype}), expected {shape}")
    for name, values in content.items():
        expected = landmarks.shape[:1] if name == "names" else landmarks.shape[:2]
        if values.shape != expected:
            raise ValueError(f"{path}: {name} have shape {values.shape}, expected {expected}")
    names = [str(name) for name in content["names"]] if "names" in content else None
    origins = [f"{path}, face {face}" for face in range(len(landmarks))]
    return _made(path, landmarks + offset, origins, names, content.get("occlusion"), content.get("weights"))


def _read_csv(path, scheme, offset):
    with open(path, encoding="utf-8-sig", errors="replace", newline="") as file:
        reader = csv.reader(file)
        header = [field.strip() for field in next(reader, [])]
        rows = [(reader.line_num, row) for row in reader if row]
    if header[:2] == ["image_name", "scale"]:
        faces = read_list(path, scheme=scheme)
        return _made(path, faces.landmarks, faces.origins, faces.names, None, faces.weights)
    count = scheme.num_points
    columns = [f"{axis}{point}" for point in range(count) for axis in "xy"]
    hidden = [f"occlusion{point}" for point in range(count)]
    wanted = columns + (hidden if any(name in header for name in hidden) else [])
    lacking = [name for name in wanted if name not in header]
    if lacking:
        raise ValueError(
            f"{path}:1: column {', '.join(lacking[:LISTED])} is missing ({len(lacking)} in all), expected "
            f"name,{','.join(columns[:4])},...,{columns[-1]} for {scheme.name}"
        )
    if f"x{count}" in header:
        raise ValueError(f"{path}:1: column x{count} is one too many: {scheme.name} has {count} points")
    places = [header.index(name) for name in wanted]
    values = np.zeros((len(rows), len(wanted)))
    for face, (line, row) in enumerate(rows):
        if len(row) != len(header):
            raise ValueError(f"{path}:{line}: expected {len(header)} fields, found {len(row)}")
        values[face] = numbers(f"{path}:{line}", [row[place] for place in places], wanted)
    names = [row[header.index("name")] for _, row in rows] if "name" in header else None
    landmarks = values[:, : 2 * count].reshape(-1, count, 2) + offset
    origins = [f"{path}:{line}" for line, _ in rows]
    return _made(path, landmarks, origins, names, values[:, 2 * count :] if len(wanted) > 2 * count else None)


def _read_cofw(path, scheme, _):
    """Reads COFW-68's list, which has four lines for each face; blank lines do not count."""
    with open(path, encoding="utf-8", errors="replace") as file:
        lines = [(number, line.replace(",", " ").split()) for number, line in enumerate(file, start=1) if line.strip()]
    if len(lines) % 4:
        number = lines[-1][0]
        raise ValueError(f"{path}:{number}: {len(lines)} lines, expected four a face: index, x, y, occlusion")
    names, origins, rows = [], [], []
    for start in range(0, len(lines), 4):
        number, words = lines[start]
        if len(words) != 1 or not words[0].isdecimal():
            raise ValueError(f"{path}:{number}: {' '.join(words)[:40]!r}, expected the index of a face")
        names.append(str(int(words[0])))
        origins.append(f"{path}:{number}")
        for what, (number, words) in zip(("x", "y", "occlusion"), lines[start + 1 : start + 4], strict=False):
            if len(words) != scheme.num_points:
                raise ValueError(f"{path}:{number}: {len(words)} values of {what}, {scheme.name} has {scheme.num_points} points")
            rows.append(numbers(f"{path}:{number}", words, [f"{what}{point}" for point in range(len(words))]))
    values = np.array(rows).reshape(-1, 3, scheme.num_points)
    return _made(path, np.moveaxis(values[:, :2], 1, 2) - 0.5, origins, names, values[:, 2])


def _read_folder(path, scheme):
    found = [os.path.join(parent, file) for parent, _, files in os.walk(path) for file in files]
    points = sorted(file for file in found if file.lower().endswith(".pts"))
    if points:
        names = [os.path.splitext(os.path.relpath(file, path))[0] for file in points]
        return _made(path, np.stack([read_pts(file, num_points=scheme.num_points) for file in points]), points, names)
    here = [name for name in os.listdir(path) if name.endswith(MATLAB)]
    if not here:
        below = sorted({os.path.dirname(file) for file in found if file.endswith(MATLAB)})
        advice = f"; there are in {below[0]}: give that folder" if below else ""
        raise FileNotFoundError(f"{path} holds neither .pts nor {MATLAB} files{advice}")
    here.sort(key=lambda name: (len(name), name))
    files = [os.path.join(path, name) for name in here]
    pairs = [_read_matlab(file, scheme) for file in files]
    names = [name.removesuffix(MATLAB) for name in here]
    return _made(path, np.stack([pair[0] for pair in pairs]) - 0.5, files, names, np.stack([pair[1] for pair in pairs]))


def _read_matlab(file, scheme):
    points, hidden = matlab.load(file, ["Points", "Occ"])
    if points.shape != (scheme.num_points, 2) or hidden.size != scheme.num_points:
        raise ValueError(f"{file}: Points is {points.shape} and Occ {hidden.shape}, {scheme.name} has {scheme.num_points} points")
    return points, hidden.ravel()


# === Shared ===


def _made(path, landmarks, origins, names, occlusion=None, weights=None):
    landmarks = np.ascontiguousarray(landmarks, "float32")
    weights = np.ones(landmarks.shape[:2], "float32") if weights is None else np.asarray(weights, "float32")
    occlusion = None if occlusion is None else np.asarray(occlusion, "float32")
    made = PointFile(path=path, landmarks=landmarks, origins=origins, names=names, weights=weights, occlusion=occlusion)
    _refuse(made, (~np.isfinite(landmarks).all(-1) & (weights > 0)).any(1), "a landmark is not finite")
    return made


def _refuse(made, wrong, reason):
    if wrong.any():
        face = int(np.argmax(wrong))
        name = "" if made.names is None else f" ({made.names[face]})"
        more = f"; so are {int(wrong.sum()) - 1} more faces" if wrong.sum() > 1 else ""
        raise ValueError(f"{made.origins[face]}{name}: {reason}{more}")


def _check_names(made):
    seen = {}
    for name, origin in zip(made.names or (), made.origins, strict=False):
        stem = _stem(name)
        if stem in seen:
            raise ValueError(f"{origin}: {name} is there twice, before in {seen[stem]}; names must differ")
        seen[stem] = origin


def _stem(name):
    stem, suffix = os.path.splitext(name)
    return stem if suffix.lower() in IMAGE_SUFFIXES else name
