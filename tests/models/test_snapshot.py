import tempfile

import keras
import numpy as np
import pytest

from kfacealign.codecs import Heatmap
from kfacealign.models import CalibratedAligner, FaceAligner
from kfacealign.photo import read_crops
from kfacealign.tracking.reading import Reader

ON_TENSORFLOW = keras.config.backend() == "tensorflow"
on_tensorflow = pytest.mark.skipif(not ON_TENSORFLOW, reason="other backends compile the model themselves")


@pytest.fixture(scope="module")
def model():
    """A convolution with a batch norm that is none of the identity."""
    keras.utils.set_random_seed(0)
    image = keras.Input((16, 16, 3), name="image")
    norm = keras.layers.BatchNormalization()
    x = norm(keras.layers.Conv2D(8, 3, strides=2, padding="same")(image))
    network = keras.Model(image, {"heatmap_1": keras.layers.Conv2D(19, 3, padding="same")(keras.layers.ReLU()(x))})
    rng = np.random.default_rng(0)
    norm.set_weights([rng.uniform(0.5, 2, 8), rng.normal(size=8), rng.normal(size=8), rng.uniform(50, 200, 8)])
    return FaceAligner(network, Heatmap(8), "aflw19", enlarge=1.25)


def crops(count):
    return np.random.default_rng(count).integers(0, 256, (count, 16, 16, 3), "uint8")


@on_tensorflow
@pytest.mark.parametrize("count", [1, 3, 11])
def test_its_answers_are_the_models(model, count):
    snapshot = model.snapshot(threads=1)
    assert (snapshot.scheme, snapshot.input_size, snapshot.enlarge) == (model.scheme, 16, 1.25)
    assert snapshot.converted and snapshot.answers == ("landmarks", "scores")
    for images in (crops(count), crops(count).astype("float32")):
        landmarks, scores = snapshot.align(images, verbose=0)
        expected, expected_scores = model.align(images, verbose=0)
        assert landmarks.dtype == scores.dtype == np.float32 and landmarks.shape == expected.shape
        assert np.abs(landmarks - expected).max() * model.input_size < 0.01
        np.testing.assert_allclose(scores, expected_scores, rtol=1e-4, atol=1e-4)


@on_tensorflow
def test_the_conversion_leaves_no_file(model, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert model.snapshot().converted
    assert list(tmp_path.iterdir()) == []


@on_tensorflow
@pytest.mark.parametrize("count", [1, 11])
def test_what_cannot_be_converted_is_read_by_tensorflow(model, count):
    """TFLite has no inverse error function of its own."""
    image = keras.Input((16, 16, 3), name="image")
    maps = model.network(image)["heatmap_1"]
    strange = keras.ops.erfinv(keras.ops.tanh(0.1 * maps))
    other = FaceAligner(keras.Model(image, {"heatmap_1": strange}), Heatmap(8), "aflw19")
    snapshot, images = other.snapshot(), crops(count)
    assert not snapshot.converted
    for found, expected in zip(snapshot.align(images), other.align(images, verbose=0), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@on_tensorflow
def test_a_network_of_half_precision_is_read_in_float32(model):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        network = keras.models.clone_model(model.network, clone_function=halved)
    finally:
        keras.config.set_dtype_policy("float32")
    network.set_weights(model.network.get_weights())
    mixed = FaceAligner(network, Heatmap(8), "aflw19")
    assert mixed.network.layers[1].compute_dtype == "float16"
    snapshot = mixed.snapshot()
    assert snapshot.converted
    for found, expected in zip(snapshot.align(crops(2)), model.align(crops(2), verbose=0), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def halved(layer):
    return type(layer).from_config({**layer.get_config(), "dtype": "mixed_float16"})


@on_tensorflow
def test_a_calibrated_model_says_all_that_it_knows_to_a_tracker(model, monkeypatch):
    monkeypatch.setattr(FaceAligner, "feature_layer", "heatmap_1")
    calibrated = CalibratedAligner(FaceAligner(model.network, Heatmap(8), "aflw19"))
    rng = np.random.default_rng(1)
    calibrated.head.set_weights([rng.normal(0, 0.3, weight.shape) for weight in calibrated.head.weights])
    reader, images = Reader(calibrated), crops(2)
    assert reader.model.converted and reader.model.answers == ("landmarks", "scores", "visibility", "covariance")
    found, expected = reader.model.align_all(images), calibrated.align_all(images, verbose=0)
    assert set(found) == set(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-3, atol=1e-5)
    answers = read_crops(reader.model, images, np.tile(np.float32([[1, 0, 0], [0, 1, 0]]), (2, 1, 1)))
    assert answers["covariance"].shape == (2, 19, 3) and answers["visibility"].shape == (2, 19)


@on_tensorflow
def test_later_weights_are_the_models_alone(model):
    images, snapshot = crops(2), model.snapshot()
    before, weights = snapshot.align(images), model.get_weights()
    model.set_weights([3 * weight for weight in weights])
    np.testing.assert_array_equal(snapshot.align(images)[1], before[1])
    changed = model.snapshot().align(images)
    model.set_weights(weights)
    assert np.abs(changed[1] - before[1]).max() > 0.1


@on_tensorflow
def test_answers_that_are_no_numbers_are_refused(model, monkeypatch):
    nothing = {"landmarks": np.full((1, 19, 2), np.nan, "float32"), "scores": np.ones((1, 19), "float32")}
    monkeypatch.setattr("kfacealign.models.snapshot.lite", lambda inference, threads: lambda images: nothing)
    with pytest.raises(ValueError, match="not finite"):
        model.snapshot().align(crops(1))


def test_trackers_read_by_it_and_other_aligns_are_left_alone(model):
    assert (Reader(model).model is model) != ON_TENSORFLOW

    class Own(FaceAligner):
        def align(self, images, **options):
            raise NotImplementedError

    own = Own(model.network, model.codec, "aflw19")
    assert own.snapshot() is own and Reader(own).model is own
