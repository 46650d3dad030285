"""Where labelled faces have their points: mean faces as seen from the front, and labels moved from one definition to another.

Two sets of one scheme can have the same point at different places: a detector that made the labels of one may put the brows'
inner ends where nobody who labels by hand does. A network that is trained on both learns to tell the photographs apart.
"""

import copy
from collections.abc import Iterable

import numpy as np

from kfacealign.data.faces import Faces
from kfacealign.schemes import Scheme

SHARE = 0.25  # of the faces, the most symmetric, count as seen from the front


def in_eye_frame(landmarks: np.ndarray, scheme: Scheme) -> np.ndarray:
    """Landmarks (N, K, 2) moved, turned and scaled so that the eyes' outer corners are at (-0.5, 0) and (0.5, 0)."""
    points = landmarks[..., 0] + 1j * landmarks[..., 1]
    left, right = (points[:, [corner]] for corner in scheme.eye_corners)
    points = (points - (left + right) / 2) / (right - left)
    return np.stack([points.real, points.imag], -1)


def symmetric(shape: np.ndarray, scheme: Scheme) -> np.ndarray:
    """The mean (K, 2) of a shape in the eyes' frame and its mirror image."""
    return (shape + shape[list(scheme.mirror)] * (-1, 1)) / 2


def frontal_mean(landmarks: np.ndarray, scheme: Scheme) -> tuple[np.ndarray, int]:
    """The symmetric mean shape (K, 2), in the eyes' frame, of the faces (N, K, 2) that are most like their own mirror image.

    Returns:
        The shape, and how many faces it is the mean of: a quarter of them, at least one.
    """
    shapes, mirror = in_eye_frame(np.asarray(landmarks, float), scheme), list(scheme.mirror)
    asymmetry = np.abs(shapes - shapes[:, mirror] * (-1, 1))[..., 0].mean(1)
    chosen = shapes[asymmetry <= np.quantile(asymmetry, SHARE)]
    return symmetric(chosen.mean(0), scheme), len(chosen)


def laid_on(shape: np.ndarray, target: np.ndarray, still: Iterable[int]) -> np.ndarray:
    """`shape` moved, turned and scaled onto `target`, both (K, 2), by the points `still` (least squares)."""
    still = list(still)
    a, b = (points[:, 0] + 1j * points[:, 1] for points in (shape, target))
    middle, goal = a[still].mean(), b[still].mean()
    turn = np.vdot(a[still] - middle, b[still] - goal) / np.vdot(a[still] - middle, a[still] - middle)
    moved = (a - middle) * turn + goal
    return np.stack([moved.real, moved.imag], -1)


def offsets_to(other: Faces, faces: Faces, regions: Iterable[str]) -> np.ndarray:
    """How far the points of some regions of `faces` are, in the mean, from where `other` has them.

    Both means are of faces seen from the front; that of `other` is laid on that of `faces` by the points of the eyes, which
    lie where the eye ends whoever labels them.

    Args:
        other: `Faces` whose definition is wanted, some of which are annotated whole.
        faces: `Faces` of the same scheme, some of which are annotated whole.
        regions: names of `scheme.regions`, such as "brows".

    Returns:
        (K, 2) in the eyes' frame, in inter-ocular distances; 0 where a point is of no such region.

    Raises:
        ValueError: a region is unknown, the schemes differ, or a set has no face with all points.
    """
    scheme, regions = faces.scheme, list(regions)
    if other.scheme.name != scheme.name:
        raise ValueError(f"faces of {scheme.name} cannot take over the definition of {other.scheme.name}")
    unknown = sorted(set(regions) - set(scheme.regions))
    if unknown:
        raise ValueError(f"{scheme.name} has no region named {', '.join(unknown)}: there are {', '.join(scheme.regions)}")
    means = []
    for part in (other, faces):
        whole = part.landmarks[(part.weights > 0).all(1)]
        if not len(whole):
            raise ValueError(f"no face of {part.images[0] if len(part) else 'an empty set'} and others has all points")
        means.append(frontal_mean(whole, scheme)[0])
    wanted, present = means
    moved = [point for region in regions for point in scheme.regions[region]]
    offsets = np.zeros_like(present)
    offsets[moved] = (laid_on(wanted, present, scheme.regions["eyes"]) - present)[moved]
    return offsets


def with_offsets(faces: Faces, offsets: np.ndarray) -> Faces:
    """Faces whose labels are moved by offsets (K, 2) in the frame of their own eyes; boxes stay.

    A face without both outer corners of the eyes has no such frame: points of it that would be moved have weight 0.
    """
    first, second = faces.scheme.eye_corners
    landmarks = np.asarray(faces.landmarks, "float64")
    eyes = landmarks[:, second] - landmarks[:, first]
    across = np.stack([-eyes[:, 1], eyes[:, 0]], -1)
    step = offsets[None, :, :1] * eyes[:, None] + offsets[None, :, 1:] * across[:, None]
    framed = (faces.weights[:, [first, second]] > 0).all(1)[:, None] & (np.linalg.norm(eyes, axis=1) > 0)[:, None]
    moved = (offsets != 0).any(1)[None]
    found = copy.copy(faces)
    found.landmarks = np.where((framed & moved)[..., None], landmarks + step, landmarks).astype("float32")
    found.weights = np.where(~framed & moved, np.float32(0), faces.weights)
    return found
