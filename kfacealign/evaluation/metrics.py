"""Normalised errors of landmarks, in percent, in `keras.ops`.

The normalisers are named as the field names them: `inter_ocular` (distance of the outer eye corners), `inter_pupil`
(of the pupils' centres), `box` (sqrt(width * height) of the landmarks' box), `diagonal` (of that box) and `image` (the
side of a square image). Truth and prediction share one coordinate system with equal units along x and y.
"""

import keras
from keras import ops

from kfacealign import schemes


def normalizer(landmarks, scheme, name=None, weights=None, image_size=None):
    """The length that a face's errors are divided by.

    Args:
        landmarks: `(B, K, 2)` true landmarks.
        scheme: their scheme.
        name: normaliser; None takes the scheme's default.
        weights: `(B, K)`; points of weight 0 do not count for the box.
        image_size: side of the image, for "image".

    Returns:
        `(B,)` in the units of the landmarks.

    Raises:
        ValueError: the scheme has no such normaliser, or `image_size` is missing.
    """
    scheme = schemes.get(scheme)
    name = name or scheme.default_normalizer
    if name not in scheme.normalizers():
        raise ValueError(f"{scheme.name} has no normaliser {name!r}; it has {', '.join(scheme.normalizers())}")
    landmarks = ops.cast(landmarks, "float32")
    if name == "image":
        if image_size is None:
            raise ValueError("the normaliser 'image' needs image_size")
        return ops.ones_like(landmarks[:, 0, 0]) * image_size
    if name in ("box", "diagonal"):
        width, height = _extent(landmarks, weights)
        return ops.sqrt(width * height) if name == "box" else ops.sqrt(width**2 + height**2)
    groups = [(point,) for point in scheme.eye_corners] if name == "inter_ocular" else scheme.pupils
    left, right = (ops.mean(ops.take(landmarks, list(group), axis=1), axis=1) for group in groups)
    return _length(left - right)


def normalized_errors(truth, predicted, scheme, name=None, weights=None, image_size=None):
    """`(B, K)` distances in percent of the normaliser; 0 where a face's normaliser is 0."""
    truth, predicted = ops.cast(truth, "float32"), ops.cast(predicted, "float32")
    length = normalizer(truth, scheme, name, weights, image_size)[:, None]
    distance = _length(predicted - truth)
    return ops.where(length > 0, 100.0 * distance / ops.where(length > 0, length, 1.0), 0.0)


def nme(truth, predicted, scheme, name=None, weights=None, image_size=None):
    """Normalised mean error of each face, `(B,)` percent: the mean over its annotated points (0 where there is none)."""
    errors = normalized_errors(truth, predicted, scheme, name, weights, image_size)
    return _point_mean(errors, weights)


def nrmse(truth, predicted, scheme, name=None, weights=None, image_size=None):
    """Normalised root mean squared error of each face, `(B,)` percent."""
    errors = normalized_errors(truth, predicted, scheme, name, weights, image_size)
    return ops.sqrt(_point_mean(errors**2, weights))


@keras.saving.register_keras_serializable(package="kfacealign")
class NME(keras.metrics.Metric):
    """Mean of `nme` over faces, in percent; faces without annotated points or with a normaliser of 0 do not count.

    Args:
        scheme: landmark scheme, a name or a `Scheme`.
        normalizer: name; None takes the scheme's default.
    """

    def __init__(self, scheme, normalizer=None, name="nme", **kwargs):
        super().__init__(name=name, **kwargs)
        self.scheme = schemes.get(scheme)
        self.normalizer = normalizer or self.scheme.default_normalizer
        self.total = self.add_variable((), initializer="zeros", name="total")
        self.count = self.add_variable((), initializer="zeros", name="count")

    def update_state(self, y_true, y_pred, sample_weight=None):
        """`y_true`, `y_pred` `(B, K, 2)` landmarks; `sample_weight` `(B, K)`, 0 = not annotated."""
        y_true = ops.cast(y_true, "float32")
        if sample_weight is None:
            sample_weight = ops.ones_like(y_true[..., 0])
        sample_weight = ops.cast(sample_weight, "float32")
        length = normalizer(y_true, self.scheme, self.normalizer, sample_weight)
        counted = ops.cast(ops.logical_and(ops.sum(sample_weight, axis=-1) > 0, length > 0), "float32")
        errors = nme(y_true, y_pred, self.scheme, self.normalizer, sample_weight)
        self.total.assign_add(ops.sum(errors * counted))
        self.count.assign_add(ops.sum(counted))

    def result(self):
        return self.total / ops.maximum(self.count, 1.0)

    def get_config(self):
        return {**super().get_config(), "scheme": self.scheme.name, "normalizer": self.normalizer}


def _length(vectors):
    return ops.sqrt(ops.sum(ops.square(vectors), axis=-1))


def _extent(landmarks, weights):
    """Width and height of the box of the annotated points, `(B,)` each."""
    low = high = landmarks
    if weights is not None:
        counted = (ops.cast(weights, "float32") > 0)[..., None]
        low = ops.where(counted, landmarks, float("inf"))
        high = ops.where(counted, landmarks, -float("inf"))
    extent = ops.max(high, axis=1) - ops.min(low, axis=1)
    extent = ops.where(extent > 0, extent, 0.0)
    return extent[:, 0], extent[:, 1]


def _point_mean(values, weights):
    if weights is None:
        return ops.mean(values, axis=-1)
    weights = ops.cast(weights, "float32")
    return ops.sum(values * weights, axis=-1) / ops.maximum(ops.sum(weights, axis=-1), 1e-9)
