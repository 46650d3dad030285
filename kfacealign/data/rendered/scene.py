"""What is around a rendered face: the background, objects before it, and the camera."""

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np

from kfacealign.data.rendered import noise
from kfacealign.data.rendered.look import Color, mixed
from kfacealign.data.rendered.raster import fixed
from kfacealign.data.rendered.render import Drawing

HAND, MASK = 1, 2  # of the kinds of objects
ARC = np.linspace(-np.pi / 2, np.pi / 2, 7)
TIP = np.stack([np.cos(ARC), np.sin(ARC)], -1)  # of a finger


def background(rng: np.random.Generator, size: int) -> np.ndarray:
    """A smooth gradient with random shapes and grain."""
    coarse = rng.integers(0, 256, (4, 4, 3), np.uint8)
    image = cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)
    for kind in rng.integers(0, 4, rng.integers(3, 12)):
        color = tuple(float(v) for v in rng.integers(0, 256, 3))
        points = rng.uniform(-0.1, 1.1, (4, 2)) * size
        if kind == 0:
            cv2.fillConvexPoly(image, fixed(points), color, cv2.LINE_AA, 4)
        elif kind == 1:
            cv2.circle(image, tuple(int(v) for v in points[0]), int(rng.uniform(0.02, 0.2) * size), color, -1, cv2.LINE_AA)
        elif kind == 2:
            cv2.polylines(image, [fixed(points)], False, color, int(rng.integers(1, 1 + size // 20)), cv2.LINE_AA, 4)
        else:
            low = np.maximum(points[:2].min(0), 0).astype(int)
            cv2.rectangle(image, tuple(int(v) for v in low), tuple(int(v) for v in points[:2].max(0)), color, -1)
    if rng.random() < 0.5:
        image = blurred(image, float(rng.uniform(0.005, 0.03) * size))
    if rng.random() < 0.5:
        grain = cv2.cvtColor(noise.patch(rng, "clouds", size, size), cv2.COLOR_GRAY2RGB)
        image = cv2.addWeighted(image, 1.0, grain, share := float(rng.uniform(0.1, 0.6)), -128 * share)
    if rng.random() < 0.4:  # few backgrounds are as colourful as the random shapes
        gray = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        image = cv2.addWeighted(image, 1 - (share := float(rng.uniform(0.4, 1.0))), gray, share, 0)
    return image


def gaussian(image: np.ndarray, sigma: float) -> np.ndarray:
    """What `cv2.GaussianBlur` makes of an image of bytes, give or take 1, faster."""
    kernel = cv2.getGaussianKernel(round(6 * sigma + 1) | 1, sigma, cv2.CV_32F)
    return cv2.sepFilter2D(image, -1, kernel, kernel)


def blurred(image: np.ndarray, sigma: float) -> np.ndarray:
    """A Gaussian blur for where nothing has to lie exactly: a strong one is made on fewer pixels."""
    size = image.shape[:2]
    if sigma < 2:
        return gaussian(image, sigma)
    shrink = 2 if sigma < 4 else 4
    small = cv2.resize(image, (size[1] // shrink, size[0] // shrink), interpolation=cv2.INTER_AREA)
    return cv2.resize(gaussian(small, sigma / shrink), size[::-1], interpolation=cv2.INTER_LINEAR)


def occlude(rng: np.random.Generator, drawing: Drawing, kind: int) -> None:
    """Draws an object before the face: 1 a hand, 3 a card, 4 a ball or microphone; 0 and 2, a mask (`Look.mask`), draw none."""
    if kind in (0, MASK):
        return
    image, unit = drawing.image, drawing.unit
    color = tuple(float(v) for v in rng.integers(0, 256, 3))
    anchor = drawing.at(np.array([[rng.uniform(-0.9, 0.9), rng.uniform(-0.4, 1.5)]]))[0]
    turn = rng.uniform(0, 2 * np.pi)
    if kind == HAND:
        skin = drawing.shade(drawing.look.skin, rng.uniform(0.3, 0.9))
        parts = list(hand(rng, anchor, turn, unit, skin))
    else:
        parts = list(thing(rng, anchor, turn, unit, color, kind=kind))
    for points, paint in parts:
        cv2.fillPoly(image, [fixed(points)], paint, cv2.LINE_AA, 4)
        cv2.fillPoly(drawing.cover, [fixed(points)], 255, cv2.LINE_8, 4)


def turned(points: np.ndarray, angle: float) -> np.ndarray:
    """Points turned about the origin, clockwise by so many radians."""
    cosine, sine = np.cos(angle), np.sin(angle)
    return points @ np.array([[cosine, sine], [-sine, cosine]])


def hand(
    rng: np.random.Generator, anchor: np.ndarray, turn: float, unit: float, skin: Color
) -> Iterator[tuple[np.ndarray, Color]]:
    """A forearm, a palm, four fingers and a thumb: each part is a dark shape with lighter ones on it."""
    size = unit * rng.uniform(0.85, 1.15)
    mirror = np.array((1.0, rng.choice((-1.0, 1.0))))
    palm = np.array(
        [
            (-2.6, -0.3),
            (-1.1, -0.34),
            (-0.55, -0.44),
            (-0.1, -0.42),
            (0.02, 0),
            (-0.1, 0.42),
            (-0.6, 0.42),
            (-1.1, 0.32),
            (-2.6, 0.3),
        ]
    )
    for shrink, dark in ((1.0, 0.45), (0.95, 0.12), (0.7, 0.0)):
        yield turned(palm * (1, shrink) * mirror * size, turn) + anchor, mixed(skin, (40, 10, 5), dark)
    spread = rng.uniform(0.0, 0.12)
    parts = [
        ((-0.15, (f - 1.5) * 0.21), (f - 1.5) * spread, rng.uniform(0.85, 1.05) * (1 - 0.08 * (f - 1.6) ** 2)) for f in range(4)
    ]
    parts.append(((-0.75, -0.35), -rng.uniform(0.4, 0.9), 0.75))
    for root, angle, length in parts:
        for width, dark in ((0.115, 0.5), (0.1, 0.14), (0.055, 0.0)):
            shape = turned(finger(length, width), angle) + root
            yield turned(shape * mirror * size, turn) + anchor, mixed(skin, (40, 10, 5), dark)
        nail = turned(finger(0.1, 0.045) + (length - 0.1, 0), angle) + root
        yield turned(nail * mirror * size, turn) + anchor, mixed(skin, (250, 215, 210), 0.35)


def finger(length: float, width: float) -> np.ndarray:
    """The outline of a finger along x, round at its tip, `(n, 2)`."""
    return np.concatenate([[(0, -width)], TIP * width + (length, 0), [(0, width)]])


def thing(
    rng: np.random.Generator, anchor: np.ndarray, turn: float, unit: float, color: Color, *, kind: int
) -> Iterator[tuple[np.ndarray, Color]]:
    """A card (3), or a ball on a stick (4)."""
    if kind == 3:
        width, height = rng.uniform(0.25, 0.8, 2) * unit
        card = np.array([(-width, -height), (width, -height), (width, height), (-width, height)])
        yield turned(card, turn) + anchor, color
        yield turned(0.8 * card, turn) + anchor, mixed(color, (255, 255, 255), 0.3)
        return
    angle = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    radius = rng.uniform(0.18, 0.4) * unit
    stick = np.array([(-0.4, 0), (0.4, 0), (0.35, 9), (-0.35, 9)]) * radius
    yield stick + anchor, mixed(color, (0, 0, 0), 0.5)
    yield np.stack([np.cos(angle), np.sin(angle)], -1) * radius + anchor, color


def photographed(rng: np.random.Generator, image: np.ndarray, place: dict[str, Any], size: int) -> np.ndarray:
    """The image with exposure, colour cast, blur, grain, and the losses of few pixels and of JPEG."""
    ramp = np.arange(256)
    tables = [np.clip(ramp * place["exposure"] * cast, 0, 255).astype(np.uint8) for cast in place["cast"]]
    image = cv2.merge([cv2.LUT(plane, table) for plane, table in zip(cv2.split(image), tables, strict=True)])
    sigma = place["blur"] * size
    if sigma > 0.3:
        image = smeared(image, sigma, place["motion"]) if place["motion"] is not None else gaussian(image, sigma)
    if place["noise"] > 1:
        # One channel of grain serves all three, which takes a third of the random numbers.
        grain = np.frombuffer(rng.bytes(size * size), np.uint8).reshape(size, size)
        share = place["noise"] / 74.0  # uniform bytes have a standard deviation of 74
        image = cv2.addWeighted(image, 1.0, cv2.cvtColor(grain, cv2.COLOR_GRAY2RGB), share, -127.5 * share)
    if place.get("coarse", 1.0) > 1:
        small = cv2.resize(image, (round(size / place["coarse"]),) * 2, interpolation=cv2.INTER_AREA)
        image = cv2.resize(small, (size, size), interpolation=cv2.INTER_CUBIC)
    if place.get("jpeg") is not None:
        bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        encoded = cv2.imencode(".jpg", bgr, (cv2.IMWRITE_JPEG_QUALITY, place["jpeg"]))[1]
        image = cv2.cvtColor(cv2.imdecode(encoded, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    return image


def smeared(image: np.ndarray, sigma: float, direction: float) -> np.ndarray:
    """Motion blur along a direction (radians), as spread out as a Gaussian of this sigma: the mean of moved images."""
    length = max(3, int(2 * round(sigma * np.sqrt(3)) + 1))
    kernel = np.zeros((length, length), np.uint8)
    middle = length // 2
    reach = np.array([np.cos(direction), np.sin(direction)]) * middle
    ends = [tuple(int(v) for v in np.round(middle + sign * reach)) for sign in (-1, 1)]
    cv2.line(kernel, ends[0], ends[1], 1)
    height, width = image.shape[:2]
    larger = cv2.copyMakeBorder(image, middle, middle, middle, middle, cv2.BORDER_REFLECT_101)
    total = np.zeros(image.shape, np.float32)
    steps = np.argwhere(kernel)
    for top, left in steps.tolist():
        cv2.accumulate(larger[top : top + height, left : left + width], total)
    return cv2.convertScaleAbs(total, alpha=1 / len(steps))
