"""Running OpenVINO models, NAME.xml with its weights in NAME.bin, with the interface of `FaceAligner.align`."""

import hashlib
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kfacealign import files
from kfacealign.data.readers import documents
from kfacealign.deploy import metadata
from kfacealign.deploy.runtime.exported import ExportedAligner, first_line
from kfacealign.deploy.runtime.tflite_check import LARGEST_SUM, LARGEST_TENSOR
from kfacealign.quiet import import_openvino

if TYPE_CHECKING:
    import openvino

NEEDED = "OpenVINO models need the package openvino: pip install 'kfacealign[openvino]'"
LIMIT = 2**26  # bytes of the .xml; that of the largest model of this package has 2^21
# Operators that call other graphs, or keep something from one run to the next.
REFUSED = frozenset(["Assign", "If", "Loop", "ReadValue", "TensorIterator"])
# Without the first, a CPU that computes in bfloat16 would do so. Without the second, threads would keep to cores that another
# program may have.
SETTINGS = {"INFERENCE_PRECISION_HINT": "f32", "ENABLE_CPU_PINNING": False, "PERFORMANCE_HINT": "LATENCY"}


class OpenVinoAligner(ExportedAligner):
    """An OpenVINO model written by `export`, run by OpenVINO on the CPU, in float32 whatever the processor prefers.

    Args:
        path: the `.xml` file; the `.bin` file of the same name lies beside it.
        threads: number of CPU threads; None leaves it to the runtime.

    One aligner may be shared by threads: a lock lets one of them run the model at a time.

    Raises:
        ValueError: the file is no OpenVINO model, its `.bin` file is missing or another one, or it was not written by
            `export`.
        ImportError: openvino is not installed.

    Example:
        >>> aligner = OpenVinoAligner("hih.xml")
        >>> landmarks, scores = aligner.align(crops)
    """

    def __init__(self, path: str | os.PathLike, *, threads: int | None = None):
        described = metadata.parse(read_text(path), path)
        model = read_model(path)
        settings = SETTINGS if threads is None else {**SETTINGS, "INFERENCE_NUM_THREADS": threads}
        try:
            self.compiled = runtime().Core().compile_model(model, "CPU", settings)
            # A state comes out as `next_state_x`, as it does of the ONNX model that this one was made of.
            places = {name: place for place, port in enumerate(model.outputs) for name in port.get_names()}
            self.places = {name.removeprefix("next_"): place for name, place in places.items()}
            inputs = {name: as_shape(port) for port in model.inputs for name in port.get_names()}
            outputs = {name: as_shape(model.outputs[place]) for name, place in self.places.items()}
        except Exception as error:
            # OpenVINO's plugin for the CPU has an exception for every stage, too.
            raise ValueError(f"{path} is damaged: {first_reason(error)}") from error
        super().__init__(path, described, inputs, outputs)
        self.threads = threads
        self._lock = threading.Lock()

    def run_tensors(self, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        # A compiled model has one set of tensors: without the lock, threads would read each other's answers.
        with self._lock:
            try:
                found = self.compiled(tensors)
                return {name: np.array(found[place]) for name, place in self.places.items()}
            except Exception as error:
                raise ValueError(f"{self.path} cannot be run: {first_reason(error)}") from error


def runtime() -> Any:
    """The module `openvino`, without its telemetry.

    Raises:
        ImportError: it is not installed; the message says what to install.
    """
    try:
        return import_openvino()
    except ImportError:
        raise ImportError(NEEDED) from None


def weights_of(path: str | os.PathLike) -> Path:
    """The file that has the weights of an `.xml` file."""
    return Path(path).with_suffix(".bin")


def read_text(path: str | os.PathLike) -> str | None:
    """The metadata text of an OpenVINO model, or None where it has none. The package openvino is not needed.

    Args:
        path: the `.xml` file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no XML of OpenVINO.
    """
    if os.path.getsize(path) > LIMIT:
        raise ValueError(f"{path}: larger than {LIMIT // 2**20} MiB, which no description of a model is")
    # Layers are asked for, too, because each may have an `rt_info` of its own, which is not the model's.
    for element in documents.read_xml(path, "net", ("layer", "rt_info")):
        if element.tag == "rt_info":
            for entry in element.all(metadata.NAME):
                return entry.attributes.get("value", "")
    return None


def read_model(path: str | os.PathLike) -> "openvino.Model":
    """The graph of an OpenVINO model, not yet compiled. No file is read but the two.

    Args:
        path: the `.xml` file.

    Raises:
        OSError: the `.xml` file cannot be read.
        ValueError: it is no OpenVINO model, its weights are missing, cut or those of another model, or its graph is none that
            a model file may have.
        ImportError: openvino is not installed.
    """
    openvino = runtime()
    weights = weights_of(path)
    if not weights.is_file():
        raise ValueError(f"{path}: its weights are missing, {weights.name}: the two files belong together; copy both")
    content = files.read_bytes(weights)
    check_weights(path, content)
    try:
        model = openvino.Core().read_model(files.read_bytes(path, limit=LIMIT), content)
        check_graph(model)
    except OSError:
        raise
    except Exception as error:
        # OpenVINO has an exception for every stage of reading.
        raise ValueError(f"{path} is damaged: {first_reason(error)}") from error
    return model


def check_weights(path: str | os.PathLike, content: bytes) -> None:
    """Refuses weights that are not those with which the `.xml` file was written, where that file says it.

    Raises:
        ValueError: they are others, or cut.
    """
    text = read_text(path)
    told = None if text is None else metadata.parse(text, path).get("weights_sha256")
    if told is not None and told != hashlib.sha256(content).hexdigest():
        raise ValueError(
            f"{path}: its weights, {weights_of(path).name}, are damaged or those of another model; copy both files again, or "
            "export the model again"
        )


def check_graph(model: "openvino.Model") -> None:
    """Refuses a graph that calls others or has a memory, and one whose tensors are beyond reason.

    Raises:
        ValueError: it is refused; the message does not name the file.
    """
    total = 0
    for node in model.get_ops():
        if node.get_type_name() in REFUSED:
            raise ValueError(f"its operator {node.get_type_name()} is none that a model file may have")
        for port in node.outputs():
            shape = port.get_partial_shape()
            # An open side counts as one.
            size = int(np.prod([side.get_length() if side.is_static else 1 for side in shape], dtype=float)) * 4
            total += size
            if shape.rank.is_dynamic or size > LARGEST_TENSOR or total > LARGEST_SUM:
                raise ValueError(f"the tensor of its operator {node.get_type_name()} has no shape that can be allocated")


def as_shape(port: Any) -> Sequence[int | None]:
    """The shape of an input or output of a model; open sides are None."""
    return tuple(side.get_length() if side.is_static else None for side in port.get_partial_shape())


def first_reason(error: Exception) -> str:
    """What OpenVINO's error says in one line: the first that is not about a place in its sources."""
    lines = [line.strip() for line in str(error).splitlines()]
    told = [line for line in lines if line and not line.startswith(("Exception from ", "Check '", "While "))]
    return told[0][:300] if told else first_line(error)
