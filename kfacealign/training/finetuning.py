"""Training that goes on from a trained model: fine-tuning."""

from collections.abc import Callable
from typing import Any

import numpy as np

from kfacealign.models.aligner import FaceAligner
from kfacealign.models.calibrated import CalibratedAligner
from kfacealign.models.loading import load_keras


def begin_with(model: FaceAligner, source: str, load: Callable[[str], FaceAligner] = load_keras) -> None:
    """Gives a new model all the weights of a trained one of the same network.

    Args:
        model: `FaceAligner`, as it was built.
        source: the trained model, as `load` takes it: by default the path of a `.keras` file.
        load: function that reads it; `kfacealign.load` knows the names of presets, too. Of a calibrated model the one
            inside is taken, because training makes a calibration wrong.

    Raises:
        FileNotFoundError: nothing is at `source`.
        ValueError: it has no Keras weights, or those of another network; the message says what differs.
    """
    trained = load(source)
    if not hasattr(trained, "weights"):
        raise ValueError(f"{source} has no weights to go on with: name the .keras file that it was exported from")
    if isinstance(trained, CalibratedAligner):
        trained = trained.aligner
    if layout(trained) != layout(model):
        raise ValueError(f"{source} cannot begin this training, its network is another one: {differences(trained, model)}")
    model.set_weights(trained.get_weights())


def keep(model: FaceAligner, source: str, share: float, load: Callable[[str], FaceAligner] = load_keras) -> None:
    """Averages a fine-tuned model with the one that it began with, or another of its history, weight by weight.

    Such a model is often as good as the start on faces like those of the first training, and nearly as good as the fine-tuned
    one on those of the second (Wortsman et al., "Robust fine-tuning of zero-shot models", Eq. 1, with alpha = 1 - share).

    Args:
        model: `FaceAligner` that was fine-tuned.
        source: the other model, mostly what it began with, see `begin_with`.
        share: weight of the other model, 0 to 1.
        load: see `begin_with`.

    Raises:
        FileNotFoundError, ValueError: see `begin_with`; or the share is not between 0 and 1.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"the share of the start that is kept is {share:g}, expected 0 to 1")
    tuned = model.get_weights()
    begin_with(model, source, load)
    mixed = [
        share * start + (1 - share) * end if np.issubdtype(end.dtype, np.floating) else end
        for start, end in zip(model.get_weights(), tuned, strict=True)
    ]
    model.set_weights(mixed)


def layout(model: FaceAligner) -> tuple:
    """What must agree for weights to mean the same: their names and shapes in order, the scheme and the neighbours."""
    config, scheme = model.get_config(), model.scheme
    shapes = [(weight.name, tuple(weight.shape)) for weight in model.weights]
    return shapes, (scheme.name, list(scheme.point_names), list(scheme.mirror)), config.get("neighbors")


def differences(trained: FaceAligner, model: FaceAligner) -> str:
    """The settings in which two models differ, in words."""
    kinds = [type(one).__name__ for one in (trained, model)]
    if kinds[0] != kinds[1]:
        return f"it is {kinds[0]}, this is {kinds[1]}"
    there, here = trained.get_config(), model.get_config()
    changed = [
        name
        for name, value in here.items()
        if name not in ("name", "scheme") and not isinstance(value, dict) and there.get(name) != value
    ]
    told = [f"{name} is {brief(there.get(name))} there and {brief(here[name])} here" for name in changed]
    if not model.scheme.matches(trained.scheme):
        told.insert(0, f"scheme is {trained.scheme.difference(model.scheme)} there and {model.scheme.name} here")
    return "; ".join(told) or "its layers differ"


def brief(value: Any) -> Any:
    """A setting as a message shows it; a table is told by its shape."""
    return f"a table of {' x '.join(map(str, np.shape(value)))}" if isinstance(value, list) else value
