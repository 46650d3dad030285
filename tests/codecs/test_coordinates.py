import keras
import numpy as np
import pytest

from kfacealign.codecs.coordinates import Coordinates
from kfacealign.losses import L2, SmoothWing


def test_encode_and_decode_are_the_identity():
    landmarks = np.random.default_rng(0).uniform(-0.1, 1.1, (2, 5, 2)).astype("float32")
    codec = Coordinates()
    decoded, scores = codec.decode(codec.encode(landmarks))
    np.testing.assert_array_equal(decoded, landmarks)
    np.testing.assert_array_equal(scores, np.ones((2, 5)))


def test_loss_is_of_pixels_over_annotated_points():
    """Errors of (1, 3) and (4, 0) pixels of a 200-px crop under L1, and one that is not annotated."""
    truth = np.full((1, 3, 2), 0.5, "float32")
    outputs = {"landmarks": truth + np.array([[[1, 3], [-4, 0], [90, 90]]], "float32") / 200}
    codec = Coordinates(pixels=200)
    terms = codec.loss(codec.encode(truth), outputs, np.array([[1, 1, 0]], "float32"))
    assert tuple(terms) == codec.terms
    assert float(terms["coordinate_loss"]) == pytest.approx(2.0, rel=1e-4)
    assert float(codec.loss(codec.encode(truth), outputs, np.zeros((1, 3), "float32"))["coordinate_loss"]) == 0


def test_loss_is_float32_for_float16_outputs():
    truth = np.full((1, 1, 2), 0.5, "float32")
    outputs = {"landmarks": keras.ops.cast(np.array([[[300.0, 0.5]]]), "float16")}
    loss = Coordinates(L2()).loss({"landmarks": truth}, outputs, np.ones((1, 1), "float32"))["coordinate_loss"]
    assert float(loss) == pytest.approx((299.5 * 192) ** 2 / 4, rel=1e-3)


def test_any_keras_loss_of_coordinates_will_do():
    truth, outputs = np.zeros((1, 1, 2), "float32"), {"landmarks": np.full((1, 1, 2), 0.01, "float32")}
    terms = Coordinates(keras.losses.MeanSquaredError(), pixels=100).loss(
        {"landmarks": truth}, outputs, np.ones((1, 1), "float32")
    )
    assert float(terms["coordinate_loss"]) == pytest.approx(1.0, rel=1e-4)


def test_serialises_with_its_loss():
    codec = Coordinates(SmoothWing(w=5.0, t=0.1), pixels=128)
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(codec))
    assert isinstance(copy.point_loss, SmoothWing) and copy.point_loss.w == 5.0


def test_pixels_must_be_positive():
    with pytest.raises(ValueError, match="pixels must be positive"):
        Coordinates(pixels=0)
