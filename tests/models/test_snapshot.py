import keras
import numpy as np
import pytest

from kfacealign.codecs import Heatmap
from kfacealign.models import FaceAligner
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
@pytest.mark.parametrize("count", [1, 3, 8, 11])
def test_its_answers_are_the_models(model, count):
    snapshot = model.snapshot()
    assert snapshot is not model and (snapshot.scheme, snapshot.input_size, snapshot.enlarge) == (model.scheme, 16, 1.25)
    for images in (crops(count), crops(count).astype("float32")):
        for found, expected in zip(snapshot.align(images, verbose=0), model.align(images, verbose=0), strict=True):
            assert found.dtype == np.float32 and found.shape == expected.shape
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


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
    monkeypatch.setattr("kfacealign.models.snapshot.frozen", lambda inference, size: lambda images: nothing)
    with pytest.raises(ValueError, match="not finite"):
        model.snapshot().align(crops(1))


def test_trackers_read_by_it_and_other_aligns_are_left_alone(model):
    assert (Reader(model).model is model) != ON_TENSORFLOW

    class Own(FaceAligner):
        def align(self, images, **options):
            raise NotImplementedError

    own = Own(model.network, model.codec, "aflw19")
    assert own.snapshot() is own and Reader(own).model is own
