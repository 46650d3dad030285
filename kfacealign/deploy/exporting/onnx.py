"""ONNX files: made by tf2onnx, checked by onnx and by a run in ONNX Runtime."""

from typing import TYPE_CHECKING

import keras
import numpy as np

from kfacealign.deploy import metadata
from kfacealign.deploy.exporting import conversion
from kfacealign.quiet import import_onnxruntime, quiet

if TYPE_CHECKING:
    import onnx

# The version of ONNX's own operators. ONNX Runtime reads it since 1.12; so do its builds for the web and for phones.
OPSET = 17
# In ONNX two tensors cannot share a name. An output that takes an input's place in the next run gets this before its name.
NEXT = "next_"
NEEDED = "ONNX export needs tf2onnx, onnx and onnxruntime: pip install 'kfacealign[export]'"


def to_onnx(model: keras.Model, text: str) -> bytes:
    """Bytes of a functional model as an ONNX file with the names of its inputs and outputs.

    Args:
        model: float32 tensors to a dict of float32 tensors; a batch dimension that is open is called `batch`. An output
            that has the name of an input gets `NEXT` before it, such as `next_state_x`.
        text: JSON, which becomes the metadata property `kfacealign`.

    Raises:
        ValueError: an operation has no ONNX counterpart, or what came out is no valid model.
        ImportError: tf2onnx, onnx or onnxruntime is not installed.
    """
    try:
        import onnx

        # Required before the conversion: without it the result could not be checked.
        import_onnxruntime()
        import tf2onnx
    except ImportError:
        raise ImportError(NEEDED) from None
    model = with_unique_names(model)
    with quiet():
        function, specs = conversion.as_function(model)
        try:
            content, _ = tf2onnx.convert.from_function(function, [specs], opset=OPSET)
        except Exception as error:
            raise ValueError(f"{model.name} cannot be converted to ONNX: {str(error).splitlines()[0]}") from error
    name_batch(content.graph)
    content.producer_name = metadata.NAME
    onnx.helper.set_model_props(content, {metadata.NAME: text})
    foreign = sorted({node.op_type for node in content.graph.node if node.domain not in ("", "ai.onnx")})
    try:
        onnx.checker.check_model(content, full_check=True)
    except Exception as error:
        named = f" (operators of other makers: {', '.join(foreign)})" if foreign else ""
        raise ValueError(f"{model.name} gave no valid ONNX model{named}: {str(error).splitlines()[0]}") from error
    content = content.SerializeToString()
    try_once(content, model)
    return content


def with_unique_names(model: keras.Model) -> keras.Model:
    """The model with `NEXT` before the names of outputs that are names of inputs too."""
    if not isinstance(model.input, dict):
        return model
    renamed = {f"{NEXT}{name}" if name in model.input else name: tensor for name, tensor in model.output.items()}
    return keras.Model(model.input, renamed, name=model.name)


def name_batch(graph: "onnx.GraphProto") -> None:
    """Names the open first dimension of inputs and outputs `batch`; tf2onnx gives it a made-up name."""
    for value in (*graph.input, *graph.output):
        first = value.type.tensor_type.shape.dim[0]
        if not first.HasField("dim_value"):
            first.dim_param = "batch"


def try_once(content: bytes, model: keras.Model) -> None:
    """Runs a converted model once, on noise, in ONNX Runtime.

    Raises:
        ValueError: it does not run, or its outputs are not finite or not of the model's shapes.
    """
    from kfacealign.deploy.runtime.onnx import session_of

    inputs = model.input if isinstance(model.input, dict) else {model.input.name: model.input}
    random = np.random.default_rng(0)
    shapes = {name: [size or 2 for size in tensor.shape] for name, tensor in inputs.items()}
    feeds = {name: random.uniform(0, 255, shape).astype("float32") for name, shape in shapes.items()}
    try:
        session = session_of(content)
        found = dict(zip((output.name for output in session.get_outputs()), session.run(None, feeds), strict=True))
    except Exception as error:
        raise ValueError(f"{model.name}: ONNX Runtime refuses the converted model: {str(error).splitlines()[0]}") from error
    for name, tensor in model.output.items():
        shape = tuple(size or 2 for size in tensor.shape)
        if name not in found or found[name].shape != shape or not np.isfinite(found[name]).all():
            raise ValueError(f"{model.name}: ONNX Runtime does not find {name} of shape {shape} in the converted model")
