import keras
import numpy as np
import pytest
from keras import ops

from kfacealign.metrics.errors import NME, nme, normalized_errors, normalizer, nrmse


def toy():
    """Faces of aflw19: eye corners 6 and 11 are 50 apart, pupils 7 and 10 are 20, the box is 80 x 45."""
    truth = np.zeros((1, 19, 2), "float32")
    truth[0] = 40, 20
    truth[0, 6], truth[0, 11] = (10, 20), (40, 60)
    truth[0, 7], truth[0, 10] = (20, 30), (36, 42)
    truth[0, 0], truth[0, 18] = (0, 15), (80, 60)
    return truth


def numpy(value):
    return ops.convert_to_numpy(value)


def random_faces(count, scheme_points=68, seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.uniform(0, 1, (count, scheme_points, 2)).astype("float32")
    predicted = truth + rng.normal(0, 0.05, truth.shape).astype("float32")
    return truth, predicted, rng.integers(0, 2, truth.shape[:2]).astype("float32")


def by_hand(truth, predicted, weights, power=1):
    """NME (or NRMSE, power 2) of ibug68 in inter-ocular percent, face by face and point by point."""
    faces = []
    for p, q, w in zip(truth.astype(float), predicted.astype(float), weights, strict=True):
        length = np.hypot(*(p[36] - p[45]))
        errors = [100 * np.hypot(*(q[k] - p[k])) / length for k in range(68) if w[k] > 0]
        faces.append(np.mean(np.power(errors, power)) ** (1 / power))
    return np.array(faces)


@pytest.mark.parametrize(
    "name, expected",
    [("inter_ocular", 50), ("inter_pupil", 20), ("box", np.sqrt(80 * 45)), ("diagonal", np.hypot(80, 45)), (None, 50)],
)
def test_normalizers(name, expected):
    np.testing.assert_allclose(numpy(normalizer(toy(), "aflw19", name=name)), [expected], rtol=1e-6)


def test_normalizer_by_the_image():
    truth = np.repeat(toy(), 2, axis=0)
    np.testing.assert_allclose(numpy(normalizer(truth, "aflw19", name="image", image_size=256)), [256, 256])
    np.testing.assert_allclose(numpy(normalizer(truth, "aflw19", name="image", image_size=np.array([64, 32.5]))), [64, 32.5])
    with pytest.raises(ValueError, match="'image' needs image_size"):
        normalizer(truth, "aflw19", name="image")


def test_pupils_are_means_of_the_eyes_points():
    truth = np.zeros((1, 68, 2), "float32")
    truth[0, 36:42, 0], truth[0, 42:48, 0] = range(6), range(30, 36)
    np.testing.assert_allclose(numpy(normalizer(truth, "ibug68", name="inter_pupil")), [30])


def test_a_normalizer_that_the_scheme_lacks():
    with pytest.raises(ValueError, match="menpo39 has no normaliser 'inter_ocular'; it has box, diagonal, image"):
        normalizer(np.zeros((1, 39, 2)), "menpo39", name="inter_ocular")


def test_the_box_is_of_the_annotated_points():
    weights = np.ones((1, 19))
    weights[0, 18] = 0  # leaves x 0..40, y 15..60
    np.testing.assert_allclose(numpy(normalizer(toy(), "aflw19", name="box", weights=weights)), [np.sqrt(40 * 45)], rtol=1e-6)
    np.testing.assert_array_equal(numpy(normalizer(toy(), "aflw19", name="box", weights=np.zeros((1, 19)))), [0])


def test_no_length_between_eyes_that_are_not_annotated():
    weights = np.ones((2, 19))
    weights[1, 11] = 0
    np.testing.assert_allclose(numpy(normalizer(np.repeat(toy(), 2, axis=0), "aflw19", weights=weights)), [50, 0])


def test_toy_errors():
    """Two points are off by (3, 4) and by (0, 10), inter-ocular 50: 10 % and 20 %."""
    truth = toy()
    predicted = truth.copy()
    predicted[0, 0] += 3, 4
    predicted[0, 1] += 0, 10
    expected = np.zeros((1, 19))
    expected[0, :2] = 10, 20
    np.testing.assert_allclose(numpy(normalized_errors(truth, predicted, "aflw19")), expected, atol=1e-5)
    np.testing.assert_allclose(numpy(nme(truth, predicted, "aflw19")), [30 / 19], rtol=1e-5)
    np.testing.assert_allclose(numpy(nrmse(truth, predicted, "aflw19")), [np.sqrt(500 / 19)], rtol=1e-5)
    weights = np.zeros((1, 19))
    weights[0, [0, 1, 6, 11]] = 1
    np.testing.assert_allclose(numpy(nme(truth, predicted, "aflw19", weights=weights)), [7.5], rtol=1e-5)
    np.testing.assert_allclose(numpy(nrmse(truth, predicted, "aflw19", weights=weights)), [np.sqrt(125)], rtol=1e-5)
    np.testing.assert_allclose(numpy(nme(truth, predicted, "aflw19", name="diagonal")), [1500 / 19 / np.hypot(80, 45)], rtol=1e-5)


def test_against_numpy():
    truth, predicted, weights = random_faces(7)
    weights[:, [36, 45]] = 1
    expected = by_hand(truth, predicted, weights)
    np.testing.assert_allclose(numpy(nme(truth, predicted, "ibug68", weights=weights)), expected, rtol=1e-4)
    expected = by_hand(truth, predicted, weights, 2)
    np.testing.assert_allclose(numpy(nrmse(truth, predicted, "ibug68", weights=weights)), expected, rtol=1e-4)


def test_errors_do_not_depend_on_the_scale():
    truth, predicted, _ = random_faces(3)
    once, scaled = nme(truth, predicted, "ibug68"), nme(256 * truth, 256 * predicted, "ibug68")
    np.testing.assert_allclose(numpy(once), numpy(scaled), rtol=1e-5)


@pytest.mark.parametrize("name", ["inter_ocular", "inter_pupil", "box", "diagonal"])
def test_no_nan_without_weights_or_without_size(name):
    truth, predicted, weights = random_faces(3)
    truth[0], weights[1] = 0.5, 0  # a face of no size and a face without annotated points
    for function in (normalized_errors, nme, nrmse):
        result = numpy(function(truth, predicted, "ibug68", name=name, weights=weights))
        assert np.isfinite(result).all()
        assert not result[:2].any()


def test_what_stands_in_for_missing_points_may_be_nan():
    truth, predicted, weights = random_faces(2)
    weights[:, [36, 45]] = 1
    expected = numpy(nme(truth, predicted, "ibug68", weights=weights))
    truth[weights == 0] = np.nan
    for name in ("inter_ocular", "box"):
        assert np.isfinite(numpy(nme(truth, predicted, "ibug68", name=name, weights=weights))).all()
    np.testing.assert_allclose(numpy(nme(truth, predicted, "ibug68", weights=weights)), expected, rtol=1e-6)


def test_metric_over_batches_is_the_mean_over_faces():
    truth, predicted, weights = random_faces(10)
    weights[:, [36, 45]] = 1
    metric = NME("ibug68")
    assert float(metric.result()) == 0
    for part in (slice(0, 4), slice(4, 5), slice(5, 10)):
        metric.update_state(truth[part], predicted[part], sample_weight=weights[part])
    np.testing.assert_allclose(float(metric.result()), by_hand(truth, predicted, weights).mean(), rtol=1e-4)
    metric.reset_state()
    metric.update_state(truth, predicted)
    np.testing.assert_allclose(float(metric.result()), by_hand(truth, predicted, np.ones((10, 68))).mean(), rtol=1e-4)


def test_metric_leaves_out_faces_that_cannot_count():
    truth, predicted, weights = random_faces(4)
    weights[:, [36, 45]] = 1
    truth[0], weights[1] = 0.5, 0
    metric = NME("ibug68")
    metric.update_state(truth, predicted, sample_weight=weights)
    np.testing.assert_allclose(float(metric.result()), by_hand(truth[2:], predicted[2:], weights[2:]).mean(), rtol=1e-4)
    metric.reset_state()
    metric.update_state(truth[:2], predicted[:2], sample_weight=weights[:2])
    assert float(metric.result()) == 0


def test_metric_by_the_image_is_in_crop_coordinates():
    truth, predicted, _ = random_faces(3)
    metric = NME("ibug68", normalizer="image")
    metric.update_state(truth, predicted)
    np.testing.assert_allclose(float(metric.result()), 100 * np.linalg.norm(predicted - truth, axis=-1).mean(), rtol=1e-5)


def test_metric_serialises():
    metric = NME("cofw29", normalizer="inter_pupil", name="error")
    copy = keras.metrics.deserialize(keras.metrics.serialize(metric))
    assert isinstance(copy, NME)
    assert (copy.scheme.name, copy.normalizer, copy.name) == ("cofw29", "inter_pupil", "error")
    assert copy.get_config() == metric.get_config()
