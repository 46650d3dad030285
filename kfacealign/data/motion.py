"""Clips made of stills, and things that happen to clips: smooth random motion, light and occlusion.

Everything is drawn from a seed. The motion is a similarity transform of the crop: image coordinates go through the crop's
matrix, then through the motion. So a moved crop shows the photograph around the face instead of a black border, and its
landmarks stay as exact as they are in the photograph.
"""

import numpy as np

from kfacealign.data.clips import Clips
from kfacealign.data.effects import Effects
from kfacealign.data.faces import Faces


def moving_stills(
    faces: Faces,
    length: int,
    *,
    seed: int = 0,
    shift: float = 0.1,
    scale: float = 0.1,
    rotation: float = 12.0,
    light: float = 0.3,
    occlusion: float = 0.0,
    occluder: float = 0.4,
    speed: float = 1.0,
) -> Clips:
    """Clips of single photographs whose faces move smoothly, in changing light, behind passing objects.

    All frames of a clip show the same photograph. Shift, logarithm of scale, angle and logarithm of light each follow a smooth
    random path of their own: a sum of three waves of random phase that stays within its range.

    Args:
        faces: `Faces`; each face makes one clip.
        length: T, the frames of a clip.
        seed: the seed of all that is drawn.
        shift: largest shift along x and along y, as a fraction of the crop's side.
        scale: largest change of size; 0.1 stands for factors from 1 / 1.1 to 1.1.
        rotation: largest angle in degrees.
        light: largest change of brightness; 0.3 stands for factors from 1 / 1.3 to 1.3.
        occlusion: probability that an object passes through a clip, see `occluded`.
        occluder: largest side of the object, as a fraction of the crop's side.
        speed: how many periods the slowest wave makes in 30 frames; the others are two and three times as fast.

    Returns:
        `Clips` for `clip_pipeline`.

    Raises:
        ValueError: a range is negative, or a clip has no frame.

    Example:
        >>> clips = moving_stills(dataset.train, length=10, seed=epoch)
        >>> batches = clip_pipeline(clips, size=256, batch_size=1)
    """
    if length < 1 or min(shift, scale, rotation, light) < 0:
        raise ValueError(f"length is {length}; it must be positive, and shift, scale, rotation and light must not be negative")
    rng, count = np.random.default_rng([seed, 0]), len(faces)
    x, y, size, angle, bright = (smooth_paths(rng, count, length, speed=speed) for _ in range(5))
    factor = (1 + scale) ** size
    turn = np.radians(rotation) * angle
    linear = factor[..., None, None] * np.stack(
        [np.stack([np.cos(turn), -np.sin(turn)], -1), np.stack([np.sin(turn), np.cos(turn)], -1)], -2
    )
    centre = np.array([0.5, 0.5])
    offset = centre - linear @ centre + shift * np.stack([x, y], -1)
    effects = Effects.none(count, length)
    effects.motion = np.concatenate([linear, offset[..., None]], -1)
    effects.gain = (1 + light) ** bright
    indices = np.repeat(np.arange(count)[:, None], length, axis=1)
    clips = Clips(faces, indices, names=faces.names, effects=effects)
    return occluded(clips, probability=occlusion, largest=occluder, seed=seed) if occlusion else clips


def occluded(clips: Clips, *, probability: float = 1.0, largest: float = 0.4, seed: int = 0) -> Clips:
    """The same clips with an object of one colour that hides a part of the crop in some of the frames.

    The object's sides are uniform between half of `largest` and `largest`. It appears at a random frame, stays for a quarter
    to three quarters of the clip, and moves on a straight line through the crop. It is there for at least one frame, and
    never in the first frame of a clip that has others.

    Args:
        clips: `Clips` of T frames each; their motion and light are kept.
        probability: how probable an object is in a clip.
        largest: largest side of the object, as a fraction of the crop's side.
        seed: the seed of all that is drawn.

    Returns:
        `Clips`.

    Raises:
        ValueError: the clips differ in length, or a number is out of bounds.
    """
    if not 0 <= probability <= 1 or not 0 < largest <= 1:
        raise ValueError(f"probability is {probability} and largest {largest}: expected fractions, largest above 0")
    if clips.length is None:
        raise ValueError("clips of different lengths: cut them with windows(clips, length)")
    rng, (count, length) = np.random.default_rng([seed, 1]), (len(clips), clips.length)
    effects = Effects.none(count, length) if clips.effects is None else clips.effects[np.arange(count)]
    effects.boxes = effects.boxes.copy()
    effects.colors = rng.integers(0, 256, (count, 3), dtype="uint8")
    chosen = rng.random(count) < probability
    sides = rng.uniform(largest / 2, largest, (count, 1, 2))
    start, end = rng.uniform(0, 1, (2, count, 1, 2)) * (1 - sides)
    stay = np.maximum(1, np.round(rng.uniform(0.25, 0.75, count) * length)).astype(int)
    earliest = min(1, length - 1)
    first = np.array([rng.integers(earliest, max(earliest, length - frames) + 1) for frames in stay])
    share = np.linspace(0, 1, length)[None, :, None]
    corner = (1 - share) * start + share * end
    boxes = np.concatenate([corner, corner + sides], -1)
    frame = np.arange(length)[None]
    shown = chosen[:, None] & (frame >= first[:, None]) & (frame < (first + stay)[:, None])
    effects.boxes[shown] = boxes[shown]
    return Clips(clips.frames, clips.indices, names=clips.names, numbers=clips.numbers, effects=effects)


def smooth_paths(rng: np.random.Generator, count: int, length: int, *, speed: float) -> np.ndarray:
    """(count, length) random paths in [-1, 1], each of three waves of one, two and three times the speed."""
    periods = speed / 30 * np.array([1.0, 2.0, 3.0])
    weights = rng.dirichlet([2.0, 1.0, 1.0], count)
    phases = rng.uniform(0, 2 * np.pi, (count, 3))
    angle = 2 * np.pi * periods[:, None] * np.arange(length) + phases[..., None]
    return (weights[..., None] * np.sin(angle)).sum(1)
