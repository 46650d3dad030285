"""Views that the compiled step makes are those that the host makes (`tests/test_backends.py` runs this file on JAX)."""

import cv2
import keras
import numpy as np
import pytest

import kfacealign as kfa
from kfacealign.data import Crops, Faces, RandomView
from kfacealign.data.batches import FaceBatches, pipeline
from kfacealign.data.step_views import images_in_view, labels_in_view

SIZE = 32


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    """Eight smooth photographs with 68 points, of which each face lacks some."""
    root, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(1)
    images = [str(root / f"{i}.png") for i in range(8)]
    for path in images:
        cv2.imwrite(path, cv2.resize(rng.integers(0, 256, (10, 10, 3), "uint8"), (90, 90)))
    return Faces("ibug68", images, rng.uniform(10, 80, (8, 68, 2)), weights=rng.integers(0, 2, (8, 68)))


def everything():
    return RandomView(scheme="ibug68", color=(0.6, 1.4), scale=(0.85, 1.15), brightness=0.1, gray=0.3)


def compiled(function):
    """A function as this backend compiles it."""
    if keras.config.backend() == "jax":
        import jax

        return jax.jit(function)
    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        return tf.function(function)
    return function


def one_epoch(batches):
    """The batches of one epoch of either kind, as NumPy."""
    numbered = (batches[i] for i in range(len(batches))) if isinstance(batches, FaceBatches) else iter(batches)
    return [keras.tree.map_structure(np.asarray, batch) for batch in numbered]


def test_host_and_device_give_the_same_views(faces):
    views, common = everything(), {"size": SIZE, "batch_size": 4, "seed": 4}
    host = one_epoch(pipeline(faces, views=views, **common))
    device = one_epoch(pipeline(faces, views=views, views_on="device", **common))
    see = compiled(lambda x, y: (images_in_view(views, x), labels_in_view(views, x, y)))
    assert len(host) == len(device) == 2
    for (images, labels), (x, y) in zip(host, device, strict=True):
        assert x["image"].dtype == np.uint8 and x["draws"].dtype == np.float32
        seen, moved = keras.tree.map_structure(keras.ops.convert_to_numpy, see(x, y))
        assert seen.dtype == np.float32 and np.abs(seen - images).max() < 0.1
        assert np.abs(moved["landmarks"] - labels["landmarks"]).max() * SIZE < 0.05
        np.testing.assert_array_equal(moved["weights"], labels["weights"])
        assert np.abs(images - x["image"]).max() > 10 and np.abs(moved["landmarks"] - y["landmarks"]).max() > 0.01


def test_both_kinds_bring_the_same_crops_and_draws(faces):
    options = {"size": SIZE, "batch_size": 3, "views": everything(), "views_on": "device", "seed": 2, "epoch": 5}
    for one, other in zip(one_epoch(pipeline(faces, **options)), one_epoch(FaceBatches(faces, **options)), strict=True):
        keras.tree.map_structure(np.testing.assert_array_equal, one, other)


def test_a_mirror_moves_pixels_points_weights_and_flags():
    """Worked out by hand: in a crop of 4 pixels the centre of pixel 0 is at 0.125, and mirrored at 0.875."""
    views = RandomView(scheme="cofw29", flip=1.0, translation=0.0, rotation=0.0, blur=0.0, occlusion=0.0)
    mirror = np.array(kfa.schemes.get("cofw29").mirror)
    image = np.zeros((1, 4, 4, 3), "uint8")
    image[0, 1, 0] = 200
    landmarks = np.tile(np.float32([0.125, 0.375]), (1, 29, 1))
    landmarks[0, :, 1] += np.arange(29) / 100
    flags = np.arange(29, dtype="float32")[None]
    x = {"image": image, "draws": np.full((1, views.draws_per_sample), 0.5, "float32")}
    y = {"landmarks": landmarks, "weights": flags, "hidden": flags + 100, "unlabelled": np.float32([1])}
    see = compiled(lambda x, y: (images_in_view(views, x), labels_in_view(views, x, y)))
    seen, moved = keras.tree.map_structure(keras.ops.convert_to_numpy, see(x, y))
    assert seen[0, 1, 3].tolist() == [200, 200, 200] and seen.sum() == 600
    np.testing.assert_allclose(moved["landmarks"][0, :, 0], 0.875, atol=1e-6)
    np.testing.assert_allclose(moved["landmarks"][0, :, 1], 0.375 + mirror / 100, atol=1e-6)
    assert moved["weights"].tolist() == [mirror.tolist()] and moved["hidden"].tolist() == [(mirror + 100).tolist()]
    assert moved["unlabelled"].tolist() == [1]


def test_the_frames_of_clips_share_their_view():
    """Labels come as clips or frame by frame; a label of clips that is no point's stays as it is."""
    views, rng = everything(), np.random.default_rng(0)
    draws = rng.random((2, 1, views.draws_per_sample), "float32").repeat(3, axis=1)
    clips = rng.integers(0, 256, (2, 1, 16, 16, 3), "uint8").repeat(3, axis=1)
    landmarks, weights = (rng.random(shape, "float32") for shape in ((2, 3, 68, 2), (2, 3, 68)))
    x = {"image": clips, "draws": draws}
    see = compiled(lambda x, y: (images_in_view(views, x), labels_in_view(views, x, y)))
    y = {"landmarks": landmarks, "weights": weights, "which": np.zeros((2, 3), "float32")}
    seen, moved = keras.tree.map_structure(keras.ops.convert_to_numpy, see(x, y))
    assert seen.shape == (2, 3, 16, 16, 3)
    np.testing.assert_allclose(seen[:, 0], seen[:, 2], atol=1e-3)
    by_frame = labels_in_view(views, x, {name: values.reshape(6, *values.shape[2:]) for name, values in y.items()})
    for name, values in moved.items():
        assert values.shape == y[name].shape
        np.testing.assert_allclose(values.reshape(6, *values.shape[2:]), keras.ops.convert_to_numpy(by_frame[name]), atol=1e-6)
    expected, _ = views.view_landmarks(landmarks[1], draws[1])
    np.testing.assert_allclose(moved["landmarks"][1], keras.ops.convert_to_numpy(expected), atol=1e-6)


# === Models ===


def small(cls=kfa.models.FaceAligner):
    keras.utils.set_random_seed(3)
    image = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.Conv2D(4, 5, strides=4, activation="relu")(keras.ops.multiply(image, 1 / 255))
    points = keras.layers.Reshape((68, 2))(keras.layers.Dense(136, dtype="float32")(keras.layers.Flatten()(x)))
    return cls(keras.Model(image, {"landmarks": points}), kfa.codecs.Coordinates(), "ibug68")


class Own(kfa.models.FaceAligner):
    """A method of one's own, whose `call` knows nothing of views."""

    def call(self, images, training=None):
        assert len(images.shape) == 4
        return {"landmarks": self.network(images, training=training)["landmarks"] + 0.0}


def test_training_is_the_same_with_views_of_host_and_device(faces):
    """In half precision, which must not reach the draws: a view of rounded draws is another view."""
    views, crops, found = everything(), Crops(faces, SIZE), []
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        for cls, place in ((kfa.models.FaceAligner, "host"), (Own, "device")):
            model = small(cls)
            model.compile(keras.optimizers.SGD(1e-3))
            model.set_views(views if place == "device" else None)
            options = {"size": SIZE, "batch_size": 4}
            batches = pipeline(crops, views=views, views_on=place, seed=1, **options)
            history = model.fit(batches, validation_data=pipeline(crops, **options), epochs=2, verbose=0).history
            found.append([*history["loss"], *history["nme"], *history["val_loss"], *history["val_nme"]])
    finally:
        keras.config.set_dtype_policy("float32")
    np.testing.assert_allclose(found[1], found[0], rtol=2e-3)
    assert found[0][0] != found[0][4]  # training saw views, validation did not


def test_draws_without_views_are_refused_and_views_are_not_saved(faces, tmp_path):
    views, model = everything(), small()
    model.compile(keras.optimizers.SGD(1e-3))
    batches = pipeline(faces, size=SIZE, batch_size=4, views=views, views_on="device")
    with pytest.raises(ValueError, match="give the RandomView they are for to the model's set_views"):
        model.fit(batches, verbose=0)
    model = small()
    model.compile(keras.optimizers.SGD(1e-3))
    before = len(model.variables)
    model.set_views(views)
    assert model.views_in_step is views and len(model.variables) == before
    model.fit(batches, verbose=0)
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    assert loaded.views_in_step is None and len(loaded.weights) == len(model.weights)
    with pytest.raises(ValueError, match="views_on is 'gpu'"):
        pipeline(faces, size=SIZE, batch_size=4, views=views, views_on="gpu")
