"""TFLite files for LiteRT: the parts of inference converted one by one, each in its precision, and joined."""

import keras

from kfacealign.deploy import flatbuffer
from kfacealign.deploy.exporting import conversion, graphs, partial_int8


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
    feeds = [None] * len(parts) if crops is None else conversion.calibration_feeds(parts, crops)
    read, converted, operators = {*parts[-1][0].output, *keep}, [], []
    for (model, quantizable), samples in zip(reversed(parts), reversed(feeds), strict=True):
        # Outputs that no later part reads, such as the heatmaps of earlier stacks, are left out.
        outputs = {name: tensor for name, tensor in model.output.items() if name in read}
        pruned = keras.Model(model.input, outputs, name=model.name)
        if quantizable and keep_float:
            content, found = partial_int8.convert(pruned, samples, keep_float)
            operators += found
        else:
            content = conversion.convert(pruned, precision if quantizable else "float32", samples)
        passed_on = read - set(outputs)
        converted.insert(0, (model.name, content, passed_on))
        read = passed_on | set(flatbuffer.inputs_read(flatbuffer.unpack(content)))
    partial_int8.check_names(keep_float, operators)
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
