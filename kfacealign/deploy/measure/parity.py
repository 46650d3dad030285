"""Whether exported models say what the model says: the same crops through all of them."""

import dataclasses
from pathlib import Path

import numpy as np

MOVED = 1e-3  # of the crop's side; a landmark that differs by more counts as moved


@dataclasses.dataclass(frozen=True)
class Parity:
    """How far the landmarks of one model are from those of the reference.

    Attributes:
        name: of the model, its path where it was given by one.
        maximum, mean: distance of a landmark to the reference's, as a fraction of the crop's side.
        maximum_pixels, mean_pixels: the same in pixels of the crop.
        moved: share of the landmarks that differ by more than `MOVED`.
        nme: mean error against the truth in percent, None without truth. ratio: of it to the reference's, None if that is 0.
    """

    name: str
    maximum: float
    mean: float
    maximum_pixels: float
    mean_pixels: float
    moved: float
    nme: float | None = None
    ratio: float | None = None


def compare(reference, others, crops, truth=None, weights=None, normalizer=None, advance=lambda: None):
    """The same crops through a reference and other models.

    Args:
        reference: a path that `kfacealign.deploy.load` takes, or a loaded model; mostly the `.keras` file.
        others: list of the same.
        crops: (N, S, S, 3) RGB 0..255, S the input size of all.
        truth: (N, K, 2) landmarks in crop coordinates, for NMEs.
        weights: (N, K), 0 = not annotated.
        normalizer: of the NME; by default the scheme's.
        advance: called after each model, the reference among them, for a progress bar.

    Returns:
        List of `Parity`, the reference first.

    Raises:
        ValueError: there are no crops, a model cannot be loaded, or it reads other crops or has other landmarks than the
            reference.

    Example:
        >>> for record in compare("model.keras", ["model.tflite", "model.onnx"], crops):
        ...     print(record.name, record.maximum)
    """
    if not len(crops):
        raise ValueError("there are no crops to compare on")
    name, model = loaded(reference)
    expected = answers(model, name, crops)
    first = record(name, model, expected, expected, truth, weights, normalizer)
    advance()
    records = [dataclasses.replace(first, ratio=None if first.nme is None else 1.0)]
    for other in others:
        other_name, other_model = loaded(other)
        check(model, other_model, other_name)
        made = record(other_name, other_model, expected, answers(other_model, other_name, crops), truth, weights, normalizer)
        if made.nme is not None and first.nme:
            made = dataclasses.replace(made, ratio=made.nme / first.nme)
        records.append(made)
        advance()
    return records


def loaded(model):
    """Name and model of a path or of a model."""
    from kfacealign import deploy

    if isinstance(model, str | Path):
        return str(model), deploy.load(model)
    return getattr(model, "path", type(model).__name__), model


def check(reference, other, name):
    for what in ("scheme", "input_size"):
        expected, found = (getattr(getattr(model, what), "name", getattr(model, what)) for model in (reference, other))
        if expected != found:
            raise ValueError(f"{name} cannot be compared: its {what.replace('_', ' ')} is {found}, the reference's {expected}")


def answers(model, name, crops):
    landmarks = np.asarray(model.align(crops, verbose=0)[0], "float64")
    if not np.isfinite(landmarks).all():
        raise ValueError(f"{name}: landmarks that are not finite")
    return landmarks


def record(name, model, expected, found, truth, weights, normalizer):
    distances = np.linalg.norm(found - expected, axis=-1)
    farthest, mean = float(distances.max()), float(distances.mean())
    error = None if truth is None else mean_error(found, truth, weights, model.scheme, normalizer)
    size = model.input_size
    return Parity(name, farthest, mean, farthest * size, mean * size, float((distances > MOVED).mean()), error)


def mean_error(found, truth, weights, scheme, normalizer):
    """NME in percent over the faces that have a normaliser; None if none has."""
    from kfacealign import metrics

    truth = np.asarray(truth, "float32")
    weights = np.ones(truth.shape[:2], "float32") if weights is None else np.asarray(weights, "float32")
    # In crop coordinates the side of the image is 1.
    given = (scheme, normalizer, weights, 1.0)
    errors, lengths = metrics.nme(truth, found.astype("float32"), *given), metrics.normalizer(truth, *given)
    errors = np.asarray(errors)[np.asarray(lengths) > 0]
    return float(errors.mean()) if len(errors) else None
