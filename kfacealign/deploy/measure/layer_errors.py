"""What eight bits cost, layer by layer.

TensorFlow's quantisation debugger makes a file in which every quantised operator stands beside its float twin. Both read the
same quantised values, so their difference is the error that this operator alone adds. Operators are known by the names of
the Keras layers that they were converted from. One operator often stands for a convolution, its batch normalisation and its
activation, and then answers to the names of all three.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from kfacealign.data.faces import Faces
from kfacealign.deploy import flatbuffer
from kfacealign.deploy.exporting import conversion, graphs
from kfacealign.deploy.exporting.calibration import calibration_crops
from kfacealign.deploy.exporting.partial_int8 import Operator, debugger
from kfacealign.models.aligner import FaceAligner
from kfacealign.quiet import quiet

if TYPE_CHECKING:
    from rich.table import Table

VERIFY = "CUSTOM:NumericVerify"


def quantization_report(
    model: FaceAligner,
    calibration: np.ndarray | Faces,
    *,
    calibration_size: int = 128,
    compared: int = 16,
    flip: bool = False,
) -> list[dict[str, Any]]:
    """The error that int8 adds in each operator of an aligner's network, the worst first.

    Args:
        model: a `FaceAligner`.
        calibration: crops or `Faces`, see `kfacealign.deploy.export`.
        calibration_size: number of calibration crops used, evenly spaced.
        compared: number of crops on which errors are measured, evenly spaced among the calibration crops.
        flip: whether the exported graph averages with the mirrored crop.

    Returns:
        List of dicts:
        `layer`, the name that `export(..., keep_float=[...])` takes;
        `layers`, the names of all layers that the operator stands for;
        `operator`, such as "CONV_2D";
        `error`, the root mean square of quantised minus float output;
        `signal`, the standard deviation of the float output around each channel's mean;
        `relative`, `error` over `signal`, by which the list is ordered;
        `scale`, the quantisation step (rounding alone makes an error of about 0.29 steps);
        `part`, the part of inference.

    Raises:
        ValueError: the calibration holds no images, or crops of another size.

    Example:
        >>> records = quantization_report(model, faces.train)
        >>> export(model, "m.tflite", precision="int8", calibration=faces.train, keep_float=[records[0]["layer"]])
    """
    crops = calibration_crops(model, calibration, calibration_size)
    parts = graphs.part_models(model, flip=flip, precision="int8")
    chosen = np.unique(np.linspace(0, len(crops) - 1, min(compared, len(crops))).round().astype(int))
    records = []
    for (part, quantizable), samples in zip(parts, conversion.calibration_feeds(parts, crops), strict=True):
        if quantizable:
            records += part_report(part, samples, [samples[place] for place in chosen])
    return sorted(records, key=lambda record: -record["relative"])


def report_table(records: Sequence[dict], *, count: int = 10) -> "Table":
    """The first `count` records of `quantization_report` as a `rich` table."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Column, Table

    title = f"int8: the worst of {len(records)} operators"
    # Names are folded, not cut: a cut name could not be given to --keep-float.
    names = (Column(name, overflow="fold") for name in ("layer", "operator"))
    style = {"title_justify": "left", "box": SIMPLE_HEAD, "padding": (0, 1, 0, 0)}
    table = Table(*names, "error / signal", "error", "in steps", title=title, **style)
    for record in records[:count]:
        steps = f"{record['error'] / record['scale']:.2f}"
        table.add_row(record["layer"], record["operator"], f"{record['relative']:.2%}", f"{record['error']:.3g}", steps)
    return table


# === Names ===


def operator_of_twin(tensor: str, operators: dict[str, Operator]) -> Operator | None:
    """The operator whose float twin has an output called `tensor`; the debugger may have put a number at the end of it."""
    while tensor not in operators and tensor[-1:].isdigit():
        tensor = tensor[:-1]
    return operators.get(tensor)


# === Measurement ===


def part_report(model: keras.Model, samples: Sequence[dict], compared: Sequence[dict]) -> list[dict[str, Any]]:
    """Records of one part's operators, see `quantization_report`.

    Args:
        model: the part, dict to dict.
        samples: dicts of input arrays by which it is calibrated.
        compared: dicts of input arrays on which errors are measured.
    """
    with debugger(model, samples) as (make, operators):
        content = make(twins=True)
    file = flatbuffer.unpack(content)
    graph, records = file.subgraphs[0], []
    # The verifying operator reads the quantised output and its float twin.
    pairs = [tuple(operator.inputs[:2]) for operator in graph.operators if flatbuffer.operator_name(file, operator) == VERIFY]
    for (quantized, twin), (error, variance) in measure(content, pairs, compared).items():
        operator = operator_of_twin(graph.tensors[twin].name.decode(), operators)
        if operator is None:  # the debugger added it
            continue
        error, signal = float(np.sqrt(error)), float(np.sqrt(max(variance, 0.0)))
        records.append(
            {
                "layer": operator.layer,
                "layers": operator.layers,
                "operator": operator.kind,
                "error": error,
                "signal": signal,
                "relative": error / max(signal, 1e-12),
                "scale": float(graph.tensors[quantized].quantization.scale[0]),
                "part": model.name,
            }
        )
    return records


def measure(
    content: bytes, pairs: Sequence[tuple[int, int]], samples: Sequence[dict]
) -> dict[tuple[int, int], tuple[float, float]]:
    """Compares quantised tensors with their float twins.

    Args:
        content: bytes of the debugger's file.
        pairs: tensor indices (quantised, float).
        samples: dicts of input arrays.

    Returns:
        Pair of indices -> mean squared error, and variance of the float values within a channel.
    """
    import tensorflow as tf

    with quiet():
        # LiteRT's own interpreter has no verifying operator.
        interpreter = tf.lite.Interpreter(model_content=content, experimental_preserve_all_tensors=True)
        interpreter.allocate_tensors()
    inputs = interpreter.get_input_details()
    quantities = {detail["index"]: detail["quantization"] for detail in interpreter.get_tensor_details()}
    sums = {pair: (0.0, 0.0, 0.0) for pair in pairs}
    for sample in samples:
        for name, value in sample.items():
            (index,) = [detail["index"] for detail in inputs if f"_{name}:" in detail["name"]]
            interpreter.set_tensor(index, value)
        interpreter.invoke()
        for quantized, twin in pairs:
            scale, zero = quantities[quantized]
            value = interpreter.get_tensor(int(twin)).astype("float64")
            found = (interpreter.get_tensor(int(quantized)).astype("float64") - zero) * scale
            channels = (-1, value.shape[-1] if value.ndim else 1)
            moments = np.mean((found - value) ** 2), value.reshape(channels).mean(0), np.mean(value**2)
            sums[quantized, twin] = [
                so_far + new / len(samples) for so_far, new in zip(sums[quantized, twin], moments, strict=True)
            ]
    return {pair: (error, square - np.mean(np.square(mean))) for pair, (error, mean, square) in sums.items()}
