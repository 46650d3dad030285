"""Batches for training and evaluation: a `tf.data.Dataset` under TensorFlow, a `keras.utils.PyDataset` under other backends.

Every batch is `(images, {"landmarks": (B, K, 2), "weights": (B, K)})`. The images are (B, S, S, 3), 0..255, uint8 without
views and float32 with them; the landmarks are in crop coordinates. Attributes of the faces that `labels` names follow under
their names, each (B,) float32.

What an epoch holds depends on `seed` and the number of the epoch alone: `default_rng([seed, epoch])` permutes the faces
(with `shuffle`), then draws the numbers of the random views, one row for each place in that order. So both kinds of batches
are the same, and a run that is resumed with `epoch=k` continues as if it had never stopped.
"""

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kfacealign import schemes
from kfacealign.backend import keras
from kfacealign.data.crops import Crops
from kfacealign.data.faces import Faces
from kfacealign.data.views import RandomView

if TYPE_CHECKING:
    import tensorflow as tf

READ = 64  # photographs that `read_strictly` reads at a time


class FaceBatches(keras.utils.PyDataset):
    """The batches of `pipeline`, read by their number, without TensorFlow.

    The arguments are those of `pipeline`, which explains them. To load batches in the background, set `workers` on the
    object, as on every `PyDataset`.

    Keras starts the next epoch through `on_epoch_begin` and `on_epoch_end`; in a loop of one's own, call these or set
    `epoch`. Give `fit` the argument `shuffle=False`: by default Keras reads the batches of a `PyDataset` in an order of its
    own that no seed decides.

    Attributes:
        crops: the `Crops` in use.
        epoch: the number of the pass that indexing refers to.
    """

    crop = Crops  # the class that cuts what is no crop yet
    length = 1  # crops that are batched as one: the frames of a clip, or the one crop of a face

    # This is the one place where the signature stands; `pipeline` and the batches of clips pass their arguments on to it.
    def __init__(
        self,
        faces: Faces | Crops,
        *,
        size: int,
        batch_size: int,
        views: RandomView | None = None,
        shuffle: bool | None = None,
        seed: int = 0,
        epoch: int = 0,
        drop_remainder: bool = False,
        labels: Sequence[str] = (),
        **cropping: Any,
    ):
        super().__init__()
        if isinstance(faces, self.crop) and cropping:
            raise TypeError(f"the crops are made already: give {', '.join(cropping)} to {self.crop.__name__}")
        self.crops = faces if isinstance(faces, self.crop) else self.crop(faces, size, **cropping)
        if self.crops.size != size:
            raise ValueError(f"the crops are {self.crops.size} px, but size is {size}")
        self.batch_size, self.views, self.seed = int(batch_size) * self.length, views, int(seed)
        self.shuffle = views is not None if shuffle is None else bool(shuffle)
        self.epoch, self.drop_remainder = int(epoch), bool(drop_remainder)
        self.labels = tuple(labels)
        attributes = self.crops.faces.attributes
        for name in self.labels:
            if name not in attributes:
                raise ValueError(f"the faces have no attribute {name!r}; they have {', '.join(attributes) or 'none'}")
        check_mirror(views, self.crops.faces.scheme)
        self._running, self._read = False, set()
        self._planned = None
        if not len(self):
            raise ValueError(f"{len(self.crops)} faces make no batch of {self.batch_size}")

    def __len__(self) -> int:
        return len(self.crops) // self.batch_size if self.drop_remainder else -(-len(self.crops) // self.batch_size)

    def __getitem__(self, number: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        if not 0 <= number < len(self):
            raise IndexError(f"batch {number} of {len(self)}")
        if self._running:
            self._read.add(number)
        order, draws = self.plan(self.epoch)
        rows = slice(number * self.batch_size, (number + 1) * self.batch_size)
        images, landmarks, weights = self.crops.batch(order[rows])
        if self.views is not None:
            seen = apply_views(self.views, self.crops.faces.scheme, images, landmarks, weights, draws=draws[rows])
            images, landmarks, weights = (keras.ops.convert_to_numpy(value) for value in seen)
        return images, {
            "landmarks": landmarks,
            "weights": weights,
            **dict(zip(self.labels, self.extras(order[rows]), strict=True)),
        }

    def extras(self, indices: np.ndarray) -> list[np.ndarray]:
        """The further labels of the faces at these positions, each (B,) float32."""
        return [self.crops.faces.attributes[name][indices].astype("float32") for name in self.labels]

    def plan(self, epoch: int) -> tuple[np.ndarray, np.ndarray | None]:
        """What an epoch holds.

        Returns:
            The order (N,) of the crops, and the draws (N, D) of their views, None without views. Crops that are batched as
            one stay together and share their draws.
        """
        planned = self._planned  # read once: loader threads may replace it
        if planned is None or planned[0] != epoch:
            generator, count = np.random.default_rng([self.seed, epoch]), len(self.crops) // self.length
            chosen = generator.permutation(count) if self.shuffle else np.arange(count)
            order = (chosen[:, None] * self.length + np.arange(self.length)).reshape(-1)
            draws = None
            if self.views is not None:
                draws = generator.random((count, self.views.draws_per_sample), "float32").repeat(self.length, axis=0)
            self._planned = planned = (epoch, order, draws)
        return planned[1:]

    def on_epoch_begin(self) -> None:
        """Starts to count which batches are read."""
        self._running, self._read = True, set()

    def on_epoch_end(self) -> None:
        """Goes on to the next epoch if every batch of this one was read."""
        # Keras also calls this before the first epoch and after a look at one batch; only a full pass counts.
        if self._running and len(self._read) == len(self):
            self.epoch += 1
        self._running, self._read = False, set()


def pipeline(faces: Faces | Crops, *, size: int, batch_size: int, **options: Any) -> "tf.data.Dataset | FaceBatches":
    """Batches of face crops for `fit`, `evaluate` and loops.

    Under the TensorFlow backend this is a `tf.data.Dataset` that makes batches in the background; under any other backend
    it is `FaceBatches`. Each full pass over it is one epoch, numbered from `epoch` on.

    ```python
    crops = kfacealign.data.Crops(dataset.train, size=128)
    batches = kfacealign.data.pipeline(crops, size=128, batch_size=16, views=kfacealign.data.RandomView())
    model.fit(batches, epochs=60)
    print(crops.summary())  # how many photographs could not be read
    ```

    Args:
        faces: `Faces`, or `Crops` that were made of them. Keep the `Crops` to ask for its failures afterwards, or to share
            one cache.
        size: side S of the crops in pixels.
        batch_size: B.
        views: a `RandomView` that each batch goes through, or None.
        shuffle: whether each epoch has an order of its own. None shuffles where there are views.
        seed: the seed of orders and views, 0 by default.
        epoch: the number of the first pass, 0 by default.
        drop_remainder: whether an incomplete last batch is left out.
        labels: names of `faces.attributes` that go into the label dict, such as "unlabelled".
        enlarge: see `Crops`, as for `box`, `cache`, `strict` and `align`, which are accepted too. None of the five may be
            given where `faces` is `Crops` already.

    Returns:
        A `tf.data.Dataset` of known cardinality, or `FaceBatches`.

    Raises:
        TypeError: an argument is unknown, or `faces` is `Crops` and an argument says how to crop.
        ValueError: there is not one batch, `faces` is `Crops` of another size, the faces lack an attribute, or, with
            `strict`, a photograph cannot be read; the message names it.
    """
    batches = FaceBatches(faces, size=size, batch_size=batch_size, **options)
    read_strictly(batches.crops)
    return tf_dataset(batches) if keras.config.backend() == "tensorflow" else batches


# What `help` shows of `pipeline`: every argument with its hint and its default.
pipeline.__signature__ = inspect.signature(FaceBatches).replace(return_annotation=pipeline.__annotations__["return"])
pipeline.__annotations__ = {**FaceBatches.__init__.__annotations__, **pipeline.__annotations__}


def read_strictly(crops: Crops) -> None:
    """Reads every photograph of strict crops once, so that one that cannot be read raises here.

    Later it would raise in a thread of `tf.data`, which turns it into an error of TensorFlow's and may never end.

    Raises:
        ValueError: a photograph cannot be read; the message names it.
    """
    if crops.strict and not crops.checked:
        for start in range(0, len(crops), READ):
            crops.batch(np.arange(start, min(start + READ, len(crops))))
        crops.checked = True


def check_mirror(views: RandomView | None, scheme: schemes.Scheme) -> None:
    """Refuses views that exchange the points of a mirrored face otherwise than its scheme says.

    Raises:
        ValueError: they do, as views without a scheme may where the faces have points of one's own.
    """
    if isinstance(views, RandomView) and views.flip and tuple(views.mirror(scheme.num_points)) != tuple(scheme.mirror):
        raise ValueError(
            f"the views exchange other points in a mirror than {scheme.name} does: give RandomView scheme=faces.scheme"
        )


def apply_views(
    views: RandomView, scheme: schemes.Scheme, images: Any, landmarks: Any, weights: Any, *, draws: Any
) -> tuple[Any, Any, Any]:
    """Random views of a batch.

    The weights go with their landmarks: a mirrored view, whose affine map has a negative determinant, permutes them too.

    Args:
        views: the layer.
        scheme: landmark scheme of K points.
        images: (B, S, S, 3), 0..255.
        landmarks: (B, K, 2), crop coordinates.
        weights: (B, K).
        draws: (B, `views.draws_per_sample`), uniform in [0, 1).

    Returns:
        Tensors: images (B, S, S, 3) float32, landmarks (B, K, 2) in coordinates of the view, weights (B, K).
    """
    images, landmarks, affine = views((images, landmarks), draws=draws)
    mirrored = affine[:, 0, 0] * affine[:, 1, 1] < affine[:, 0, 1] * affine[:, 1, 0]
    weights = keras.ops.convert_to_tensor(weights)
    weights = keras.ops.where(mirrored[:, None], keras.ops.take(weights, list(scheme.mirror), axis=1), weights)
    return images, landmarks, weights


def tf_dataset(batches: FaceBatches) -> "tf.data.Dataset":
    """`FaceBatches` as a `tf.data.Dataset`: Python hands out crops, everything after them is a graph."""
    import tensorflow as tf

    crops, views = batches.crops, batches.views
    points, size = crops.faces.scheme.num_points, crops.size
    rows = batches.batch_size if batches.drop_remainder or len(crops) % batches.batch_size == 0 else None
    shapes = [(rows, size, size, 3), (rows, points, 2), (rows, points), *[(rows,) for _ in batches.labels]]
    dtypes = [tf.uint8, tf.float32, tf.float32, *[tf.float32 for _ in batches.labels]]
    if views is not None:
        shapes.append((rows, views.draws_per_sample))
        dtypes.append(tf.float32)

    def begin_pass():
        return np.int64(batches.epoch)

    def read(epoch, number):
        if number == len(batches) - 1:
            batches.epoch = int(epoch) + 1  # a pass that is given up before its last batch is no epoch
        order, draws = batches.plan(int(epoch))
        place = slice(number * batches.batch_size, (number + 1) * batches.batch_size)
        batch = (*crops.batch(order[place]), *batches.extras(order[place]))
        return batch if views is None else (*batch, draws[place])

    def one_pass(_):
        epoch = tf.numpy_function(begin_pass, [], tf.int64)
        return tf.data.Dataset.range(len(batches)).map(lambda number: (epoch, number))

    def crop(epoch, number):
        batch = tf.numpy_function(read, [epoch, number], dtypes)
        return tuple(tf.ensure_shape(value, shape) for value, shape in zip(batch, shapes, strict=True))

    def view(images, landmarks, weights, *rest):
        *extras, draws = rest
        return *apply_views(views, crops.faces.scheme, images, landmarks, weights, draws=draws), *extras

    def labelled(images, landmarks, weights, *extras):
        return images, {"landmarks": landmarks, "weights": weights, **dict(zip(batches.labels, extras, strict=True))}

    dataset = tf.data.Dataset.range(1).flat_map(one_pass).map(crop)
    if views is not None:
        # Crops are made while the views of earlier batches are; one call at a time takes every core already.
        dataset = dataset.prefetch(2).map(view, num_parallel_calls=2, deterministic=True)
    dataset = dataset.map(labelled).apply(tf.data.experimental.assert_cardinality(len(batches))).prefetch(4)
    options = tf.data.Options()
    # At the end of an epoch Keras makes an iterator that it never reads; it must not start a pass.
    options.experimental_warm_start = False
    return dataset.with_options(options)
