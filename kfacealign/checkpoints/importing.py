"""Importing: a state dict is read, matched with an architecture, and becomes a model."""

import os
import warnings
from types import ModuleType
from typing import Any

import numpy as np

from kfacealign.checkpoints import fan, hih, pipnet
from kfacealign.checkpoints.mapping import fill
from kfacealign.checkpoints.reader import read
from kfacealign.models.aligner import FaceAligner

ARCHITECTURES = {"pipnet": pipnet, "hih": hih, "fan": fan}


def import_weights(model_name: str, variant: str, path: str | os.PathLike, **options: Any) -> FaceAligner:
    """A model with the weights of an authors' checkpoint.

    Args:
        model_name: "pipnet", "hih" or "fan".
        variant: of pipnet "resnet18", "resnet50" or "resnet101"; of hih "tiny", "small" or "base"; of fan "2dfan".
        path: the checkpoint: a state dict saved by `torch.save`, or a dict that holds one under "state_dict" or "model".
        options: arguments of the model that the checkpoint was trained with: `scheme`, `input_size`, `enlarge`; for PIPNet
            also `stride`, `neighbors` and `mean_shape` (see `pipnet.read_meanface`).

    Returns:
        The `FaceAligner`, ready for `align` and `save`.

    Raises:
        ValueError: the file is no checkpoint, would have to run code to be read, or does not fit the architecture; the
            tensors at fault are named.
        FileNotFoundError: there is no such file.
        ImportError: PyTorch is not installed.

    Example:
        >>> mean_shape = pipnet.read_meanface("data/WFLW/meanface.txt", 98)
        >>> model = import_weights("pipnet", "resnet18", "epoch59.pth", scheme="wflw98", mean_shape=mean_shape)
        >>> model.save("pipnet.keras")
    """
    architecture(model_name, variant)
    model, _ = convert(model_name, variant, read(path), path, **options)
    note = caution(model_name, options)
    if note:
        warnings.warn(note, stacklevel=2)
    return model


def convert(
    model_name: str, variant: str, state: dict[str, np.ndarray], *, source: str | os.PathLike, **options: Any
) -> tuple[FaceAligner, list[str]]:
    """A state dict as a model.

    Args:
        model_name: see `import_weights`.
        variant: see there.
        state: dict of tensor names -> arrays.
        source: what errors call the state dict, such as its file.
        options: see `import_weights`.

    Returns:
        The `FaceAligner`, and the names of the tensors that became no weight.

    Raises:
        ValueError: the state dict does not fit the architecture; the tensors at fault are named.
    """
    chosen = architecture(model_name, variant)
    for name, other in ARCHITECTURES.items():
        if other is not chosen and chosen.SIGNATURE not in state and other.SIGNATURE in state:
            raise ValueError(f"{source} is a checkpoint of {name}, not of {model_name}: import it as model {name}")
    model = chosen.build(variant, **options)
    return model, fill(chosen.targets(model), state, f"{source} does not fit {model_name} {variant}")


def architecture(model_name: str, variant: str) -> ModuleType:
    """The module of an architecture.

    Raises:
        ValueError: there is no such model or variant.
    """
    if model_name not in ARCHITECTURES:
        raise ValueError(f"the model is one of {', '.join(ARCHITECTURES)}, not {model_name!r}")
    chosen = ARCHITECTURES[model_name]
    if variant not in chosen.VARIANTS:
        raise ValueError(f"the variant of {model_name} is one of {', '.join(chosen.VARIANTS)}, not {variant!r}")
    return chosen


def caution(model_name: str, options: dict[str, Any]) -> str | None:
    """A warning that the user should read after an import with these options, or None."""
    if model_name == "pipnet" and options.get("mean_shape") is None and options.get("neighbors", 10):
        return pipnet.NEIGHBORS_NOTE
    return None
