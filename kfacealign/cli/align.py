"""`kfacealign align`: the landmarks of the faces in photographs."""

import argparse
import contextlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rich.console import Console

from kfacealign import deploy, geometry, photo, presets
from kfacealign.cli.arguments import FLIP_HELP, MODEL_HELP, add_detector, add_model, add_trust, align_options, box
from kfacealign.data import five_points
from kfacealign.data.readers.pts import write_points
from kfacealign.drawing import draw_landmarks
from kfacealign.face_landmarks import Face, FaceLandmarks
from kfacealign.files import replacing

COORDINATES = (
    "image coordinates: (x, y) in pixels, origin at the outer top-left corner, the centre of the first pixel at (0.5, 0.5); "
    "the photograph upright, its EXIF orientation applied. In the .pts files the centre of the first pixel is (1, 1)"
)


DESCRIPTION = (
    "Finds the faces of each photograph and their landmarks. Writes "
    "PHOTO_landmarks.png (the photograph with the landmarks drawn), PHOTO.json (landmarks in image coordinates, scores, "
    "boxes) and one .pts file for each face. A photograph that fails is named and skipped; the exit status is then 1."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("photos", nargs="+", metavar="PHOTO")
    add_model(parser, help=f"{MODEL_HELP}; by default the first that kfacealign presets lists")
    add_trust(parser)
    parser.add_argument(
        "--box",
        type=box,
        metavar="X0,Y0,X1,Y1",
        help="the face's box, brows to chin and ear to ear, in pixels from the top-left corner, in place of the detector; "
        "write --box=X0,... if X0 is negative",
    )
    add_detector(parser)
    parser.add_argument(
        "--any-rotation",
        action="store_true",
        help="read each photograph on its sides and upside down, too, and keep the way in which its landmarks score best",
    )
    parser.add_argument(
        "--five-points",
        action="store_true",
        help="read each face a second time, turned upright by the eyes, nose and mouth found; for models trained on such crops",
    )
    parser.add_argument("--flip", action="store_true", help=FLIP_HELP)
    parser.add_argument("--out", default="aligned", metavar="DIR", help="directory of the results (default %(default)s)")


def run(arguments: argparse.Namespace) -> int:
    outputs, console = output_names(arguments.photos), Console()
    arguments.model = presets.chosen(arguments.model, keras=arguments.flip, console=console)
    options = align_options(arguments)
    model = deploy.load(arguments.model, trust=arguments.trust)
    if arguments.five_points:
        five_points.indices(model.scheme)  # Refuse a scheme that has no five points before any photograph is read.
    landmarker = FaceLandmarks(
        model,
        detector=arguments.detector if arguments.box is None else Nothing(),
        min_score=arguments.min_score,
        five_points=arguments.five_points,
        any_rotation=arguments.any_rotation,
        **options,
    )
    if arguments.box is None:
        console.print(f"detector: {landmarker.detector.name}", highlight=False)
    out = Path(arguments.out)
    failed = 0
    with tracked(arguments.photos, console) as photos:
        for path in photos:
            try:
                faces, written = align_one(landmarker, path, arguments, out / outputs[path])
            except (ValueError, OSError) as error:
                failed += 1
                reason = getattr(error, "strerror", None) or error
                console.print(f"{path}: [red]skipped[/red]: {reason}", highlight=False, soft_wrap=True)
                continue
            names = ", ".join(map(str, written))
            scores = ", ".join(f"{face.scores.mean():.2f}" for face in faces)
            told = f"{len(faces)} face{'s' * (len(faces) > 1)}, mean score{'s' * (len(faces) > 1)} {scores}"
            console.print(f"{path}: {told} -> {names}", highlight=False, soft_wrap=True)
        if failed:
            console.print(f"{failed} of {len(arguments.photos)} photographs failed")
    return 1 if failed else 0


@contextlib.contextmanager
def tracked(photos: Sequence[str], console: Console) -> Iterator[Iterable[str]]:
    """The photographs, under a progress bar if there are several."""
    if len(photos) == 1:
        yield photos
        return
    from rich.progress import Progress  # a single photograph does not wait for this import

    with Progress(console=console) as bar:
        yield bar.track(photos, description="aligning")


def output_names(photos: Iterable[str]) -> dict[str, str]:
    """Path of a photograph -> the stem of its results' names.

    Raises:
        ValueError: two photographs would write the same files.
    """
    taken = {}
    for path in dict.fromkeys(photos):
        stem = Path(path).stem
        if stem in taken:
            raise ValueError(f"{taken[stem]} and {path} would both be written as {stem}.json; align them with different --out")
        taken[stem] = path
    return {path: stem for stem, path in taken.items()}


class Nothing:
    """The detector where the face's box is given."""

    name = "none"


def align_one(
    landmarker: FaceLandmarks, path: str | os.PathLike, arguments: argparse.Namespace, stem: Path
) -> tuple[list[Face], list[Path]]:
    """Aligns one photograph and writes its results.

    Args:
        landmarker: what finds the faces and their landmarks.
        path: the photograph.
        arguments: the command's arguments; `box` is the box of the only face, or None if faces are looked for.
        stem: path of the results without suffix.

    Returns:
        The faces, and the files written.

    Raises:
        OSError: the photograph cannot be opened, or a result cannot be written.
        ValueError: the photograph is no image, or has no face.
    """
    image = photo.read_photo(path)
    faces = landmarker(image, boxes=None if arguments.box is None else [arguments.box])
    if not faces:
        raise ValueError("no face found; give the face's --box")
    model = landmarker.model
    description = describe(model, path, image, "five_points" if arguments.five_points else "box")
    return faces, write_results(model, description, image, faces, stem)


def describe(model: Any, path: str | os.PathLike, image: np.ndarray, align: str) -> dict[str, Any]:
    """What the JSON file says of the photograph and the model.

    Args:
        model: the model.
        path: the photograph.
        image: (H, W, 3), its pixels.
        align: how faces were cropped, "box" or "five_points".
    """
    return {
        "photo": str(path),
        "width": image.shape[1],
        "height": image.shape[0],
        "scheme": model.scheme.name,
        "point_names": list(model.scheme.point_names),
        "coordinates": COORDINATES,
        "align": align,
    }


def write_results(model: Any, description: dict[str, Any], image: np.ndarray, faces: Sequence[Face], stem: Path) -> list[Path]:
    """Writes the picture, the JSON file and a `.pts` file for each face; returns their paths."""
    points = [stem.with_name(f"{stem.name}.pts")]
    if len(faces) > 1:
        points = [stem.with_name(f"{stem.name}_{number}.pts") for number in range(1, len(faces) + 1)]
    description = {
        **description,
        "faces": [
            {
                "box": np.round(geometry.square_box(face.box, model.enlarge), 3).tolist(),
                "landmarks": np.round(face.landmarks.astype(float), 3).tolist(),
                "scores": np.round(face.scores.astype(float), 4).tolist(),
                "mean_score": round(float(face.scores.mean()), 4),
                "detector_score": None if face.score is None else round(face.score, 4),
                "pts": path.name,
            }
            for face, path in zip(faces, points, strict=True)
        ],
    }
    picture, text = stem.with_name(f"{stem.name}_landmarks.png"), stem.with_name(f"{stem.name}.json")
    with replacing(picture) as temporary:
        overlay = image
        for face in faces:
            overlay = draw_landmarks(overlay, face.landmarks, model.scheme)
        if not cv2.imwrite(str(temporary), cv2.cvtColor(overlay, cv2.COLOR_RGB2BGR)):
            raise OSError(f"{picture} cannot be written")
    with replacing(text) as temporary:
        temporary.write_text(json.dumps(description, indent=1, allow_nan=False), encoding="utf-8")
    for path, face in zip(points, faces, strict=True):
        write_points(path, face.landmarks)
    return [picture, text, *points]
