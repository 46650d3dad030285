"""Models of every kind, and what they say about themselves."""

import functools
import inspect
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import stories
from faults import Found
from shapes import picture
from target import Target, only


@functools.cache
def made() -> dict[str, bytes]:
    """The files of `modelled.write`, which TensorFlow writes once for a run to the folder that FUZZ_MODELS names."""
    folder = Path(os.environ["FUZZ_MODELS"])
    if not (folder / "whole").exists():
        import modelled

        modelled.write(folder)
        (folder / "whole").touch()
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def copies(*prefixes: str) -> Callable[[Path], None]:
    """Writes those of the models' files whose paths begin so."""

    def make(root: Path) -> None:
        for name, content in made().items():
            if name.startswith(prefixes):
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_bytes(content)

    return make


def aligned(path: Path, **options: Any) -> list:
    """Loads a model through the front door and aligns a face."""
    import kfacealign
    from kfacealign.face_landmarks import FaceLandmarks

    model = kfacealign.load(path, **options)
    return FaceLandmarks(model, detector=stories.NoDetector())(picture(), boxes=[[2, 2, 18, 18]])


def keras_file(root: Path, _: Sequence[str]) -> Any:
    import keras

    try:
        return aligned(root / "m.keras")
    finally:
        if keras.config.floatx() != "float32" or keras.src.saving.serialization_lib.in_safe_mode() is False:
            keras.config.set_floatx("float32")
            raise Found("canary", "loading the file changed a setting of Keras")


def metadata_of_tflite(root: Path, _: Sequence[str]) -> Any:
    """The metadata is mutated apart, since few bytes of a model's file are its text."""
    from kfacealign.deploy import flatbuffer

    text = (root / "metadata.json").read_text("utf-8", "surrogateescape").encode("utf-8", "replace").decode()
    path = root / "m.tflite"
    path.write_bytes(flatbuffer.add_metadata((root / "bare.tflite").read_bytes(), "kfacealign", text))
    return aligned(path)


def metadata_of_onnx(root: Path, _: Sequence[str]) -> Any:
    """As a message of protocol buffers is merged with what is appended to it, an entry appended replaces the one before."""
    entry = framed(1, b"kfacealign") + framed(2, (root / "metadata.json").read_bytes().decode("utf-8", "replace").encode())
    with open(root / "m.onnx", "ab") as file:
        file.write(framed(14, entry))
    return aligned(root / "m.onnx")


def framed(number: int, content: bytes) -> bytes:
    """A field of bytes of a protocol buffer."""
    length, rest = b"", len(content)
    while rest > 127:
        length, rest = length + bytes([rest & 127 | 128]), rest >> 7
    return bytes([number << 3 | 2]) + length + bytes([rest]) + content


def untrusted(root: Path, _: Sequence[str]) -> None:
    """A SavedModel is a program: without the user's word none is loaded, sound or not."""
    import kfacealign

    kfacealign.load(root / "m")
    raise Found("trusted", "a SavedModel was loaded without trust")


def trusted(root: Path, _: Sequence[str]) -> Any:
    from kfacealign.deploy.runtime import loading

    return aligned(root / "m", **({"trust": True} if "trust" in inspect.signature(loading.load).parameters else {}))


KERAS, TFLITE, ONNX, OPENVINO = ("keras", "tensorflow"), ("ai_edge_litert",), ("onnxruntime",), ("openvino",)
MODELS = {
    "model-tflite": Target(make=copies("m.tflite"), call=lambda root, _: aligned(root / "m.tflite"), needs=(*KERAS, *TFLITE)),
    "model-onnx": Target(make=copies("m.onnx"), call=lambda root, _: aligned(root / "m.onnx"), needs=(*KERAS, *ONNX)),
    "model-openvino": Target(
        make=copies("m.xml", "m.bin"), call=lambda root, _: aligned(root / "m.xml"), needs=(*KERAS, *OPENVINO)
    ),
    "metadata-tflite": Target(
        make=copies("bare.tflite", "metadata.json"),
        call=metadata_of_tflite,
        mutators=only("metadata.json"),
        writes=True,
        needs=(*KERAS, *TFLITE),
    ),
    "metadata-onnx": Target(
        make=copies("m.onnx", "metadata.json"),
        call=metadata_of_onnx,
        mutators=only("metadata.json"),
        writes=True,
        needs=(*KERAS, *ONNX),
    ),
    "model-keras": Target(make=copies("m.keras", "graph/"), call=keras_file, mutators=only("m.keras"), share=0.1, needs=KERAS),
    "model-saved": Target(make=copies("m/"), call=untrusted, share=0.1, needs=KERAS, sound="refused"),
    "model-saved-trusted": Target(make=copies("m/"), call=trusted, share=0.05, needs=KERAS),
}
