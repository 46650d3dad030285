"""A model's answers to annotated faces, and the report of their errors."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from rich.progress import track

from kfacealign import geometry, schemes
from kfacealign.console import make_console
from kfacealign.data.crops import Crops
from kfacealign.data.faces import Faces
from kfacealign.evaluation.reports import Report, report

BATCH = 64
LONG = 4  # number of batches from which on a progress bar is shown


def predict(model: Any, crops: Crops, *, batch_size: int = BATCH, flip: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Landmarks of all crops in the coordinates of their photographs.

    Args:
        model: anything with `align`.
        crops: `kfacealign.data.Crops` of at least one face.
        batch_size: crops in a step. A terminal shows a progress bar from four steps on.
        flip: see `FaceAligner.align`. Exported models do not take it; they average if they were exported so.

    Returns:
        landmarks `(N, K, 2)` float32, and the weights of their errors `(N, K)`, which are 0 where the image cannot be read.
    """
    starts = range(0, len(crops), batch_size)
    console = make_console()
    quiet = len(starts) < LONG or not console.is_terminal
    options = {"flip": True} if flip else {}
    landmarks, weights = [], []
    for start in track(starts, "evaluating", console=console, transient=True, disable=quiet):
        indices = np.arange(start, min(start + batch_size, len(crops)))
        images, _, counted = crops.batch(indices)
        points = model.align(images, verbose=0, **options)[0]
        landmarks.append(geometry.from_crop(points, crops.matrices[indices], crops.size))
        weights.append(counted)
    return np.concatenate(landmarks), np.concatenate(weights)


def evaluate(
    model: Any,
    faces: Faces | Crops,
    *,
    subsets: Mapping[str, np.ndarray | Sequence[int]] | None = None,
    normalizer: str | None = None,
    thresholds: Sequence[float] = (8.0, 10.0),
    enlarge: float | None = None,
    flip: bool = False,
) -> Report:
    """Errors of a model on annotated faces, measured in the coordinates of their photographs.

    Args:
        model: a `FaceAligner`, an exported model, or anything else with `align`, `input_size`, `scheme` and `enlarge`.
        faces: `Faces`, or `Crops` that were made of them.
        subsets: dict of name -> positions of faces, or flags.
        normalizer: name of the normaliser; None takes the scheme's default. "image" is the side of a face's crop.
        thresholds: thresholds of failure rate and AUC, in percent.
        enlarge: side of the crops over the longer side of the landmarks' box; None takes the model's. `Crops` have a factor of
            their own, and this one is not used.
        flip: whether the answers on each crop and on its mirror image are averaged, see `FaceAligner.align`.

    Returns:
        A `Report`; faces whose image cannot be read do not count in it.

    Raises:
        ValueError: the faces have another scheme than the model, there is no face, or the model's output is not finite.

    Example:
        >>> faces = kfacealign.data.wflw("WFLW")
        >>> print(evaluate(model, faces.test, subsets=faces.subsets))
    """
    annotated = faces.faces if isinstance(faces, Crops) else faces
    scheme = schemes.get(model.scheme)
    if not annotated.scheme.matches(scheme):
        raise ValueError(f"the model predicts {scheme.name}, the faces have {annotated.scheme.difference(scheme)}")
    if not len(annotated):
        raise ValueError("there is no face to evaluate")
    crops = faces
    if not isinstance(faces, Crops):
        crops = Crops(faces, model.input_size, enlarge=model.enlarge if enlarge is None else enlarge, cache=None)
    predicted, weights = predict(model, crops, flip=flip)
    made = report(
        annotated.landmarks,
        predicted,
        annotated.scheme,
        weights=weights,
        subsets=subsets,
        normalizer=normalizer,
        thresholds=thresholds,
        names=annotated.names,
        image_size=crops.sides,
    )
    return dataclasses.replace(made, align=crops.align)
