"""What is in an exported file: metadata, tensors, operators, and how much of it XNNPACK takes.

Files of any origin are read; only those that kfacealign wrote have its metadata. Neither Keras nor TensorFlow is needed.
"""

import collections
import dataclasses
import json
import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from kfacealign.deploy import flatbuffer, metadata
from kfacealign.deploy.runtime import openvino
from kfacealign.deploy.runtime.exported import first_line
from kfacealign.deploy.runtime.tflite_check import check_tflite
from kfacealign.files import read_bytes
from kfacealign.interpreter import interpreter_class
from kfacealign.quiet import quiet

if TYPE_CHECKING:
    import onnx

SUFFIXES = (".tflite", ".onnx", ".xml")  # of the files that can be looked into


@dataclasses.dataclass(frozen=True)
class Tensor:
    """An input or output of a file.

    Attributes:
        name: the name by which callers know it, that of the signature where there is one.
        shape: its sizes; an open size is a name or -1.
        dtype: such as "float32" or "int8".
    """

    name: str
    shape: tuple[int | str, ...]
    dtype: str


@dataclasses.dataclass(frozen=True)
class Share:
    """What XNNPACK takes of one part of inference.

    Attributes:
        part: the name of the part.
        taken: number of nodes that XNNPACK takes.
        nodes: number of all nodes.
        left: sorted names of the operators left to the interpreter.
    """

    part: str
    taken: int
    nodes: int
    left: list[str]


def delegated_nodes(path: str | os.PathLike) -> tuple[int, int, int, list[str]]:
    """How much of a `.tflite` file XNNPACK takes.

    Args:
        path: the file.

    Returns:
        Number of delegates, number of nodes that they took, number of all nodes, and the sorted names of the operators left
        to the interpreter.

    Raises:
        ValueError: not a TFLite file, or one that the interpreter refuses.
    """
    delegates, own = nodes(path)
    return delegates, sum(taken for _, taken in own), len(own), left_of(own)


def delegated_parts(path: str | os.PathLike) -> list[Share]:
    """How much XNNPACK takes of each part of inference in a `.tflite` file.

    Args:
        path: the file.

    Returns:
        List of `Share`, in the order of the parts; empty where the file's metadata does not tell which nodes belong to which
        part.

    Raises:
        ValueError: not a TFLite file, or one that the interpreter refuses.
    """
    sizes = (read_metadata(path) or {}).get("parts") or {}
    own, shares = nodes(path)[1], []
    if not metadata.is_counts(sizes) or sum(sizes.values()) != len(own):
        return []
    for part, size in sizes.items():
        found, own = own[:size], own[size:]
        shares.append(Share(part, sum(taken for _, taken in found), size, left_of(found)))
    return shares


def left_of(own: Iterable[tuple[str, bool]]) -> list[str]:
    """The sorted names of the operators that XNNPACK has not taken."""
    return sorted({name for name, taken in own if not taken})


def nodes(path: str | os.PathLike) -> tuple[int, list[tuple[str, bool]]]:
    """Which nodes of a `.tflite` file XNNPACK takes.

    A delegate stands for the nodes that lie between its inputs and its outputs.

    Returns:
        Number of delegates, and for each node of the file, in its order, (operator, whether XNNPACK takes it).
    """
    # The interpreter has no other list of them. The delegates come after the nodes of the file.
    listed = opened(path)._get_ops_details()
    delegates = [node for node in listed if node["op_name"] == "DELEGATE"]
    own = [node for node in listed if node["op_name"] != "DELEGATE"]
    producer = {tensor: place for place, node in enumerate(own) for tensor in node["outputs"]}
    taken = set()
    for delegate in delegates:
        known, open_tensors = set(delegate["inputs"]), list(delegate["outputs"])
        while open_tensors:
            tensor = open_tensors.pop()
            if tensor in known or tensor not in producer:
                continue
            known.add(tensor)
            taken.add(producer[tensor])
            open_tensors += [source for source in own[producer[tensor]]["inputs"] if source >= 0]
    return len(delegates), [(node["op_name"], place in taken) for place, node in enumerate(own)]


def operators(path: str | os.PathLike) -> list[tuple[str, str, int]]:
    """The operators of a file, the most frequent first.

    Args:
        path: a `.tflite`, `.onnx` or OpenVINO's `.xml` file.

    Returns:
        List of (operator, element type, count). The element type is that of an operator's first output; it is "" for ONNX
        files, which do not say it, and for OpenVINO's ends, which have none.

    Raises:
        ValueError: the file is none of these.
    """
    if is_onnx(path):
        found = [(node.op_type, "") for node in onnx_model(path).graph.node]
    elif is_openvino(path):
        found = [openvino_operator(node) for node in openvino.read_model(path).get_ops()]
    else:
        found = undamaged(flatbuffer.operators, path)
    counted = sorted(collections.Counter(found).items(), key=lambda entry: (-entry[1], entry[0]))
    return [(name, kind, count) for (name, kind), count in counted]


def tensors(path: str | os.PathLike) -> tuple[list[Tensor], list[Tensor]]:
    """The inputs and the outputs of a file.

    Raises:
        ValueError: the file is neither TFLite, ONNX nor OpenVINO, or damaged.
    """
    if is_openvino(path):
        model = openvino.read_model(path)
        return [openvino_tensor(port) for port in model.inputs], [openvino_tensor(port) for port in model.outputs]
    if is_onnx(path):
        graph = onnx_model(path).graph
        constants = {entry.name for entry in graph.initializer}
        return [onnx_tensor(value) for value in graph.input if value.name not in constants], list(map(onnx_tensor, graph.output))
    interpreter = opened(path)
    if interpreter.get_signature_list():
        runner = interpreter.get_signature_runner()
        found = runner.get_input_details(), runner.get_output_details()
        return tuple([tflite_tensor(name, detail) for name, detail in sorted(details.items())] for details in found)
    found = interpreter.get_input_details(), interpreter.get_output_details()
    return tuple([tflite_tensor(detail["name"], detail) for detail in details] for details in found)


def read_metadata(path: str | os.PathLike) -> dict | None:
    """The `kfacealign` metadata of a file, or None if it has none.

    Raises:
        ValueError: the file is neither TFLite, ONNX nor OpenVINO, or its metadata is not a JSON object.
    """
    if is_openvino(path):
        text = openvino.read_text(path)
    elif is_onnx(path):
        text = {entry.key: entry.value for entry in onnx_model(path).metadata_props}.get(metadata.NAME)
    else:
        text = undamaged(flatbuffer.read_metadata, path, metadata.NAME)
    if text is None:
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: its '{metadata.NAME}' metadata is not JSON ({error}); export the model again") from None
    if not isinstance(found, dict):
        raise ValueError(f"{path}: its '{metadata.NAME}' metadata is no JSON object; export the model again")
    return found


# === TFLite ===


def read(path: str | os.PathLike) -> bytes:
    """Bytes of a `.tflite` file.

    Raises:
        ValueError: the file is not TFLite.
    """
    content = read_bytes(path)
    if not flatbuffer.is_tflite(content):
        raise ValueError(f"{path}: not a TFLite file")
    return content


def opened(path: str | os.PathLike) -> Any:
    """The interpreter of a `.tflite` file, see `interpreter_of`."""
    return undamaged(interpreter_of, path)


def interpreter_of(content: bytes) -> Any:
    """The interpreter of a TFLite model. Its tensors are allocated, so that XNNPACK has taken its nodes."""
    check_tflite(content)
    with quiet():
        interpreter = interpreter_class()(model_content=content)
        interpreter.allocate_tensors()
    return interpreter


def undamaged(function: Callable, path: str | os.PathLike, *arguments: Any) -> Any:
    """What a function of the bytes of a `.tflite` file, and of further arguments, returns.

    Raises:
        ValueError: the file is not TFLite, or it is cut or otherwise damaged.
    """
    content = read(path)
    try:
        return function(content, *arguments)
    except ImportError:
        raise
    except Exception as error:
        # A cut file fails anywhere between the bindings and the runtime.
        raise ValueError(f"{path} is damaged: {first_line(error)}") from error


def tflite_tensor(name: str, detail: dict) -> Tensor:
    """A `Tensor` from what the interpreter tells of it."""
    shape = detail.get("shape_signature", detail["shape"])
    return Tensor(name, tuple(map(int, shape)), detail["dtype"].__name__)


# === ONNX ===


def is_onnx(path: str | os.PathLike) -> bool:
    """Whether a file is named like an ONNX file."""
    return os.fspath(path).endswith(".onnx")


def onnx_model(path: str | os.PathLike) -> "onnx.ModelProto":
    """The parsed ONNX file, without weights that it keeps in other files.

    Raises:
        ValueError: it is no ONNX file, or a damaged one.
        ImportError: onnx is not installed.
    """
    try:
        import onnx
    except ImportError:
        raise ImportError("reading ONNX files needs onnx: pip install 'kfacealign[export]'") from None
    try:
        model = onnx.load_model_from_string(read_bytes(path))
    except OSError:
        raise
    except Exception as error:
        raise ValueError(f"{path}: not an ONNX file, or a damaged one: {first_line(error)}") from error
    if not model.graph.node:
        raise ValueError(f"{path}: not an ONNX file: it has no graph")
    return model


def onnx_opset(path: str | os.PathLike) -> int:
    """The version of ONNX's own operators that a file asks for."""
    return max(entry.version for entry in onnx_model(path).opset_import if entry.domain in ("", "ai.onnx"))


def onnx_tensor(value: "onnx.ValueInfoProto") -> Tensor:
    """A `Tensor` from what an ONNX file tells of it."""
    import onnx

    kind = value.type.tensor_type
    shape = tuple(size.dim_param or (size.dim_value if size.HasField("dim_value") else -1) for size in kind.shape.dim)
    return Tensor(value.name, shape, onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type).name)


# === OpenVINO ===


def is_openvino(path: str | os.PathLike) -> bool:
    """Whether a file is named like an OpenVINO model."""
    return os.fspath(path).endswith(".xml")


def openvino_operator(node: Any) -> tuple[str, str]:
    """The name of an operator, and the type of its first output."""
    name = node.get_type_name()
    return name, "" if name == "Result" else node.output(0).get_element_type().to_string()


def openvino_tensor(port: Any) -> Tensor:
    """A `Tensor` from what OpenVINO tells of an input or output."""
    shape = tuple(-1 if side is None else side for side in openvino.as_shape(port))
    return Tensor(min(port.get_names()), shape, port.get_element_type().to_dtype().name)
