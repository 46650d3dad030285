"""Transposed convolutions as convolutions, which LiteRT's XNNPACK computes in about half the time.

A transposed convolution of stride 2 and kernel 4 writes every second output cell from the same 2 x 2 weights. The cells of
even and odd rows and columns are four phases, and each phase is a convolution of the input with its own 2 x 2 weights: one
convolution of four times the filters finds all phases, and `depth_to_space` puts them in their places. The sums are the same,
added up in another order.
"""

from typing import Any

import keras
from keras import ops

# What a layer's config has to say for its phases to be those of `TransposedByPhases`.
FITTING = {
    "kernel_size": (4, 4),
    "strides": (2, 2),
    "padding": "same",
    "output_padding": None,
    "dilation_rate": (1, 1),
    "data_format": "channels_last",
}


@keras.saving.register_keras_serializable(package="kfacealign")
class TransposedByPhases(keras.layers.Conv2DTranspose):
    """A `Conv2DTranspose` of stride 2 and kernel 4, with its weights and its results, computed as one convolution.

    It needs the TensorFlow backend, as all that is exported.

    Input: (B, H, W, C). Output: (B, 2 H, 2 W, filters).
    """

    def call(self, inputs: Any) -> Any:
        import tensorflow as tf

        height, width = inputs.shape[1:3]
        kernel = ops.transpose(ops.convert_to_tensor(self.kernel), (0, 1, 3, 2))  # (4, 4, C, filters)
        places = [(row, column) for row in range(2) for column in range(2)]
        # Output cell 2 m reads input cells m - 1 and m by the weights 3 and 1, cell 2 m + 1 reads m and m + 1 by 2 and 0.
        weights = ops.concatenate([kernel[3 - row :: -2, 3 - column :: -2] for row, column in places], axis=-1)
        padded = ops.pad(inputs, ((0, 0), (1, 1), (1, 1), (0, 0)))
        found = ops.conv(padded, weights, strides=1, padding="valid")
        count = self.filters
        phases = [
            found[:, row : row + height, column : column + width, place * count : (place + 1) * count]
            for place, (row, column) in enumerate(places)
        ]
        outputs = tf.nn.depth_to_space(ops.concatenate(phases, axis=-1), 2)
        if self.use_bias:
            outputs = outputs + self.bias
        return self.activation(outputs)


def by_phases(network: keras.Model) -> keras.Model:
    """The network itself, or, where it has transposed convolutions of stride 2 and kernel 4, a copy that computes them by phases.

    Args:
        network: functional model.
    """
    config = network.get_config()
    wanted = _replaced(config)
    if wanted == config:
        return network
    copy = type(network).from_config(wanted)
    copy.set_weights(network.get_weights())
    return copy


def _replaced(config):
    """A copy of a Keras config in which every layer that fits, at any depth, is a `TransposedByPhases`."""
    if isinstance(config, dict):
        if config.get("class_name") == "Conv2DTranspose" and _fits(config["config"]):
            name = keras.saving.get_registered_name(TransposedByPhases)
            new = {"module": TransposedByPhases.__module__, "class_name": "TransposedByPhases", "registered_name": name}
            return {**config, **new}
        return {key: _replaced(value) for key, value in config.items()}
    if isinstance(config, list | tuple):
        return type(config)(map(_replaced, config))
    return config


def _fits(config):
    """Whether a `Conv2DTranspose` of this config has the phases of `TransposedByPhases`."""
    found = {key: tuple(value) if isinstance(value := config.get(key), list) else value for key in FITTING}
    return found == FITTING
