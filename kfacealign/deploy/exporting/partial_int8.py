"""Int8 with single layers left in float, by TensorFlow's quantisation debugger.

Operators are known by the names of the Keras layers that they were converted from; one operator often stands for a
convolution, its batch normalisation and its activation, and answers to the names of all three.
"""

import contextlib
import dataclasses
import difflib
import re
import tempfile

from kfacealign.deploy import flatbuffer
from kfacealign.deploy.exporting import conversion, graphs
from kfacealign.quiet import quiet

# What the operation that holds an operator's weights is called, at the end of its path.
WEIGHTED = ("convolution", "depthwise", "conv2d_transpose", "MatMul", "Einsum")


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


def in_float(content):
    """Names of the outputs that operators of a file compute in float32."""
    file = flatbuffer.unpack(content)
    graph, float32 = file.subgraphs[0], flatbuffer.schema().TensorType.FLOAT32
    computed = [operator for operator in graph.operators if flatbuffer.operator_name(file, operator) != "DEQUANTIZE"]
    outputs = [graph.tensors[operator.outputs[0]] for operator in computed]
    return {tensor.name.decode() for tensor in outputs if tensor.type == float32}


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
            return conversion.convert(model), list(operators.values())
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
        conversion.set_precision(converter, "int8", samples)
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
