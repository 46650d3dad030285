"""One parametric face in three dimensions.

In face coordinates x points to the right of the image, y down and z towards the camera. The origin lies between the eyes, and
half the width of the face at the ears is 1. The skin is a height field z = `Face.surface(x, y)`, bounded by the jaw; brows,
lids, nose and lips are curves on it. Identity, expression and gaze shape the curves, and landmarks are points of the curves, so
they are exact (`kfacealign.data.rendered.face_points`).
"""

import dataclasses
import functools
from collections.abc import Callable, Hashable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

FOREHEAD = -0.95  # y of the hairline, where the height field ends
EAR = -0.09  # y of the ends of the jaw line


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
    brow_thickness: float = 1.0
    brow_arch: float = 1.0
    nose_length: float = 1.0
    nose_width: float = 1.0
    nose_depth: float = 1.0
    mouth_width: float = 1.0
    mouth_height: float = 0.0
    lip_thickness: float = 1.0


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
        self.points: dict[Hashable, Any] = {}  # points that several schemes share, kept by `face_points`
        person, act = identity, expression
        self.eye_x = 0.435 * person.eye_spacing
        self.eye_half_width = 0.183 * person.eye_size
        self.nose_tip_y = 0.53 * person.nose_length
        self.mouth_y = 0.985 * (0.6 + 0.4 * person.length) + 0.12 * (person.nose_length - 1) + person.mouth_height
        self.mouth_half_width = 0.385 * person.mouth_width * (1 + 0.2 * act.smile - 0.12 * act.mouth)
        self.chin_y = 1.68 * person.length

    # === The surface ===

    def jaw_line(self, t: ArrayLike) -> np.ndarray:
        """The jaw from the left ear over the chin to the right ear."""
        t = np.asarray(t, float)
        angle = np.abs(t) ** 0.93 * (np.pi / 2)
        power = 0.86 - 0.16 * self.identity.jaw
        x = np.sign(t) * np.sin(angle) ** power * self.identity.width
        drop = np.cos(angle) ** (0.94 - 0.1 * self.identity.jaw)
        y = EAR + (self.chin_y - EAR) * drop
        return np.stack([x, self._jaw_drop(y, 1.0)], -1)

    def _jaw_drop(self, y, share):
        """The lower face follows the opening mouth; nothing above the nose base moves."""
        weight = np.clip((y - 0.75) / max(0.2, self.chin_y - 0.75), 0, 1)
        return y + share * 0.3 * self.expression.mouth * weight**1.3

    @functools.cached_property
    def _outline(self):
        """Half width of the face by height, and depth of its rim, as tables over y."""
        jaw = self.jaw_line(np.linspace(0, 1, 80))[::-1]
        forehead_y = np.linspace(FOREHEAD - 0.35, EAR, 25)[:-1]
        rise = np.clip((EAR - forehead_y) / (EAR - FOREHEAD + 0.35), 0, 1)
        forehead_width = self.identity.width * np.sqrt(1 - 0.55 * rise**2.2)
        y = np.concatenate([forehead_y, jaw[:, 1]])
        width = np.concatenate([forehead_width, jaw[:, 0]])
        depth = 0.42 * np.clip((y - EAR) / (self.chin_y - EAR), 0, 1.3) ** 1.4
        return y, width, depth

    @property
    def chin(self) -> float:
        """Height of the lowest point of the skin, lower with an open mouth."""
        return self._outline[0][-1]

    def half_width(self, y: ArrayLike) -> np.ndarray:
        """Half the width of the skin at height y."""
        heights, widths, _ = self._outline
        return np.interp(y, heights, widths)

    def rim_depth(self, y: ArrayLike) -> np.ndarray:
        """Depth of the skin's rim (jaw, temple) at height y."""
        heights, _, depths = self._outline
        return np.interp(y, heights, depths)

    def surface(self, x: ArrayLike, y: ArrayLike) -> np.ndarray:
        """Depth z of the skin at (x, y); beyond the rim it is the depth of the rim."""
        x, y = np.asarray(x, float), np.asarray(y, float)
        width = np.maximum(self.half_width(y), 1e-3)
        across = np.clip(1 - (x / width) ** 2, 0, 1)
        middle = np.interp(
            y, (-1.3, -0.7, -0.25, 0.05, 0.6, 1.0, 1.35, self.chin_y + 0.05), (0.45, 0.74, 0.82, 0.78, 0.82, 0.84, 0.74, 0.6)
        )
        z = self.rim_depth(y) + (middle - self.rim_depth(y)) * across**0.62
        z = z - 0.09 * bump(np.abs(x) - self.eye_x, y, 0.2, 0.13)
        z = z + 0.05 * bump(x, y - self.mouth_y, 0.3, 0.2)
        return z + self.nose(x, y)

    def nose(self, x: ArrayLike, y: ArrayLike) -> np.ndarray:
        """How far the nose stands out of the face at (x, y)."""
        tip = self.nose_tip_y
        ridge = np.interp(y, (-0.2, -0.05, 0.6 * tip, tip, tip + 0.09, tip + 0.2), (0.0, 0.1, 0.27, 0.4, 0.3, 0.0))
        spread = np.interp(y, (-0.1, 0.5 * tip, tip, tip + 0.1), (0.075, 0.095, 0.15, 0.17)) * self.identity.nose_width
        wings = np.interp(y, (tip - 0.14, tip + 0.03, tip + 0.15), (0.0, 0.13, 0.0))
        wing_x = 0.2 * self.identity.nose_width
        bumps = wings * np.exp(-0.5 * ((np.abs(x) - wing_x) / (0.075 * self.identity.nose_width)) ** 2)
        return self.identity.nose_depth * (ridge * np.exp(-0.5 * (x / spread) ** 2) + bumps)

    def lift(self, points: ArrayLike, *, out: float = 0.0) -> np.ndarray:
        """Positions `(n, 2)` -> `(n, 3)` on the skin, or so far out in front of it."""
        points = np.asarray(points, float)
        return np.concatenate([points, self.surface(points[:, 0], points[:, 1])[:, None] + out], axis=1)

    # === Curves ===

    def brow(self, side: int, t: ArrayLike, edge: float) -> np.ndarray:
        """A brow: `edge` -1 is its upper line, 1 its lower line and 0 its middle."""
        t = np.asarray(t, float)
        person, raised = self.identity, 0.12 * self.expression.brows
        x = self.eye_x + 0.36 - 0.6 * t
        arch = 0.125 * person.brow_arch * np.sin(np.pi * np.clip(t * 0.82 + 0.09, 0, 1)) ** 1.2
        middle = -0.145 - arch - 0.04 * t - person.brow_height - raised * (0.6 + 0.4 * t)
        thickness = 0.052 * person.brow_thickness * np.sin(np.pi * np.clip(0.12 + 0.7 * t, 0, 1)) ** 0.6
        return np.stack([side * x, middle + edge * thickness], -1)

    def lid(self, side: int, t: ArrayLike, edge: int) -> np.ndarray:
        """A lid: `edge` -1 is the upper lid, 1 the lower."""
        t = np.asarray(t, float)
        opening = self.expression.left_eye if side < 0 else self.expression.right_eye
        height = self.identity.eye_size * opening * (0.078 if edge < 0 else 0.066) + 0.004
        x = self.eye_x + self.eye_half_width * (1 - 2 * t)
        y = edge * height * np.sin(np.pi * t) ** 0.75 + self.identity.eye_tilt * (0.5 - t) + 0.015 * t
        return np.stack([side * x, y], -1)

    def pupil(self, side: int) -> np.ndarray:
        """Centre of a pupil, `(1, 2)`; the lids leave it room to move."""
        act = self.expression
        opening = act.left_eye if side < 0 else act.right_eye
        x = side * self.eye_x + 0.42 * self.eye_half_width * act.gaze_x
        return np.array([[x, 0.03 * opening * self.identity.eye_size * act.gaze_y]])

    def eye_centre(self, side: int) -> np.ndarray:
        """Middle of an eye's opening, `(1, 2)`."""
        return (self.lid(side, [0.5], -1) + self.lid(side, [0.5], 1)) / 2

    def bridge(self, t: ArrayLike) -> np.ndarray:
        """The nose's ridge from between the eyes (0) to its tip (1)."""
        t = np.asarray(t, float)
        return np.stack([np.zeros_like(t), -0.02 + (self.nose_tip_y + 0.02) * t], -1)

    def nose_base(self, t: ArrayLike) -> np.ndarray:
        """The line below the nostrils from the left to the right wing."""
        t = np.asarray(t, float)
        x = 0.25 * self.identity.nose_width * t * (1 + 0.1 * max(0.0, self.expression.smile))
        return np.stack([x, self.nose_tip_y + 0.165 - 0.075 * t**2], -1)

    def nose_side(self, side: int, t: ArrayLike) -> np.ndarray:
        """The side of the nose from beside the inner corner of the eye (0) to the widest place of the wing (1)."""
        t = np.asarray(t, float)
        x = (self.eye_x - 0.28) * (1 - t) + 0.275 * self.identity.nose_width * t - 0.1 * np.sin(np.pi * t) * (1 - t)
        return np.stack([side * x, 0.03 + (self.nose_tip_y + 0.03) * t], -1)

    def outer_lip(self, t: ArrayLike, edge: int) -> np.ndarray:
        """The border of the lips: `edge` -1 is the upper lip, 1 the lower."""
        t = np.asarray(t, float)
        round_ = np.clip(1 - t**2, 0, 1)
        thickness = self.identity.lip_thickness * (1 - 0.25 * max(0.0, self.expression.smile))
        if edge < 0:
            bow = 0.03 * np.exp(-0.5 * (t / 0.13) ** 2)
            y = -thickness * (0.115 * round_**0.75 - bow) - 0.05 * self.expression.mouth * round_
        else:
            y = thickness * 0.185 * round_**0.6 + 0.42 * self.expression.mouth * round_**0.6
        return self._lips(t, y)

    def inner_lip(self, t: ArrayLike, edge: int) -> np.ndarray:
        """The line where lip and mouth meet, which is shorter than the outer border."""
        t = np.asarray(t, float)
        round_ = np.clip(1 - t**2, 0, 1) ** 0.6
        act = self.expression.mouth
        y = -(0.012 + 0.035 * act) * round_ if edge < 0 else (0.012 + 0.4 * act) * round_
        return self._lips(0.88 * t, y)

    def _lips(self, t, y):
        smile = self.expression.smile
        corner = -0.11 * smile * (np.abs(t) ** 2.0) + 0.03 * smile
        drop = self._jaw_drop(np.array(self.mouth_y), 0.35) - self.mouth_y
        return np.stack([self.mouth_half_width * t, self.mouth_y + y + corner + drop], -1)


def bump(x: np.ndarray, y: np.ndarray, sigma_x: float, sigma_y: float) -> np.ndarray:
    """A Gaussian bump of height 1 at (0, 0)."""
    return np.exp(-0.5 * ((x / sigma_x) ** 2 + (y / sigma_y) ** 2))


def both(curve: Callable[[ArrayLike, int], np.ndarray], first: ArrayLike, second: ArrayLike) -> np.ndarray:
    """A closed line: the parameters `first` of a curve's upper edge, then the parameters `second` of its lower edge."""
    return np.concatenate([curve(first, -1), curve(second, 1)])
