"""TFLite files as data: reading what is in one, joining two, adding metadata.

The schema's Python bindings come with `ai_edge_litert` and with TensorFlow; either
does. A model is handled in the bindings' object form (`ModelT`), in which an
operator names its tensors by index and a tensor its constant data by buffer index.
"""

import functools
import importlib

SIGNATURE = b"serving_default"


def schema():
    """The flatbuffer bindings of the TFLite schema."""
    for name in ("ai_edge_litert.schema_py_generated", "tensorflow.lite.python.schema_py_generated"):
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    raise ImportError("reading TFLite files needs ai-edge-litert or TensorFlow: pip install ai-edge-litert")


def is_tflite(content):
    """Whether bytes begin like a TFLite model."""
    return content[4:8] == b"TFL3"


def unpack(content):
    """Bytes of a `.tflite` file -> `ModelT`.

    Raises:
        ValueError: the bytes are not a TFLite model.
    """
    if not is_tflite(content):
        raise ValueError("not a TFLite file")
    return schema().ModelT.InitFromObj(schema().Model.GetRootAs(bytearray(content), 0))


def pack(model):
    """`ModelT` -> bytes."""
    import flatbuffers

    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def operators(content):
    """What a TFLite file computes, in order.

    Returns:
        List of (operator, element type of its first output), such as `("CONV_2D", "INT8")`.
        A custom operator (Flex, the "select" TensorFlow ops) appears as `"CUSTOM:name"`.
    """
    model = unpack(content)
    types = {value: name for name, value in vars(schema().TensorType).items() if isinstance(value, int)}
    return [
        (operator_name(model, operator), types[graph.tensors[operator.outputs[0]].type])
        for graph in model.subgraphs
        for operator in graph.operators
    ]


def operator_name(model, operator):
    """Name of an operator of a `ModelT`, such as `"CONV_2D"`, or `"CUSTOM:name"`."""
    code = model.operatorCodes[operator.opcodeIndex]
    if code.customCode:
        return f"CUSTOM:{code.customCode.decode()}"
    # Codes below 127 are stored in the older, one-byte field as well.
    return builtin_names()[max(code.builtinCode, code.deprecatedBuiltinCode)]


@functools.cache
def builtin_names():
    """Code of a built-in operator -> its name."""
    return {value: name for name, value in vars(schema().BuiltinOperator).items() if isinstance(value, int)}


def join(first, second, keep=()):
    """One TFLite model that feeds the outputs of one into the inputs of another.

    The inputs of `second` are outputs of `first` of the same names, by their
    signatures. The result has the inputs of `first`, and the outputs of `second` and
    those of `first` that `keep` names. Neither part is converted again, so each keeps
    its own precision.

    Args:
        first, second: bytes of `.tflite` files with one graph and one signature each.
        keep: names of outputs of `first`.

    Raises:
        ValueError: an input of `second` has no counterpart, or a part has control flow
            (several graphs).
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


def inputs_read(model):
    """Names of the inputs that a model (`ModelT`) makes use of, sorted."""
    graph = model.subgraphs[0]
    read = {index for operator in graph.operators for index in operator.inputs} | set(graph.outputs)
    return sorted(entry.name.decode() for entry in model.signatureDefs[0].inputs if entry.tensorIndex in read)


def feeds(model, tail):
    """Tensor index of each input of `tail` -> tensor index of the output of `model` it reads."""
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


def append_tensors(model, tail, known):
    """Adds the tensors of `tail` with their data; returns old index -> new index."""
    # Buffer 0 is empty by convention and means "no data" in both.
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


def append_operator_codes(model, tail):
    start = len(model.operatorCodes)
    model.operatorCodes.extend(tail.operatorCodes)
    return range(start, len(model.operatorCodes))


def read_bytes(content, name):
    """The same model whose float32 input `name` is uint8, a byte standing for its value (scale 1, zero point 0).

    Where the input is quantised at once, its bytes are; whatever else reads it reads them as float32.
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


def add_float_copy(model, index):
    """Puts a DEQUANTIZE of the tensor `index` before all operators; returns the index of its output."""
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


def add_metadata(content, name, text):
    """The same model with `text` (UTF-8) as its metadata entry `name`."""
    model = unpack(content)
    buffer = schema().BufferT()
    buffer.data = list(text.encode())
    entry = schema().MetadataT()
    entry.name, entry.buffer = name, len(model.buffers)
    model.buffers.append(buffer)
    model.metadata = [*(model.metadata or []), entry]
    return pack(model)


def read_metadata(content, name):
    """Text of the metadata entry `name`, or None."""
    if not is_tflite(content):
        raise ValueError("not a TFLite file")
    model = schema().Model.GetRootAs(content, 0)
    for index in range(model.MetadataLength()):
        if model.Metadata(index).Name() == name.encode():
            return model.Buffers(model.Metadata(index).Buffer()).DataAsNumpy().tobytes().decode()
    return None
