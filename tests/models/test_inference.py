"""Flip averaging, with a network whose answer is known."""

import keras
import numpy as np
import pytest

from kfacealign import deploy, models, schemes
from kfacealign.codecs import Coordinates

SIZE = 32
SCHEME = schemes.get("aflw19")


@pytest.fixture(scope="module")
def model():
    """Finds in every crop the mean shape, shifted to the right by the brightness of the crop's left half."""
    image = keras.Input((SIZE, SIZE, 3), name="image")
    left = keras.layers.Cropping2D(((0, 0), (0, SIZE // 2)))(image)
    brightness = keras.layers.GlobalAveragePooling2D()(left)
    kernel = np.zeros((3, 19, 2), "float32")
    kernel[0, :, 0] = 1 / 255
    points = keras.layers.Dense(38, name="points")
    outputs = {"landmarks": keras.layers.Reshape((19, 2))(points(brightness))}
    points.set_weights([kernel.reshape(3, 38), SCHEME.mean_shape.reshape(38)])
    return models.FaceAligner(keras.Model(image, outputs), Coordinates(pixels=SIZE), "aflw19")


@pytest.fixture(scope="module")
def crops():
    images = np.zeros((3, SIZE, SIZE, 3), "float32")
    images[0, :, : SIZE // 2] = 51  # left half: + 0.2
    images[1, :, SIZE // 2 :] = 102  # right half: seen by the mirrored reading only
    return images


def expected(shifts, mirrored_shifts):
    """By hand: the mean of the shape + shift and of the mirrored shape mirrored back, which is shape - shift."""
    shape = SCHEME.mean_shape
    back = (shape[list(SCHEME.mirror)] * [-1, 1]) + [1, 0]
    pairs = zip(shifts, mirrored_shifts, strict=True)
    return np.stack([0.5 * (shape + np.array([s, 0]) + back - [m, 0]) for s, m in pairs])


def test_flip_averages_both_readings(model, crops):
    plain, _ = model.align(crops, verbose=0)
    np.testing.assert_allclose(plain, SCHEME.mean_shape + np.array([0.2, 0, 0])[:, None, None] * [1, 0], atol=1e-6)
    flipped, scores = model.align(crops, verbose=0, flip=True)
    np.testing.assert_allclose(flipped, expected([0.2, 0, 0], [0, 0.4, 0]), atol=1e-6)
    np.testing.assert_array_equal(scores, np.ones((3, 19)))


def test_a_mirrored_crop_gives_the_mirrored_answer(model, crops):
    found, _ = model.align(crops, verbose=0, flip=True)
    mirrored, _ = model.align(crops[:, :, ::-1], verbose=0, flip=True)
    np.testing.assert_allclose(mirrored, found[:, list(SCHEME.mirror)] * [-1, 1] + [1, 0], atol=1e-6)


def test_align_is_predict_in_batches_of_few_sizes(model, monkeypatch):
    crops = np.random.default_rng(0).integers(0, 256, (11, SIZE, SIZE, 3), dtype="uint8")
    model.align(crops[:1], verbose=0)
    inference, sizes = model._inference[False], []
    once = inference.predict_on_batch

    def counting(images):
        sizes.append(len(images))
        return once(images)

    monkeypatch.setattr(inference, "predict_on_batch", counting)
    for count, batch_size, expected in (
        (1, 32, [1]),
        (3, 32, [4]),
        (11, 32, [16]),
        (4, 4, [4]),
        (7, 4, [4, 4]),
        (9, 4, [1]),
        (5, 6, [6]),
    ):
        sizes.clear()
        landmarks, scores = model.align(crops[:count], batch_size=batch_size, verbose=0)
        result = inference.predict(crops[:count], batch_size=batch_size, verbose=0)
        assert sizes == expected and landmarks.dtype == scores.dtype == np.float32
        np.testing.assert_allclose(landmarks, result["landmarks"], atol=1e-6)
        np.testing.assert_allclose(scores, result["scores"], atol=1e-6)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="exports are written by TensorFlow")
@pytest.mark.parametrize("name", ["m.tflite", "saved"])
def test_flip_averaging_is_exported_in_the_graph(model, crops, tmp_path, name):
    aligner = deploy.load(deploy.export(model, tmp_path / name, flip=True), trust=True)
    found, _ = aligner.align(crops)
    np.testing.assert_allclose(found, model.align(crops, verbose=0, flip=True)[0], atol=1e-5)
