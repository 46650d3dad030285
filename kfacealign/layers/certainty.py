"""The head that says how sure a model is of each point, from the network's features and the landmarks found in them."""

from typing import Any

import keras
from keras import ops

USUAL = -4.0  # logarithm of the error of a point before anything is learnt, about 2 % of the crop's side
SPAN = 5.0  # an error is at most exp(SPAN) times the usual one, or as many times less


@keras.saving.register_keras_serializable(package="kfacealign")
class CertaintyHead(keras.layers.Layer):
    """Visibility and covariance of every landmark.

    The features are projected to `width` channels and read at each landmark by bilinear interpolation. What is read there,
    the point's own bias and score, and a context of the whole crop (mean features, landmarks and scores) are added and go
    through a ReLU; each landmark has a linear output of its own.

    Args:
        points: number of landmarks K.
        channels: channels C of the features.
        width: channels of the projection and of the context.
        scale: factor on the ellipses' axes; the calibration sets it so that they hold the share of errors that they claim.
        slope, offset: the calibrated logit of the visibility is `slope * logit + offset`.

    Input: dict of features `(B, h, w, C)`, `landmarks` `(B, K, 2)` in crop coordinates and `scores` `(B, K)`, the features under
    any name. Output: `{"visibility": (B, K), "covariance": (B, K, 3)}`, the probability that a point can be seen, and the
    error's xx, xy and yy in crop coordinates squared.
    """

    def __init__(
        self,
        points: int,
        channels: int,
        *,
        width: int = 48,
        scale: float = 1.0,
        slope: float = 1.0,
        offset: float = 0.0,
        **kwargs: Any,
    ):
        super().__init__(**{"dtype": "float32", "autocast": False, **kwargs})
        self.points = points
        self.channels = channels
        self.width = width
        self.scale, self.slope, self.offset = float(scale), float(slope), float(offset)
        self.build()

    def build(self, input_shape: Any = None) -> None:
        if self.built:
            return
        points, channels, width = self.points, self.channels, self.width
        self.projection = self.add_weight((channels, width), initializer="he_normal", name="projection")
        self.point_bias = self.add_weight((points, width), initializer="zeros", name="point_bias")
        self.score_weight = self.add_weight((points, width), initializer="zeros", name="score_weight")
        self.context = self.add_weight((channels + 3 * points, width), initializer="glorot_normal", name="context")
        self.context_bias = self.add_weight((width,), initializer="zeros", name="context_bias")
        self.mixing = self.add_weight((width, width), initializer="glorot_normal", name="mixing")
        small = keras.initializers.RandomNormal(stddev=0.01)
        self.kernel = self.add_weight((points, width, 4), initializer=small, name="kernel")
        self.bias = self.add_weight((points, 4), initializer="zeros", name="bias")
        self.built = True

    def call(self, tensors: dict[str, Any]) -> dict[str, Any]:
        landmarks, scores = (ops.cast(tensors[name], "float32") for name in ("landmarks", "scores"))
        (features,) = (ops.cast(value, "float32") for name, value in tensors.items() if name not in ("landmarks", "scores"))
        _, height, width, channels = features.shape
        projected = ops.matmul(ops.reshape(features, (-1, channels)), self.projection)
        read = sampled(ops.reshape(projected, (-1, height, width, self.width)), landmarks)
        raw = self.from_parts(read, ops.mean(features, axis=(1, 2)), landmarks, scores)
        factors = cholesky(raw) * self.scale
        return {"visibility": ops.sigmoid(self.slope * raw[..., 3] + self.offset), "covariance": covariance(factors)}

    def from_samples(self, samples: Any, mean: Any, landmarks: Any, scores: Any) -> Any:
        """The result of `from_parts` for features `(B, K, C)` that were read at the landmarks and are not projected yet."""
        return self.from_parts(ops.matmul(samples, self.projection), mean, landmarks, scores)

    def from_parts(self, read: Any, mean: Any, landmarks: Any, scores: Any) -> Any:
        """`(B, K, 4)`: three numbers of which `cholesky` makes the ellipse, and the logit of the visibility.

        Args:
            read: `(B, K, width)`, projected features at the landmarks.
            mean: `(B, C)`, mean features.
            landmarks: `(B, K, 2)`.
            scores: `(B, K)`.
        """
        places = ops.reshape(landmarks - 0.5, (-1, 2 * self.points))
        whole = ops.matmul(ops.concatenate([mean, places, scores], axis=-1), self.context) + self.context_bias
        whole = ops.matmul(ops.relu(whole), self.mixing)
        hidden = read + ops.expand_dims(whole, 1) + self.point_bias + ops.expand_dims(scores, -1) * self.score_weight
        hidden = ops.transpose(ops.relu(hidden), (1, 0, 2))
        return ops.transpose(ops.matmul(hidden, self.kernel), (1, 0, 2)) + self.bias

    def compute_output_shape(self, input_shape: Any) -> dict[str, tuple[int | None, ...]]:
        batch = input_shape["landmarks"][0]
        return {"visibility": (batch, self.points), "covariance": (batch, self.points, 3)}

    def get_config(self) -> dict[str, Any]:
        names = ("points", "channels", "width", "scale", "slope", "offset")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def sampled(features: Any, landmarks: Any) -> Any:
    """A map `(B, h, w, C)` read at points `(B, K, 2)` by bilinear interpolation: `(B, K, C)`.

    Beyond the centres of the outermost cells the map keeps their values. It is computed by products alone, because every
    runtime of exported graphs has these.
    """
    _, height, width, channels = features.shape
    across, down = tents(landmarks[..., 0], width), tents(landmarks[..., 1], height)
    weights = ops.expand_dims(down, -1) * ops.expand_dims(across, -2)
    weights = ops.reshape(weights, (-1, landmarks.shape[1], height * width))
    return ops.matmul(weights, ops.reshape(features, (-1, height * width, channels)))


def tents(places: Any, cells: int) -> Any:
    """Weights `(B, K, cells)` by which numbers at the centres of cells are interpolated at places `(B, K)` from 0 to 1."""
    positions = ops.clip(places * cells - 0.5, 0.0, cells - 1.0)
    centres = ops.arange(cells, dtype="float32")
    return ops.relu(1.0 - ops.abs(ops.expand_dims(positions, -1) - centres))


def cholesky(raw: Any) -> Any:
    """Numbers of any size `(..., 3 or more)` -> factors a, b, c `(..., 3)` of ellipses, a and c above 0."""
    a, c = (ops.exp(USUAL + SPAN * ops.tanh(raw[..., place] / SPAN)) for place in (0, 2))
    return ops.stack([a, c * ops.tanh(raw[..., 1]) * 2.0, c], axis=-1)


def covariance(factors: Any) -> Any:
    """Factors a, b, c `(..., 3)` -> xx, xy, yy `(..., 3)` of the matrix [[a, 0], [b, c]] [[a, b], [0, c]]."""
    a, b, c = factors[..., 0], factors[..., 1], factors[..., 2]
    return ops.stack([ops.square(a), a * b, ops.square(b) + ops.square(c)], axis=-1)
