"""Aligners that are trained in emulated eight bits, by tensorflow-model-optimization, and their int8 files."""

import functools
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kfacealign.deploy import metadata
from kfacealign.deploy.compression.fake_quantization import make_room_for_biases, quantized
from kfacealign.deploy.compression.tf_keras_twin import TwinLayer, plain, tf_keras
from kfacealign.deploy.compression.twin_aligner import TwinnedAligner
from kfacealign.deploy.exporting import conversion, exporter, graphs, litert
from kfacealign.models.aligner import FaceAligner
from kfacealign.quiet import quiet


@keras.saving.register_keras_serializable(package="kfacealign")
class QuantizedAligner(TwinnedAligner):
    """An aligner that is trained while it computes in emulated eight bits, as its int8 file will.

    Batch normalisations keep their statistics; their scales and shifts are trained. Call `observe` before the first training
    step, and also if there is no training: it takes the ranges of all tensors.

    Args:
        aligner: a trained `FaceAligner`, which stays as it is.

    Raises:
        ValueError: a layer has no twin, see `tf_keras_twin.twin`.

    Example:
        >>> model = QuantizedAligner(kfacealign.deploy.load("pipnet.keras"))
        >>> model.observe(crops)
        >>> model.compile(keras.optimizers.Adam(1e-5))
        >>> model.fit(kfacealign.data.pipeline(faces.train, size=256, batch_size=16, shuffle=True), epochs=5)
        >>> model.export("pipnet_int8.tflite")
    """

    def __init__(self, aligner: FaceAligner, **kwargs: Any):
        super().__init__(aligner, **kwargs)
        layers = [plain(layer) for twin in self.twins.values() for layer in twin.model.layers]
        for layer in layers:
            if isinstance(layer, tf_keras.layers.BatchNormalization):
                # tf-keras now normalises by the statistics in training too, as the file will, whose kernels have them
                # folded in. Keras has registered the weights before and goes on to train scale and shift.
                layer.trainable = False

    def prepare(self, twin: Any) -> Any:
        return quantized(twin)

    def observe(self, images: np.ndarray, *, batch_size: int = 16) -> None:
        """Takes the ranges of all tensors from crops; weights stay as they are.

        Args:
            images: `(N, S, S, 3)` pixels 0..255.
            batch_size: number of crops that are read at once.
        """
        step = tf.function(lambda batch: self(batch, training=True), autograph=False)
        for first in range(0, len(images), batch_size):
            step(tf.constant(images[first : first + batch_size], tf.float32))

    def trained_weights(self, model: Any) -> dict[str, list[np.ndarray]]:
        found = {}
        for wrapper in model.layers:
            # The wrapper has taken the kernels out of the layer.
            kernels = [kernel.numpy() for kernel, _, _ in getattr(wrapper, "_weight_vars", ())]
            others = [] if plain(wrapper) is wrapper else plain(wrapper).get_weights()
            if kernels or others:
                found[plain(wrapper).name] = [*kernels, *others[-1:]] if kernels else others
        return found

    # === Export ===

    def export(
        self,
        path: str | os.PathLike,
        *,
        licence: str | None = None,
        training_data: str | None = None,
        detector: str | dict | None = None,
    ) -> Path:
        """Writes the int8 TFLite file: the twins in integers, the other parts in float32.

        The file is like one that `kfacealign.deploy.export` writes; its metadata has `quantization` "aware" in addition. No
        calibration is needed. The file appears whole or not at all.

        Args:
            path: the file; one that exists is replaced.
            licence: see `kfacealign.deploy.export`.
            training_data: see there.
            detector: see there.

        Returns:
            The path written.

        Raises:
            ValueError: an argument does not fit, or TFLite has no counterpart of a layer.
        """
        path = Path(path)
        exporter.check(self.aligner, path, format="litert", precision="float32")
        notes = {"licence": licence, "training_data": training_data, "detector": detector, "quantization": "aware"}

        def to_tflite():
            content, sizes = self.to_tflite()
            return content, {"parts": sizes, "float_parts": [name for name in sizes if name not in self.twins]}

        describe = functools.partial(metadata.describe, self.aligner, "int8", **notes)
        return exporter.write(path, "litert", precision="int8", describe=describe, to_tflite=to_tflite)

    def to_tflite(self) -> tuple[bytes, dict[str, int]]:
        """Bytes of the TFLite file without metadata, and the number of operators of each part, by the parts' names."""
        shapes = {"image": (1, self.input_size, self.input_size, 3)}
        parts = self.inference_parts()
        models = [graphs.part_model(part.name, part.inputs, part.function, shapes) for part in parts]

        def convert_part(model):
            if model.name not in self.twins:
                return conversion.convert(model)
            inputs = {name: tensor.shape for name, tensor in model.input.items()}
            return convert(self.twins[model.name], inputs, list(model.output))

        return litert.chain(models, convert_part, read=("landmarks", "scores"))


def convert(twin: TwinLayer, shapes: dict[str, tuple], outputs: Sequence[str]) -> bytes:
    """A quantised `TwinLayer` -> bytes of a `.tflite` file in int8, float32 at both ends.

    Args:
        twin: the layer.
        shapes: name of an input -> its shape.
        outputs: names of the outputs to keep.

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
