"""TFLite files for LiteRT: the parts of inference converted one by one, each in its precision, and joined."""

from collections.abc import Callable, Collection, Sequence

import keras
import numpy as np

from kfacealign.deploy import flatbuffer
from kfacealign.deploy.exporting import conversion, graphs, partial_int8
from kfacealign.models.aligner import FaceAligner


def to_tflite(
    aligner: FaceAligner,
    precision: str,
    *,
    crops: np.ndarray | None = None,
    flip: bool = False,
    batch: int | None = 1,
    keep_float: Collection[str] = (),
) -> bytes:
    """Bytes of the TFLite model without metadata.

    Args:
        aligner: a `FaceAligner`.
        precision: one of `exporter.PRECISIONS`.
        crops: `(N, S, S, 3)` float32 by which int8 is calibrated.
        flip: whether the graph averages with the mirrored crop.
        batch: number of crops that the graph takes; None for any number.
        keep_float: names of layers that int8 leaves in float.

    Raises:
        ValueError: an operation has no built-in TFLite counterpart.
    """
    parts = graphs.part_models(aligner, flip=flip, precision=precision, batch=batch)
    return joined(parts, precision, crops=crops, keep_float=keep_float)[0]


def joined(
    parts: Sequence[tuple[keras.Model, bool]],
    precision: str,
    *,
    crops: np.ndarray | None = None,
    keep: Collection[str] = (),
    keep_float: Collection[str] = (),
) -> tuple[bytes, dict[str, int]]:
    """One TFLite model of several parts.

    Args:
        parts: list of (functional model, whether it may be quantised), see `graphs.part_models`.
        precision: one of `exporter.PRECISIONS`; parts that may not be quantised are float32 whatever it is.
        crops: `(N, S, S, 3)` float32 by which int8 is calibrated.
        keep: names of tensors that are outputs as well, though a part before the last makes them.
        keep_float: names of layers that int8 leaves in float, see `quantization_report`.

    Returns:
        Bytes of the file, and the number of operators that it has of each part, by the parts' names.

    Raises:
        ValueError: an operation has no built-in TFLite counterpart, or no quantised layer has such a name.
    """
    models, first, last = [model for model, _ in parts], parts[0][0], parts[-1][0]
    quantizable = {model.name for model, wanted in parts if wanted}
    feeds = [None] * len(parts) if crops is None else conversion.calibration_feeds(parts, crops)
    samples = {model.name: fed for model, fed in zip(models, feeds, strict=True)}
    operators = []

    def convert_part(model):
        if model.name in quantizable and keep_float:
            content, found = partial_int8.convert(model, samples[model.name], keep_float)
            operators.extend(found)
        else:
            chosen = precision if model.name in quantizable else "float32"
            content = conversion.convert(model, chosen, samples=samples[model.name])
        return flatbuffer.read_bytes(content, "image") if precision == "int8_io" and model.name == first.name else content

    content, sizes = chain(models, convert_part, read={*last.output, *keep})
    partial_int8.check_names(keep_float, operators)
    custom = sorted({name for name, _ in flatbuffer.operators(content) if name.startswith("CUSTOM")})
    if custom:
        raise ValueError(f"these operations are no TFLite built-ins: {', '.join(custom)}")
    return content, sizes


def chain(
    parts: Sequence[keras.Model], convert_part: Callable[[keras.Model], bytes], *, read: Collection[str]
) -> tuple[bytes, dict[str, int]]:
    """Converts parts one by one and joins them to one TFLite model, in which each reads what those before it have found.

    The last part is converted first, so that the others can leave out outputs that nobody reads, such as the heatmaps of
    earlier stacks.

    Args:
        parts: functional models (dict to dict), in the order in which they run.
        convert_part: takes one of them, without the outputs that nobody reads, and returns the bytes of its `.tflite` file.
        read: names of the tensors that the joined model returns.

    Returns:
        Bytes of the file, and the number of operators that it has of each part, by the parts' names.

    Raises:
        ValueError: a part reads what no part before it has found, or has control flow.
    """
    read, converted = set(read), []
    for model in reversed(parts):
        outputs = {name: tensor for name, tensor in model.output.items() if name in read}
        content = convert_part(keras.Model(model.input, outputs, name=model.name))
        passed_on = read - set(outputs)
        converted.insert(0, (model.name, content, passed_on))
        read = passed_on | set(flatbuffer.inputs_read(flatbuffer.unpack(content)))
    content = converted[0][1]
    for _, part, passed_on in converted[1:]:
        content = flatbuffer.join(content, part, keep=passed_on)
    return content, {name: len(flatbuffer.operators(part)) for name, part, _ in converted}
