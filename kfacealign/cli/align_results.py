"""The files that `kfacealign align` writes for a photograph: what they are called, what they hold, when they may be written.

| file | what it holds |
|---|---|
| `NAME.pts`, or `NAME_1.pts`, `NAME_2.pts`, ... | the landmarks of each face, 1-based |
| `NAME_landmarks.png` | the photograph with the landmarks drawn |
| `NAME.json` | everything; it is the last to appear, and says which photograph the files are of |
"""

import contextlib
import dataclasses
import json
import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from kfacealign import geometry
from kfacealign.cli.given_boxes import as_text
from kfacealign.console import shown
from kfacealign.data.readers.pts import points_text
from kfacealign.drawing import draw_landmarks, draw_pose
from kfacealign.face_landmarks import Face
from kfacealign.files import IMAGE_SUFFIXES, read_bytes, replacing
from kfacealign.presets import store

COORDINATES = (
    "image coordinates: (x, y) in pixels, origin at the outer top-left corner, the centre of the first pixel at (0.5, 0.5); "
    "the photograph upright, its EXIF orientation applied. In the .pts files the centre of the first pixel is (1, 1)"
)
OVERLAY = "_landmarks.png"
PATTERNS = ("*.pts", "*.json", "*.png", "*.csv")  # what a run writes
LARGEST = 2**26  # bytes of a JSON file
OVERWRITE = "--overwrite replaces it"


class NotWritten(OSError):
    """A result could not be written: the message names it and the reason. Going on would be in vain."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a run writes for each photograph.

    Attributes:
        pts, json, overlay: which of the files.
        pose: whether poses are described and drawn.
        overwrite: whether files that exist are replaced.
        photos: real paths of the run's photographs, which are never replaced.
    """

    pts: bool
    json: bool
    overlay: bool
    pose: bool = False
    overwrite: bool = False
    photos: frozenset[str] = frozenset()


# === The folder ===


def prepare_folder(folder: Path) -> bool:
    """Makes the folder of the results, and tries to write a file to it.

    Returns:
        Whether it had to be made.

    Raises:
        NotWritten: it cannot be made or written to; the message says why.
    """
    new = not folder.exists()
    try:
        if not new and not folder.is_dir():
            raise NotWritten("it is a file; give a folder")
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".probe-") as file:
            file.write(b"0")
            file.flush()
    except OSError as error:
        raise NotWritten(f"--out {shown(folder)}: {error.strerror or error}") from None
    return new


def remove_unused(folder: Path) -> None:
    """Deletes a folder of results that a run has made and written nothing to."""
    with contextlib.suppress(OSError):
        folder.rmdir()  # which only an empty folder allows


# === Names ===


def json_of(stem: Path) -> Path:
    return stem.with_name(f"{stem.name}.json")


def overlay_of(stem: Path) -> Path:
    return stem.with_name(f"{stem.name}{OVERLAY}")


def points_of(stem: Path, count: int) -> list[Path]:
    """The `.pts` file of each of `count` faces."""
    if count == 1:
        return [stem.with_name(f"{stem.name}.pts")]
    return [stem.with_name(f"{stem.name}_{number}.pts") for number in range(1, count + 1)]


def is_overlay(path: str, searched: bool) -> bool:
    """Whether an earlier run has drawn a picture.

    It has if a JSON file of results beside it says so. Of a picture that was found in a folder or by a pattern it is also
    believed where the photograph NAME lies beside NAME_landmarks.png.
    """
    if not path.endswith(OVERLAY):
        return False
    stem = path.removesuffix(OVERLAY)
    results = read_results(Path(f"{stem}.json"))
    if results is not None and results.get("overlay", "") in ("", as_text(os.path.basename(path))):
        return True
    if not searched:
        return False
    folder, name = os.path.split(stem)
    with contextlib.suppress(OSError):
        return any(
            file.lower().endswith(IMAGE_SUFFIXES) and name in (file, os.path.splitext(file)[0])
            for file in os.listdir(folder or os.curdir)
        )
    return False


# === Earlier results ===


def read_results(path: Path) -> dict[str, Any] | None:
    """The content of a JSON file of results, of any version; None where there is none or the file is something else."""
    try:
        content = json.loads(read_bytes(path, limit=LARGEST))
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) and {"photo", "faces", "point_names", "coordinates"} <= set(content) else None


def read_description(path: Path) -> dict[str, Any] | None:
    """The content of a JSON file of results that a run can go on from; None where there is none or it lacks something."""
    content = read_results(path)
    try:
        faces = content["faces"]
        count, points = len(faces), len(content["point_names"])
        shapes = {"landmarks": (count, points, 2), "face_box": (count, 4), "mean_score": (count,)}
        numbers = {part: np.array([face[part] for face in faces]) for part in shapes}
        texts = [content[part] for part in ("photo", "photo_from_here", "scheme")]
        sizes = [content[part] for part in ("width", "height")]
    except (ValueError, TypeError, KeyError):
        return None
    sound = all(
        numbers[part].shape == shapes[part] and numbers[part].dtype.kind in "fiu" and np.isfinite(numbers[part]).all()
        for part in shapes
    )
    typed = all(isinstance(text, str) for text in texts) and all(isinstance(size, int) for size in sizes)
    return content if count and sound and typed else None


def checksum(model: str | os.PathLike) -> str:
    """SHA-256 of a model's file, of a folder of that of its files; it tells models apart that are called the same."""
    import hashlib  # takes a few milliseconds, see `store.checksum`

    files = [os.path.join(parent, name) for parent, _, names in os.walk(model) for name in names]
    if not files:
        return store.checksum(model)
    sums = sorted((os.path.relpath(file, model), store.checksum(file)) for file in files)
    return hashlib.sha256(json.dumps(sums).encode()).hexdigest()


def from_here(photo: str | os.PathLike, stem: Path) -> str:
    """A photograph's path from the folder of its results, which says what a JSON file is of wherever the command is run."""
    return as_text(os.path.relpath(os.path.realpath(photo), os.path.realpath(stem.parent)))


def done_before(photo: str, stem: Path, settings: dict[str, Any], wanted: Wanted) -> dict[str, Any] | None:
    """The description of a photograph that an earlier run has done with the same settings; None where it is to be done.

    Raises:
        ValueError: results are there that must not be replaced: of another photograph, of other settings, or not complete.
    """
    if wanted.overwrite:
        return None
    file = json_of(stem)
    earlier = read_description(file)
    if earlier is None:
        refuse_existing([*points_of(stem, 1) * wanted.pts, *[overlay_of(stem)] * wanted.overlay, *[file] * wanted.json], wanted)
        return None
    if earlier["photo_from_here"] != from_here(photo, stem):
        raise ValueError(f"{shown(file)} has the results of {shown(earlier['photo'])}; {OVERWRITE}")
    if earlier.get("photo_bytes") != os.path.getsize(photo):
        raise ValueError(f"{shown(file)} has the results of an earlier state of this photograph; {OVERWRITE}")
    if earlier.get("settings") != settings:
        before = earlier["settings"] if isinstance(earlier.get("settings"), dict) else {}
        other = ", ".join(name for name in {**settings, **before} if settings.get(name) != before.get(name))
        raise ValueError(f"{shown(file)} has results of other settings ({other}); {OVERWRITE}")
    files = [*points_of(stem, len(earlier["faces"])) * wanted.pts, *[overlay_of(stem)] * wanted.overlay]
    lacking = [path for path in files if not path.is_file()]
    if lacking:
        raise ValueError(f"{shown(file)} has the results, but {shown(lacking[0])} is missing; --overwrite makes all anew")
    return earlier


def refuse_existing(paths: Sequence[Path], wanted: Wanted) -> None:
    """Raises ValueError if one of the files must not be written: it exists, or is a photograph of the run, or a folder."""
    for path in paths:
        if os.path.realpath(path) in wanted.photos:
            raise ValueError(f"its result {shown(path)} would replace a photograph; give another --out")
        above = next(folder for folder in path.absolute().parents if os.path.lexists(folder))
        if path.is_dir() or not above.is_dir():
            raise ValueError(f"its result {shown(path)} cannot be written: a folder or file of that name is in the way")
        if os.path.lexists(path) and not wanted.overwrite:
            raise ValueError(f"{shown(path)} exists and is not of an earlier run on this photograph; {OVERWRITE}")


def stale_files(stem: Path, photo: str, wanted: Wanted) -> list[Path]:
    """What the JSON file of an earlier run on the same photograph lists, itself included."""
    earlier = read_description(json_of(stem))
    if earlier is None or earlier["photo_from_here"] != from_here(photo, stem):
        return []
    named = [earlier.get("overlay"), *(face.get("pts") for face in earlier["faces"])]
    own = re.compile(re.escape(as_text(stem.name)) + r"(_landmarks\.png|(_[1-9][0-9]*)?\.pts)")
    kinds = [own.fullmatch(name) for name in named if isinstance(name, str)]
    files = [json_of(stem), *(stem.with_name(stem.name + kind[1]) for kind in kinds if kind)]
    return [path for path in files if os.path.realpath(path) not in wanted.photos]


# === Writing ===


def describe(
    photo: str, stem: Path, image: np.ndarray, faces: Sequence[Face], model: Any, settings: dict[str, Any], wanted: Wanted
) -> dict[str, Any]:
    """What the JSON file says of a photograph and its faces.

    Raises:
        ValueError: a landmark or a score is not finite.
    """
    points = points_of(stem, len(faces))
    for number, face in enumerate(faces, start=1):
        if not all(np.isfinite(part).all() for part in (face.landmarks, face.scores, face.box, face.score or 0.0)):
            raise ValueError(f"the model's answer on face {number} is not finite, nothing is written")
    return {
        "photo": as_text(photo),
        "photo_from_here": from_here(photo, stem),
        "photo_bytes": os.path.getsize(photo),
        "width": image.shape[1],
        "height": image.shape[0],
        "scheme": model.scheme.name,
        "point_names": list(model.scheme.point_names),
        "coordinates": COORDINATES,
        "align": "five_points" if settings["five_points"] else "box",
        "settings": settings,
        "overlay": as_text(overlay_of(stem).name) if wanted.overlay else None,
        "faces": [
            {
                "box": np.round(geometry.square_box(face.box, model.enlarge), 3).tolist(),
                "face_box": np.round(face.box.astype(float), 3).tolist(),
                "landmarks": np.round(face.landmarks.astype(float), 3).tolist(),
                "scores": np.round(face.scores.astype(float), 4).tolist(),
                "mean_score": round(float(face.scores.mean()), 4),
                "detector_score": None if face.score is None else round(face.score, 4),
                "pts": as_text(path.name) if wanted.pts else None,
                **({"pose": None if face.pose is None else face.pose.to_dict()} if wanted.pose else {}),
            }
            for face, path in zip(faces, points, strict=True)
        ],
    }


def write_results(
    description: dict[str, Any], photo: str, stem: Path, image: np.ndarray, faces: Sequence[Face], wanted: Wanted
) -> list[Path]:
    """Writes the files of a photograph, all or none of them, the JSON file last; returns their paths.

    Raises:
        ValueError: a file exists that must not be replaced, or the picture cannot be encoded.
        NotWritten: a file cannot be written.
    """
    contents = {}
    if wanted.overlay:
        contents[overlay_of(stem)] = encoded_overlay(image, faces, pose=wanted.pose)
    if wanted.json:
        contents[json_of(stem)] = json.dumps(description, indent=1, allow_nan=False).encode()
    if wanted.pts:
        texts = (points_text(face.landmarks).encode() for face in faces)
        contents.update(zip(points_of(stem, len(faces)), texts, strict=True))
    refuse_existing(list(contents), wanted)
    stale = stale_files(stem, photo, wanted) if wanted.overwrite else []
    path = stem
    try:
        with contextlib.ExitStack() as stack:
            # What is entered first is renamed last.
            for path in sorted(contents, key=lambda path: path != json_of(stem)):
                stack.enter_context(replacing(path)).write_bytes(contents[path])
            for path in stale:
                path.unlink(missing_ok=True)
    except OSError as error:
        raise NotWritten(f"{shown(error.filename2 or path)} cannot be written: {error.strerror or error}") from error
    return list(contents)


def encoded_overlay(image: np.ndarray, faces: Sequence[Face], *, pose: bool = False) -> bytes:
    """The photograph with the landmarks drawn, and the heads' axes if so wanted, as PNG.

    Raises:
        ValueError: OpenCV cannot encode it.
    """
    picture = draw_landmarks(image, np.stack([face.landmarks for face in faces]), faces[0].scheme)
    for head in [face.pose for face in faces if pose and face.pose is not None]:
        picture = draw_pose(picture, head)
    done, content = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    if not done:
        raise ValueError("the picture with its landmarks cannot be encoded as PNG")
    return content.tobytes()
