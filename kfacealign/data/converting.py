"""A dataset as a folder of labels that another tool reads."""

import dataclasses
import os
from pathlib import Path

from kfacealign.console import shown
from kfacealign.data.faces import Dataset
from kfacealign.data.writers import coco, cvat, dlib, labelstudio, ljson, yolo
from kfacealign.data.writers.parts import copy_photographs
from kfacealign.files import replacing

# Format, which is the name of its dataset as well -> what writes it, and the folder of the photographs.
FORMATS = {
    "coco": (coco.write, "images"),
    "cvat": (cvat.write, "images"),
    "labelstudio": (labelstudio.write, "images"),
    "yolo": (yolo.write, "images"),
    "ljson": (ljson.write, ""),
    "dlib": (dlib.write, "images"),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Converted:
    """What was written.

    Attributes:
        faces: how many faces.
        photographs: how many photographs.
        failures: (photograph, reason) of those that cannot be read; their faces are left out.
        notes: sentences on what the format does not hold.
    """

    faces: int
    photographs: int
    failures: list[tuple[str, str]]
    notes: list[str]


def convert(dataset: Dataset, kind: str, path: str | os.PathLike, *, overwrite: bool = False, progress: bool = True) -> Converted:
    """Writes a dataset with copies of its photographs to a folder, which `load_dataset(kind, path)` reads.

    The folder appears when it is complete. One that exists is replaced only if each file in it is written again, and none is a
    photograph of the dataset.

    Args:
        dataset: the dataset.
        kind: one of `FORMATS`.
        path: the folder.
        overwrite: whether a folder that exists is replaced.
        progress: whether a progress bar is shown.

    Raises:
        FileExistsError: the folder exists and is not empty, and must not be replaced.
        ValueError: there is no such format, or no photograph can be read.
        OSError: the folder cannot be written.
    """
    if kind not in FORMATS:
        raise ValueError(f"no format {kind!r}; there are {', '.join(FORMATS)}")
    write, below = FORMATS[kind]
    path = Path(os.path.abspath(path))
    _refuse_existing(path, dataset, overwrite)
    with replacing(path) as temporary:
        temporary.mkdir()
        avoided = dlib.AVOIDED if kind == "dlib" else ""
        parts, failures = copy_photographs(dataset, temporary, below, avoided=avoided, progress=progress)
        if not parts:
            reason = f", the first: {shown(failures[0][0])} ({failures[0][1]})" if failures else ""
            raise ValueError(f"{dataset.name}: there is no face to convert whose photograph can be read{reason}")
        notes = [*write(parts, temporary), *_lost(dataset, kind)]
        _refuse_loss(path, temporary)
    faces, photographs = sum(len(part.faces) for part in parts), sum(len(part.pictures()) for part in parts)
    return Converted(faces=faces, photographs=photographs, failures=failures, notes=notes)


def _refuse_existing(path, dataset, overwrite):
    if not os.path.lexists(path) or (path.is_dir() and not path.is_symlink() and not any(path.iterdir())):
        return
    if not path.is_dir() or path.is_symlink():
        raise FileExistsError(f"{shown(path)} is no folder: choose another --out")
    if not overwrite:
        raise FileExistsError(
            f"{shown(path)} exists: choose another --out, or --overwrite, which replaces what was converted before"
        )
    inside = os.path.join(os.path.realpath(path), "")
    for image in dict.fromkeys([*dataset.train.images, *dataset.test.images]):
        if os.path.realpath(image).startswith(inside):
            raise FileExistsError(
                f"{shown(path)} holds the photographs that are converted ({shown(image)}): choose another --out"
            )


def _refuse_loss(path, temporary):
    """Refuses to replace a folder that has a file which is not written again."""
    for folder, _, files in os.walk(path):
        for file in files:
            below = os.path.relpath(os.path.join(folder, file), path)
            if not os.path.lexists(temporary / below):
                raise FileExistsError(
                    f"{shown(path)} holds {shown(below)}, which is not written again: choose another --out, or remove it"
                )


def _lost(dataset, kind):
    """Sentences on what no format holds."""
    lost = [*dataset.subsets, *(name for part in (dataset.train, dataset.test) for name in part.attributes)]
    return [f"{kind} holds no subsets and attributes of faces: {', '.join(dict.fromkeys(lost))}"] if lost else []
