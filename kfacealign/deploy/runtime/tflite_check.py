"""What a `.tflite` file must be before an interpreter sees it.

LiteRT checks the container, but not all that its operators take for granted: an operator that lacks an input may end the
process. TensorFlow's interpreter also runs TensorFlow's own operators, some of which write files. So a file is one graph of
built-in operators whose tensors are all there.
"""

import math
from typing import Any

from kfacealign.deploy import flatbuffer

# Operators -> the inputs, by place, that may be left out.
OPTIONAL = {"CONV_2D": (2,), "DEPTHWISE_CONV_2D": (2,), "FULLY_CONNECTED": (2,), "TRANSPOSE_CONV": (3,)}
# Built-in operators that call other graphs, or keep something from one run to the next.
REFUSED = """
    CALL CALL_ONCE CUSTOM DELEGATE IF WHILE HASHTABLE HASHTABLE_FIND HASHTABLE_IMPORT HASHTABLE_LOOKUP HASHTABLE_SIZE VAR_HANDLE
    READ_VARIABLE ASSIGN_VARIABLE PLACEHOLDER_FOR_GREATER_OP_CODES STABLEHLO_CUSTOM_CALL STABLEHLO_WHILE STABLEHLO_CASE
    STABLEHLO_COMPOSITE STABLEHLO_REDUCE STABLEHLO_REDUCE_WINDOW STABLEHLO_SCATTER STABLEHLO_SORT
"""
REFUSED_NAMES = frozenset(REFUSED.split())
MOST = 100_000  # operators, tensors or buffers
LARGEST_TENSOR, LARGEST_SUM = 2**29, 2**32  # bytes, of one tensor and of all between the operators


def check_tflite(content: bytes) -> None:
    """Refuses a TFLite file that is no single graph of built-in operators.

    Args:
        content: its bytes.

    Raises:
        ValueError: it is refused; the message does not name the file. Damaged bytes raise what the bindings raise.
    """
    model = flatbuffer.schema().Model.GetRootAs(content, 0)
    if model.SubgraphsLength() != 1:
        raise ValueError(f"it has {model.SubgraphsLength()} graphs, one is expected")
    graph = model.Subgraphs(0)
    counts = graph.TensorsLength(), graph.OperatorsLength(), model.BuffersLength(), model.OperatorCodesLength()
    if max(counts) > MOST:
        raise ValueError(f"it has more than {MOST} tensors, operators or buffers")
    tensors = graph.TensorsLength()
    names = [code_name(model.OperatorCodes(place)) for place in range(model.OperatorCodesLength())]
    for place in range(graph.OperatorsLength()):
        check_operator(graph.Operators(place), names, tensors)
    for place in range(tensors):
        if not 0 <= graph.Tensors(place).Buffer() < model.BuffersLength():
            raise ValueError(f"its tensor {place} has no buffer")
    ends = [graph.Inputs(place) for place in range(min(graph.InputsLength(), MOST))]
    ends += [graph.Outputs(place) for place in range(min(graph.OutputsLength(), MOST))]
    check_indices(ends, tensors, "the graph")
    if not model.SignatureDefsLength():
        raise ValueError("it has no signature")


def check_operator(operator: Any, names: list[str], tensors: int) -> None:
    """Refuses an operator that is no built-in, or whose tensors are missing.

    Raises:
        ValueError: it is refused.
    """
    if not 0 <= operator.OpcodeIndex() < len(names):
        raise ValueError("it has an operator without a code")
    name = names[operator.OpcodeIndex()]
    if name in REFUSED_NAMES or name.startswith("CUSTOM:"):
        raise ValueError(f"its operator {name} is none that a model file may have")
    if max(operator.InputsLength(), operator.OutputsLength()) > MOST:
        raise ValueError(f"its operator {name} has too many tensors")
    inputs = [operator.Inputs(place) for place in range(operator.InputsLength())]
    given = [index for place, index in enumerate(inputs) if index != -1 or place not in OPTIONAL.get(name, ())]
    outputs = [operator.Outputs(place) for place in range(operator.OutputsLength())]
    check_indices(given + outputs, tensors, f"its operator {name}")
    if not outputs:
        raise ValueError(f"its operator {name} has no output")


def check_indices(indices: list[int], tensors: int, what: str) -> None:
    """Refuses indices of tensors that are not there.

    Raises:
        ValueError: there is no such tensor.
    """
    for index in indices:
        if not 0 <= index < tensors:
            raise ValueError(f"{what} names the tensor {index} of {tensors}")


def code_name(code: Any) -> str:
    """The name of an operator code; "CUSTOM:name" for one that is no built-in.

    Raises:
        ValueError: there is no such operator.
    """
    if code.CustomCode():
        return f"CUSTOM:{code.CustomCode().decode(errors='replace')[:50]}"
    number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
    if number not in flatbuffer.builtin_names():
        raise ValueError(f"it has an operator of the unknown kind {number}")
    return flatbuffer.builtin_names()[number]


def check_memory(interpreter: Any) -> None:
    """Refuses a graph whose tensors are beyond reason; they are allocated, but not yet written to.

    Args:
        interpreter: LiteRT's or TensorFlow's, after `allocate_tensors`.

    Raises:
        ValueError: it is refused.
    """
    sizes = [math.prod(map(int, found["shape"])) * 4 for found in interpreter.get_tensor_details()]
    if max(sizes, default=0) > LARGEST_TENSOR or sum(sizes) > LARGEST_SUM:
        raise ValueError(f"its tensors take {sum(sizes) / 2**20:.0f} MiB, one of them {max(sizes) / 2**20:.0f} MiB")
