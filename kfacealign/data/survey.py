"""Every photograph of a dataset opened once: what cannot be read, what EXIF turns, what is there twice."""

import concurrent.futures
import dataclasses
import hashlib
from collections.abc import Sequence

import numpy as np
from rich.console import Console
from rich.progress import track

from kfacealign.data import image_files, images
from kfacealign.data.crops import WORKERS, reason
from kfacealign.data.faces import Faces
from kfacealign.files import read_bytes

SAME = 0.5  # intersection over union from which on two boxes of one picture are one face


@dataclasses.dataclass(frozen=True)
class Photograph:
    """What was seen of one photograph.

    Attributes:
        size: (width, height), upright; (0, 0) where it was not decoded.
        orientation: EXIF's 1 to 8.
        digest: a hash of the file's bytes, or of the pixels where a file holds many images; empty where it was not decoded.
        fault: why it cannot be read, or "".
    """

    size: tuple[int, int] = (0, 0)
    orientation: int = 1
    digest: bytes = b""
    fault: str = ""


def survey(parts: Sequence[Faces], *, console: Console | None = None) -> dict[str, Photograph]:
    """Opens and decodes every photograph of some faces once, several at a time.

    Frames of videos are not decoded, and of photographs that are not on the disk nothing is said.

    Args:
        parts: `Faces`.
        console: shows a progress bar if it is a terminal.

    Returns:
        Reference -> `Photograph`, in the order of the faces.
    """
    references = list(dict.fromkeys(image for faces in parts for image in faces.images))
    hidden = console is None or not console.is_terminal
    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        try:
            seen = pool.map(look, references)
            seen = track(seen, "reading photographs", total=len(references), console=console, transient=True, disable=hidden)
            return dict(zip(references, seen, strict=True))
        except BaseException:
            pool.shutdown(cancel_futures=True)  # Ctrl-C does not wait for the photographs that are left
            raise


def look(reference: str) -> Photograph:
    """Decodes one photograph."""
    file, place = images.split(reference)
    if place is not None and file.lower().endswith(images.VIDEO_SUFFIXES):
        return Photograph()
    try:
        if place is None:
            content = read_bytes(reference)
            digest = hashlib.blake2b(content, digest_size=16).digest()
            pixels, header = image_files.decode_with_header(content)
            return Photograph(pixels.shape[1::-1], header.orientation, digest)
        pixels = images.read_image(reference)
        return Photograph(pixels.shape[1::-1], 1, hashlib.blake2b(pixels.tobytes(), digest_size=16).digest())
    except FileNotFoundError:
        return Photograph()
    except (OSError, ValueError, MemoryError) as error:
        return Photograph(fault=reason(error))


def sizes(faces: Faces, seen: dict[str, Photograph]) -> np.ndarray:
    """(N, 2) width and height of each face's photograph; 0 where they are not known."""
    return np.array([seen[image].size for image in faces.images]).reshape(-1, 2)


def repeats(parts: Sequence[Faces], seen: dict[str, Photograph]) -> tuple[list[str], list[str]]:
    """Photographs that are there twice: under two names, or in two parts.

    Args:
        parts: `Faces`, such as those for training and those for testing.
        seen: what `survey` returned for them.

    Returns:
        Two lists of "SECOND repeats FIRST": where both have the same face, and where each has faces of its own, as datasets
        do that give a photograph again for every face in it.
    """
    groups = {}
    for number, faces in enumerate(parts):
        for place, reference in enumerate(faces.images):
            if seen[reference].digest:
                groups.setdefault(seen[reference].digest, []).append((number, reference, faces.boxes[place]))
    same, other = {}, {}
    for group in groups.values():
        numbers, references, boxes = zip(*group, strict=True)
        owners = list(zip(numbers, references, strict=True))
        if len(set(owners)) == 1:
            continue
        boxes, kinds = np.array(boxes, np.float64), np.array([owners.index(owner) for owner in owners])
        for place in range(1, len(group)):
            apart = kinds[:place] != kinds[place]
            alike = apart & (overlaps(boxes[:place], boxes[place]) >= SAME)
            for chosen, found in ((alike, same), (apart, other)):
                if chosen.any():
                    first = references[int(np.argmax(chosen))]
                    found.setdefault(owners[place], f"{references[place]} repeats {first}")
    return list(same.values()), [text for owner, text in other.items() if owner not in same]


def overlaps(boxes: np.ndarray, box: np.ndarray) -> np.ndarray:
    """(N,) intersection over union of boxes (N, 4) with a box (4,)."""
    sides = np.minimum(boxes[:, 2:], box[2:]) - np.maximum(boxes[:, :2], box[:2])
    shared = np.maximum(sides, 0).prod(1)
    union = (boxes[:, 2:] - boxes[:, :2]).prod(1) + (box[2:] - box[:2]).prod() - shared
    return np.divide(shared, union, out=np.zeros(len(boxes)), where=union > 0)
