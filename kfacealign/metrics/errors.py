"""Normalised errors of landmarks, in percent, in `keras.ops`.

With true landmarks p, predictions q, weights w and a length d that depends on the truth alone, a face has

    e_k = 100 |q_k - p_k| / d      NME = sum_k w_k e_k / sum_k w_k      NRMSE = sqrt(sum_k w_k e_k^2 / sum_k w_k)

and a variance of the errors over its points, `point_variance`.

The normalisers d are named as the field names them:

| name | length |
|---|---|
| `inter_ocular` | between the outer corners of the eyes |
| `inter_pupil` | between the centres of the pupils |
| `box` | sqrt(width * height) of the landmarks' box |
| `diagonal` | the diagonal of the landmarks' box |
| `image` | the side of the square image |

Truth and prediction share one coordinate system with equal units along x and y. A point of weight 0 counts nowhere. A face
whose normaliser needs such a point has no normaliser: its length is 0.
"""

from typing import Any

from kfacealign import schemes
from kfacealign.backend import keras, ops


def normalizer(
    landmarks: Any,
    scheme: schemes.Scheme | str,
    *,
    name: str | None = None,
    weights: Any = None,
    image_size: Any = None,
) -> Any:
    """The length that a face's errors are divided by.

    Args:
        landmarks: `(B, K, 2)` true landmarks.
        scheme: scheme of the landmarks, a name or a `Scheme`.
        name: normaliser; None takes the scheme's default.
        weights: `(B, K)`, 0 = not annotated; None counts every point.
        image_size: side of the image in the units of the landmarks, a number or `(B,)`; only "image" reads it.

    Returns:
        `(B,)` in the units of the landmarks; 0 where the face has no such length.

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
        return ops.ones_like(landmarks[:, 0, 0]) * ops.cast(image_size, "float32")
    if name in ("box", "diagonal"):
        width, height = _extent(landmarks, weights)
        return ops.sqrt(width * height) if name == "box" else ops.sqrt(width**2 + height**2)
    left, right = [(point,) for point in scheme.eye_corners] if name == "inter_ocular" else scheme.pupils
    length = _length(_centre(landmarks, left) - _centre(landmarks, right))
    if weights is None:
        return length
    return ops.where(ops.all(ops.take(weights, [*left, *right], axis=1) > 0, axis=1), length, 0.0)


def normalized_errors(
    truth: Any,
    predicted: Any,
    scheme: schemes.Scheme | str,
    *,
    name: str | None = None,
    weights: Any = None,
    image_size: Any = None,
) -> Any:
    """The error of each point: its distance from the truth in percent of the normaliser.

    The arguments and what is raised are those of `nme`.

    Returns:
        `(B, K)` percent; 0 where a face's normaliser is 0.
    """
    truth, predicted = ops.cast(truth, "float32"), ops.cast(predicted, "float32")
    length = normalizer(truth, scheme, name=name, weights=weights, image_size=image_size)[:, None]
    distance = _length(predicted - truth)
    return ops.where(length > 0, 100.0 * distance / ops.where(length > 0, length, 1.0), 0.0)


def nme(
    truth: Any,
    predicted: Any,
    scheme: schemes.Scheme | str,
    *,
    name: str | None = None,
    weights: Any = None,
    image_size: Any = None,
) -> Any:
    """Normalised mean error of each face: the mean over its annotated points.

    Args:
        truth: `(B, K, 2)` true landmarks.
        predicted: `(B, K, 2)` landmarks in the same coordinate system.
        scheme: scheme of both, a name or a `Scheme`.
        name: normaliser; None takes the scheme's default.
        weights: `(B, K)`, 0 = not annotated; None counts every point.
        image_size: side of the image in the units of the landmarks, a number or `(B,)`; only the normaliser "image" reads it.

    Returns:
        `(B,)` percent; 0 for a face without annotated points or with a normaliser of 0.

    Raises:
        ValueError: the scheme has no such normaliser, or `image_size` is missing.
    """
    errors = normalized_errors(truth, predicted, scheme, name=name, weights=weights, image_size=image_size)
    return _point_mean(errors, weights)


def nrmse(
    truth: Any,
    predicted: Any,
    scheme: schemes.Scheme | str,
    *,
    name: str | None = None,
    weights: Any = None,
    image_size: Any = None,
) -> Any:
    """Normalised root mean squared error of each face, `(B,)` percent.

    The arguments and what is raised are those of `nme`.
    """
    errors = normalized_errors(truth, predicted, scheme, name=name, weights=weights, image_size=image_size)
    return ops.sqrt(_point_mean(errors**2, weights))


def point_variance(
    truth: Any,
    predicted: Any,
    scheme: schemes.Scheme | str,
    *,
    name: str | None = None,
    weights: Any = None,
    image_size: Any = None,
) -> Any:
    """Variance of a face's errors over its annotated points; its mean over a test set is PIPNet's Point-Var (Sec. 4.3.2).

    With the errors as vectors in percent of the normaliser, d_k = 100 (q_k - p_k) / d, and their mean m over the points,

        m = sum_k w_k d_k / sum_k w_k      variance = sum_k w_k |d_k - m|^2 / sum_k w_k

    The variance tells how well the points agree with each other; a prediction that is only shifted has a variance of 0. The
    paper does not state its unit. Here it is percent squared, summed over x and y, so that neither the size of an image nor
    the axis of an error matters. It compares models with each other, but not with the axis of the paper's Fig. 12.

    The arguments and what is raised are those of `nme`.

    Returns:
        `(B,)` percent squared; 0 for a face without annotated points or with a normaliser of 0.
    """
    truth, predicted = ops.cast(truth, "float32"), ops.cast(predicted, "float32")
    length = normalizer(truth, scheme, name=name, weights=weights, image_size=image_size)[:, None, None]
    vectors = ops.where(length > 0, 100.0 * (predicted - truth) / ops.where(length > 0, length, 1.0), 0.0)
    along_axes = ops.transpose(vectors, (0, 2, 1))
    if weights is not None:
        weights = ops.expand_dims(ops.cast(weights, "float32"), 1)
    centred = along_axes - _point_mean(along_axes, weights)[..., None]
    return ops.sum(_point_mean(ops.square(centred), weights), axis=-1)


@keras.saving.register_keras_serializable(package="kfacealign")
class NME(keras.metrics.Metric):
    """Mean of `nme` over faces, in percent; faces without annotated points or with a normaliser of 0 do not count.

    Landmarks are in crop coordinates, so the side of the image is 1.

    Args:
        scheme: landmark scheme, a name or a `Scheme`.
        normalizer: name of the normaliser; None takes the scheme's default.

    Example:
        >>> metric = NME("wflw98")
        >>> metric.update_state(landmarks, predicted, sample_weight=weights)
        >>> metric.result()
    """

    def __init__(self, scheme: schemes.Scheme | str, *, normalizer: str | None = None, name: str = "nme", **kwargs: Any):
        super().__init__(name=name, **kwargs)
        self.scheme = schemes.get(scheme)
        self.normalizer = normalizer or self.scheme.default_normalizer
        self.total = self.add_variable((), initializer="zeros", name="total")
        self.count = self.add_variable((), initializer="zeros", name="count")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds the faces of a batch.

        Args:
            y_true: `(B, K, 2)` true landmarks.
            y_pred: `(B, K, 2)` predicted landmarks.
            sample_weight: `(B, K)`, 0 = not annotated; None counts every point.
        """
        y_true = ops.cast(y_true, "float32")
        if sample_weight is None:
            sample_weight = ops.ones_like(y_true[..., 0])
        sample_weight = ops.cast(sample_weight, "float32")
        length = normalizer(y_true, self.scheme, name=self.normalizer, weights=sample_weight, image_size=1.0)
        counted = ops.cast(ops.logical_and(ops.sum(sample_weight, axis=-1) > 0, length > 0), "float32")
        errors = nme(y_true, y_pred, self.scheme, name=self.normalizer, weights=sample_weight, image_size=1.0)
        self.total.assign_add(ops.sum(errors))  # faces that do not count have an error of 0
        self.count.assign_add(ops.sum(counted))

    def result(self) -> Any:
        return self.total / ops.maximum(self.count, 1.0)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "scheme": schemes.described(self.scheme), "normalizer": self.normalizer}


def _centre(landmarks, group):
    return ops.mean(ops.take(landmarks, list(group), axis=1), axis=1)


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
    counted = ops.where(weights > 0, values, 0.0)  # a point that is not annotated may hold NaN
    return ops.sum(counted * weights, axis=-1) / ops.maximum(ops.sum(weights, axis=-1), 1e-9)
