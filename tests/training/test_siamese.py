import keras
import numpy as np
import pytest
from keras import ops

from kfacealign.codecs import Coordinates, Heatmap
from kfacealign.codecs.continuous_heatmap import ContinuousHeatmap
from kfacealign.codecs.heatmap import gaussian_maps
from kfacealign.data import RandomView
from kfacealign.layers.hourglass import predict_maps
from kfacealign.models import FaceAligner
from kfacealign.training.siamese import Siamese, warp_back

STILL = {"translation": 0.0, "rotation": 0.0, "flip": 0.0, "blur": 0.0, "occlusion": 0.0}


def small_model(codec=None):
    keras.utils.set_random_seed(0)
    image = keras.Input((32, 32, 3), name="image")
    x = keras.layers.Conv2D(8, 5, strides=2, padding="same", activation="relu")(ops.multiply(image, 1 / 255))
    x = keras.layers.BatchNormalization()(x)
    outputs = {f"heatmap_{stack}": predict_maps(x, 19, name=f"stack{stack}") for stack in (1, 2)}
    return FaceAligner(keras.Model(image, outputs), codec or ContinuousHeatmap(16), "aflw19", enlarge=1.2)


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (6, 32, 32, 3)).astype("uint8")
    weights = np.ones((6, 19), "float32")
    weights[:, 3] = 0
    return images, {"landmarks": rng.uniform(0.35, 0.65, (6, 19, 2)).astype("float32"), "weights": weights}


def affine(angle=0.0, scale=1.0, mirror=1.0, shift=(0.0, 0.0)):
    """Crop -> view, about the centre: mirror, scale, rotate, shift."""
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) @ np.diag([mirror, 1.0])
    return np.concatenate([turn, (0.5 - turn @ [0.5, 0.5] + shift)[:, None]], axis=1)[None].astype("float32")


@pytest.mark.parametrize("cell_centre", [0.0, 0.5])
@pytest.mark.parametrize(
    ("view", "tolerance"),
    [
        ({}, 1e-5),
        ({"shift": (3 / 32, -2 / 32)}, 1e-5),
        ({"mirror": -1.0}, 1e-5),
        ({"angle": np.pi / 2}, 1e-5),
        ({"angle": 0.4, "shift": (0.3 / 32, 0.1)}, 0.07),
    ],
)
def test_maps_of_a_view_return_to_the_crop(view, tolerance, cell_centre):
    """Gaussians around where the view shows the points come back as Gaussians around the points."""
    points = np.random.default_rng(0).uniform(0.35, 0.65, (1, 10, 2))
    matrix = affine(**view)
    shown = points @ matrix[0, :, :2].T + matrix[0, :, 2]
    there, here = (gaussian_maps((p * 32 - cell_centre).astype("float32"), 32, 2.0) for p in (shown, points))
    back, known = warp_back(there, matrix, cell_centre)
    # Gaussians are cut at 3 sigma, here and there.
    np.testing.assert_allclose(back * known, here * known, atol=tolerance + 0.012)
    assert np.asarray(known).mean() > 0.6


def test_what_the_view_does_not_show_is_unknown():
    maps = np.ones((1, 8, 8, 2), "float32")
    back, known = warp_back(maps, affine(shift=(0.25, 0.0)), 0.5)
    expected = np.ones((8, 8))
    expected[:, 6:] = 0
    np.testing.assert_array_equal(known[0, :, :, 0], expected)
    np.testing.assert_allclose(back[0, :, :, 0], expected, atol=1e-6)


def test_perfect_views_have_no_siamese_loss(batch):
    """Mirrored and shifted views whose maps are the codec's own: the points' order and the geometry are right."""
    siamese = Siamese(small_model(), RandomView(scheme="aflw19", **{**STILL, "flip": 0.5}))
    _, labels = batch
    outputs = siamese(batch[0], training=True)
    assert {tuple(np.sign(np.linalg.det(m[:, :2]))[None]) for m in np.asarray(outputs["affine"])} == {(-1.0,), (1.0,)}
    landmarks, weights = siamese.in_views(labels, outputs["affine"])
    maps = siamese.codec.encode(landmarks)["heatmap"]
    terms = siamese.loss_terms(labels, {"heatmap_1": maps, "heatmap_2": maps, "affine": outputs["affine"]})
    assert float(terms["heatmap_loss"]) == 0 and float(terms["siamese_loss"]) < 1e-7
    wrong = siamese.loss_terms(labels, {"heatmap_1": maps[:, :, ::-1], "heatmap_2": maps, "affine": outputs["affine"]})
    assert float(wrong["siamese_loss"]) > 1e-3
    assert np.asarray(weights).sum() == 2 * labels["weights"].sum()


def test_the_loss_is_of_half_the_sum_where_either_view_is_known():
    target = np.random.default_rng(0).uniform(size=(1, 2, 2, 1)).astype("float32")
    first, second = target + 0.4, target - 0.2
    known = np.array([[[1, 1], [1, 0]], [[1, 0], [1, 0]]], "float32")[..., None]
    error = Siamese.disagreement((np.concatenate([first, second]), known), target)
    np.testing.assert_allclose(error, [[(2 * 0.1**2 + 0.2**2) / 4]], rtol=1e-4)


@pytest.fixture(scope="module")
def trained(batch, tmp_path_factory):
    """Two epochs, a checkpoint after the first."""
    model = small_model()
    siamese = Siamese(model, RandomView.subpixel("aflw19"))
    siamese.compile(keras.optimizers.Adam(1e-2))
    before = [ops.convert_to_numpy(weight) for weight in model.trainable_weights]
    history = siamese.fit(*batch, batch_size=3, epochs=2, verbose=0, validation_data=batch).history
    path = tmp_path_factory.mktemp("siamese") / "m.keras"
    siamese.save(path)
    return model, siamese, history, before, path


def test_trains_the_models_own_weights(trained):
    model, siamese, history, before, _ = trained
    assert set(history) == {"loss", "heatmap_loss", "siamese_loss", "nme", "val_loss", "val_heatmap_loss", "val_nme"}
    np.testing.assert_allclose(history["loss"][1], history["heatmap_loss"][1] + history["siamese_loss"][1], rtol=1e-5)
    assert all((ops.convert_to_numpy(w) != b).any() for w, b in zip(model.trainable_weights, before, strict=True))
    assert [w.path for w in siamese.trainable_weights] == [w.path for w in model.trainable_weights]


def test_what_is_saved_is_the_plain_model_with_its_optimiser(trained, batch):
    model, siamese, _, _, path = trained
    loaded = keras.saving.load_model(path)
    assert type(loaded) is FaceAligner
    np.testing.assert_array_equal(loaded.align(batch[0])[0], model.align(batch[0])[0])
    again = Siamese(loaded, RandomView.subpixel("aflw19"))
    assert again.compiled and int(again.optimizer.iterations) == 4
    for one, other in zip(again.optimizer.variables, siamese.optimizer.variables, strict=True):
        np.testing.assert_array_equal(one, other)
    again.fit(*batch, batch_size=6, verbose=0)
    assert int(again.optimizer.iterations) == 5


def test_warm_up_trains_both(batch):
    siamese = Siamese(small_model(Heatmap(16)), RandomView.subpixel("aflw19"))
    siamese.compile(keras.optimizers.Adam(1e-3), run_eagerly=True)
    siamese.warmup = True
    assert set(siamese.train_on_batch(*batch, return_dict=True)) == {
        "loss", "heatmap_loss", "coordinate_loss", "siamese_loss", "nme"
    }  # fmt: skip


@pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="TensorFlow only")
def test_gradients_reach_the_maps_from_the_sum_alone(batch):
    import tensorflow as tf

    maps = tf.Variable(np.random.default_rng(0).normal(size=(2, 16, 16, 3)).astype("float32"))
    with tf.GradientTape() as tape:
        back, known = warp_back(maps, np.concatenate([affine(0.3), affine(mirror=-1.0)]), 0.5)
        loss = tf.reduce_mean(Siamese.disagreement((back, known), np.zeros((1, 16, 16, 3), "float32")))
    gradient = tape.gradient(loss, maps).numpy()
    assert np.isfinite(gradient).all() and (gradient != 0).mean() > 0.7


def test_models_without_heatmaps_are_refused():
    image = keras.Input((8, 8, 3))
    points = keras.layers.Reshape((19, 2))(keras.layers.Dense(38)(keras.layers.Flatten()(image)))
    model = FaceAligner(keras.Model(image, {"landmarks": points}), Coordinates(), "aflw19")
    with pytest.raises(ValueError, match="compares heatmaps, and Coordinates has none"):
        Siamese(model, RandomView())
    with pytest.raises(ValueError, match="draws its own views"):
        Siamese(small_model(), None)
