"""TFLite files as data: reading what is in one, joining two, adding metadata.

The schema's Python bindings come with `ai_edge_litert` and with TensorFlow; either of them suffices. A model is handled in
the bindings' object form (`ModelT`): an operator refers to its tensors by index, and a tensor to its constant data by
buffer index. `ModelT` is annotated as `Any`, because its class is only known once the bindings are imported.
"""

import functools
import importlib
from collections.abc import Collection
from types import ModuleType
from typing import Any


def schema() -> ModuleType:
    """The flatbuffer bindings of the TFLite schema.

    Raises:
        ImportError: neither LiteRT nor TensorFlow is installed.
    """
    for name in ("ai_edge_litert.schema_py_generated", "tensorflow.lite.python.schema_py_generated"):
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    raise ImportError("reading TFLite files needs ai-edge-litert or TensorFlow: pip install ai-edge-litert")


def is_tflite(content: bytes) -> bool:
    """Whether bytes begin like a TFLite model."""
    return content[4:8] == b"TFL3"


def unpack(content: bytes) -> Any:
    """Bytes of a `.tflite` file -> `ModelT`.

    Raises:
        ValueError: the bytes are not a TFLite model.
    """
    if not is_tflite(content):
        raise ValueError("not a TFLite file")
    return schema().ModelT.InitFromObj(schema().Model.GetRootAs(bytearray(content), 0))


def pack(model: Any) -> bytes:
    """`ModelT` -> bytes of a `.tflite` file."""
    import flatbuffers

    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def operators(content: bytes) -> list[tuple[str, str]]:
    """The operators of a TFLite file, in the order in which they run.

    Returns:
        List of (operator, element type of its first output), such as `("CONV_2D", "INT8")`. A custom operator, such as one
        of TensorFlow's "select" operators (Flex), appears as `"CUSTOM:name"`.

    Raises:
        ValueError: the bytes are not a TFLite model.
    """
    model = unpack(content)
    types = {value: name for name, value in vars(schema().TensorType).items() if isinstance(value, int)}
    return [
        (operator_name(model, operator), types[graph.tensors[operator.outputs[0]].type])
        for graph in model.subgraphs
        for operator in graph.operators
    ]


def operator_name(model: Any, operator: Any) -> str:
    """Name of an operator of a `ModelT`, such as `"CONV_2D"` or `"CUSTOM:name"`."""
    code = model.operatorCodes[operator.opcodeIndex]
    if code.customCode:
        return f"CUSTOM:{code.customCode.decode()}"
    # Codes below 127 are stored in the older, one-byte field as well.
    return builtin_names()[max(code.builtinCode, code.deprecatedBuiltinCode)]


@functools.cache
def builtin_names() -> dict[int, str]:
    """Dict of the codes of built-in operators -> their names."""
    return {value: name for name, value in vars(schema().BuiltinOperator).items() if isinstance(value, int)}


def join(first: bytes, second: bytes, *, keep: Collection[str] = ()) -> bytes:
    """One TFLite model that feeds the outputs of one model into the inputs of another.

    Signatures give the names: every input of `second` is the output of `first` that has its name. The result has the inputs
    of `first`. Its outputs are the outputs of `second` and those outputs of `first` that `keep` names. Neither part is
    converted again, so each keeps its own precision.

    Args:
        first: bytes of a `.tflite` file with one graph and one signature.
        second: bytes of another such file.
        keep: names of outputs of `first`.

    Raises:
        ValueError: an input of `second` has no counterpart, or a part has control flow (several graphs).
    """
    model, tail = unpack(first), unpack(second)
    if len(model.subgraphs) != 1 or len(tail.subgraphs) != 1:
        raise ValueError("control flow (while, cond) in a network or in a codec's decode cannot be exported to TFLite")
    graph, tail_graph = model.subgraphs[0], tail.subgraphs[0]
    tensors = append_tensors(model, tail, feeds(model, tail))
    codes = append_operator_codes(model, tail)
    for operator in tail_graph.operators:
        operator.opcodeIndex = codes[operator.opcodeIndex]
        operator.inputs = [tensors.get(index, -1) for index in operator.inputs]
        operator.outputs = [tensors[index] for index in operator.outputs]
        graph.operators.append(operator)
    signature = model.signatureDefs[0]
    kept = [output for output in signature.outputs if output.name.decode() in keep]
    for output in tail.signatureDefs[0].outputs:
        output.tensorIndex = tensors[output.tensorIndex]
    signature.outputs = [*kept, *tail.signatureDefs[0].outputs]
    graph.outputs = [output.tensorIndex for output in signature.outputs]
    model.description = "kfacealign"
    return pack(model)


def inputs_read(model: Any) -> list[str]:
    """Names of the inputs that the operators of a `ModelT` read, sorted."""
    graph = model.subgraphs[0]
    read = {index for operator in graph.operators for index in operator.inputs} | set(graph.outputs)
    return sorted(entry.name.decode() for entry in model.signatureDefs[0].inputs if entry.tensorIndex in read)


def feeds(model: Any, tail: Any) -> dict[int, int]:
    """Tensor index of each input of `tail` -> tensor index of the output of `model` that it reads.

    Raises:
        ValueError: no output has the name of an input, or its type or shape is another.
    """
    outputs = {output.name: output.tensorIndex for output in model.signatureDefs[0].outputs}
    found = {}
    read = inputs_read(tail)
    for wanted in tail.signatureDefs[0].inputs:
        if wanted.name.decode() not in read:
            continue
        if wanted.name not in outputs:
            raise ValueError(f"no output is named {wanted.name.decode()}; there are {sorted(map(bytes.decode, outputs))}")
        source = model.subgraphs[0].tensors[outputs[wanted.name]]
        target = tail.subgraphs[0].tensors[wanted.tensorIndex]
        if source.type != target.type or list(source.shape) != list(target.shape):
            raise ValueError(f"{wanted.name.decode()} is {list(source.shape)} on one side and {list(target.shape)} on the other")
        found[wanted.tensorIndex] = outputs[wanted.name]
    return found


def append_tensors(model: Any, tail: Any, known: dict[int, int]) -> dict[int, int]:
    """Adds the tensors of `tail` and their data to `model`.

    Args:
        model: `ModelT`, which is changed.
        tail: `ModelT`.
        known: index in `tail` -> index in `model`, of tensors that `model` has already.

    Returns:
        Index in `tail` -> index in `model`, of all tensors of `tail`.
    """
    # In both models buffer 0 is empty and means "no data".
    shift = len(model.buffers) - 1
    model.buffers.extend(tail.buffers[1:])
    tensors = model.subgraphs[0].tensors
    for index, tensor in enumerate(tail.subgraphs[0].tensors):
        if index in known:
            continue
        if tensor.buffer:
            tensor.buffer += shift
        known[index] = len(tensors)
        tensors.append(tensor)
    return known


def append_operator_codes(model: Any, tail: Any) -> range:
    """Adds the operator codes of `tail` to `model`; returns their new indices in the old order."""
    start = len(model.operatorCodes)
    model.operatorCodes.extend(tail.operatorCodes)
    return range(start, len(model.operatorCodes))


def read_bytes(content: bytes, name: str) -> bytes:
    """The same model with uint8 in place of float32 as its input `name`; a byte stands for its value (scale 1, zero point 0).

    Operators that quantise the input read the bytes directly. All others read a float32 copy of them.
    """
    model = unpack(content)
    graph, enums = model.subgraphs[0], schema()
    (index,) = [entry.tensorIndex for entry in model.signatureDefs[0].inputs if entry.name.decode() == name]
    tensor = graph.tensors[index]
    tensor.type = enums.TensorType.UINT8
    tensor.quantization = enums.QuantizationParametersT()
    tensor.quantization.scale, tensor.quantization.zeroPoint = [1.0], [0]
    readers = [operator for operator in graph.operators if index in operator.inputs]
    readers = [operator for operator in readers if operator_name(model, operator) != "QUANTIZE"]
    if readers:
        unpacked = add_float_copy(model, index)
        for operator in readers:
            operator.inputs = [unpacked if read == index else read for read in operator.inputs]
    return pack(model)


def add_float_copy(model: Any, index: int) -> int:
    """Puts a DEQUANTIZE of the tensor `index` before all operators of a `ModelT`; returns the index of its output."""
    graph, enums = model.subgraphs[0], schema()
    source, copy = graph.tensors[index], enums.TensorT()
    copy.shape, copy.shapeSignature, copy.type = source.shape, source.shapeSignature, enums.TensorType.FLOAT32
    copy.name, copy.buffer = source.name + b"_float", 0
    graph.tensors.append(copy)
    code = enums.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = enums.BuiltinOperator.DEQUANTIZE
    code.version = 1
    model.operatorCodes.append(code)
    operator = enums.OperatorT()
    operator.opcodeIndex = len(model.operatorCodes) - 1
    operator.inputs, operator.outputs = [index], [len(graph.tensors) - 1]
    graph.operators.insert(0, operator)
    return len(graph.tensors) - 1


def add_metadata(content: bytes, name: str, text: str) -> bytes:
    """The same model with `text` (UTF-8) as its metadata entry `name`."""
    model = unpack(content)
    buffer = schema().BufferT()
    buffer.data = list(text.encode())
    entry = schema().MetadataT()
    entry.name, entry.buffer = name, len(model.buffers)
    model.buffers.append(buffer)
    model.metadata = [*(model.metadata or []), entry]
    return pack(model)


def read_metadata(content: bytes, name: str) -> str | None:
    """Text of the metadata entry `name`, or None where there is no such entry.

    Raises:
        ValueError: the bytes are not a TFLite model.
    """
    if not is_tflite(content):
        raise ValueError("not a TFLite file")
    model = schema().Model.GetRootAs(content, 0)
    for index in range(model.MetadataLength()):
        if model.Metadata(index).Name() == name.encode():
            return model.Buffers(model.Metadata(index).Buffer()).DataAsNumpy().tobytes().decode()
    return None
