"""What a codec is: a method's representation of landmarks, in one class."""

from keras import ops


class Codec:
    """Landmarks to training targets and network outputs back to landmarks.

    A subclass keeps an attribute for each constructor argument, names them in
    `get_config`, and is registered with `keras.saving.register_keras_serializable`.

    Shapes: `landmarks` `(B, K, 2)` in crop coordinates, `weights` `(B, K)` with 0 where a
    point is not annotated, `outputs` the network's dict, `scores` `(B, K)`.

    Attributes:
        terms: names of the scalars that `loss` returns.
        warmup_terms: names that `warmup_loss` returns; empty where there is no warm-up.
    """

    terms = ()
    warmup_terms = ()

    def encode(self, landmarks):
        """Landmarks -> dict of training targets."""
        raise TypeError(f"{type(self).__name__} does not define encode")

    def loss(self, targets, outputs, weights):
        """Targets and outputs -> dict of named scalar terms; the training loss is their sum."""
        raise TypeError(f"{type(self).__name__} does not define loss")

    def decode(self, outputs):
        """Outputs -> landmarks and a score for each."""
        raise TypeError(f"{type(self).__name__} does not define decode")

    def get_config(self):
        return {}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


def weighted_mean(values, weights):
    """Mean of `(B, K)` values over the annotated points; 0 when there is none."""
    weights = ops.cast(weights, values.dtype)
    return ops.sum(values * weights) / ops.maximum(ops.sum(weights), 1.0)
