"""Readers of landmarks that were predicted or annotated elsewhere; they need neither a model nor photographs.

| file | content | coordinates |
|---|---|---|
| `.npz` | `landmarks` (N, K, 2); may have `names` (N,), `occlusion` (N, K), `weights` (N, K), 0 = not annotated | image |
| `.csv` | header `name,x0,y0,...`; may have `occlusion0,...`; or a list that `kfacealign.data.csv_lists` reads | image |
| `.txt` | COFW-68's benchmark, four lines for each face: its index, all x, all y, the occlusion of all points | 1-based |
| folder of `.pts` | subfolders are read, too; a face's name is the path of its file without the suffix | 1-based |
| folder of `N_points.mat` | COFW-68's `test_annotations`; a face's name is N | 1-based |
| folder of `kfacealign align` | `PHOTO.json` with all faces of a photograph; a face's name is that of its photograph | image |

A point that is NaN, in a `.csv` also one whose fields are empty, is not annotated.

Image coordinates have the centre of the first pixel at (0.5, 0.5). Where an `.npz` or `.csv` has it elsewhere, pass its
coordinate as `first_pixel`. Occlusion is 1 for a hidden point, or a score that grows with the probability that the point is
hidden.
"""

import dataclasses
import json
import os
from collections.abc import Iterable, Sequence

import numpy as np

from kfacealign import geometry, schemes
from kfacealign.data.faces import FURTHEST
from kfacealign.data.readers import folders, matlab, npz, texts
from kfacealign.data.readers.csv_lists import read_list
from kfacealign.data.readers.entry import DAMAGE
from kfacealign.data.readers.missing import known
from kfacealign.data.readers.pts import read_pts
from kfacealign.files import IMAGE_SUFFIXES, require_regular

LISTED = 3  # number of names that a message shows
MATLAB = "_points.mat"
NOT_FINITE = "a landmark is not finite"


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
        several: whether faces of one photograph share its name.
    """

    path: str
    landmarks: np.ndarray
    origins: list[str]
    names: list[str] | None
    weights: np.ndarray
    occlusion: np.ndarray | None
    several: bool = False

    def __len__(self) -> int:
        return len(self.landmarks)

    def part(self, places: np.ndarray) -> "PointFile":
        """The faces at these positions."""
        chosen = {name: getattr(self, name)[places] for name in ("landmarks", "weights")}
        chosen["occlusion"] = None if self.occlusion is None else self.occlusion[places]
        chosen["names"] = None if self.names is None else [self.names[place] for place in places]
        return dataclasses.replace(self, origins=[self.origins[place] for place in places], **chosen)


def read(path: str | os.PathLike, scheme: schemes.Scheme | str, *, first_pixel: float = 0.5, missing: Sequence = ()) -> PointFile:
    """Reads a file or folder of landmarks; its suffix and content decide how.

    Args:
        path: a file or folder of the module's table.
        scheme: scheme of the landmarks, a name or a `Scheme`.
        first_pixel: coordinate of the first pixel's centre in `.npz` and `name,x0,y0,...` files: 0.5 (this package), 0
            (OpenCV), or 1 (MATLAB).
        missing: marks of points that are not annotated, in the coordinates of the file, such as `[(-1, -1)]`.

    Raises:
        FileNotFoundError: there is no such file, or the folder has none of these files.
        OSError: a file cannot be read, or is no regular file.
        ValueError: the file is malformed; the message names the file and the line or face.
    """
    path, scheme = os.fspath(path), schemes.get(scheme)
    suffix = os.path.splitext(path)[1].lower()
    if os.path.isdir(path):
        reader = _read_folder
    elif not os.path.exists(path):
        raise FileNotFoundError(f"{path} is missing: expected landmarks as .npz, .csv, COFW-68's .txt, or a folder of .pts")
    elif suffix not in (".npz", ".csv", ".txt"):
        raise ValueError(f"{path}: landmarks are read from .npz, .csv, COFW-68's .txt, or a folder of .pts or {MATLAB} files")
    else:
        require_regular(path)
        reader = {".npz": _read_npz, ".csv": _read_csv, ".txt": _read_cofw}[suffix]
    try:
        made = reader(path, scheme, 0.5 - first_pixel, missing)
    except DAMAGE as error:
        raise ValueError(f"{path}: the file is damaged ({type(error).__name__}: {error})") from error
    if not len(made):
        raise ValueError(f"{path}: there is no face in it")
    if not made.several:
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
    if truth.several:
        raise ValueError(
            f"{truth.path}: these are predictions of kfacealign align, which may be several for a photograph: no truth"
        )
    annotated = truth.weights > 0
    _refuse(truth, ~annotated.any(1), "no landmark is annotated")
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


def match(truth: PointFile, predicted: PointFile, *, missing_faces: str = "fail") -> np.ndarray:
    """Finds the prediction of every face, by name if both files have names, and by order if not.

    Names are compared without the suffix of an image; those of `kfacealign align` are names of photographs without folders, and
    of several faces the one counts whose box overlaps most with the true one.

    Args:
        truth: N faces.
        predicted: any number of faces.
        missing_faces: what is done about faces that have no prediction: "fail" or "skip".

    Returns:
        (N,) int: for each of the N faces of `truth`, its position in `predicted`; -1 where it has none and is skipped.

    Raises:
        ValueError: a face has no prediction and none is skipped, none has one, or there are no names and the numbers of faces
            differ.
    """
    if missing_faces not in ("fail", "skip"):
        raise ValueError(f"missing_faces is {missing_faces!r}, expected 'fail' or 'skip'")
    if truth.names is None or predicted.names is None:
        if len(truth) != len(predicted):
            raise ValueError(
                f"{truth.path} has {len(truth)} faces and {predicted.path} {len(predicted)}: without names in both they are "
                "paired in order and must be as many"
            )
        return np.arange(len(truth))
    names = [_stem(name) for name in truth.names]
    if predicted.several:
        names = [os.path.basename(name) for name in names]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(
                f"{truth.path}: several photographs are called {twice}, predictions of align are paired by that name"
            )
    places = {}
    for place, name in enumerate(predicted.names):
        places.setdefault(_stem(name), []).append(place)
    lacking = [place for place, name in enumerate(names) if name not in places]
    if lacking and (missing_faces == "fail" or len(lacking) == len(truth)):
        shown = ", ".join(truth.names[place] for place in lacking[:LISTED]) + (", ..." if len(lacking) > LISTED else "")
        raise ValueError(
            f"{predicted.path}: no prediction for {len(lacking)} of {len(truth)} faces: {shown} ({truth.origins[lacking[0]]}); "
            f"its own names are like {predicted.names[0]}"
        )
    return np.array([_closest(truth, face, predicted, places.get(name, [-1])) for face, name in enumerate(names)])


def _closest(truth, face, predicted, places):
    """The one of some predictions whose box overlaps most with that of a true face."""
    if len(places) == 1:
        return places[0]
    (own,) = _boxes(truth, [face])
    others = _boxes(predicted, places)
    shared = np.clip(np.minimum(own[2:], others[:, 2:]) - np.maximum(own[:2], others[:, :2]), 0, None).prod(1)
    areas = [(boxes[..., 2:] - boxes[..., :2]).prod(-1) for boxes in (own, others)]
    return places[int(np.argmax(shared / np.maximum(areas[0] + areas[1] - shared, 1e-9)))]


def _boxes(faces, places):
    return geometry.landmark_box(faces.landmarks[places], weights=faces.weights[places]).astype("float64")


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


def _read_npz(path, scheme, offset, missing):
    shape = f"landmarks (N, {scheme.num_points}, 2)"
    content = npz.read(path, ("landmarks", "names", "occlusion", "weights"))
    if "landmarks" not in content:
        raise ValueError(f"{path}: no array 'landmarks' in it, expected {shape}")
    landmarks = content.pop("landmarks")
    if landmarks.ndim != 3 or landmarks.shape[1:] != (scheme.num_points, 2) or landmarks.dtype.kind not in "fiu":
        raise ValueError(f"{path}: landmarks have shape {landmarks.shape} ({landmarks.dtype}), expected {shape}")
    for name, values in content.items():
        expected = landmarks.shape[:1] if name == "names" else landmarks.shape[:2]
        if values.shape != expected:
            raise ValueError(f"{path}: {name} have shape {values.shape}, expected {expected}")
        if name != "names" and (values.dtype.kind not in "fiub" or not np.isfinite(values).all() or (values < 0).any()):
            raise ValueError(f"{path}: {name} are numbers of 0 or more, some of these are not")
    names = [str(name) for name in content["names"]] if "names" in content else None
    origins = [f"{path}, face {face}" for face in range(len(landmarks))]
    weights, occlusion = content.get("weights"), content.get("occlusion")
    if weights is None:
        return _made(path, landmarks + offset, origins, names, occlusion, missing=missing, offset=offset)
    unknown = ~np.isfinite(landmarks).all(-1)
    landmarks = np.where((unknown & (weights == 0))[..., None], np.nan, landmarks)
    made = _made(path, landmarks + offset, origins, names, occlusion, missing=missing, offset=offset)
    _refuse(made, (unknown & (weights > 0)).any(1), NOT_FINITE)
    return dataclasses.replace(made, weights=made.weights * weights.astype("float32"))


def _read_csv(path, scheme, offset, missing):
    header, rows = texts.read_table(path)
    if header[:2] == ["image_name", "scale"]:
        faces = read_list(path, scheme=scheme, missing=missing)
        return _with_weights(path, faces.landmarks, faces.origins, faces.names, None, faces.weights)
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
    texts.require_fields(path, header, rows)
    places, points = [header.index(name) for name in wanted], slice(2 * count)
    values = np.zeros((len(rows), len(wanted)))
    for face, (line, row) in enumerate(rows):
        values[face] = texts.numbers(f"{path}:{line}", [row[place] for place in places], wanted, points=points)
    names = [row[header.index("name")] for _, row in rows] if "name" in header else None
    landmarks = values[:, points].reshape(-1, count, 2) + offset
    origins = [f"{path}:{line}" for line, _ in rows]
    occlusion = values[:, 2 * count :] if len(wanted) > 2 * count else None
    return _made(path, landmarks, origins, names, occlusion, missing=missing, offset=offset)


def _read_cofw(path, scheme, _, missing):
    """Reads COFW-68's list, which has four lines for each face; blank lines do not count."""
    lines = [(number, line.replace(",", " ").split()) for number, line in texts.read_lines(path)]
    if len(lines) % 4:
        number = lines[-1][0]
        raise ValueError(f"{path}:{number}: {len(lines)} lines, expected four a face: index, x, y, occlusion")
    names, origins, rows, count = [], [], [], scheme.num_points
    for start in range(0, len(lines), 4):
        number, words = lines[start]
        if len(words) != 1 or texts.whole(words[0]) is None:
            raise ValueError(f"{path}:{number}: {texts.shown(' '.join(words))}, expected the index of a face")
        names.append(str(texts.whole(words[0])))
        origins.append(f"{path}:{number}")
        for what, (number, words) in zip(("x", "y", "occlusion"), lines[start + 1 : start + 4], strict=True):
            if len(words) != count:
                raise ValueError(f"{path}:{number}: {len(words)} values of {what}, {scheme.name} has {count} points")
            columns, axes = [f"{what}{point}" for point in range(count)], 0 if what == "occlusion" else 1
            rows.append(texts.numbers(f"{path}:{number}", words, columns, points=slice(axes * count), axes=axes))
    values = np.array(rows).reshape(-1, 3, count)
    half = np.isnan(values[:, 0]) != np.isnan(values[:, 1])
    if half.any():
        face, point = np.argwhere(half)[0]
        raise ValueError(f"{origins[face]}: point {point} has one coordinate, expected both or, as nan, neither")
    landmarks = np.moveaxis(values[:, :2], 1, 2) - 0.5
    return _made(path, landmarks, origins, names, values[:, 2], missing=missing, offset=-0.5)


def _read_folder(path, scheme, _, missing):
    found = [os.path.join(parent, file) for parent, files in folders.walk(path) for file in files]
    points = sorted(file for file in found if file.lower().endswith(".pts"))
    aligned = [file for file in (f"{file[: -len('.pts')].removesuffix('_1')}.json" for file in points) if file in set(found)]
    aligned = {file: faces for file in dict.fromkeys(aligned) if (faces := _read_aligned(file, scheme)) is not None}
    if aligned:
        names = [os.path.basename(file).removesuffix(".json") for file, faces in aligned.items() for _ in faces]
        origins = [f"{file}, face {face}" for file, faces in aligned.items() for face in range(len(faces))]
        landmarks = np.concatenate(list(aligned.values()))
        made = _with_weights(path, landmarks, origins, names, None, np.ones(landmarks.shape[:2], "float32"))
        return dataclasses.replace(made, several=True)
    if points:
        names = [os.path.splitext(os.path.relpath(file, path))[0] for file in points]
        landmarks = np.stack([read_pts(file, num_points=scheme.num_points) for file in points])
        return _made(path, landmarks, points, names, missing=missing, offset=-0.5)
    here = [name for name in folders.names(path) if name.endswith(MATLAB)]
    if not here:
        below = sorted({os.path.dirname(file) for file in found if file.endswith(MATLAB)})
        advice = f"; there are in {below[0]}: give that folder" if below else ""
        raise FileNotFoundError(f"{path} holds neither .pts nor {MATLAB} files{advice}")
    here.sort(key=lambda name: (len(name), name))
    files = [os.path.join(path, name) for name in here]
    pairs = [_read_matlab(file, scheme) for file in files]
    names = [name.removesuffix(MATLAB) for name in here]
    landmarks, occlusion = (np.stack(part) for part in zip(*pairs, strict=True))
    return _made(path, landmarks - 0.5, files, names, occlusion, missing=missing, offset=-0.5)


def _read_aligned(file, scheme):
    """The landmarks (F, K, 2) of the faces in a file of `kfacealign align`; None if it is another file."""
    try:
        content = json.loads(texts.read_text(file))
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{file}: no JSON, or a damaged one ({error})") from None
    if not isinstance(content, dict) or not {"photo", "scheme", "faces"} <= set(content):
        return None
    if content["scheme"] != scheme.name:
        raise ValueError(f"{file}: the landmarks are of {texts.shown(str(content['scheme']))}, expected {scheme.name}")
    try:
        points = [face["landmarks"] for face in content["faces"]]
        landmarks = np.array(points, "float64").reshape(-1, scheme.num_points, 2)
    except (TypeError, LookupError, ValueError, OverflowError):
        landmarks = np.full((1, 1, 2), np.nan)
    if not (np.abs(landmarks) <= FURTHEST).all() or len(landmarks) != len(content["faces"]):
        raise ValueError(f"{file}: not the faces of kfacealign align, each with {scheme.num_points} landmarks [x, y]")
    return landmarks.astype("float32")


def _read_matlab(file, scheme):
    points, hidden = matlab.load_numbers(file, ["Points", "Occ"])
    if points.shape != (scheme.num_points, 2) or hidden.size != scheme.num_points:
        raise ValueError(f"{file}: Points is {points.shape} and Occ {hidden.shape}, {scheme.name} has {scheme.num_points} points")
    if not np.isfinite(hidden).all():
        raise ValueError(f"{file}: Occ holds a number that is not finite")
    return points, hidden.ravel()


# === Shared ===


def _made(path, landmarks, origins, names, occlusion=None, *, missing, offset):
    """The faces, whose weights are 0 where a landmark is NaN or at a mark."""
    landmarks, weights = known(landmarks, missing=missing, offset=offset, origins=origins)
    return _with_weights(path, landmarks, origins, names, occlusion, weights)


def _with_weights(path, landmarks, origins, names, occlusion, weights):
    occlusion = None if occlusion is None else np.asarray(occlusion, "float32")
    kept = np.where((weights > 0)[..., None], landmarks, np.float32(0))
    made = PointFile(path=path, landmarks=kept, origins=origins, names=names, weights=weights, occlusion=occlusion)
    _refuse(made, ~np.isfinite(kept).all((1, 2)), NOT_FINITE)
    _refuse(made, (np.abs(kept) > FURTHEST).any((1, 2)), f"a coordinate is beyond {FURTHEST:,.0f}: is a decimal point lost?")
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
