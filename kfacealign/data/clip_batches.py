"""Batches of clips.

A batch is `(images, {"landmarks": (B, T, K, 2), "weights": (B, T, K)})` with images (B, T, S, S, 3), made as
`kfacealign.data.pipeline` makes its batches of single faces: the same seed gives the same batch on every backend.

**One box a clip.** The attentive 1D-heatmap tracker adds up features of consecutive frames (Eq. 13), which must lie on
each other. Its paper only says that "a face is firstly cropped from the bounding box"; here all frames of a clip are cut
by one square, around the mean of the frames' landmark boxes. (The first frame's box would let a moving face leave the
crop. A union of boxes would make the faces of lively clips small.)
"""

import numpy as np
from rich.progress import track

from kfacealign import geometry
from kfacealign.backend import keras
from kfacealign.data import images as pixels
from kfacealign.data.batches import FaceBatches, tf_dataset
from kfacealign.data.crops import Crops


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

    return tf_dataset(batches).map(by_clip)


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
        super().__init__(crops, size, rows, views, shuffle, seed, epoch=epoch, drop_remainder=drop_remainder, **kwargs)

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
