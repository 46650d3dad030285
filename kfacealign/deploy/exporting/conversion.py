"""A functional model as a SavedModel, and as a TFLite file by TensorFlow's converter."""

import os
import re
import tempfile
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from kfacealign.quiet import quiet

if TYPE_CHECKING:
    import tensorflow as tf


def calibration_feeds(parts: Sequence[tuple[keras.Model, bool]], crops: np.ndarray) -> list[list[dict[str, np.ndarray]]]:
    """What each part reads while crops run through all of them.

    Args:
        parts: list of (functional model, whether it may be quantised), at least one of which may be.
        crops: `(N, S, S, 3)` float32.

    Returns:
        For each part a list of N dicts of its input arrays; the list is empty for parts that may not be quantised.
    """
    last = max(place for place, (_, quantizable) in enumerate(parts) if quantizable)
    feeds = [[] for _ in parts]
    for crop in crops:
        tensors = {"image": crop[None]}
        for place, (model, quantizable) in enumerate(parts[: last + 1]):
            inputs = {name: tensors[name] for name in model.input}
            if quantizable:
                feeds[place].append({name: np.asarray(value) for name, value in inputs.items()})
            if place < last:
                tensors.update(model(inputs, training=False))
    return feeds


def convert(model: keras.Model, precision: str = "float32", *, samples: Iterable[dict] | None = None) -> bytes:
    """A functional model -> bytes of a `.tflite` file, float32 at both ends.

    Args:
        model: functional model (dict to dict).
        precision: one of `exporter.PRECISIONS`.
        samples: dicts of input arrays, by which int8 is calibrated.

    Raises:
        ValueError: the converter refuses the model.
    """
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as folder, quiet():
        write_saved_model(model, folder)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        set_precision(converter, precision, samples)
        try:
            return converter.convert()
        except Exception as error:
            raise ValueError(f"the part {model.name} cannot be converted to TFLite: {reason(str(error))}") from error


def set_precision(converter: "tf.lite.TFLiteConverter", precision: str, samples: Iterable[dict] | None) -> None:
    """Tells TensorFlow's converter the precision, and the samples by which int8 is calibrated."""
    import tensorflow as tf

    if precision != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if precision.startswith("int8"):
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.representative_dataset = lambda: iter(samples)


def reason(message: str) -> str:
    """The line of the converter's page-long message that says what is wrong."""
    foreign = re.findall(r"TF Select ops: (.*)", message)
    if not foreign:
        return message.splitlines()[0]
    hint = "keras.ops.argmax of floats needs BitwiseAnd: take the maximum's index instead"
    return f"it needs {foreign[0]}, no TFLite built-in ({hint})"


# === TensorFlow ===


def as_function(model: keras.Model) -> tuple[Callable, Any]:
    """A functional model as a TensorFlow function.

    The weights are constants of the graph, which makes tracing, saving and conversion several times faster than variables
    would.

    Returns:
        The `tf.function`, and the `tf.TensorSpec` of its input, or a dict of them, with the names of the model's inputs.
    """
    import tensorflow as tf

    trainable = [keras.ops.convert_to_numpy(variable) for variable in model.trainable_variables]
    other = [keras.ops.convert_to_numpy(variable) for variable in model.non_trainable_variables]
    specs = keras.tree.map_structure(lambda tensor: tf.TensorSpec(tensor.shape, tensor.dtype, name=tensor.name), model.input)

    def serve(inputs):
        return model.stateless_call(trainable, other, inputs, training=False)[0]

    return tf.function(serve, input_signature=[specs], autograph=False), specs


def write_saved_model(model: keras.Model, folder: str | os.PathLike) -> None:
    """Writes a functional model as a SavedModel whose signature has its input and output names."""
    import tensorflow as tf

    with quiet():
        # The function is a signature only: were it an attribute of the module as well, its weights would be stored twice.
        tf.saved_model.save(tf.Module(), str(folder), signatures=as_function(model)[0])
