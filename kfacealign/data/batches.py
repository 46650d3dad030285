"""Batches for training and evaluation: as a `tf.data.Dataset`, or as a `keras.utils.PyDataset` where TensorFlow is
absent.

Every batch is `(images, {"landmarks": (B, K, 2), "weights": (B, K)})`: images (B, S, S, 3), 0..255, uint8 without
views and float32 with them; landmarks in crop coordinates; attributes of the faces asked for with `labels` follow by
name, (B,) float32. What an epoch holds depends on `seed` and the epoch's
number alone: `default_rng([seed, epoch])` permutes the faces (with `shuffle`), then draws the numbers of the random
views, one row for each place in that order. So both kinds of batches are the same, and a run resumed with `epoch=k`
continues as if it had never stopped.
"""

import numpy as np

from kfacealign.backend import keras
from kfacealign.data.crops import Crops


def pipeline(
    faces,
    size,
    batch_size,
    views=None,
    shuffle=None,
    seed=0,
    enlarge=1.25,
    box="landmarks",
    cache="memory",
    strict=False,
    epoch=0,
    drop_remainder=False,
    labels=(),
    align="box",
):
    """Batches of face crops for `fit`, `evaluate` and loops.

    Under the TensorFlow backend this is a `tf.data.Dataset` that makes batches in the background; under any other it
    is `FaceBatches`. Each full pass over it is one epoch, numbered from `epoch` on.

    ```python
    crops = kfacealign.data.Crops(dataset.train, size=128)
    batches = kfacealign.data.pipeline(crops, size=128, batch_size=16, views=kfacealign.data.RandomView())
    model.fit(batches, epochs=60)
    print(crops.summary())  # how many photographs could not be read
    ```

    Args:
        faces: `Faces`, or `Crops` made of them, whose `enlarge`, `box`, `cache`, `strict` and `align` hold; keep the
            `Crops` to ask for its failures afterwards, or to share one cache.
        size: side S of the crops in pixels.
        batch_size: B.
        views: a `RandomView` that each batch goes through, or `None`.
        shuffle: whether each epoch has an order of its own; `None` takes that for wanted where there are views.
        seed: of orders and views.
        enlarge, box, cache, strict, align: see `Crops`.
        epoch: the number of the first pass.
        drop_remainder: whether an incomplete last batch is left out.
        labels: names of `faces.attributes` that go into the label dict, such as "unlabelled".

    Returns:
        A `tf.data.Dataset` of known cardinality, or `FaceBatches`.

    Raises:
        ValueError: if there is no batch in it, `faces` is `Crops` of another size, or the faces lack an attribute.
    """
    batches = FaceBatches(
        faces, size, batch_size, views, shuffle, seed, enlarge, box, cache, strict, epoch, drop_remainder, labels, align
    )
    return tf_dataset(batches) if keras.config.backend() == "tensorflow" else batches


class FaceBatches(keras.utils.PyDataset):
    """The batches of `pipeline`, by their number, without TensorFlow; the arguments are those of `pipeline`.

    Keras starts the next epoch through `on_epoch_begin` and `on_epoch_end`; in a loop of one's own, call these or set
    `epoch`. Give `fit` its `shuffle=False`: by default Keras reads the batches of a `PyDataset` in an unseeded order
    of its own.

    Attributes:
        crops: the `Crops` in use.
        epoch: the number of the pass that indexing refers to.
    """

    def __init__(
        self,
        faces,
        size,
        batch_size,
        views=None,
        shuffle=None,
        seed=0,
        enlarge=1.25,
        box="landmarks",
        cache="memory",
        strict=False,
        epoch=0,
        drop_remainder=False,
        labels=(),
        align="box",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.crops = faces if isinstance(faces, Crops) else Crops(faces, size, enlarge, box, cache, strict, align)
        if self.crops.size != size:
            raise ValueError(f"the crops are {self.crops.size} px, but size is {size}")
        self.batch_size, self.views, self.seed = int(batch_size), views, int(seed)
        self.shuffle = views is not None if shuffle is None else bool(shuffle)
        self.epoch, self.drop_remainder = int(epoch), bool(drop_remainder)
        self.labels = tuple(labels)
        attributes = self.crops.faces.attributes
        for name in self.labels:
            if name not in attributes:
                raise ValueError(f"the faces have no attribute {name!r}; they have {', '.join(attributes) or 'none'}")
        self._running, self._read = False, set()
        self._planned = None
        if not len(self):
            raise ValueError(f"{len(self.crops)} faces make no batch of {self.batch_size}")

    def __len__(self):
        return len(self.crops) // self.batch_size if self.drop_remainder else -(-len(self.crops) // self.batch_size)

    def __getitem__(self, number):
        if not 0 <= number < len(self):
            raise IndexError(f"batch {number} of {len(self)}")
        if self._running:
            self._read.add(number)
        order, draws = self.plan(self.epoch)
        rows = slice(number * self.batch_size, (number + 1) * self.batch_size)
        images, landmarks, weights = self.crops.batch(order[rows])
        if self.views is not None:
            seen = apply_views(self.views, self.crops.faces.scheme, images, landmarks, weights, draws[rows])
            images, landmarks, weights = (keras.ops.convert_to_numpy(value) for value in seen)
        return images, {
            "landmarks": landmarks,
            "weights": weights,
            **dict(zip(self.labels, self.extras(order[rows]), strict=True)),
        }

    def extras(self, indices):
        """The further labels of some faces, each (B,) float32."""
        return [self.crops.faces.attributes[name][indices].astype("float32") for name in self.labels]

    def plan(self, epoch):
        """The order (N,) of the faces in an epoch, and the draws (N, D) of their views (`None` without views)."""
        planned = self._planned  # read once: loader threads may replace it
        if planned is None or planned[0] != epoch:
            generator = np.random.default_rng([self.seed, epoch])
            order = generator.permutation(len(self.crops)) if self.shuffle else np.arange(len(self.crops))
            draws = None
            if self.views is not None:
                draws = generator.random((len(order), self.views.draws_per_sample), "float32")
            self._planned = planned = (epoch, order, draws)
        return planned[1:]

    def on_epoch_begin(self):
        self._running, self._read = True, set()

    def on_epoch_end(self):
        # Keras also calls this before the first epoch and after a look at one batch; only a full pass counts.
        if self._running and len(self._read) == len(self):
            self.epoch += 1
        self._running, self._read = False, set()


def apply_views(views, scheme, images, landmarks, weights, draws):
    """Random views of a batch: images (B, S, S, 3) float32, landmarks (B, K, 2), weights (B, K).

    The weights go with their landmarks: a mirrored view (its affine has a negative determinant) permutes them too.
    """
    images, landmarks, affine = views((images, landmarks), draws=draws)
    mirrored = affine[:, 0, 0] * affine[:, 1, 1] < affine[:, 0, 1] * affine[:, 1, 0]
    weights = keras.ops.convert_to_tensor(weights)
    weights = keras.ops.where(mirrored[:, None], keras.ops.take(weights, list(scheme.mirror), axis=1), weights)
    return images, landmarks, weights


def tf_dataset(batches):
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
            batches.epoch = int(epoch) + 1  # a pass given up before its last batch is no epoch
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
        return *apply_views(views, crops.faces.scheme, images, landmarks, weights, draws), *extras

    def labelled(images, landmarks, weights, *extras):
        return images, {"landmarks": landmarks, "weights": weights, **dict(zip(batches.labels, extras, strict=True))}

    dataset = tf.data.Dataset.range(1).flat_map(one_pass).map(crop)
    if views is not None:
        # Crops are made while the views of earlier batches are; one call at a time takes every core already.
        dataset = dataset.prefetch(2).map(view, num_parallel_calls=2, deterministic=True)
    dataset = dataset.map(labelled).apply(tf.data.experimental.assert_cardinality(len(batches))).prefetch(4)
    options = tf.data.Options()
    # Keras makes an iterator at an epoch's end which it never reads; it must not start a pass.
    options.experimental_warm_start = False
    return dataset.with_options(options)
