"""`kfacealign align`: the landmarks of the faces in photographs."""

import json
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.progress import Progress

from kfacealign import deploy, geometry, presets
from kfacealign.commands import align_options
from kfacealign.data import alignment
from kfacealign.data.pts import write_points
from kfacealign.detect import HaarDetector, face_box
from kfacealign.drawing import draw_landmarks
from kfacealign.files import replacing

COORDINATES = (
    "image coordinates: (x, y) in pixels, origin at the outer top-left corner, the centre of the first pixel at (0.5, 0.5); "
    "the photograph upright, its EXIF orientation applied. In the .pts files the centre of the first pixel is (1, 1)"
)


def run(arguments):
    outputs = output_names(arguments.photos)
    arguments.model = presets.chosen(arguments.model, keras=arguments.flip)
    options = align_options(arguments)
    model = deploy.load(arguments.model)
    if arguments.five_points:
        alignment.indices(model.scheme)  # refuses a scheme that has none
    detector = make_detector() if arguments.box is None else None
    out = Path(arguments.out)
    failed = 0
    with Progress(disable=len(arguments.photos) == 1, console=Console()) as bar:
        for photo in bar.track(arguments.photos, description="aligning"):
            try:
                stem = out / outputs[photo]
                faces, written = align_photo(model, photo, arguments.box, detector, stem, arguments.five_points, options)
            except (ValueError, OSError) as error:
                failed += 1
                reason = getattr(error, "strerror", None) or error
                bar.console.print(f"{photo}: [red]skipped[/red]: {reason}", highlight=False, soft_wrap=True)
                continue
            names = ", ".join(str(path) for path in written)
            bar.console.print(f"{photo}: {faces} face{'s' * (faces > 1)} -> {names}", highlight=False, soft_wrap=True)
        if failed:
            bar.console.print(f"{failed} of {len(arguments.photos)} photographs failed")
    return 1 if failed else 0


def output_names(photos):
    """Photo -> the stem of its results.

    Raises:
        ValueError: two photos would write the same files.
    """
    taken = {}
    for photo in dict.fromkeys(photos):
        stem = Path(photo).stem
        if stem in taken:
            raise ValueError(f"{taken[stem]} and {photo} would both be written as {stem}.json; align them with different --out")
        taken[stem] = photo
    return {photo: stem for stem, photo in taken.items()}


def make_detector():
    try:
        return HaarDetector()
    except RuntimeError as error:
        raise ValueError(error) from None


def align_photo(model, photo, box, detector, stem, five_points=False, options=None):
    """Aligns one photograph and writes its results.

    Args:
        model: anything `kfacealign.deploy.load` returns.
        photo: path.
        box: (4,) of the only face, or None for those that `detector` finds.
        stem: path of the results without suffix.
        five_points: whether a second pass reads the faces aligned by the five points that the first found.
        options: dict of further arguments of `model.align`.

    Returns:
        Number of faces and the list of files written.

    Raises:
        OSError, ValueError: the photo cannot be read, or has no face.
    """
    image = read_photo(photo)
    boxes = [box] if box is not None else detected_faces(detector, image)
    boxes = [geometry.square_box(box, model.enlarge) for box in boxes]
    options = options or {}
    landmarks, scores = align_faces(model, image, boxes, **options)
    if five_points:
        landmarks, scores = alignment.refine(model, image, landmarks, scores, **options)
    description = describe(model, photo, image, "five_points" if five_points else "box")
    return len(boxes), write_results(model, description, image, boxes, landmarks, scores, stem)


def read_photo(path):
    """An image file -> `(H, W, 3)` uint8 RGB, upright.

    Raises:
        OSError: it cannot be opened. ValueError: it is not a complete image.
    """
    content = np.frombuffer(Path(path).read_bytes(), np.uint8)
    try:
        image = cv2.imdecode(content, cv2.IMREAD_COLOR) if content.size else None
    except cv2.error:
        image = None
    if image is None:
        raise ValueError("not an image, or a damaged one")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def detected_faces(detector, image):
    """Boxes from brows to chin of the faces found, the largest first.

    Raises:
        ValueError: there is none.
    """
    boxes = detector.boxes(image)
    if not len(boxes):
        raise ValueError("no face found; give the face's --box")
    return face_box(boxes)


def align_faces(model, image, boxes, **options):
    """Landmarks `(N, K, 2)` in image coordinates and scores `(N, K)` of the faces in square boxes."""
    crops, matrices = zip(*(geometry.crop(image, box, model.input_size) for box in boxes))
    landmarks, scores = model.align(np.stack(crops), verbose=0, **options)
    to_image = geometry.invert_affine(np.stack(matrices))
    return geometry.apply_affine(to_image, landmarks * model.input_size), scores


def describe(model, photo, image, align):
    """What the results say of photograph and model."""
    return {
        "photo": str(photo),
        "width": image.shape[1],
        "height": image.shape[0],
        "scheme": model.scheme.name,
        "point_names": list(model.scheme.point_names),
        "coordinates": COORDINATES,
        "align": align,
    }


def write_results(model, description, image, boxes, landmarks, scores, stem):
    """Writes the picture, the JSON file and a `.pts` file for each face; returns their paths."""
    points = [stem.with_name(f"{stem.name}.pts")]
    if len(boxes) > 1:
        points = [stem.with_name(f"{stem.name}_{number}.pts") for number in range(1, len(boxes) + 1)]
    description = {
        **description,
        "faces": [
            {
                "box": np.round(box, 3).tolist(),
                "landmarks": np.round(face, 3).tolist(),
                "scores": np.round(score, 4).tolist(),
                "pts": path.name,
            }
            for box, face, score, path in zip(boxes, landmarks.astype(float), scores.astype(float), points)
        ],
    }
    picture, text = stem.with_name(f"{stem.name}_landmarks.png"), stem.with_name(f"{stem.name}.json")
    with replacing(picture) as temporary:
        overlay = image
        for face in landmarks:
            overlay = draw_landmarks(overlay, face, model.scheme)
        if not cv2.imwrite(str(temporary), cv2.cvtColor(overlay, cv2.COLOR_RGB2BGR)):
            raise OSError(f"{picture} cannot be written")
    with replacing(text) as temporary:
        temporary.write_text(json.dumps(description, indent=1), encoding="utf-8")
    for path, face in zip(points, landmarks):
        write_points(path, face)
    return [picture, text, *points]
