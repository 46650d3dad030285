"""The faces of a training on points of one's own: a part to train on, one to stop by, and one to test."""

import argparse
import dataclasses
import os

import numpy as np

from kfacealign import data, schemes
from kfacealign.data.catalogue import load_dataset
from kfacealign.data.faces import Faces, joined
from kfacealign.data.mean_shape import with_mean_shape
from kfacealign.data.people import held_out, who

TEST = 0.1  # share of the faces of a folder without a test part
VALIDATION = 0.15  # share of the faces that are not tested


def three_parts(settings: argparse.Namespace) -> tuple[data.Dataset, Faces, list[str]]:
    """Faces for training, for validation and for the test; no person, as far as it is known, is in two of the parts.

    Args:
        settings: what `kfacealign.training.parse_settings` returned, with `person`, the pattern that `people.who` takes, or
            None. With one, the test part of a folder of `.pts` files without train and test folders is drawn anew, by people;
            of other datasets the training faces of people who are tested are left out.

    Returns:
        The dataset, whose training part is what is trained on; the validation faces; and sentences on them.

    Raises:
        ValueError: no scheme is named where the dataset has none; there are too few faces or people to be split; a name
            does not fit the pattern.
        OSError, ValueError: the dataset cannot be read, see `kfacealign.data.load_dataset`.
    """
    if settings.scheme is None and settings.dataset in ("pts", "csv"):
        raise ValueError(
            "--scheme is missing, which says what your points are: kfacealign datasets scheme FOLDER --name mine writes "
            "points.yaml, and --scheme points.yaml names it"
        )
    faces = load_dataset(settings.dataset, settings.data_dir, scheme=settings.scheme, missing=settings.missing)
    notes = []
    if settings.person is not None:
        faces, notes = by_people(faces, settings)
    people = who(faces.train, settings.person)
    if len(set(people)) < 2:
        raise ValueError(
            f"{faces.name}: {len(faces.train)} training faces of {len(set(people))} people are too few: one person is needed "
            "to train on, and another to validate the epochs"
        )
    held = held_out(people, VALIDATION, seed=settings.seed)
    trained, validation = faces.train[np.flatnonzero(~held)], faces.train[np.flatnonzero(held)]
    notes.append(f"{len(validation)} more faces, which are not trained on, validate the epochs")
    return dataclasses.replace(faces, train=trained), validation, notes


def by_people(faces: data.Dataset, settings: argparse.Namespace) -> tuple[data.Dataset, list[str]]:
    """The dataset with no person in both parts, and sentences on what was done."""
    named = all(os.path.isdir(os.path.join(settings.data_dir or "", part)) for part in ("train", "test"))
    if settings.dataset == "pts" and not named:
        whole = joined([faces.train, faces.test])
        held = held_out(who(whole, settings.person), TEST, seed=settings.seed)
        whole.scheme = schemes.get(settings.scheme)  # its mean shape shall be that of the new training part
        parts = {"train": whole[np.flatnonzero(~held)], "test": whole[np.flatnonzero(held)]}
        return with_mean_shape(dataclasses.replace(faces, scheme=whole.scheme, **parts)), []
    tested = set(who(faces.test, settings.person))
    kept = np.array([person not in tested for person in who(faces.train, settings.person)], bool)
    if kept.all():
        return faces, []
    train = faces.train[np.flatnonzero(kept)]
    return dataclasses.replace(faces, train=train), [
        f"left out: {np.count_nonzero(~kept)} training faces of people who are tested"
    ]
