"""Where the landmarks of every scheme lie on a `face3d.Face`: each of them is a point of one of its curves."""

import functools

import numpy as np

from kfacealign.data.rendered import face3d


def _eyes(face, upper, lower):
    """Both eyes, each clockwise from its left corner; `upper` and `lower` are parameters between the corners."""
    left, right = ((face.lid(side, upper, -1), face.lid(side, (0, 1, *lower), 1)) for side in (-1, 1))
    left = [left[1][:1], left[0], left[1][1:2], left[1][:1:-1]]
    right = [right[1][1:2], right[0][::-1], right[1][:1], right[1][2:]]
    return np.concatenate(left), np.concatenate(right)


_QUARTERS = (0.25, 0.5, 0.75)
_THIRDS = (0.33, 0.67)
_JAW33, _FIVE, _FOUR = np.linspace(-1, 1, 33), np.linspace(0, 1, 5), np.linspace(0, 1, 4)
# People put the upper lip's points 2 and 4 on the peaks of the bow, and the inner ones nearer to the middle than evenly.
_UPPER7, _LOWER5, _INNER5 = (-1, -0.66, -0.23, 0, 0.23, 0.66, 1), (0.65, 0.33, 0, -0.33, -0.65), (-1, -0.33, 0, 0.33, 1)
_BROW_BACK = np.linspace(1, 0.25, 4)
_BASE5 = np.linspace(-1, 1, 5)


def _shared(function):
    """Keeps a function's result with the face, because several schemes read the same points."""

    @functools.wraps(function)
    def once(face):
        if function not in face.points:
            face.points[function] = function(face)
        return face.points[function]

    return once


@_shared
def _brows9(face):
    """Nine points for each brow: the upper line from the left end to the right, then the lower line back."""
    left = face3d.both(lambda t, edge: face.brow(-1, t, edge), _FIVE, _BROW_BACK)
    right = face3d.both(lambda t, edge: face.brow(1, t, edge), _FIVE[::-1], _BROW_BACK[::-1])
    return [left, right]


@_shared
def _mouth(face):
    return [face3d.both(face.outer_lip, _UPPER7, _LOWER5), face3d.both(face.inner_lip, _INNER5, _INNER5[3:0:-1])]


@_shared
def _eyes8(face):
    return _eyes(face, _QUARTERS, _QUARTERS)


@_shared
def _jaw33(face):
    return face.jaw_line(_JAW33)


@_shared
def _nose9(face):
    return [face.bridge(_FOUR), face.nose_base(_BASE5)]


@_shared
def _wflw98(face):
    return np.concatenate(
        [_jaw33(face), *_brows9(face), *_nose9(face), *_eyes8(face), *_mouth(face), face.pupil(-1), face.pupil(1)]
    )


def _ibug68(face):
    brows = [face.brow(-1, _FIVE, -0.6), face.brow(1, _FIVE[::-1], -0.6)]
    return np.concatenate([_jaw33(face)[::2], *brows, *_nose9(face), *_eyes(face, _THIRDS, _THIRDS), *_mouth(face)])


def _jd106(face):
    left_eye, right_eye = _eyes8(face)
    side = [0.0, 0.78, 1.0]
    nose = [face.nose_side(-1, side), face.nose_base(_BASE5), face.nose_side(1, side[::-1])]
    return np.concatenate(
        [
            _jaw33(face),
            *_brows9(face),
            face.bridge(_FOUR),
            *nose,
            left_eye,
            (left_eye[2:3] + left_eye[6:7]) / 2,
            right_eye,
            (right_eye[2:3] + right_eye[6:7]) / 2,
            *_mouth(face),
            face.pupil(-1),
            face.pupil(1),
        ]
    )


def _cofw29(face):
    points = _wflw98(face)
    left, right = (face.brow(side, [0, 1], 0) for side in (-1, 1))
    corners = [left[:1], right[:1], left[1:], right[1:]]
    return np.concatenate(
        [*corners, points[[35, 40, 44, 48, 60, 72, 64, 68, 62, 66, 70, 74, 96, 97, 55, 59, 54, 57, 76, 82, 79, 90, 94, 85, 16]]]
    )


def _aflw19(face):
    t, points = np.array([0, 0.5, 1]), _wflw98(face)
    return np.concatenate(
        [
            face.brow(-1, t, 0),
            face.brow(1, t[::-1], 0),
            points[60:61],
            (points[62:63] + points[66:67]) / 2,
            points[[64, 68]],
            (points[70:71] + points[74:75]) / 2,
            points[[72, 55, 54, 59, 76]],
            (points[90:91] + points[94:95]) / 2,
            points[[82, 16]],
        ]
    )


def _menpo39(face, half):
    """The visible half of a profile, from the ear to the midline."""
    base, lip, inner = face.nose_base, face.outer_lip, face.inner_lip
    upper, lower = half * np.array([0, 1 / 3, 2 / 3, 1]), half * np.array([2 / 3, 1 / 3, 0])
    tip, under = face.bridge([1]), base([0])
    return np.concatenate(
        [
            face.jaw_line(half * np.linspace(1, 0, 10)),
            face.brow(half, _FOUR, -0.6),
            face.bridge(_FOUR),
            (tip + under) / 2,
            under,
            base([half * 0.5]),
            base([half * 1.0]),
            face.nose_side(half, [0.8]),
            face.lid(half, [0, 0.33, 0.67], -1),
            face.lid(half, [0.67, 0.33], 1),
            lip(upper, -1),
            lip(lower, 1),
            inner([0, half * 0.5], -1),
            inner([half * 0.5, 0], 1),
        ]
    )


LANDMARKS = {"wflw98": _wflw98, "ibug68": _ibug68, "cofw29": _cofw29, "aflw19": _aflw19, "jd106": _jd106}
SCHEMES = (*LANDMARKS, "menpo39")


def landmarks2d(face: face3d.Face, scheme: str, *, half: int = -1) -> np.ndarray:
    """The landmarks of a scheme as positions (x, y) on a face, `(K, 2)`; see `landmarks3d`."""
    return _menpo39(face, half) if scheme == "menpo39" else LANDMARKS[scheme](face)


def landmarks3d(face: face3d.Face, scheme: str, *, half: int = -1) -> np.ndarray:
    """The landmarks of a scheme on a face.

    Args:
        face: a `Face`.
        scheme: name of a scheme.
        half: the half of the face that a scheme of profiles is read from: -1 is the left, 1 the right. Other schemes take
            both halves.

    Returns:
        `(K, 3)` face coordinates.
    """
    return face.lift(landmarks2d(face, scheme, half=half))


@functools.cache
def _mean_shape(scheme):
    points = landmarks3d(face3d.Face(), scheme)
    flat = points[:, 2:0:-1] if scheme == "menpo39" else points[:, :2]
    low, high = flat.min(0), flat.max(0)
    return (0.5 + 0.8 * (flat - (low + high) / 2) / (high - low).max()).astype("float32")


def mean_shape(scheme: str) -> np.ndarray:
    """The mean face of a scheme in crop coordinates, `(K, 2)` float32: its box is centred and fills 80 % of the crop.

    The face is seen from the front. In menpo39, a scheme of profiles, it is seen from the side, looking right.
    """
    return _mean_shape(scheme).copy()
