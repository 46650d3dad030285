"""Synthetic faces on disk: in the layout of WFLW, as images with `.pts` files, or as clips of frames.

The readers of the real datasets read them. A folder is written under a temporary name and renamed when it is complete. A
folder that is there already with the same parameters is kept.
"""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
from rich.progress import track

from kfacealign import schemes
from kfacealign.data.readers import wflw as wflw_reader
from kfacealign.data.readers.pts import write_points
from kfacealign.data.rendered.sampling import RANGES
from kfacealign.data.rendered.synthetic import SyntheticFace, SyntheticFaces
from kfacealign.files import replacing

FOLDER = "0--Synthetic"  # WFLW keeps the photographs of each event in a folder
PARAMETERS = "synthetic.json"
JPEG_QUALITY = 92
RENDERER = 5  # raised whenever the same seed gives other faces, so that old folders are not taken for new ones
TEST_SEED = 1_000_003  # added to the seed, so that no test face is a training face


def write_wflw(
    root: str | os.PathLike,
    *,
    train: int = 2000,
    test: int = 400,
    seed: int = 0,
    size: int = 256,
    ranges: str = "usual",
    progress: bool = True,
) -> Path:
    """Writes rendered faces in the layout of WFLW, for `kfacealign.data.wflw(root)`.

    Args:
        root: the folder to write. It is kept as it is if it holds the same faces already.
        train: number of training faces.
        test: number of test faces.
        seed: seed of the faces.
        size: side of the images in pixels.
        ranges: "usual", "full" or "mixed", as `SyntheticFaces` takes them.
        progress: whether a progress bar is shown.

    Returns:
        The root as a `Path`.

    Raises:
        ValueError: the folder exists and holds something else, or there are no such ranges.
    """
    parameters = {"layout": "wflw", "train": train, "test": test, "seed": seed, "size": size, **drawn_as(ranges)}

    def write(folder):
        images = folder / wflw_reader.IMAGES / FOLDER
        images.mkdir(parents=True)
        for part, count in (("train", train), ("test", test)):
            lines, faces = [], render_all(part, count, seed=seed, size=size, ranges=ranges, progress=progress)
            subsets = {name: [] for name in wflw_reader.SUBSETS}
            for index, face in enumerate(faces):
                name = f"{FOLDER}/{part}_{index:05d}.jpg"
                write_image(images.parent / name, face.image)
                coordinates = " ".join(f"{value:.6f}" for value in (face.landmarks["wflw98"] - 0.5).ravel())
                box = " ".join(str(int(value)) for value in np.round(face.box - 0.5))
                flags = [int(face.attributes[name]) for name in wflw_reader.SUBSETS]
                lines.append(f"{coordinates} {box} {' '.join(map(str, flags))} {name}")
                for subset in subsets:
                    if face.attributes[subset]:
                        subsets[subset].append(f"{coordinates} {name}")
            write_list(folder / wflw_reader.LISTS.format(part), lines)
            if part == "test":
                everyone = [" ".join([*line.split()[: wflw_reader.COORDINATES], line.split()[-1]]) for line in lines]
                write_list(folder / wflw_reader.SUBSET_LISTS.format("").replace("_.txt", ".txt"), everyone)
                for subset, members in subsets.items():
                    write_list(folder / wflw_reader.SUBSET_LISTS.format(wflw_reader.SUBSETS[subset]), members)

    return write_once(Path(root), parameters, write)


def write_pts(
    root: str | os.PathLike,
    *,
    train: int = 2000,
    test: int = 400,
    scheme: str | schemes.Scheme = "ibug68",
    seed: int = 0,
    size: int = 256,
    ranges: str = "usual",
    progress: bool = True,
) -> Path:
    """Writes rendered faces as `train` and `test` folders of images with `.pts` files, for `kfacealign.data.pts(root)`.

    Args:
        root: the folder to write. It is kept as it is if it holds the same faces already.
        train: number of training faces.
        test: number of test faces.
        scheme: scheme of the landmarks, a name or a `Scheme`.
        seed: seed of the faces.
        size: side of the images in pixels.
        ranges: "usual", "full" or "mixed", as `SyntheticFaces` takes them.
        progress: whether a progress bar is shown.

    Returns:
        The root as a `Path`.

    Raises:
        ValueError: the folder exists and holds something else, the scheme is not one of this package, or there are no such
            ranges.
    """
    scheme = drawn(scheme)
    parameters = {"layout": "pts", "train": train, "test": test, "scheme": scheme, "seed": seed, "size": size, **drawn_as(ranges)}

    def write(folder):
        for part, count in (("train", train), ("test", test)):
            (folder / part).mkdir()
            for index, face in enumerate(render_all(part, count, seed=seed, size=size, ranges=ranges, progress=progress)):
                write_pair(folder / part / f"{part}_{index:05d}", face, scheme)

    return write_once(Path(root), parameters, write)


def write_clips(
    root: str | os.PathLike,
    *,
    clips: int = 20,
    frames: int = 30,
    scheme: str | schemes.Scheme = "ibug68",
    seed: int = 0,
    size: int = 256,
    ranges: str = "usual",
    progress: bool = True,
) -> Path:
    """Writes clips of one smoothly moving face each, for `kfacealign.data.frame_folders(root)`.

    Each clip is a folder of frames with `.pts` files beside them.

    Args:
        root: the folder to write. It is kept as it is if it holds the same clips already.
        clips: number of clips.
        frames: number of frames in each of them.
        scheme: scheme of the landmarks, a name or a `Scheme`.
        seed: seed of the faces.
        size: side of the frames in pixels.
        ranges: "usual", "full" or "mixed", as `SyntheticFaces` takes them.
        progress: whether a progress bar is shown.

    Returns:
        The root as a `Path`.

    Raises:
        ValueError: the folder exists and holds something else, the scheme is not one of this package, or there are no such
            ranges.
    """
    scheme = drawn(scheme)
    parameters = {
        "layout": "clips",
        "clips": clips,
        "frames": frames,
        "scheme": scheme,
        "seed": seed,
        "size": size,
        **drawn_as(ranges),
    }

    def write(folder):
        source = SyntheticFaces(seed, size=size, ranges=ranges)
        for clip in track(range(clips), "rendering clips", disable=not progress):
            (folder / f"clip_{clip:04d}").mkdir()
            for frame, face in enumerate(source.clip(clip, frames), start=1):
                write_pair(folder / f"clip_{clip:04d}" / f"{frame:06d}", face, scheme)

    return write_once(Path(root), parameters, write)


def drawn_as(ranges: str) -> dict:
    """The parameters that say how faces are drawn."""
    if ranges not in RANGES:
        raise ValueError(f"there are no ranges {ranges!r}; take one of {', '.join(RANGES)}")
    return {"ranges": ranges, "renderer": RENDERER}


def drawn(scheme: str | schemes.Scheme) -> str:
    """The name of a scheme whose points are drawn.

    Raises:
        ValueError: it is not one of this package.
    """
    name = schemes.get(scheme).name
    if name not in schemes.BUILT_IN:
        raise ValueError(f"faces are drawn with the points of {', '.join(schemes.BUILT_IN)}, not with those of {name!r}")
    return name


def render_all(part: str, count: int, *, seed: int, size: int, ranges: str, progress: bool) -> Iterator[SyntheticFace]:
    """The faces of a part, one after the other."""
    source = SyntheticFaces(seed + (TEST_SEED if part == "test" else 0), size=size, ranges=ranges)
    for index in track(range(count), f"rendering {part} faces", disable=not progress):
        yield source.render(index)


def write_once(root: Path, parameters: dict, write: Callable[[Path], None]) -> Path:
    """Calls `write` on a temporary folder that becomes `root`, unless `root` was written with these parameters already."""
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        try:
            found = json.loads((root / PARAMETERS).read_text())
        except (OSError, ValueError):
            found = None
        if found != parameters:
            what = f"synthetic faces of other parameters or of another version ({found})" if found else "something else"
            raise ValueError(f"{root} holds {what}; name another directory or remove it")
        return root
    with replacing(root) as folder:
        folder.mkdir()
        write(folder)
        (folder / PARAMETERS).write_text(json.dumps(parameters))
    return root


def write_pair(stem: Path, face: SyntheticFace, scheme: str) -> None:
    """Writes a face as an image with a `.pts` file."""
    write_image(stem.with_suffix(".jpg"), face.image)
    write_points(stem.with_suffix(".pts"), face.landmarks[scheme])


def write_image(path: Path, image: np.ndarray) -> None:
    """Writes (H, W, 3) uint8 RGB as a JPEG file."""
    encoded = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), (cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY))[1]
    path.write_bytes(encoded.tobytes())


def write_list(path: Path, lines: list[str]) -> None:
    """Writes lines to a text file, whose folder is made if it is not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))
