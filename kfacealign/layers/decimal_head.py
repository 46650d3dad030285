"""Heads of decimal heatmaps: HIH's own (Sec. III-D), and one that learns in a short training."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from kfacealign.codecs.decoders import argmax_cells, windows
from kfacealign.layers.hourglass import basic_residual, conv_bn, predict_maps


@keras.saving.register_keras_serializable(package="kfacealign")
class DecimalHeatmapHead(keras.layers.Layer):
    """Maps of the position inside the integer cell, one for each landmark.

    The layers are a 1x1 conv-BN-ReLU to `filters`, a 3x3 stride-2 max-pool without padding, stride-2 basic residual blocks
    down to `size`, a 1x1 conv-BN-ReLU and a 1x1 convolution to `maps`.

    Args:
        maps: number of landmarks K.
        size: side of the decimal maps: the input side divided by 4, 8, 16 ...
        filters: width of the head (384 in the paper's networks).

    Input `(B, H, H, C)`, output `(B, size, size, K)`, float32.

    Raises:
        ValueError: the input side is not `size` times 4, 8, 16 ... (The max-pool without padding leaves an odd side, which a
            strided block makes up for.)

    Example:
        >>> DecimalHeatmapHead(maps=98, size=8)(keras.ops.ones((1, 64, 64, 256))).shape
        (1, 8, 8, 98)
    """

    def __init__(self, maps: int, *, size: int = 8, filters: int = 384, **kwargs: Any):
        super().__init__(**kwargs)
        self.maps = maps
        self.size = size
        self.filters = filters
        self.body = None

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        _, height, width, channels = input_shape
        halvings = (height // self.size).bit_length() - 1
        if height != width or halvings < 2 or self.size << halvings != height:
            raise ValueError(
                f"decimal maps of side {self.size} need a square input whose side is {self.size} times 4, 8, 16 ...; "
                f"got {height}x{width}. Choose another input_size or decimal_size."
            )
        # === Functional model ===
        inputs = keras.Input((height, width, channels), dtype=self.compute_dtype)
        x = conv_bn(inputs, self.filters, 1, name="widen")
        x = keras.layers.MaxPooling2D(3, strides=2, name="pool")(x)
        for block in range(1, halvings):
            x = basic_residual(x, self.filters, strides=2, name=f"block{block}")
        x = conv_bn(x, self.filters, 1, name="mix")
        self.body = keras.Model(inputs, predict_maps(x, self.maps, name="maps"), name="body")
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        return self.body(inputs, training=training)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "maps": self.maps, "size": self.size, "filters": self.filters}


@keras.saving.register_keras_serializable(package="kfacealign")
class AttendedDecimalHead(keras.layers.Layer):
    """Maps of the position inside the integer cell, read at each landmark's own place; this head is not the paper's.

    The cells of a decimal map are parts of one integer cell, but those of `DecimalHeatmapHead` are regions of the face: each
    of them must be told of a landmark that lies anywhere, and must know which part it stands for. This head reads a landmark
    where its integer map is highest. Two things are read there:

    - the features of the trunk, in a mean that the softmax of the integer map weighs;
    - the heights of the integer map in the window around its maximum, as shares of their sum, through one fully connected
      layer to `filters` that all landmarks share. A trained map is the mean of the Gaussians that may be meant, so that its
      heights beside the maximum tell how far, and to which side, the landmark lies from the cell's middle.

    Each landmark has a fully connected layer of its own, which turns both into its decimal map. All integer cells are then read
    alike.

    Args:
        maps: number of landmarks K.
        size: side of the decimal maps.
        filters: width of what is read of the heights.
        window: side of the window in integer cells, odd.
        temperature: factor on the integer maps, whose peak is 1 in training, before the softmax.

    Inputs: features `(B, H, W, C)` and integer maps `(B, H, W, K)`, H and W static. Output `(B, size, size, K)`, float32. The
    integer maps get no gradient from this head.

    Example:
        >>> AttendedDecimalHead(98)([keras.ops.ones((1, 64, 64, 256)), keras.ops.ones((1, 64, 64, 98))]).shape
        (1, 8, 8, 98)
    """

    def __init__(
        self, maps: int, *, size: int = 8, filters: int = 384, window: int = 7, temperature: float = 30.0, **kwargs: Any
    ):
        super().__init__(**kwargs)
        self.maps = maps
        self.size = size
        self.filters = filters
        self.window = window
        self.temperature = temperature

    def build(self, input_shape: Sequence[tuple[int | None, ...]]) -> None:
        cells, read = self.size**2, input_shape[0][-1] + self.filters
        small = keras.initializers.RandomNormal(stddev=0.001)
        self.kernel = self.add_weight((self.maps, read, cells), initializer=small, dtype="float32", name="kernel")
        self.bias = self.add_weight((self.maps, 1, cells), initializer="zeros", dtype="float32", name="bias")
        self.heights = keras.layers.Dense(
            self.filters, activation="relu", kernel_initializer="he_normal", dtype="float32", name="heights"
        )
        self.heights.build((None, self.maps, self.window**2))
        self.built = True

    def compute_output_shape(self, input_shape: Sequence[tuple[int | None, ...]]) -> tuple[int | None, ...]:
        return input_shape[0][0], self.size, self.size, self.maps

    def call(self, inputs: Sequence[Any]) -> Any:
        features, maps = inputs
        maps = ops.stop_gradient(ops.cast(maps, "float32"))
        _, height, width, channels = features.shape
        flat = ops.reshape(ops.cast(features, "float32"), (-1, height * width, channels))
        attended = ops.matmul(self.weights_of_cells(maps), flat)
        read = ops.concatenate([attended, self.heights(self.window_shares(maps))], axis=-1)
        decimal = ops.matmul(ops.transpose(read, (1, 0, 2)), ops.cast(self.kernel, "float32")) + ops.cast(self.bias, "float32")
        return ops.reshape(ops.transpose(decimal, (1, 2, 0)), (-1, self.size, self.size, self.maps))

    def weights_of_cells(self, maps: Any) -> Any:
        """Integer maps `(B, H, W, K)` -> the weight of every cell for each landmark `(B, K, H * W)`, 1 in sum."""
        _, height, width, _ = maps.shape
        flat = ops.reshape(maps, (-1, height * width, self.maps))
        return ops.softmax(self.temperature * ops.transpose(flat, (0, 2, 1)), axis=-1)

    def window_shares(self, maps: Any) -> Any:
        """Integer maps `(B, H, W, K)` -> what each cell of the window around the maximum holds of the window's sum.

        Returns:
            `(B, K, window * window)`, 1 in the mean; cells below 0 and outside the map hold nothing.
        """
        values, _, _ = windows(maps, argmax_cells(maps)[0], self.window // 2)
        heights = ops.reshape(ops.maximum(values, 0.0), (-1, self.maps, self.window**2))
        return heights / (ops.mean(heights, axis=-1, keepdims=True) + 1e-6)

    def get_config(self) -> dict[str, Any]:
        own = {"maps": self.maps, "size": self.size, "filters": self.filters, "window": self.window}
        return {**super().get_config(), **own, "temperature": self.temperature}
