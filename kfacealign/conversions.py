"""Converts landmarks from one scheme to another.

Every point of the target is a point of the source or the mean of a few, so a conversion is a matrix (K', K) whose rows sum
to 1. Where two schemes place a point differently, the nearest choice is made:

| from | to | how |
|---|---|---|
| `wflw98`, `jd106` | `ibug68` | every second point of the contour, upper edges of the brows, eyes without the lids' middles |
| `ibug68` | `ibug51` | without the contour |
| `ibug68` | `ibug49` | without the contour and the inner corners of the mouth |
| `ibug68` | `common7` | the corners of eyes and mouth and the tip of the nose, which Talking Face's scheme shares |
| all three | `aflw19` | ends and middles of brows and mouth, corners and centres of the eyes, wings and tip of the nose, chin |

`ibug51`, `ibug49` and `common7` are schemes to evaluate in, which `scheme("ibug49")` returns; their regions and eye corners
are those of `ibug68`. From `wflw98` and `jd106` they are reached by way of `ibug68`.
"""

import functools

import numpy as np

from kfacealign import schemes
from kfacealign.data.faces import Faces

# The upper edges of the brows. In the mean faces of the real datasets, fitted to each other by eyes and nose, their height is
# within 1 % of the inter-ocular distance of 300W's brows; the means of upper and lower edge would lie 4 % too low.
_BROWS98 = (*range(33, 38), *range(42, 47))
_CONTOUR33 = range(0, 33, 2)
INNER51 = tuple(range(17, 68))
INNER49 = tuple(point for point in INNER51 if point not in (60, 64))
# The outer and inner corner of the left eye, the inner and outer one of the right, the tip of the nose, the mouth's corners.
COMMON7 = (36, 39, 42, 45, 30, 48, 54)

# (source, target) -> for each point of the target the source's point, or the points whose mean it is.
SOURCES = {
    ("wflw98", "ibug68"): (
        [*_CONTOUR33, *_BROWS98, *range(51, 60), 60, 61, 63, 64, 65, 67, 68, 69, 71, 72, 73, 75, *range(76, 96)]
    ),
    ("jd106", "ibug68"): (
        [*_CONTOUR33, *_BROWS98, *range(51, 55), *range(58, 63), 66, 67, 69, 70, 71, 73, 75, 76, 78, 79, 80, 82, *range(84, 104)]
    ),
    ("ibug68", "ibug51"): INNER51,
    ("ibug68", "ibug49"): INNER49,
    ("ibug68", "common7"): COMMON7,
    ("ibug68", "aflw19"): (
        [17, 19, 21, 22, 24, 26, 36, (37, 38, 40, 41), 39, 42, (43, 44, 46, 47), 45, 31, 30, 35, 48, (62, 66), 54, 8]
    ),
    # AFLW's brows lie between the upper and the lower edge.
    ("wflw98", "aflw19"): (
        [33, (35, 40), (37, 38), (42, 50), (44, 48), 46, 60, 96, 64, 68, 97, 72, 55, 54, 59, 76, (90, 94), 82, 16]
    ),
    ("jd106", "aflw19"): (
        [33, (35, 40), (37, 38), (42, 50), (44, 48), 46, 66, 104, 70, 75, 105, 79, 57, 54, 63, 84, (98, 102), 90, 16]
    ),
}


class PartialScheme(schemes.Scheme):
    """Some points of `ibug68`, with their names and regions."""

    @property
    def mean_shape(self) -> np.ndarray:
        """(K, 2) float32, crop coordinates: these points' mean shape in `ibug68`, fitted to the crop as `Scheme` says."""
        shape = matrix("ibug68", self.name) @ schemes.IBUG68.mean_shape
        low, high = shape.min(0), shape.max(0)
        return (0.5 + (shape - (low + high) / 2) * (0.8 / (high - low).max())).astype("float32")


def scheme(name: schemes.Scheme | str) -> schemes.Scheme:
    """The scheme of this name: one of `kfacealign.schemes` or "ibug51", "ibug49", "common7". A `Scheme` is returned as it is.

    Raises:
        ValueError: there is no such scheme.
    """
    if isinstance(name, schemes.Scheme):
        return name
    partial = {"ibug51": INNER51, "ibug49": INNER49, "common7": COMMON7}
    return _partial(name, partial[name]) if name in partial else schemes.get(name)


def convert(faces: Faces, target: schemes.Scheme | str) -> Faces:
    """Faces in another scheme.

    Args:
        faces: `Faces`.
        target: name of the scheme, or a `Scheme`.

    Returns:
        `Faces`. A point has weight 0 if one of its sources is not annotated, and is hidden if one of them is hidden.
        Boxes, attributes, names and images are kept.

    Raises:
        ValueError: there is no such scheme, or no conversion to it.
    """
    target = scheme(target)
    if target.name == faces.scheme.name:
        return faces
    weights = matrix(faces.scheme.name, target.name)
    used = weights > 0
    # What is stored for a point that is not annotated, such as NaN, must not spoil a sum.
    known = np.where(faces.weights[..., None] > 0, faces.landmarks, 0)
    occluded = None if faces.occluded is None else (faces.occluded[:, None] & used).any(-1)
    return Faces(
        target,
        images=faces.images,
        landmarks=np.einsum("pk,nkc->npc", weights, known.astype("float64")),
        weights=np.where(used, faces.weights[:, None], np.inf).min(-1),
        boxes=faces.boxes,
        attributes=faces.attributes,
        names=faces.names,
        origins=faces.origins,
        occluded=occluded,
    )


def convert_landmarks(landmarks: np.ndarray, source: schemes.Scheme | str, target: schemes.Scheme | str) -> np.ndarray:
    """Landmarks without their faces, such as predictions, in another scheme.

    Args:
        landmarks: (..., K, 2) in any coordinates.
        source: scheme of the landmarks, a name or a `Scheme`.
        target: scheme of the result, a name or a `Scheme`.

    Returns:
        (..., K', 2) float32 in the same coordinates.

    Raises:
        ValueError: the landmarks are not those of `source`, or there is no conversion.
    """
    source, target = scheme(source), scheme(target)
    landmarks = np.asarray(landmarks, "float64")
    if landmarks.shape[-2:] != (source.num_points, 2):
        raise ValueError(f"landmarks of {source.name} are (..., {source.num_points}, 2), got shape {landmarks.shape}")
    return np.einsum("pk,...kc->...pc", matrix(source.name, target.name), landmarks).astype("float32")


def conversions() -> tuple[tuple[str, str], ...]:
    """The pairs (source, target) of names between which there is a conversion, direct or by way of `ibug68`."""
    ends = [target for source, target in SOURCES if source == "ibug68"]
    through = [(source, target) for source, middle in SOURCES if middle == "ibug68" for target in ends]
    return tuple(dict.fromkeys([*SOURCES, *through]))


@functools.cache
def matrix(source: str, target: str) -> np.ndarray:
    """The matrix that converts landmarks, by the names of the schemes.

    Returns:
        (K', K) float64: row k' holds the weights that the source's points have in point k' of the target.

    Raises:
        ValueError: there is no conversion; the message lists the targets that the source has.
    """
    if source == target:
        return np.eye(schemes.get(source).num_points)
    if (source, target) in SOURCES:
        rows = np.zeros((len(SOURCES[source, target]), schemes.get(source).num_points))
        for row, points in zip(rows, SOURCES[source, target], strict=True):
            row[np.ravel(points)] = 1 / np.size(points)
        return rows
    if (source, target) in conversions():
        return matrix("ibug68", target) @ matrix(source, "ibug68")
    targets = ", ".join(end for start, end in conversions() if start == source)
    raise ValueError(f"there is no conversion from {source} to {target}; from {source} there is {targets or 'none'}")


@functools.cache
def _partial(name, points):
    whole = schemes.IBUG68
    places = {point: place for place, point in enumerate(points)}
    contours = []
    for contour in whole.contours:
        kept = tuple(places[point] for point in contour.points if point in places)
        if len(kept) > 1 and len(points) > len(COMMON7):
            contours.append(schemes.Contour(contour.name, kept, closed=contour.closed))
    pupils = tuple(tuple(places[point] for point in eye if point in places) for eye in whole.pupils)
    return PartialScheme(
        name,
        point_names=tuple(whole.point_names[point] for point in points),
        mirror=tuple(places[whole.mirror[point]] for point in points),
        regions={region: tuple(places[p] for p in members if p in places) for region, members in whole.regions.items()},
        contours=tuple(contours),
        eye_corners=tuple(places[point] for point in whole.eye_corners),
        pupils=pupils,
    )
