"""Reader of the Talking Face video (FGNET): one video of 5,000 frames.

    root/**/franck_00000.jpg and franck_00000.pts, and so on

Convention of the files: 1-based, see `kfacealign.data.readers.pts`.
"""

import functools
import os
from collections.abc import Sequence

import numpy as np

from kfacealign import schemes
from kfacealign.data import frames as video_frames
from kfacealign.data.clips import Clips
from kfacealign.data.faces import Faces
from kfacealign.data.readers.entry import Entry
from kfacealign.data.readers.missing import known
from kfacealign.data.readers.pts import read_pts
from kfacealign.data.readers.video_files import by_stem, check_every, number, pts_files, single_frames, warn_of_others

# How far points may lie off the mean shape, as a share of the size of a face. No expression bends a face so much, and points
# in another order lie farther off.
MISFIT = 0.3


def talking_face(
    root: str | os.PathLike, *, order: Sequence[int] | np.ndarray | None = None, every: int = 1, missing: Sequence = ()
) -> Clips:
    """Reads the Talking Face video (FGNET): `franck_00000.jpg` and so on, each with a `.pts` of 68 points.

    The published points are 68 as well, but they are not the points of `ibug68` (for one, they include pupils), and this package
    has no mapping that it could check. So files are taken as they are only if their points are in the order of iBUG, as in
    re-annotations; points in another order are noticed by the shape they make and refused. For these, `order` says which of
    the file's points each iBUG point is, and -1 where there is none. The paper compares seven common points: the corners of
    the eyes and of the mouth, and the tip of the nose.

    Args:
        root: a folder with images and `.pts` files of the same names, anywhere below it.
        order: for each of the 68 points of `ibug68`, its position in the file or -1. None takes the points as they are.
        every: 2 takes every second frame, and so on.
        missing: marks of points that are not annotated, in the coordinates of the files, such as `[(-1, -1)]`.

    Returns:
        `Clips` of one video in `ibug68`; points that `order` lacks have weight 0.

    Raises:
        FileNotFoundError: there are no such files.
        ValueError: a file is malformed, `order` is not made of 68 positions, or the points are not in the order of `ibug68`.
    """
    root, scheme = os.fspath(root), schemes.get("ibug68")
    check_every(every)
    order = np.arange(scheme.num_points) if order is None else np.asarray(order)
    if order.shape != (scheme.num_points,) or order.dtype.kind not in "iu" or order.min() < -1 or order.max() < 0:
        raise ValueError(f"order needs {scheme.num_points} positions in the file or -1, got {order.tolist()}")
    images, points = by_stem(root, video_frames.image_files), by_stem(root, pts_files)
    both = sorted(images.keys() & points.keys(), key=video_frames.natural)
    if not both:
        raise FileNotFoundError(
            f"{root} holds no image with a .pts of its name ({len(images)} images, {len(points)} .pts files). Expected the "
            "Talking Face video: franck_00000.jpg and franck_00000.pts, and so on"
        )
    warn_of_others(root, images=len(images), points=len(points), both=len(both))
    both = both[::every]
    origins = [points[stem] for stem in both]
    landmarks, weights = known([_reordered(path, order) for path in origins], missing=missing, offset=-0.5, origins=origins)
    pictures = [images[stem] for stem in both]
    faces = Faces(scheme, images=pictures, landmarks=landmarks, weights=weights, names=both, origins=origins)
    _check_order(root, faces)
    numbers = [number(stem, place) for place, stem in enumerate(both)]
    return Clips(faces, [np.arange(len(faces))], names=["talking_face"], numbers=[numbers])


def _reordered(path, order):
    """The points of a file in the order wanted; NaN for a point that the file lacks."""
    points = read_pts(path)
    if len(points) <= order.max():
        raise ValueError(f"{path}: {len(points)} points, expected more than {order.max()}")
    return np.where((order >= 0)[:, None], points[order], np.float32(np.nan))


def _check_order(root, faces):
    """Refuses points whose mean shape is not the scheme's, whatever the face's place, size and tilt."""
    whole = (faces.weights > 0).all(0)  # a point that is missing in one frame tells nothing
    annotated = whole if whole.sum() > 2 else faces.weights[0] > 0
    target = faces.scheme.mean_shape[annotated].astype("float64")
    shapes = faces.landmarks[:: max(1, len(faces) // 50), annotated].astype("float64")
    shapes = shapes - shapes.mean(1, keepdims=True)
    shapes /= np.sqrt((shapes**2).sum((1, 2), keepdims=True))
    source, target = shapes.mean(0), target - target.mean(0)
    # The similarity transform of least squares in complex numbers: z -> a z.
    source, target = source[:, 0] + 1j * source[:, 1], target[:, 0] + 1j * target[:, 1]
    fitted = source * (np.vdot(source, target) / np.vdot(source, source))
    misfit = np.linalg.norm(fitted - target) / np.linalg.norm(target)
    if misfit > MISFIT:
        raise ValueError(
            f"{root}: the points are not in the order of ibug68: fitted to its mean shape they are {misfit:.2f} of a face off. "
            "The published points of Talking Face have an order of their own; give order="
        )


ENTRIES = (
    Entry(
        name="talking-face",
        title="Talking Face",
        reader=functools.partial(single_frames, talking_face),
        scheme="ibug68",
        counts={"test": 5000},
        normalizer="inter_ocular",
        crops="1D heatmaps: given box",
        protocol="test of models trained on 300VW, by seven common points",
        layout="franck_00000.jpg franck_00000.pts, anywhere below, points in the order of ibug68",
        source="The Talking Face Video comes from the FGNET project's page.",
    ),
)
