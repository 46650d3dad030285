"""Gradient reversal, which makes a feature extractor work against the classifier behind it."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="kfacealign")
class GradientReversal(keras.layers.Layer):
    """The identity, whose gradient is multiplied by -weight.

    It comes from Ganin et al., "Domain-Adversarial Training of Neural Networks", 2016, Sec. 4.2. With s(x) the input cut
    off from the gradient,

        y = s(x) + weight (s(x) - x)

    The value is x to the last bit and the derivative is -weight. This works on every backend, where a custom gradient would
    have to be written for each.

    Args:
        weight: factor of the reversed gradient at the beginning.

    Attributes:
        weight: a variable that no optimiser touches and that is saved with the model; training may assign to it.

    Input and output: a tensor of any shape.

    Example:
        >>> domain = keras.layers.Dense(1)(GradientReversal()(features))
    """

    def __init__(self, weight: float = 1.0, **kwargs: Any):
        super().__init__(**kwargs)
        self.initial_weight = float(weight)
        self.weight = self.add_weight(
            shape=(), initializer=keras.initializers.Constant(self.initial_weight), trainable=False, name="weight"
        )

    def call(self, inputs: Any) -> Any:
        stopped = ops.stop_gradient(inputs)
        return stopped + ops.cast(self.weight, inputs.dtype) * (stopped - inputs)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "weight": self.initial_weight}
