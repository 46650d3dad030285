"""Local soft-argmax as a layer ("Subpixel Heatmap Regression", Sec. 3.3)."""

from typing import Any

import keras

from kfacealign.codecs.decoders import check, local_soft_argmax


@keras.saving.register_keras_serializable(package="kfacealign")
class LocalSoftArgmax(keras.layers.Layer):
    """From heatmaps to points: the soft-argmax of a window around each maximum (Eq. 4-5).

    The layer is differentiable in the values of the window and computes in float32. It has static shapes and built-in
    operators only, so that it can end a graph for TFLite. `kfacealign.codecs.decoders` says what it answers for flat maps,
    maxima at the border, NaN and infinities.

    Args:
        window: side of the window in cells, 3, 5 or 7; the map's border cuts it.
        temperature: factor on the map before the softmax. The paper's 10 suits maps of height 1: it reads a Gaussian nearly
            without bias if sigma is about 0.6 times the temperature's root; `ContinuousHeatmap` says why.
        cell_centre: cell i of n stands for the crop coordinate `(i + cell_centre) / n`: its centre with 0.5, as in
            `ContinuousHeatmap`, and its upper left corner with 0, as in `Heatmap`.

    Input `(B, h, w, K)`; outputs landmarks `(B, K, 2)` in crop coordinates, x and y, and scores `(B, K)`, the maps' maxima.

    Raises:
        ValueError: the window is not 3, 5 or 7.

    Example:
        >>> landmarks, scores = LocalSoftArgmax(window=5)(heatmaps)
    """

    def __init__(self, window: int = 5, *, temperature: float = 10.0, cell_centre: float = 0.5, **kwargs: Any):
        super().__init__(**{"dtype": "float32", "autocast": False, **kwargs})
        check("local", window=window)
        self.window = window
        self.temperature = temperature
        self.cell_centre = cell_centre

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[tuple[int | None, ...], tuple[int | None, ...]]:
        return (input_shape[0], input_shape[-1], 2), (input_shape[0], input_shape[-1])

    def call(self, inputs: Any) -> tuple[Any, Any]:
        return local_soft_argmax(inputs, window=self.window, temperature=self.temperature, cell_centre=self.cell_centre)

    def get_config(self) -> dict[str, Any]:
        config = {"window": self.window, "temperature": self.temperature, "cell_centre": self.cell_centre}
        return {**super().get_config(), **config}
