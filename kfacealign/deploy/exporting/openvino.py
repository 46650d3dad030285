"""OpenVINO models: the graph in NAME.xml, the weights in NAME.bin, made of the ONNX model."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kfacealign.deploy import metadata
from kfacealign.deploy.runtime.openvino import runtime, weights_of

if TYPE_CHECKING:
    import openvino

PRECISIONS = ("float32", "float16")
# The operators whose weights float16 applies to, and how many numbers these have at least: the grids and steps of the
# decoding, which are smaller, stay float32.
WEIGHTED = ("Convolution", "GroupConvolution", "ConvolutionBackpropData", "GroupConvolutionBackpropData", "MatMul")
SMALLEST = 1024


def write(content: bytes, path: Path, precision: str, describe: Callable[..., str]) -> None:
    """Writes an ONNX model as an OpenVINO model.

    Args:
        content: bytes of the ONNX model.
        path: the `.xml` file; the `.bin` file is written beside it.
        precision: one of `PRECISIONS`, that of the weights.
        describe: returns the metadata text; it is called with the checksum of the weights as the entry `weights_sha256`.

    Raises:
        ValueError: OpenVINO refuses the model.
        ImportError: openvino is not installed.
    """
    openvino = runtime()
    try:
        model = openvino.Core().read_model(content)
    except Exception as error:
        raise ValueError(f"the model cannot be converted to OpenVINO: {str(error).strip().splitlines()[-1]}") from error
    # A model made anew of the ends does not say what the ONNX file said of itself.
    model = openvino.Model(model.get_results(), model.get_parameters(), metadata.NAME)
    if precision == "float16":
        halve(model)
    openvino.save_model(model, path, compress_to_fp16=False)
    # The checksum stands in the file that is written with the weights, so they are written twice.
    model.set_rt_info(describe(weights_sha256=hashlib.sha256(weights_of(path).read_bytes()).hexdigest()), metadata.NAME)
    openvino.save_model(model, path, compress_to_fp16=False)


def halve(model: "openvino.Model") -> None:
    """Makes the weights of convolutions and matrix products float16; a conversion behind them makes them float32 again.

    OpenVINO's own compression would take the constants of the decoding as well, which moves all landmarks a little.
    """
    openvino = runtime()
    half = openvino.opset13
    for node in model.get_ops():
        if node.get_type_name() != "Constant" or node.get_element_type() != openvino.Type.f32:
            continue
        if node.data.size >= SMALLEST and is_weight(node.output(0)):
            targets = node.output(0).get_target_inputs()
            back = half.convert(half.constant(node.data.astype(np.float16)), "f32")
            for target in targets:
                target.replace_source_output(back.output(0))


def is_weight(port: "openvino.Output") -> bool:
    """Whether a constant goes into a convolution or a matrix product, itself or reshaped."""
    nodes = [target.get_node() for target in port.get_target_inputs()]
    return any(
        node.get_type_name() in WEIGHTED or (node.get_type_name() == "Reshape" and is_weight(node.output(0))) for node in nodes
    )
