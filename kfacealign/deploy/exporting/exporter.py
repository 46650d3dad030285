"""Export: pixels -> network -> decode as one graph, as a SavedModel folder, a TFLite file or an ONNX file."""

from pathlib import Path

from kfacealign.backend import keras
from kfacealign.deploy import flatbuffer, metadata
from kfacealign.deploy.exporting import litert, onnx
from kfacealign.deploy.exporting.calibration import calibration_crops
from kfacealign.deploy.exporting.graphs import inference_model, part_models, write_saved_model
from kfacealign.files import replacing

PRECISIONS = ("float32", "float16", "int8", "int8_io")
# Format -> the suffix that stands for it.
FORMATS = {"litert": ".tflite", "onnx": ".onnx", "savedmodel": ""}


def export(
    aligner,
    path,
    format=None,
    precision="float32",
    calibration=None,
    calibration_size=128,
    flip=False,
    batch=1,
    keep_float=(),
    licence=None,
    training_data=None,
    detector=None,
):
    """Writes an aligner for deployment, pixels in and landmarks out.

    Whatever the format, the graph reads `image` (1, S, S, 3) float32 RGB 0..255 and returns `landmarks` (1, K, 2) in crop
    coordinates and `scores` (1, K); what its user needs besides, such as scheme, point names and conventions, is JSON in
    the metadata entry `kfacealign` of a TFLite file, the property `kfacealign` of an ONNX file, and the file
    `assets.extra/kfacealign.json` of a SavedModel. See docs/export.md.

    A TFLite file holds built-in operators only. Network and decoding are converted apart and
    joined, so `precision` applies to the network only; decoding is always float32. The
    parts that an int8 file leaves in float are listed in its metadata as `float_parts`.
    An ONNX file, opset `onnx.OPSET`, has passed ONNX's checker and one run of ONNX Runtime.
    The file or folder appears whole or not at all.

    Args:
        aligner: a `FaceAligner`.
        path: file or folder to write; one that exists is replaced.
        format: "litert", "onnx" or "savedmodel"; by default litert for a path in `.tflite`, onnx for one in `.onnx`,
            savedmodel for one without suffix.
        precision: "float32", "float16" (weights), "int8" (weights per channel, and activations) or "int8_io": int8 whose
            input `image` is uint8, a byte standing for its value, so that an app feeds the camera's pixels; the outputs
            are float32 as they come out of decoding. ONNX and SavedModel are float32.
        calibration: for int8, what the network will see: crops `(N, S, S, 3)` RGB 0..255,
            or `Faces`, which are cropped as in training.
        calibration_size: number of calibration crops used, evenly spaced.
        flip: whether the graph also reads the crop mirrored and averages both answers.
        batch: 1, or None for a graph that takes any number of crops. A TFLite file is resized before it runs, which its
            signature runner does by itself; XNNPACK takes fewer of its operators than of one for a single crop.
        keep_float: for int8, layers to compute in float32, by the names that `quantization_report` gives.
        licence, training_data: what users should know about both, in words, for the metadata.
        detector: how an app makes the crop of its face detector's box, for the metadata: None, "haar", or a dict of
            `scale` (crop's side over the box's longer side) and `shift` (dx, dy) of the centre in longer sides.

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
    check(aligner, path, format, precision, calibration, batch, keep_float)
    # The notes are validated first: an export takes minutes.
    described = {"flip": flip, "batch": batch, "licence": licence, "training_data": training_data, "detector": detector}
    metadata.describe(aligner, precision, **described)
    with replacing(path) as temporary:
        if format == "savedmodel":
            write_saved_model(inference_model(aligner, flip, batch), temporary)
            write_notes(temporary, metadata.describe(aligner, precision, **described))
        elif format == "onnx":
            text = metadata.describe(aligner, precision, **described, opset=onnx.OPSET)
            temporary.write_bytes(onnx.to_onnx(inference_model(aligner, flip, batch), text))
        else:
            crops = calibration_crops(aligner, calibration, calibration_size) if precision.startswith("int8") else None
            parts = part_models(aligner, flip, precision, batch)
            content, sizes = litert.joined(parts, precision, crops, keep_float=keep_float)
            left = {"parts": sizes, "float_parts": float_parts(parts, precision), "float_layers": list(keep_float) or None}
            text = metadata.describe(aligner, precision, **described, **left)
            temporary.write_bytes(flatbuffer.add_metadata(content, metadata.NAME, text))
    return path


def write_notes(folder, text):
    """Metadata into a SavedModel."""
    (folder / metadata.FILE).parent.mkdir()
    (folder / metadata.FILE).write_text(text, encoding="utf-8")


def float_parts(parts, precision):
    """Names of the parts that an int8 file leaves in float; None for other precisions."""
    return [model.name for model, quantizable in parts if not quantizable] if precision.startswith("int8") else None


# === Arguments ===


def format_of(path):
    for format, suffix in FORMATS.items():
        if path.suffix == suffix:
            return format
    raise ValueError(
        f"cannot tell the format from {path.name}: end it in .tflite for LiteRT or .onnx for ONNX, give a folder name without "
        f"suffix for a SavedModel, or pass format={', '.join(map(repr, FORMATS))}"
    )


def check(aligner, path, format, precision, calibration, batch=1, keep_float=()):
    """Raises ValueError where arguments of `export` do not fit each other."""
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            f"export needs the TensorFlow backend, not {keras.backend.backend()}: save the model as .keras and export "
            "it under KERAS_BACKEND=tensorflow"
        )
    if format not in FORMATS:
        raise ValueError(f"format is one of {', '.join(FORMATS)}, not {format!r}")
    if precision not in PRECISIONS:
        raise ValueError(f"precision is one of {', '.join(PRECISIONS)}, not {precision!r}")
    if format != "litert" and precision != "float32":
        named = "a SavedModel" if format == "savedmodel" else "an ONNX model"
        raise ValueError(f"{named} is float32; for {precision} export to a .tflite file")
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
    if format == "savedmodel" and path.exists() and not (path / "saved_model.pb").exists():
        raise ValueError(f"{path} exists and is not a SavedModel; choose another name")
    if path.suffix in FORMATS.values() and path.suffix != FORMATS[format]:
        meant = f"end it in {FORMATS[format]}" if FORMATS[format] else "give a folder name without suffix"
        raise ValueError(f"{path} has not the suffix of format {format}, by which it would be read: {meant}")
