"""Aligners that are trained in emulated eight bits, by tensorflow-model-optimization, and their int8 files."""

import tempfile
from pathlib import Path

import keras
import tensorflow as tf

from kfacealign.deploy import flatbuffer, metadata
from kfacealign.deploy.compression.fake_quantization import make_room_for_biases, quantized
from kfacealign.deploy.compression.tf_keras_twin import plain, tf_keras
from kfacealign.deploy.compression.twin_aligner import TwinnedAligner
from kfacealign.deploy.exporting import conversion, exporter, graphs, litert
from kfacealign.files import replacing
from kfacealign.quiet import quiet


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
        metadata.describe(self.aligner, "int8", **described)  # so that a mistake in it does not come after minutes
        float_parts = [part.name for part in self.inference_parts() if part.name not in self.twins]
        with replacing(path) as temporary:
            content, sizes = self.to_tflite()
            text = metadata.describe(self.aligner, "int8", **described, parts=sizes, float_parts=float_parts)
            temporary.write_bytes(flatbuffer.add_metadata(content, metadata.NAME, text))
        return path

    def to_tflite(self):
        """Bytes of the TFLite file without metadata, and how many operators it has of each part, by the parts' names."""
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
                content = conversion.convert(keras.Model(model.input, outputs, name=model.name))
            passed_on = read - set(outputs)
            converted.insert(0, (model.name, content, passed_on))
            read = passed_on | set(flatbuffer.inputs_read(flatbuffer.unpack(content)))
        return litert.chained(converted)


def convert(twin, shapes, outputs):
    """A quantised `TwinLayer` -> bytes of a `.tflite` file in int8, float32 at both ends.

    Args:
        shapes: of its inputs, by name. outputs: names of those to keep.

    Raises:
        ValueError: TFLite has no counterpart of a layer in integers.
    """
    make_room_for_biases(twin.model)
    specs = {name: tf.TensorSpec(shape, tf.float32, name=name) for name, shape in shapes.items()}

    def serve(inputs):
        found = twin(inputs, training=False)
        return {name: found[name] for name in outputs}

    grouped = [layer for layer in map(plain, twin.model.layers) if hasattr(layer, "grouped")]
    module = tf.Module()
    module.variables_kept = twin.model.variables
    with tempfile.TemporaryDirectory() as folder, quiet():
        try:
            for layer in grouped:
                layer.grouped = True
            tf.saved_model.save(module, folder, signatures=tf.function(serve, input_signature=[specs], autograph=False))
        finally:
            for layer in grouped:
                layer.grouped = False
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        try:
            return converter.convert()
        except Exception as error:
            raise ValueError(f"{twin.name} cannot be converted to TFLite: {conversion.reason(str(error))}") from error
