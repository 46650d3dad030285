"""The base class of codecs. A codec is a method's representation of landmarks, in one class."""

from typing import Any, Self

from keras import ops


class Codec:
    """Turns landmarks into training targets, and a network's outputs back into landmarks.

    A subclass keeps an attribute for each constructor argument, names them in `get_config`, and is registered with
    `keras.saving.register_keras_serializable`.

    Shapes: `landmarks` `(B, K, 2)` in crop coordinates, `weights` `(B, K)` with 0 where a point is not annotated, `outputs`
    the network's dict, `scores` `(B, K)`.

    Attributes:
        terms: names of the scalars that `loss` returns.
        warmup_terms: names of the scalars that `warmup_loss` returns; empty for a codec without warm-up.
    """

    terms: tuple[str, ...] = ()
    warmup_terms: tuple[str, ...] = ()

    def encode(self, landmarks: Any) -> dict[str, Any]:
        """Landmarks -> dict of training targets."""
        raise TypeError(f"{type(self).__name__} does not define encode")

    def loss(self, targets: dict[str, Any], outputs: dict[str, Any], weights: Any) -> dict[str, Any]:
        """Targets and outputs -> dict of named scalar terms; the training loss is their sum."""
        raise TypeError(f"{type(self).__name__} does not define loss")

    def decode(self, outputs: dict[str, Any]) -> tuple[Any, Any]:
        """Outputs -> landmarks and a score for each."""
        raise TypeError(f"{type(self).__name__} does not define decode")

    def get_config(self) -> dict[str, Any]:
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(**config)


def weighted_mean(values: Any, weights: Any) -> Any:
    """Mean of `(B, K)` values over the annotated points; 0 when there is none."""
    weights = ops.cast(weights, values.dtype)
    return ops.sum(values * weights) / ops.maximum(ops.sum(weights), 1.0)
