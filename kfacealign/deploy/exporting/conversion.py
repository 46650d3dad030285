"""One part of inference as a TFLite file, by TensorFlow's converter."""

import re
import tempfile

import numpy as np

from kfacealign.deploy.exporting import graphs
from kfacealign.quiet import quiet


def calibration_feeds(parts, crops):
    """What the quantised parts read on every crop: for each part a list of dicts of arrays, empty for the others."""
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


def convert(model, precision="float32", samples=None):
    """A functional model -> bytes of a `.tflite` file, float32 at both ends.

    `samples` are dicts of input arrays, by which int8 is calibrated.
    """
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as folder, quiet():
        graphs.write_saved_model(model, folder)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        set_precision(converter, precision, samples)
        try:
            return converter.convert()
        except Exception as error:
            raise ValueError(f"the part {model.name} cannot be converted to TFLite: {reason(str(error))}") from error


def set_precision(converter, precision, samples):
    import tensorflow as tf

    if precision != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if precision.startswith("int8"):
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.representative_dataset = lambda: iter(samples)


def reason(message):
    """The one line of the converter's page-long message that says what is wrong."""
    foreign = re.findall(r"TF Select ops: (.*)", message)
    if not foreign:
        return message.splitlines()[0]
    hint = "keras.ops.argmax of floats needs BitwiseAnd: take the maximum's index instead"
    return f"it needs {foreign[0]}, no TFLite built-in ({hint})"
