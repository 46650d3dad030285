"""Five-point alignment: the similarity transform that brings eyes, nose and mouth to fixed places of the crop.

LOTR crops its faces so (Sec. 4.1). By sides of the image and in this order, the five points are the centre of the left eye,
the centre of the right eye, the tip of the nose, the left corner of the mouth and the right corner of the mouth. The centre
of an eye is the middle between its corners, which all schemes annotate and which neither blink nor gaze moves. Of schemes that
are not this package's, the names of the points tell which they are, see `by_names`.
"""

import numpy as np

from kfacealign import mirrors, schemes

# The five points of the mean face in crops of the default enlargement. They are taken from the jd106 mean shape, shrunk
# until its box fills 2/3 of the crop. A crop that is made by the box fills 80 %, but here the jaw of a turned face would
# leave such a crop: its five points lie close together, so the alignment enlarges it. (On ytf68, 47 % of the faces have
# landmarks outside of the crop at 80 %, and 8 % at 2/3, which are 0.3 % of the points.) The numbers are written down
# instead of computed from the mean shape because trained models depend on them.
TEMPLATE = np.array([[0.3566, 0.2819], [0.6434, 0.2819], [0.5, 0.4541], [0.373, 0.6042], [0.627, 0.6042]])
TEMPLATE.setflags(write=False)
ENLARGE = 1.25  # the enlargement that TEMPLATE belongs to, the default of `Crops`

_EYES8 = (("left_eye_0", "left_eye_4"), ("right_eye_0", "right_eye_4"))
_EYES6 = (("left_eye_0", "left_eye_3"), ("right_eye_0", "right_eye_3"))
_NOSE_AND_LIPS = (("bridge_3",), ("outer_lip_0",), ("outer_lip_6",))
# For each of the five points, the names of the landmarks whose mean it is.
_POINTS = {
    "wflw98": (*_EYES8, *_NOSE_AND_LIPS),
    "jd106": (*_EYES8, *_NOSE_AND_LIPS),
    "ibug68": (*_EYES6, *_NOSE_AND_LIPS),
    "cofw29": (
        ("left_eye_outer", "left_eye_inner"),
        ("right_eye_inner", "right_eye_outer"),
        ("nose_0",),
        ("left_mouth_corner",),
        ("right_mouth_corner",),
    ),
    "aflw19": (
        ("left_eye_0", "left_eye_2"),
        ("right_eye_0", "right_eye_2"),
        ("nose_1",),
        ("mouth_0",),
        ("mouth_2",),
    ),
}


def indices(scheme: str | schemes.Scheme) -> tuple[tuple[int, ...], ...]:
    """Five tuples of point indices: each of the five points is the mean of the landmarks in its tuple.

    Raises:
        ValueError: the scheme has no five points (`menpo39`), or its names do not tell them; the message says which are missing.
    """
    scheme = schemes.get(scheme)
    if scheme.name == "menpo39":
        raise ValueError(
            "menpo39 has no five points: it annotates the visible half of a profile, one eye without its inner corner "
            "and one corner of the mouth. Crop by the box."
        )
    if scheme.name not in _POINTS:
        return by_names(scheme)
    return tuple(tuple(scheme.point_names.index(name) for name in names) for names in _POINTS[scheme.name])


def by_names(scheme: schemes.Scheme) -> tuple[tuple[int, ...], ...]:
    """The five points of a scheme of somebody's own, as `indices` returns them, by the names of its points.

    An eye is the middle between the points whose names say `left`, `eye` and `outer` or `inner`; else the mean of its group of
    the scheme's `pupils`; else the only point of that side whose name says `eye`. The tip of the nose is the only point without
    a side whose name says `nose` and `tip`, or the only one that says `nose`. A corner of the mouth is the only point that
    says its side, `mouth` or `lip`, and `corner`, or the only one of the mouth on that side. Words are told apart as in names
    that tell the mirror.

    Raises:
        ValueError: the names do not tell them all.
    """
    words = [{word.lower() for word in mirrors.WORDS.findall(name)} for name in scheme.point_names]
    left, right, mouth = {"left", "l"}, {"right", "r"}, {"mouth", "lip", "lips"}

    def named(*wanted, without):
        return [place for place, found in enumerate(words) if all(found & one for one in wanted) and not found & without]

    def only(chosen, particular):
        marked = [place for place in chosen if particular in words[place]]
        return next((tuple(places) for places in (marked, chosen) if len(places) == 1), ())

    def eye(side, pupil):
        of_eye = named(side, {"eye"}, without={"brow", "eyebrow"})
        corners = [[place for place in of_eye if end in words[place]] for end in ("outer", "inner")]
        if [len(corner) for corner in corners] == [1, 1]:
            return (*corners[0], *corners[1])
        return tuple(pupil) or (tuple(of_eye) if len(of_eye) == 1 else ())

    pupils = scheme.pupils or ((), ())
    found = {
        "the left eye": eye(left, pupils[0]),
        "the right eye": eye(right, pupils[1]),
        "the tip of the nose": only(named({"nose"}, without=left | right), "tip"),
        "the left corner of the mouth": only(named(mouth, left, without=set()), "corner"),
        "the right corner of the mouth": only(named(mouth, right, without=set()), "corner"),
    }
    missing = [what for what, chosen in found.items() if not chosen]
    if missing:
        raise ValueError(
            f"scheme {scheme.name!r} does not say which points are {', '.join(missing)}: its file needs names "
            "(left_eye_outer and left_eye_inner, or pupils for both eyes; nose_tip; left_mouth_corner; and those of the right "
            "side), or crop by the box (--align box)"
        )
    return tuple(found.values())


def five_points(landmarks: np.ndarray, scheme: str | schemes.Scheme) -> np.ndarray:
    """The five points of faces.

    Args:
        landmarks: (N, K, 2) or (K, 2), in any coordinates.
        scheme: their scheme, a name or a `Scheme`.

    Returns:
        (N, 5, 2) or (5, 2) float64, in the coordinates of the landmarks: image-left eye, image-right eye, tip of the nose,
        image-left corner of the mouth, image-right corner of the mouth.

    Raises:
        ValueError: the scheme has no five points, or another number of landmarks.
    """
    scheme, points = schemes.get(scheme), np.asarray(landmarks, np.float64)
    if points.shape[-2:] != (scheme.num_points, 2):
        raise ValueError(f"landmarks of {scheme.name} are (N, {scheme.num_points}, 2), got shape {points.shape}")
    return np.stack([points[..., list(chosen), :].mean(-2) for chosen in indices(scheme)], axis=-2)


def usable(landmarks: np.ndarray, weights: np.ndarray, scheme: str | schemes.Scheme) -> np.ndarray:
    """Which faces can be aligned.

    Args:
        landmarks: (N, K, 2), in any coordinates.
        weights: (N, K), 0 = not annotated.
        scheme: their scheme, a name or a `Scheme`.

    Returns:
        (N,) bool, True where all of the five points are annotated and do not coincide.

    Raises:
        ValueError: the scheme has no five points, or another number of landmarks.
    """
    needed = [point for chosen in indices(scheme) for point in chosen]
    spread = np.ptp(five_points(landmarks, scheme), axis=-2).max(-1)
    return (np.asarray(weights)[:, needed] > 0).all(1) & (spread > 0)


def similarity(points: np.ndarray, template: np.ndarray) -> np.ndarray:
    """The similarity transform (rotation, one scale, translation) with the least squared distance to a template.

    This is Umeyama's problem, restricted to proper rotations. In the plane it is linear. Let z be the points and w the
    template, written as complex numbers and measured from their means. Then the map `z -> a z + b` of least
    `sum |a z + b - w|^2` has

        a = sum(conj(z) w) / sum |z|^2

    It never reflects, because it multiplies by a complex number.

    Args:
        points: (N, P, 2) or (P, 2) with P of at least 2.
        template: (P, 2), or (N, P, 2) with one for each face.

    Returns:
        (N, 2, 3) or (2, 3) float64 maps `[A | t]`, coordinates of the points -> coordinates of the template.

    Raises:
        ValueError: points and template differ in shape, or the points of a face coincide or are not finite, so that no such
            map has an inverse.
    """
    points, template = np.asarray(points, np.float64), np.asarray(template, np.float64)
    if points.shape[-2:] != template.shape[-2:] or points.shape[-1] != 2:
        raise ValueError(f"points {points.shape} and template {template.shape} must both end in (P, 2)")
    centre, target = points.mean(-2), template.mean(-2)
    z = (points - centre[..., None, :]) @ [1, 1j]
    w = (template - target[..., None, :]) @ [1, 1j]
    spread = (np.abs(z) ** 2).sum(-1)
    a = (np.conj(z) * w).sum(-1) / np.where(spread > 0, spread, 1.0)
    wrong = ~(np.abs(a) > 0)  # also where it is not a number
    if wrong.any():
        which = f" of face {int(np.argmax(wrong))}" if wrong.ndim else ""
        raise ValueError(f"the points{which} give no similarity transform: they coincide, or one is not finite")
    linear = np.stack([np.stack([a.real, -a.imag], -1), np.stack([a.imag, a.real], -1)], axis=-2)
    return np.concatenate([linear, target[..., None] - linear @ centre[..., None]], axis=-1)


def crop_matrices(landmarks: np.ndarray, scheme: str | schemes.Scheme, size: int, *, enlarge: float = ENLARGE) -> np.ndarray:
    """The maps that align faces: image coordinates -> crop pixels.

    Args:
        landmarks: (N, K, 2) or (K, 2), image coordinates.
        scheme: their scheme, a name or a `Scheme`.
        size: side of the crops in pixels.
        enlarge: 1.25 takes the five points to `TEMPLATE`. A larger factor shows more around the face, in the same measure
            as it does for a box.

    Returns:
        (N, 2, 3) or (2, 3) float64; `geometry.invert_affine` takes predictions back.

    Raises:
        ValueError: the scheme has no five points, the five points of a face coincide, or `enlarge` is not positive.
    """
    if not enlarge > 0:
        raise ValueError(f"enlarge must be a positive factor, got {enlarge}")
    template = 0.5 + (TEMPLATE - 0.5) * (ENLARGE / enlarge)
    return similarity(five_points(landmarks, scheme), template * size)
