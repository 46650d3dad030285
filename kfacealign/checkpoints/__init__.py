"""The authors' PyTorch checkpoints as models of this package.

One file an architecture: `build` makes the model as the authors' code computes it, `targets` says which tensor of the
checkpoint becomes which weight. What was checked and what was not is in docs/checkpoints.md.
"""

import warnings

from kfacealign.checkpoints import fan, hih, pipnet
from kfacealign.checkpoints.mapping import fill
from kfacealign.checkpoints.reader import read

__all__ = ["ARCHITECTURES", "caution", "convert", "import_weights", "read"]

ARCHITECTURES = {"pipnet": pipnet, "hih": hih, "fan": fan}


def import_weights(model_name, variant, path, **options):
    """A model with the weights of an authors' checkpoint.

    Args:
        model_name: "pipnet", "hih" or "fan".
        variant: "resnet18", "resnet50" or "resnet101"; "tiny", "small" or "base"; "2dfan".
        path: the checkpoint, a state dict saved by `torch.save`, alone or under "state_dict" or "model".
        options: arguments of the model that the checkpoint was trained with: `scheme`, `input_size`, `enlarge`, for
            PIPNet also `stride`, `neighbors` and `mean_shape` (see `pipnet.read_meanface`).

    Returns:
        `FaceAligner`, ready for `align` and `save`.

    Raises:
        ValueError: the file is no checkpoint, would have to run code to be read, or does not fit the architecture; the
            tensors at fault are named.
        FileNotFoundError: there is no such file. ImportError: PyTorch is not installed.

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


def convert(model_name, variant, state, source, **options):
    """A state dict as a model.

    Args:
        state: dict of tensor names -> arrays. source: what errors call it, such as its file.
        model_name, variant, options: see `import_weights`.

    Returns:
        The `FaceAligner`, and the names of the tensors that no weight was made of.

    Raises:
        ValueError: see `import_weights`.
    """
    chosen = architecture(model_name, variant)
    for name, other in ARCHITECTURES.items():
        if other is not chosen and chosen.SIGNATURE not in state and other.SIGNATURE in state:
            raise ValueError(f"{source} is a checkpoint of {name}, not of {model_name}: import it as model {name}")
    model = chosen.build(variant, **options)
    return model, fill(chosen.targets(model), state, f"{source} does not fit {model_name} {variant}")


def architecture(model_name, variant):
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


def caution(model_name, options):
    """What the user should know of an import with these options, or None."""
    if model_name == "pipnet" and options.get("mean_shape") is None and options.get("neighbors", 10):
        return pipnet.NEIGHBORS_NOTE
    return None
