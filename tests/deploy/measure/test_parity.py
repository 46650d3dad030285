"""A model trained for a minute on rendered faces, and what its exports make of these faces."""

import functools

import keras
import numpy as np
import pytest

import kfacealign as kfa
from kfacealign.models import hih

pytestmark = pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="exports are made under TensorFlow")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The model, its faces' crops (64 of 64 px) and their landmarks."""
    faces = kfa.data.pts(
        kfa.data.write_pts(tmp_path_factory.mktemp("parity") / "faces", train=64, test=1, size=128, progress=False)
    ).train
    images, landmarks, _ = kfa.data.Crops(faces, 64).batch(np.arange(64))
    keras.utils.set_random_seed(0)
    with pytest.MonkeyPatch.context() as patch:
        # One level in place of four: every kind of layer is there, and learns faster.
        patch.setattr(hih, "stacked_hourglass", functools.partial(hih.stacked_hourglass, depth=1))
        model = kfa.models.HIH("ibug68", input_size=64, width=32, decimal_size=4, decimal_width=32, alpha=4.0)
    model.compile(keras.optimizers.Adam(2e-3, epsilon=1e-8))
    for warmup, epochs in ((True, 16), (False, 24)):
        model.warmup = warmup
        model.fit(images, {"landmarks": landmarks}, batch_size=16, epochs=epochs, verbose=0)
    return model, images, landmarks


def nme(aligner, images, landmarks):
    return float(np.mean(kfa.metrics.nme(landmarks, aligner.align(images, verbose=0)[0], "ibug68")))


def test_training_got_somewhere(trained):
    """The mean shape would be at about 35 %; a heatmap cell is 8 % of the distance between the eyes."""
    assert nme(*trained) < 20


@pytest.mark.parametrize("name", ["saved", "model.tflite", "model.onnx"])
def test_float32_exports_agree_to_a_thousandth_of_the_crop(trained, tmp_path, name):
    model, images, _ = trained
    exported = kfa.deploy.load(kfa.deploy.export(model, tmp_path / name), trust=True)
    np.testing.assert_allclose(exported.align(images)[0], model.align(images)[0], atol=1e-3)


@pytest.mark.parametrize("precision", ["float16", "int8"])
def test_rounded_exports_keep_the_error_within_five_percent(trained, tmp_path, precision):
    model, images, landmarks = trained
    path = kfa.deploy.export(model, tmp_path / "model.tflite", precision=precision, calibration=images)
    assert nme(kfa.deploy.load(path), images, landmarks) < 1.05 * nme(model, images, landmarks)
