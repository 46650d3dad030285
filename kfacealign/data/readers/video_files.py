"""What the readers of annotated videos share."""

import os
import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from kfacealign.data.clips import Clips, ClipsDataset
from kfacealign.data.faces import Dataset
from kfacealign.data.readers import folders


def clips_dataset(name: str, train: Clips, test: Clips, *, subsets: Mapping[str, np.ndarray] | None = None) -> ClipsDataset:
    """A `ClipsDataset` with the customary crop and the default normaliser of its scheme."""
    return ClipsDataset(
        name=name,
        scheme=train.scheme,
        train=train,
        test=test,
        subsets=dict(subsets or {}),
        enlarge=1.25,
        normalizer=train.scheme.default_normalizer,
    )


def check_every(every: int) -> None:
    """Raises a `ValueError` unless a step from frame to frame is positive."""
    if every < 1:
        raise ValueError(f"every is {every}: it must be positive")


def subfolders(root: str | os.PathLike) -> list[str]:
    """Names of the folders in a folder.

    Raises:
        FileNotFoundError: it is no directory.
    """
    if not os.path.isdir(root):
        raise FileNotFoundError(f"{root} is no directory")
    return [name for name in folders.names(root) if os.path.isdir(os.path.join(root, name))]


def pts_files(folder: str | os.PathLike) -> list[str]:
    """Names of the `.pts` files in a folder."""
    return [name for name in folders.names(folder) if name.lower().endswith(".pts")]


def by_stem(root: str | os.PathLike, files: Callable[[str], Iterable[str]]) -> dict[str, str]:
    """Stem -> path of the files that `files(folder)` names in `root` and all folders below it.

    Raises:
        FileNotFoundError: root is no directory.
        ValueError: two files share one stem.
    """
    if not os.path.isdir(root):
        raise FileNotFoundError(f"{root} is no directory")
    found = {}
    for folder, _ in folders.walk(root):
        for name in files(folder):
            stem, path = os.path.splitext(name)[0], os.path.join(folder, name)
            if stem in found:
                raise ValueError(f"{path} and {found[stem]} share one name, their pairing is ambiguous: remove one")
            found[stem] = path
    return found


def warn_of_others(root: str | os.PathLike, *, images: int, points: int, both: int) -> None:
    """Warns if some of so many images and `.pts` files are not among the `both` that belong together."""
    if images != both or points != both:
        warnings.warn(f"{root}: {images} images and {points} .pts files: the {both} frames that have both are read", stacklevel=3)


def number(name: str, place: int) -> int:
    """The last number in a frame's name; its place if there is none."""
    numbers = re.findall(r"[0-9]+", os.path.basename(name))
    return int(numbers[-1][-18:]) if numbers else place


def single_frames(reader: Callable[..., Clips | ClipsDataset], root: str | os.PathLike, *, missing: Sequence = ()) -> Dataset:
    """The frames of annotated videos as a `Dataset` of single faces; subsets are positions of test frames."""
    read = reader(root, missing=missing)
    if isinstance(read, Clips):
        faces = read.faces
        return Dataset(
            name="talking-face",
            scheme=faces.scheme,
            train=faces[:0],
            test=faces,
            subsets={},
            enlarge=1.25,
            normalizer=faces.scheme.default_normalizer,
        )
    video = np.repeat(np.arange(len(read.test)), [len(indices) for indices in read.test.indices])
    subsets = {name: np.flatnonzero(np.isin(video, members)) for name, members in read.subsets.items()}
    parts = {"train": read.train.faces, "test": read.test.faces}
    return Dataset(name=read.name, scheme=read.scheme, **parts, subsets=subsets, enlarge=read.enlarge, normalizer=read.normalizer)
