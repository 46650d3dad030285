"""The decimal-heatmap head of HIH (Sec. III-D): from the fused trunk to K small maps."""

from typing import Any

import keras

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
