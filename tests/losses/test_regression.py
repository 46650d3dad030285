import keras
import numpy as np
import pytest

from kfacealign.losses import L1, L2, SmoothL1, SmoothWing, Wing

# Of the paper: w = 10, epsilon = 2, t = 0.01.
S = 12 / (2 * 0.01 * 2.01)
C1 = 10 - 12 * np.log(6)
C2 = 12 * np.log(1.005) - S * 0.01**2
ABOVE = np.nextafter(np.float32(0.01), np.float32(1))


def values(loss, errors):
    return np.asarray(loss.penalty(keras.ops.convert_to_tensor(errors, "float32")))


def gradients(loss, errors):
    """d penalty / d error, through the backend's own differentiation."""
    errors = keras.ops.convert_to_tensor(errors, "float32")
    if keras.backend.backend() == "jax":
        import jax

        return np.asarray(jax.grad(lambda x: loss.penalty(x).sum())(errors))
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(errors)
        total = tf.reduce_sum(loss.penalty(errors))
    return tape.gradient(total, errors).numpy()


@pytest.mark.parametrize(
    "loss, errors, expected, slopes",
    [
        (L1(), [0, 0.5, -3], [0, 0.5, 3], [0, 1, -1]),
        (L2(), [0, 0.5, -3], [0, 0.125, 4.5], [0, 0.5, -3]),
        (SmoothL1(), [0, 0.5, 1, -3], [0, 0.125, 0.5, 2.5], [0, 0.5, 1, -1]),
        (
            Wing(),
            [0, 1, -4, 10, 25, -25],
            [0, 10 * np.log(1.5), 10 * np.log(3), 10 * np.log(6), 15 + 10 * np.log(6), 15 + 10 * np.log(6)],
            [0, 10 / 3, -10 / 6, 1, 1, -1],
        ),
        (
            SmoothWing(),
            [0, 0.005, -0.005, ABOVE, 1, -4, 10, 25, -25],
            [
                0,
                S * 0.005**2,
                S * 0.005**2,
                S * 0.01**2,
                12 * np.log(1.5) - C2,
                12 * np.log(3) - C2,
                12 * np.log(6) - C2,
                25 - C1 - C2,
                25 - C1 - C2,
            ],
            [0, 12 / 4.02, -12 / 4.02, 12 / 2.01, 4, -2, 1, 1, -1],
        ),
    ],
    ids=lambda value: value.name if isinstance(value, keras.losses.Loss) else "",
)
def test_values_and_gradients_by_hand(loss, errors, expected, slopes):
    np.testing.assert_allclose(values(loss, errors), expected, rtol=2e-5, atol=1e-6)
    np.testing.assert_allclose(gradients(loss, errors), slopes, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("loss", [SmoothWing(), SmoothWing(w=3.0, epsilon=0.5, t=1.0)], ids=["paper", "coarse"])
def test_smooth_wing_is_continuous_with_its_gradient(loss):
    """From both sides of t and w, and of -t and -w: as close as the slope between the two sides lets them be."""
    for place in (loss.t, loss.w, -loss.t, -loss.w):
        step = 1e-3 * abs(place)
        left, right = values(loss, [place - step, place + step]).tolist()
        slope_left, slope_right = gradients(loss, [place - step, place + step]).tolist()
        assert abs(left - right) == pytest.approx(2 * step * abs(slope_left), rel=0.05)
        assert slope_left == pytest.approx(slope_right, rel=3e-3)


def test_smooth_wing_closes_the_jump_of_the_printed_constant():
    """With c2 = s t^2 as printed the value just above t would be 1.5e-4 over that just below."""
    below, above = values(SmoothWing(), [0.01 - 1e-7, 0.01 + 1e-7])
    assert above - below == pytest.approx(0, abs=5e-6)
    assert 12 * np.log(1.005) - 2 * S * 0.01**2 == pytest.approx(1.5e-4, abs=1e-6)


def test_wing_is_continuous_and_its_gradient_jumps_at_w():
    below, above = values(Wing(), [9.9999, 10.0001])
    assert below == pytest.approx(above, abs=3e-4)
    np.testing.assert_allclose(gradients(Wing(), [9.9999, 10.0001]), [10 / 12, 1], rtol=1e-4)


@pytest.mark.parametrize("loss", [L1(), L2(), SmoothL1(), Wing(), SmoothWing()], ids=lambda loss: loss.name)
def test_even_and_finite_everywhere(loss):
    errors = np.array([0, 1e-30, 1e-8, 0.01, 1, 10, 1e4, 1e8], "float32")
    np.testing.assert_array_equal(values(loss, errors), values(loss, -errors))
    np.testing.assert_array_equal(gradients(loss, errors), -gradients(loss, -errors))
    assert np.isfinite(gradients(loss, errors)).all()


def test_mean_over_x_and_y_then_over_weighted_points():
    truth = np.zeros((1, 3, 2), "float32")
    predicted = np.array([[[1, 3], [0, -4], [100, 100]]], "float32")
    np.testing.assert_allclose(L1(reduction=None)(truth, predicted), [[2, 2, 100]])
    weights = np.array([[1, 1, 0]], "float32")
    assert float(L2()(truth, predicted, sample_weight=weights)) == pytest.approx((2.5 + 4) / 2)


@pytest.mark.parametrize(
    "build, message",
    [
        (lambda: Wing(w=0.0), "w must be positive"),
        (lambda: Wing(epsilon=-1.0), "epsilon must be positive"),
        (lambda: SmoothWing(t=0.0), "t must be positive"),
        (lambda: SmoothWing(w=1.0, t=1.0), "t must be below w"),
    ],
)
def test_refuses_parameters_without_meaning(build, message):
    with pytest.raises(ValueError, match=message):
        build()
