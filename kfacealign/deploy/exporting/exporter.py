"""Export: pixels -> network -> decode as one graph, as a SavedModel folder, a TFLite file, an ONNX file or an OpenVINO model."""

import contextlib
import functools
import os
from collections.abc import Callable, Collection
from pathlib import Path

import numpy as np

from kfacealign.backend import keras
from kfacealign.data.faces import Faces
from kfacealign.deploy import flatbuffer, metadata
from kfacealign.deploy.exporting import litert, onnx, openvino
from kfacealign.deploy.exporting.calibration import calibration_crops
from kfacealign.deploy.exporting.conversion import write_saved_model
from kfacealign.deploy.exporting.graphs import inference_model, part_models
from kfacealign.deploy.runtime.openvino import weights_of
from kfacealign.files import replacing
from kfacealign.models.aligner import FaceAligner

PRECISIONS = ("float32", "float16", "int8", "int8_io")
# Format -> the suffix of its files; a SavedModel is a folder and has none.
FORMATS = {"litert": ".tflite", "onnx": ".onnx", "openvino": ".xml", "savedmodel": ""}
NAMES = {"litert": "a TFLite model", "onnx": "an ONNX model", "openvino": "an OpenVINO model", "savedmodel": "a SavedModel"}
# Format -> the precisions that it has.
AVAILABLE = {"litert": PRECISIONS, "onnx": ("float32",), "openvino": openvino.PRECISIONS, "savedmodel": ("float32",)}


def export(
    aligner: FaceAligner,
    path: str | os.PathLike,
    *,
    format: str | None = None,
    precision: str = "float32",
    calibration: np.ndarray | Faces | None = None,
    calibration_size: int = 128,
    flip: bool = False,
    batch: int | None = 1,
    keep_float: Collection[str] = (),
    licence: str | None = None,
    training_data: str | None = None,
    detector: str | dict | None = None,
    errors: list[dict] | None = None,
) -> Path:
    """Writes an aligner for deployment, pixels in and landmarks out.

    Whatever the format, the graph reads `image` (1, S, S, 3) float32 RGB 0..255 and returns `landmarks` (1, K, 2) in crop
    coordinates and `scores` (1, K). What its user needs besides, such as the scheme, the names of the points and the
    conventions, is JSON in the metadata entry `kfacealign` of a TFLite file, in the property `kfacealign` of an ONNX file,
    in the entry `kfacealign` of the `rt_info` of an OpenVINO model, and in the file `assets.extra/kfacealign.json` of a
    SavedModel. See docs/export.md.

    A TFLite file holds built-in operators only. Network and decoding are converted apart and joined: `precision` applies to
    the network, and decoding is always float32. The metadata of an int8 file lists the parts that stay in float as
    `float_parts`. An ONNX file has the opset `onnx.OPSET`, and has passed ONNX's checker and one run of ONNX Runtime. An
    OpenVINO model is made of such a file and is two files, NAME.xml and NAME.bin, of which the first appears last and knows
    the second by its checksum. The file or folder appears whole or not at all.

    Args:
        aligner: a `FaceAligner`.
        path: file or folder to write; one that exists is replaced.
        format: "litert", "onnx", "openvino" or "savedmodel"; by default litert for a path in `.tflite`, onnx for one in
            `.onnx`, openvino for one in `.xml`, and savedmodel for one without suffix.
        precision: "float32", "float16" (weights), "int8" (weights per channel, and activations) or "int8_io": int8 whose
            input `image` is uint8, a byte standing for its value, so that an app feeds the camera's pixels; the outputs
            are float32 as they come out of decoding. ONNX and SavedModel are float32; OpenVINO is float32 or float16.
        calibration: for int8, examples of what the network will see: crops `(N, S, S, 3)` RGB 0..255, or `Faces`, which are
            cropped as in training.
        calibration_size: number of calibration crops used, evenly spaced.
        flip: whether the graph also reads the crop mirrored and averages both answers.
        batch: 1, or None for a graph that takes any number of crops. The signature runner of LiteRT resizes such a TFLite
            file by itself before it runs; XNNPACK takes fewer of its operators than in a file for a single crop.
        keep_float: for int8, layers to compute in float32, by the names that `quantization_report` gives.
        licence: for the metadata, what users should know about the model's licence, in words.
        training_data: for the metadata, what they should know about the data it was trained on, in words.
        detector: for the metadata, how an app makes the crop from its face detector's box: None, "haar", or a dict of
            `scale` (the crop's side over the box's longer side) and `shift` (dx, dy) of the centre in longer sides.
        errors: for the metadata, how errors grow with the turn of the head, see `kfacealign.deploy.error_bands`.

    Returns:
        The path written.

    Raises:
        ValueError: an argument does not fit the others, or an operator has no counterpart in the format.
        ImportError: the format's packages are not installed.

    Example:
        >>> kfacealign.deploy.export(model, "hih.tflite", precision="int8", calibration=faces.train)
    """
    path = Path(path)
    format = format or format_of(path)
    check(aligner, path, format=format, precision=precision, calibration=calibration, batch=batch, keep_float=keep_float)
    notes = {
        "flip": flip,
        "batch": batch,
        "licence": licence,
        "training_data": training_data,
        "detector": detector,
        "errors": errors,
    }

    def to_tflite():
        crops = calibration_crops(aligner, calibration, calibration_size) if precision.startswith("int8") else None
        parts = part_models(aligner, flip=flip, precision=precision, batch=batch)
        content, sizes = litert.joined(parts, precision, crops=crops, keep_float=keep_float)
        left = {"float_parts": float_parts(parts, precision), "float_layers": list(keep_float) or None}
        return content, {"parts": sizes, **left}

    return write(
        path,
        format,
        precision=precision,
        describe=functools.partial(metadata.describe, aligner, precision, **notes),
        to_tflite=to_tflite,
        to_graph=functools.partial(inference_model, aligner, flip=flip, batch=batch),
    )


def write(
    path: Path,
    format: str,
    *,
    precision: str,
    describe: Callable[..., str],
    to_tflite: Callable[[], tuple[bytes, dict]],
    to_graph: Callable[[], keras.Model] | None = None,
) -> Path:
    """Writes one model in one of the formats; the file or folder appears whole or not at all.

    Args:
        path: the file or folder; one that exists is replaced.
        format: one of `FORMATS`.
        precision: that of the weights of an OpenVINO model; for other formats it is a matter of the functions.
        describe: returns the metadata text; it is called with the entries that only the format knows as keywords.
        to_tflite: returns the bytes of a TFLite file without metadata, and such entries of the metadata.
        to_graph: returns the functional model that a SavedModel, an ONNX file or an OpenVINO model holds.

    Returns:
        The path.

    Raises:
        ValueError: the notes are wrong, or an operator has no counterpart in the format.
    """
    describe()  # Validate the notes first: export takes minutes.
    with replacing(path) as temporary, beside(path, format):
        if format == "savedmodel":
            write_saved_model(to_graph(), temporary)
            write_notes(temporary, describe())
        elif format == "onnx":
            temporary.write_bytes(onnx.to_onnx(to_graph(), describe(opset=onnx.OPSET)))
        elif format == "openvino":
            openvino.write(onnx.to_onnx(to_graph(), ""), temporary, precision, describe)
        else:
            content, entries = to_tflite()
            temporary.write_bytes(flatbuffer.add_metadata(content, metadata.NAME, describe(**entries)))
    return path


def beside(path: Path, format: str) -> contextlib.AbstractContextManager:
    """What replaces the second file of an OpenVINO model, before the first is replaced; nothing for other formats."""
    return replacing(weights_of(path)) if format == "openvino" else contextlib.nullcontext()


def write_notes(folder: Path, text: str) -> None:
    """Writes the metadata text into a SavedModel."""
    (folder / metadata.FILE).parent.mkdir()
    (folder / metadata.FILE).write_text(text, encoding="utf-8")


def float_parts(parts: list[tuple[keras.Model, bool]], precision: str) -> list[str] | None:
    """Names of the parts that an int8 file leaves in float; None for other precisions."""
    return [model.name for model, quantizable in parts if not quantizable] if precision.startswith("int8") else None


# === Arguments ===


def format_of(path: Path) -> str:
    """The format that the suffix of a path stands for.

    Raises:
        ValueError: it stands for none.
    """
    for format, suffix in FORMATS.items():
        if path.suffix == suffix:
            return format
    raise ValueError(
        f"cannot tell the format from {path.name}: end it in .tflite for LiteRT, .onnx for ONNX or .xml for OpenVINO, give a "
        f"folder name without suffix for a SavedModel, or pass format={', '.join(map(repr, FORMATS))}"
    )


def check(
    aligner: FaceAligner,
    path: Path,
    *,
    format: str,
    precision: str,
    calibration: np.ndarray | Faces | None = None,
    batch: int | None = 1,
    keep_float: Collection[str] = (),
) -> None:
    """Checks that arguments of `export` fit each other.

    Raises:
        ValueError: they do not.
    """
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            f"export needs the TensorFlow backend, not {keras.backend.backend()}: save the model as .keras and export "
            "it under KERAS_BACKEND=tensorflow"
        )
    if format not in FORMATS:
        raise ValueError(f"format is one of {', '.join(FORMATS)}, not {format!r}")
    if precision not in PRECISIONS:
        raise ValueError(f"precision is one of {', '.join(PRECISIONS)}, not {precision!r}")
    if precision not in AVAILABLE[format]:
        raise ValueError(f"{NAMES[format]} is {' or '.join(AVAILABLE[format])}; for {precision} export to a .tflite file")
    if batch not in (1, None):
        raise ValueError(f"batch is 1, or None for any number of crops, not {batch!r}")
    if keep_float and not precision.startswith("int8"):
        raise ValueError(f"keep_float is for int8; everything is float in {precision}")
    if precision.startswith("int8") and calibration is None:
        raise ValueError(
            f"{precision} needs calibration images: pass calibration=faces.train or an array of crops "
            f"(N, {aligner.input_size}, {aligner.input_size}, 3), RGB 0..255; about a hundred are enough"
        )
    if format != "savedmodel" and path.is_dir():
        raise ValueError(f"{path} is a folder; a {FORMATS[format]} model is a file")
    if format == "openvino" and weights_of(path).exists() and not path.exists():
        raise ValueError(f"{weights_of(path)} exists without {path.name}, so it may be another program's; choose another name")
    if format == "savedmodel" and path.exists() and not (path / "saved_model.pb").exists():
        raise ValueError(f"{path} exists and is not a SavedModel; choose another name")
    if path.suffix in FORMATS.values() and path.suffix != FORMATS[format]:
        meant = f"end it in {FORMATS[format]}" if FORMATS[format] else "give a folder name without suffix"
        raise ValueError(f"{path} has not the suffix of format {format}, by which it would be read: {meant}")
