"""Faces without labels, for self-training and domain adaptation.

They are `Faces` like all others, so that crops, batches and views need not know of them. The landmarks are placeholders, the
scheme's mean shape stretched to the face's box. The box reaches from brows to chin. The attribute `unlabelled` says that no
method may learn from the landmarks. Cut the crops of such faces with `box="file"`.
"""

import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

from kfacealign import detect, geometry, schemes
from kfacealign.console import make_console
from kfacealign.console import shown as shown_name
from kfacealign.data.faces import Faces
from kfacealign.data.images import read_image
from kfacealign.data.readers import folders

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
NAMED = 5  # how many images left out a warning names; it counts the rest


def image_folder(
    root: str | os.PathLike,
    scheme: str | schemes.Scheme,
    *,
    boxes: Mapping[str, Sequence[float]] | None = None,
    detector: Any = None,
) -> Faces:
    """The largest face of each image in a folder.

    An image that shows no face or cannot be read is left out with a warning. Photographs are turned upright by their EXIF
    orientation, as everywhere.

    Args:
        root: the folder; its subfolders are read too. Faces are in the order of the paths and named by them.
        scheme: landmark scheme that the faces shall be labelled in, a name or a `Scheme`.
        boxes: the box `(x0, y0, x1, y1)` of each face, brows to chin, in image coordinates, by the image's path below `root`
            ("people/anna.jpg"). Images that it does not name are left out. None detects the faces.
        detector: see `kfacealign.detect.make`; None takes the best one installed.

    Returns:
        `Faces` with the attribute `unlabelled`.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: the folder holds no image, no image shows a face, or a box is not four numbers.
    """
    root, scheme = Path(root), schemes.get(scheme)
    if not root.is_dir():
        raise FileNotFoundError(f"{root} is no folder; expected one with images of unlabelled faces")
    found = (Path(folder, name) for folder, names in folders.walk(root) for name in names)
    paths = sorted(path for path in found if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise ValueError(f"{root} holds no image; expected files ending in {' '.join(SUFFIXES)}")
    images = {path.relative_to(root).as_posix(): path for path in paths}
    found, missing = given_boxes(images, boxes) if boxes is not None else detect_boxes(images, detect.make(detector))
    if not found:
        hint = "none is among the given boxes" if boxes is not None else "name the faces' boxes with boxes="
        raise ValueError(f"{root}: no face was found in any of its {len(images):,} images ({shown(missing)}); {hint}")
    if missing:
        warnings.warn(f"{root}: {len(missing):,} of {len(images):,} images left out: {shown(missing)}", stacklevel=2)
    return unlabelled_faces(scheme, [images[name] for name in found], np.stack(list(found.values())), names=list(found))


def ignore_labels(faces: Faces, *, scheme: str | schemes.Scheme | None = None) -> Faces:
    """Labelled faces as unlabelled ones: only the box of their landmarks is kept.

    Args:
        faces: `Faces`.
        scheme: the scheme that they shall be labelled in; None takes their own. WFLW's faces, which are annotated with 98
            points, are unlabelled data for a model of 68.

    Returns:
        `Faces` with the attribute `unlabelled` and the boxes of the annotated landmarks.

    Raises:
        ValueError: there is no face.
    """
    if not len(faces):
        raise ValueError("there is no face whose labels could be ignored")
    boxes = geometry.landmark_box(faces.landmarks, weights=faces.weights)
    return unlabelled_faces(schemes.get(scheme or faces.scheme), faces.images, boxes, names=faces.names)


def mixed(labelled: Faces, unlabelled: Faces) -> Faces:
    """One list of labelled faces and of faces that have no labels, or labels by a model.

    Args:
        labelled: `Faces`.
        unlabelled: `Faces` of the same scheme; crops will be cut by their boxes.

    Returns:
        `Faces`, the labelled ones first, with the attribute `unlabelled` and no other. `box="file"` cuts all crops alike: for
        labelled faces it gives the crops that `box="landmarks"` gives.

    Raises:
        ValueError: the schemes differ, or one of the two has no face.
    """
    for name, faces in (("labelled", labelled), ("unlabelled", unlabelled)):
        if not len(faces):
            raise ValueError(f"there are no {name} faces")
    if not labelled.scheme.matches(unlabelled.scheme):
        raise ValueError(
            f"the labelled faces have {labelled.scheme.name}, the unlabelled ones {unlabelled.scheme.name}: "
            "read the unlabelled ones in the scheme of the labelled"
        )
    boxes = geometry.landmark_box(labelled.landmarks, weights=labelled.weights)
    return Faces(
        labelled.scheme,
        images=[*labelled.images, *unlabelled.images],
        landmarks=np.concatenate([labelled.landmarks, unlabelled.landmarks]),
        weights=np.concatenate([labelled.weights, unlabelled.weights]),
        boxes=np.concatenate([boxes, unlabelled.boxes]),
        attributes={"unlabelled": np.arange(len(labelled) + len(unlabelled)) >= len(labelled)},
        names=[*labelled.names, *unlabelled.names],
    )


def unlabelled_faces(
    scheme: schemes.Scheme, images: Sequence[str | os.PathLike], boxes: np.ndarray, *, names: Sequence[str]
) -> Faces:
    """`Faces` with the attribute `unlabelled` and placeholders for landmarks, by their boxes (N, 4)."""
    return Faces(
        scheme,
        images=images,
        landmarks=placeholders(scheme, boxes),
        boxes=boxes,
        attributes={"unlabelled": np.ones(len(boxes), bool)},
        names=names,
    )


def placeholders(scheme: schemes.Scheme, boxes: np.ndarray) -> np.ndarray:
    """The scheme's mean shape stretched to boxes (N, 4): (N, K, 2) float32.

    Raises:
        ValueError: the scheme has no mean shape.
    """
    boxes = np.asarray(boxes, "float32")
    shape = scheme.mean_shape
    if shape is None:
        raise ValueError(
            f"{scheme.name} has no mean shape to put in the boxes of faces without labels: add mean_shape to its file, or read "
            "the labelled faces first (load_dataset), whose scheme has theirs"
        )
    low, high = shape.min(0), shape.max(0)
    return boxes[:, None, :2] + (shape - low) / (high - low) * (boxes[:, None, 2:] - boxes[:, None, :2])


def given_boxes(images: Mapping[str, Path], boxes: Mapping[str, Sequence[float]]) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Which images have a box.

    Args:
        images: name -> path.
        boxes: name -> x0, y0, x1, y1.

    Returns:
        Name -> box (4,) of the images that have one, and name -> reason of the others.
    """
    found = {name: np.asarray(boxes[name], "float32") for name in images if name in boxes}
    for name, box in found.items():
        if box.shape != (4,):
            raise ValueError(f"{images[name]}: its box is {box.tolist()}, expected x0, y0, x1, y1")
    return found, {name: "no box given" for name in images if name not in boxes}


def detect_boxes(images: Mapping[str, Path], detector: Any) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The box of the largest face found in each image; the result has the form of `given_boxes`."""
    console = make_console()
    found, missing = {}, {}
    items = track(images.items(), "finding faces", console=console, transient=True, disable=not console.is_terminal)
    for name, path in items:
        try:
            boxes = detect.find_faces(read_image(path), detector=detector)
        except (OSError, ValueError) as error:
            missing[name] = getattr(error, "strerror", None) or str(error)
            continue
        if len(boxes):
            found[name] = boxes[0]
        else:
            missing[name] = "no face found"
    return found, missing


def shown(missing: Mapping[str, str]) -> str:
    """The first images left out with their reasons, and how many more there are."""
    text = "; ".join(f"{shown_name(name)} ({reason})" for name, reason in list(missing.items())[:NAMED])
    return text + (f"; and {len(missing) - NAMED:,} more" if len(missing) > NAMED else "")
