"""Faces without labels, for self-training and domain adaptation.

They are `Faces` like all others, so that crops, batches and views need not know: the landmarks are placeholders (the
scheme's mean shape, stretched to the face's box), the box is that of brows to chin, and the attribute `unlabelled` says
that no method may learn from the landmarks. Cut their crops with `box="file"`.
"""

import warnings
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track

from kfacealign import geometry, schemes
from kfacealign.data.faces import Faces
from kfacealign.data.images import read_image
from kfacealign.detect import HaarDetector, find_faces

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
NAMED = 5  # images left out that a warning names before it only counts


def image_folder(root, scheme, boxes=None, detector=None):
    """The faces in a folder of images, one for each image: the largest.

    An image without a face, or one that cannot be read, is left out with a warning. Pixels are taken as stored, as
    everywhere in training, so a photograph that only its EXIF orientation turns upright shows no face.

    Args:
        root: the folder; its subfolders are read too. Faces are in the order of the paths and named by them.
        scheme: landmark scheme that the faces shall be labelled in, a name or a `Scheme`.
        boxes: mapping from an image's path below `root` ("people/anna.jpg") to its face's box, brows to chin,
            `(x0, y0, x1, y1)` in image coordinates; images that it does not name are left out. None detects faces.
        detector: anything with `HaarDetector`'s `boxes`; by default that.

    Returns:
        `Faces` with the attribute `unlabelled`.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: it holds no image, none with a face, or a box is not one.
    """
    root, scheme = Path(root), schemes.get(scheme)
    if not root.is_dir():
        raise FileNotFoundError(f"{root} is no folder; expected one with images of unlabelled faces")
    paths = sorted(path for path in root.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not paths:
        raise ValueError(f"{root} holds no image; expected files ending in {' '.join(SUFFIXES)}")
    images = {path.relative_to(root).as_posix(): path for path in paths}
    found, missing = given_boxes(images, boxes) if boxes is not None else detect_boxes(images, detector or HaarDetector())
    if not found:
        hint = "none is among the given boxes" if boxes is not None else "name the faces' boxes with boxes="
        raise ValueError(f"{root}: no face was found in any of its {len(images):,} images ({shown(missing)}); {hint}")
    if missing:
        warnings.warn(f"{root}: {len(missing):,} of {len(images):,} images left out: {shown(missing)}", stacklevel=2)
    return unlabelled_faces(scheme, [images[name] for name in found], np.stack(list(found.values())), list(found))


def ignore_labels(faces, scheme=None):
    """Labelled faces as unlabelled ones: only the box of their landmarks is kept.

    Args:
        faces: `Faces`.
        scheme: the scheme that they shall be labelled in, if another than their own: WFLW's faces, annotated with 98
            points, are unlabelled data for a model of 68.

    Returns:
        `Faces` with the attribute `unlabelled`, `boxes` those of the annotated landmarks.

    Raises:
        ValueError: there is no face.
    """
    if not len(faces):
        raise ValueError("there is no face whose labels could be ignored")
    boxes = geometry.landmark_box(faces.landmarks, faces.weights)
    return unlabelled_faces(schemes.get(scheme or faces.scheme), faces.images, boxes, faces.names)


def mixed(labelled, unlabelled):
    """One list of labelled faces and of those that are not, or whose labels are a model's.

    Args:
        labelled: `Faces`.
        unlabelled: `Faces` of the same scheme; their boxes are those that crops are to be cut by.

    Returns:
        `Faces`, the labelled ones first, with the attribute `unlabelled` and no other. With `box="file"` all crops
        are cut alike, those of the labelled faces as `box="landmarks"` would.

    Raises:
        ValueError: the schemes differ, or one of the two has no face.
    """
    for name, faces in (("labelled", labelled), ("unlabelled", unlabelled)):
        if not len(faces):
            raise ValueError(f"there are no {name} faces")
    if labelled.scheme.name != unlabelled.scheme.name:
        raise ValueError(
            f"the labelled faces have {labelled.scheme.name}, the unlabelled ones {unlabelled.scheme.name}: "
            "read the unlabelled ones in the scheme of the labelled"
        )
    boxes = geometry.landmark_box(labelled.landmarks, labelled.weights)
    return Faces(
        labelled.scheme,
        images=[*labelled.images, *unlabelled.images],
        landmarks=np.concatenate([labelled.landmarks, unlabelled.landmarks]),
        weights=np.concatenate([labelled.weights, unlabelled.weights]),
        boxes=np.concatenate([boxes, unlabelled.boxes]),
        attributes={"unlabelled": np.arange(len(labelled) + len(unlabelled)) >= len(labelled)},
        names=[*labelled.names, *unlabelled.names],
    )


def unlabelled_faces(scheme, images, boxes, names):
    return Faces(
        scheme,
        images=images,
        landmarks=placeholders(scheme, boxes),
        boxes=boxes,
        attributes={"unlabelled": np.ones(len(boxes), bool)},
        names=names,
    )


def placeholders(scheme, boxes):
    """The scheme's mean shape stretched to boxes (N, 4): (N, K, 2) float32, the box of each is the box given."""
    boxes = np.asarray(boxes, "float32")
    shape = scheme.mean_shape
    low, high = shape.min(0), shape.max(0)
    return boxes[:, None, :2] + (shape - low) / (high - low) * (boxes[:, None, 2:] - boxes[:, None, :2])


def given_boxes(images, boxes):
    """The boxes (4,) by name of the images that have one, and the others: name -> reason."""
    found = {name: np.asarray(boxes[name], "float32") for name in images if name in boxes}
    for name, box in found.items():
        if box.shape != (4,):
            raise ValueError(f"{images[name]}: its box is {box.tolist()}, expected x0, y0, x1, y1")
    return found, {name: "no box given" for name in images if name not in boxes}


def detect_boxes(images, detector):
    """As `given_boxes`, of the largest face found in each image."""
    console = Console()
    found, missing = {}, {}
    items = track(images.items(), "finding faces", console=console, transient=True, disable=not console.is_terminal)
    for name, path in items:
        try:
            boxes = find_faces(read_image(path), detector)
        except (OSError, ValueError) as error:
            missing[name] = getattr(error, "strerror", None) or str(error)
            continue
        if len(boxes):
            found[name] = boxes[0]
        else:
            missing[name] = "no face found"
    return found, missing


def shown(missing):
    """The first images left out, with the reason, and how many more there are."""
    text = "; ".join(f"{name} ({reason})" for name, reason in list(missing.items())[:NAMED])
    return text + (f"; and {len(missing) - NAMED:,} more" if len(missing) > NAMED else "")
