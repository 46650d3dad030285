"""Eight-bit arithmetic emulated in a twin while it is trained, by tensorflow-model-optimization.

What LiteRT computes as one operator is rounded as one: a convolution with its batch normalisation and its ReLU has one
range of outputs. Kernels have a scale for each channel, those of depthwise convolutions too.
"""

import numpy as np
import tensorflow as tf

from kfacealign.deploy.compression.tf_keras_layers import LAYERS, scale_and_shift
from kfacealign.deploy.compression.tf_keras_twin import plain, tf_keras, tfmot

# What LiteRT merges into one operator: layer -> what may follow.
MERGED = {
    "Add": ("ReLU",),
    "Affine": ("ReLU",),
    "BatchNormalization": ("ReLU",),
    "ChannelNormalization": ("ReLU",),
    "Conv2D": ("BatchNormalization", "ReLU"),
    "Dense": ("BatchNormalization", "ReLU"),
    "DepthwiseConv2D": ("BatchNormalization", "ReLU"),
}
# These return values that they have read, at the scale at which they read them, or have a range that LiteRT knows.
UNTOUCHED = ("Activation", "Branch", "Dropout", "Flatten", "MaxPooling2D", "Reshape", "ZeroPadding2D")
KERNELS = {**dict.fromkeys(("Conv2D", "Conv2DTranspose", "Dense", "Offsets"), "kernel"), "DepthwiseConv2D": "depthwise_kernel"}
# Batches that the mean of a range goes back.
MEMORY = 100
TINY = 1e-20
# Of a bias in the file, in steps: half of what 32 bits hold, the rest of the sum being next to nothing.
LARGEST = 2**30


class Range(tfmot.quantization.keras.quantizers.MovingAverageQuantizer):
    """Eight bits between the mean minimum and the mean maximum of the last batches.

    tensorflow-model-optimization's own begins at [-6, 6] and takes thousands of batches to leave it; this one begins with
    what it sees first.
    """

    def __init__(self):
        super().__init__(num_bits=8, per_axis=False, symmetric=False, narrow_range=False)

    def build(self, tensor_shape, name, layer):
        weights = super().build(tensor_shape, name, layer)
        count = layer.add_weight(f"{name}_batches", initializer="zeros", dtype=tf.float32, trainable=False)
        return {**weights, "count": count}

    def __call__(self, inputs, training, weights, **kwargs):
        low, high = weights["min_var"], weights["max_var"]
        if training:
            count = weights["count"].assign(tf.minimum(weights["count"] + 1.0, MEMORY))
            # LiteRT wants a zero in every range.
            low = low.assign(low + (tf.minimum(tf.reduce_min(inputs), 0.0) - low) / count)
            high = high.assign(high + (tf.maximum(tf.reduce_max(inputs), 0.0) - high) / count)
        return tf.quantization.fake_quant_with_min_max_vars(inputs, *around_zero(low, high))

    def get_config(self):
        return {}


def around_zero(low, high):
    """The narrowest range around [low, high] of which zero is one of the 256 values.

    The rounding moves any other range to have it, by up to half a step, and where it is exactly half a step, as for pixels in
    [-1, 1], LiteRT's converter moves it the other way.

    Args:
        low, high: scalars, low <= 0 <= high.
    """
    place = tf.floor(tf.math.divide_no_nan(-255.0 * low, high - low))
    places = tf.minimum(tf.stack([place, place + 1.0]), 255.0)
    # Of a step that has no room on one side the divisor is next to nothing.
    steps = tf.maximum(-low / tf.maximum(places, TINY), high / tf.maximum(255.0 - places, TINY))
    best = tf.argmin(steps)
    place, step = tf.gather(places, best), tf.gather(steps, best)
    return -place * step, (255.0 - place) * step


class ChannelScales(tfmot.quantization.keras.quantizers.LastValueQuantizer):
    """Eight bits for each channel of a kernel, symmetric around 0.

    Args:
        axes: how many of the kernel's last axes number the channels: 1, of a depthwise kernel 2.
    """

    def __init__(self, axes=1):
        super().__init__(num_bits=8, per_axis=True, symmetric=True, narrow_range=True)
        self.axes = axes

    def build(self, tensor_shape, name, layer):
        channels = tf.TensorShape(tensor_shape[-self.axes :]).num_elements()
        return super().build((channels,), name, layer)

    def __call__(self, inputs, training, weights, **kwargs):
        kernel = inputs if self.axes == 1 else tf.reshape(inputs, (1, *inputs.shape[:2], -1))
        return tf.reshape(super().__call__(kernel, training, weights, **kwargs), inputs.shape)

    def get_config(self):
        return {"axes": self.axes}


class OneScale(tfmot.quantization.keras.quantizers.LastValueQuantizer):
    """Eight bits for a whole kernel, symmetric around 0."""

    def __init__(self):
        super().__init__(num_bits=8, per_axis=False, symmetric=True, narrow_range=True)

    def get_config(self):
        return {}


def kernel_quantizer(layer):
    """How the kernel of a layer is rounded: channel by channel where LiteRT's converter can."""
    kind = type(layer).__name__
    # It transposes the kernels of these, and does not know where the channels are then.
    if kind in ("Dense", "Conv2DTranspose"):
        return OneScale()
    return ChannelScales(axes=2 if kind == "DepthwiseConv2D" else 1)


class Rounding(tfmot.quantization.keras.QuantizeConfig):
    """How a layer is rounded.

    Args:
        kernel: name of its kernel, or None.
        output: whether its output is rounded.
    """

    def __init__(self, kernel=None, output=True):
        self.kernel = kernel
        self.output = output

    def get_weights_and_quantizers(self, layer):
        return [(getattr(layer, self.kernel), kernel_quantizer(layer))] if self.kernel else []

    def get_activations_and_quantizers(self, layer):
        return []

    def set_quantize_weights(self, layer, quantize_weights):
        for kernel in quantize_weights:
            setattr(layer, self.kernel, kernel)

    def set_quantize_activations(self, layer, quantize_activations):
        pass

    def get_output_quantizers(self, layer):
        return [Range()] if self.output else []

    def get_config(self):
        return {"kernel": self.kernel, "output": self.output}


OBJECTS = {**LAYERS, "Range": Range, "ChannelScales": ChannelScales, "OneScale": OneScale, "Rounding": Rounding}


class EightBitLayout(tfmot.quantization.keras.QuantizeLayoutTransform):
    """What the library changes about a model before it rounds: its inputs are rounded, and what is concatenated is so once.

    Its other changes are about layers that nobody has said a rounding of, but for one: it takes the rounding, the kernel's
    too, from whatever a ReLU follows.
    """

    def apply(self, model, layer_quantize_map):
        known = tfmot.quantization.keras.default_8bit.default_8bit_transforms
        wanted = [known.InputLayerQuantize()]
        wanted += [getattr(known, f"ConcatTransform{inputs}")() for inputs in ("6Inputs", "5Inputs", "4Inputs", "3Inputs", "")]
        transformer = tfmot.quantization.keras.graph_transformations.model_transformer.ModelTransformer
        return transformer(model, wanted, set(layer_quantize_map), layer_quantize_map).transform()


class EightBitScheme(tfmot.quantization.keras.default_8bit.Default8BitQuantizeScheme):
    """The library's scheme with that `EightBitLayout`."""

    def get_layout_transformer(self):
        return EightBitLayout()


def quantized(model):
    """A twin that computes as its eight-bit file will, with the weights of `model`.

    Its ranges are those of the first batches that it is called on with `training=True`.

    Args:
        model: what `twins.twin` returned.
    """

    def annotate(layer):
        return tfmot.quantization.keras.quantize_annotate_layer(layer, rounding(layer, model))

    with tfmot.quantization.keras.quantize_scope(OBJECTS):
        annotated = tf_keras.models.clone_model(model, clone_function=annotate)
        made = tfmot.quantization.keras.quantize_apply(annotated, EightBitScheme(), quantized_layer_name_prefix="")
    for layer in made.layers:
        if type(layer).__name__ == "QuantizeLayer":
            # They begin at [-6, 6], which features after a ReLU would keep.
            for bound in layer.quantizer_vars.values():
                bound.assign(0.0)
    return made


def rounding(layer, model):
    """The `Rounding` of a layer of a twin."""
    kind = type(layer).__name__
    followers = [node.outbound_layer for node in layer._outbound_nodes]
    returned = any(layer.output is tensor for tensor in model.outputs)
    merged = len(followers) == 1 and not returned and type(followers[0]).__name__ in MERGED.get(kind, ())
    output = kind not in UNTOUCHED and not merged
    return Rounding(KERNELS.get(kind), output)


# === Biases ===


def make_room_for_biases(model):
    """Widens the ranges of kernels whose layer's bias would not fit into the file.

    A bias is 32 bits of the input's step times the kernel's. Of a channel whose weights have died, or whose batch
    normalisation hardly lets them through, that step is so small that the converter would cut the bias. In the wider range
    such weights become the zeros that they almost are.

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


def folded(wrapper):
    """Factor on each channel of the kernel, and the bias of each, when the batch normalisation after it has been folded in."""
    bias = getattr(plain(wrapper), "bias", None)
    bias = np.zeros(1) if bias is None else bias.numpy()
    followers = [plain(node.outbound_layer) for node in wrapper._outbound_nodes]
    if [type(follower).__name__ for follower in followers] != ["BatchNormalization"]:
        return np.ones(1), bias
    scale, shift = (value.numpy() for value in scale_and_shift(followers[0]))
    return scale, bias * scale + shift


def input_step(layer):
    """The step of what a layer of a quantised twin reads."""
    while True:
        (node,) = layer._inbound_nodes
        layer = node.inbound_layers
        bounds = getattr(layer, "quantizer_vars", None) or getattr(layer, "_output_quantizer_vars", None)
        if bounds:
            # Of a range that is nothing the converter makes one of a millionth.
            return max(float(bounds["max_var"] - bounds["min_var"]), 1e-6) / 255
        if type(plain(layer)).__name__ == "Activation":
            return 1 / 256
