"""Heads for the position inside a heatmap's cell: one value for each landmark, or one map for all."""

from typing import Any

import keras

from kfacealign.layers.hourglass import basic_residual, conv_bn, predict_maps


@keras.saving.register_keras_serializable(package="kfacealign")
class OffsetValueHead(keras.layers.Layer):
    """Two values for each landmark, from convolutions and a fully connected layer (HIH, appendix C).

    The text gives no widths. The convolutions are therefore the body of the decimal-heatmap head (1x1 conv-BN-ReLU, 3x3
    stride-2 max-pool, stride-2 residual blocks) down to `size` cells; the fully connected layer follows. Without `filters`
    the head is the global pooling and fully connected layer of the coordinate correction ("Subpixel Heatmap Regression",
    Sec. 4.1).

    Args:
        points: number of landmarks K.
        filters: width of the convolutions; None leaves them out.
        size: side that the convolutions lead to: the input side divided by 4, 8, 16 ...

    Input `(B, H, H, C)`, output `(B, K, 2)` in cells, float32.

    Raises:
        ValueError: there are `filters` and the input side is not `size` times 4, 8, 16 ...
    """

    def __init__(self, points: int, *, filters: int | None = None, size: int = 8, **kwargs: Any):
        super().__init__(**kwargs)
        self.points = points
        self.filters = filters
        self.size = size
        self.body = None

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        _, height, width, channels = input_shape
        # === Functional model ===
        inputs = keras.Input((height, width, channels), dtype=self.compute_dtype)
        if self.filters is None:
            x = keras.layers.GlobalAveragePooling2D(name="pool")(inputs)
        else:
            halvings = (height // self.size).bit_length() - 1
            if height != width or halvings < 2 or self.size << halvings != height:
                raise ValueError(
                    f"an offset head of size {self.size} needs a square input whose side is {self.size} times 4, 8, 16 ...; "
                    f"got {height}x{width}. Choose another size or input_size."
                )
            x = conv_bn(inputs, self.filters, 1, name="widen")
            x = keras.layers.MaxPooling2D(3, strides=2, name="pool")(x)
            for block in range(1, halvings):
                x = basic_residual(x, self.filters, strides=2, name=f"block{block}")
            x = keras.layers.Flatten(name="flat")(x)
        x = keras.layers.Dense(2 * self.points, dtype="float32", name="offset")(x)
        self.body = keras.Model(inputs, keras.layers.Reshape((self.points, 2), dtype="float32", name="pairs")(x), name="body")
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        return self.body(inputs, training=training)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "points": self.points, "filters": self.filters, "size": self.size}


@keras.saving.register_keras_serializable(package="kfacealign")
class OffsetMapHead(keras.layers.Layer):
    """The position inside the cell as two maps, along x and along y, for all landmarks (HIH, appendix B).

    It follows CornerNet's head: a 3x3 conv-BN-ReLU and a 1x1 convolution.

    Args:
        filters: width of the first convolution.

    Input `(B, H, W, C)`, output `(B, H, W, 2)` in cells, float32.
    """

    def __init__(self, filters: int = 256, **kwargs: Any):
        super().__init__(**kwargs)
        self.filters = filters
        self.body = None

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        inputs = keras.Input(input_shape[1:], dtype=self.compute_dtype)
        x = conv_bn(inputs, self.filters, 3, name="mix")
        self.body = keras.Model(inputs, predict_maps(x, 2, name="maps"), name="body")
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        return self.body(inputs, training=training)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "filters": self.filters}
