"""The datasets that this package reads: one table for `kfacealign datasets`, `--dataset` and `docs/datasets.md`.

The entries stand beside their readers, in `kfacealign.data.readers`. Three further datasets are rendered when they are asked
for. Every command imports this module, so it imports neither Keras nor what reads MATLAB and HDF5 files.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from kfacealign import schemes
from kfacealign.data.faces import Dataset, Faces
from kfacealign.data.mean_shape import with_mean_shape
from kfacealign.data.readers import (
    aflw,
    celeba,
    coco,
    cofw,
    cofw68,
    csv_lists,
    cvat,
    dlib,
    jd106,
    labelstudio,
    lapa,
    ljson,
    menpo,
    packed,
    pts,
    talking_face,
    w300,
    w300lp,
    w300vw,
    wflw,
    wflw68,
    yolo,
)
from kfacealign.data.readers.entry import Entry
from kfacealign.data.rendered.synthetic_disk import write_pts, write_wflw
from kfacealign.data.unlabelled import ignore_labels, image_folder

ENTRIES = (
    *w300.ENTRIES,
    *w300lp.ENTRIES,
    *cofw.ENTRIES,
    *cofw68.ENTRIES,
    *aflw.ENTRIES,
    *wflw.ENTRIES,
    *wflw68.ENTRIES,
    *menpo.ENTRIES,
    *jd106.ENTRIES,
    *lapa.ENTRIES,
    *celeba.ENTRIES,
    *w300vw.ENTRIES,
    *talking_face.ENTRIES,
    *csv_lists.ENTRIES,
    *pts.ENTRIES,
    *coco.ENTRIES,
    *cvat.ENTRIES,
    *labelstudio.ENTRIES,
    *yolo.ENTRIES,
    *ljson.ENTRIES,
    *dlib.ENTRIES,
    *packed.ENTRIES,
)
CATALOGUE = {entry.name: entry for entry in ENTRIES}
# The datasets with labels, on which models are trained or measured.
LABELLED = tuple(entry.name for entry in ENTRIES if entry.name != "celeba")
# The datasets that are rendered here, and the schemes of their landmarks.
RENDERED = {"synthetic": "wflw98", "synthetic68": "ibug68", "synthetic106": "jd106"}
DATASETS = (*LABELLED, *RENDERED)
# How many faces are rendered; they are written once, then read like any other dataset.
SYNTHETIC = {"train": 1800, "test": 300, "seed": 0, "size": 256}
# Other faces, which are rendered to be used without labels.
SYNTHETIC_UNLABELLED = {"train": 900, "test": 0, "seed": 1, "size": 256}
# What can be used without labels: a folder of any images, rendered faces, and the training faces of these datasets.
UNLABELLED = ("folder", "pts", "synthetic", "wflw", "wflw68", "cofw", "300w", "aflw", "celeba")


def get(name: str) -> Entry:
    """The entry of this name.

    Raises:
        ValueError: there is none; the message lists them.
    """
    if name not in CATALOGUE:
        raise ValueError(f"no dataset {name!r}; there are {', '.join(CATALOGUE)}")
    return CATALOGUE[name]


def load_dataset(
    name: str,
    root: str | os.PathLike | None = None,
    *,
    scheme: str | schemes.Scheme | None = None,
    needed: Sequence[str] = ("train", "test"),
    missing: Sequence = (),
    ranges: str = "usual",
    drawn: int | None = None,
) -> Dataset:
    """The dataset that `--dataset` and `--data-dir` name.

    Args:
        name: one of `DATASETS`.
        root: the dataset's directory. Rendered faces are written to it unless they are there already; for these the default
            is that of `rendered_root`.
        scheme: landmark scheme of the datasets that have none of their own, `pts` and `csv`.
        needed: the parts that must have faces, "train" or "test" or both.
        missing: marks of points that are not annotated, in the coordinates of the files, such as `[(-1, -1)]`.
        ranges: what rendered faces are drawn from, "usual", "full" or "mixed"; other datasets have none.
        drawn: how many training faces are rendered; None for 1,800.

    Returns:
        A `Dataset`. A scheme of one's own that has no mean shape gets that of the training faces, in which PIPNet finds its
        neighbours.

    Raises:
        FileNotFoundError: the dataset is not there; the message says what is expected and where to get it.
        ValueError: there is no such dataset, or a part that is needed has no faces.
    """
    if name in RENDERED:
        root, counts = Path(root or rendered_root(name, ranges, drawn)), {**SYNTHETIC, "train": drawn or SYNTHETIC["train"]}
        if name == "synthetic":
            return wflw.wflw(write_wflw(root, ranges=ranges, **counts))
        return pts.pts(write_pts(root, scheme=RENDERED[name], ranges=ranges, **counts), scheme=RENDERED[name])
    if root is None:
        raise FileNotFoundError(
            f"--dataset {name} needs --data-dir, the directory that holds it; --dataset synthetic --scale quick trains on faces "
            "rendered here"
        )
    dataset = get(name).read(root, scheme=scheme, missing=missing)
    for part in needed:
        if not len(getattr(dataset, part)):
            words = {"train": "training", "test": "test"}[part]
            raise ValueError(f"--dataset {name}: {root} has no {words} faces ({dataset.summary()})")
    return with_mean_shape(dataset)


def rendered_root(name: str, ranges: str, drawn: int | None = None) -> Path:
    """Where rendered faces are written unless a directory is named: data/NAME, data/NAME_full, or data/NAME_full_6000."""
    words = [name, *([] if ranges == "usual" else [ranges]), *([] if drawn in (None, SYNTHETIC["train"]) else [str(drawn)])]
    return Path("data") / "_".join(words)


def load_unlabelled(
    name: str, root: str | os.PathLike | None, *, scheme: str | schemes.Scheme, file_scheme: str | schemes.Scheme = "ibug68"
) -> Faces:
    """The faces that `--unlabelled-dataset` and `--unlabelled` name, without labels. Of a dataset it takes the training part.

    Args:
        name: one of `UNLABELLED`.
        root: the directory. Only "synthetic" may have None; its faces are then rendered to data/synthetic_unlabelled.
        scheme: scheme of the labelled faces, whatever scheme the dataset itself has.
        file_scheme: scheme of the files of "pts".

    Returns:
        `Faces` with the attribute `unlabelled`.

    Raises:
        FileNotFoundError: the faces are not there.
        ValueError: there is no face.
    """
    if name == "folder":
        return image_folder(root, scheme)
    if name == "pts":
        return ignore_labels(pts.pts(root, scheme=file_scheme, test_fraction=0).train, scheme=scheme)
    if name == "celeba":
        return celeba.celeba(root, scheme=scheme)
    if name != "synthetic":
        return ignore_labels(get(name).read(root).train, scheme=scheme)
    root = write_pts(Path(root or Path("data") / "synthetic_unlabelled"), **SYNTHETIC_UNLABELLED)
    return ignore_labels(pts.pts(root / "train", test_fraction=0).train, scheme=scheme)
