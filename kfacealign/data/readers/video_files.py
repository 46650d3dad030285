"""What the readers of annotated videos share."""

import os
import re
import warnings

import numpy as np

from kfacealign.data.clips import Clips, ClipsDataset
from kfacealign.data.faces import Dataset


def clips_dataset(name, scheme, train, test, subsets):
    return ClipsDataset(name, scheme, train, test, subsets, enlarge=1.25, normalizer=scheme.default_normalizer)


def check_every(every):
    if every < 1:
        raise ValueError(f"every is {every}: it must be positive")


def subfolders(root):
    if not os.path.isdir(root):
        raise FileNotFoundError(f"{root} is no directory")
    return [entry.name for entry in os.scandir(root) if entry.is_dir()]


def pts_files(folder):
    return [name for name in os.listdir(folder) if name.lower().endswith(".pts")]


def by_stem(root, files):
    """Stem -> path of the files that `files(folder)` names in `root` and all folders below it."""
    if not os.path.isdir(root):
        raise FileNotFoundError(f"{root} is no directory")
    return {os.path.splitext(name)[0]: os.path.join(folder, name) for folder, _, _ in os.walk(root) for name in files(folder)}


def warn_of_others(root, images, points, both):
    if images != both or points != both:
        warnings.warn(f"{root}: {images} images and {points} .pts files: the {both} frames that have both are read", stacklevel=3)


def number(name, place):
    """The last number in a frame's name, or its place."""
    numbers = re.findall(r"\d+", os.path.basename(name))
    return int(numbers[-1]) if numbers else place


def single_frames(reader, root):
    """The frames of annotated videos as a `Dataset` of single faces; subsets are positions of test frames."""
    read = reader(root)
    if isinstance(read, Clips):
        faces = read.faces
        return Dataset("talking-face", faces.scheme, faces[:0], faces, {}, 1.25, faces.scheme.default_normalizer)
    video = np.repeat(np.arange(len(read.test)), [len(indices) for indices in read.test.indices])
    subsets = {name: np.flatnonzero(np.isin(video, members)) for name, members in read.subsets.items()}
    parts = {"train": read.train.faces, "test": read.test.faces}
    return Dataset(read.name, read.scheme, **parts, subsets=subsets, enlarge=read.enlarge, normalizer=read.normalizer)
