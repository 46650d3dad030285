"""The parts of a dataset whose photographs are copied beside the labels that are written of them."""

import dataclasses
import os
import shutil
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import numpy as np
from rich.progress import track

from kfacealign.console import make_console, shown
from kfacealign.data import image_files, images
from kfacealign.data.faces import Dataset, Faces
from kfacealign.data.image_headers import read_header
from kfacealign.files import IMAGE_SUFFIXES, require_regular

LONGEST = 200  # bytes of a name


@dataclasses.dataclass(frozen=True, kw_only=True)
class Part:
    """Faces whose photographs lie in the folder that is written.

    Attributes:
        name: "train" or "test".
        faces: N `Faces`.
        images: N paths of their photographs below the folder, with slashes.
        sizes: (N, 2) int, width and height of the upright photographs.
    """

    name: str
    faces: Faces
    images: list[str]
    sizes: np.ndarray

    def pictures(self) -> list[tuple[str, tuple[int, int], list[int]]]:
        """Path, size and positions of the faces of each photograph, in the order of its first face."""
        groups = {}
        for place, image in enumerate(self.images):
            groups.setdefault(image, []).append(place)
        return [(image, tuple(map(int, self.sizes[places[0]])), places) for image, places in groups.items()]

    def flags(self) -> np.ndarray:
        """(N, K) int: 0 for a landmark that is not annotated, 1 for one that is hidden, 2 for one that is visible."""
        hidden = self.faces.occluded if self.faces.occluded is not None else np.zeros(self.faces.weights.shape, bool)
        return np.where(self.faces.weights > 0, np.where(hidden, 1, 2), 0)


def copy_photographs(
    dataset: Dataset, folder: Path, below: str, *, avoided: str = "", progress: bool = True
) -> tuple[list[Part], list[tuple[str, str]]]:
    """Copies the photographs of a dataset to `folder/below/PART`, each once, and lists the faces whose photograph can be read.

    A photograph keeps its bytes, its name, and the folders that it lies in below the one that a part's photographs share. One
    that EXIF turns is written upright, as PNG, since not every tool turns it; so is a picture that is a part of another file, or
    whose suffix tools do not know. Two photographs of a folder get names that differ without their suffixes.

    Args:
        dataset: the dataset.
        folder: the folder that is written.
        below: where in it, "images" or "".
        avoided: characters that a tool cannot read in names; they become underscores.
        progress: whether a progress bar is shown.

    Returns:
        The parts that have faces, and (photograph, reason) of those that cannot be read.

    Raises:
        OSError: a photograph cannot be written.
    """
    parts, failures, console = [], [], make_console()
    for name, faces in (("train", dataset.train), ("test", dataset.test)):
        targets = _targets(list(dict.fromkeys(faces.images)), avoided)
        written, hidden = {}, not (progress and console.is_terminal)
        rows = track(list(targets.items()), f"copying {name}", console=console, transient=True, disable=hidden)
        for reference, (target, decoded) in rows:
            path = "/".join(filter(None, (below, name, target)))
            try:
                written[reference] = path, _copy(reference, folder / path, decoded)
            except ValueError as error:
                failures.append((reference, str(error)))
            except OSError as error:
                if error.filename is None or str(error.filename).startswith(str(folder)):
                    raise
                failures.append((reference, error.strerror or str(error)))
        kept = [place for place, reference in enumerate(faces.images) if reference in written]
        if kept:
            paths, sizes = zip(*(written[faces.images[place]] for place in kept), strict=True)
            parts.append(Part(name=name, faces=faces[kept], images=list(paths), sizes=np.array(sizes, int)))
    return parts, failures


def _copy(reference, target: Path, decoded):
    """Copies a photograph, or writes its pixels; returns its upright width and height.

    Raises:
        ValueError, OSError: it cannot be read or written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    if decoded:
        pixels = images.read_image(reference)
        image_files.write(target, pixels)
        return pixels.shape[1::-1]
    size = image_files.read_size(reference)
    require_regular(reference)
    shutil.copyfile(reference, target)
    return size


def _targets(references: Sequence[str], avoided: str) -> dict[str, tuple[str, bool]]:
    """Reference -> the path below its part that its copy gets, and whether its pixels are written anew."""
    files = [images.split(reference) for reference in references]
    folders = [os.path.dirname(os.path.abspath(file)) for file, _ in files]
    try:
        base = os.path.commonpath(folders)
    except ValueError:  # none, or several drives
        base = None
    found, taken = {}, set()
    for reference, (file, place), folder in zip(references, files, folders, strict=True):
        steps = [] if base is None or folder == base else os.path.relpath(folder, base).split(os.sep)
        stem, suffix = os.path.splitext(os.path.basename(file))
        decoded = place is not None or suffix.lower() not in IMAGE_SUFFIXES or _is_turned(file)
        stem = "/".join(_plain(step, avoided) for step in (*steps, stem if place is None else f"{stem}_{place:06d}"))
        single, number = stem, 1
        while stem.casefold() in taken:
            number += 1
            stem = f"{single}_{number}"
        taken.add(stem.casefold())
        found[reference] = f"{stem}{'.png' if decoded else suffix}", decoded
    return found


def _is_turned(file):
    try:
        require_regular(file)
        with open(file, "rb") as opened:
            return read_header(opened).orientation != 1
    except Exception:  # Pillow's errors are of many kinds; what cannot be read is told when it is copied
        return False


def _plain(step, avoided):
    """A folder's or file's name that every tool can hold: printable, not hidden, of a length that file systems take."""
    step = shown(step).translate(dict.fromkeys(map(ord, avoided), "_"))
    step = f"_{step[1:]}" if step.startswith(".") else step
    while len(step.encode()) > LONGEST:
        step = step[:-1]
    return step


def exact(value: float, *, less: float = 0) -> float:
    """A number of float32, less another one, as the shortest decimal number from which float32 is made again.

    Args:
        value: the number, such as a coordinate; 12.3 in float32 is 12.300000190734863, and is written as 12.3.
        less: what is taken off, exactly.
    """
    return float(Decimal(str(np.float32(value))) - Decimal(str(less)))
