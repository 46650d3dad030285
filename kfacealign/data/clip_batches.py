"""Batches of clips.

A batch is `(images, {"landmarks": (B, T, K, 2), "weights": (B, T, K)})` with images (B, T, S, S, 3). It is made as
`kfacealign.data.pipeline` makes its batches of single faces: the same seed gives the same batch on every backend.

**One box for each clip.** The attentive 1D-heatmap tracker adds up features of consecutive frames (Eq. 13), which must lie
on each other. Its paper only says that "a face is firstly cropped from the bounding box". Here one square cuts all frames of
a clip; it lies around the mean of the frames' landmark boxes. The first frame's box would let a moving face leave the crop,
and a union of boxes would make the faces of lively clips small.
"""

import os
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.progress import track

from kfacealign import geometry
from kfacealign.backend import keras
from kfacealign.data import images as pixels
from kfacealign.data.batches import FaceBatches, read_strictly, tf_dataset
from kfacealign.data.clips import Clips
from kfacealign.data.crops import Crops

if TYPE_CHECKING:
    import tensorflow as tf


class ClipCrops(Crops):
    """The crops of all frames of some clips, clip after clip; one square cuts every frame of a clip.

    Args:
        clips: `Clips` of T frames each.
        size: side S of the crops in pixels.
        enlarge: side of the square over the longer side of the clip's box.
        cache: see `Crops`.
        strict: see `Crops`.

    Raises:
        ValueError: the clips differ in length.
    """

    def __init__(
        self, clips: Clips, size: int, *, enlarge: float = 1.25, cache: str | os.PathLike | None = "memory", strict: bool = False
    ):
        if clips.length is None:
            raise ValueError(f"{clips!r}: a batch needs clips of one length, cut them with windows(clips, length)")
        self.clips = clips
        super().__init__(clips.faces, size, enlarge=enlarge, cache=cache, strict=strict)

    def read(self, *, progress: bool = True) -> None:
        """Makes and keeps all crops, the frames of each video in their order, which is far quicker than a random order."""
        places = [pixels.split(path) for path in self.faces.images]
        order = sorted(range(len(self)), key=lambda i: (places[i][0], places[i][1] or 0))
        for start in track(range(0, len(order), 32), "reading videos", disable=not progress):
            self.batch(order[start : start + 32])

    def _box_matrices(self):
        boxes = geometry.landmark_box(self.faces.landmarks, weights=self.faces.weights).astype("float64")
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


class ClipBatches(FaceBatches):
    """The batches of `clip_pipeline`, read by their number, without TensorFlow; otherwise it is `FaceBatches`.

    The arguments are those of `clip_pipeline`. Inside, a batch of B clips is a batch of B T faces that share the draws of
    their views in groups of T.
    """

    crop = ClipCrops

    @property
    def length(self) -> int:
        """T."""
        return self.crops.clips.length

    def __getitem__(self, number: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        images, labels = super().__getitem__(number)

        def by_clip(values):
            return values.reshape(-1, self.length, *values.shape[1:])

        return keras.tree.map_structure(by_clip, images), {name: by_clip(values) for name, values in labels.items()}


def clip_pipeline(clips: Clips | ClipCrops, *, size: int, batch_size: int, **options: Any) -> "tf.data.Dataset | ClipBatches":
    """Batches of clips for `fit`, `evaluate` and loops: a `tf.data.Dataset`, or `ClipBatches` under other backends.

    All frames of a clip get the same random view, which is drawn anew for every clip and epoch; different views would add
    a motion of the camera to the face's own. Frames of video files are decoded once, in their order, before the first batch.
    With `cache=None` they are not kept, and a shuffled epoch decodes whole videos again and again.

    ```python
    videos = kfacealign.data.w300vw("300VW", every=2)
    clips = kfacealign.data.windows(videos.train, length=10)
    batches = kfacealign.data.clip_pipeline(clips, size=256, batch_size=1, views=kfacealign.data.RandomView())
    ```

    Args:
        clips: `Clips` of T frames each, or `ClipCrops` that were made of them.
        size: side S of the crops in pixels.
        batch_size: B, in clips.
        options: `views`, `views_on`, `shuffle`, `seed`, `epoch`, `drop_remainder`, `labels` and `repeats` as for `pipeline`;
            also `enlarge`, `cache` and `strict` as for `ClipCrops`, unless `clips` is `ClipCrops` already.

    Returns:
        Batches `(images (B, T, S, S, 3), {"landmarks": (B, T, K, 2), "weights": (B, T, K)})` in crop coordinates.

    Raises:
        TypeError: an argument is unknown, or `clips` is `ClipCrops` and an argument says how to crop.
        ValueError: the clips differ in length, there is not one batch, `clips` is `ClipCrops` of another size, or, with
            `strict`, a frame cannot be read.
    """
    batches = ClipBatches(clips, size=size, batch_size=batch_size, **options)
    images = batches.crops.faces.images
    if batches.crops.cache is not None and any(pixels.split(path)[0].lower().endswith(pixels.VIDEO_SUFFIXES) for path in images):
        batches.crops.read()
    read_strictly(batches.crops)
    if keras.config.backend() != "tensorflow":
        return batches

    def by_clip(images, labels):
        import tensorflow as tf

        def split(values):
            return tf.reshape(values, (-1, batches.length, *values.shape[1:]))

        return keras.tree.map_structure(split, images), {name: split(values) for name, values in labels.items()}

    return tf_dataset(batches).map(by_clip)
