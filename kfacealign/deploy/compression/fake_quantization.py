"""Eight-bit arithmetic emulated in a twin while it is trained, by tensorflow-model-optimization.

Layers that LiteRT computes as one operator are rounded once: a convolution with its batch normalisation and its ReLU has one
range of outputs. Kernels have a scale for each channel, also those of depthwise convolutions.
"""

from typing import Any

import numpy as np
import tensorflow as tf

from kfacealign.deploy.compression.tf_keras_layers import LAYERS, scale_and_shift
from kfacealign.deploy.compression.tf_keras_twin import plain, tf_keras, tfmot

# Layer -> the layers after it that LiteRT merges with it into one operator.
MERGED = {
    "Add": ("ReLU",),
    "Affine": ("ReLU",),
    "BatchNormalization": ("ReLU",),
    "ChannelNormalization": ("ReLU",),
    "Conv2D": ("BatchNormalization", "ReLU"),
    "Dense": ("BatchNormalization", "ReLU"),
    "DepthwiseConv2D": ("BatchNormalization", "ReLU"),
}
# The outputs of these are not rounded: they return values that they have read, or have a range that LiteRT knows.
UNTOUCHED = ("Activation", "Branch", "Dropout", "Flatten", "MaxPooling2D", "Reshape", "ZeroPadding2D")
KERNELS = {**dict.fromkeys(("Conv2D", "Conv2DTranspose", "Dense", "Offsets"), "kernel"), "DepthwiseConv2D": "depthwise_kernel"}
# Number of batches over which the mean of a range is taken.
MEMORY = 100
TINY = 1e-20
# The largest bias in the file, in steps: half of what 32 bits hold. The rest of the sum is next to nothing.
LARGEST = 2**30


class Range(tfmot.quantization.keras.quantizers.MovingAverageQuantizer):
    """Eight bits between the mean minimum and the mean maximum of the last batches.

    The library's own quantizer begins at [-6, 6] and takes thousands of batches to leave it. This one begins with the range
    of the first batch.
    """

    def __init__(self):
        super().__init__(num_bits=8, per_axis=False, symmetric=False, narrow_range=False)

    def build(self, tensor_shape: tuple, name: str, layer: Any) -> dict:
        weights = super().build(tensor_shape, name, layer)
        count = layer.add_weight(f"{name}_batches", initializer="zeros", dtype=tf.float32, trainable=False)
        return {**weights, "count": count}

    def __call__(self, inputs, training, weights, **kwargs):
        low, high = weights["min_var"], weights["max_var"]
        if training:
            count = weights["count"].assign(tf.minimum(weights["count"] + 1.0, MEMORY))
            # LiteRT demands that every range contains zero.
            low = low.assign(low + (tf.minimum(tf.reduce_min(inputs), 0.0) - low) / count)
            high = high.assign(high + (tf.maximum(tf.reduce_max(inputs), 0.0) - high) / count)
        return tf.quantization.fake_quant_with_min_max_vars(inputs, *around_zero(low, high))

    def get_config(self) -> dict:
        return {}


def around_zero(low: tf.Tensor, high: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The narrowest range that contains [low, high] and has zero among its 256 values.

    TensorFlow's rounding would move any other range, by up to half a step, until zero is one of the values. Where the move
    is exactly half a step, as for pixels in [-1, 1], LiteRT's converter moves the range the other way.

    Args:
        low: scalar, 0 or below.
        high: scalar, 0 or above.
    """
    place = tf.floor(tf.math.divide_no_nan(-255.0 * low, high - low))
    places = tf.minimum(tf.stack([place, place + 1.0]), 255.0)
    # A place that leaves no room for a side that needs some gets a huge step from the tiny divisor, and is not chosen.
    steps = tf.maximum(-low / tf.maximum(places, TINY), high / tf.maximum(255.0 - places, TINY))
    best = tf.argmin(steps)
    place, step = tf.gather(places, best), tf.gather(steps, best)
    return -place * step, (255.0 - place) * step


class ChannelScales(tfmot.quantization.keras.quantizers.LastValueQuantizer):
    """Eight bits for each channel of a kernel, symmetric around 0.

    Args:
        axes: how many of the kernel's last axes number the channels: 2 for a depthwise kernel, 1 for others.
    """

    def __init__(self, *, axes: int = 1):
        super().__init__(num_bits=8, per_axis=True, symmetric=True, narrow_range=True)
        self.axes = axes

    def build(self, tensor_shape: tuple, name: str, layer: Any) -> dict:
        channels = tf.TensorShape(tensor_shape[-self.axes :]).num_elements()
        return super().build((channels,), name, layer)

    def __call__(self, inputs, training, weights, **kwargs):
        kernel = inputs if self.axes == 1 else tf.reshape(inputs, (1, *inputs.shape[:2], -1))
        return tf.reshape(super().__call__(kernel, training, weights, **kwargs), inputs.shape)

    def get_config(self) -> dict:
        return {"axes": self.axes}


class OneScale(tfmot.quantization.keras.quantizers.LastValueQuantizer):
    """Eight bits for a whole kernel, symmetric around 0."""

    def __init__(self):
        super().__init__(num_bits=8, per_axis=False, symmetric=True, narrow_range=True)

    def get_config(self) -> dict:
        return {}


def kernel_quantizer(layer: tf_keras.layers.Layer) -> ChannelScales | OneScale:
    """How the kernel of a layer is rounded: channel by channel where LiteRT's converter supports it."""
    kind = type(layer).__name__
    # The converter transposes the kernels of these layers and then does not know where the channels are.
    if kind in ("Dense", "Conv2DTranspose"):
        return OneScale()
    return ChannelScales(axes=2 if kind == "DepthwiseConv2D" else 1)


class Rounding(tfmot.quantization.keras.QuantizeConfig):
    """How a layer is rounded.

    Args:
        kernel: name of its kernel, or None.
        output: whether its output is rounded.
    """

    def __init__(self, *, kernel: str | None = None, output: bool = True):
        self.kernel = kernel
        self.output = output

    def get_weights_and_quantizers(self, layer: Any) -> list[tuple]:
        return [(getattr(layer, self.kernel), kernel_quantizer(layer))] if self.kernel else []

    def get_activations_and_quantizers(self, layer: Any) -> list[tuple]:
        return []

    def set_quantize_weights(self, layer: Any, quantize_weights: list) -> None:
        for kernel in quantize_weights:
            setattr(layer, self.kernel, kernel)

    def set_quantize_activations(self, layer: Any, quantize_activations: list) -> None:
        pass

    def get_output_quantizers(self, layer: Any) -> list[Range]:
        return [Range()] if self.output else []

    def get_config(self) -> dict:
        return {"kernel": self.kernel, "output": self.output}


OBJECTS = {**LAYERS, "Range": Range, "ChannelScales": ChannelScales, "OneScale": OneScale, "Rounding": Rounding}


class EightBitLayout(tfmot.quantization.keras.QuantizeLayoutTransform):
    """What is changed about a model before it is rounded: its inputs are rounded, and concatenated tensors are rounded once.

    The library's own layout changes more. Most of it concerns layers without a `Rounding`, which twins do not have. The rest
    does harm: it takes the rounding, even that of the kernel, from every layer that a ReLU follows.
    """

    def apply(self, model: Any, layer_quantize_map: dict) -> tuple:
        known = tfmot.quantization.keras.default_8bit.default_8bit_transforms
        wanted = [known.InputLayerQuantize()]
        wanted += [getattr(known, f"ConcatTransform{inputs}")() for inputs in ("6Inputs", "5Inputs", "4Inputs", "3Inputs", "")]
        transformer = tfmot.quantization.keras.graph_transformations.model_transformer.ModelTransformer
        return transformer(model, wanted, set(layer_quantize_map), layer_quantize_map).transform()


class EightBitScheme(tfmot.quantization.keras.default_8bit.Default8BitQuantizeScheme):
    """The library's scheme with `EightBitLayout` in place of its own layout."""

    def get_layout_transformer(self) -> EightBitLayout:
        return EightBitLayout()


def quantized(model: tf_keras.Model) -> tf_keras.Model:
    """A twin that computes as its eight-bit file will, with the weights of `model`.

    It takes its ranges from the first batches on which it is called with `training=True`.

    Args:
        model: what `tf_keras_twin.twin` returned.
    """

    def annotate(layer):
        return tfmot.quantization.keras.quantize_annotate_layer(layer, rounding(layer, model))

    with tfmot.quantization.keras.quantize_scope(OBJECTS):
        annotated = tf_keras.models.clone_model(model, clone_function=annotate)
        made = tfmot.quantization.keras.quantize_apply(annotated, EightBitScheme(), quantized_layer_name_prefix="")
    for layer in made.layers:
        if type(layer).__name__ == "QuantizeLayer":
            # The library begins these ranges at [-6, 6]. Features after a ReLU would never leave that range.
            for bound in layer.quantizer_vars.values():
                bound.assign(0.0)
    return made


def rounding(layer: tf_keras.layers.Layer, model: tf_keras.Model) -> Rounding:
    """The `Rounding` of a layer of the twin `model`."""
    kind = type(layer).__name__
    followers = [node.outbound_layer for node in layer._outbound_nodes]
    returned = any(layer.output is tensor for tensor in model.outputs)
    merged = len(followers) == 1 and not returned and type(followers[0]).__name__ in MERGED.get(kind, ())
    output = kind not in UNTOUCHED and not merged
    return Rounding(kernel=KERNELS.get(kind), output=output)


# === Biases ===


def make_room_for_biases(model: tf_keras.Model) -> None:
    """Widens the ranges of kernels whose layer's bias would not fit into the file.

    The file stores a bias in 32 bits, in units of the input's step times the kernel's step. Where the weights of a channel
    have died, or its batch normalisation hardly lets them through, that unit is so small that the converter would cut the
    bias. In the wider range such weights become the zeros that they almost are.

    Args:
        model: what `quantized` returned.
    """
    for wrapper in model.layers:
        for _, _, bounds in getattr(wrapper, "_weight_vars", ()):
            factor, bias = folded(wrapper)
            needed = 127.0 * np.abs(bias) / (LARGEST * input_step(wrapper) * np.maximum(np.abs(factor), TINY))
            if not bounds["max_var"].shape.rank:
                needed = needed.max()
            bounds["max_var"].assign(tf.maximum(bounds["max_var"], needed))
            bounds["min_var"].assign(tf.minimum(bounds["min_var"], -needed))


def folded(wrapper: tf_keras.layers.Layer) -> tuple[np.ndarray, np.ndarray]:
    """A layer with the batch normalisation after it folded in: the factor on each channel of its kernel, and its biases."""
    bias = getattr(plain(wrapper), "bias", None)
    bias = np.zeros(1) if bias is None else bias.numpy()
    followers = [plain(node.outbound_layer) for node in wrapper._outbound_nodes]
    if [type(follower).__name__ for follower in followers] != ["BatchNormalization"]:
        return np.ones(1), bias
    scale, shift = (value.numpy() for value in scale_and_shift(followers[0]))
    return scale, bias * scale + shift


def input_step(layer: tf_keras.layers.Layer) -> float:
    """The quantisation step of the tensor that a layer of a quantised twin reads."""
    while True:
        (node,) = layer._inbound_nodes
        layer = node.inbound_layers
        bounds = getattr(layer, "quantizer_vars", None) or getattr(layer, "_output_quantizer_vars", None)
        if bounds:
            # The converter widens an empty range to a millionth.
            return max(float(bounds["max_var"] - bounds["min_var"]), 1e-6) / 255
        if type(plain(layer)).__name__ == "Activation":
            return 1 / 256
