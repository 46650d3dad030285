"""Local soft-argmax as a layer ("Subpixel Heatmap Regression", Sec. 3.3)."""

import keras

from kfacealign.codecs.decoders import check, local_soft_argmax


@keras.saving.register_keras_serializable(package="kfacealign")
class LocalSoftArgmax(keras.layers.Layer):
    """Heatmaps to points: the soft-argmax of a window around each maximum (Eq. 4-5).

    Differentiable in the values of the window; computed in float32; static shapes and built-in
    operators only, so that it can end a graph for TFLite. What it answers for flat maps, maxima at
    the border, NaN and infinities is in `kfacealign.codecs.decoders`.

    Args:
        window: side of the window in cells, 3, 5 or 7; the map's border cuts it.
        temperature: factor on the map before the softmax. The paper's 10 suits maps of height 1; it
            reads a Gaussian nearly without bias where sigma is about 0.6 times its root, see
            `ContinuousHeatmap`.
        cell_centre: cell i of n stands for the crop coordinate `(i + cell_centre) / n`: 0.5 for its
            centre, as in `ContinuousHeatmap`, 0 as in `Heatmap`.

    Input `(B, h, w, K)`; output landmarks `(B, K, 2)` in crop coordinates, x and y, and scores `(B, K)`,
    the maps' maxima.

    Raises:
        ValueError: the window is another.

    Example:
        >>> landmarks, scores = LocalSoftArgmax(window=5)(heatmaps)
    """

    def __init__(self, window=5, temperature=10.0, cell_centre=0.5, **kwargs):
        super().__init__(**{"dtype": "float32", "autocast": False, **kwargs})
        check("local", window)
        self.window = window
        self.temperature = temperature
        self.cell_centre = cell_centre

    def compute_output_shape(self, input_shape):
        return (input_shape[0], input_shape[-1], 2), (input_shape[0], input_shape[-1])

    def call(self, inputs):
        return local_soft_argmax(inputs, self.window, self.temperature, self.cell_centre)

    def get_config(self):
        config = {"window": self.window, "temperature": self.temperature, "cell_centre": self.cell_centre}
        return {**super().get_config(), **config}
