"""Export: pixels -> network -> decode as one graph, a SavedModel folder or a TFLite file."""

import re
import tempfile
from pathlib import Path

import keras
import numpy as np

from kfacealign.deploy import flatbuffer, metadata
from kfacealign.files import replacing
from kfacealign.models.inference import flip_averaged
from kfacealign.quiet import quiet

PRECISIONS = ("float32", "float16", "int8")


def inference_model(aligner, flip=False):
    """The graph that is exported; `flip` as in `FaceAligner.align`.

    Returns:
        Functional model: `image` (1, S, S, 3) float32 RGB 0..255 -> `landmarks` (1, K, 2) in crop
        coordinates and `scores` (1, K). The network computes in float32 even if it
        was trained in mixed precision.
    """
    return aligner.inference_model(batch_size=1, network=in_float32(aligner.network), flip=flip)


def export(aligner, path, format=None, precision="float32", calibration=None, calibration_size=128, flip=False):
    """Writes an aligner for deployment, batch 1, pixels in and landmarks out.

    A TFLite file holds built-in operators only and a signature with input `image`
    (1, S, S, 3) float32 RGB 0..255 and outputs `landmarks` (1, K, 2) in crop coordinates and
    `scores` (1, K). Scheme, point names, input size, conventions and precision are in
    its metadata entry `kfacealign` (JSON), for a SavedModel in
    `assets.extra/kfacealign.json`. Network and decoding are converted apart and
    joined, so `precision` applies to the network only; decoding is always float32. The
    parts that an int8 file leaves in float are listed in its metadata as `float_parts`.
    The file or folder appears whole or not at all.

    Args:
        aligner: a `FaceAligner`.
        path: file or folder to write; one that exists is replaced.
        format: "litert" or "savedmodel"; by default litert for a path in `.tflite`,
            savedmodel for one without suffix.
        precision: "float32", "float16" (weights) or "int8" (weights per channel, and
            activations); a SavedModel is float32.
        calibration: for int8, what the network will see: crops `(N, S, S, 3)` RGB 0..255,
            or `Faces`, which are cropped as in training.
        calibration_size: number of calibration crops used, evenly spaced.
        flip: whether the graph also reads the crop mirrored and averages both answers.

    Returns:
        The path written.

    Raises:
        ValueError: an argument does not fit the others, or an operator has no built-in
            TFLite counterpart.

    Example:
        >>> kfacealign.deploy.export(model, "hih.tflite", precision="int8", calibration=faces.train)
    """
    path = Path(path)
    format = format or format_of(path)
    check(aligner, path, format, precision, calibration)
    with replacing(path) as temporary:
        if format == "savedmodel":
            write_saved_model(inference_model(aligner, flip), temporary)
            (temporary / metadata.FILE).parent.mkdir()
            (temporary / metadata.FILE).write_text(metadata.describe(aligner, precision, flip), encoding="utf-8")
        else:
            crops = calibration_crops(aligner, calibration, calibration_size) if precision == "int8" else None
            temporary.write_bytes(to_tflite(aligner, precision, crops, flip))
    return path


def format_of(path):
    if path.suffix == ".tflite":
        return "litert"
    if not path.suffix:
        return "savedmodel"
    raise ValueError(
        f"cannot tell the format from {path.name}: end it in .tflite for LiteRT, give a folder name without suffix "
        "for a SavedModel, or pass format='litert' or 'savedmodel'"
    )


def check(aligner, path, format, precision, calibration):
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            f"export needs the TensorFlow backend, not {keras.backend.backend()}: save the model as .keras and export "
            "it under KERAS_BACKEND=tensorflow"
        )
    if format not in ("savedmodel", "litert"):
        raise ValueError(f"format is 'savedmodel' or 'litert', not {format!r}")
    if precision not in PRECISIONS:
        raise ValueError(f"precision is one of {', '.join(PRECISIONS)}, not {precision!r}")
    if format == "savedmodel" and precision != "float32":
        raise ValueError(f"a SavedModel is float32; for {precision} export to a .tflite file")
    if precision == "int8" and calibration is None:
        raise ValueError(
            f"int8 needs calibration images: pass calibration=faces.train or an array of crops "
            f"(N, {aligner.input_size}, {aligner.input_size}, 3), RGB 0..255; about a hundred are enough"
        )
    if format == "litert" and path.is_dir():
        raise ValueError(f"{path} is a folder; a .tflite model is a file")
    if format == "savedmodel" and path.exists() and not (path / "saved_model.pb").exists():
        raise ValueError(f"{path} exists and is not a SavedModel; choose another name")


def calibration_crops(aligner, calibration, count):
    """`count` evenly spaced crops of `calibration`, float32 `(N, S, S, 3)`."""
    size = aligner.input_size
    chosen = np.unique(np.linspace(0, len(calibration) - 1, min(count, len(calibration))).round().astype(int))
    if not len(chosen):
        raise ValueError("there are no calibration images; about a hundred are enough")
    if hasattr(calibration, "landmarks"):
        from kfacealign.data.crops import Crops

        views = Crops(calibration[chosen], size=size, enlarge=aligner.enlarge, cache=None)
        # A photograph that cannot be read has no weights; Crops has warned of it.
        samples = [image for image, _, weights in map(views.__getitem__, range(len(views))) if weights.any()]
        if not samples:
            raise ValueError("none of the calibration faces can be read")
        return np.stack(samples).astype("float32")
    crops = np.asarray(calibration)
    if crops.shape[1:] != (size, size, 3):
        raise ValueError(f"calibration crops must be (N, {size}, {size}, 3), got {crops.shape}")
    return crops[chosen].astype("float32")


# === Graphs ===


def in_float32(network):
    """The network itself, or a float32 copy of one that was trained in mixed precision."""
    config = network.get_config()
    wanted = with_float32_policies(config)
    if wanted == config:
        return network
    policy = keras.config.dtype_policy()
    # Layers that build others inside take the global policy for them.
    keras.config.set_dtype_policy("float32")
    try:
        copy = type(network).from_config(wanted)
    finally:
        keras.config.set_dtype_policy(policy)
    copy.set_weights(network.get_weights())
    return copy


def with_float32_policies(config):
    """A Keras config in which every dtype policy, at any depth, is float32."""
    if isinstance(config, dict):
        if config.get("class_name") == "DTypePolicy":
            return {**config, "config": {"name": "float32"}}
        return {key: with_float32_policies(value) for key, value in config.items()}
    if isinstance(config, list | tuple):
        return type(config)(map(with_float32_policies, config))
    return config


def write_saved_model(model, folder):
    """A functional model of fixed shapes as a SavedModel whose signature has its input and output names.

    The weights are constants of the graph, which makes tracing, saving and conversion
    several times faster than with variables.
    """
    import tensorflow as tf

    trainable = [keras.ops.convert_to_numpy(variable) for variable in model.trainable_variables]
    other = [keras.ops.convert_to_numpy(variable) for variable in model.non_trainable_variables]
    specs = keras.tree.map_structure(
        lambda tensor: tf.TensorSpec(tensor.shape, tensor.dtype, name=tensor.name), model.input
    )

    def serve(inputs):
        return model.stateless_call(trainable, other, inputs, training=False)[0]

    with quiet():
        # Only as a signature: as an attribute of the module the function, with its weights, would be stored twice.
        function = tf.function(serve, input_signature=[specs], autograph=False)
        tf.saved_model.save(tf.Module(), str(folder), signatures=function)


def to_tflite(aligner, precision, crops=None, flip=False):
    """Bytes of the TFLite model: the parts of inference, converted one by one and joined."""
    parts = part_models(aligner, flip, precision)
    feeds = [None] * len(parts) if crops is None else calibration_feeds(parts, crops)
    read, converted = {"landmarks", "scores"}, []
    for (model, quantizable), samples in zip(reversed(parts), reversed(feeds)):
        # Outputs that no later part reads, such as the heatmaps of earlier stacks, are left out.
        outputs = {name: tensor for name, tensor in model.output.items() if name in read}
        pruned = keras.Model(model.input, outputs, name=model.name)
        content = convert(pruned, precision if quantizable else "float32", samples)
        converted.insert(0, (content, read - set(outputs)))
        read = converted[0][1] | set(flatbuffer.inputs_read(flatbuffer.unpack(content)))
    float_parts = [model.name for model, quantizable in parts if not quantizable] if precision == "int8" else None
    content = converted[0][0]
    for part, passed_on in converted[1:]:
        content = flatbuffer.join(content, part, keep=passed_on)
    content = flatbuffer.add_metadata(content, metadata.NAME, metadata.describe(aligner, precision, flip, float_parts))
    custom = sorted({name for name, _ in flatbuffer.operators(content) if name.startswith("CUSTOM")})
    if custom:
        raise ValueError(f"these operations are no TFLite built-ins: {', '.join(custom)}")
    return content


def part_models(aligner, flip=False, precision="float32"):
    """The parts of inference as functional models of batch 1 (dict to dict), each with whether it may be quantised."""
    size = aligner.input_size
    shapes = {"image": (1, size, size, 3)}
    models = []
    parts = aligner.inference_parts(in_float32(aligner.network))
    for part in flip_averaged(parts, aligner.scheme) if flip else parts:
        inputs = {name: keras.Input(batch_shape=shapes[name], dtype="float32", name=name) for name in part.inputs}
        function = part.in_integers if precision == "int8" and part.in_integers else part.function
        outputs = function(inputs)
        shapes.update({name: tensor.shape for name, tensor in outputs.items()})
        models.append((keras.Model(inputs, outputs, name=part.name), part.quantizable))
    return models


def calibration_feeds(parts, crops):
    """What the quantised parts read on every crop: for each part a list of dicts of arrays, empty for the others."""
    last = max(place for place, (_, quantizable) in enumerate(parts) if quantizable)
    feeds = [[] for _ in parts]
    for crop in crops:
        tensors = {"image": crop[None]}
        for place, (model, quantizable) in enumerate(parts[: last + 1]):
            inputs = {name: tensors[name] for name in model.input}
            if quantizable:
                feeds[place].append({name: np.asarray(value) for name, value in inputs.items()})
            if place < last:
                tensors.update(model(inputs, training=False))
    return feeds


def convert(model, precision="float32", samples=None):
    """A functional model of fixed shapes -> bytes of a `.tflite` file, float32 at both ends.

    `samples` are dicts of input arrays, by which int8 is calibrated.
    """
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as folder, quiet():
        write_saved_model(model, folder)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        if precision != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if precision == "float16":
            converter.target_spec.supported_types = [tf.float16]
        if precision == "int8":
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.representative_dataset = lambda: iter(samples)
        try:
            return converter.convert()
        except Exception as error:
            raise ValueError(f"the part {model.name} cannot be converted to TFLite: {reason(str(error))}") from error


def reason(message):
    """The one line of the converter's page-long message that says what is wrong."""
    foreign = re.findall(r"TF Select ops: (.*)", message)
    if not foreign:
        return message.splitlines()[0]
    return f"it needs {foreign[0]}, no TFLite built-in (keras.ops.argmax of floats needs BitwiseAnd: take the maximum's index instead)"
