"""Landmark schemes: what each point is, and what it becomes in a mirror.

"Left" and "right" are sides of the image: the left eye of a frontal face is the one with the smaller x. Indices count
from 0 in the order that the datasets publish. A scheme is written down as its parts in that order. The mirror permutation
follows from the parts: each is mirrored in itself or with its counterpart on the other side.

| scheme | points | annotation of |
|---|---|---|
| `wflw98` | 98 | WFLW |
| `ibug68` | 68 | 300W and whatever else follows Multi-PIE |
| `cofw29` | 29 | COFW |
| `aflw19` | 19 | AFLW, without the ears |
| `jd106` | 106 | JD-landmark and LaPa |
| `menpo39` | 39 | profile faces of the Menpo 2D challenge; its comment below gives the order that this package expects |
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from kfacealign.landmark_scheme import Contour, Scheme


@dataclasses.dataclass(frozen=True)
class _Part:
    """Consecutive points: point i mirrors to point `order[i]` of `twin`, or of the part itself where there is no twin."""

    name: str
    region: str
    count: int
    order: tuple
    twin: str = ""


def _reversed(count):
    return tuple(range(count - 1, -1, -1))


def _kept(count):
    return tuple(range(count))


def _pair(name, region, count, order):
    """The part on the left and its counterpart on the right."""
    return (
        _Part(f"left_{name}", region, count, tuple(order), f"right_{name}"),
        _Part(f"right_{name}", region, count, tuple(int(i) for i in np.argsort(order)), f"left_{name}"),
    )


def _scheme(name, parts, lines=(), eye_corners=None, pupils=None):
    starts = dict(zip([part.name for part in parts], np.cumsum([0, *(part.count for part in parts)]).tolist(), strict=False))
    names, mirror, regions = [], [], {}
    for part in parts:
        names += [part.name if part.count == 1 else f"{part.name}_{i}" for i in range(part.count)]
        mirror += [starts[part.twin or part.name] + i for i in part.order]
        regions.setdefault(part.region, []).extend(range(starts[part.name], starts[part.name] + part.count))
    contours = tuple(Contour(line, tuple(points), closed=closed) for line, points, closed in lines)
    regions = {region: tuple(points) for region, points in regions.items()}
    return Scheme(
        name,
        point_names=tuple(names),
        mirror=tuple(mirror),
        regions=regions,
        contours=contours,
        eye_corners=eye_corners,
        pupils=pupils,
    )


def _line(name, first, last, closed=False):
    return name, range(first, last + 1), closed


# A brow of nine points runs along its upper edge from one end and back along the lower; eyes run clockwise from the left corner.
_BROW9 = (4, 3, 2, 1, 0, 8, 7, 6, 5)
_EYE8 = (4, 3, 2, 1, 0, 7, 6, 5)
_EYE6 = (3, 2, 1, 0, 5, 4)
_OUTER_LIP = (6, 5, 4, 3, 2, 1, 0, 11, 10, 9, 8, 7)
_INNER_LIP = (4, 3, 2, 1, 0, 7, 6, 5)

_LEFT_BROW9, _RIGHT_BROW9 = _pair("brow", "brows", 9, _BROW9)
_LEFT_EYE8, _RIGHT_EYE8 = _pair("eye", "eyes", 8, _EYE8)
_LEFT_PUPIL, _RIGHT_PUPIL = _pair("pupil", "eyes", 1, (0,))
_MOUTH = (_Part("outer_lip", "mouth", 12, _OUTER_LIP), _Part("inner_lip", "mouth", 8, _INNER_LIP))

WFLW98 = _scheme(
    "wflw98",
    (
        _Part("contour", "contour", 33, _reversed(33)),
        _LEFT_BROW9,
        _RIGHT_BROW9,
        _Part("bridge", "nose", 4, _kept(4)),
        _Part("nose", "nose", 5, _reversed(5)),
        _LEFT_EYE8,
        _RIGHT_EYE8,
        *_MOUTH,
        _LEFT_PUPIL,
        _RIGHT_PUPIL,
    ),
    (
        _line("contour", 0, 32),
        _line("left_brow", 33, 41, True),
        _line("right_brow", 42, 50, True),
        _line("bridge", 51, 54),
        _line("nose", 55, 59),
        _line("left_eye", 60, 67, True),
        _line("right_eye", 68, 75, True),
        _line("outer_lip", 76, 87, True),
        _line("inner_lip", 88, 95, True),
    ),
    eye_corners=(60, 72),
    pupils=((96,), (97,)),
)

IBUG68 = _scheme(
    "ibug68",
    (
        _Part("contour", "contour", 17, _reversed(17)),
        *_pair("brow", "brows", 5, _reversed(5)),
        _Part("bridge", "nose", 4, _kept(4)),
        _Part("nose", "nose", 5, _reversed(5)),
        *_pair("eye", "eyes", 6, _EYE6),
        *_MOUTH,
    ),
    (
        _line("contour", 0, 16),
        _line("left_brow", 17, 21),
        _line("right_brow", 22, 26),
        _line("bridge", 27, 30),
        _line("nose", 31, 35),
        _line("left_eye", 36, 41, True),
        _line("right_eye", 42, 47, True),
        _line("outer_lip", 48, 59, True),
        _line("inner_lip", 60, 67, True),
    ),
    eye_corners=(36, 45),
    pupils=(tuple(range(36, 42)), tuple(range(42, 48))),
)

COFW29 = _scheme(
    "cofw29",
    (
        *_pair("brow_outer", "brows", 1, (0,)),
        *_pair("brow_inner", "brows", 1, (0,)),
        *_pair("brow_middle", "brows", 2, (0, 1)),
        *_pair("eye_outer", "eyes", 1, (0,)),
        *_pair("eye_inner", "eyes", 1, (0,)),
        *_pair("eye_lids", "eyes", 2, (0, 1)),
        *_pair("pupil", "eyes", 1, (0,)),
        *_pair("nostril", "nose", 1, (0,)),
        _Part("nose", "nose", 2, _kept(2)),
        *_pair("mouth_corner", "mouth", 1, (0,)),
        _Part("lips", "mouth", 4, _kept(4)),
        _Part("chin", "contour", 1, (0,)),
    ),
    (
        ("left_brow", (0, 4, 2, 5), True),
        ("right_brow", (3, 6, 1, 7), True),
        ("left_eye", (8, 12, 10, 13), True),
        ("right_eye", (11, 14, 9, 15), True),
        ("nose", (18, 20, 19, 21), True),
        ("outer_lip", (22, 24, 23, 27), True),
        ("inner_lip", (22, 25, 23, 26), True),
    ),
    eye_corners=(8, 9),
    pupils=((16,), (17,)),
)

AFLW19 = _scheme(
    "aflw19",
    (
        *_pair("brow", "brows", 3, _reversed(3)),
        *_pair("eye", "eyes", 3, _reversed(3)),
        _Part("nose", "nose", 3, _reversed(3)),
        _Part("mouth", "mouth", 3, _reversed(3)),
        _Part("chin", "contour", 1, (0,)),
    ),
    (
        _line("left_brow", 0, 2),
        _line("right_brow", 3, 5),
        _line("left_eye", 6, 8),
        _line("right_eye", 9, 11),
        _line("nose", 12, 14),
        _line("mouth", 15, 17),
    ),
    eye_corners=(6, 11),
    pupils=((7,), (10,)),
)

JD106 = _scheme(
    "jd106",
    (
        _Part("contour", "contour", 33, _reversed(33)),
        _LEFT_BROW9,
        _RIGHT_BROW9,
        _Part("bridge", "nose", 4, _kept(4)),
        _Part("nose", "nose", 11, _reversed(11)),
        # Eight points around the eye, then the centre of its opening.
        *_pair("eye", "eyes", 9, (*_EYE8, 8)),
        *_MOUTH,
        _LEFT_PUPIL,
        _RIGHT_PUPIL,
    ),
    (
        _line("contour", 0, 32),
        _line("left_brow", 33, 41, True),
        _line("right_brow", 42, 50, True),
        _line("bridge", 51, 54),
        _line("nose", 55, 65),
        _line("left_eye", 66, 73, True),
        _line("right_eye", 75, 82, True),
        _line("outer_lip", 84, 95, True),
        _line("inner_lip", 96, 103, True),
    ),
    eye_corners=(66, 79),
    pupils=((104,), (105,)),
)

# The profile annotation of the Menpo 2D challenge: the visible half of a face seen from the side. A mirrored profile is a
# profile of the other side with the same points, so every point mirrors to itself and names carry no side. In order:
#   0-9    contour, from the ear down to the tip of the chin
#   10-13  brow, from the ear's side forward
#   14-17  bridge of the nose, from the root to the tip
#   18-22  below the tip: columella, subnasale, base of the nostril, base of the wing, top of the wing
#   23-27  eye: corner at the ear's side, upper lid (two, going forward), lower lid (two, going back); no inner corner
#   28-34  outer lip: upper lip on the midline, back to the mouth's corner (31), forward to the lower lip on the midline
#   35-38  inner lip: upper lip on the midline and behind it, lower lip behind the midline and on it
MENPO39 = _scheme(
    "menpo39",
    (
        _Part("contour", "contour", 10, _kept(10)),
        _Part("brow", "brows", 4, _kept(4)),
        _Part("bridge", "nose", 4, _kept(4)),
        _Part("nose", "nose", 5, _kept(5)),
        _Part("eye", "eyes", 5, _kept(5)),
        _Part("outer_lip", "mouth", 7, _kept(7)),
        _Part("inner_lip", "mouth", 4, _kept(4)),
    ),
    (
        _line("contour", 0, 9),
        _line("brow", 10, 13),
        _line("nose", 14, 22),
        _line("eye", 23, 27, True),
        _line("outer_lip", 28, 34),
        ("inner_lip", (35, 36, 31, 37, 38), False),
    ),
)

SCHEMES = {scheme.name: scheme for scheme in (WFLW98, IBUG68, COFW29, AFLW19, JD106, MENPO39)}


# The schemes of this package; a program may add its own to `SCHEMES`.
BUILT_IN = tuple(SCHEMES)
_BUILT_IN = dict(SCHEMES)


def get(scheme: str | Scheme | Mapping[str, Any]) -> Scheme:
    """The scheme of this name, or the one that a model file describes; a `Scheme` is returned as it is.

    Args:
        scheme: a name, a `Scheme`, or what `described` returned.

    Raises:
        ValueError: there is no scheme of this name, the message lists those that there are; or a description is wrong, see
            `Scheme.from_config`.
    """
    if isinstance(scheme, Scheme):
        return scheme
    if isinstance(scheme, Mapping):
        return Scheme.from_config(scheme)
    if scheme not in SCHEMES:
        raise ValueError(
            f"no landmark scheme {scheme!r}; there are {', '.join(SCHEMES)}. Points of your own are written down in a file, see "
            "kfacealign datasets scheme"
        )
    return SCHEMES[scheme]


def described(scheme: Scheme) -> str | dict[str, Any]:
    """What a model file says of its scheme, and `get` reads: the name if it is one of this package, else all of it."""
    return scheme.name if _BUILT_IN.get(scheme.name) == scheme else scheme.get_config()
