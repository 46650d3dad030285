"""Clips: annotated frames of videos in their order; no pixel is read here."""

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np

from kfacealign import schemes
from kfacealign.console import shown
from kfacealign.data.effects import Effects
from kfacealign.data.faces import Dataset, Faces


class Clips:
    """C clips, each of them some frames of a video in their order; no pixel is read.

    `clips[3]` is the `Faces` of one clip; `clips[10:20]`, `clips[indices]` and `clips[mask]` are `Clips`.

    Args:
        frames: the frames of all videos.
        indices: C sequences of T positions in `frames`. Videos may differ in length; `windows` cuts them to one length.
        names: C short names. None names them "clip 0" and so on.
        numbers: C sequences of the frames' numbers in their videos, by which `windows` finds gaps. None numbers the frames
            0, 1, 2 and so on.
        effects: what moves, lights or hides the pixels of the C by T frames.

    Attributes:
        indices: list of C int arrays.
        numbers: list of C int arrays.

    Raises:
        ValueError: an index belongs to no frame, a clip is empty, or counts disagree.
    """

    def __init__(
        self,
        frames: Faces,
        indices: Sequence[Sequence[int]] | np.ndarray,
        *,
        names: Sequence[str] | None = None,
        numbers: Sequence[Sequence[int]] | None = None,
        effects: Effects | None = None,
    ):
        self.frames = frames
        self.indices = [np.asarray(clip, int).reshape(-1) for clip in indices]
        self.names = [f"clip {i}" for i in range(len(self.indices))] if names is None else [shown(str(name)) for name in names]
        if numbers is None:
            numbers = [np.arange(len(clip)) for clip in self.indices]
        self.numbers = [np.asarray(clip, int).reshape(-1) for clip in numbers]
        self.effects = effects
        if not len(self.names) == len(self.indices) == len(self.numbers):
            raise ValueError(f"{len(self.indices)} clips, but {len(self.names)} names and {len(self.numbers)} lists of numbers")
        for name, clip, counted in zip(self.names, self.indices, self.numbers, strict=True):
            if not len(clip) or clip.min() < 0 or clip.max() >= len(frames):
                last = len(frames) - 1
                raise ValueError(f"{name}: a clip needs frames, by positions from 0 to {last}, got {clip.tolist()[:9]}")
            if len(clip) != len(counted):
                raise ValueError(f"{name}: {len(clip)} frames but {len(counted)} numbers")
        if effects is not None and effects.shape != (len(self), self.length):
            raise ValueError(f"effects for {effects.shape} clips and frames, expected {(len(self), self.length)}")

    @property
    def scheme(self) -> schemes.Scheme:
        """The landmark scheme of all frames."""
        return self.frames.scheme

    @property
    def length(self) -> int | None:
        """T, or None where clips differ in length."""
        lengths = {len(clip) for clip in self.indices}
        return lengths.pop() if len(lengths) == 1 else None

    @property
    def faces(self) -> Faces:
        """`Faces` of all frames, clip after clip."""
        if not len(self):
            return self.frames[:0]
        return self.frames[np.concatenate(self.indices)]

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int | slice | Sequence | np.ndarray) -> "Faces | Clips":
        if isinstance(index, (int, np.integer)):
            return self.frames[self.indices[index]]
        index = index if isinstance(index, slice) or np.size(index) else slice(0)
        chosen = np.arange(len(self))[index]
        return Clips(
            self.frames,
            [self.indices[i] for i in chosen],
            names=[self.names[i] for i in chosen],
            numbers=[self.numbers[i] for i in chosen],
            effects=None if self.effects is None else self.effects[chosen],
        )

    def __repr__(self):
        frames = f"{self.length}" if self.length else "different numbers of"
        return f"Clips({len(self):,} of {frames} frames, {self.scheme.name})"


@dataclasses.dataclass(kw_only=True, repr=False)
class ClipsDataset(Dataset):
    """A `Dataset` whose parts are `Clips`; its subsets are positions of clips in `test`."""

    train: Clips
    test: Clips

    def summary(self) -> str:
        """One line for people: the counts that were read."""
        parts = [f"{name} {len(indices):,}" for name, indices in self.subsets.items()]
        counts = " and ".join(
            f"{len(clips):,} {part} videos ({sum(map(len, clips.indices)):,} frames)"
            for part, clips in (("training", self.train), ("test", self.test))
        )
        return f"{self.name} ({self.scheme.name}): {counts}" + (f" ({', '.join(parts)})" if parts else "")


def windows(clips: Clips, length: int, *, step: int | None = None) -> Clips:
    """Cuts videos into clips of one length, for training.

    Args:
        clips: `Clips` of any lengths, without effects.
        length: T.
        step: frames from the start of one window to the start of the next. None takes T, so that no frame is in two windows.

    Returns:
        `Clips`. A window holds frames of one video that follow each other without a gap: their numbers grow by the smallest
        step that occurs in the video. Frames that fill no window are left out.

    Raises:
        ValueError: no video is that long, a number is not positive, or the clips have effects, which belong to whole clips.
    """
    step = length if step is None else step
    if length < 1 or step < 1:
        raise ValueError(f"length is {length} and step {step}: both must be positive")
    if clips.effects is not None:
        raise ValueError("cut the videos into windows first, then give these effects")
    indices, names, numbers = [], [], []
    for name, clip, frame in zip(clips.names, clips.indices, clips.numbers, strict=True):
        for run in _runs(frame):
            for start in range(run.start, run.stop - length + 1, step):
                part = slice(start, start + length)
                indices.append(clip[part])
                numbers.append(frame[part])
                names.append(f"{name}:{frame[start]}")
    if not indices:
        longest = max((len(clip) for clip in clips.indices), default=0)
        raise ValueError(f"no video has {length} frames in a row, the longest of {len(clips)} has {longest}")
    return Clips(clips.frames, indices, names=names, numbers=numbers)


def _runs(numbers):
    """Slices of the stretches that have no gap."""
    steps = np.diff(numbers)
    breaks = np.flatnonzero(steps != steps.min()) + 1 if len(steps) else np.zeros(0, int)
    edges = [0, *breaks.tolist(), len(numbers)]
    return [slice(start, stop) for start, stop in itertools.pairwise(edges)]
