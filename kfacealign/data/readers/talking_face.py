"""Reader of the Talking Face video (FGNET): one video of 5,000 frames.

    franck_00000.jpg and franck_00000.pts, and so on, anywhere below the folder

Convention of the files: 1-based, see `kfacealign.data.readers.pts`.
"""

import functools
import os

import numpy as np

from kfacealign import schemes
from kfacealign.data import frames as video_frames
from kfacealign.data.clips import Clips
from kfacealign.data.faces import Faces
from kfacealign.data.readers.entry import Entry
from kfacealign.data.readers.pts import read_pts
from kfacealign.data.readers.video_files import by_stem, check_every, number, pts_files, single_frames, warn_of_others

MISFIT = 0.3  # of the size of a face: more than any expression bends it, less than points in another order do


def talking_face(root, order=None, every=1):
    """Reads the Talking Face video (FGNET): `franck_00000.jpg` ... with a `.pts` of 68 points for each.

    The published points are 68 as well, but not those of `ibug68` (they include pupils, for one), and this package has
    no mapping that it could check. So files are taken as they are only if their points are in the order of iBUG, as in
    re-annotations; points of another order are noticed by the shape they make and refused. For these, `order` says
    which of the file's points each iBUG point is, -1 for those it lacks; the paper compares seven common points (corners
    of the eyes and of the mouth, tip of the nose).

    Args:
        root: a folder with images and `.pts` files of the same names, anywhere below it.
        order: 68 positions in the file or -1, by the point in `ibug68`; None takes the points as they are.
        every: 2 takes every second frame, and so on.

    Returns:
        `Clips` of one video in `ibug68`; points that `order` lacks have weight 0.

    Raises:
        FileNotFoundError: there are no such files. ValueError: a malformed file, an `order` that is none, or points
        that are not in the order of `ibug68`.
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
    warn_of_others(root, len(images), len(points), len(both))
    both = both[::every]
    landmarks = np.stack([_reordered(points[stem], order) for stem in both])
    weights = np.repeat((order >= 0).astype("float32")[None], len(both), axis=0)
    faces = Faces(scheme, [images[stem] for stem in both], landmarks, weights, names=both, origins=[points[s] for s in both])
    _check_order(root, faces)
    numbers = [number(stem, place) for place, stem in enumerate(both)]
    return Clips(faces, [np.arange(len(faces))], ["talking_face"], [numbers])


def _reordered(path, order):
    """The points of a file in the order wanted; where there is none, the mean of the others stands in."""
    points = read_pts(path)
    if len(points) <= order.max():
        raise ValueError(f"{path}: {len(points)} points, expected more than {order.max()}")
    return np.where((order >= 0)[:, None], points[order], points[order[order >= 0]].mean(0))


def _check_order(root, faces):
    """Refuses points whose mean shape is not that of the scheme, whatever the face's place, size and tilt."""
    annotated = faces.weights[0] > 0
    target = faces.scheme.mean_shape[annotated].astype("float64")
    shapes = faces.landmarks[:: max(1, len(faces) // 50), annotated].astype("float64")
    shapes = shapes - shapes.mean(1, keepdims=True)
    shapes /= np.sqrt((shapes**2).sum((1, 2), keepdims=True))
    source, target = shapes.mean(0), target - target.mean(0)
    # The similarity of least squares, as complex numbers: z -> a z.
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
