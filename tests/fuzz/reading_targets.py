"""Datasets, landmark files, images and videos."""

import functools
import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import stories
from faults import Found
from target import Target, every, filled, laid, only

from kfacealign.data import catalogue, frames, images
from kfacealign.data.crops import Crops
from kfacealign.data.readers import clip_folders
from kfacealign.evaluation import landmark_files

# === Readers ===


def dataset(name: str) -> Callable[[Path, Sequence[str]], Any]:
    """The reader of the catalogue's entry of this name."""
    return lambda root, _: catalogue.get(name).read(root / "packed.h5" if name == "packed" else root)


LAYOUTS = {
    "300w": "w300",
    "300w-private": "w300_private",
    "300w-lp": "w300lp",
    "cofw": "cofw",
    "cofw-grey": "cofw_grey",
    "cofw68": "cofw68",
    "aflw": "aflw",
    "wflw": "wflw",
    "wflw68": "wflw",
    "menpo": "menpo",
    "menpo-profile": "menpo",
    "jd106": "jd106",
    "lapa": "lapa",
    "celeba": "celeba",
    "300vw": "w300vw",
    "talking-face": "talking_face",
    "csv": "csv_lists",
    "pts": "pts",
    "packed": "packed",
}
ENCODED = ("packed-jpeg", "packed-webp")
LABELS = ("coco", "cvat", "labelstudio", "yolo", "ljson", "dlib")
DEAR = 0.1
# What is needed to read them. A file of HDF5 is read by a process of its own, which takes a second to start.
LIBRARY = {"300w-lp": "scipy", "aflw": "scipy", "cofw": "h5py", "cofw-grey": "h5py", "cofw68": "h5py", "packed": "h5py"}
READERS = {
    name: Target(
        make=laid(make),
        call=dataset(name),
        mutators=filled,
        needs=(LIBRARY[name],) if name in LIBRARY else (),
        share=DEAR if LIBRARY.get(name) == "h5py" else 1.0,
    )
    for name, make in LAYOUTS.items()
}


def labels(name: str) -> Callable[[Path], None]:
    return lambda root: importlib.import_module("layouts").labels(root, name)


READERS |= {name: Target(make=labels(name), call=dataset(name), mutators=filled) for name in LABELS}


def encoded_pack(root: Path, _: Sequence[str]) -> Any:
    """The labels of a packed dataset and, decoded one by one, its images, whose places in the file are told."""
    read = catalogue.get("packed").read(root / "packed.h5")
    parts = (read.train, read.test)
    every([lambda part=part, row=row: checked(part.pixels[row]) for part in parts for row in range(len(part))])
    return read


READERS |= {
    name: Target(make=laid(name.replace("-", "_")), call=encoded_pack, mutators=filled, needs=("h5py",), share=DEAR)
    for name in ENCODED
}


def landmark_file(name: str, scheme: str = "ibug68") -> Callable[[Path, Sequence[str]], Any]:
    return lambda root, _: landmark_files.read(root / name, scheme)


def crops(root: Path, _: Sequence[str]) -> None:
    """Reads annotations beside a photograph and cuts the crop, by which a landmark that is far off costs time and memory."""
    faces = clip_folders.frame_folders(root).faces
    Crops(faces, 32, cache=None).batch(range(len(faces)))


READERS |= {
    "frame-folders": Target(make=laid("frame_folders"), call=lambda root, _: clip_folders.frame_folders(root), mutators=filled),
    "ytf68": Target(make=laid("ytf68"), call=lambda root, _: clip_folders.ytf68_clips(root), mutators=filled),
    "score-npz": Target(make=laid("score_npz"), call=landmark_file("found.npz")),
    "score-csv": Target(make=laid("score_csv"), call=landmark_file("found.csv")),
    "score-txt": Target(make=laid("score_txt"), call=landmark_file("found.txt", "cofw29")),
    "score-matlab": Target(make=laid("score_matlab"), call=landmark_file("."), needs=("scipy",)),
    "score-pts": Target(make=laid("score_pts"), call=landmark_file(".")),
    "crops": Target(make=laid("real_pts"), call=crops, mutators=only("a.pts")),
}

# === Images ===


def read_everywhere(root: Path, names: Sequence[str]) -> None:
    """The three ways in which images are opened; none of them names the file, its callers do."""
    from kfacealign import photo

    for name in names:
        path = root / name
        every(
            [lambda p=path: checked(photo.read_photo(p)), lambda p=path: checked(images.read_image(p)), lambda p=path: sides(p)]
        )


def checked(image: np.ndarray) -> None:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise Found("values", f"an image of shape {image.shape} and type {image.dtype}")


def sides(path: Path | str) -> None:
    width, height = images.size(path)
    if not (isinstance(width, int) and width >= 0 and height >= 0):
        raise Found("values", f"an image of {width} x {height}")


class Middle:
    """A model without a network: every landmark lies in the middle."""

    input_size, enlarge = 16, 1.25

    def __init__(self):
        from kfacealign import schemes

        self.scheme = schemes.get("aflw19")

    def align(self, crops: np.ndarray, **_: Any) -> tuple[np.ndarray, np.ndarray]:
        return np.full((len(crops), 19, 2), 0.5, "float32"), np.ones((len(crops), 19), "float32")


@functools.cache
def landmarker() -> Any:
    from kfacealign.face_landmarks import FaceLandmarks

    return FaceLandmarks(Middle(), detector=stories.NoDetector())


def align_photographs(root: Path, names: Sequence[str]) -> list:
    """The photograph's pixels go all the way to a crop; a picture that lacks the box is told by the box, not by its name."""
    found = []
    for name in names:
        try:
            found.append(landmarker()(root / name, boxes=[[2, 2, 18, 18]]))
        except ValueError as error:
            if "the box 2, 2, 18, 18" not in str(error):
                raise
    return found


def referred(file: str, places: Sequence[int]) -> Callable[[Path, Sequence[str]], None]:
    """Images that are a part of a file."""
    return lambda root, _: every([lambda p=place: checked(images.read_image(f"{root / file}#{p}")) for place in places])


def video_frames(root: Path, _: Sequence[str]) -> None:
    source = frames.open_source(root / "a.avi")
    for place, frame in enumerate(source):
        if frame.image is not None:
            checked(frame.image)
        if place > 2000:
            raise Found("time", "a video of six frames has more than 2,000")


FORMATS = {"jpeg": "jpeg", "png": "png", "bmp": "bmp", "webp": "webp", "tiff": "tiff"}
FORMATS |= {"ppm": "ppm", "gif": "gif"}
IMAGES = {f"image-{name}": Target(make=laid(make), call=read_everywhere, named=False) for name, make in FORMATS.items()}
IMAGES |= {f"align-{name}": Target(make=laid(make), call=align_photographs, share=0.5) for name, make in FORMATS.items()}
IMAGES |= {
    "image-matlab": Target(
        make=laid("cofw"), call=referred("COFW_test_color.mat", (0, 1)), named=False, sound="refused", share=DEAR
    ),
    "image-packed": Target(make=laid("packed"), call=referred("packed.h5", (0, 1)), named=False, needs=("h5py",), share=DEAR),
    **{
        f"image-{name}": Target(
            make=laid(name.replace("-", "_")), call=referred("packed.h5", (0, 1)), named=False, needs=("h5py",), share=DEAR
        )
        for name in ENCODED
    },
    "image-video": Target(make=laid("video"), call=referred("a.avi", (1, 3, 2)), named=False),
    "video": Target(make=laid("video"), call=video_frames),
}
