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


def _between(first, second):
    """The middles between places, each of which was given as one place."""
    return np.stack([first[:, 0], second[:, 0]], -1)


_QUARTERS = (0.25, 0.5, 0.75)
_THIRDS = (0.33, 0.67)
_FOUR = np.linspace(0, 1, 4)
JAW33 = np.linspace(-1, 1, 33)
TEMPLES33 = 1.07 * JAW33  # JD-landmark's contour begins above the ears
# People put the upper lip's points 2 and 4 on the peaks of the bow. Those of the lower and the inner lips lie nearer to the
# middle in iBUG's 68 points than in WFLW's 98 and JD-landmark's 106.
_UPPER7 = (-1, -0.65, -0.25, 0, 0.25, 0.65, 1)
_LOWER5, _INNER5 = (0.65, 0.31, 0, -0.31, -0.65), (-1, -0.33, 0, 0.33, 1)
_EVEN_LOWER5, _EVEN_INNER5 = (0.74, 0.41, 0, -0.41, -0.74), (-1, -0.54, 0, 0.54, 1)
_BROW5 = np.array([0.0, 0.19, 0.46, 0.745, 1.0])  # of 68 points
_BROW5_98, _BROW4_98 = np.array([0.08, 0.28, 0.52, 0.765, 0.98]), np.array([0.98, 0.74, 0.51, 0.29])  # upper line, and back
_BASE5 = np.linspace(-1, 1, 5)


def _brows9(face):
    """Nine points for each brow: the upper line from the left end to the right, then the lower line back."""
    left = face3d.both(lambda t, edge: face.brow(-1, t, edge), _BROW5_98, _BROW4_98)
    right = face3d.both(lambda t, edge: face.brow(1, t, edge), _BROW5_98[::-1], _BROW4_98[::-1])
    return [left, right]


def _mouth(face, lower=_EVEN_LOWER5, inner=_EVEN_INNER5):
    return [face3d.both(face.outer_lip, _UPPER7, lower), face3d.both(face.inner_lip, inner, inner[3:0:-1])]


def _eyes8(face):
    return _eyes(face, _QUARTERS, _QUARTERS)


def _jaw33(face):
    return face.jaw_line(JAW33)


def _nose9(face):
    return [face.bridge(_FOUR), face.nose_base(_BASE5)]


def _wflw98(face):
    return np.concatenate(
        [_jaw33(face), *_brows9(face), *_nose9(face), *_eyes8(face), *_mouth(face), face.pupil(-1), face.pupil(1)]
    )


def _ibug68(face):
    brows = [face.brow(-1, _BROW5, -0.6), face.brow(1, _BROW5[::-1], -0.6)]
    mouth = _mouth(face, _LOWER5, _INNER5)
    return np.concatenate([_jaw33(face)[::2], *brows, *_nose9(face), *_eyes(face, _THIRDS, _THIRDS), *mouth])


def _jd106(face):
    left_eye, right_eye = _eyes8(face)
    side = [0.0, 0.78, 1.0]
    nose = [face.nose_side(-1, side), face.nose_base(_BASE5), face.nose_side(1, side[::-1])]
    return np.concatenate(
        [
            face.jaw_line(TEMPLES33),
            *_brows9(face),
            face.bridge(_FOUR),
            *nose,
            left_eye,
            _between(left_eye[2:3], left_eye[6:7]),
            right_eye,
            _between(right_eye[2:3], right_eye[6:7]),
            *_mouth(face),
            face.pupil(-1),
            face.pupil(1),
        ]
    )


def _cofw29(face):
    points = _wflw98(face)
    left, right = (face.brow(side, _BROW5_98[[0, -1]], 0) for side in (-1, 1))
    corners, wings = [left[:1], right[:1], left[1:], right[1:]], [face.nose_side(side, [1.0]) for side in (-1, 1)]
    brows_and_eyes, below = [35, 40, 44, 48, 60, 72, 64, 68, 62, 66, 70, 74, 96, 97], [54, 57, 76, 82, 79, 90, 94, 85, 16]
    return np.concatenate([*corners, points[brows_and_eyes], *wings, points[below]])


def _aflw19(face):
    t, points = _BROW5_98[::2], _wflw98(face)
    return np.concatenate(
        [
            face.brow(-1, t, 0),
            face.brow(1, t[::-1], 0),
            points[60:61],
            _between(points[62:63], points[66:67]),
            points[[64, 68]],
            _between(points[70:71], points[74:75]),
            points[72:73],
            face.nose_side(-1, [1.0]),
            points[54:55],
            face.nose_side(1, [1.0]),
            points[76:77],
            _between(points[90:91], points[94:95]),
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
            _between(tip, under),
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


# === All of them at once ===


class _Places:
    """Takes a face's place while the schemes list their points: its curves return numbers of places, `(n, 2)` each.

    A landmark is the middle between two places, which are one and the same for all but a few.
    """

    def __init__(self):
        self.curves = {}  # name, and what is the same along it -> (curve of a face, parameters -> number)
        self.count = 0

    def _asked(self, name, curve, *parameters):
        numbers = self.curves.setdefault(name, (curve, {}))[1]
        rows = list(zip(*np.broadcast_arrays(*np.atleast_1d(*parameters, ())[:-1]), strict=True))
        for row in rows:
            if row not in numbers:
                numbers[row], self.count = self.count, self.count + 1
        return np.array([(numbers[row], numbers[row]) for row in rows])

    def jaw_line(self, t):
        return self._asked("jaw_line", lambda face, t: face.jaw_line(t), t)

    def brow(self, side, t, edge):
        return self._asked(("brow", side), lambda face, t, edge: face.brow(side, t, edge), t, edge)

    def lid(self, side, t, edge):
        return self._asked(("lid", side, edge), lambda face, t: face.lid(side, t, edge), t)

    def pupil(self, side):
        return self._asked(("pupil", side), lambda face, _: face.pupil(side), 0)

    def bridge(self, t):
        return self._asked("bridge", lambda face, t: face.bridge(t), t)

    def nose_base(self, t):
        return self._asked("nose_base", lambda face, t: face.nose_base(t), t)

    def nose_side(self, side, t):
        return self._asked(("nose_side", side), lambda face, t: face.nose_side(side, t), t)

    def outer_lip(self, t, edge):
        return self._asked(("outer_lip", edge), lambda face, t: face.outer_lip(t, edge), t)

    def inner_lip(self, t, edge):
        return self._asked(("inner_lip", edge), lambda face, t: face.inner_lip(t, edge), t)


@functools.cache
def _tables():
    """What is worked out once for all faces.

    Returns:
        Curves and their parameters, whose points one after the other are the places; the two places of each point of a scheme,
        `(2, P)`; and (scheme, half) -> the numbers `(K,)` of its points among these.
    """
    places = _Places()
    listed = {(scheme, half): points(places) for scheme, points in LANDMARKS.items() for half in (-1, 1)}
    listed |= {("menpo39", half): _menpo39(places, half) for half in (-1, 1)}
    curves = [(curve, [np.array(column) for column in zip(*numbers, strict=True)]) for curve, numbers in places.curves.values()]
    order = np.concatenate([list(numbers.values()) for _, numbers in places.curves.values()])
    pairs = np.sort(np.argsort(order)[np.concatenate(list(listed.values()))], 1)
    pairs, numbers = np.unique(pairs, axis=0, return_inverse=True)
    ends = np.cumsum([len(points) for points in listed.values()])[:-1]
    return curves, pairs.T.copy(), dict(zip(listed, np.split(numbers, ends), strict=True))


def on_skin(face: face3d.Face) -> np.ndarray:
    """The points of all schemes on a face, each of them once, `(P, 3)` face coordinates; `numbers` tells whose they are."""
    if face.points is None:
        curves, (first, second), _ = _tables()
        places = np.concatenate([curve(face, *parameters) for curve, parameters in curves])
        face.points = face.lift((places[first] + places[second]) / 2)
    return face.points


def numbers(scheme: str, *, half: int = -1) -> np.ndarray:
    """Where a scheme's landmarks stand in what `on_skin` returns, `(K,)`; `half` is that of `landmarks3d`."""
    return _tables()[2][scheme, half]


def landmarks2d(face: face3d.Face, scheme: str, *, half: int = -1) -> np.ndarray:
    """The landmarks of a scheme as positions (x, y) on a face, `(K, 2)`; see `landmarks3d`."""
    return landmarks3d(face, scheme, half=half)[:, :2]


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
    return on_skin(face)[numbers(scheme, half=half)]


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
