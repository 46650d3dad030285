"""Eight-bit arithmetic emulated in a twin while it is trained, by tensorflow-model-optimization.

What LiteRT computes as one operator is rounded as one: a convolution with its batch normalisation and its ReLU has one
range of outputs. Kernels have a scale for each channel, those of depthwise convolutions too.
"""

import tempfile
from pathlib import Path

import keras
import tensorflow as tf

from kfacealign.deploy import exporter, flatbuffer, graphs, litert, metadata
from kfacealign.deploy.twinned import TwinnedAligner
from kfacealign.deploy.twins import plain, tf_keras, tfmot
from kfacealign.deploy.twin_layers import LAYERS
from kfacealign.files import replacing
from kfacealign.quiet import quiet

# What LiteRT merges into one operator: layer -> what may follow.
MERGED = {
    "Add": ("ReLU",),
    "Affine": ("ReLU",),
    "BatchNormalization": ("ReLU",),
    "Conv2D": ("BatchNormalization", "ReLU"),
    "Conv2DTranspose": ("BatchNormalization", "ReLU"),
    "Dense": ("BatchNormalization", "ReLU"),
    "DepthwiseConv2D": ("BatchNormalization", "ReLU"),
}
# These return values that they have read, at the scale at which they read them, or have a range that LiteRT knows.
UNTOUCHED = ("Activation", "Branch", "Dropout", "Flatten", "MaxPooling2D", "Reshape", "ZeroPadding2D")
KERNELS = {**dict.fromkeys(("Conv2D", "Conv2DTranspose", "Dense", "Offsets"), "kernel"), "DepthwiseConv2D": "depthwise_kernel"}
# Batches that the mean of a range goes back.
MEMORY = 100


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
        return tf.quantization.fake_quant_with_min_max_vars(inputs, low, high)

    def get_config(self):
        return {}


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
        made = tfmot.quantization.keras.quantize_apply(annotated, quantized_layer_name_prefix="")
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


# === Training ===


@keras.saving.register_keras_serializable(package="kfacealign")
class QuantizedAligner(TwinnedAligner):
    """An aligner that computes in emulated eight bits, as its int8 file will, and is trained so.

    Batch normalisations keep the statistics that they have; their scales and shifts are trained.

    Before the first training step, or where there is to be none, `observe` gives it the ranges of its tensors.

    Args:
        aligner: a trained `FaceAligner`, which stays as it is.

    Raises:
        ValueError: a layer has no twin, see `twins.twin`.

    Example:
        >>> model = QuantizedAligner(kfacealign.deploy.load("pipnet.keras"))
        >>> model.observe(crops)
        >>> model.compile(keras.optimizers.Adam(1e-5))
        >>> model.fit(kfacealign.data.pipeline(faces.train, size=256, batch_size=16, shuffle=True), epochs=5)
        >>> model.export("pipnet_int8.tflite")
    """

    def __init__(self, aligner, **kwargs):
        super().__init__(aligner, **kwargs)
        layers = [plain(layer) for twin in self.twins.values() for layer in twin.model.layers]
        for layer in layers:
            if isinstance(layer, tf_keras.layers.BatchNormalization):
                # To tf-keras it then normalises by its statistics, in training too, as the file will that has them folded
                # into its kernels. To Keras, which has counted its weights before, scale and shift remain to be trained.
                layer.trainable = False

    def prepare(self, twin):
        return quantized(twin)

    def observe(self, images, batch_size=16):
        """Takes the ranges of all tensors from crops; weights stay as they are.

        Args:
            images: `(N, S, S, 3)` pixels 0..255.
        """
        step = tf.function(lambda batch: self(batch, training=True), autograph=False)
        for first in range(0, len(images), batch_size):
            step(tf.constant(images[first : first + batch_size], tf.float32))

    def trained_weights(self, model):
        found = {}
        for wrapper in model.layers:
            # The wrapper took the kernels away from the layer.
            kernels = [kernel.numpy() for kernel, _, _ in getattr(wrapper, "_weight_vars", ())]
            others = [] if plain(wrapper) is wrapper else plain(wrapper).get_weights()
            if kernels or others:
                found[plain(wrapper).name] = [*kernels, *others[-1:]] if kernels else others
        return found

    # === Export ===

    def export(self, path, licence=None, training_data=None, detector=None):
        """Writes the int8 TFLite file: the twins in integers, the rest in float32, as `kfacealign.deploy.export` joins them.

        Its metadata is that of `deploy.export` with `quantization` "aware". See there for the arguments; no calibration is
        needed. The file appears whole or not at all.

        Returns:
            The path written.

        Raises:
            ValueError: an argument does not fit.
        """
        path = Path(path)
        exporter.check(self.aligner, path, "litert", "float32", None)
        described = {"licence": licence, "training_data": training_data, "detector": detector, "quantization": "aware"}
        float_parts = [part.name for part in self.inference_parts() if part.name not in self.twins]
        text = metadata.describe(self.aligner, "int8", **described, float_parts=float_parts)
        with replacing(path) as temporary:
            temporary.write_bytes(flatbuffer.add_metadata(self.to_tflite(), metadata.NAME, text))
        return path

    def to_tflite(self):
        """Bytes of the TFLite file without metadata."""
        shapes = {"image": (1, self.input_size, self.input_size, 3)}
        parts = self.inference_parts()
        models = [graphs.part_model(part.name, part.inputs, part.function, shapes) for part in parts]
        read, converted = {"landmarks", "scores"}, []
        for model in reversed(models):
            outputs = {name: tensor for name, tensor in model.output.items() if name in read}
            if model.name in self.twins:
                inputs = {name: tensor.shape for name, tensor in model.input.items()}
                content = convert(self.twins[model.name], inputs, list(outputs))
            else:
                content = litert.convert(keras.Model(model.input, outputs, name=model.name))
            converted.insert(0, (content, read - set(outputs)))
            read = converted[0][1] | set(flatbuffer.inputs_read(flatbuffer.unpack(content)))
        content = converted[0][0]
        for part, passed_on in converted[1:]:
            content = flatbuffer.join(content, part, keep=passed_on)
        return content


def convert(twin, shapes, outputs):
    """A quantised `TwinLayer` -> bytes of a `.tflite` file in int8, float32 at both ends.

    Args:
        shapes: of its inputs, by name. outputs: names of those to keep.

    Raises:
        ValueError: TFLite has no counterpart of a layer in integers.
    """
    specs = {name: tf.TensorSpec(shape, tf.float32, name=name) for name, shape in shapes.items()}

    def serve(inputs):
        found = twin(inputs, training=False)
        return {name: found[name] for name in outputs}

    offsets = [layer for layer in map(plain, twin.model.layers) if hasattr(layer, "grouped")]
    module = tf.Module()
    module.variables_kept = twin.model.variables
    with tempfile.TemporaryDirectory() as folder, quiet():
        try:
            for layer in offsets:
                layer.grouped = True
            tf.saved_model.save(module, folder, signatures=tf.function(serve, input_signature=[specs], autograph=False))
        finally:
            for layer in offsets:
                layer.grouped = False
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        try:
            return converter.convert()
        except Exception as error:
            raise ValueError(f"{twin.name} cannot be converted to TFLite: {litert.reason(str(error))}") from error
