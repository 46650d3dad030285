"""A `face3d.Face` drawn with OpenCV: shaded skin, then the features as anti-aliased polygons of the projected curves."""

import dataclasses
import functools
from collections.abc import Sequence

import cv2
import numpy as np

from kfacealign.data.rendered import face3d

Color = tuple[float, float, float]  # RGB, 0..255

SHIFT = 4  # bits after the point of OpenCV's fixed-point coordinates
ROWS, COLUMNS = 23, 19  # lines of the skin's mesh
PIVOT = np.array([0.0, 0.5, -0.35])  # the head turns about this point
PERSPECTIVE = 0.09


@dataclasses.dataclass(frozen=True)
class View:
    """Where the head is: its rotation (radians) and the map to image coordinates.

    Positive yaw turns the nose to the right of the image, positive pitch turns it down, and positive roll turns the head
    clockwise.
    """

    yaw: float
    pitch: float
    roll: float
    _: dataclasses.KW_ONLY
    scale: float = 1.0  # pixels in half the width of the face
    shift: tuple[float, float] = (0.0, 0.0)  # pixels

    @functools.cached_property
    def rotation(self) -> np.ndarray:
        """(3, 3), face to camera coordinates."""
        (cy, cp, cr), (sy, sp, sr) = np.cos((self.yaw, self.pitch, self.roll)), np.sin((self.yaw, self.pitch, self.roll))
        turn = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
        nod = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
        tilt = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
        return tilt @ nod @ turn

    def project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Face coordinates `(n, 3)` -> image coordinates `(n, 2)` and the depth towards the camera `(n,)`."""
        turned = (np.asarray(points) - PIVOT) @ self.rotation.T
        near = 1.0 / (1.0 - PERSPECTIVE * turned[:, 2])
        return turned[:, :2] * near[:, None] * self.scale + np.asarray(self.shift), turned[:, 2]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Look:
    """Colours and extras of a face."""

    skin: Color
    hair: Color
    iris: Color
    lips: Color
    hair_style: int  # 0 bald, 1 short, 2 long
    fringe: float  # y down to which hair hangs over the forehead; FOREHEAD for none
    brow_strength: float
    beard: float
    make_up: float
    shadow: Color
    light: tuple[float, float, float]  # direction to the light, of unit length, in camera coordinates
    ambient: float
    diffuse: float
    glasses: int  # 0 none, 1 frames, 2 sunglasses
    glasses_color: Color


def fixed(points: np.ndarray) -> np.ndarray:
    """Image coordinates -> OpenCV's fixed-point coordinates, in which integers are pixel centres."""
    return np.round((np.clip(points, -1e4, 1e4) - 0.5) * 2**SHIFT).astype(np.int32)


def fill(image: np.ndarray, points: np.ndarray, color: Color) -> None:
    """Fills the polygon of points (image coordinates) in place."""
    cv2.fillPoly(image, [fixed(points)], color, cv2.LINE_AA, SHIFT)


def stroke(image: np.ndarray, points: np.ndarray, color: Color, width: float, *, closed: bool = False) -> None:
    """Draws the line through points (image coordinates), so many pixels wide, in place."""
    cv2.polylines(image, [fixed(points)], closed, color, max(1, round(width)), cv2.LINE_AA, SHIFT)


def mixed(first: Sequence[float], second: Sequence[float], share: float) -> Color:
    """`first` with a `share` of `second`."""
    return tuple(float(a + (b - a) * share) for a, b in zip(first, second, strict=True))


class Drawing:
    """One face being drawn.

    Args:
        image: `(S, S, 3)` uint8 with the background; the face is drawn on it in place.
        face: the face.
        view: where its head is.
        look: its colours and extras.

    Attributes:
        cover: `(S, S)` uint8, 255 where glasses or hair hide the face.
    """

    def __init__(self, image: np.ndarray, face: face3d.Face, view: View, look: Look):
        self.image, self.face, self.view, self.look = image, face, view, look
        self.unit = view.scale  # pixels in half the width of the face
        self.cover = np.zeros(image.shape[:2], np.uint8)

    def at(self, points: np.ndarray, *, out: float = 0.0) -> np.ndarray:
        """Positions (x, y) on the skin, or so far out in front of it -> image coordinates."""
        return self.view.project(self.face.lift(points, out=out))[0]

    def draw(self) -> None:
        """Draws the whole head from back to front."""
        self.neck()
        self.hair_behind()
        self.ears()
        quads, colors, depth, center = self.skin()
        order = np.argsort(depth)
        self.paint(quads[order], colors[order])
        blurred = cv2.GaussianBlur(self.image, (0, 0), max(0.5, 0.02 * self.unit))
        self.image[:] = blurred
        far, near = (1, -1) if self.view.yaw > 0 else (-1, 1)
        for side in (far, near):
            self.brow(side)
            self.eye(side)
        self.nose_lines()
        if abs(self.view.yaw) > 0.35:
            # The nose also hides the features that lie behind it.
            x, y = center.T
            on_nose = order[(np.abs(x[order]) < 0.2) & (y[order] > -0.05) & (y[order] < self.face.nose_tip_y + 0.12)]
            self.paint(quads[on_nose], colors[on_nose])
        self.nostrils()
        self.mouth()
        self.hair_before()
        self.glasses()

    # === Head ===

    def neck(self) -> None:
        skin = mixed(self.look.skin, (0, 0, 0), 0.45)
        outline = np.array(
            [(-0.62, 0.9, -0.5), (0.62, 0.9, -0.5), (0.68, 2.6, -0.8), (1.9, 3.2, -0.9), (-1.9, 3.2, -0.9), (-0.68, 2.6, -0.8)]
        )
        # The shoulders do not follow the head's pitch and roll.
        body = dataclasses.replace(self.view, yaw=0.4 * self.view.yaw, pitch=0.0, roll=0.3 * self.view.roll)
        points, _ = body.project(outline)
        cloth = mixed(self.look.shadow, (90, 90, 90), 0.5)
        fill(self.image, points[[5, 2, 3, 4]] + (0, -0.25 * self.unit), cloth)
        fill(self.image, points[[0, 1, 2, 5]], skin)

    def skull(self, radii: Sequence[float], centre: Sequence[float]) -> np.ndarray:
        """Convex outline of an ellipsoid around the head, `(n, 2)` image coordinates."""
        turn, rise = np.meshgrid(np.linspace(0, 2 * np.pi, 16), np.linspace(-1.2, 1.45, 7))
        sphere = np.stack([np.cos(turn) * np.cos(rise), -np.sin(rise), np.sin(turn) * np.cos(rise)], -1).reshape(-1, 3)
        points, _ = self.view.project(sphere * radii + centre)
        return cv2.convexHull(points.astype(np.float32))[:, 0]

    def hair_behind(self) -> None:
        width = self.face.identity.width
        bald = self.look.hair_style == 0
        color = mixed(self.look.skin, (0, 0, 0), 0.3) if bald else self.look.hair
        if self.look.hair_style == 2:
            fill(self.image, self.skull((1.18 * width, 1.3, 0.8), (0, 0.6, -0.55)), mixed(color, (0, 0, 0), 0.25))
        size = 1.0 if bald else 1.1
        fill(self.image, self.skull((1.03 * width * size, 1.05 * size, 1.05), (0, -0.25, -0.42)), color)

    def ears(self) -> None:
        skin = mixed(self.look.skin, (60, 0, 0), 0.25)
        angle = np.linspace(0, 2 * np.pi, 12, endpoint=False)
        for side in (-1, 1):
            ring = np.stack([side * (0.98 + 0.1 * np.cos(angle)), 0.16 + 0.27 * np.sin(angle), -0.14 - 0.12 * np.cos(angle)], -1)
            ring[:, 0] *= self.face.identity.width
            points, _ = self.view.project(ring)
            fill(self.image, points, self.shade(skin, 0.75))
            stroke(self.image, points, mixed(skin, (0, 0, 0), 0.4), 0.02 * self.unit, closed=True)

    def shade(self, color: Color, amount: float) -> Color:
        """A colour under so much of the light, 0 to 1."""
        level = self.look.ambient + self.look.diffuse * amount
        return tuple(min(255.0, channel * level) for channel in color)

    def skin(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """The quads of the mesh `(Q, 4, 2)` in image coordinates, with their colours, depths and centres (x, y) on the face."""
        face = self.face
        # Rows close up towards the chin, where the outline turns.
        lower = np.sin(np.linspace(0, np.pi / 2, ROWS - 6)) * (face.chin - 0.001 + 0.05) - 0.05
        rows = np.concatenate([np.linspace(face3d.FOREHEAD, -0.05, 7)[:-1], lower])
        columns = np.sin(np.linspace(-np.pi / 2, np.pi / 2, COLUMNS)) * 0.75 + 0.25 * np.linspace(-1, 1, COLUMNS)
        y = np.repeat(rows[:, None], COLUMNS, 1)
        x = columns[None] * face.half_width(rows)[:, None]
        grid = np.stack([x, y, face.surface(x, y)], -1)
        across, down = grid[1:, 1:] - grid[:-1, :-1], grid[1:, :-1] - grid[:-1, 1:]
        normal = np.cross(across, down).reshape(-1, 3) @ self.view.rotation.T
        normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-9
        points, depth = self.view.project(grid.reshape(-1, 3))
        corner = np.arange(grid.shape[0] * grid.shape[1]).reshape(grid.shape[:2])
        quads = np.stack([corner[:-1, :-1], corner[:-1, 1:], corner[1:, 1:], corner[1:, :-1]], -1).reshape(-1, 4)
        center = grid.reshape(-1, 3)[quads].mean(1)[:, :2]
        colors = self.skin_colors(center, normal)
        front = normal[:, 2] > -0.05
        return points[quads[front]], colors[front], depth[quads[front]].mean(1), center[front]

    def skin_colors(self, center: np.ndarray, normal: np.ndarray) -> np.ndarray:
        """Colours `(Q, 3)` of quads by their centres (x, y) on the face and their normals in camera coordinates."""
        look, face = self.look, self.face
        x, y = center.T
        base = np.tile(np.array(look.skin, float), (len(x), 1))
        cheeks = face3d.bump(np.abs(x) - 0.5, y - 0.55, 0.2, 0.2)[:, None] * (0.1 + 0.25 * look.make_up)
        base = base * (1 - cheeks) + np.array((200.0, 90, 80)) * (np.array(look.skin).mean() / 200) * cheeks
        if look.beard:
            low = np.clip((y - face.mouth_y + 0.05 + 0.5 * np.abs(x)) * 6, 0, 1) + face3d.bump(
                x, y - face.mouth_y + 0.2, 0.25, 0.06
            )
            low = np.clip(low, 0, 1)[:, None] * look.beard
            base = base * (1 - low) + np.array(look.hair, float) * low
        lit = np.clip(normal @ np.array(look.light), 0, 1)
        shine = np.clip(normal @ np.array(look.light) * 0.7 + 0.35 * normal[:, 2], 0, 1) ** 14
        level = look.ambient * (0.8 + 0.2 * normal[:, 2]) + look.diffuse * lit
        return np.clip(base * level[:, None] + 45 * look.diffuse * shine[:, None], 0, 255)

    def paint(self, quads: np.ndarray, colors: np.ndarray) -> None:
        """Fills quads in their order."""
        image = self.image
        for quad, color in zip(fixed(quads), colors.tolist(), strict=True):
            cv2.fillConvexPoly(image, quad, color, cv2.LINE_8, SHIFT)

    # === Features ===

    def brow(self, side: int) -> None:
        t = np.linspace(0, 1, 9)
        outline = face3d.both(lambda u, edge: self.face.brow(side, u, edge), t, t[::-1])
        fill(self.image, self.at(outline), self.shade(mixed(self.look.skin, self.look.hair, self.look.brow_strength), 0.6))

    def eye(self, side: int) -> None:
        face, look = self.face, self.look
        t = np.linspace(0, 1, 11)
        upper, lower = self.at(face.lid(side, t, -1), out=0.02), self.at(face.lid(side, t[::-1], 1), out=0.02)
        dark = mixed(look.skin, (10, 5, 5), 0.75)
        if look.make_up > 0.5:
            lid = face.lid(side, t, -1)
            fill(
                self.image,
                np.concatenate([upper, self.at(lid - (0, 0.09), out=0.01)[::-1]]),
                mixed(look.skin, look.shadow, 0.6 * look.make_up),
            )
        crease = self.at(face.lid(side, t, -1) - (0, 0.045), out=0.01)
        stroke(self.image, crease, self.shade(mixed(look.skin, (30, 10, 10), 0.35), 0.5), 0.012 * self.unit)
        outline = np.concatenate([upper, lower])
        low = np.floor(outline.min(0)).astype(int) - 2
        high = np.ceil(outline.max(0)).astype(int) + 3
        low, high = np.clip(low, 0, self.image.shape[0]), np.clip(high, 0, self.image.shape[0])
        if (high - low).min() > 1:
            part = self.image[low[1] : high[1], low[0] : high[0]]
            eye, mask = part.copy(), np.zeros(part.shape[:2], np.uint8)
            cv2.fillPoly(mask, [fixed(outline - low)], 255, cv2.LINE_AA, SHIFT)
            self.eyeball(eye, side, low)
            part[:] = cv2.blendLinear(eye, part, mask / np.float32(255), 1 - mask / np.float32(255))
        stroke(self.image, upper, dark, 0.02 * self.unit * (1 + look.make_up))
        stroke(self.image, lower, mixed(look.skin, (60, 20, 20), 0.45), 0.01 * self.unit)

    def eyeball(self, eye: np.ndarray, side: int, low: np.ndarray) -> None:
        """Draws an eyeball on a part of the image that begins at the pixel `low`."""
        eye[:] = self.shade((225, 220, 215), 0.55)
        angle = np.linspace(0, 2 * np.pi, 14, endpoint=False)
        ring = np.stack([np.cos(angle), np.sin(angle)], -1)
        size = 0.082 * self.face.identity.eye_size
        centre = self.face.pupil(side)
        iris, pupil = (self.at(centre + ring * radius, out=0.02) - low for radius in (size, 0.42 * size))
        cv2.fillPoly(eye, [fixed(iris)], self.shade(self.look.iris, 0.5), cv2.LINE_AA, SHIFT)
        cv2.fillPoly(eye, [fixed(pupil)], (12, 10, 10), cv2.LINE_AA, SHIFT)
        spot = fixed(pupil.mean(0) + np.array(self.look.light[:2]) * 0.3 * size * self.unit)
        cv2.circle(eye, tuple(int(v) for v in spot), round(0.02 * self.unit * 2**SHIFT), (250, 250, 250), -1, cv2.LINE_AA, SHIFT)

    def nose_lines(self) -> None:
        dark = self.shade(mixed(self.look.skin, (40, 15, 10), 0.5), 0.4)
        for side in (-1, 1):
            wing = np.concatenate(
                [self.face.nose_side(side, np.linspace(0.72, 1, 4)), self.face.nose_base(side * np.linspace(1, 0.75, 3))]
            )
            stroke(self.image, self.at(wing), dark, 0.018 * self.unit)
        stroke(self.image, self.at(self.face.nose_base(np.linspace(-0.8, 0.8, 9))), dark, 0.014 * self.unit)

    def nostrils(self) -> None:
        angle = np.linspace(0, 2 * np.pi, 8, endpoint=False)
        for side in (-1, 1):
            x = side * 0.115 * self.face.identity.nose_width
            ring = np.stack(
                [x + 0.05 * np.cos(angle), self.face.nose_tip_y + 0.118 + 0.026 * np.sin(angle) + 0.012 * np.abs(np.cos(angle))],
                -1,
            )
            fill(self.image, self.at(ring), mixed(self.look.skin, (20, 5, 5), 0.75))

    def mouth(self) -> None:
        face = self.face
        t = np.linspace(-1, 1, 15)
        outer = self.at(face3d.both(face.outer_lip, t, t[-2:0:-1]), out=0.01)
        fill(self.image, outer, self.shade(self.look.lips, 0.6))
        upper, lower = self.at(face.inner_lip(t, -1)), self.at(face.inner_lip(t[::-1], 1))
        fill(self.image, np.concatenate([upper, lower]), (45, 15, 18))
        opening = face.expression.mouth
        if opening > 0.12:
            short = t[3:-3]
            row = face.inner_lip(short, -1)
            depth = np.minimum(0.085, 0.75 * (face.inner_lip(short, 1) - row)[:, 1])
            teeth = np.concatenate([row, (row + np.stack([0 * depth, depth], -1))[::-1]])
            fill(self.image, self.at(teeth), self.shade((228, 222, 210), 0.5))
        stroke(self.image, upper, mixed(self.look.lips, (30, 0, 0), 0.6), 0.012 * self.unit)

    # === Extras ===

    def hair_before(self) -> None:
        if self.look.hair_style == 0 or self.look.fringe <= face3d.FOREHEAD:
            return
        face = self.face
        x = np.linspace(-1, 1, 11)
        lower = np.stack([x * face.half_width(self.look.fringe) * 1.01, self.look.fringe + 0.12 * np.cos(9 * x) * np.abs(x)], -1)
        top = np.stack([x[::-1] * face.half_width(face3d.FOREHEAD), np.full(len(x), face3d.FOREHEAD - 0.08)], -1)
        points = np.concatenate([self.at(lower, out=0.05), self.at(top, out=0.05)])
        fill(self.image, points, self.look.hair)
        cv2.fillPoly(self.cover, [fixed(points)], 255, cv2.LINE_8, SHIFT)

    def glasses(self) -> None:
        kind = self.look.glasses
        if not kind:
            return
        face, unit = self.face, self.unit
        angle = np.linspace(0, 2 * np.pi, 16, endpoint=False)
        ring = np.stack(
            [
                0.27 * np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** 0.7,
                0.19 * np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** 0.7,
            ],
            -1,
        )
        depth = float(face.surface(np.array(face.eye_x), np.array(0.0))) + 0.12
        for side in (-1, 1):
            lens = np.column_stack([ring + np.array((side * face.eye_x, 0.02)), np.full(len(ring), depth)])
            points, _ = self.view.project(lens)
            if kind == 2:
                fill(self.image, points, mixed(self.look.glasses_color, (0, 0, 0), 0.7))
                cv2.fillPoly(self.cover, [fixed(points)], 255, cv2.LINE_8, SHIFT)
            stroke(self.image, points, self.look.glasses_color, 0.03 * unit, closed=True)
            if side * self.view.yaw < 0.25:
                temple = np.array([(side * (face.eye_x + 0.27), 0.0, depth), (side * face.identity.width, -0.02, 0.0)])
                stroke(self.image, self.view.project(temple)[0], self.look.glasses_color, 0.03 * unit)
        nose = np.array([(-face.eye_x + 0.27, 0.0, depth), (0, -0.03, depth + 0.06), (face.eye_x - 0.27, 0.0, depth)])
        stroke(self.image, self.view.project(nose)[0], self.look.glasses_color, 0.03 * unit)


def visible(face: face3d.Face, view: View, points: np.ndarray) -> np.ndarray:
    """Whether the camera sees points `(n, 3)` of the skin past the rest of the head: `(n,)` bool.

    A ray towards the camera is followed from each point. Where it runs below the surface, the face hides the point.
    """
    points = np.asarray(points)
    step = view.rotation[2] * 0.055
    ray = points[:, None] + np.arange(1, 15)[None, :, None] * step + (0, 0, 0.012)
    inside = np.abs(ray[..., 0]) < face.half_width(ray[..., 1]) * 0.99
    below = ray[..., 2] < face.surface(ray[..., 0], ray[..., 1]) - 0.015
    return ~(inside & below).any(1)
