"""The skin of a face painted flat, in face coordinates: what `kfacealign.data.rendered.head` wraps round the head."""

import functools

import cv2
import numpy as np
from numpy.typing import ArrayLike

from kfacealign.data.rendered import face3d, noise
from kfacealign.data.rendered.features import Features
from kfacealign.data.rendered.head import REACH
from kfacealign.data.rendered.look import BALD, CAP, CURLY, LONG, RECEDING, SCARF, SHORT, TIED, Color, Look, mixed
from kfacealign.data.rendered.raster import SHIFT

COARSE = 6  # colours that change slowly are painted so much smaller
THICKNESS = {BALD: 0.015, SHORT: 0.07, LONG: 0.11, RECEDING: 0.05, CURLY: 0.17, TIED: 0.05, CAP: 0.1, SCARF: 0.09}


class Texture(Features):
    """A face's skin, hair and cloth, unlit.

    Args:
        face: the face.
        look: its colours and extras.
        scale: pixels of the texture in one unit of face coordinates.
        sides: the lowest and the highest x that are painted.

    Attributes:
        image: `(H, W, 3)` uint8.
        hides: `(H, W)` uint8, up to 255 where hair or cloth hides the skin.
        outwards: float32, COARSE times smaller, how far hair and cloth stand out of the skin, in face coordinates.
    """

    def __init__(self, face: face3d.Face, look: Look, scale: float, sides: tuple[float, float] = (-REACH, REACH)):
        self.face, self.look, self.scale = face, look, scale
        self.left, right = sides
        self.rng = np.random.default_rng(look.seed)
        self.top = face.crown_y - 0.03
        self.shape = int((face.chin + 0.05 - self.top) * scale) + 1, int((right - self.left) * scale) + 1
        self._times = scale * 2**SHIFT
        self._plus = -np.array((self.left, self.top)) * self._times - 2 ** (SHIFT - 1)
        self.image = self.skin()
        self.features()
        self.hides = np.zeros(self.shape, np.uint8)
        self.outwards = np.zeros(self.coarse[0].shape, np.float32)
        if look.mask:
            self.mask()
        self.hair()

    def at(self, points: ArrayLike) -> np.ndarray:
        """Positions (x, y) -> coordinates on the texture, in which the first pixel's centre is at (0.5, 0.5)."""
        return (np.asarray(points, float) - (self.left, self.top)) * self.scale

    def fixed(self, points: ArrayLike) -> np.ndarray:
        """Positions (x, y) -> OpenCV's fixed-point coordinates on the texture."""
        return np.rint(np.asarray(points, float) * self._times + self._plus).astype(np.int32)

    @functools.cached_property
    def coarse(self) -> tuple[np.ndarray, np.ndarray]:
        """x and y at the pixels of an image that is COARSE times smaller, `(h, w)` each."""
        height, width = (max(2, round(side / COARSE)) for side in self.shape)
        x = (np.arange(width) + 0.5) / width * self.shape[1] / self.scale + self.left
        y = (np.arange(height) + 0.5) / height * self.shape[0] / self.scale + self.top
        grid_x, grid_y = np.meshgrid(x.astype(np.float32), y.astype(np.float32))
        return grid_x, grid_y

    # === Skin ===

    def skin(self) -> np.ndarray:
        """The bare skin: complexion, blush, beard, shadows of the eyes, pores, freckles."""
        look, face = self.look, self.face
        x, y = self.coarse
        away, bump = np.abs(x), face3d.bump
        mean = np.array(look.skin).mean() / 200
        base = np.empty((*x.shape, 3), np.float32)
        base[:] = look.skin
        red = bump(away - 0.55, y - 0.55, 0.2, 0.18) + 0.7 * bump(x, y - face.nose_tip_y, 0.15, 0.12)
        _towards(base, red * (0.08 + 0.5 * look.blush + 0.2 * look.make_up), np.array((205.0, 95, 85)) * mean)
        _towards(base, bump(away - face.eye_x, y - 0.06, 0.2, 0.09) * 0.35, np.array(look.skin) * (0.66, 0.58, 0.62))
        under = face3d.within((away - face.half_width(face.chin * 0.6)) * 2, 0, 1) * face3d.within((y - 0.3) * 2, 0, 1)
        _towards(base, under * 0.45, np.array(look.skin) * 0.45)
        if look.beard:
            jaw = face3d.within((y - face.mouth_y + 0.12 + 0.25 * away**2) * 5, 0, 1) * face3d.within(
                (away - 0.3 + y - face.mouth_y) * 6, 0, 1
            )
            jaw = np.maximum(
                jaw,
                face3d.within((away - 0.88) * 7, 0, 1)
                * face3d.within((y - 0.1) * 4, 0, 1)
                * face3d.within((1.3 - away) * 8, 0, 1),
            )
            lip = bump(x, y - face.mouth_y + 0.2, 0.26, 0.06)
            hairy = face3d.within(jaw + lip, 0, 1) * look.beard * face3d.within((1.6 - away) * 5, 0, 1)
            _towards(base, hairy * (0.45 if look.stubble else 1.0), np.array(mixed(look.hair, look.skin, 0.1)))
        large = self.textured(cv2.resize(cv2.convertScaleAbs(base), self.shape[::-1]), 0.25 * look.texture)
        self.spots(large)
        return large

    def textured(self, image: np.ndarray, share: float) -> np.ndarray:
        """An image made lighter and darker by blotches and pores."""
        blotches, pores = (noise.patch(self.rng, kind, *image.shape[:2]) for kind in ("mottle", "pores"))
        level = cv2.addWeighted(blotches, share, pores, share, 128 * (1 - 2 * share))
        return cv2.multiply(image, cv2.cvtColor(level, cv2.COLOR_GRAY2RGB), scale=1 / 128)

    def spots(self, image: np.ndarray) -> None:
        """Freckles and a few moles."""
        rng, look = self.rng, self.look
        spots = np.concatenate(
            [rng.normal((0, 0.4), (0.42, 0.22), (look.freckles, 2)), rng.uniform((-1, -0.9), (1, 1.5), (2, 2))]
        )
        sizes = np.concatenate([rng.uniform(0.006, 0.016, look.freckles), rng.uniform(0.008, 0.025, 2)])
        color = mixed(look.skin, (90, 45, 25), 0.4)
        for centre, size in zip(self.fixed(spots).tolist(), sizes, strict=True):
            cv2.circle(image, centre, round(size * self.scale * 16), color, -1, cv2.LINE_AA, 4)

    # === Cloth and hair ===

    def polygon(self, points: np.ndarray, *, mirrored: bool) -> np.ndarray:
        """A mask `(H, W)` uint8 of a polygon in face coordinates, with its mirror image if asked."""
        mask = np.zeros(self.shape, np.uint8)
        cv2.fillPoly(mask, [self.fixed(points)], 255, cv2.LINE_AA, 4)
        if mirrored:
            cv2.fillPoly(mask, [self.fixed(np.asarray(points) * (-1, 1))], 255, cv2.LINE_AA, 4)
        return mask

    def lay(self, mask: np.ndarray, over: np.ndarray, thickness: float, *, ragged: float) -> None:
        """Covers the skin with another texture where a mask says; strands make a ragged edge of it."""
        soft = cv2.blur(mask, (max(1, int(0.06 * self.scale)),) * 2)
        if ragged:
            strands = noise.patch(self.rng, "strands", *self.shape)
            soft = cv2.addWeighted(soft, 1.0, strands, ragged, -128 * ragged)
        sharp = cv2.convertScaleAbs(cv2.subtract(soft, 96), alpha=4.0)
        cv2.copyTo(over, cv2.compare(sharp, 127, cv2.CMP_GT), self.image)
        self.hides = cv2.max(self.hides, sharp)
        wide = cv2.blur(
            cv2.resize(mask, self.outwards.shape[::-1], interpolation=cv2.INTER_AREA),
            (max(1, int(0.12 * self.scale / COARSE)),) * 2,
        )
        self.outwards = np.maximum(self.outwards, wide * np.float32(thickness / 255))

    def plain(self, color: Color, kind: str, share: float) -> np.ndarray:
        """A texture of one colour and noise."""
        level = 1 - share + share * np.arange(256) / 128
        table = np.clip(level[:, None] * color, 0, 255).astype(np.uint8)
        grain = noise.patch(self.rng, kind, *self.shape)
        return cv2.merge([cv2.LUT(grain, channel.copy()) for channel in table.T])

    def mask(self) -> None:
        """A cloth mask over mouth and nose, with straps to the ears."""
        face, tip = self.face, self.face.nose_tip_y
        jaw = face.jaw_line(np.linspace(-0.8, 0.8, 25))
        jaw = jaw * (1.02, 1.0) + (0, 0.02)
        top = np.array(
            [(0.86, 0.42), (0.5, 0.4), (0.2, tip - 0.25), (0, tip - 0.32), (-0.2, tip - 0.25), (-0.5, 0.4), (-0.86, 0.42)]
        )
        over = self.plain(self.look.cloth, "clouds", 0.12)
        for fold in (tip + 0.15, tip + 0.4, tip + 0.65):
            line = self.fixed([(-0.8, fold), (0, fold + 0.06), (0.8, fold)])
            cv2.polylines(over, [line], False, mixed(self.look.cloth, (0, 0, 0), 0.25), 1, cv2.LINE_AA, 4)
        mask = self.polygon(np.concatenate([jaw, top]), mirrored=False)
        for side in (-1, 1):
            for y in ((0.45, 0.1), (1.25, 0.3)):
                strap = self.fixed([(side * 0.8, y[0]), (side * 1.3, y[1])])
                cv2.polylines(self.image, [strap], False, mixed(self.look.cloth, (255, 255, 255), 0.5), 2, cv2.LINE_AA, 4)
        self.lay(mask, over, 0.07, ragged=0.0)

    def hairline(self) -> np.ndarray:
        """Edge of the hair on the right half, from the middle of the forehead to the nape, `(n, 2)` face coordinates."""
        look, face = self.look, self.face
        wide = float(face.half_width(0.0))
        middle, temple = look.hairline, -0.68
        if look.hair_style == RECEDING:
            middle, temple = 0.82 * face.crown_y, -0.8
        if look.hair_style == BALD:
            middle, temple = face.crown_y * 1.1, face.crown_y * 0.7
        burn = 0.12 if look.beard else self.rng.uniform(-0.2, 0.2)
        edge = [(0, middle), (0.3, middle - 0.01), (0.62, middle + 0.05), (0.84 * wide, temple), (0.93 * wide, -0.4)]
        edge += [(wide - 0.02, -0.12), (wide + 0.01, burn), (wide + 0.1, burn), (wide + 0.16, -0.15), (wide + 0.3, -0.12)]
        edge = np.array([*edge, (wide + 0.36, 0.3), (wide + 0.55, 0.75), (REACH, 0.85)])
        return edge + self.rng.normal(0, 0.012, edge.shape) * (edge[:, :1] > 0)

    def hair(self) -> None:
        """Hair, a cap or a scarf, with a fringe."""
        look, face = self.look, self.face
        style, wide = look.hair_style, float(face.half_width(0.0))
        above = np.array([(REACH, self.top), (0, self.top)])
        if style in (CAP, SCARF):
            low, side = (-0.62, -0.12) if style == CAP else (-0.85, face.chin + 0.1)
            edge = np.array([(0, low), (0.5, low + 0.03), (wide - 0.12, low + 0.25), (wide - 0.06, side), (REACH, side)])
            cloth = self.plain(look.cloth, "clouds", 0.3)
            self.lay(self.polygon(np.concatenate([edge, above]), mirrored=True), cloth, THICKNESS[style], ragged=0.0)
            return
        color = mixed(look.hair, look.skin, 0.55) if style == BALD else look.hair
        hair = self.plain(color, "curls" if style == CURLY else "strands", 1.0)
        mask = self.polygon(np.concatenate([self.hairline(), above]), mirrored=True)
        if style == LONG:
            inner = wide - self.rng.uniform(-0.02, 0.14)
            curtain = np.array([(0.2, look.hairline - 0.1), (0.75 * wide, -0.72), (inner, -0.2), (inner - 0.02, 0.7)])
            end = face.chin + 0.1
            mask |= self.polygon(np.concatenate([curtain, [(0.8 * wide, end), (REACH, end)], above]), mirrored=True)
        self.lay(mask, hair, THICKNESS[style] * (0.4 + self.rng.random()), ragged=0.5 if style != BALD else 1.2)
        if style != BALD and look.fringe > face3d.FOREHEAD:
            x = np.linspace(-0.92, 0.92, 15) * wide
            part = self.rng.uniform(-0.6, 0.6)
            low = look.fringe - 0.12 * np.exp(-(((x - part) / 0.3) ** 2)) + self.rng.normal(0, 0.02, 15)
            points = np.concatenate(
                [np.stack([x, low], -1), [(0.9 * wide, -0.9), (0.6, face.crown_y), (-0.6, face.crown_y), (-0.9 * wide, -0.9)]]
            )
            self.lay(self.polygon(points, mirrored=False), hair, THICKNESS[style], ragged=0.6)


def _towards(image, share, color):
    """Mixes a colour into an image in place."""
    image += (np.asarray(color, np.float32) - image) * face3d.within(share, 0, 1)[..., None].astype(np.float32)
