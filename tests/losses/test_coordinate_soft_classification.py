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
