"""Running TFLite files by LiteRT's CompiledModel, the interface of LiteRT 2, which `kfacealign bench` compares."""

import math
import os
from typing import Any

import numpy as np

from kfacealign import files
from kfacealign.deploy import flatbuffer, metadata
from kfacealign.deploy.runtime.exported import ExportedAligner, first_line
from kfacealign.deploy.runtime.tflite_check import check_tflite
from kfacealign.quiet import quiet

SIGNATURE = "serving_default"
NEEDED = "LiteRT's CompiledModel needs ai-edge-litert 2.1 or later: pip install 'kfacealign[export]'"


class CompiledAligner(ExportedAligner):
    """A TFLite model written by `export`, compiled for the CPU by LiteRT's CompiledModel; it reads one crop at a time.

    The step of a tracker takes every crop for the first frame of a clip.

    Args:
        path: the `.tflite` file.
        threads: number of CPU threads; None is one, as it is CompiledModel's own choice.

    Raises:
        ValueError: the file is no TFLite model, was not written by `export`, takes any number of crops, or cannot be
            compiled.
        ImportError: LiteRT is not installed, or too old.
    """

    def __init__(self, path: str | os.PathLike, *, threads: int | None = None):
        content = files.read_bytes(path)
        if not flatbuffer.is_tflite(content):
            raise ValueError(f"{path}: not a TFLite file")
        try:
            text = flatbuffer.read_metadata(content, metadata.NAME)
            check_tflite(content)
        except Exception as error:
            # A cut file fails anywhere in the bindings.
            raise ValueError(f"{path} is damaged: {first_line(error)}") from error
        described = metadata.parse(text, path)
        if described.get("input", {}).get("shape", [1])[0] is None:
            raise ValueError(
                f"{path} takes any number of crops, and CompiledModel compiles for one: export it without --batch any"
            )
        try:
            self.model = compiled(content, threads or 1)
            inputs = self.model.get_input_tensor_details(SIGNATURE)
            outputs = self.model.get_output_tensor_details(SIGNATURE)
            self.given = {name: self.model.create_input_buffer_by_name(SIGNATURE, name) for name in inputs}
            self.found = {name: self.model.create_output_buffer_by_name(SIGNATURE, name) for name in outputs}
        except ImportError:
            raise
        except Exception as error:
            # CompiledModel has an exception for every stage of compiling.
            raise ValueError(f"{path} cannot be compiled by LiteRT's CompiledModel: {first_line(error)}") from error
        shapes = ({name: tuple(facts["shape"]) for name, facts in details.items()} for details in (inputs, outputs))
        super().__init__(path, described, *shapes)
        self.threads = threads

    def run_tensors(self, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        try:
            for name, buffer in self.given.items():
                buffer.write(tensors.get(name, np.zeros(self.inputs[name], "float32")))
            self.model.run_by_name(SIGNATURE, self.given, self.found)
            shapes = self.outputs.items()
            return {name: self.found[name].read(math.prod(shape), np.float32).reshape(shape) for name, shape in shapes}
        except Exception as error:
            raise ValueError(f"{self.path} cannot be run by LiteRT's CompiledModel: {first_line(error)}") from error


def compiled(content: bytes, threads: int) -> Any:
    """LiteRT's `CompiledModel` of the bytes of a TFLite file, on the CPU.

    Raises:
        ImportError: LiteRT is not installed, or too old.
    """
    try:
        from ai_edge_litert.compiled_model import CompiledModel
        from ai_edge_litert.hardware_accelerator import HardwareAccelerator
        from ai_edge_litert.options import CpuOptions, Options
    except ImportError:
        raise ImportError(NEEDED) from None
    options = Options(hardware_accelerators=HardwareAccelerator.CPU, cpu_options=CpuOptions(num_threads=threads))
    with quiet():
        return CompiledModel.from_buffer(content, options=options)
