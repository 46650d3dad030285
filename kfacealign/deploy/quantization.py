"""What eight bits cost, layer by layer, and keeping single layers in float.

TensorFlow's quantisation debugger makes a file in which every quantised operator stands beside its float twin, both fed by
the same quantised values, so that what is compared is the error that this operator alone adds. Operators are known by the
names of the Keras layers that they were converted from; one operator often stands for a convolution, its batch
normalisation and its activation, and answers to the names of all three.
"""

import contextlib
import dataclasses
import difflib
import re
import tempfile

import numpy as np

from kfacealign.deploy import flatbuffer, graphs, litert
from kfacealign.quiet import quiet

VERIFY = "CUSTOM:NumericVerify"
# What the operation that holds an operator's weights is called, at the end of its path.
WEIGHTED = ("convolution", "depthwise", "conv2d_transpose", "MatMul", "Einsum")


def quantization_report(model, calibration, calibration_size=128, compared=16, flip=False):
    """The error that int8 adds in each operator of an aligner's network, the worst first.

    Args:
        model: a `FaceAligner`.
        calibration, calibration_size, flip: as of `kfacealign.deploy.export`.
        compared: crops that errors are measured on, evenly spaced among those of the calibration.

    Returns:
        List of dicts: `layer`, the name that `export(..., keep_float=[...])` takes; `layers`, all that the operator stands
        for; `operator`, such as "CONV_2D"; `error`, the root mean square of quantised minus float output; `signal`, the
        standard deviation of the float output around each channel's mean; `relative`, one over the other, by which the list
        is ordered; `scale`, the quantisation step (an error of about 0.29 steps is what rounding alone makes); `part`, the
        part of inference.

    Raises:
        ValueError: the calibration holds no images, or crops of another size.

    Example:
        >>> records = quantization_report(model, faces.train)
        >>> export(model, "m.tflite", precision="int8", calibration=faces.train, keep_float=[records[0]["layer"]])
    """
    from kfacealign.deploy import exporter

    crops = exporter.calibration_crops(model, calibration, calibration_size)
    parts = graphs.part_models(model, flip, "int8")
    chosen = np.unique(np.linspace(0, len(crops) - 1, min(compared, len(crops))).round().astype(int))
    records = []
    for (part, quantizable), samples in zip(parts, litert.calibration_feeds(parts, crops)):
        if quantizable:
            records += part_report(part, samples, [samples[place] for place in chosen])
    return sorted(records, key=lambda record: -record["relative"])


def report_table(records, count=10):
    """The first records of `quantization_report` as a rich table."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Column, Table

    title = f"int8: the worst of {len(records)} operators"
    # A name that is cut could not be given to --keep-float.
    names = (Column(name, overflow="fold") for name in ("layer", "operator"))
    style = {"title_justify": "left", "box": SIMPLE_HEAD, "padding": (0, 1, 0, 0)}
    table = Table(*names, "error / signal", "error", "in steps", title=title, **style)
    for record in records[:count]:
        steps = f"{record['error'] / record['scale']:.2f}"
        table.add_row(record["layer"], record["operator"], f"{record['relative']:.2%}", f"{record['error']:.3g}", steps)
    return table


# === Names ===


@dataclasses.dataclass(frozen=True)
class Operator:
    """A quantised operator: the name of its output in the file, its kind, and the Keras layers that it stands for.

    Attributes:
        layers: that with the weights first.
        around: the layers that these are inside of.
    """

    tensor: str
    kind: str
    layers: tuple
    around: tuple
    part: str

    @property
    def layer(self):
        """The name that it is called by; of its operation where no layer is known."""
        return self.layers[0] if self.layers else f"{self.part}/{self.tensor.partition(';')[0].rstrip('0123456789')}"

    def answers_to(self, name):
        return name in (*self.layers, *self.around, self.layer, self.part)


def named(tensor, kind, names, part, constants=()):
    """The `Operator` whose output is called `tensor`.

    A name is made of paths by `;`, one for each operation that was fused, and a path of the names of layers inside one
    another; TensorFlow numbers names that come again, which in Keras' calls they always do.

    Args:
        names: of all layers of the part. constants: names of what the operator reads of the file itself, such as weights.
    """
    layers, around = [], []
    for path in ";".join([tensor, *constants]).split(";"):
        found = [layer for layer in (known_layer(step, names) for step in path.split("/")) if layer]
        around += found[:-1]
        if path.rpartition("/")[2].rstrip("_0123456789") in WEIGHTED:
            layers[:0] = found[-1:]
        else:
            layers += found[-1:]
    return Operator(tensor, kind, tuple(dict.fromkeys(layers)), tuple(dict.fromkeys(around)), part)


def known_layer(step, names):
    """The layer that a step of a path means, or None."""
    return next((name for name in (re.sub(r"_\d+$", "", step), step) if name in names), None)


def layer_names(model):
    """Names of all layers of a model, those inside others too."""
    return {layer.name for layer in model._flatten_layers(include_self=False)}


def operators_of(content, model):
    """Name of the output -> `Operator`, of the float file of a part."""
    file, names = flatbuffer.unpack(content), layer_names(model)
    tensors, found = file.subgraphs[0].tensors, {}
    for operator in file.subgraphs[0].operators:
        read = [tensors[index] for index in operator.inputs if index >= 0]
        constants = [tensor.name.decode() for tensor in read if file.buffers[tensor.buffer].data is not None]
        tensor = tensors[operator.outputs[0]].name.decode()
        found[tensor] = named(tensor, flatbuffer.operator_name(file, operator), names, model.name, constants)
    return found


def operator_of_twin(tensor, operators):
    """The `Operator` by the name of its float twin's output, which may have got a number at its end."""
    while tensor not in operators and tensor[-1:].isdigit():
        tensor = tensor[:-1]
    return operators.get(tensor)


def in_float(content):
    """Names of the outputs that operators of a file compute in float32."""
    file = flatbuffer.unpack(content)
    graph, float32 = file.subgraphs[0], flatbuffer.schema().TensorType.FLOAT32
    computed = [operator for operator in graph.operators if flatbuffer.operator_name(file, operator) != "DEQUANTIZE"]
    outputs = [graph.tensors[operator.outputs[0]] for operator in computed]
    return {tensor.name.decode() for tensor in outputs if tensor.type == float32}


# === Conversion ===


def convert(model, samples, keep_float):
    """A part in int8 but for some layers.

    Args:
        model: functional model (dict to dict). samples: dicts of input arrays, by which it is calibrated.
        keep_float: names of layers; those of other parts are passed over.

    Returns:
        Bytes of the TFLite file, float32 at both ends, and all its `Operator`s.

    Raises:
        ValueError: the converter does not keep one of them in float.
    """
    with debugger(model, samples) as (make, operators):
        chosen = {name for name, operator in operators.items() if any(map(operator.answers_to, keep_float))}
        try:
            content = make(denylisted_nodes=sorted(chosen) or None)
        except ValueError:  # the debugger's, where nothing is left to quantise
            return litert.convert(model), list(operators.values())
    left = [operators[name].layer for name in sorted(chosen - in_float(content))]
    if left:
        names = ", ".join(left)
        raise ValueError(f"TensorFlow's converter does not keep {names} in float; name the part {model.name!r} or others")
    return content, list(operators.values())


@contextlib.contextmanager
def debugger(model, samples):
    """TensorFlow's quantisation debugger at work on a part.

    Yields:
        function of options of `QuantizationDebugOptions`, and `twins=True` for a file with float twins, that returns an
        int8 file's bytes; and the part's operators, by the names of their outputs.
    """
    import tensorflow as tf

    experimental = tf.lite.experimental
    with tempfile.TemporaryDirectory() as folder, quiet():
        graphs.write_saved_model(model, folder)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        litert.set_precision(converter, "int8", samples)
        made = experimental.QuantizationDebugger(converter=converter, debug_dataset=lambda: iter(()))

        def make(twins=False, **options):
            made.options = experimental.QuantizationDebugOptions(**options)
            return made.get_debug_quantized_model() if twins else made.get_nondebug_quantized_model()

        yield make, operators_of(made.calibrated_model, model)


def check_names(keep_float, operators):
    """Raises ValueError where a name of `keep_float` is that of none of the quantised operators."""
    for name in keep_float:
        if not any(operator.answers_to(name) for operator in operators):
            known = sorted({known for operator in operators for known in (operator.layer, *operator.layers)})
            near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
            hint = f"; near it: {', '.join(near)}" if near else ""
            listed = "(kfacealign export --report lists them)"
            raise ValueError(f"keep_float: no layer that int8 quantises is named {name!r}{hint} {listed}")


# === Measurement ===


def part_report(model, samples, compared):
    """Records of one part's operators, see `quantization_report`."""
    with debugger(model, samples) as (make, operators):
        content = make(twins=True)
    file = flatbuffer.unpack(content)
    graph, records = file.subgraphs[0], []
    # The verifying operator reads the quantised output and its float twin.
    pairs = [tuple(operator.inputs[:2]) for operator in graph.operators if flatbuffer.operator_name(file, operator) == VERIFY]
    for (quantized, twin), (error, variance) in measure(content, pairs, compared).items():
        operator = operator_of_twin(graph.tensors[twin].name.decode(), operators)
        if operator is None:  # of the debugger's own making
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


def measure(content, pairs, samples):
    """Pair of tensor indices (quantised, float) -> mean squared error, and the float values' variance within a channel."""
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
            sums[quantized, twin] = [so_far + new / len(samples) for so_far, new in zip(sums[quantized, twin], moments)]
    return {pair: (error, square - np.mean(np.square(mean))) for pair, (error, mean, square) in sums.items()}
