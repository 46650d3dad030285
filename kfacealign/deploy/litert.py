"""TFLite files for LiteRT: the parts of inference converted one by one, each in its precision, and joined."""

import re
import tempfile

import keras
import numpy as np

from kfacealign.deploy import flatbuffer, graphs
from kfacealign.quiet import quiet


def to_tflite(aligner, precision, crops=None, flip=False, batch=1, keep_float=()):
    """Bytes of the TFLite model without metadata.

    Args:
        crops: `(N, S, S, 3)` float32 by which int8 is calibrated.

    Raises:
        ValueError: an operation has no built-in TFLite counterpart.
    """
    return joined(graphs.part_models(aligner, flip, precision, batch), precision, crops, keep_float=keep_float)[0]


def joined(parts, precision, crops=None, keep=(), keep_float=()):
    """One TFLite model of parts.

    Args:
        parts: list of (functional model, whether it may be quantised), see `graphs.part_models`.
        keep: names of tensors of parts before the last that are outputs as well.
        keep_float: names of layers that int8 leaves in float, see `quantization_report`.

    Returns:
        Bytes of the file, and how many operators it has of each part, by the parts' names.

    Raises:
        ValueError: an operation has no built-in TFLite counterpart, or no quantised layer has such a name.
    """
    from kfacealign.deploy import quantization

    feeds = [None] * len(parts) if crops is None else calibration_feeds(parts, crops)
    read, converted, operators = {*parts[-1][0].output, *keep}, [], []
    for (model, quantizable), samples in zip(reversed(parts), reversed(feeds)):
        # Outputs that no later part reads, such as the heatmaps of earlier stacks, are left out.
        outputs = {name: tensor for name, tensor in model.output.items() if name in read}
        pruned = keras.Model(model.input, outputs, name=model.name)
        if quantizable and keep_float:
            content, found = quantization.convert(pruned, samples, keep_float)
            operators += found
        else:
            content = convert(pruned, precision if quantizable else "float32", samples)
        passed_on = read - set(outputs)
        converted.insert(0, (model.name, content, passed_on))
        read = passed_on | set(flatbuffer.inputs_read(flatbuffer.unpack(content)))
    quantization.check_names(keep_float, operators)
    if precision == "int8_io":
        name, content, passed_on = converted[0]
        converted[0] = (name, flatbuffer.read_bytes(content, "image"), passed_on)
    content, sizes = chained(converted)
    custom = sorted({name for name, _ in flatbuffer.operators(content) if name.startswith("CUSTOM")})
    if custom:
        raise ValueError(f"these operations are no TFLite built-ins: {', '.join(custom)}")
    return content, sizes


def chained(converted):
    """One TFLite model of converted parts, each of which reads what those before it have found.

    Args:
        converted: list of (name of the part, bytes of its file, names of earlier parts' outputs that are read after it).

    Returns:
        Bytes of the file, and how many operators it has of each part, by the parts' names.
    """
    content = converted[0][1]
    for _, part, passed_on in converted[1:]:
        content = flatbuffer.join(content, part, keep=passed_on)
    return content, {name: len(flatbuffer.operators(part)) for name, part, _ in converted}


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
