"""Coordinates without a heatmap: the network regresses the points themselves."""

from typing import Any, Self

import keras
from keras import ops

from kfacealign.codecs.codec import Codec, weighted_mean
from kfacealign.losses import L1


@keras.saving.register_keras_serializable(package="kfacealign")
class Coordinates(Codec):
    """Landmarks regressed directly, under any loss of coordinates.

    Encoding and decoding are the identity. The loss sees errors in pixels, which are crop coordinates times `pixels`. So
    thresholds such as Wing's `w = 10` mean what their papers say.

    Args:
        loss: a Keras loss, by default `L1()`. Its `call` maps `(B, K, 2)` in pixels to one value a point, `(B, K)`; the codec
            takes the mean over the annotated points, whatever the loss's `reduction`.
        pixels: side of the crop that the loss's unit refers to (192 in LOTR).

    Outputs read: `landmarks` `(B, K, 2)` in crop coordinates. Regression does not tell how sure it is, so every score is 1.

    Raises:
        ValueError: `pixels` is not positive.

    Example:
        >>> codec = Coordinates(kfacealign.losses.SmoothWing(), pixels=192)
        >>> codec.loss(codec.encode(landmarks), {"landmarks": predicted}, weights)
        {'coordinate_loss': ...}
    """

    terms = ("coordinate_loss",)

    def __init__(self, loss: keras.losses.Loss | None = None, *, pixels: float = 192):
        if pixels <= 0:
            raise ValueError(f"pixels must be positive (the crop side that the loss is measured in), got {pixels}")
        self.point_loss = L1() if loss is None else loss
        self.pixels = pixels

    def encode(self, landmarks: Any) -> dict[str, Any]:
        return {"landmarks": landmarks}

    def loss(self, targets: dict[str, Any], outputs: dict[str, Any], weights: Any) -> dict[str, Any]:
        truth = ops.cast(targets["landmarks"], "float32") * self.pixels
        predicted = ops.cast(outputs["landmarks"], "float32") * self.pixels
        return {"coordinate_loss": weighted_mean(self.point_loss.call(truth, predicted), weights)}

    def decode(self, outputs: dict[str, Any]) -> tuple[Any, Any]:
        landmarks = ops.cast(outputs["landmarks"], "float32")
        return landmarks, ops.ones_like(ops.sum(landmarks, axis=-1))

    def get_config(self) -> dict[str, Any]:
        return {"loss": keras.saving.serialize_keras_object(self.point_loss), "pixels": self.pixels}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(**{**config, "loss": keras.saving.deserialize_keras_object(config["loss"])})
