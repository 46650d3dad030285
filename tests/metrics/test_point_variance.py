import numpy as np
import pytest
from keras import ops

from kfacealign.evaluation.reports import report
from kfacealign.metrics.errors import point_variance


def faces(count=1):
    """aflw19 faces with the eye corners 6 and 11 at a distance of 50 and a box of 90 x 90."""
    face = np.stack([np.linspace(0, 90, 19), np.linspace(10, 100, 19)], axis=-1).astype("float32")
    face[6], face[11] = (20, 20), (70, 20)
    return np.repeat(face[None], count, axis=0)


def numpy(value):
    return ops.convert_to_numpy(value)


def variance(*arguments, **keywords):
    return numpy(point_variance(*arguments, **keywords))


def test_a_shift_has_none():
    truth = faces(2)
    predicted = truth + np.array([[[30, -7]], [[0, 0]]], "float32")
    np.testing.assert_allclose(variance(truth, predicted, "aflw19"), [0, 0], atol=1e-6)


def test_by_hand():
    """One point of 19 is off by (3, 4) px, (6, 8) %, so |d|^2 = 100: variance = 100/19 - (10/19)^2."""
    truth = faces()
    predicted = truth.copy()
    predicted[0, 0] += 3, 4
    np.testing.assert_allclose(variance(truth, predicted, "aflw19"), [100 / 19 - (10 / 19) ** 2], rtol=1e-5)
    # Half the points 1 % to the left, half 1 % to the right, one in its place: the mean is 0.
    predicted = truth.copy()
    predicted[0, :9, 0] -= 0.5
    predicted[0, 9:18, 0] += 0.5
    np.testing.assert_allclose(variance(truth, predicted, "aflw19"), [18 / 19], rtol=1e-4)


def test_against_numpy():
    rng = np.random.default_rng(0)
    truth = faces(5)
    predicted = truth + rng.normal(0, 3, truth.shape).astype("float32") + rng.normal(0, 9, (5, 1, 2)).astype("float32")
    differences = 100 * (predicted - truth) / 50
    np.testing.assert_allclose(variance(truth, predicted, "aflw19"), differences.var(axis=1).sum(-1), rtol=1e-4)


def test_weights():
    """Points that are not annotated leave no trace, be they NaN; of the others a weight is how often a point counts."""
    rng = np.random.default_rng(1)
    truth = faces()
    predicted = truth + rng.normal(0, 3, truth.shape).astype("float32")
    weights = np.zeros((1, 19), "float32")
    weights[0, [0, 6, 11]], weights[0, 5] = 1, 2
    often = (100 * (predicted - truth) / 50)[0, [0, 6, 11, 5, 5]]
    truth[weights == 0] = np.nan
    result = variance(truth, predicted, "aflw19", weights=weights)
    np.testing.assert_allclose(result, [often.var(axis=0).sum()], rtol=1e-4)


def test_one_point_has_none_and_uncounted_faces_are_zero():
    truth = faces(3)
    predicted = truth + np.random.default_rng(2).normal(0, 3, truth.shape).astype("float32")
    weights = np.zeros((3, 19), "float32")
    weights[0, 4] = 1  # one point
    weights[2] = 1
    truth[2] = 5  # a face of no size
    by_image = variance(truth, predicted, "aflw19", name="image", weights=weights, image_size=100)
    np.testing.assert_allclose(by_image[:2], 0, atol=1e-9)
    np.testing.assert_array_equal(variance(truth, predicted, "aflw19", weights=weights), 0)


@pytest.mark.parametrize("name", ["inter_ocular", "box", "diagonal", "image"])
def test_free_of_scale_and_by_the_square_of_the_normaliser(name):
    lengths = {"inter_ocular": 50, "box": 90, "diagonal": 90 * np.sqrt(2), "image": 128}
    rng = np.random.default_rng(3)
    truth = faces(2)
    predicted = truth + rng.normal(0, 3, truth.shape).astype("float32")
    once = variance(truth, predicted, "aflw19", name=name, image_size=128)
    np.testing.assert_allclose(once, variance(7 * truth, 7 * predicted, "aflw19", name=name, image_size=7 * 128), rtol=1e-3)
    pixels = (predicted - truth).var(axis=1).sum(-1)
    np.testing.assert_allclose(once, pixels * (100 / lengths[name]) ** 2, rtol=1e-4)


def test_report_means_over_the_faces_that_count():
    truth = faces(4)
    predicted = truth.copy()
    predicted[:, 0, 0] += np.array([0, 5, 10, 500], "float32")
    weights = np.ones((4, 19), "float32")
    weights[3] = 0
    made = report(truth, predicted, "aflw19", weights=weights, subsets={"hard": [2, 3], "none": [3], "empty": []})
    one = 100 * (1 / 19 - 1 / 19**2)  # a point off by 10 %
    np.testing.assert_allclose(made.variances, [0, one, 4 * one, np.nan], rtol=1e-4, atol=1e-6)
    assert made.point_variance == pytest.approx(5 * one / 3, rel=1e-4)
    rows = made.rows()
    assert rows["full"]["point_variance"] == made.point_variance
    assert rows["hard"]["point_variance"] == pytest.approx(4 * one, rel=1e-4)
    assert rows["none"]["point_variance"] is None and rows["empty"]["point_variance"] is None
