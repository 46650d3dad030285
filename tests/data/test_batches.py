import inspect
import itertools

import cv2
import keras
import numpy as np
import pytest

from kfacealign.data.batches import FaceBatches, apply_views, pipeline
from kfacealign.data.crops import Crops
from kfacealign.data.faces import Faces
from kfacealign.data.views import RandomView

SIZE = 32
ON_TENSORFLOW = keras.config.backend() == "tensorflow"


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    root, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(1)
    images = [str(root / f"{i}.png") for i in range(11)]
    for path in images:
        cv2.imwrite(path, cv2.resize(rng.integers(0, 256, (10, 10, 3), "uint8"), (90, 90)))
    weights = np.ones((11, 68))
    weights[:, 20:40] = 0
    return Faces("ibug68", images, rng.uniform(10, 80, (11, 68, 2)), weights=weights)


def view():
    return RandomView(scheme="ibug68", color=(0.6, 1.4), scale=(0.85, 1.15))


def passes(batches, count):
    """`count` passes over either kind of batches, as NumPy."""
    read = []
    for _ in range(count):
        if isinstance(batches, FaceBatches):
            batches.on_epoch_begin()
            epoch = [batches[i] for i in range(len(batches))]
            batches.on_epoch_end()
        else:
            epoch = list(batches.as_numpy_iterator())
        read.append([(np.asarray(x), np.asarray(y["landmarks"]), np.asarray(y["weights"])) for x, y in epoch])
    return read


def assert_same(first, second, tolerance=0.0):
    assert [len(epoch) for epoch in first] == [len(epoch) for epoch in second]
    for one, other in zip(itertools.chain(*first), itertools.chain(*second), strict=True):
        for a, b in zip(one, other, strict=True):
            assert a.dtype == b.dtype and a.shape == b.shape
            np.testing.assert_allclose(a, b, rtol=0, atol=tolerance)


def make(kind, faces, **arguments):
    return (pipeline if kind == "pipeline" else FaceBatches)(faces, size=SIZE, batch_size=4, **arguments)


@pytest.mark.parametrize("kind", ["pipeline", "FaceBatches"])
def test_plain_batches(faces, kind):
    (epoch,) = passes(make(kind, faces), 1)
    assert [len(batch[0]) for batch in epoch] == [4, 4, 3]
    crops = Crops(faces, SIZE)
    images, landmarks, weights = crops.batch(range(11))
    assert epoch[0][0].dtype == np.uint8
    np.testing.assert_array_equal(np.concatenate([batch[0] for batch in epoch]), images)
    np.testing.assert_array_equal(np.concatenate([batch[1] for batch in epoch]), landmarks)
    np.testing.assert_array_equal(np.concatenate([batch[2] for batch in epoch]), weights)


def test_both_kinds_give_the_same_batches(faces):
    shuffled = dict(shuffle=True, seed=5)
    assert_same(
        passes(pipeline(faces, size=SIZE, batch_size=4, **shuffled), 2),
        passes(FaceBatches(faces, size=SIZE, batch_size=4, **shuffled), 2),
    )
    viewed = dict(views=view(), shuffle=True, seed=5)
    first, second = (passes(kind(faces[:8], size=SIZE, batch_size=4, **viewed), 2) for kind in (pipeline, FaceBatches))
    assert first[0][0][0].dtype == np.float32 and first[0][0][0].max() <= 255
    assert_same(first, second, tolerance=0.02)


@pytest.mark.parametrize("kind", ["pipeline", "FaceBatches"])
def test_seed_and_epochs(faces, kind):
    arguments = dict(views=view(), shuffle=True)
    run = passes(make(kind, faces[:8], seed=2, **arguments), 3)
    assert_same(run[1:], passes(make(kind, faces[:8], seed=2, epoch=1, **arguments), 2), 1e-3)  # resumed
    assert np.abs(run[0][0][1] - run[1][0][1]).max() > 0.01
    assert np.abs(run[0][0][1] - passes(make(kind, faces[:8], seed=3, **arguments), 1)[0][0][1]).max() > 0.01


@pytest.mark.parametrize("kind", ["pipeline", "FaceBatches"])
def test_every_epoch_holds_every_face_once(faces, kind):
    for epoch in passes(make(kind, faces, shuffle=True), 3):
        landmarks = np.concatenate([batch[1] for batch in epoch])
        order = np.abs(landmarks[:, None] - Crops(faces, SIZE).landmarks[None]).max((2, 3)).argmin(1)
        assert sorted(order) == list(range(11)) and list(order) != list(range(11))


def test_shapes_are_known_to_keras(faces):
    batches = pipeline(faces, size=SIZE, batch_size=4, views=view())
    full = pipeline(faces, size=SIZE, batch_size=4, drop_remainder=True)
    if ON_TENSORFLOW:
        images, labels = batches.element_spec
        assert images.shape == (None, SIZE, SIZE, 3)
        assert labels["landmarks"].shape == (None, 68, 2) and labels["weights"].shape == (None, 68)
        assert full.element_spec[0].shape == (4, SIZE, SIZE, 3)
        assert pipeline(faces[:8], size=SIZE, batch_size=4).element_spec[0].shape == (4, SIZE, SIZE, 3)
        assert int(batches.cardinality()) == 3 and int(full.cardinality()) == 2
    assert [len(batch[0]) for batch in passes(full, 1)[0]] == [4, 4]


class Recorder(keras.Model):
    """Remembers the batches that `fit` shows it."""

    def __init__(self):
        super().__init__()
        self.scale = self.add_weight(shape=(), initializer="ones")
        self.seen = []

    def call(self, images):
        return self.scale * keras.ops.mean(keras.ops.cast(images, "float32"))

    def train_on(self, landmarks):
        self.seen.append(keras.ops.convert_to_numpy(landmarks))

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        self.train_on(y["landmarks"])
        return 0.0 * y_pred


@pytest.mark.parametrize("kind", ["pipeline", "FaceBatches"])
def test_fit_counts_its_epochs(faces, kind):
    """Keras peeks, resets and makes spare iterators; the epochs it trains on are 0, 1, 2 all the same."""
    arguments = dict(shuffle=True, seed=9)
    model = Recorder()
    model.compile("sgd", run_eagerly=True)
    batches = make(kind, faces, **arguments)
    model.fit(batches, validation_data=pipeline(faces, size=SIZE, batch_size=4), epochs=3, shuffle=False, verbose=0)
    expected = passes(FaceBatches(faces, size=SIZE, batch_size=4, **arguments), 3)
    plain = passes(FaceBatches(faces, size=SIZE, batch_size=4), 1)
    wanted = [batch[1] for epoch in expected for batch in epoch + plain[0]]
    assert len(model.seen) == len(wanted) == 18
    for seen, want in zip(model.seen, wanted, strict=True):
        np.testing.assert_array_equal(seen, want)


def test_a_mirrored_view_takes_the_weights_along(faces):
    crops = Crops(faces, SIZE)
    weights = np.random.default_rng(0).random((11, 68)).astype("float32")
    images, landmarks, _ = crops.batch(range(11))
    still = dict(translation=0.0, rotation=0.0, blur=0.0, occlusion=0.0)
    for flip in (0.0, 1.0):
        layer = RandomView(scheme="ibug68", flip=flip, **still)
        draws = np.random.default_rng(1).random((11, layer.draws_per_sample), "float32")
        _, moved, carried = apply_views(layer, faces.scheme, images, landmarks, weights, draws=draws)
        order = list(faces.scheme.mirror) if flip else list(range(68))
        np.testing.assert_allclose(keras.ops.convert_to_numpy(carried), weights[:, order])
        want = landmarks[:, order] * [-1, 1] + [1, 0] if flip else landmarks
        np.testing.assert_allclose(keras.ops.convert_to_numpy(moved), want, atol=1e-5)


def test_an_unreadable_photograph_costs_one_face(faces, tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8\xff no photograph")
    images = [*faces.images[:6], str(tmp_path / "bad.jpg"), *faces.images[7:]]
    crops = Crops(Faces("ibug68", images, faces.landmarks), SIZE)
    with pytest.warns(UserWarning, match="bad.jpg"):
        (epoch,) = passes(pipeline(crops, size=SIZE, batch_size=4), 1)
    weights = np.concatenate([batch[2] for batch in epoch])
    assert np.flatnonzero(~weights.any(1)).tolist() == [6] and len(crops.failures) == 1
    # Before a thread of TensorFlow reads it: there it would become another error, and might never end.
    with pytest.raises(ValueError, match=r"^\S+bad.jpg: cannot be read \(.*damaged"):
        pipeline(crops.faces, size=SIZE, batch_size=4, strict=True)


def test_strict_crops_are_read_once_before_the_first_batch(faces, monkeypatch):
    crops, read = Crops(faces, SIZE, strict=True), []
    original = crops._make
    monkeypatch.setattr(crops, "_make", lambda index, out: (read.append(index), original(index, out)))
    batches = pipeline(crops, size=SIZE, batch_size=4)
    assert sorted(read) == list(range(11))
    passes(batches, 1)
    pipeline(crops, size=SIZE, batch_size=4)
    assert len(read) == 11


def test_arguments(faces):
    with pytest.raises(ValueError, match="the crops are 16 px"):
        pipeline(Crops(faces, 16), size=SIZE, batch_size=4)
    with pytest.raises(ValueError, match="make no batch"):
        pipeline(faces[[]], size=SIZE, batch_size=4)
    with pytest.raises(ValueError, match="11 faces make no batch of 16"):
        FaceBatches(faces, size=SIZE, batch_size=16, drop_remainder=True)
    with pytest.raises(IndexError):
        FaceBatches(faces, size=SIZE, batch_size=4)[3]


def test_mixed_precision_leaves_the_batches_alone(faces):
    arguments = dict(shuffle=True, seed=4)
    want = passes(pipeline(faces[:8], size=SIZE, batch_size=8, views=view(), **arguments), 1)
    keras.config.set_dtype_policy("mixed_float16")
    try:
        found = passes(pipeline(faces[:8], size=SIZE, batch_size=8, views=view(), **arguments), 1)
    finally:
        keras.config.set_dtype_policy("float32")
    assert_same(found, want, 1e-3)


@pytest.mark.parametrize("kind", ["pipeline", "FaceBatches"])
def test_attributes_follow_their_faces(faces, kind):
    flags = np.arange(11) % 3 == 0
    marked = Faces("ibug68", faces.images, faces.landmarks, attributes={"unlabelled": flags})
    plain = make("FaceBatches", marked, views=view(), seed=5)
    order = plain.plan(0)[0]
    batches = make(kind, marked, views=view(), seed=5, labels=("unlabelled",))
    epoch = [batches[i] for i in range(len(batches))] if kind == "FaceBatches" else list(batches)
    found = np.concatenate([np.asarray(y["unlabelled"]) for _, y in epoch])
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, flags[order])


def test_an_attribute_that_is_not_there_is_named(faces):
    with pytest.raises(ValueError, match="no attribute 'unlabelled'; they have none"):
        make("pipeline", faces, labels=("unlabelled",))


def test_the_signature_stands_once_and_help_shows_it():
    shown = inspect.signature(pipeline)
    assert shown.parameters == inspect.signature(FaceBatches).parameters
    assert [name for name, argument in shown.parameters.items() if argument.kind is argument.POSITIONAL_OR_KEYWORD] == ["faces"]
    for name in (*shown.parameters, *(set(inspect.signature(Crops).parameters) - {"faces", "size"})):
        assert name == "cropping" or name in pipeline.__doc__


def test_crops_that_are_made_cannot_be_cut_otherwise(faces):
    with pytest.raises(TypeError, match=r"the crops are made already: give enlarge, strict to Crops"):
        pipeline(Crops(faces, SIZE), size=SIZE, batch_size=4, enlarge=1.5, strict=True)
    with pytest.raises(TypeError, match="enlarg"):
        pipeline(faces, size=SIZE, batch_size=4, enlarg=1.5)


@pytest.mark.parametrize("kind", ["pipeline", "FaceBatches"])
def test_few_faces_come_several_times_in_an_epoch(faces, kind):
    """Eleven faces thrice: nine batches of four, in which every face comes again when all others have come, in another view."""
    (epoch,) = passes(make(kind, faces, views=view(), seed=2, repeats=3), 1)
    assert [len(images) for images, _, _ in epoch] == [4] * 8 + [1]
    plan, draws = FaceBatches(faces, size=SIZE, batch_size=4, views=view(), seed=2, repeats=3).plan(0)
    assert len(plan) == len(draws) == 33 == len(np.unique(draws, axis=0))
    assert all(sorted(plan[start : start + 11]) == list(range(11)) for start in (0, 11, 22))
    assert plan[:11].tolist() != plan[11:22].tolist()
    once = FaceBatches(faces, size=SIZE, batch_size=4, seed=2, repeats=3, shuffle=False)
    assert len(once) == 9 and once.plan(0)[0].tolist() == [*range(11)] * 3
    with pytest.raises(ValueError, match="repeats is 0"):
        make(kind, faces, repeats=0)
