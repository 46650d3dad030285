"""Against values that TensorFlow Addons 0.23 computed, see `golden/tfa_golden.py`; nothing here imports it."""

from pathlib import Path

import keras
import numpy as np
import pytest

from kfacealign.data.views import DRAWS, RandomView

GOLDEN = Path(__file__).parent / "golden"
BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-6  # TFA's defaults; Keras' epsilon is 1e-7


@pytest.fixture(scope="module")
def lamb():
    return np.load(GOLDEN / "tfa_lamb.npz")


@pytest.fixture(scope="module")
def image():
    return np.load(GOLDEN / "tfa_image.npz")


def gradients(data, kernel, bias):
    """Of the mean squared error, in float64."""
    residual = data["inputs"].astype("float64") @ kernel + bias - data["targets"]
    return 2 / residual.size * data["inputs"].T @ residual, 2 / residual.size * residual.sum(0)


def keras_lamb(data, **options):
    """Kernel and bias after each step of `keras.optimizers.Lamb`."""
    variables = [keras.Variable(data["kernel"]), keras.Variable(data["bias"])]
    optimizer = keras.optimizers.Lamb(float(data["learning_rate"]), BETA_1, BETA_2, epsilon=EPSILON, **options)
    steps = []
    for _ in range(len(data["kernels"])):
        values = [keras.ops.convert_to_numpy(variable) for variable in variables]
        found = [keras.ops.convert_to_tensor(gradient.astype("float32")) for gradient in gradients(data, *values)]
        optimizer.apply(found, variables)
        steps.append([keras.ops.convert_to_numpy(variable) for variable in variables])
    return [np.stack(parameter) for parameter in zip(*steps, strict=True)]


def numpy_lamb(data, inside=0.0, before=0.0):
    """LAMB by its equations; weight decay `inside` of the normalised step, or `before` it as AdamW has it."""
    rate, values = float(data["learning_rate"]), [data[name].astype("float64") for name in ("kernel", "bias")]
    first, second = [np.zeros_like(value) for value in values], [np.zeros_like(value) for value in values]
    steps = []
    for step in range(1, len(data["kernels"]) + 1):
        found = gradients(data, *values)
        for i, gradient in enumerate(found):
            values[i] = values[i] * (1 - rate * before)
            first[i] = BETA_1 * first[i] + (1 - BETA_1) * gradient
            second[i] = BETA_2 * second[i] + (1 - BETA_2) * gradient**2
            update = first[i] / (1 - BETA_1**step) / (np.sqrt(second[i] / (1 - BETA_2**step)) + EPSILON)
            update = update + inside * values[i]
            norm = np.linalg.norm(values[i])
            values[i] = values[i] - rate * (norm / np.linalg.norm(update) if norm > 0 else 1.0) * update
        steps.append(list(values))
    return [np.stack(parameter) for parameter in zip(*steps, strict=True)]


def test_lamb_makes_the_same_ten_steps(lamb):
    assert not lamb["bias"].any()  # so its first step has no trust ratio
    for mine, golden in zip(keras_lamb(lamb), (lamb["kernels"], lamb["biases"]), strict=True):
        assert mine.shape == golden.shape and len(mine) == 10
        np.testing.assert_allclose(mine, golden, rtol=0, atol=1e-5)
    assert np.abs(lamb["kernels"][-1] - lamb["kernel"]).max() > 1e-3  # a hundred times the tolerance


def test_weight_decay_of_lamb_differs(lamb):
    """TFA adds the decay to the step that the trust ratio scales, as the LAMB paper; Keras decays first, as AdamW."""
    decay = float(lamb["weight_decay"])
    for formula, golden in zip(numpy_lamb(lamb, inside=decay), (lamb["decayed_kernels"], lamb["decayed_biases"]), strict=True):
        np.testing.assert_allclose(formula, golden, rtol=0, atol=1e-5)
    for formula, mine in zip(numpy_lamb(lamb, before=decay), keras_lamb(lamb, weight_decay=decay), strict=True):
        np.testing.assert_allclose(formula, mine, rtol=0, atol=1e-5)


def view(image, **drawn):
    """The image through a `RandomView` of translations up to half the side and every angle, these numbers drawn."""
    views = RandomView(
        translation=0.5, rotation=180.0, flip=0.0, blur=0.0, occlusion=0.0, translation_probability=1.0, rotation_probability=1.0
    )
    chosen = {"translation_chosen": 0.0, "rotation_chosen": 0.0, **drawn}
    draws = np.array([[chosen.get(name, 0.5) for name in DRAWS]], "float32")  # 0.5: no rotation, no translation
    return keras.ops.convert_to_numpy(views((image[None], np.full((1, 3, 2), 0.5, "float32")), draws=draws)[0])[0]


def test_rotation_is_that_of_tfa_by_the_opposite_angle(image):
    """Both turn about the image's centre and blend into 0 at the border; TFA turns counter-clockwise, ours clockwise."""
    for angle, golden in zip(image["angles"], image["rotated"], strict=True):
        mine = view(image["image"], rotation=(180 - angle) / 360)
        np.testing.assert_allclose(mine, golden, rtol=0, atol=0.02)
        assert np.abs(mine - image["image"]).max() > 50


def test_translation_is_that_of_tfa(image):
    """Right and down are positive in both; TFA counts pixels, the view fractions of the side."""
    side = image["image"].shape[0]
    for (right, down), golden in zip(image["shifts"], image["shifted"], strict=True):
        mine = view(image["image"], translation_x=0.5 + right / side, translation_y=0.5 + down / side)
        np.testing.assert_allclose(mine, golden, rtol=0, atol=0.02)
