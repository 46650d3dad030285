"""Clips: annotated frames of videos in their order, and batches of them.

A batch is `(images, {"landmarks": (B, T, K, 2), "weights": (B, T, K)})` with images (B, T, S, S, 3), made as
`kfacealign.data.pipeline` makes its batches of single faces: the same seed gives the same batch on every backend.

**One box a clip.** The attentive 1D-heatmap tracker adds up features of consecutive frames (Eq. 13), which must lie on
each other. Its paper only says that "a face is firstly cropped from the bounding box"; here all frames of a clip are cut
by one square, around the mean of the frames' landmark boxes. (The first frame's box would let a moving face leave the
crop. A union of boxes would make the faces of lively clips small.)
"""

import dataclasses

import keras
import numpy as np
from rich.progress import track

from kfacealign import geometry
from kfacealign.data import images as pixels
from kfacealign.data.crops import Crops
from kfacealign.data.faces import Dataset, Faces
from kfacealign.data.pipeline import FaceBatches, _tf_dataset


class Clips:
    """C clips, each some frames of a video in their order; no pixel is read.

    `clips[3]` is the `Faces` of one clip; `clips[10:20]`, `clips[indices]` and `clips[mask]` are `Clips`.

    Args:
        frames: `Faces`, the frames of all videos.
        indices: C sequences of T positions in `frames`. Videos may differ in length: `windows` cuts them to one.
        names: C short names; "clip 0" and so on when `None`.
        numbers: C sequences of the frames' numbers in their videos; 0, 1, 2 ... when `None`. `windows` keeps to runs
            without a gap.
        effects: what moves, lights or hides the frames' pixels, see `kfacealign.data.motion.Effects`; C by T.

    Attributes:
        indices: list of C int arrays.
        numbers: list of C int arrays.

    Raises:
        ValueError: an index that is no frame, an empty clip, or counts that disagree.
    """

    def __init__(self, frames, indices, names=None, numbers=None, effects=None):
        self.frames = frames
        self.indices = [np.asarray(clip, int).reshape(-1) for clip in indices]
        self.names = [f"clip {i}" for i in range(len(self.indices))] if names is None else [str(name) for name in names]
        if numbers is None:
            numbers = [np.arange(len(clip)) for clip in self.indices]
        self.numbers = [np.asarray(clip, int).reshape(-1) for clip in numbers]
        self.effects = effects
        if not len(self.names) == len(self.indices) == len(self.numbers):
            raise ValueError(f"{len(self.indices)} clips, but {len(self.names)} names and {len(self.numbers)} lists of numbers")
        for name, clip, counted in zip(self.names, self.indices, self.numbers):
            if not len(clip) or clip.min() < 0 or clip.max() >= len(frames):
                last = len(frames) - 1
                raise ValueError(f"{name}: a clip needs frames, by positions from 0 to {last}, got {clip.tolist()[:9]}")
            if len(clip) != len(counted):
                raise ValueError(f"{name}: {len(clip)} frames but {len(counted)} numbers")
        if effects is not None and effects.shape != (len(self), self.length):
            raise ValueError(f"effects for {effects.shape} clips and frames, expected {(len(self), self.length)}")

    @property
    def scheme(self):
        """The landmark scheme of all frames."""
        return self.frames.scheme

    @property
    def length(self):
        """T, or None where clips differ in length."""
        lengths = {len(clip) for clip in self.indices}
        return lengths.pop() if len(lengths) == 1 else None

    @property
    def faces(self):
        """`Faces` of all frames, clip after clip."""
        if not len(self):
            return self.frames[:0]
        return self.frames[np.concatenate(self.indices)]

    def __len__(self):
        return len(self.indices)

    def __getitem__(self, index):
        if isinstance(index, (int, np.integer)):
            return self.frames[self.indices[index]]
        index = index if isinstance(index, slice) or np.size(index) else slice(0)
        chosen = np.arange(len(self))[index]
        return Clips(
            self.frames,
            [self.indices[i] for i in chosen],
            [self.names[i] for i in chosen],
            [self.numbers[i] for i in chosen],
            None if self.effects is None else self.effects[chosen],
        )

    def __repr__(self):
        frames = f"{self.length}" if self.length else "different numbers of"
        return f"Clips({len(self):,} of {frames} frames, {self.scheme.name})"


@dataclasses.dataclass(repr=False)
class ClipsDataset(Dataset):
    """A `Dataset` whose parts are `Clips`; subsets are positions of clips in `test`."""

    def summary(self):
        """One line for people: the counts that were read."""
        parts = [f"{name} {len(indices):,}" for name, indices in self.subsets.items()]
        counts = " and ".join(
            f"{len(clips):,} {part} videos ({sum(map(len, clips.indices)):,} frames)"
            for part, clips in (("training", self.train), ("test", self.test))
        )
        return f"{self.name} ({self.scheme.name}): {counts}" + (f" ({', '.join(parts)})" if parts else "")


def windows(clips, length, step=None):
    """Cuts videos into clips of one length, for training.

    Args:
        clips: `Clips` of any lengths, without effects.
        length: T.
        step: frames from the start of a window to that of the next; T when `None`, so that none is in two.

    Returns:
        `Clips`. A window holds frames of one video that follow each other in it without a gap (by the video's smallest
        step from number to number); frames that fill no window are left out.

    Raises:
        ValueError: no video is that long, or the clips have effects, which belong to whole clips.
    """
    step = length if step is None else step
    if length < 1 or step < 1:
        raise ValueError(f"length is {length} and step {step}: both must be positive")
    if clips.effects is not None:
        raise ValueError("cut the videos into windows first, then give these effects")
    indices, names, numbers = [], [], []
    for name, clip, frame in zip(clips.names, clips.indices, clips.numbers):
        for run in _runs(frame):
            for start in range(run.start, run.stop - length + 1, step):
                part = slice(start, start + length)
                indices.append(clip[part])
                numbers.append(frame[part])
                names.append(f"{name}:{frame[start]}")
    if not indices:
        longest = max((len(clip) for clip in clips.indices), default=0)
        raise ValueError(f"no video has {length} frames in a row, the longest of {len(clips)} has {longest}")
    return Clips(clips.frames, indices, names, numbers)


def _runs(numbers):
    """Slices of the stretches without a gap."""
    steps = np.diff(numbers)
    breaks = np.flatnonzero(steps != steps.min()) + 1 if len(steps) else np.zeros(0, int)
    edges = [0, *breaks.tolist(), len(numbers)]
    return [slice(start, stop) for start, stop in zip(edges, edges[1:])]


class ClipCrops(Crops):
    """The crops of all frames of some clips, clip after clip; every frame of a clip is cut by the same square.

    Args:
        clips: `Clips` of T frames each.
        size, enlarge, cache, strict: as of `Crops`; `enlarge` multiplies the longer side of the clip's box.

    Raises:
        ValueError: the clips differ in length.
    """

    def __init__(self, clips, size, enlarge=1.25, cache="memory", strict=False):
        if clips.length is None:
            raise ValueError(f"{clips!r}: a batch needs clips of one length, cut them with windows(clips, length)")
        self.clips = clips
        super().__init__(clips.faces, size, enlarge, "landmarks", cache, strict)

    def read(self, progress=True):
        """Makes and keeps all crops, the frames of each video in their order: quicker by far than in a random order."""
        places = [pixels.split(path) for path in self.faces.images]
        order = sorted(range(len(self)), key=lambda i: (places[i][0], places[i][1] or 0))
        for start in track(range(0, len(order), 32), "reading videos", disable=not progress):
            self.batch(order[start : start + 32])

    def _box_matrices(self):
        boxes = geometry.landmark_box(self.faces.landmarks, self.faces.weights).astype("float64")
        boxes = boxes.reshape(len(self.clips), self.clips.length, 4).mean(1)
        squares = [geometry.square_box(box, self.enlarge) for box in boxes]
        matrices = np.stack([geometry.crop_matrix(square, self.size) for square in squares])
        matrices = np.repeat(matrices, self.clips.length, axis=0)
        if self.clips.effects is None:
            return matrices
        return self.clips.effects.move(matrices, self.size)

    def _cut(self, image, index):
        crop = super()._cut(image, index)
        if self.clips.effects is None:
            return crop
        return self.clips.effects.paint(crop, *divmod(index, self.clips.length))

    def _key(self):
        effects = "" if self.clips.effects is None else f"-{self.clips.effects.key()}"
        return f"{super()._key()}{effects}"


def clip_pipeline(
    clips,
    size,
    batch_size,
    views=None,
    shuffle=None,
    seed=0,
    enlarge=1.25,
    cache="memory",
    strict=False,
    epoch=0,
    drop_remainder=False,
):
    """Batches of clips for `fit`, `evaluate` and loops: a `tf.data.Dataset`, or `ClipBatches` on other backends.

    All frames of a clip get the same random view, drawn anew for every clip and epoch: one motion of the camera would
    otherwise be added to the face's own. Frames of video files are decoded once, in their order, before the first batch
    (unless `cache` is None, when a shuffled epoch decodes whole videos again and again).

    ```python
    videos = kfacealign.data.w300vw("300VW", every=2)
    clips = kfacealign.data.windows(videos.train, length=10)
    batches = kfacealign.data.clip_pipeline(clips, size=256, batch_size=1, views=kfacealign.data.RandomView())
    ```

    Args:
        clips: `Clips` of T frames each, or `ClipCrops` made of them, whose `enlarge`, `cache` and `strict` hold.
        size: side S of the crops in pixels.
        batch_size: B, in clips.
        views: a `RandomView`, or `None`.
        shuffle: whether each epoch has an order of its own; `None` takes that for wanted where there are views.
        seed: of orders and views.
        enlarge, cache, strict: see `ClipCrops`.
        epoch: the number of the first pass.
        drop_remainder: whether an incomplete last batch is left out.

    Returns:
        Batches `(images (B, T, S, S, 3), {"landmarks": (B, T, K, 2), "weights": (B, T, K)})` in crop coordinates.

    Raises:
        ValueError: clips of different lengths, no batch in them, or `ClipCrops` of another size.
    """
    batches = ClipBatches(clips, size, batch_size, views, shuffle, seed, enlarge, cache, strict, epoch, drop_remainder)
    images = batches.crops.faces.images
    if batches.crops.cache is not None and any(pixels.split(path)[0].lower().endswith(pixels.VIDEO_SUFFIXES) for path in images):
        batches.crops.read()
    if keras.config.backend() != "tensorflow":
        return batches
    length, points = batches.length, batches.crops.faces.scheme.num_points

    def by_clip(images, labels):
        import tensorflow as tf

        landmarks = tf.reshape(labels["landmarks"], (-1, length, points, 2))
        weights = tf.reshape(labels["weights"], (-1, length, points))
        return tf.reshape(images, (-1, length, size, size, 3)), {"landmarks": landmarks, "weights": weights}

    return _tf_dataset(batches).map(by_clip)


class ClipBatches(FaceBatches):
    """The batches of `clip_pipeline`, by their number, without TensorFlow; arguments as there, otherwise `FaceBatches`.

    Inside, a batch of B clips is a batch of B T faces that share the draws of their views in groups of T.
    """

    def __init__(
        self,
        clips,
        size,
        batch_size,
        views=None,
        shuffle=None,
        seed=0,
        enlarge=1.25,
        cache="memory",
        strict=False,
        epoch=0,
        drop_remainder=False,
        **kwargs,
    ):
        crops = clips if isinstance(clips, ClipCrops) else ClipCrops(clips, size, enlarge, cache, strict)
        self.length = crops.clips.length
        rows = int(batch_size) * self.length
        super().__init__(
            crops, size, rows, views, shuffle, seed, epoch=epoch, drop_remainder=drop_remainder, **kwargs
        )

    def __getitem__(self, number):
        images, labels = super().__getitem__(number)

        def by_clip(values):
            return values.reshape(-1, self.length, *values.shape[1:])

        return by_clip(images), {name: by_clip(values) for name, values in labels.items()}

    def plan(self, epoch):
        """The order (C T,) of the frames in an epoch, clip by clip, and the draws (C T, D) of their views."""
        planned = self._planned  # read once: loader threads may replace it
        if planned is None or planned[0] != epoch:
            generator, count = np.random.default_rng([self.seed, epoch]), len(self.crops) // self.length
            clips = generator.permutation(count) if self.shuffle else np.arange(count)
            order = (clips[:, None] * self.length + np.arange(self.length)).reshape(-1)
            draws = None
            if self.views is not None:
                draws = generator.random((count, self.views.draws_per_sample), "float32").repeat(self.length, axis=0)
            self._planned = planned = (epoch, order, draws)
        return planned[1:]
