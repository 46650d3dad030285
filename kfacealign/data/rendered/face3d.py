"""One parametric face in three dimensions.

In face coordinates x points to the right of the image, y down and z towards the camera. The origin lies between the eyes, at
the depth of the ears; the outer corners of the mean face's eyes are at x = -0.62 and 0.62. The skin of the face is a height
field z = `Face.surface(x, y)`, bounded by the jaw and by the crown; brows, lids, nose and lips are curves on it. Identity,
expression and gaze shape the curves, and landmarks are points of the curves, so they are exact
(`kfacealign.data.rendered.face_points`). The back of the head is only drawn (`kfacealign.data.rendered.head`).

The proportions of the mean face are those of photographs, as `benchmarks/rendered_offsets.py` measures them.
"""

import dataclasses
import functools
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

FOREHEAD = -0.95  # y of the hairline
CROWN = -1.5  # y of the top of the head
EAR = 0.03  # y of the ends of the jaw line
CHIN = 1.67  # y of the chin
# The jaw line of the mean face at t = 0, 1/8 ... 1: x, and the height above the chin as a share of that of the ear.
JAW_X = (0.0, 0.279, 0.524, 0.743, 0.918, 1.022, 1.074, 1.117, 1.143)
JAW_RISE = (0.0, 0.024, 0.092, 0.186, 0.312, 0.469, 0.641, 0.82, 1.0)

LEVELS = 256  # heights at which the profile of a surface is kept
_EVEN = np.linspace(0, 1, LEVELS)
_FROM_EAR = np.linspace(1, 0, 80)
_TO_CROWN = np.linspace(1, 0, 40)[:-1]
_SCALP = np.maximum(0, 1 - _TO_CROWN**2.6) ** 0.5  # half widths of the scalp, as shares of that at the ear


@dataclasses.dataclass(frozen=True, kw_only=True)
class Identity:
    """Shape of a person; the defaults, 1 or 0, are the mean."""

    width: float = 1.0
    length: float = 1.0
    jaw: float = 0.0  # square above 0, pointed below
    eye_spacing: float = 1.0
    eye_size: float = 1.0
    eye_tilt: float = 0.0
    brow_height: float = 0.0
    brow_length: float = 1.0  # brows begin at the temple; long ones end nearer to the nose
    brow_thickness: float = 1.0
    brow_arch: float = 1.0
    nose_length: float = 1.0
    nose_width: float = 1.0
    nose_depth: float = 1.0
    mouth_width: float = 1.0
    mouth_height: float = 0.0
    lip_thickness: float = 1.0
    cheeks: float = 0.0  # full above 0, hollow below
    skull: float = 1.0  # height and depth of the head above and behind the face; an infant's is large


@dataclasses.dataclass(frozen=True, kw_only=True)
class Expression:
    """What a face does; by default it is at rest with open eyes."""

    mouth: float = 0.0  # opening, 0 to 1
    smile: float = 0.0  # corners up and out above 0, down below, -1 to 1
    brows: float = 0.0  # raised above 0, lowered below, -1 to 1
    left_eye: float = 1.0  # opening, 0 closed, 1 open
    right_eye: float = 1.0
    gaze_x: float = 0.0  # place of the pupils, -1 to 1 of the room that they have
    gaze_y: float = 0.0


class Face:
    """The curves and the surface of one face.

    Curves return `(n, 2)` positions (x, y); `lift` puts them on the surface. `side` is -1 for the left half of the image and 1
    for the right half. The parameters of brows and lids run from 0 at the outer end to 1 at the inner end. The parameters of
    the jaw, the nose base and the lips run from -1 at the left to 1 at the right.

    Args:
        identity: shape of the person.
        expression: what the face does.
    """

    def __init__(self, identity: Identity = Identity(), expression: Expression = Expression()):
        self.identity = identity
        self.expression = expression
        self.points: np.ndarray | None = None  # of all schemes on the skin, kept by `face_points`
        person, act = identity, expression
        self.eye_x = 0.45 * person.eye_spacing
        self.eye_half_width = 0.189 * person.eye_size
        self.nose_tip_y = 0.53 * person.nose_length
        self.mouth_y = 1.02 * (0.6 + 0.4 * person.length) + 0.12 * (person.nose_length - 1) + person.mouth_height
        self.mouth_half_width = 0.374 * person.mouth_width * (1 + 0.2 * act.smile - 0.12 * act.mouth)
        self.chin_y = CHIN * person.length
        self.crown_y = CROWN * person.skull

    # === The surface ===

    def jaw_line(self, t: ArrayLike) -> np.ndarray:
        """The jaw from the left ear over the chin to the right ear; beyond -1 and 1 it goes on up to the temples."""
        t = np.asarray(t, float)
        x, rise = _jaw_table(t)
        square = 1 + (0.1 * self.identity.jaw + 0.06 * self.identity.cheeks) * np.sin(np.pi * rise)
        y = self.chin_y - (self.chin_y - EAR) * rise
        return pairs(x * square * self.identity.width, self._jaw_drop(y, 1.0))

    def _jaw_drop(self, y, share):
        """The lower face follows the opening mouth; nothing above the nose base moves."""
        weight = within((y - 0.75) / max(0.2, self.chin_y - 0.75), 0, 1)
        return y + share * 0.3 * self.expression.mouth * weight**1.3

    @functools.cached_property
    def _outline(self):
        """Half width of the face by height, as a table over y."""
        jaw = self.jaw_line(_FROM_EAR)
        scalp_y = EAR + (self.crown_y - EAR) * _TO_CROWN
        scalp_width = jaw[0, 0] * _SCALP
        return np.concatenate([scalp_y, jaw[:, 1]]), np.concatenate([scalp_width, jaw[:, 0]])

    @functools.cached_property
    def chin(self) -> float:
        """Height of the lowest point of the skin, lower with an open mouth."""
        return float(self.jaw_line(0.0)[1])

    def half_width(self, y: ArrayLike) -> np.ndarray:
        """Half the width of the skin at height y."""
        return np.interp(y, *self._outline)

    def rim_depth(self, y: ArrayLike) -> np.ndarray:
        """Depth of the skin's rim (jaw, temple) at height y."""
        drop = within((y - EAR) / (self.chin - EAR), 0, 1)
        return 0.68 * drop**4.5 - 0.35 * within((y - EAR) / (self.crown_y - EAR), 0, 1) ** 1.5

    @functools.cached_property
    def _profile(self):
        """What the surface takes by height, at LEVELS even heights from the crown to the chin, and the steps between them.

        The rows are the depth of the rim, that of the middle without features, how far the ridge of the nose and its wings stand
        out, and the negative half of the inverse square of the ridge's breadth.
        """
        crown, chin, low, tip, person = self.crown_y, self.chin, self.mouth_y, self.nose_tip_y, self.identity
        y = crown + (chin - crown) * _EVEN
        places = (crown, 0.8 * crown, 0.6 * crown, -0.45, -0.15, 0.1, 0.6, low, (low + chin) / 2, chin - 0.1, chin)
        middle = np.interp(y, places, (-0.35, 0.3, 0.66, 0.88, 0.92, 0.86, 0.88, 0.9, 0.84, 0.88, 0.68))
        ridge = np.interp(y, (-0.2, -0.05, 0.6 * tip, tip, tip + 0.09, tip + 0.2), (0.0, 0.1, 0.27, 0.4, 0.3, 0.0))
        wings = np.interp(y, (tip - 0.14, tip + 0.03, tip + 0.15), (0.0, 0.13, 0.0))
        breadth = np.interp(y, (-0.1, 0.5 * tip, tip, tip + 0.1), (0.075, 0.095, 0.15, 0.17)) * person.nose_width
        rows = np.array([self.rim_depth(y), middle, person.nose_depth * ridge, person.nose_depth * wings, -0.5 / breadth**2])
        return rows, np.diff(rows, axis=1, append=rows[:, -1:])

    @functools.cached_property
    def highest(self) -> float:
        """A depth that no point of the skin reaches."""
        rows, _ = self._profile
        return float((rows[1] + rows[2]).max()) + 0.2

    def surface(self, x: ArrayLike, y: ArrayLike) -> np.ndarray:
        """Depth z of the skin at (x, y); beyond the rim it is the depth of the rim."""
        x, y = np.asarray(x, float), np.asarray(y, float)
        rows, steps = self._profile
        place = within((y - self.crown_y) * ((LEVELS - 1) / (self.chin - self.crown_y)), 0, LEVELS - 1)
        level = place.astype(np.intp)
        rim, middle, ridge, wings, narrow = rows.take(level, axis=1) + (place - level) * steps.take(level, axis=1)
        square = x * x
        across = within(1 - square / np.maximum(self.half_width(y), 1e-3) ** 2, 0, 1)
        powers = np.empty((5, *x.shape))
        powers[0], powers[1], powers[2], powers[3], powers[4] = 1, np.abs(x), square, y, y * y
        exponents, signs = self._bumps
        bumps = np.exp(exponents @ powers.reshape(5, -1))
        z = rim + (middle - rim) * across**0.62 + (signs @ bumps).reshape(x.shape)
        return z + ridge * np.exp(square * narrow) + wings * bumps[0].reshape(x.shape)

    @functools.cached_property
    def _bumps(self):
        """What eyes, cheeks, nose, lips and chin add to the oval of the head: bumps, and dents in it.

        Each is exp(e) where e is a polynomial in |x| and y, and this returns the polynomials' coefficients of 1, |x|, x^2, y and
        y^2, `(n, 5)`, and which way each goes, `(n,)`: 1 of a bump, -1 of a dent. The first, with 0, stands for the wings of the
        nose at any height.
        """
        eye, person, opening = self.eye_x, self.identity, self.expression.mouth
        cheeks, lips, wide = 0.03 + 0.06 * person.cheeks, self._lip_heights, self.mouth_half_width / 0.374
        wing = 0.2 * person.nose_width
        rows = [  # height, middle and breadth along |x|, and along y
            (0.07, eye, 0.17, 0.0, 0.1),
            (0.05, eye * 0.9, 0.3, -0.26, 0.1),
            (person.lip_thickness * 0.055, 0.0, 0.2 * wide, lips[0], 0.06),
            (person.lip_thickness * 0.06, 0.0, 0.18 * wide, lips[1], 0.06),
        ]
        dents = [(0.13, eye, 0.24, 0.01, 0.16), (0.02, 0.0, 0.25, self.chin - 0.42, 0.07)]
        (rows if cheeks > 0 else dents).append((abs(cheeks) + 1e-9, 0.52, 0.22, 0.55, 0.22))
        if opening > 0.15:
            dents.append((0.3 * opening, 0.0, 0.2 * wide, lips.mean(), 0.13 * opening))
        height, x, across, y, down = np.array([(1.0, wing, 0.075 * person.nose_width, 0.0, 1e6), *rows, *dents]).T
        across, down = -0.5 / across**2, -0.5 / down**2
        constant = np.log(height) + across * x**2 + down * y**2
        signs = np.concatenate([[0], np.ones(len(rows)), -np.ones(len(dents))])
        return np.stack([constant, -2 * across * x, across, -2 * down * y, down], -1), signs

    @functools.cached_property
    def _lip_heights(self):
        """y of the middle of the upper and of the lower lip."""
        middle = [(self.outer_lip([0], edge) + self.inner_lip([0], edge))[0, 1] / 2 for edge in (-1, 1)]
        return np.array(middle)

    def lift(self, points: ArrayLike, *, out: float = 0.0) -> np.ndarray:
        """Positions `(n, 2)` -> `(n, 3)` on the skin, or so far out in front of it."""
        points = np.asarray(points, float)
        lifted = np.empty((len(points), 3))
        lifted[:, :2] = points
        lifted[:, 2] = self.surface(points[:, 0], points[:, 1]) + out
        return lifted

    # === Curves ===

    def brow(self, side: int, t: ArrayLike, edge: float) -> np.ndarray:
        """A brow: `edge` -1 is its upper line, 1 its lower line and 0 its middle."""
        t = np.asarray(t, float)
        person, raised = self.identity, 0.12 * self.expression.brows
        x = self.eye_x + 0.395 - 0.655 * person.brow_length * t
        arch = 0.118 * person.brow_arch * np.sin(np.pi * (0.02 + 0.96 * within(t, 0, 1) ** 0.75)) ** 1.2
        middle = -0.13 - arch - 0.03 * t - person.brow_height - raised * (0.6 + 0.4 * t)
        thickness = 0.052 * person.brow_thickness * np.sin(np.pi * within(0.12 + 0.7 * t, 0, 1)) ** 0.6
        return pairs(side * x, middle + edge * thickness)

    def lid(self, side: int, t: ArrayLike, edge: int) -> np.ndarray:
        """A lid: `edge` -1 is the upper lid, 1 the lower."""
        t = np.asarray(t, float)
        opening = self.expression.left_eye if side < 0 else self.expression.right_eye
        height = self.identity.eye_size * opening * (0.064 if edge < 0 else 0.058) + 0.004
        x = self.eye_x + self.eye_half_width * (1 - 2 * t)
        y = edge * height * np.sin(np.pi * t) ** 0.75 + self.identity.eye_tilt * (0.5 - t) + 0.018 + 0.03 * t
        return pairs(side * x, y)

    def pupil(self, side: int) -> np.ndarray:
        """Centre of a pupil, `(1, 2)`; the lids leave it room to move."""
        act = self.expression
        opening = act.left_eye if side < 0 else act.right_eye
        x = side * self.eye_x + 0.42 * self.eye_half_width * act.gaze_x
        return np.array([[x, 0.024 + 0.03 * opening * self.identity.eye_size * act.gaze_y]])

    def eye_centre(self, side: int) -> np.ndarray:
        """Middle of an eye's opening, `(1, 2)`."""
        return (self.lid(side, [0.5], -1) + self.lid(side, [0.5], 1)) / 2

    def bridge(self, t: ArrayLike) -> np.ndarray:
        """The nose's ridge from between the eyes (0) to its tip (1)."""
        t = np.asarray(t, float)
        return pairs(np.zeros_like(t), 0.02 + (self.nose_tip_y - 0.015) * t)

    def nose_base(self, t: ArrayLike) -> np.ndarray:
        """The line below the nostrils from the left to the right wing."""
        t = np.asarray(t, float)
        x = 0.207 * self.identity.nose_width * t * (1 + 0.1 * max(0.0, self.expression.smile))
        return pairs(x, self.nose_tip_y + 0.187 - 0.062 * t**2)

    def nose_side(self, side: int, t: ArrayLike) -> np.ndarray:
        """The side of the nose from beside the inner corner of the eye (0) to the widest place of the wing (1)."""
        t = np.asarray(t, float)
        x = (self.eye_x - 0.28) * (1 - t) + 0.29 * self.identity.nose_width * t - 0.1 * np.sin(np.pi * t) * (1 - t)
        return pairs(side * x, 0.03 + (self.nose_tip_y + 0.03) * t)

    def outer_lip(self, t: ArrayLike, edge: int) -> np.ndarray:
        """The border of the lips: `edge` -1 is the upper lip, 1 the lower."""
        t = np.asarray(t, float)
        round_ = within(1 - t**2, 0, 1)
        thickness = self.identity.lip_thickness * (1 - 0.25 * max(0.0, self.expression.smile))
        if edge < 0:
            bow = 0.03 * np.exp(-0.5 * (t / 0.13) ** 2)
            y = -thickness * (0.14 * round_**0.75 - bow) - 0.05 * self.expression.mouth * round_
        else:
            y = thickness * 0.118 * round_**0.6 + 0.37 * self.expression.mouth * round_**0.6
        return self._lips(t, y)

    def inner_lip(self, t: ArrayLike, edge: int) -> np.ndarray:
        """The line where lip and mouth meet, which is shorter than the outer border."""
        t = np.asarray(t, float)
        round_ = within(1 - t**2, 0, 1) ** 0.6
        act = self.expression.mouth
        y = -(0.036 + 0.035 * act) * round_ if edge < 0 else (0.35 * act - 0.016) * round_
        return self._lips(0.88 * t, y)

    def _lips(self, t, y):
        smile = self.expression.smile
        return pairs(self.mouth_half_width * t, y + (self.mouth_y + self._lip_drop + 0.03 * smile - 0.11 * smile * t**2))

    @functools.cached_property
    def _lip_drop(self):
        """How far an opening mouth takes the lips down."""
        return float(self._jaw_drop(self.mouth_y, 0.35)) - self.mouth_y


@functools.cache
def _jaw_spline():
    """Coefficients `(4, 8, 2)`, from the constant up, of the cubic pieces through JAW_X and JAW_RISE."""
    table = np.stack([JAW_X, JAW_RISE], -1)
    whole = np.concatenate([table[1:2] * (-1, 1), table, 2 * table[-1:] - table[-2:-1]])  # the other half goes before
    before, first, second, after = whole[:-3], whole[1:-2], whole[2:-1], whole[3:]
    start, end = (second - before) / 2, (after - first) / 2
    return np.stack([first, start, 3 * (second - first) - 2 * start - end, 2 * (first - second) + start + end])


def _jaw_table(t):
    """x and the share of the rise of the mean jaw line at t."""
    place = np.abs(t) * 8
    piece = np.minimum(place.astype(int), 7)
    rest = (place - piece)[..., None]
    a, b, c, d = (part.take(piece, axis=0) for part in _jaw_spline())
    found = ((d * rest + c) * rest + b) * rest + a
    return np.sign(t) * found[..., 0], found[..., 1]


def pairs(x: ArrayLike, y: ArrayLike) -> np.ndarray:
    """Coordinates x and y, `(...)` each -> positions `(..., 2)`, faster than `np.stack`."""
    positions = np.empty((*np.shape(y), 2))
    positions[..., 0], positions[..., 1] = x, y
    return positions


def within(values: ArrayLike, low: float, high: float) -> np.ndarray:
    """Values no lower than `low` and no higher than `high`, faster than `np.clip`."""
    return np.minimum(np.maximum(values, low), high)


def bump(x: np.ndarray, y: np.ndarray, sigma_x: float, sigma_y: float) -> np.ndarray:
    """A Gaussian bump of height 1 at (0, 0)."""
    return np.exp(-0.5 * ((x / sigma_x) ** 2 + (y / sigma_y) ** 2))


def both(curve: Callable[[ArrayLike, int], np.ndarray], first: ArrayLike, second: ArrayLike) -> np.ndarray:
    """A closed line: the parameters `first` of a curve's upper edge, then the parameters `second` of its lower edge."""
    return np.concatenate([curve(first, -1), curve(second, 1)])
