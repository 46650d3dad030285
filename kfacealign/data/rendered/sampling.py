"""What rendered faces are like: people, expressions, poses, looks and pictures drawn at random.

There are two ranges. "usual" is what `make train` and the quick recipes learn in minutes: heads turned aside by 60 degrees at
most, rolled by 45, adults. "full" adds profiles, rolls up to upside down, infants, more hands and masks, and worse pictures.
"mixed" tosses a coin for each face and draws it from the one or the other:

| | usual | full |
|---|---|---|
| yaw | normal, 12 degrees; a tenth even to 60 | normal, 20 degrees; a quarter even to 90 |
| pitch | normal, 7 degrees, to 28 | normal, 10 degrees, to 40; a tenth even to 40 |
| roll | normal, 9 degrees, to 45 | normal, 13 degrees; a seventh even to 180 |
| infants | none | an eighth |
| something before the face | 15 % | 25 % |
| dark pictures, low resolution, strong JPEG | none | 8 %, 10 %, 25 % |
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from kfacealign.data.rendered import face3d
from kfacealign.data.rendered.look import BALD, CAP, CURLY, LONG, RECEDING, SCARF, SHORT, TIED, Look, mixed

RANGES = ("usual", "full", "mixed")
SKIN = ((255, 224, 200), (241, 194, 160), (224, 172, 130), (198, 134, 92), (141, 85, 54), (92, 58, 40), (60, 38, 28))
HAIR = ((25, 20, 18), (55, 35, 22), (95, 60, 32), (150, 105, 55), (205, 170, 105), (120, 50, 25), (150, 148, 145))
IRIS = ((60, 35, 20), (95, 60, 30), (90, 110, 60), (80, 120, 160), (110, 125, 130))
STYLES = (BALD, SHORT, LONG, RECEDING, CURLY, TIED, CAP, SCARF)
STYLE_SHARES = (0.07, 0.26, 0.25, 0.1, 0.1, 0.12, 0.05, 0.05)
INFANT_STYLES = (BALD, RECEDING, SHORT, CAP)
INFANT_STYLE_SHARES = (0.35, 0.25, 0.25, 0.15)


class Sample(NamedTuple):
    """What is drawn of one face; the pose is yaw, pitch and roll in degrees."""

    identity: face3d.Identity
    expression: face3d.Expression
    pose: tuple[float, float, float]
    look: Look
    place: dict[str, Any]
    infant: bool


def sample(rng: np.random.Generator, ranges: str = "usual") -> Sample:
    """A random person, expression, pose, look and place in the image, of one of RANGES."""
    if ranges == "mixed":
        ranges = "full" if rng.random() < 0.5 else "usual"
    infant = ranges == "full" and rng.random() < 0.125
    identity = sample_infant(rng) if infant else sample_identity(rng)
    expression, pose = sample_expression(rng), sample_pose(rng, ranges)
    look = sample_look(rng, infant=infant)
    return Sample(identity, expression, pose, look, sample_place(rng, ranges), infant)


def within(value: float, low: float, high: float) -> float:
    """A number no lower than `low` and no higher than `high`."""
    return min(max(float(value), low), high)


def around(rng: np.random.Generator, mean: float, spread: float) -> float:
    """A normal number, not far off."""
    return mean + spread * within(rng.normal(), -2.2, 2.2)


def chosen(rng: np.random.Generator, shares: Sequence[float]) -> int:
    """A number drawn by its share, as `Generator.choice` with probabilities draws it, faster."""
    ends = np.cumsum(shares)
    return int(np.searchsorted(ends / ends[-1], rng.random(), side="right"))


def sample_identity(rng: np.random.Generator) -> face3d.Identity:
    """A random person."""
    return face3d.Identity(
        width=around(rng, 1.0, 0.05),
        length=around(rng, 1.0, 0.06),
        jaw=around(rng, 0.0, 0.45),
        eye_spacing=around(rng, 1.0, 0.035),
        eye_size=around(rng, 1.0, 0.08),
        eye_tilt=around(rng, 0.0, 0.02),
        brow_height=around(rng, 0.0, 0.025),
        brow_length=around(rng, 1.0, 0.05),
        brow_thickness=around(rng, 1.0, 0.2),
        brow_arch=around(rng, 1.0, 0.25),
        nose_length=around(rng, 1.0, 0.06),
        nose_width=around(rng, 1.0, 0.1),
        nose_depth=around(rng, 1.0, 0.15),
        mouth_width=around(rng, 1.0, 0.08),
        mouth_height=around(rng, 0.0, 0.03),
        lip_thickness=around(rng, 1.0, 0.2),
        cheeks=around(rng, 0.0, 0.35),
        skull=around(rng, 1.0, 0.04),
    )


def sample_infant(rng: np.random.Generator) -> face3d.Identity:
    """A random infant: a large skull over a short, round face, a small flat nose, large eyes far apart."""
    return face3d.Identity(
        width=around(rng, 1.02, 0.04),
        length=around(rng, 0.84, 0.04),
        jaw=around(rng, 0.1, 0.25),
        eye_spacing=around(rng, 1.02, 0.03),
        eye_size=around(rng, 1.12, 0.07),
        eye_tilt=around(rng, 0.0, 0.02),
        brow_height=around(rng, 0.02, 0.02),
        brow_thickness=around(rng, 0.8, 0.12),
        brow_arch=around(rng, 1.0, 0.2),
        nose_length=around(rng, 0.8, 0.05),
        nose_width=around(rng, 0.92, 0.07),
        nose_depth=around(rng, 0.62, 0.08),
        mouth_width=around(rng, 0.84, 0.06),
        mouth_height=around(rng, -0.02, 0.02),
        lip_thickness=around(rng, 1.0, 0.15),
        cheeks=around(rng, 1.2, 0.35),
        skull=around(rng, 1.17, 0.05),
    )


def sample_expression(rng: np.random.Generator) -> face3d.Expression:
    """A random expression."""
    mouth = rng.uniform(0.2, 1.0) if rng.random() < 0.25 else rng.uniform(0, 0.12)
    eyes = within(rng.normal(0.95, 0.2), 0.25, 1.35)
    blink = rng.random() < 0.06
    left, right = (0.02 if blink or rng.random() < 0.02 else eyes * rng.uniform(0.93, 1.07) for _ in range(2))
    return face3d.Expression(
        mouth=mouth,
        smile=within(rng.normal(0.2, 0.45), -0.8, 1),
        brows=within(rng.normal(0, 0.4), -1, 1),
        left_eye=left,
        right_eye=right,
        gaze_x=rng.uniform(-1, 1) * rng.random(),
        gaze_y=rng.uniform(-1, 1) * rng.random(),
    )


def sample_pose(rng: np.random.Generator, ranges: str = "usual") -> tuple[float, float, float]:
    """Random yaw, pitch and roll in degrees."""
    if ranges == "usual":
        yaw = rng.uniform(-60, 60) if rng.random() < 0.1 else within(rng.normal(0, 12), -60, 60)
        return yaw, within(rng.normal(0, 7), -25, 28), within(rng.normal(0, 9), -45, 45)
    yaw = rng.uniform(-90, 90) if rng.random() < 0.25 else within(rng.normal(0, 20), -90, 90)
    pitch = rng.uniform(-40, 40) if rng.random() < 0.1 else within(rng.normal(0, 10), -40, 40)
    roll = rng.uniform(-180, 180) if rng.random() < 1 / 7 else rng.normal(0, 13)
    return float(yaw), float(pitch), float(roll)


def direction(rng: np.random.Generator, side: float = 1.0) -> tuple[float, float, float]:
    """A random direction to a light before the face, of unit length."""
    light = np.array([side * rng.uniform(-1, 1), rng.uniform(-0.9, 0.2), rng.uniform(0.35, 1.0)])
    return tuple(light / np.linalg.norm(light))


def sample_look(rng: np.random.Generator, *, infant: bool = False) -> Look:
    """Random colours, light and extras."""
    tone = rng.uniform(0, len(SKIN) - 1.001)
    skin = mixed(SKIN[int(tone)], SKIN[int(tone) + 1], tone % 1)
    skin = tuple(np.clip(np.array(skin) * rng.uniform(0.94, 1.06, 3), 0, 255).tolist())
    hair = np.clip(np.array(HAIR[rng.integers(len(HAIR))]) * rng.uniform(0.7, 1.2), 0, 255).tolist()
    make_up = rng.uniform(0.55, 1.0) if rng.random() < 0.25 and not infant else rng.uniform(0, 0.3)
    natural = mixed(skin, (150, 50, 55), rng.uniform(0.08, 0.6))
    lips = mixed(natural, (rng.uniform(120, 220), rng.uniform(10, 60), rng.uniform(30, 110)), make_up)
    diffuse = rng.uniform(0.25, 1.0)
    second = rng.random() < 0.5
    styles, shares = (INFANT_STYLES, INFANT_STYLE_SHARES) if infant else (STYLES, STYLE_SHARES)
    style = styles[chosen(rng, shares)]
    return Look(
        skin=skin,
        hair=mixed(hair, skin, 0.3) if infant else tuple(hair),
        iris=IRIS[rng.integers(len(IRIS))],
        lips=lips,
        hair_style=style,
        fringe=rng.uniform(-0.75, -0.3) if rng.random() < 0.3 and not infant else face3d.FOREHEAD,
        brow_strength=rng.uniform(0.15, 0.45) if infant else rng.uniform(0.5, 0.95),
        beard=rng.uniform(0.25, 0.95) if make_up < 0.3 and rng.random() < 0.3 and not infant else 0.0,
        make_up=make_up,
        shadow=tuple(rng.uniform(20, 160, 3).tolist()),
        light=direction(rng),
        ambient=1.0 - 0.62 * diffuse,
        diffuse=diffuse * 0.75,
        glasses=chosen(rng, (0.8, 0.14, 0.06)) if not infant else 0,
        glasses_color=tuple(rng.uniform(0, 90, 3).tolist()),
        hairline=rng.uniform(-1.12, -0.8),
        cloth=tuple(rng.uniform(25, 235, 3).tolist()),
        fill=direction(rng),
        fill_color=tuple(rng.uniform(0.05, 0.35) * rng.uniform(0.5, 1, 3)) if second else (0.0, 0.0, 0.0),
        tint=tuple(np.exp(rng.normal(0, 0.08, 3))),
        shine=rng.uniform(0.05, 0.8),
        texture=rng.uniform(0.1, 0.5) if infant else rng.uniform(0.3, 1.1),
        blush=rng.uniform(0, 0.7) ** 1.5,
        freckles=int(rng.integers(20, 140)) if rng.random() < 0.12 else 0,
        age=0.0 if infant else max(0.0, rng.uniform(-0.6, 1.0)),
        stubble=rng.random() < 0.45,
        seed=int(rng.integers(2**31)),
    )


def sample_place(rng: np.random.Generator, ranges: str = "usual") -> dict[str, Any]:
    """A random place and size of the face in the image, with random exposure, blur, noise and occluder."""
    full = ranges == "full"
    shares = (0.75, 0.12, 0.06, 0.035, 0.035) if full else (0.85, 0.05, 0.04, 0.03, 0.03)
    dark = full and rng.random() < 0.08
    return {
        "x": rng.uniform(-0.06, 0.06),
        "y": rng.uniform(-0.04, 0.06),
        "share": rng.uniform(0.5, 0.72),
        "exposure": float(rng.uniform(0.25, 0.5) if dark else np.exp(rng.normal(-0.08, 0.28))),
        "cast": tuple(np.exp(rng.normal(0, 0.07, 3))),
        "blur": rng.uniform(0.009, 0.02) if rng.random() < 0.13 else rng.uniform(0, 0.004),
        "motion": rng.uniform(0, np.pi) if rng.random() < 0.3 else None,
        "noise": rng.uniform(8, 30) if dark else rng.uniform(0, 14),
        "occluder": chosen(rng, shares),
        "coarse": rng.uniform(2.0, 4.0) if full and rng.random() < 0.1 else 1.0,  # pixels of the camera, in those of the image
        "jpeg": int(rng.integers(8, 40)) if full and rng.random() < 0.25 else None,  # quality
    }
