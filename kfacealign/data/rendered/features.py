"""Brows, eyes, nose, mouth and wrinkles, painted on a face's texture."""

import functools

import cv2
import numpy as np

from kfacealign.data.rendered import face3d
from kfacealign.data.rendered.look import Color, Look, mixed
from kfacealign.data.rendered.raster import SHIFT

SEVEN, NINE, THIRTEEN = (np.linspace(0, 1, count) for count in (7, 9, 13))
ACROSS = np.linspace(-1, 1, 15)
ROOTS = np.linspace(0.03, 0.97, 16)  # of the hairs of a brow
# Parameters of a brow's curves: its outline, then the roots of its hairs, then their tips.
BROW = np.concatenate([NINE, NINE[::-1], ROOTS, np.maximum(ROOTS - 0.09, 0)])
BROW_EDGE = np.repeat((-1, 1, 0.85, -0.85), (9, 9, 16, 16))
UPPER = np.concatenate([THIRTEEN, NINE])  # of an upper lid, then of its shadow on the eyeball
FOREHEAD = np.linspace(-0.55, 0.55, 9)
BASE = np.linspace(-0.9, 0.9, 9)
ROUND = np.linspace(0, 2 * np.pi, 12, endpoint=False)
WING = face3d.pairs(0.2 + 0.075 * np.cos(np.linspace(-1.2, 1.3, 7)), 0.03 + 0.11 * np.sin(np.linspace(-1.2, 1.3, 7)))


class Features:
    """What `kfacealign.data.rendered.texture.Texture` paints on its bare skin; every curve is one that landmarks lie on."""

    face: face3d.Face
    look: Look
    scale: float
    image: np.ndarray
    rng: np.random.Generator

    def features(self) -> None:
        """Paints them all."""
        self.wrinkles()
        right = self.face.brow(1, BROW, BROW_EDGE)
        for side in (-1, 1):
            self.brow(right * (side, 1))
            self.eye(side)
        self.nose()
        self.mouth()

    def fill(self, points: np.ndarray, color: Color) -> None:
        """Fills a polygon in face coordinates."""
        cv2.fillPoly(self.image, [self.fixed(points)], color, cv2.LINE_AA, SHIFT)

    def stroke(self, points: np.ndarray, color: Color, width: float) -> None:
        """Draws a line in face coordinates, `width` in the same unit."""
        cv2.polylines(self.image, [self.fixed(points)], False, color, max(1, round(width * self.scale)), cv2.LINE_AA, SHIFT)

    def wrinkles(self) -> None:
        """Lines of the forehead, beside the eyes and from the nose to the mouth; a smile deepens the last."""
        face, look = self.face, self.look
        faint = mixed(look.skin, (70, 30, 20), 0.12 + 0.35 * look.age)
        if look.age > 0.25:
            for y in (-0.6, -0.72, -0.82):
                self.stroke(face3d.pairs(FOREHEAD, y + 0.05 * FOREHEAD**2 + self.rng.normal(0, 0.008, 9)), faint, 0.008)
            for side in (-1, 1):
                for turn in (-0.3, 0.0, 0.3):
                    start = np.array((face.eye_x + 0.24, 0.03 + 0.1 * turn))
                    self.stroke(np.stack([start, start + (0.13, 0.13 * turn)]) * (side, 1), faint, 0.008)
        depth = max(look.age, 0.8 * face.expression.smile, 0.15)
        fold = mixed(look.skin, (70, 30, 20), 0.35 * depth)
        wing, corner = 0.26 * face.identity.nose_width, face.mouth_half_width + 0.1
        for side in (-1, 1):
            x = side * (wing + (corner - wing) * SEVEN**0.8)
            self.stroke(face3d.pairs(x, face.nose_tip_y + 0.02 + (face.mouth_y - face.nose_tip_y) * SEVEN), fold, 0.018)

    def brow(self, curves: np.ndarray) -> None:
        """A brow of many hairs, whose `curves` are those of BROW."""
        look, places = self.look, self.fixed(curves)
        outline, roots, tips = places[:18], places[18:34], places[34:]
        fill = mixed(look.skin, look.hair, 0.75 * look.brow_strength)
        cv2.fillPoly(self.image, [outline], fill, cv2.LINE_AA, SHIFT)
        dark = mixed(look.skin, mixed(look.hair, (0, 0, 0), 0.3), look.brow_strength)
        cv2.polylines(self.image, list(np.stack([roots, tips], 1)), False, dark, 1, cv2.LINE_AA, SHIFT)

    def eye(self, side: int) -> None:
        """An eye with its lids, lashes and crease."""
        face, look = self.face, self.look
        t = THIRTEEN
        upper, lower = face.lid(side, UPPER, -1), face.lid(side, t[::-1], 1)
        upper, shadow = upper[: len(t)], upper[len(t) :]
        if look.make_up > 0.5:
            self.fill(np.concatenate([upper, (upper - (0, 0.09))[::-1]]), mixed(look.skin, look.shadow, 0.6 * look.make_up))
        self.stroke(upper[1:-1] - (0, 0.045), mixed(look.skin, (45, 15, 12), 0.4), 0.014)
        self.stroke(lower + (0, 0.05), mixed(look.skin, (60, 25, 20), 0.12 + 0.25 * look.age), 0.014)
        outline = self.fixed(np.concatenate([upper, lower]))
        low, high = outline.min(0) // 2**SHIFT - 2, outline.max(0) // 2**SHIFT + 4
        part = self.image[low[1] : high[1], low[0] : high[0]]
        eye, mask = part.copy(), np.zeros(part.shape[:2], np.uint8)
        cv2.fillPoly(mask, [outline - low * 2**SHIFT], 255, cv2.LINE_AA, SHIFT)
        self.eyeball(eye, face.pupil(side)[0], lower[0], shadow, low)
        weight = mask / np.float32(255)
        part[:] = cv2.blendLinear(eye, part, weight, 1 - weight)
        dark = mixed(look.skin, (10, 5, 5), 0.78)
        self.stroke(upper, dark, 0.018 * (1 + look.make_up))
        self.stroke(lower, mixed(look.skin, (60, 20, 20), 0.45), 0.01)
        if look.make_up > 0.3:
            lashes = np.stack([upper, upper + face3d.pairs(side * 0.05 * (1 - 1.6 * t), -0.045 + 0 * t)], 1)[1:-1]
            cv2.polylines(self.image, list(self.fixed(lashes)), False, dark, 1, cv2.LINE_AA, SHIFT)

    def eyeball(self, eye: np.ndarray, pupil: np.ndarray, inner: np.ndarray, upper: np.ndarray, low: np.ndarray) -> None:
        """Paints an eyeball on a part of the texture that begins at the pixel `low`.

        Args:
            eye: the part, `(h, w, 3)` uint8.
            pupil: where the pupil is, `(2,)`.
            inner: the inner corner, `(2,)`.
            upper: the upper lid, `(n, 2)`, which throws a shadow.
            low: `(2,)` the part's first column and row.
        """
        look, low = self.look, low * 2**SHIFT
        white = np.array(mixed((226, 222, 218), look.skin, 0.1))
        eye[:] = (_bulging(*eye.shape[:2]) * white).astype(np.uint8)
        size = 0.085 * self.face.identity.eye_size
        places = (
            self.fixed(np.concatenate([[inner, pupil, pupil + np.array(look.light[:2]) * 0.35 * size], upper + (0, 0.012)])) - low
        )
        inner, pupil, spot = places[:3].tolist()
        edge = mixed(look.iris, (0, 0, 0), 0.6)
        pink = mixed(look.skin, (190, 70, 75), 0.6)
        for centre, radius, color in (
            (inner, 0.03, pink),
            (pupil, size, edge),
            (pupil, 0.86 * size, look.iris),
            (pupil, 0.4 * size, (10, 8, 8)),
        ):
            cv2.circle(eye, centre, round(radius * self.scale * 2**SHIFT), color, -1, cv2.LINE_AA, SHIFT)
        dark, width = mixed(white, (0, 0, 0), 0.6), max(1, round(0.025 * self.scale))
        cv2.polylines(eye, [places[3:]], False, dark, width, cv2.LINE_AA, SHIFT)
        cv2.circle(eye, spot, round(0.018 * self.scale * 2**SHIFT), (245, 245, 245), -1, cv2.LINE_AA, SHIFT)

    def nose(self) -> None:
        """Wings, nostrils and the line below them."""
        face, look = self.face, self.look
        dark = mixed(look.skin, (50, 18, 12), 0.38)
        wing = face.identity.nose_width
        for side in (-1, 1):
            self.stroke(WING * (side * wing, 1) + (0, face.nose_tip_y), dark, 0.016)
        for side in (-1, 1):
            x = 0.112 * side * wing + 0.05 * wing * np.cos(ROUND)
            ring = face3d.pairs(x, 0.115 + 0.027 * np.sin(ROUND) + 0.014 * np.abs(np.cos(ROUND)))
            self.fill(ring + (0, face.nose_tip_y), mixed(look.skin, (20, 5, 5), 0.75))
        self.stroke(face.nose_base(BASE), mixed(look.skin, (50, 18, 12), 0.25), 0.012)

    def mouth(self) -> None:
        """Lips, and teeth and tongue in an open mouth."""
        face, look = self.face, self.look
        t = ACROSS
        upper, lower = face.inner_lip(t, -1), face.inner_lip(t[::-1], 1)
        self.fill(np.concatenate([face.outer_lip(t, -1), upper[::-1]]), mixed(look.lips, (20, 0, 0), 0.16))
        below = face.outer_lip(t, 1)
        self.fill(np.concatenate([below, lower]), look.lips)
        middle = (below[4:-4] + lower[::-1][4:-4]) / 2
        self.stroke(middle, mixed(look.lips, (255, 235, 230), 0.22), 0.02)
        opening = face.expression.mouth
        self.fill(np.concatenate([upper, lower]), (45, 15, 18) if opening > 0.12 else mixed(look.lips, (30, 0, 0), 0.5))
        if opening > 0.12:
            short = t[3:-3]
            row, floor = upper[3:-3], lower[::-1][3:-3]
            if opening > 0.35:
                tongue = np.concatenate([floor - (0, 0.01), (floor - face3d.pairs(0 * short, 0.4 * (floor - row)[:, 1]))[::-1]])
                self.fill(tongue, (150, 70, 70))
            depth = np.minimum(0.085, 0.75 * (floor - row)[:, 1])
            self.fill(np.concatenate([row, (row + face3d.pairs(0 * depth, depth))[::-1]]), (222, 216, 204))
        self.stroke(upper, mixed(look.lips, (30, 0, 0), 0.6), 0.012)


@functools.lru_cache(maxsize=1024)
def _bulging(height, width):
    """How light the white of an eye is, `(height, width, 1)`: less at its top and at its sides."""
    return np.linspace(0.62, 1.0, height)[:, None, None] * (1 - 0.25 * np.linspace(-1, 1, width)[:, None] ** 2)
