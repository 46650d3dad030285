import numpy as np
from scipy.special import softmax
from scipy.stats import entropy

from kfacealign.losses import CoordinateSoftClassification


def maps(seed, shape=(2, 4, 4, 3)):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def test_equals_the_kl_divergence_of_the_softmaxes():
    target, predicted = maps(0), maps(1)
    p = softmax(target.reshape(2, 16, 3), axis=1)
    q = softmax(predicted.reshape(2, 16, 3), axis=1)
    expected = entropy(p, q, axis=1) / 16
    per_point = CoordinateSoftClassification(reduction=None)(target, predicted)
    np.testing.assert_allclose(per_point, expected, rtol=1e-4)
    np.testing.assert_allclose(CoordinateSoftClassification()(target, predicted), expected.mean(), rtol=1e-4)


def test_is_zero_at_the_target_up_to_a_constant():
    target = maps(0)
    np.testing.assert_allclose(CoordinateSoftClassification()(target, target + 7.0), 0.0, atol=1e-6)


def test_leaves_out_points_of_weight_zero():
    target, predicted = maps(0), maps(1)
    weights = np.array([[1, 0, 1], [0, 0, 1]], "float32")
    per_point = np.asarray(CoordinateSoftClassification(reduction=None)(target, predicted))
    weighted = CoordinateSoftClassification()(target, predicted, sample_weight=weights)
    np.testing.assert_allclose(weighted, per_point[weights > 0].mean(), rtol=1e-5)


def peak(height, others=0.0):
    """A map of 8 x 8 cells with one cell above the others."""
    values = np.full((1, 8, 8, 1), others, "float32")
    values[0, 3, 5, 0] = height
    return values


def test_a_flat_map_costs_what_the_softmax_of_a_single_one_says():
    """The softmax of a single 1 gives its cell e / (63 + e) and each other cell 1 / (63 + e); a flat map gives each 1 / 64."""
    right, wrong = np.e / (63 + np.e), 1 / (63 + np.e)
    expected = (right * np.log(64 * right) + 63 * wrong * np.log(64 * wrong)) / 64
    assert expected < 2.4e-4
    np.testing.assert_allclose(CoordinateSoftClassification()(peak(1.0), peak(0.0)), expected, atol=1e-8)


def test_it_asks_for_the_targets_heights_and_not_for_certainty():
    """What is asked for lies in 0..1, so a sure right answer costs more than a flat map, and less surety costs nothing."""
    loss = CoordinateSoftClassification()
    right, sure, flat = (float(loss(peak(1.0), peak(height))) for height in (1.0, 8.0, 0.0))
    assert right == np.float32(0) or right < 1e-8
    assert sure > 50 * flat


def test_near_the_target_it_is_half_the_variance_of_the_difference():
    """Over 64 cells: to second order in small maps, KL is half of the variance over cells, so CSC acts as a squared error."""
    rng = np.random.default_rng(3)
    target, predicted = (0.1 * rng.normal(size=(1, 8, 8, 2)).astype("float32") for _ in range(2))
    expected = 0.5 * (target - predicted).reshape(64, 2).var(axis=0).mean() / 64
    np.testing.assert_allclose(CoordinateSoftClassification()(target, predicted), expected, rtol=0.1)
