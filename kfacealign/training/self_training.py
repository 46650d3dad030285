"""Self-training with curriculum (Sec. 3.3 of the PIPNet paper): rounds of ordinary runs.

Round 0 is supervised. Each later round labels the unlabelled faces by the model of the round before, and trains a model
from the same initial weights on labelled and pseudo-labelled faces together; its task says what the pseudo-labelled
faces are trained on. With the tasks 1, 2, 3, 3, 3 this is the paper's curriculum (STC), with all tasks 3 it is plain
self-training.
"""

import argparse
import dataclasses
import json
import warnings
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Column, Table

from kfacealign import data
from kfacealign.console import make_console
from kfacealign.console import shown as shown_name
from kfacealign.data.faces import Faces
from kfacealign.data.unlabelled import mixed
from kfacealign.evaluation.evaluating import predict
from kfacealign.evaluation.reports import heading, shown
from kfacealign.files import replacing
from kfacealign.models.aligner import FaceAligner
from kfacealign.models.loading import open_keras
from kfacealign.training.checkpoint import read_state, run_folder
from kfacealign.training.devices import single_process
from kfacealign.training.loop import run
from kfacealign.training.resuming import check_same, describe

LABELS = "pseudo_labels.npz"
NAMED = 5  # faces left out that a warning names before it only counts


def self_train(
    build: Callable[[], FaceAligner],
    faces: data.Dataset,
    unlabelled: Faces,
    views: data.RandomView | None,
    settings: argparse.Namespace,
    **options: Any,
) -> tuple[FaceAligner, list[dict]]:
    """Trains and pseudo-labels in rounds; round k is a run of its own in `settings.out/round_k`.

    A killed training goes on with `settings.resume`: finished rounds are kept, and the pseudo-labels of a round, which
    were saved before it began, are read again.

    Args:
        build: function without arguments that makes the model, a `PIPNet`.
        faces: the labelled faces, and the test faces.
        unlabelled: faces whose landmarks are not read, see `kfacealign.data.image_folder` and `ignore_labels`.
        views: the random views of training, or None.
        settings: what `kfacealign.training.parse_settings` returned; `settings.tasks` are those of the rounds after
            the supervised one.
        options: further arguments of `kfacealign.training.run`, the same for every round.

    Writes, besides what every round writes, `round_k/pseudo_labels.npz` (`names`, `landmarks` in image coordinates,
    `readable`) and `rounds.json`.

    Returns:
        The model of the last round, and a dict of `round`, `task` and test figures for each round.

    Raises:
        ValueError: before anything is trained, for a model without tasks, no unlabelled face, another scheme, a task
            that is not 1, 2 or 3 or that the model is too small for, or a directory that holds other rounds.
        BlockingIOError: another training writes to the directory.
    """
    tasks = list(settings.tasks)
    single_process("self-training")
    check(faces, unlabelled, tasks)
    rounds = [round_settings(settings, number, task) for number, task in enumerate((None, *tasks))]
    with run_folder(settings.out) as out:
        finished = count_finished(faces, views, rounds)
        console, rows = make_console(), []
        for number, own in enumerate(rounds):
            if number >= finished:
                console.rule(f"round {number}: " + ("supervised" if number == 0 else f"task {own.task} on pseudo-labels"))
                if number == 0:
                    run(build, faces, views, own, prepare=try_tasks(tasks), **options)
                else:
                    labelled = pseudo_labelled(unlabelled, out / f"round_{number - 1}" / "model.keras", own)
                    train_round(build, faces, labelled, views, own, options)
            rows.append({"round": number, "task": own.task, **figures(own.out)})
        write_rounds(console, out, faces, unlabelled, settings, rows)
    return open_keras(Path(rounds[-1].out) / "model.keras", compiled=True), rows


def train_round(build, faces, labelled, views, settings, options):
    """Runs once on labelled and pseudo-labelled faces, and trains the latter on `settings.task`."""

    def prepare(model):
        model.task = settings.task  # a checkpoint has none

    everyone = dataclasses.replace(faces, train=mixed(faces.train, labelled))
    run(build, everyone, views, settings, labels=("unlabelled",), box="file", prepare=prepare, **options)


def round_settings(settings: argparse.Namespace, number: int, task: int | None) -> argparse.Namespace:
    """The settings of one round: the recipe's with the one task of the round, in a directory of its own."""
    shared = {name: value for name, value in vars(settings).items() if name != "tasks"}
    return argparse.Namespace(**{**shared, "out": str(Path(settings.out) / f"round_{number}"), "task": task})


# === Checks ===


def check(faces: data.Dataset, unlabelled: Faces, tasks: Sequence[int]) -> None:
    """Raises ValueError where the tasks or the unlabelled faces cannot be trained on."""
    if not tasks or not set(tasks) <= {1, 2, 3}:
        raise ValueError(f"tasks are a sequence of 1, 2 and 3, one for each round after the supervised one, not {tasks}")
    mixed(faces.train, unlabelled)


def try_tasks(tasks: Sequence[int]) -> Callable[[FaceAligner], None]:
    """The `prepare` of a run: a function that raises ValueError for a model which cannot be trained on these tasks.

    Args:
        tasks: a task of PIPNet's curriculum (1, 2 or 3) for each round.
    """

    def prepare(model):
        if not hasattr(type(model), "task"):
            raise ValueError(f"self-training needs a model with tasks, such as PIPNet; {type(model).__name__} has none")
        for task in (*tasks, 3):
            model.task = task

    return prepare


def count_finished(faces, views, rounds):
    """How many rounds, from the first on, are finished.

    Raises:
        ValueError: there are rounds but they are not resumed, were made with other settings, or follow an unfinished one.
    """
    begun = [read_state(own.out) for own in rounds]
    if any(begun) and not rounds[0].resume:
        raise ValueError(
            f"{Path(rounds[0].out).parent} holds rounds of self-training: add --resume to go on with them, "
            "or name another directory with --out"
        )
    done = [state is not None and is_finished(state, faces, views, own) for state, own in zip(begun, rounds, strict=True)]
    count = done.index(False) if False in done else len(done)
    for own, state in zip(rounds[count + 1 :], begun[count + 1 :], strict=True):
        if state is not None:
            raise ValueError(
                f"{own.out} was trained on pseudo-labels of earlier rounds, but {rounds[count].out} is not finished: "
                f"remove {own.out} and those after it"
            )
    return count


def is_finished(state, faces, views, settings):
    """Whether a round has all its epochs and its report.

    Raises:
        ValueError: it was made with other settings.
    """
    now = describe(faces, settings, views=views)
    for name in ("train faces", "train labels"):
        now.pop(name)  # those with pseudo-labels are known only when they are read
    check_same(state["settings"], now, settings.out)
    written = all((Path(settings.out) / name).exists() for name in ("model.keras", "report.json"))
    return written and len(state["history"]) >= settings.epochs


# === Pseudo-labels ===


def pseudo_labelled(unlabelled: Faces, teacher: Path, settings: argparse.Namespace) -> Faces:
    """The unlabelled faces with a model's landmarks, which are read from the round's directory, or estimated and saved there.

    Args:
        unlabelled: the faces.
        teacher: path of the model that labels them.
        settings: the settings of the round.

    Returns:
        The faces; one whose image cannot be read is left out with a warning.

    Raises:
        ValueError: no image can be read.
    """
    path = Path(settings.out) / LABELS
    labels = read_labels(path, unlabelled)
    if labels is None or path.stat().st_mtime < teacher.stat().st_mtime:  # older ones are of a round since trained again
        labels = estimate(open_keras(teacher, compiled=True), unlabelled, settings)
        write_labels(path, unlabelled, *labels)
    landmarks, readable = labels
    if not readable.any():
        first = unlabelled.images[0]
        raise ValueError(f"none of the {len(unlabelled):,} images of unlabelled faces can be read, the first is {first}")
    if not readable.all():
        names = [unlabelled.names[index] for index in np.flatnonzero(~readable)]
        more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
        named = ", ".join(names[:NAMED]) + more
        warnings.warn(f"{len(names):,} unlabelled faces left out, their images cannot be read: {named}", stacklevel=2)
    kept = np.flatnonzero(readable)
    return Faces(
        unlabelled.scheme,
        images=[unlabelled.images[index] for index in kept],
        landmarks=landmarks[kept],
        boxes=unlabelled.boxes[kept],
        names=[unlabelled.names[index] for index in kept],
    )


def estimate(model: FaceAligner, unlabelled: Faces, settings: argparse.Namespace) -> tuple[np.ndarray, np.ndarray]:
    """A model's landmarks (N, K, 2) in image coordinates, and for each face whether its image could be read, (N,)."""
    crops = data.Crops(
        unlabelled, model.input_size, enlarge=model.enlarge, box="file", cache=settings.cache, strict=settings.strict
    )
    landmarks, weights = predict(model, crops)
    return landmarks, weights.any(1)


def write_labels(path: Path, unlabelled: Faces, landmarks: np.ndarray, readable: np.ndarray) -> None:
    """Writes the pseudo-labels of a round to an `.npz`: `names`, `landmarks` (N, K, 2) and `readable` (N,)."""
    with replacing(path) as temporary:
        np.savez(temporary, names=np.array(unlabelled.names, str), landmarks=landmarks.astype("float32"), readable=readable)


def read_labels(path: Path, unlabelled: Faces) -> tuple[np.ndarray, np.ndarray] | None:
    """The landmarks and flags that `write_labels` wrote; None where the file holds none of these faces."""
    try:
        with np.load(path) as saved:
            names, landmarks, readable = (saved[name] for name in ("names", "landmarks", "readable"))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None
    fits = names.tolist() == unlabelled.names and landmarks.shape == unlabelled.landmarks.shape
    return (landmarks, readable) if fits else None


# === Results ===


def figures(directory: str | Path) -> dict[str, float]:
    """The figures of the full test set in a run's report."""
    return json.loads((Path(directory) / "report.json").read_text())["subsets"]["full"]


def write_rounds(console, out, faces, unlabelled, settings, rows):
    """Writes `rounds.json` and prints it as a table."""
    content = {
        "paradigm": settings.paradigm,
        "method": settings.method,
        "dataset": faces.name,
        "normalizer": faces.normalizer,
        "labelled faces": len(faces.train),
        "unlabelled faces": len(unlabelled),
        "rounds": rows,
    }
    path = out / "rounds.json"
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1))
    columns = [name for name in rows[0] if name not in ("round", "task", "faces")]
    title = f"{settings.paradigm}, {settings.method}: {faces.normalizer.replace('_', '-')} errors in percent"
    table = Table("round", "task", *(Column(heading(name), justify="right") for name in columns), title=title)
    for row in rows:
        table.add_row(str(row["round"]), str(row["task"] or "-"), *(shown(name, row[name]) for name in columns))
    console.print(table)
    last = out / f"round_{len(rows) - 1}" / "model.keras"
    console.print(f"written: {shown_name(path)}, the last model {shown_name(last)}", soft_wrap=True)
