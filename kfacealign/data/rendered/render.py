"""A `face3d.Face` drawn: the head as a textured, lit mesh, with neck, ears, hair and glasses around it."""

import dataclasses
import functools

import cv2
import numpy as np

from kfacealign.data.rendered import bust, face3d, head, raster
from kfacealign.data.rendered.look import CAP, LONG, SCARF, Color, Look, mixed
from kfacealign.data.rendered.raster import SHIFT, fixed
from kfacealign.data.rendered.texture import Texture

PIVOT = np.array([0.0, 0.5, -0.35])  # the head turns about this point
PERSPECTIVE = 0.09
FINENESS = 0.95  # pixels of the texture for one of the image, where the face is seen from the front
NECK = 25.0  # degrees by which a head rolls on its neck; beyond that the whole body lies
STEPS = 0.03 + 2.2 * np.linspace(0, 1, 21) ** 1.5  # where rays from points to the camera are looked at
# How far a ray may run below the skin: the rim is steep, so more where it begins.
GRAZING = np.maximum(0.012, 0.05 - 0.25 * STEPS)
TEMPLE = np.linspace(0, 1, 12)[:, None]  # where points of the sides of glasses lie, from the hinge to the ear
CROSSED = np.ones((3, 3), np.uint8)
NEAR_EAR = 0.2  # radians of yaw from which the near ear lies before the face


def _lens():
    """The outline of a lens, `(25, 2)` in units of face coordinates; the last point is the first."""
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    ring = np.stack(
        [reach * np.sign(wave) * np.abs(wave) ** 0.7 for reach, wave in ((0.28, np.cos(angle)), (0.2, np.sin(angle)))], -1
    )
    return np.concatenate([ring, ring[:1]])


def _ear_rings():
    """Five rings of an ear on the right of the image, `(80, 3)` face coordinates, in its own plane, which turns outwards.

    They go ahead and down, narrower at the lobe; x counts from the side of the head.
    """
    size, shift = np.array([(1.0, 0), (0.97, 0), (0.72, 0.015), (0.5, 0), (0.3, 0.06)]).T[..., None]
    angle = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    down = size * 0.34 * np.sin(angle)
    ahead = size * 0.21 * np.cos(angle) * (1 - 0.3 * np.sin(angle)) + 0.25 * down + shift
    return np.stack([0.03 + 0.42 * (0.21 - ahead), 0.1 + down, ahead - 0.3], -1).reshape(-1, 3)


def _sphere():
    """Points of a sphere of radius 1, `(112, 3)`."""
    turn, rise = np.meshgrid(np.linspace(0, 2 * np.pi, 16), np.linspace(-1.2, 1.45, 7))
    return np.stack([np.cos(turn) * np.cos(rise), -np.sin(rise), np.sin(turn) * np.cos(rise)], -1).reshape(-1, 3)


LENS, EAR_RINGS, SPHERE = _lens(), _ear_rings(), _sphere()


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
    scale: float = 1.0  # pixels in one unit of face coordinates
    shift: tuple[float, float] = (0.0, 0.0)  # pixels

    @functools.cached_property
    def rotation(self) -> np.ndarray:
        """(3, 3), face to camera coordinates."""
        (cy, cp, cr), (sy, sp, sr) = np.cos((self.yaw, self.pitch, self.roll)), np.sin((self.yaw, self.pitch, self.roll))
        turn = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
        nod = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
        tilt = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
        return tilt @ nod @ turn

    @functools.cached_property
    def camera(self) -> np.ndarray:
        """Where the camera is, `(3,)` face coordinates."""
        return PIVOT + self.rotation[2] / PERSPECTIVE

    def project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Face coordinates `(n, 3)` -> image coordinates `(n, 2)` and the depth towards the camera `(n,)`."""
        turned = (np.asarray(points) - PIVOT) @ self.rotation.T
        near = 1.0 / (1.0 - PERSPECTIVE * turned[:, 2])
        return turned[:, :2] * near[:, None] * self.scale + np.asarray(self.shift), turned[:, 2]


def fill(image: np.ndarray, points: np.ndarray, color: Color) -> None:
    """Fills the polygon of points (image coordinates) in place."""
    cv2.fillPoly(image, [fixed(points)], color, cv2.LINE_AA, SHIFT)


def stroke(image: np.ndarray, points: np.ndarray, color: Color, width: float, *, closed: bool = False) -> None:
    """Draws the line through points (image coordinates), so many pixels wide, in place."""
    cv2.polylines(image, [fixed(points)], closed, color, max(1, round(width)), cv2.LINE_AA, SHIFT)


class Drawing:
    """One face being drawn.

    Args:
        image: `(S, S, 3)` uint8 with the background; the face is drawn on it in place.
        face: the face.
        view: where its head is.
        look: its colours and extras.

    Attributes:
        cover: `(S, S)` uint8, 255 where glasses, hair or cloth hide the face.
    """

    def __init__(self, image: np.ndarray, face: face3d.Face, view: View, look: Look):
        self.image, self.face, self.view, self.look = image, face, view, look
        self.unit = view.scale
        self.cover = np.zeros(image.shape[:2], np.uint8)

    def at(self, points: np.ndarray, *, out: float = 0.0) -> np.ndarray:
        """Positions (x, y) on the skin, or so far out in front of it -> image coordinates."""
        return self.view.project(self.face.lift(points, out=out))[0]

    def draw(self) -> None:
        """Draws the whole head from back to front."""
        if self.look.hair_style == LONG:
            self.long_hair()
        self.bust()
        near = 1 if self.view.yaw < 0 else -1
        turned = abs(self.view.yaw) > NEAR_EAR
        for side in (-1, 1):
            if not (turned and side == near):
                self.ear(side)
        self.head()
        if turned:
            self.ear(near)
        if self.look.hair_style == CAP:
            self.brim()
        self.glasses()

    # === Head ===

    def head(self) -> None:
        """The skin, the hair and the cloth on them."""
        scale = float(np.clip(FINENESS * self.unit, 24, 220))
        vertices, flat = head.mesh(self.face)
        shape, normal = vertices.shape[:2], head.normals(vertices)
        texture = Texture(self.face, self.look, scale, head.in_sight(vertices, normal, flat, self.view.camera))
        places = texture.at(flat).reshape(-1, 2)
        smaller = np.array(texture.outwards.shape[::-1]) / texture.shape[::-1]
        (out,) = raster.looked_up(*(places * smaller).T, texture.outwards)
        vertices = vertices + out.reshape(*shape, 1) * normal
        light = self.lit(vertices, flat)
        points, depth = self.view.project(vertices.reshape(-1, 3))
        shown = raster.Shown(points.reshape(*shape, 2), depth.reshape(shape), self.image.shape[:2])
        if not len(shown.pixels):
            return
        skin = cv2.insertChannel(texture.hides, cv2.cvtColor(texture.image, cv2.COLOR_RGB2RGBA), 3)
        (color,) = raster.looked_up(*shown.values(places.reshape(*shape, 2)), skin)
        (level,) = raster.looked_up(*shown.grid, light)
        mirrored = cv2.cvtColor(cv2.convertScaleAbs(level[..., 3]), cv2.COLOR_GRAY2RGBA)
        self.put(shown.pixels, cv2.add(cv2.multiply(color, level, dtype=cv2.CV_8U), mirrored[:, 0]))
        self.cover.ravel()[shown.pixels[color[:, 3] > 127]] = 255
        self.smooth_edge(shown.pixels)

    def put(self, pixels: np.ndarray, colors: np.ndarray) -> None:
        """Paints pixels of these numbers, `(P,)`, with colours `(P, 4)` uint8, whose last channel is left out."""
        whole = cv2.cvtColor(self.image, cv2.COLOR_RGB2RGBA)  # a pixel is one number there
        whole.view(np.uint32).ravel()[pixels] = colors.view(np.uint32).ravel()
        cv2.cvtColor(whole, cv2.COLOR_RGBA2RGB, dst=self.image)

    def smooth_edge(self, pixels: np.ndarray) -> None:
        """Blurs the line between head and background, which has steps of whole pixels."""
        inside = np.zeros(self.image.shape[:2], np.uint8)
        inside.ravel()[pixels] = 255
        top, bottom = max(0, pixels[0] // inside.shape[1] - 2), pixels[-1] // inside.shape[1] + 3
        part = self.image[top:bottom]
        edge = cv2.morphologyEx(inside[top:bottom], cv2.MORPH_GRADIENT, CROSSED)
        cv2.copyTo(cv2.GaussianBlur(part, (3, 3), 0.8), edge, part)

    def lit(self, vertices: np.ndarray, flat: np.ndarray) -> np.ndarray:
        """Light on the head's vertices, `(R, C, 4)` float32: factors of red, green and blue, and what is mirrored."""
        look, face = self.look, self.face
        first = np.array(look.light)
        half = first + (0, 0, 1)
        directions = np.array([(0, 0, 1), first, look.fill, half / np.sqrt(half @ half)])
        facing, one, two, mirrored = np.moveaxis(head.normals(vertices) @ (directions @ self.view.rotation).T, -1, 0)
        one, two = np.maximum(one, 0), np.maximum(two, 0)
        x, y = np.abs(flat[..., 0]), flat[..., 1]
        corners = 0.35 * face3d.bump(x - face.eye_x + 0.16, y - 0.02, 0.1, 0.1)  # little light reaches these places
        corners += 0.25 * face3d.bump(x, y - face.nose_tip_y - 0.2, 0.2, 0.06)
        corners += 0.15 * face3d.bump(x, y - face.mouth_y - 0.24, 0.2, 0.07)
        beside = face3d.within((x - face.half_width(y[:, :1])) * 6, 0, 1)
        corners += 0.35 * beside * face3d.within((y - 0.4) * 2, 0, 1)
        reached, all_round = 1 - corners, look.ambient * (0.8 + 0.2 * facing)
        level = np.empty((*x.shape, 4), np.float32)
        for channel, (tint, fill) in enumerate(zip(look.tint, look.fill_color, strict=True)):
            level[..., channel] = (all_round + (look.diffuse * tint) * one + fill * two) * reached
        oily = 0.4 + face3d.bump(x, y - face.nose_tip_y, 0.15, 0.15) + 0.6 * face3d.bump(x, y + 0.5, 0.5, 0.2)
        level[..., 3] = (120 * look.shine * look.diffuse) * np.maximum(mirrored, 0) ** 22 * oily
        return level

    def shade(self, color: Color, amount: float) -> Color:
        """A colour under so much of the light, 0 to 1."""
        level = self.look.ambient + self.look.diffuse * amount
        return tuple(min(255.0, channel * level) for channel in color)

    def bust(self) -> None:
        """Neck, shoulders and clothes; they follow the head's roll beyond what a neck can do, and no pitch."""
        view = self.view
        roll = view.roll - 0.7 * np.clip(view.roll, -np.radians(NECK), np.radians(NECK))
        body = dataclasses.replace(view, yaw=0.4 * view.yaw, pitch=0.0, roll=roll)
        corners = np.array([(bust.LEFT, bust.TOP), (bust.RIGHT, bust.TOP), (bust.LEFT, bust.BOTTOM), (0.0, 0.8)])
        points, _ = body.project(np.column_stack([corners, np.full(len(corners), -0.55)]))
        # The neck hangs on the head, wherever that has turned.
        points += view.project(np.array([(0, 0.8, -0.5)]))[0] - points[3]
        if (found := bust.shown(points[:3], self.image.shape[:2])) is None:
            return
        part, corners = found
        scale = float(np.clip(FINENESS * self.unit, 24, 160))
        bust.Bust(self.face, self.look, scale, part).lay_on(self.image, corners)

    def skull(self, radii: tuple[float, float, float], centre: tuple[float, float, float]) -> np.ndarray:
        """Convex outline of an ellipsoid around the head, `(n, 2)` image coordinates."""
        points, _ = self.view.project(SPHERE * radii + centre)
        return cv2.convexHull(points.astype(np.float32))[:, 0]

    def long_hair(self) -> None:
        """The hair that falls behind the head."""
        width, color = self.face.identity.width, self.look.hair
        for size, dark in ((1.0, 0.3), (0.9, 0.45), (0.75, 0.55)):
            outline = self.skull((1.3 * size * width, 1.55 * size, 0.75 * size), (0, 0.7, -0.8))
            fill(self.image, outline, self.shade(mixed(color, (0, 0, 0), dark), 0.4))

    def ear(self, side: int) -> None:
        """An ear, unless hair or a scarf covers it."""
        look = self.look
        if look.hair_style in (LONG, SCARF):
            return
        out = 0.985 * float(self.face.half_width(0.0))
        whole, edge, hollow, fold, hole = self.view.project((EAR_RINGS + (out, 0, 0)) * (side, 1, 1))[0].reshape(5, 16, 2)

        facing = self.view.rotation[:, 0] * side
        light = float(np.clip(facing @ np.array(look.light), 0, 1)) * 0.7 + 0.25
        skin = mixed(look.skin, (190, 80, 70), 0.14)
        fill(self.image, whole, self.shade(skin, light))
        stroke(self.image, edge, self.shade(mixed(skin, (40, 10, 10), 0.35), light), 0.015 * self.unit, closed=True)
        fill(self.image, hollow, self.shade(mixed(skin, (60, 20, 15), 0.25), light))
        fill(self.image, fold, self.shade(skin, 0.9 * light))
        fill(self.image, hole, self.shade(mixed(skin, (50, 15, 10), 0.55), light))

    # === Extras ===

    def brim(self) -> None:
        """The brim of a cap."""
        turn = np.linspace(-1.15, 1.15, 11)
        wide = float(self.face.half_width(-0.62))
        inner = np.stack([wide * np.sin(turn), np.full(11, -0.64), 0.95 * np.cos(turn)], -1)
        outer = np.stack([1.02 * wide * np.sin(turn), -0.6 + 0.06 * np.cos(turn), 0.4 + 1.05 * np.cos(turn)], -1)
        points, _ = self.view.project(np.concatenate([inner, outer[::-1]]))
        fill(self.image, points, self.shade(mixed(self.look.cloth, (0, 0, 0), 0.2), 0.4))
        cv2.fillPoly(self.cover, [fixed(points)], 255, cv2.LINE_8, SHIFT)

    def glasses(self) -> None:
        """Glasses: what the head hides of them is not drawn."""
        kind = self.look.glasses
        if not kind:
            return
        face, look = self.face, self.look
        depth = float(face.surface(face.eye_x, 0.0)) + 0.14
        lines, lenses = [], []
        for side in (-1, 1) if self.view.yaw < 0 else (1, -1):
            flat = LENS + np.array((side * face.eye_x, 0.04))
            lens = np.column_stack([flat, depth - 0.25 * face3d.within(np.abs(flat[:, 0]) - 0.3, 0, 1)])
            lenses.append(len(lines))
            lines.append(lens)
            hinge, ear = lens[0] if side > 0 else lens[12], np.array((side * face.half_width(0.0) * 1.03, -0.08, -0.25))
            if side * self.view.yaw < 0.3:
                lines.append(hinge + TEMPLE * (ear - hinge))
        bridge = np.array([(-face.eye_x + 0.28, 0.0, depth), (0, -0.03, depth + 0.1), (face.eye_x - 0.28, 0.0, depth)])
        lines.append(np.array([bridge[0], bridge[:2].mean(0), bridge[1], bridge[2]]))
        ends, points = np.cumsum([len(line) for line in lines])[:-1], np.concatenate(lines)
        seen, places = visible(face, self.view, points), self.view.project(points)[0]
        for number, (rest, line) in enumerate(zip(np.split(seen, ends), np.split(places, ends), strict=True)):
            if kind == 2 and number in lenses and rest.mean() > 0.5:
                fill(self.image, line, mixed(look.glasses_color, (0, 0, 0), 0.7))
                cv2.fillPoly(self.cover, [fixed(line)], 255, cv2.LINE_8, SHIFT)
            self.line(line, rest, look.glasses_color, 0.03 * self.unit)

    def line(self, points: np.ndarray, seen: np.ndarray, color: Color, width: float) -> None:
        """Draws those parts of a line in the image whose ends are seen."""
        places = fixed(points)
        pairs = [places[i : i + 2] for i in np.flatnonzero(seen[:-1] & seen[1:])]
        cv2.polylines(self.image, pairs, False, color, max(1, round(width)), cv2.LINE_AA, SHIFT)


def visible(face: face3d.Face, view: View, points: np.ndarray) -> np.ndarray:
    """Whether the camera sees points `(n, 3)` of the skin past the rest of the head: `(n,)` bool.

    A ray towards the camera is followed from each point. Where it runs below the surface, the face hides the point.
    """
    points = np.asarray(points)
    towards = view.camera - points
    towards /= np.sqrt((towards**2).sum(1, keepdims=True))
    x, y, z = (points[:, i, None] + STEPS * towards[:, i, None] for i in range(3))
    place, step = np.nonzero((z < face.highest) & (y < face.chin) & (y > face.crown_y))
    x, y, z = x[place, step], y[place, step], z[place, step]
    inside = np.abs(x) < face.half_width(y) * 0.98
    place, step, x, y, z = place[inside], step[inside], x[inside], y[inside], z[inside]
    seen = np.ones(len(points), bool)
    seen[place[z < face.surface(x, y) - GRAZING[step]]] = False
    return seen
