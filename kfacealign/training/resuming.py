"""Resuming: a killed run goes on only as it was begun.

Settings, the configuration of the model, the random views, and the faces with their labels must be the same. Every
checkpoint writes them to `state.json`, and `--resume` compares them; what differs is named with both values.
"""

import argparse
import hashlib
import json
from typing import Any

import numpy as np

from kfacealign import schemes
from kfacealign.models.aligner import FaceAligner

# These settings do not change what an epoch does: they say where files are (the faces themselves are compared), how many
# epochs there shall be, what is done after them, and what computes them.
NOT_COMPARED = (
    "out",
    "resume",
    "data_dir",
    "missing",
    "unlabelled",
    "cache",
    "epochs",
    "keep",
    "keep_of",
    "devices",
    "steps_per_call",
)
# What a run did that was begun before there was the setting.
BEFORE = {"precision": "float32", "sigma": 1.5}
# Keys of serialised Keras objects that are not compared: names, which Keras numbers anew, and what follows from other keys.
NAMES = (
    "name",
    "registered_name",
    "module",
    "build_config",
    "inbound_nodes",
    "input_layers",
    "output_layers",
    "shared_object_id",
)
LONG = 60  # characters of a value that a message shows


def describe(faces: Any, settings: argparse.Namespace, *, views: Any = None, **further: Any) -> dict:
    """Everything but the model that decides what an epoch does, as plain JSON.

    Args:
        faces: a `kfacealign.data.Dataset` or `ClipsDataset`.
        settings: of the run; `NOT_COMPARED` are left out.
        views: the `RandomView` of training, or None.
        further: values of the caller's own.
    """
    described = {name: value for name, value in vars(settings).items() if name not in NOT_COMPARED}
    described |= {"align": alignment_of(settings), "dataset": faces.name, "scheme": schemes.described(faces.scheme)}
    for part in ("train", "test"):
        described[f"{part} faces"] = len(getattr(faces, part))
        described[f"{part} labels"] = fingerprint(getattr(faces, part))
    described["views"] = None if views is None else without_names(views.get_config())
    return as_json({**described, **further})


def describe_model(model: FaceAligner) -> dict:
    """The class and the configuration of a model, as plain JSON."""
    return as_json({"class": type(model).__name__, **without_names(model.get_config())})


def check_same(before: dict, now: dict, directory: Any) -> None:
    """Compares the description of a run with the one it was begun with. Keys that `now` lacks are not compared.

    Raises:
        ValueError: something differs; the message names it with both values.
    """
    before, now = {**BEFORE, **flattened(before)}, flattened(now)
    changed = [
        f"{name} was {shown(before.get(name))} and is {shown(value)}" for name, value in now.items() if before.get(name) != value
    ]
    if changed:
        raise ValueError(f"{directory} cannot be resumed with other settings: {'; '.join(changed)}")


def alignment_of(settings: argparse.Namespace) -> str:
    """How crops are cut, `align` of `kfacealign.data.Crops`; by the box where the settings do not say."""
    return getattr(settings, "align", "box")


def fingerprint(faces: Any) -> str:
    """Twelve hexadecimal digits of a hash of the names and labels of `Faces` or `Clips`."""
    faces = getattr(faces, "faces", faces)
    digest = hashlib.sha256("\n".join(faces.names).encode("utf-8", "backslashreplace"))
    for labels in (faces.landmarks, faces.weights, faces.boxes):
        digest.update(np.ascontiguousarray(labels, "float32").tobytes())
    return digest.hexdigest()[:12]


# === Plain values ===


def without_names(config: Any) -> Any:
    """A Keras configuration without `NAMES`, at any depth."""
    if isinstance(config, dict):
        return {key: without_names(value) for key, value in config.items() if key not in NAMES}
    if isinstance(config, list | tuple):
        return [without_names(value) for value in config]
    return config


def as_json(values: dict) -> dict:
    """The values as they come back from a JSON file."""
    return json.loads(json.dumps(values, default=plain))


def plain(value: Any) -> Any:
    """NumPy's numbers and arrays as Python's; anything else as text."""
    return value.tolist() if hasattr(value, "tolist") else str(value)


def flattened(values: dict, prefix: str = "") -> dict:
    """Nested dicts as one, whose keys are paths such as `model.stacks`."""
    flat = {}
    for name, value in values.items():
        if isinstance(value, dict) and value:
            flat |= flattened(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def shown(value: Any) -> str:
    """A value as a message shows it; of a long one its beginning."""
    text = str(value)
    return text if len(text) <= LONG else f"{text[:LONG]}..."
