"""Whether exported models say what the model says: the same crops through all of them."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kfacealign import photo
from kfacealign.schemes import Scheme

MOVED = 1e-3  # of the crop's side; a landmark that differs by more counts as moved


@dataclasses.dataclass(frozen=True)
class Parity:
    """How far the landmarks of one model are from those of the reference.

    Attributes:
        name: the path of the model, or its class where it was not given by a path.
        maximum: largest distance of a landmark to the reference's landmark, as a fraction of the crop's side.
        mean: mean of these distances.
        maximum_pixels: `maximum` in pixels of the crop.
        mean_pixels: `mean` in pixels of the crop.
        moved: share of the landmarks that differ by more than `MOVED`.
        nme: mean error against the truth in percent; None without truth.
        ratio: `nme` over the reference's; None without truth, or if the reference's is 0.
        visibility: largest difference of a point's probability to be seen; None where one of the models does not say it.
        deviation: largest difference of the standard deviation of a point's error along x or y, as a fraction of the crop's
            side; None where one of the models has no covariance.
    """

    name: str
    maximum: float
    mean: float
    maximum_pixels: float
    mean_pixels: float
    moved: float
    nme: float | None = None
    ratio: float | None = None
    visibility: float | None = None
    deviation: float | None = None


def compare(
    reference: str | Path | Any,
    others: Sequence[str | Path | Any],
    crops: np.ndarray,
    *,
    truth: np.ndarray | None = None,
    weights: np.ndarray | None = None,
    normalizer: str | None = None,
    trust: bool = False,
    advance: Callable[[], Any] = lambda: None,
) -> list[Parity]:
    """Reads the same crops by a reference and by other models, and compares the landmarks; of calibrated models all answers.

    Args:
        reference: a path that `kfacealign.deploy.load` takes, or a loaded model; mostly the `.keras` file.
        others: list of such paths or models.
        crops: (N, S, S, 3) RGB 0..255, S the input size of all models.
        truth: (N, K, 2) landmarks in crop coordinates, for NMEs.
        weights: (N, K), 0 = not annotated.
        normalizer: what NMEs are divided by; by default the scheme's normaliser.
        trust: whether SavedModel folders may be loaded, which are programs.
        advance: called after each model, the reference included, for a progress bar.

    Returns:
        List of `Parity`, the reference first.

    Raises:
        ValueError: there are no crops, a model cannot be loaded, or it differs from the reference in the size of the crops
            or in the scheme.

    Example:
        >>> for record in compare("model.keras", ["model.tflite", "model.onnx"], crops):
        ...     print(record.name, record.maximum)
    """
    if not len(crops):
        raise ValueError("there are no crops to compare on")
    name, model = loaded(reference, trust)
    expected = answers(model, name, crops)
    against = {"truth": truth, "weights": weights, "normalizer": normalizer}
    first = record(name, model, expected, expected, **against)
    advance()
    records = [dataclasses.replace(first, ratio=None if first.nme is None else 1.0)]
    for other in others:
        other_name, other_model = loaded(other, trust)
        check(model, other_model, other_name)
        made = record(other_name, other_model, expected, answers(other_model, other_name, crops), **against)
        if made.nme is not None and first.nme:
            made = dataclasses.replace(made, ratio=made.nme / first.nme)
        records.append(made)
        advance()
    return records


def loaded(model: str | Path | Any, trust: bool = False) -> tuple[str, Any]:
    """The name of a model and the model itself, which is loaded if only its path is given."""
    from kfacealign import deploy

    if isinstance(model, str | Path):
        return str(model), deploy.load(model, trust=trust)
    return getattr(model, "path", type(model).__name__), model


def check(reference: Any, other: Any, name: str) -> None:
    """Checks that a model can be compared with the reference.

    Raises:
        ValueError: it has another scheme or another input size.
    """
    if not other.scheme.matches(reference.scheme):
        found = other.scheme.difference(reference.scheme)
        raise ValueError(f"{name} cannot be compared: its scheme is {found}, the reference's {reference.scheme.name}")
    if other.input_size != reference.input_size:
        raise ValueError(
            f"{name} cannot be compared: its input size is {other.input_size}, the reference's {reference.input_size}"
        )


def answers(model: Any, name: str, crops: np.ndarray) -> dict[str, np.ndarray]:
    """What a model says of crops, float64: `landmarks` (N, K, 2), and of a calibrated one `visibility` and `covariance`.

    Raises:
        ValueError: some values are not finite.
    """
    if len(photo.answers(model)) > 2:
        found = model.align_all(crops, verbose=0)
    else:
        found = {"landmarks": model.align(crops, verbose=0)[0]}
    found = {kind: np.asarray(values, "float64") for kind, values in found.items() if kind != "scores"}
    for kind, values in found.items():
        if not np.isfinite(values).all():
            raise ValueError(f"{name}: {kind} that are not finite")
    return found


def record(
    name: str,
    model: Any,
    expected: dict[str, np.ndarray],
    found: dict[str, np.ndarray],
    *,
    truth: np.ndarray | None,
    weights: np.ndarray | None,
    normalizer: str | None,
) -> Parity:
    """The `Parity` of what a model found with what was expected, both as of `answers`; `ratio` is left to the caller."""
    landmarks = found["landmarks"]
    distances = np.linalg.norm(landmarks - expected["landmarks"], axis=-1)
    farthest, mean = float(distances.max()), float(distances.mean())
    error = None
    if truth is not None:
        error = mean_error(landmarks, truth, scheme=model.scheme, weights=weights, normalizer=normalizer)
    size, moved, further = model.input_size, float((distances > MOVED).mean()), {}
    if "visibility" in found and "visibility" in expected:
        further["visibility"] = float(np.abs(found["visibility"] - expected["visibility"]).max())
    if "covariance" in found and "covariance" in expected:
        one, two = (np.sqrt(answer["covariance"][..., [0, 2]]) for answer in (found, expected))
        further["deviation"] = float(np.abs(one - two).max())
    return Parity(name, farthest, mean, farthest * size, mean * size, moved, error, **further)


def mean_error(
    found: np.ndarray, truth: np.ndarray, *, scheme: Scheme, weights: np.ndarray | None, normalizer: str | None
) -> float | None:
    """The NME in percent over the faces whose normaliser is above 0; None if there is no such face."""
    from kfacealign import metrics

    truth = np.asarray(truth, "float32")
    weights = np.ones(truth.shape[:2], "float32") if weights is None else np.asarray(weights, "float32")
    # In crop coordinates the side of the image is 1.
    given = {"name": normalizer, "weights": weights, "image_size": 1.0}
    errors, lengths = metrics.nme(truth, found.astype("float32"), scheme, **given), metrics.normalizer(truth, scheme, **given)
    errors = np.asarray(errors)[np.asarray(lengths) > 0]
    return float(errors.mean()) if len(errors) else None
