"""Gradient reversal: what makes a feature extractor work against the classifier behind it."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="kfacealign")
class GradientReversal(keras.layers.Layer):
    """The identity whose gradient is multiplied by -weight (Ganin et al., "Domain-Adversarial Training of Neural
    Networks", 2016, Sec. 4.2).

    With s(x) the input cut off from the gradient, y = s(x) + weight (s(x) - x): the value is x to the last bit, the
    derivative is -weight, on every backend and without its own kind of custom gradient.

    Args:
        weight: factor of the reversed gradient that the layer begins with.

    Attributes:
        weight: a variable that no optimiser touches and that is saved with the model; assign to it while training.

    Input and output: a tensor of any shape.

    Example:
        >>> domain = keras.layers.Dense(1)(GradientReversal()(features))
    """

    def __init__(self, weight=1.0, **kwargs):
        super().__init__(**kwargs)
        self.initial_weight = float(weight)
        self.weight = self.add_weight(
            shape=(), initializer=keras.initializers.Constant(self.initial_weight), trainable=False, name="weight"
        )

    def call(self, inputs):
        stopped = ops.stop_gradient(inputs)
        return stopped + ops.cast(self.weight, inputs.dtype) * (stopped - inputs)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "weight": self.initial_weight}
