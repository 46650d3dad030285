"""Eight bits, emulated and in the file: the same ranges, the same kernels, the same numbers."""

import functools

import numpy as np
import pytest
import tensorflow as tf
from tiny_networks import SIZE, crops, eagerly, randomized, tiny_backbone

pytest.importorskip("tf_keras", reason="quantisation-aware training is an extra")

from kfacealign import models
from kfacealign.deploy import flatbuffer
from kfacealign.deploy.compression import fake_quantization, qat
from kfacealign.deploy.compression.fake_quantization import Range, around_zero
from kfacealign.deploy.compression.tf_keras_twin import plain, tf_keras
from kfacealign.interpreter import interpreter_class

MODELS = {
    "coordnet": functools.partial(models.CoordNet, "aflw19", backbone="mobilenet_v2", input_size=SIZE),
    "lotr": functools.partial(models.LOTR.m_plus, "aflw19", input_size=SIZE, layers=1),
    "pipnet": functools.partial(models.PIPNet, "aflw19", backbone="mobilenet_v2", input_size=SIZE, neighbors=0, stride=16),
}


def quantized(name, monkeypatch):
    """A `QuantizedAligner` on the tiny backbone, with random weights, which has seen some crops."""
    monkeypatch.setattr(f"kfacealign.models.{name}.make_backbone", tiny_backbone)
    aligner = randomized(MODELS[name]())
    # Some channels have lost their weights in training, but still have a shift.
    branch = aligner.network.get_layer("backbone").get_layer("branch").kernel
    branch.assign(np.asarray(branch) * (np.arange(16) > 3))
    model = qat.QuantizedAligner(aligner)
    with eagerly():
        model.observe(pixels(16, 0))
    return model


def pixels(count, seed):
    """Crops that contain black and white, as photographs do."""
    return np.clip(np.rint(1.2 * (crops(count, seed) - 127.5) + 127.5), 0, 255).astype("float32")


def outputs_of(content, images, name):
    runner = interpreter_class()(model_content=content, num_threads=1).get_signature_runner()
    return np.concatenate([runner(image=image[None])[name] for image in images])


# === Ranges ===


def test_a_range_follows_its_tensor():
    layer = tf_keras.layers.Layer()
    quantizer = Range()
    weights = quantizer.build((), "output", layer)
    quantizer(tf.constant([-1.0, 3.0]), True, weights)
    assert [float(weights[name]) for name in ("min_var", "max_var")] == [-1.0, 3.0]
    quantizer(tf.constant([2.0, 5.0]), True, weights)
    # The mean, with a zero in every range.
    assert [float(weights[name]) for name in ("min_var", "max_var")] == [-0.5, 4.0]
    found = quantizer(tf.constant([9.0, 1.0]), False, weights)
    assert float(weights["max_var"]) == 4.0
    np.testing.assert_allclose(found, [4.0, 1.0], atol=4.5 / 255)


@pytest.mark.parametrize(
    ("low", "high", "zero"), [(-1, 1, 127), (-0.5, 4, 29), (0, 3, 0), (-2, 0, 255), (-1e-6, 5, 1), (-5, 1e-6, 254)]
)
def test_zero_is_one_of_the_values(low, high, zero):
    found = [float(bound) for bound in around_zero(tf.constant(float(low)), tf.constant(float(high)))]
    step = (found[1] - found[0]) / 255
    assert -found[0] / step == pytest.approx(zero, abs=1e-3)
    assert found[0] <= low * (1 - 1e-6) and found[1] >= high * (1 - 1e-6)
    assert step <= 1.01 * (high - low) / 255


def test_a_range_of_nothing_stays_so():
    assert [float(bound) for bound in around_zero(tf.constant(0.0), tf.constant(0.0))] == [0, 0]


# === The file ===


@pytest.mark.parametrize(("name", "transposed"), [("coordnet", 0), ("lotr", 2), ("pipnet", 1)])
def test_the_file_says_what_the_twin_says(name, transposed, monkeypatch):
    model = quantized(name, monkeypatch)
    twin = model.twins["network"]
    kernels = [wrapper for wrapper in twin.model.layers if type(plain(wrapper)).__name__ in fake_quantization.KERNELS]
    assert all(wrapper._weight_vars for wrapper in kernels)
    output = {"coordnet": "landmarks", "lotr": "tokens", "pipnet": "score"}[name]
    content = qat.convert(twin, {"image": (1, SIZE, SIZE, 3)}, [output])

    operators = flatbuffer.operators(content)
    assert {element for kind, element in operators if kind != "DEQUANTIZE"} == {"INT8"}
    assert [kind for kind, _ in operators].count("TRANSPOSE_CONV") == transposed

    images = pixels(8, 5)
    wanted = twin({"image": tf.constant(images)}, training=False)[output].numpy()
    steps = np.abs(outputs_of(content, images, output) - wanted) / (np.ptp(wanted) / 255)
    assert steps.max() < 4 and steps.mean() < 0.3
