"""Neck, shoulders and clothes below a rendered head, painted flat and laid on the image behind it.

What is seen below a chin tells a network where the face ends, so it varies as much as on photographs: a neck of the skin's own
brightness or in the chin's shadow, thin or as broad as the jaw, beards that go on below it, collars that begin at the chin, ties.
"""

import cv2
import numpy as np

from kfacealign.data.rendered import face3d, noise
from kfacealign.data.rendered.look import SCARF, Color, Look, mixed
from kfacealign.data.rendered.raster import SHIFT
from kfacealign.data.rendered.sampling import chosen

LEFT, TOP, RIGHT, BOTTOM = WHOLE = -2.6, 0.5, 2.6, 3.9  # what there is, in face coordinates of a head that looks ahead
MARGIN = 3.0  # pixels of an image around it for which more is painted than it shows
COARSE = 4  # light and shadow are painted so much smaller
OPEN, ROUND, ROLL, SHIRT, JACKET, BARE = range(6)  # kinds of clothes; BARE shows nothing but skin
SHARES = (0.16, 0.2, 0.1, 0.17, 0.29, 0.08)
SUITS = ((28, 30, 38), (45, 48, 58), (70, 72, 78), (38, 42, 68), (75, 58, 45), (110, 105, 98))
SHIRTS = ((240, 240, 238), (225, 232, 245), (180, 200, 232), (238, 225, 215), (205, 215, 205))
ARC, JAW = np.linspace(-1, 1, 17), np.linspace(-1, 1, 25)


def plain(shape: tuple[int, int], color: Color) -> np.ndarray:
    """An image `(H, W, 3)` uint8 of one colour, whose channels are rounded down."""
    image = np.empty((*shape, 3), np.uint8)
    height, width = shape
    cv2.rectangle(image, (0, 0), (width, height), tuple(int(channel) for channel in color), cv2.FILLED)
    return image


def shown(corners: np.ndarray, size: tuple[int, int]) -> tuple[tuple[float, float, float, float], np.ndarray] | None:
    """The part of WHOLE that an image shows.

    Args:
        corners: `(3, 2)` image coordinates of the upper left, upper right and lower left corner of WHOLE.
        size: (height, width) of the image.

    Returns:
        Left, top, right and bottom of the part in face coordinates, and its own three corners `(3, 2)` in image coordinates; None
        if the image shows nothing.
    """
    height, width = size
    ends = np.array([(x, y) for x in (-MARGIN, width + MARGIN) for y in (-MARGIN, height + MARGIN)])
    sides = corners[1:] - corners[0]  # across and down
    shares = np.linalg.solve(sides.T, (ends - corners[0]).T)
    low, high = np.maximum(shares.min(1), 0), np.minimum(shares.max(1), 1)
    if (low >= high).any():
        return None
    extent = np.array((RIGHT - LEFT, BOTTOM - TOP))
    part = (*((LEFT, TOP) + low * extent), *((LEFT, TOP) + high * extent))
    return part, corners[0] + np.array([low, (high[0], low[1]), (low[0], high[1])]) @ sides


class Bust:
    """Neck, shoulders and clothes of one person.

    Args:
        face: the face above.
        look: its colours and light; `look.seed` decides what clothes there are.
        scale: pixels of the painting in one unit of face coordinates.
        part: left, top, right and bottom of what is painted, in face coordinates; see `shown`.

    Attributes:
        image: `(H, W, 3)` uint8, lit.
        mask: `(H, W)` uint8, 255 where there is neck, shoulder or cloth.
    """

    def __init__(self, face: face3d.Face, look: Look, scale: float, part: tuple[float, float, float, float] = WHOLE):
        self.face, self.look, self.scale, self.part = face, look, scale, part
        self.rng = rng = np.random.default_rng([look.seed, 1])
        left, top, right, bottom = part
        self.shape = tuple(max(3, int(side * scale) + 1) for side in (bottom - top, right - left))
        self.kind = chosen(rng, SHARES)
        self.wide = face.identity.width * rng.uniform(0.6, 0.95)
        self.base = face.chin_y + rng.uniform(0.2, 0.95)  # y where the neck ends in front
        self.slope = rng.uniform(0.25, 0.75)  # how far the shoulders fall over the width that is painted
        self.image = plain(self.shape, np.clip(mixed(look.skin, (0, 0, 0), rng.uniform(-0.02, 0.16)), 0, 255))
        self.mask = np.zeros(self.shape, np.uint8)
        cv2.fillPoly(self.mask, [self.fixed(self.outline())], 255, cv2.LINE_AA, SHIFT)
        self.skin()
        self.clothes()
        self.light()

    def fixed(self, points: np.ndarray) -> np.ndarray:
        """Positions (x, y) -> OpenCV's fixed-point coordinates on the painting."""
        corner = self.part[:2]
        return np.rint((np.asarray(points, float) - corner) * (self.scale * 2**SHIFT) - 2 ** (SHIFT - 1)).astype(np.int32)

    def fill(self, points: np.ndarray, color: Color) -> None:
        """Fills a polygon."""
        cv2.fillPoly(self.image, [self.fixed(points)], color, cv2.LINE_AA, SHIFT)

    def both(self, points: np.ndarray, color: Color) -> None:
        """Fills a polygon and its mirror image."""
        self.fill(points, color)
        self.fill(np.asarray(points) * (-1, 1), color)

    def stroke(self, points: np.ndarray, color: Color, width: float) -> None:
        """Draws a line, `width` in face coordinates."""
        cv2.polylines(self.image, [self.fixed(points)], False, color, max(1, round(width * self.scale)), cv2.LINE_AA, SHIFT)

    def shoulder(self, x: np.ndarray) -> np.ndarray:
        """y of the shoulders' upper edge at distances x from the middle, from the side of the neck on."""
        beyond = np.maximum(np.asarray(x) - self.wide, 0)
        return self.base - 0.1 - 0.3 * np.exp(-beyond / 0.25) + self.slope * beyond / (RIGHT - self.wide)

    def outline(self) -> np.ndarray:
        """The outline of neck and shoulders, `(n, 2)`."""
        x = np.linspace(self.wide, RIGHT + 0.2, 9)
        side = np.concatenate(
            [[(self.wide * 1.03, TOP - 0.1)], np.stack([x, self.shoulder(x)], -1), [(RIGHT + 0.2, BOTTOM + 0.2)]]
        )
        return np.concatenate([side, side[::-1] * (-1, 1)])

    # === Skin ===

    def skin(self) -> None:
        """Muscles, folds and the beard of the neck."""
        look, rng, chin = self.look, self.rng, self.face.chin_y
        dark = mixed(look.skin, (60, 25, 15), rng.uniform(0.05, 0.3))
        for side in (-1, 1):
            self.stroke([(side * 0.85 * self.wide, chin - 0.3), (side * 0.1, self.base + 0.1)], dark, 0.05)
        for _ in range(rng.integers(3)):
            y = rng.uniform(chin, self.base + 0.1)
            self.stroke(np.stack([ARC * self.wide, y - 0.12 * ARC**2], -1), mixed(look.skin, (70, 30, 20), 0.25), 0.02)
        if look.beard and rng.random() < 0.8:
            low = chin + rng.uniform(0.05, 0.45) * (1 - 0.6 * ARC**2)
            hairy = np.concatenate(
                [np.stack([ARC * self.wide * 1.1, low], -1), [(self.wide * 1.1, TOP), (-self.wide * 1.1, TOP)]]
            )
            self.fill(hairy, mixed(look.skin, look.hair, look.beard * (0.4 if look.stubble else 0.9)))
        soft = max(1, int(0.08 * self.scale))
        self.image = cv2.blur(self.image, (soft, soft))

    # === Clothes ===

    def clothes(self) -> None:
        """One kind of clothes, or none."""
        draw = {OPEN: self.v_neck, ROUND: self.round_neck, ROLL: self.roll_neck, SHIRT: self.shirt, JACKET: self.jacket}
        if self.look.hair_style == SCARF:
            self.rolled(TOP, self.look.cloth)
        elif self.kind in draw:
            draw[self.kind]()

    def patterned(self, cloth: np.ndarray, color: Color) -> None:
        """Paints cloth of a color where a mask says, with folds, and often stripes."""
        rng, strength = self.rng, float(self.rng.uniform(0.05, 0.3))
        whole = plain(self.shape, color)
        if rng.random() < 0.25:
            self.stripe(whole, color)
        grain = noise.patch(rng, "clouds", *self.shape)
        level = cv2.convertScaleAbs(grain, alpha=strength, beta=128 * (1 - strength))
        whole = cv2.multiply(whole, cv2.cvtColor(level, cv2.COLOR_GRAY2RGB), scale=1 / 128)
        cv2.copyTo(whole, cloth, self.image)

    def stripe(self, whole: np.ndarray, color: Color) -> None:
        """Paints stripes on cloth of a color, along or across."""
        rng = self.rng
        other = mixed(color, tuple(rng.uniform(0, 255, 3)), rng.uniform(0.2, 0.8))
        step = max(2, int(rng.uniform(0.06, 0.3) * self.scale))
        lines = whole if rng.random() < 0.5 else whole.swapaxes(0, 1)
        for start in range(0, len(lines), 2 * step):
            lines[start : start + step] = other

    def below(self, edge: np.ndarray) -> np.ndarray:
        """A mask of all that lies below a line `(n, 2)`, which goes from left to right."""
        mask = np.zeros(self.shape, np.uint8)
        ends = [(RIGHT + 0.2, edge[-1][1]), (RIGHT + 0.2, BOTTOM + 0.2), (LEFT - 0.2, BOTTOM + 0.2), (LEFT - 0.2, edge[0][1])]
        cv2.fillPoly(mask, [self.fixed(np.concatenate([edge, ends]))], 255, cv2.LINE_8, SHIFT)
        return mask

    def neckline(self, half: float, depth: float, power: float) -> np.ndarray:
        """The edge of cloth: from the left shoulder, `half` away from the middle, down by `depth` and up to the right one."""
        y = float(self.shoulder(np.array(half))) + depth * (1 - np.abs(ARC) ** power)
        y = np.where(np.abs(ARC) == 1, y - 0.5, y)
        return np.stack([ARC * half, y], -1)

    def v_neck(self) -> None:
        """A neckline like a V."""
        edge = self.neckline(self.wide * self.rng.uniform(1.0, 1.5), self.rng.uniform(0.3, 1.1), 1.0)
        self.patterned(self.below(edge), self.look.cloth)

    def round_neck(self) -> None:
        """A round neckline with its hem."""
        edge = self.neckline(self.wide * self.rng.uniform(0.98, 1.4), self.rng.uniform(0.15, 0.5), 2.0)
        self.patterned(self.below(edge), self.look.cloth)
        self.stroke(edge[1:-1] + (0, 0.06), mixed(self.look.cloth, (0, 0, 0), 0.3), 0.02)

    def roll_neck(self) -> None:
        """A roll-neck, which ends anywhere between the jaw and the neck's base."""
        self.rolled(self.rng.uniform(self.face.chin_y - 0.45, self.base - 0.1), self.look.cloth)

    def rolled(self, top: float, color: Color) -> None:
        """Cloth around the neck from a height on."""
        broad = self.wide + 0.06
        around = np.array([(-broad, top), (broad, top), (broad, self.base + 0.3), (-broad, self.base + 0.3)])
        cv2.fillPoly(self.mask, [self.fixed(around)], 255, cv2.LINE_AA, SHIFT)
        self.patterned(self.below(np.stack([ARC * broad, top + 0.1 * (1 - ARC**2)], -1)), color)
        for fold in self.rng.uniform(top, self.base + 0.3, 3):
            self.stroke(np.stack([ARC * broad, fold + 0.1 * (1 - ARC**2)], -1), mixed(color, (0, 0, 0), 0.25), 0.02)

    def jacket(self) -> None:
        """A shirt, mostly with a tie, in a jacket."""
        rng = self.rng
        shirt = mixed(SHIRTS[rng.integers(len(SHIRTS))], self.look.cloth, rng.uniform(0, 0.25))
        self.shirt(shirt, tie=rng.random() < 0.7)
        suit = mixed(SUITS[rng.integers(len(SUITS))], self.look.cloth, rng.uniform(0, 0.3))
        half, end = self.wide * rng.uniform(1.0, 1.15), BOTTOM + rng.uniform(-0.6, 0.6)
        start = float(self.shoulder(np.array(half))) - 0.15
        edge = np.array([(-half, start - 0.4), (-half, start), (0, end), (half, start), (half, start - 0.4)])
        self.patterned(self.below(edge), suit)
        lapel = np.array([(half, start), (half + 0.45, start + 0.35), (half + 0.25, start + 0.9), (0, end)])
        self.both(lapel, mixed(suit, (255, 255, 255) if rng.random() < 0.5 else (0, 0, 0), 0.12))

    def shirt(self, color: Color | None = None, *, tie: bool | None = None) -> None:
        """A shirt with a collar, closed by a tie or open."""
        rng = self.rng
        color = self.look.cloth if color is None else color
        tie = rng.random() < 0.3 if tie is None else tie
        closed = tie or rng.random() < 0.4
        half, front = self.wide * 1.04, self.base + rng.uniform(0.1, 0.35)
        top = max(self.face.chin_y - 0.25, float(self.shoulder(np.array(self.wide))) - rng.uniform(0.1, 0.45))
        low = front if closed else front + rng.uniform(0.2, 0.8)
        edge = np.array([(-half, top), (-0.5 * half, 0.5 * (top + low)), (0, low), (0.5 * half, 0.5 * (top + low)), (half, top)])
        self.patterned(self.below(edge), color)
        if tie:
            self.tie(front)
        wing = rng.uniform(0.3, 0.6)
        leaf = np.array([(half + 0.03, top), (0.03, low), (wing, low + rng.uniform(0.15, 0.4)), (half + 0.15, top + 0.4)])
        cv2.fillPoly(self.mask, [self.fixed(leaf), self.fixed(leaf * (-1, 1))], 255, cv2.LINE_AA, SHIFT)
        self.both(leaf, mixed(color, (255, 255, 255), rng.uniform(0, 0.3)))
        for side in (-1, 1):
            self.stroke(leaf[1:] * (side, 1), mixed(color, (0, 0, 0), rng.uniform(0.2, 0.5)), 0.02)

    def tie(self, front: float) -> None:
        """A tie whose knot begins at a height."""
        rng = self.rng
        color, size = tuple(rng.uniform(10, 220, 3)), rng.uniform(0.1, 0.16)
        ends = [(-0.6 * size, front + 2.2 * size), (0.6 * size, front + 2.2 * size)]
        self.fill([(-size, front), (size, front), *ends[::-1]], mixed(color, (0, 0, 0), 0.2))
        self.fill([*ends, (1.8 * size, BOTTOM + 0.2), (-1.8 * size, BOTTOM + 0.2)], color)

    # === Light ===

    def coarse(self) -> tuple[np.ndarray, np.ndarray]:
        """x and y of the columns and rows of a painting that is COARSE times smaller, `(w,)` and `(h,)`."""
        height, width = (max(2, round(side / COARSE)) for side in self.shape)
        left, top, right, bottom = (np.float32(side) for side in self.part)
        x = left + (np.arange(width, dtype=np.float32) + 0.5) / width * (right - left)
        y = top + (np.arange(height, dtype=np.float32) + 0.5) / height * (bottom - top)
        return x, y

    def light(self) -> None:
        """Light on what bulges like a cylinder, and the shadow of the chin, soft or sharp, deep or none."""
        look, rng, face = self.look, self.rng, self.face
        x, y = self.coarse()
        nx = face3d.within(x / np.array([[self.wide], [2.2]], np.float32), -1, 1)  # of the neck, then of the shoulders
        nz = np.sqrt(1.02 - nx**2)
        shadow = np.zeros((len(y), len(x)), np.float32)
        jaw = face.jaw_line(JAW) * (0.97, 1) + (-0.25 * look.light[0], rng.uniform(0.08, 0.45))
        around = np.concatenate([jaw, [(1.2, TOP - 1), (-1.2, TOP - 1)]])
        cv2.fillPoly(shadow, [self.fixed(around) // COARSE], 1.0, cv2.LINE_AA, SHIFT)
        soft = max(0.4, rng.uniform(0.02, 0.2) * self.scale / COARSE)
        dark = 1 - rng.uniform(0, 0.6) * cv2.GaussianBlur(shadow, (0, 0), soft)
        first, second = (face3d.within(light[0] * nx + light[2] * nz, 0, 1) for light in (look.light, look.fill))
        lit = (
            0.95 * look.ambient + look.diffuse * np.multiply.outer(first, look.tint) + np.multiply.outer(second, look.fill_color)
        )
        level = lit.astype(np.float32)[(y >= self.base - 0.2).astype(int)] * dark[..., None]
        level = cv2.resize(level, self.shape[::-1])
        self.image = cv2.multiply(self.image, level, dtype=cv2.CV_8U)

    def lay_on(self, image: np.ndarray, corners: np.ndarray) -> None:
        """Lays the painting on an image `(S, S, 3)` in place.

        Args:
            image: what lies behind.
            corners: `(3, 2)` image coordinates of the painting's upper left, upper right and lower left corner.
        """
        height, width = self.shape
        places = np.array([(0, 0), (width, 0), (0, height)], np.float32) - np.float32(0.5)
        warp = cv2.getAffineTransform(places, np.float32(corners) - np.float32(0.5))
        reached = np.append(corners[:, 1], corners[1, 1] + corners[2, 1] - corners[0, 1])  # the fourth corner is the last
        top, bottom = max(0, int(reached.min()) - 2), min(len(image), int(reached.max()) + 3)
        if top >= bottom:
            return
        warp[1, 2] -= top
        size, part = (image.shape[1], bottom - top), image[top:bottom]
        mask = cv2.copyMakeBorder(self.mask[1:-1, 1:-1], 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
        over = cv2.insertChannel(mask, cv2.cvtColor(self.image, cv2.COLOR_RGB2RGBA), 3)
        over = cv2.warpAffine(over, warp, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        share = cv2.cvtColor(cv2.extractChannel(over, 3), cv2.COLOR_GRAY2RGB)
        over = cv2.multiply(cv2.cvtColor(over, cv2.COLOR_RGBA2RGB), share, scale=1 / 255)
        cv2.add(over, cv2.multiply(part, cv2.bitwise_not(share), scale=1 / 255), dst=part)
