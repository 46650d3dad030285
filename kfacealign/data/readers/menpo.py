"""Reader of Menpo 2D: near-frontal faces with 68 landmarks, profiles with 39.

    root/train/**/NAME.jpg and NAME.pts
    root/test/**/NAME.jpg and NAME.pts

A `.pts` may lie anywhere below `train` or `test`, or below folders whose names begin so; the number of points that it declares
tells its track. There are 5,658 + 5,335 near-frontal faces and 1,906 + 1,946 profiles (PIPNet, Sec. 4.1.1). Some archives of
the challenge have no folders `train` and `test`: make these and put the files into them.

Convention of the files: `.pts` is 1-based, so our coordinates are the file's - 0.5. `kfacealign.schemes` has the order that this
package expects of the 39 points. PIPNet crops by the landmarks' box enlarged by 10 % and divides errors by the box's diagonal.
"""

import functools
import os
from collections.abc import Sequence

import numpy as np

from kfacealign import schemes
from kfacealign.data.faces import Dataset, Faces, joined
from kfacealign.data.readers import checks, folders
from kfacealign.data.readers.entry import Entry
from kfacealign.data.readers.missing import known
from kfacealign.data.readers.pts import file_pairs, read_pts

TRACKS = {"semifrontal": "ibug68", "profile": "menpo39"}
EXPECTED = {"semifrontal": {"train": 5_658, "test": 5_335}, "profile": {"train": 1_906, "test": 1_946}}
SOURCE = "Menpo 2D comes from the page of the Menpo Facial Landmark Localisation Challenge of iBUG, Imperial College London."


def menpo(root: str | os.PathLike, *, track: str = "semifrontal", strict: bool = False, missing: Sequence = ()) -> Dataset:
    """Reads one track of Menpo 2D below `root`; no image is opened.

    Args:
        root: the folder that holds `train` and `test`.
        track: "semifrontal" (68 points) or "profile" (39).
        strict: whether other counts than the published ones and duplicates raise; if not, they are warned of.
        missing: marks of points that are not annotated, in the coordinates of the files, such as `[(-1, -1)]`.

    Returns:
        A `Dataset` in `ibug68` or `menpo39`.

    Raises:
        FileNotFoundError: a folder is missing.
        ValueError: a `.pts` is malformed, which the message names with the line, or belongs to no track. With `strict`, see
            above.
    """
    if track not in TRACKS:
        raise ValueError(f"track is {track!r}, expected {' or '.join(TRACKS)}")
    root, scheme, parts = os.fspath(root), schemes.get(TRACKS[track]), {}
    below = folders.names(root) if os.path.isdir(root) else []
    for part in ("train", "test"):
        here = [os.path.join(root, folder) for folder in below if folder.lower().startswith(part)]
        if not here:
            checks.require("Menpo 2D", root, ["train", "test"], source=SOURCE)
        parts[part] = joined([_read(root, folder, scheme, missing) for folder in here])
        checks.annotated("Menpo 2D", parts[part], strict=strict)
    name = f"Menpo 2D ({track})"
    checks.counts(name, root, {part: len(faces) for part, faces in parts.items()}, EXPECTED[track], strict=strict)
    return Dataset(
        name=f"menpo-{track}",
        scheme=scheme,
        train=parts["train"],
        test=parts["test"],
        subsets={},
        enlarge=1.25,
        normalizer="diagonal",
    )


def _read(root, folder, scheme, missing):
    """The faces of the track below a folder; there may be none."""
    counts = [schemes.get(name).num_points for name in TRACKS.values()]
    images, points = file_pairs(folder)
    names, landmarks = [], []
    for name in sorted(images.keys() & points.keys()):
        read = read_pts(points[name])
        if len(read) not in counts:
            raise ValueError(f"{points[name]}:2: the file has {len(read)} points, those of Menpo 2D have 68 or 39")
        if len(read) == scheme.num_points:
            names.append(name)
            landmarks.append(read)
    origins = [points[name] for name in names]
    landmarks = np.reshape(landmarks, (-1, scheme.num_points, 2))
    landmarks, weights = known(landmarks, missing=missing, offset=-0.5, origins=origins)
    return Faces(
        scheme,
        images=[images[name] for name in names],
        landmarks=landmarks,
        weights=weights,
        names=[os.path.relpath(os.path.join(folder, name), root).replace(os.sep, "/") for name in names],
        origins=origins,
    )


ENTRIES = (
    Entry(
        name="menpo",
        title="Menpo 2D, semi-frontal",
        reader=menpo,
        scheme="ibug68",
        counts=EXPECTED["semifrontal"],
        normalizer="diagonal",
        crops="PIPNet: landmarks' box + 10 %",
        protocol="train and test on the track",
        layout="train/ test/ (photographs with .pts of 68 or 39 points)",
        source=SOURCE,
    ),
    Entry(
        name="menpo-profile",
        title="Menpo 2D, profile",
        reader=functools.partial(menpo, track="profile"),
        scheme="menpo39",
        counts=EXPECTED["profile"],
        normalizer="diagonal",
        crops="PIPNet: landmarks' box + 10 %",
        protocol="train and test on the track",
        layout="as menpo",
        source=SOURCE,
    ),
)
