"""Clips made of stills, and things that happen to clips: smooth random motion, light and occlusion.

Everything is drawn from a seed. Motion is a similarity of the crop: image coordinates go through the crop's matrix and
then through it, so that a moved crop shows the photograph around the face and not a black border, and landmarks are as
exact as the photograph's.
"""

import dataclasses
import hashlib

import cv2
import numpy as np

from kfacealign.data.clips import Clips


@dataclasses.dataclass
class Effects:
    """What happens to the frames of C clips of T frames each.

    Attributes:
        motion: (C, T, 2, 3) float64, crop coordinates -> crop coordinates.
        gain: (C, T) float64, factor of the pixels.
        boxes: (C, T, 4) float64, x0, y0, x1, y1 in crop coordinates: what an object covers; no area, no object.
        colors: (C, 3) uint8, RGB of the clip's object.
    """

    motion: np.ndarray
    gain: np.ndarray
    boxes: np.ndarray
    colors: np.ndarray

    @classmethod
    def none(cls, clips, frames):
        """Effects that change nothing."""
        motion = np.broadcast_to(np.eye(2, 3), (clips, frames, 2, 3)).copy()
        return cls(motion, np.ones((clips, frames)), np.zeros((clips, frames, 4)), np.zeros((clips, 3), "uint8"))

    @property
    def shape(self):
        """(C, T)."""
        return self.gain.shape

    def __getitem__(self, chosen):
        """The effects of some clips."""
        return Effects(self.motion[chosen], self.gain[chosen], self.boxes[chosen], self.colors[chosen])

    def key(self):
        """A hash of everything, for crops kept on disk."""
        digest = hashlib.sha256()
        for values in (self.motion, self.gain, self.boxes, self.colors):
            digest.update(np.ascontiguousarray(values).tobytes())
        return digest.hexdigest()[:16]

    def move(self, matrices, size):
        """(C T, 2, 3) maps from image coordinates to crop pixels -> the same, followed by the motion."""
        motion = self.motion.reshape(-1, 2, 3)
        offset = (motion[:, :, :2] @ matrices[:, :, 2:])[..., 0] + motion[:, :, 2] * size
        return np.concatenate([motion[:, :, :2] @ matrices[:, :, :2], offset[..., None]], axis=-1)

    def paint(self, crop, clip, frame):
        """A crop (S, S, 3) uint8 in the clip's light, behind its object."""
        crop = cv2.convertScaleAbs(crop, alpha=float(self.gain[clip, frame]))
        size = crop.shape[0]
        # Pixels whose centre lies inside are covered.
        x0, y0, x1, y1 = np.ceil(self.boxes[clip, frame] * size - 0.5).astype(int).clip(0, size)
        crop[y0:y1, x0:x1] = self.colors[clip]
        return crop


def moving_stills(
    faces,
    length,
    seed=0,
    shift=0.1,
    scale=0.1,
    rotation=12.0,
    light=0.3,
    occlusion=0.0,
    occluder=0.4,
    speed=1.0,
):
    """Clips of single photographs whose faces move smoothly, in changing light, behind passing objects.

    Shift, logarithm of scale, angle and logarithm of light each follow a smooth random path of their own, a sum of three
    waves of random phase which stays within its range; all frames of a clip show the same photograph.

    Args:
        faces: `Faces`, one clip each.
        length: T frames.
        seed: of everything.
        shift: largest shift along x and along y, as a fraction of the crop's side.
        scale: largest change of size, 0.1 for a factor of 1 / 1.1 to 1.1.
        rotation: largest angle in degrees.
        light: largest change of brightness, as `scale`.
        occlusion: probability that an object passes through a clip, see `occluded`.
        occluder: its largest side, as a fraction of the crop's.
        speed: how many periods the slowest wave makes in 30 frames; the others are two and three times as fast.

    Returns:
        `Clips` for `clip_pipeline`.

    Raises:
        ValueError: a negative range or no frame.

    Example:
        >>> clips = moving_stills(dataset.train, length=10, seed=epoch)
        >>> batches = clip_pipeline(clips, size=256, batch_size=1)
    """
    if length < 1 or min(shift, scale, rotation, light) < 0:
        raise ValueError(f"length is {length}; it must be positive, and shift, scale, rotation and light must not be negative")
    rng, count = np.random.default_rng([seed, 0]), len(faces)
    x, y, size, angle, bright = (smooth_paths(rng, count, length, speed) for _ in range(5))
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
    clips = Clips(faces, indices, faces.names, effects=effects)
    return occluded(clips, occlusion, occluder, seed) if occlusion else clips


def occluded(clips, probability=1.0, largest=0.4, seed=0):
    """The same clips with an object of one colour that hides a part of the crop for some of the frames.

    The object's sides are uniform between half of `largest` and `largest`; it appears at a random frame, stays for
    a quarter to three quarters of the clip (at least one frame, and never from the first frame on where there are
    others), and moves on a straight line through the crop.

    Args:
        clips: `Clips` of T frames each; their motion and light are kept.
        probability: of an object in a clip.
        largest: its largest side, as a fraction of the crop's.
        seed: of everything.

    Returns:
        `Clips`.

    Raises:
        ValueError: clips of different lengths, or a number out of bounds.
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
    return Clips(clips.frames, clips.indices, clips.names, clips.numbers, effects)


def smooth_paths(rng, count, length, speed):
    """(count, length) random paths in [-1, 1]: three waves each, of one, two and three times the speed."""
    periods = speed / 30 * np.array([1.0, 2.0, 3.0])
    weights = rng.dirichlet([2.0, 1.0, 1.0], count)
    phases = rng.uniform(0, 2 * np.pi, (count, 3))
    angle = 2 * np.pi * periods[:, None] * np.arange(length) + phases[..., None]
    return (weights[..., None] * np.sin(angle)).sum(1)
