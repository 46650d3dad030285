"""Int8 with single layers left in float, by TensorFlow's quantisation debugger.

Operators are known by the names of the Keras layers that they were converted from. One operator often stands for a
convolution, its batch normalisation and its activation, and then answers to the names of all three.
"""

import contextlib
import dataclasses
import difflib
import re
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

import keras

from kfacealign.deploy import flatbuffer
from kfacealign.deploy.exporting import conversion
from kfacealign.quiet import quiet

# Ends of the paths of operations that hold an operator's weights.
WEIGHTED = ("convolution", "depthwise", "conv2d_transpose", "MatMul", "Einsum")


@dataclasses.dataclass(frozen=True)
class Operator:
    """A quantised operator.

    Attributes:
        tensor: the name of its output in the file.
        kind: such as "CONV_2D".
        layers: names of the Keras layers that it stands for, the layer with the weights first.
        around: names of the layers in which these are nested.
        part: name of the part of inference.
    """

    tensor: str
    kind: str
    layers: tuple[str, ...]
    around: tuple[str, ...]
    part: str

    @property
    def layer(self) -> str:
        """The name by which it is called: its first layer's, or, where no layer is known, its operation's."""
        return self.layers[0] if self.layers else f"{self.part}/{self.tensor.partition(';')[0].rstrip('0123456789')}"

    def answers_to(self, name: str) -> bool:
        """Whether a user who gives this name means this operator."""
        return name in (*self.layers, *self.around, self.layer, self.part)


def named(tensor: str, kind: str, names: Collection[str], part: str, *, constants: Iterable[str] = ()) -> Operator:
    """The `Operator` whose output is called `tensor`.

    The converter makes such a name of paths joined by `;`, one path for each operation that it fused. A path is made of the
    names of nested layers joined by `/`. TensorFlow appends a number to a name that it has seen before, and it has seen
    the names of all layers that Keras calls.

    Args:
        tensor: the name of the operator's output.
        kind: such as "CONV_2D".
        names: names of all layers of the part.
        part: name of the part.
        constants: names of the tensors stored in the file that the operator reads, such as weights.
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


def known_layer(step: str, names: Collection[str]) -> str | None:
    """The layer that a step of a path means, or None."""
    return next((name for name in (re.sub(r"_\d+$", "", step), step) if name in names), None)


def layer_names(model: keras.Model) -> set[str]:
    """Names of all layers of a model, nested ones included."""
    return {layer.name for layer in model._flatten_layers(include_self=False)}


def operators_of(content: bytes, model: keras.Model) -> dict[str, Operator]:
    """Name of the output -> `Operator`, for all operators of a part.

    Args:
        content: bytes of the part's float file.
        model: the part.
    """
    file, names = flatbuffer.unpack(content), layer_names(model)
    tensors, found = file.subgraphs[0].tensors, {}
    for operator in file.subgraphs[0].operators:
        read = [tensors[index] for index in operator.inputs if index >= 0]
        constants = [tensor.name.decode() for tensor in read if file.buffers[tensor.buffer].data is not None]
        tensor = tensors[operator.outputs[0]].name.decode()
        kind = flatbuffer.operator_name(file, operator)
        found[tensor] = named(tensor, kind, names, model.name, constants=constants)
    return found


def in_float(content: bytes) -> set[str]:
    """Names of the outputs that operators of a file compute in float32."""
    file = flatbuffer.unpack(content)
    graph, float32 = file.subgraphs[0], flatbuffer.schema().TensorType.FLOAT32
    computed = [operator for operator in graph.operators if flatbuffer.operator_name(file, operator) != "DEQUANTIZE"]
    outputs = [graph.tensors[operator.outputs[0]] for operator in computed]
    return {tensor.name.decode() for tensor in outputs if tensor.type == float32}


def convert(model: keras.Model, samples: Sequence[dict], keep_float: Collection[str]) -> tuple[bytes, list[Operator]]:
    """A part in int8, with some layers in float.

    Args:
        model: functional model (dict to dict).
        samples: dicts of input arrays, by which it is calibrated.
        keep_float: names of layers; names of other parts' layers are ignored.

    Returns:
        Bytes of the TFLite file, float32 at both ends, and all its `Operator`s.

    Raises:
        ValueError: the converter does not keep one of the layers in float.
    """
    with debugger(model, samples) as (make, operators):
        chosen = {name for name, operator in operators.items() if any(map(operator.answers_to, keep_float))}
        try:
            content = make(denylisted_nodes=sorted(chosen) or None)
        except ValueError:  # the debugger raises it where nothing is left to quantise
            return conversion.convert(model), list(operators.values())
    left = [operators[name].layer for name in sorted(chosen - in_float(content))]
    if left:
        names = ", ".join(left)
        raise ValueError(f"TensorFlow's converter does not keep {names} in float; name the part {model.name!r} or others")
    return content, list(operators.values())


@contextlib.contextmanager
def debugger(model: keras.Model, samples: Sequence[dict]) -> Iterator[tuple[Callable[..., bytes], dict[str, Operator]]]:
    """TensorFlow's quantisation debugger at work on a part.

    Args:
        model: functional model (dict to dict).
        samples: dicts of input arrays, by which it is calibrated.

    Yields:
        make: function that returns the bytes of an int8 file. It takes options of `QuantizationDebugOptions`; with
            `twins=True` every quantised operator of the file stands beside its float twin.
        operators: the part's operators by the names of their outputs.
    """
    import tensorflow as tf

    experimental = tf.lite.experimental
    with tempfile.TemporaryDirectory() as folder, quiet():
        conversion.write_saved_model(model, folder)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        conversion.set_precision(converter, "int8", samples)
        made = experimental.QuantizationDebugger(converter=converter, debug_dataset=lambda: iter(()))

        def make(twins=False, **options):
            made.options = experimental.QuantizationDebugOptions(**options)
            return made.get_debug_quantized_model() if twins else made.get_nondebug_quantized_model()

        yield make, operators_of(made.calibrated_model, model)


def check_names(keep_float: Collection[str], operators: Sequence[Operator]) -> None:
    """Checks that every name of `keep_float` means at least one of the quantised operators.

    Raises:
        ValueError: a name means none of them.
    """
    for name in keep_float:
        if not any(operator.answers_to(name) for operator in operators):
            known = sorted({known for operator in operators for known in (operator.layer, *operator.layers)})
            near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
            hint = f"; near it: {', '.join(near)}" if near else ""
            listed = "(kfacealign export --report lists them)"
            raise ValueError(f"keep_float: no layer that int8 quantises is named {name!r}{hint} {listed}")
