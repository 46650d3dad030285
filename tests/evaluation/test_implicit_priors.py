import keras
import numpy as np
import pytest

from kfacealign import schemes
from kfacealign.evaluation.implicit_priors import blackened, draw_implicit_prior, faceless, implicit_prior, similarity_aligned

ENLARGE = 1.25


class Fixed:
    """An aligner that answers the same landmarks (K, 2), or those of each image (N, K, 2), whatever it sees."""

    input_size = 16

    def __init__(self, landmarks, scheme="aflw19", enlarge=ENLARGE):
        self.landmarks, self.scheme, self.enlarge = np.asarray(landmarks, "float32"), scheme, enlarge

    def align(self, images, verbose="auto"):
        assert images.shape[1:] == (16, 16, 3)
        found = np.broadcast_to(self.landmarks, (len(images), *self.landmarks.shape[-2:]))
        return found, np.ones(found.shape[:2], "float32")


class Batches(keras.utils.PyDataset):
    """Two batches of bright images; counts its epochs."""

    began = ended = 0

    def __len__(self):
        return 2

    def __getitem__(self, number):
        return np.full((3, 4, 4, 3), 9 + number, "uint8"), {"landmarks": np.full((3, 19, 2), number, "float32")}

    def on_epoch_begin(self):
        self.began += 1

    def on_epoch_end(self):
        self.ended += 1


def turned(shape, degrees, scale, shift):
    angle = np.deg2rad(degrees)
    matrix = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return (shape - 0.5) @ matrix.T + 0.5 + shift


def mean_shape(name="aflw19"):
    return schemes.get(name).mean_shape


def test_a_model_that_answers_the_mean_shape():
    result = implicit_prior(Fixed(mean_shape()), count=3)
    assert result.images.shape == (3, 16, 16, 3) and not result.images.any()
    np.testing.assert_array_equal(result.landmarks, np.stack([mean_shape()] * 3))
    assert result.scores.shape == (3, 19)
    for value in (result.distance_to_mean_shape, result.distance_after_alignment):
        np.testing.assert_allclose(value, [0, 0, 0], atol=1e-4)
    assert result.spread == pytest.approx(0, abs=1e-5)
    assert repr(result).startswith("3 images without a face, aflw19, in percent: 0.00 from the mean shape")


def test_distances_by_hand():
    """A shift by a tenth of the eyes' distance is 10 % before and 0 after alignment."""
    mean = mean_shape()
    shift = 0.1 * np.linalg.norm(mean[6] - mean[11])
    result = implicit_prior(Fixed(mean + np.array([0, shift])), count=2)
    np.testing.assert_allclose(result.distance_to_mean_shape, 10, rtol=1e-4)
    np.testing.assert_allclose(result.distance_after_alignment, 0, atol=1e-3)
    result = implicit_prior(Fixed(np.stack([mean, mean + np.array([shift, 0])])), count=2)
    np.testing.assert_allclose(result.distance_to_mean_shape, [0, 10], atol=1e-3)
    assert result.spread == pytest.approx(5, rel=1e-3)


def test_the_mean_shape_has_the_size_of_the_models_crops():
    wide = 0.5 + (mean_shape() - 0.5) / 2  # the box fills 40 % of crops twice as wide
    result = implicit_prior(Fixed(wide, enlarge=2 * ENLARGE), count=1)
    np.testing.assert_allclose(result.mean_shape, wide, atol=1e-6)
    np.testing.assert_allclose(result.distance_to_mean_shape, 0, atol=1e-4)
    own = np.random.default_rng(0).uniform(0, 1, (19, 2))
    np.testing.assert_allclose(implicit_prior(Fixed(own), count=1, mean_shape=own).distance_to_mean_shape, 0, atol=1e-4)


def test_a_scheme_without_eyes_has_its_default_normaliser():
    mean = mean_shape("menpo39")
    box = np.sqrt(np.prod(np.ptp(mean, axis=0)))
    result = implicit_prior(Fixed(mean + np.array([0.03 * box, 0.04 * box]), "menpo39"), count=1)
    np.testing.assert_allclose(result.distance_to_mean_shape, 5, rtol=1e-4)


def test_alignment_undoes_a_similarity_and_nothing_else():
    mean = mean_shape("ibug68")
    moved = np.stack([turned(mean, 40, 0.3, [0.2, -0.4]), turned(mean, -170, 5, [3, 1])])
    np.testing.assert_allclose(similarity_aligned(moved, mean), [mean, mean], atol=1e-5)
    mirrored = mean * [-1, 1]
    assert np.abs(similarity_aligned(mirrored[None], mean)[0] - mean).max() > 0.1
    noisy = mean + np.random.default_rng(0).normal(0, 0.02, mean.shape)
    best = np.square(similarity_aligned(noisy[None], mean)[0] - mean).sum()
    for degrees, scale, shift in ((1, 1, 0), (-1, 1, 0), (0, 1.01, 0), (0, 0.99, 0), (0, 1, 0.002)):
        other = turned(similarity_aligned(noisy[None], mean)[0], degrees, scale, shift)
        assert np.square(other - mean).sum() > best


def test_predictions_that_fall_into_one_point():
    result = implicit_prior(Fixed(np.full((19, 2), 0.7)), count=2)
    assert np.isfinite(result.distance_to_mean_shape).all() and np.isfinite(result.distance_after_alignment).all()
    aligned = similarity_aligned(np.full((1, 19, 2), 0.7), mean_shape())[0]
    np.testing.assert_allclose(aligned, mean_shape().mean(0)[None].repeat(19, 0), rtol=1e-5)
    assert result.spread == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("kind", ["black", "noise", "texture"])
def test_faceless_images(kind):
    images = faceless(kind, count=2, size=33, seed=4)
    assert images.shape == (2, 33, 33, 3) and images.dtype == np.uint8
    np.testing.assert_array_equal(images, faceless(kind, count=2, size=33, seed=4))
    if kind != "black":
        assert images.std() > 30 and (images[0] != images[1]).any()
        assert (images != faceless(kind, count=2, size=33, seed=5)).any()


def test_texture_is_smooth_where_noise_is_not():
    def roughness(kind):
        grey = faceless(kind, count=4, size=64).mean(-1)
        return np.abs(np.diff(grey, axis=2)).mean() / grey.std()

    assert roughness("texture") < 0.6 * roughness("noise")


def test_images_of_ones_own():
    images = np.full((2, 16, 16, 3), 99.6, "float32")
    result = implicit_prior(Fixed(mean_shape()), images)
    assert result.images.dtype == np.uint8 and (result.images == 100).all()


def test_the_drawing_shows_prediction_and_mean_shape():
    result = implicit_prior(Fixed(mean_shape() + 0.05), "texture", count=5)
    picture = draw_implicit_prior(result, columns=3, size=96)
    assert picture.shape == (2 * 96, 3 * 96, 3) and picture.dtype == np.uint8
    red = (picture.astype(int) - (255, 50, 50) == 0).all(-1)
    assert red[:96, :96].sum() >= 19 and not red[96:, 192:].any()
    assert draw_implicit_prior(implicit_prior(Fixed(mean_shape()), count=1), size=32).shape == (32, 32, 3)


def test_wrong_arguments():
    model = Fixed(mean_shape())
    with pytest.raises(ValueError, match="no images of the kind 'white'; there are black, noise, texture"):
        implicit_prior(model, "white")
    with pytest.raises(ValueError, match="there is no image"):
        implicit_prior(model, count=0)
    with pytest.raises(ValueError, match=r"mean_shape must be \(19, 2\) for aflw19, got \(68, 2\)"):
        implicit_prior(model, mean_shape=np.zeros((68, 2)))
    with pytest.raises(TypeError, match="not list"):
        blackened([])


def test_blackened_py_dataset():
    batches = Batches(workers=2)
    black = blackened(batches)
    assert isinstance(black, keras.utils.PyDataset) and len(black) == 2 and black.workers == 2
    images, labels = black[1]
    assert images.shape == (3, 4, 4, 3) and images.dtype == np.uint8 and not images.any()
    np.testing.assert_array_equal(labels["landmarks"], 1)
    assert batches[1][0].all()
    black.on_epoch_begin()
    black.on_epoch_end()
    assert (batches.began, batches.ended) == (1, 1)


def test_blackened_tf_dataset():
    import tensorflow as tf

    images = np.full((4, 8, 8, 3), 200, "uint8")
    landmarks, weights = np.random.default_rng(0).random((4, 19, 2), "float32"), np.ones((4, 19), "float32")
    dataset = tf.data.Dataset.from_tensor_slices((images, {"landmarks": landmarks, "weights": weights})).batch(2)
    black = blackened(dataset)
    assert black.cardinality() == 2 and black.element_spec == dataset.element_spec
    for number, (pixels, labels) in enumerate(black.as_numpy_iterator()):
        assert not pixels.any()
        np.testing.assert_array_equal(labels["landmarks"], landmarks[2 * number : 2 * number + 2])
