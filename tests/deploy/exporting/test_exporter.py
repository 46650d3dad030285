"""Exports of small networks: parity with Keras, operators, metadata, errors."""

import json
import warnings
from types import SimpleNamespace

import cv2
import keras
import numpy as np
import pytest
from keras import ops

from kfacealign import deploy, detect, geometry, models
from kfacealign.codecs import Heatmap, HeatmapInHeatmap
from kfacealign.codecs.codec import Codec
from kfacealign.data import Faces
from kfacealign.deploy import flatbuffer, metadata
from kfacealign.deploy.exporting.calibration import calibration_crops, read_crops
from kfacealign.deploy.exporting.litert import to_tflite
from kfacealign.interpreter import interpreter_class
from kfacealign.layers import CornerAlignedUpSampling2D, DecimalHeatmapHead
from kfacealign.layers.hourglass import bottleneck_residual, conv_bn, predict_maps
from kfacealign.models.inference import in_float32

SIZE = 64


def random_weights(model):
    """Weights that make outputs large and different between images."""
    initializer = keras.initializers.HeNormal(seed=1)
    for variable in model.network.trainable_variables:
        if variable.path.endswith("kernel"):
            variable.assign(initializer(variable.shape))
    return model


def small_hourglass():
    """One level of an hourglass with all the building blocks and outputs of HIH."""
    keras.utils.set_random_seed(0)
    image = keras.Input((SIZE, SIZE, 3), name="image")
    x = keras.layers.Rescaling(1 / 255)(image)
    x = conv_bn(x, 8, 7, strides=2, name="stem_1")
    x = conv_bn(x, 16, 3, strides=2, name="stem_2")
    low = bottleneck_residual(keras.layers.MaxPooling2D(2)(x), 16, name="low")
    x = keras.layers.Add()([x, CornerAlignedUpSampling2D(2)(low)])
    first, second = predict_maps(x, 19, name="first"), predict_maps(conv_bn(x, 16, 1, name="features"), 19, name="second")
    decimal = DecimalHeatmapHead(19, size=4, filters=8)(x)
    network = keras.Model(image, {"heatmap_1": first, "heatmap_2": second, "decimal": decimal})
    return random_weights(models.FaceAligner(network, HeatmapInHeatmap(16, 4), "aflw19", enlarge=1.3))


def blobs(count, seed):
    """Smooth colourful crops."""
    noise = np.random.default_rng(seed).uniform(0, 255, (count, 8, 8, 3)).astype("float32")
    return np.stack([cv2.resize(image, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC).clip(0, 255) for image in noise])


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """The small hourglass with its exports in every precision and what Keras finds on eight crops."""
    model, crops = small_hourglass(), blobs(8, 0)
    folder = tmp_path_factory.mktemp("exported")
    paths = {
        precision: deploy.export(model, folder / f"{precision}.tflite", precision=precision, calibration=blobs(16, 1))
        for precision in ("float32", "float16", "int8")
    }
    paths["savedmodel"] = deploy.export(model, folder / "savedmodel")
    landmarks, scores = model.align(crops, verbose=0)
    return SimpleNamespace(model=model, crops=crops, paths=paths, landmarks=landmarks, scores=scores)


def shortfall(model, crops, landmarks):
    """By how much, as a share of the map's range, Keras' maps at the cells of `landmarks` lie below their maxima.

    Returns:
        `(N, K)`, the larger of the integer and the decimal map's.
    """
    outputs = model.predict(crops, verbose=0)
    integer = np.floor(landmarks * 16)
    decimal = np.round((landmarks * 16 - integer) * 4)
    worst = np.zeros(landmarks.shape[:2])
    for maps, cells in ((outputs["heatmap_2"], integer), (outputs["decimal"], decimal)):
        faces, points = np.indices(worst.shape)
        values = maps[faces, cells[..., 1].astype(int), cells[..., 0].astype(int), points]
        worst = np.maximum(worst, (maps.max((1, 2)) - values) / np.ptp(maps))
    return worst


@keras.saving.register_keras_serializable(package="tests")
class Coordinates(Codec):
    """The smallest codec: the network's outputs are the landmarks."""

    def decode(self, outputs):
        return outputs["points"], ops.max(outputs["points"], axis=-1)


# === Parity ===


def test_the_inference_model_is_the_aligner_at_batch_1(exported):
    graph = deploy.inference_model(exported.model)
    assert graph.inputs[0].name == "image" and graph.inputs[0].shape == (1, SIZE, SIZE, 3)
    result = graph(exported.crops[:1])
    np.testing.assert_allclose(result["landmarks"], exported.landmarks[:1], atol=1e-6)
    np.testing.assert_allclose(result["scores"], exported.scores[:1], rtol=1e-4)


@pytest.mark.parametrize("format", ["float32", "savedmodel"])
def test_float32_exports_find_the_same_landmarks(exported, format):
    landmarks, scores = deploy.load(exported.paths[format], trust=True).align(exported.crops)
    # Random maps may hold two maxima that differ in the last digits only; then either may win.
    assert (np.abs(landmarks - exported.landmarks).max(-1) < 1e-3).mean() > 0.98
    np.testing.assert_allclose(scores, exported.scores, rtol=1e-3)


# An argmax jumps where two cells are level, so a rounded network is judged by the values of the cells that it finds.
@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-5), ("float16", 0.002), ("int8", 0.06)])
def test_rounded_networks_find_cells_at_the_maximum(exported, precision, tolerance):
    landmarks, scores = deploy.load(exported.paths[precision]).align(exported.crops)
    assert shortfall(exported.model, exported.crops, landmarks).max() < tolerance
    np.testing.assert_allclose(scores, exported.scores, atol=tolerance * np.ptp(exported.scores))


# === What is in the files ===


def test_only_builtin_operators_and_named_ends(exported):
    for precision in ("float32", "float16", "int8"):
        content = exported.paths[precision].read_bytes()
        assert not [name for name, _ in flatbuffer.operators(content) if name.startswith("CUSTOM")]
        signature = flatbuffer.unpack(content).signatureDefs[0]
        assert [entry.name for entry in signature.inputs] == [b"image"]
        assert sorted(entry.name for entry in signature.outputs) == [b"landmarks", b"scores"]


def test_int8_covers_the_network_and_leaves_decoding_in_float(exported):
    operators = flatbuffer.operators(exported.paths["int8"].read_bytes())
    ends = [index for index, (name, _) in enumerate(operators) if name == "DEQUANTIZE"]
    # Two maps are read by the decoding; the first stack's heatmap, which only training reads, is gone.
    assert len(ends) == 2
    network, decoding = operators[: ends[0]], operators[ends[1] + 1 :]
    assert {element for _, element in network} == {"INT8"}
    assert sum(name == "CONV_2D" for name, _ in network) >= 10
    assert {element for _, element in decoding} <= {"FLOAT32", "INT32", "BOOL"}
    assert not [name for name, _ in operators if name in ("QUANTIZE",)][1:]
    assert not [name for name, _ in operators if name == "BATCH_MATMUL"]


def test_int8_weights_have_a_scale_for_each_channel(exported):
    model = flatbuffer.unpack(exported.paths["int8"].read_bytes())
    graph = model.subgraphs[0]
    conv = flatbuffer.schema().BuiltinOperator.CONV_2D
    for operator in graph.operators:
        if model.operatorCodes[operator.opcodeIndex].builtinCode == conv:
            weights = graph.tensors[operator.inputs[1]]
            assert len(weights.quantization.scale) == weights.shape[0]


def test_float16_stores_half_the_bytes(exported):
    sizes = {precision: exported.paths[precision].stat().st_size for precision in ("float32", "float16")}
    weights = sum(int(np.prod(variable.shape)) for variable in exported.model.network.trainable_variables)
    assert weights < sizes["float32"] - sizes["float16"] < 2.2 * weights


def test_a_saved_model_stores_its_weights_once(tmp_path):
    image = keras.Input((SIZE, SIZE, 3), name="image")
    x = keras.layers.Dense(38)(keras.layers.Dense(2000)(keras.layers.AveragePooling2D(SIZE)(image)))
    model = models.FaceAligner(keras.Model(image, {"points": keras.layers.Reshape((19, 2))(x)}), Coordinates(), "aflw19")
    path = deploy.export(model, tmp_path / "m")
    weights = 4 * model.network.count_params()
    assert weights < (path / "saved_model.pb").stat().st_size < 1.3 * weights


def test_a_whole_hih_in_int8():
    keras.utils.set_random_seed(0)
    model = random_weights(models.HIH("aflw19", input_size=SIZE, width=8, decimal_size=4, decimal_width=8))
    operators = flatbuffer.operators(to_tflite(model, "int8", crops=blobs(4, 0)))
    assert {element for name, element in operators if name in ("CONV_2D", "FULLY_CONNECTED")} == {"INT8"}
    assert sum(name == "CONV_2D" for name, _ in operators) > 60


def test_the_file_tells_all_that_its_user_needs(exported):
    for format in ("int8", "savedmodel"):
        aligner = deploy.load(exported.paths[format], trust=True)
        assert aligner.scheme == exported.model.scheme
        assert (aligner.input_size, aligner.enlarge) == (SIZE, exported.model.enlarge)
        assert aligner.metadata["precision"] == ("int8" if format == "int8" else "float32")
        assert aligner.metadata.get("float_parts") == (["decode"] if format == "int8" else None)
        assert aligner.metadata["point_names"] == list(exported.model.scheme.point_names)
        assert aligner.metadata["input"]["range"] == [0, 255]
        assert aligner.metadata["kfacealign"]
        assert "crop coordinates" in aligner.metadata["coordinates"]


def test_a_mobile_app_needs_only_the_metadata(exported):
    found = deploy.load(exported.paths["int8"]).metadata
    scheme = exported.model.scheme
    assert found["format_version"] == 1 and found["model"] == "FaceAligner"
    assert (found["num_points"], found["mirror"]) == (19, list(scheme.mirror))
    assert found["input"] == {
        "name": "image",
        "shape": [1, SIZE, SIZE, 3],
        "dtype": "float32",
        "color": "RGB",
        "range": [0, 255],
        "layout": "(1, height, width, 3)",
    }
    assert found["output_dtype"] == "float32" and found["flip"] is False and found["crop_from_detector"] is None
    assert found["licence"] == found["training_data"] == "unknown: ask whoever trained the model"
    notes = {"licence": "CC BY 4.0", "training_data": "two faces", "batch": None, "flip": True}
    told = json.loads(metadata.describe(exported.model, "float32", **notes))
    assert (told["licence"], told["training_data"], told["flip"]) == ("CC BY 4.0", "two faces", True)
    assert told["input"]["shape"][0] is None and told["outputs"]["landmarks"] == "(batch, points, 2)"


@pytest.mark.parametrize(
    ("box", "detector"), [((30, 20, 90, 80), "haar"), ((10, 20, 50, 70), {"scale": 1.2, "shift": [0.1, -0.05]})]
)
def test_the_detector_rule_makes_the_crop(box, detector):
    rule = metadata.detector_rule(detector, enlarge=1.3)
    found = metadata.detector_crop(rule, box)
    # The crop of `kfacealign align`, or a square of side 1.2 x 50 around (30 + 5, 45 - 2.5).
    expected = geometry.square_box(detect.face_box(box), 1.3) if detector == "haar" else [5.0, 12.5, 65.0, 72.5]
    np.testing.assert_allclose(found, expected, atol=0.02)
    assert "scale * L" in rule["rule"] and set(rule) == {"detector", "scale", "shift", "rule"}


# === Batches ===


@pytest.mark.parametrize(("name", "flip"), [("m.tflite", True), ("m", False)])
def test_a_resizable_graph_takes_any_number_of_crops(tmp_path, name, flip):
    keras.utils.set_random_seed(0)
    image = keras.Input((16, 16, 3), name="image")
    maps = keras.layers.Conv2D(19, 3, strides=2, padding="same")(keras.ops.multiply(image, 1 / 255))
    model = models.FaceAligner(keras.Model(image, {"heatmap_1": maps}), Heatmap(8), "aflw19")
    aligner = deploy.load(deploy.export(model, tmp_path / name, batch=None, flip=flip), trust=True)
    assert aligner.resizable
    crops = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3), "uint8")
    expected = model.align(crops, verbose=0, flip=flip)
    for batch_size in (1, 3, 5):
        for found, wanted in zip(aligner.align(crops, batch_size=batch_size), expected, strict=True):
            np.testing.assert_allclose(found, wanted, atol=1e-4)
    if name == "m.tflite":  # as an app resizes it
        interpreter = interpreter_class()(model_path=aligner.path)
        interpreter.resize_tensor_input(interpreter.get_input_details()[0]["index"], (4, 16, 16, 3))
        interpreter.allocate_tensors()
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], crops[:4].astype("float32"))
        interpreter.invoke()
        shapes = {tuple(detail["shape"]) for detail in interpreter.get_output_details()}
        assert shapes == {(4, 19, 2), (4, 19)}


# === Other methods and precisions ===


def test_a_codec_that_passes_outputs_through(tmp_path):
    image = keras.Input((SIZE, SIZE, 3), name="image")
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 255)(image))
    points = keras.layers.Reshape((19, 2))(keras.layers.Dense(38)(x))
    model = models.FaceAligner(keras.Model(image, {"points": points, "unused": x}), Coordinates(), "aflw19", enlarge=1.5)
    crops = blobs(2, 0)
    expected = model.align(crops, verbose=0)
    for precision, tolerance in (("float32", 1e-5), ("int8", 0.05)):
        aligner = deploy.load(deploy.export(model, tmp_path / "m.tflite", precision=precision, calibration=blobs(8, 1)))
        assert aligner.enlarge == 1.5
        for found, wanted in zip(aligner.align(crops), expected, strict=True):
            np.testing.assert_allclose(found, wanted, atol=tolerance)


def test_a_network_of_mixed_precision_is_exported_in_float32():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = small_hourglass()
        network = in_float32(model.network)
    finally:
        keras.config.set_dtype_policy("float32")
    assert network is not model.network
    assert {str(tensor.dtype) for tensor in network.outputs} == {"float32"}
    assert in_float32(network) is network
    reference = small_hourglass().network(blobs(1, 0))
    for name, maps in network(blobs(1, 0)).items():
        np.testing.assert_allclose(maps, reference[name], rtol=1e-3, atol=1e-3 * np.abs(reference[name]).max())


# === Calibration ===


def test_faces_are_cropped_for_calibration_as_in_training(tmp_path):
    model = small_hourglass()
    landmarks = np.random.default_rng(0).uniform(40, 80, (3, 19, 2)).astype("float32")
    for index in range(2):
        cv2.imwrite(str(tmp_path / f"{index}.png"), np.full((120, 120, 3), 50 + index, "uint8"))
    faces = Faces("aflw19", [str(tmp_path / f"{index}.png") for index in range(3)], landmarks)
    with pytest.warns(UserWarning):
        crops = calibration_crops(model, faces, 128)
    # The third image is missing and left out.
    np.testing.assert_array_equal(crops, np.stack([np.full((SIZE, SIZE, 3), 50 + index, "float32") for index in range(2)]))


def test_calibration_crops_are_evenly_spaced():
    crops = np.arange(10, dtype="uint8")[:, None, None, None] * np.ones((1, SIZE, SIZE, 3), "uint8")
    with pytest.warns(UserWarning, match="calibrated on 4 crops, 4 were asked for"):
        chosen = calibration_crops(small_hourglass(), crops, 4)
    assert chosen[:, 0, 0, 0].tolist() == [0, 3, 6, 9] and chosen.dtype == np.float32


def test_few_calibration_crops_are_warned_of():
    crops = np.zeros((32, SIZE, SIZE, 3), "uint8")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(calibration_crops(small_hourglass(), crops, 128)) == 32
    for count, told in ((31, "31 crops"), (1, "1 crop")):
        with pytest.warns(UserWarning, match=f"int8 is calibrated on {told}, 128 were asked for"):
            calibration_crops(small_hourglass(), crops[:count], 128)


def test_photographs_in_place_of_crops_are_warned_of(tmp_path):
    for name, shape in (("a.png", (20, 30, 3)), ("b.png", (20, 20, 3)), ("c.jpg", (40, 30, 3))):
        cv2.imwrite(str(tmp_path / name), np.full(shape, 9, "uint8"))
    with pytest.warns(UserWarning, match=r"2 of 3 are not square and were stretched: a\.png \(30 x 20\), c\.jpg \(30 x 40\)"):
        assert read_crops(tmp_path, SIZE).shape == (3, SIZE, SIZE, 3)


# === Errors ===


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("m.tflite", {"precision": "int8"}, "int8 needs calibration images: pass calibration=faces.train"),
        ("m.tflite", {"precision": "int4"}, "precision is one of float32, float16, int8, int8_io, not 'int4'"),
        ("m.tflite", {"precision": "int8", "calibration": np.zeros((2, 8, 8, 3))}, r"must be \(N, 64, 64, 3\)"),
        ("m.tflite", {"precision": "int8", "calibration": np.zeros((0, 64, 64, 3))}, "no calibration images"),
        ("m.pb", {}, "cannot tell the format from m.pb"),
        ("m", {"precision": "float16"}, "a SavedModel is float32"),
        ("m.onnx", {"precision": "int8"}, "an ONNX model is float32; for int8 export to a .tflite file"),
        ("m", {"format": "coreml"}, "format is one of litert, onnx, openvino, savedmodel, not 'coreml'"),
        ("m", {"batch": 8}, "batch is 1, or None for any number of crops, not 8"),
        ("m", {"detector": "mtcnn"}, 'detector is None, "haar" or a dict'),
        ("m", {"detector": {"scale": -1, "shift": [0, 0]}}, "a positive scale and a shift of two numbers"),
        ("m.tflite", {"keep_float": ["first"]}, "keep_float is for int8; everything is float in float32"),
        ("m.tflite", {"format": "onnx"}, "m.tflite has not the suffix of format onnx, .*: end it in .onnx"),
        ("m.onnx", {"format": "litert"}, "m.onnx has not the suffix of format litert, .*: end it in .tflite"),
        ("m.onnx", {"format": "savedmodel"}, "m.onnx has not the suffix of format savedmodel, .*: give a folder name without"),
        ("m.tflite", {"precision": "int8", "calibration": np.full((2, 64, 64, 3), np.nan)}, "values that are not finite"),
    ],
)
def test_arguments_that_do_not_fit(exported, tmp_path, name, arguments, message):
    with pytest.raises(ValueError, match=message):
        deploy.export(exported.model, tmp_path / name, **arguments)
    assert not list(tmp_path.iterdir())


def test_other_backends_are_sent_to_tensorflow(exported, tmp_path, monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(ValueError, match=r"needs the TensorFlow backend, not jax: save the model as .keras"):
        deploy.export(exported.model, tmp_path / "m.tflite")


def test_a_folder_that_is_no_saved_model_is_not_replaced(exported, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").touch()
    with pytest.raises(ValueError, match="exists and is not a SavedModel"):
        deploy.export(exported.model, tmp_path / "photos")
    assert (tmp_path / "photos" / "a.jpg").exists()


@keras.saving.register_keras_serializable(package="tests")
class ArgmaxHeatmap(HeatmapInHeatmap):
    def decode(self, outputs):
        index = ops.cast(ops.argmax(ops.reshape(outputs["heatmap_2"], (-1, 256, 19)), axis=1), "float32")
        return ops.stack([index, index], axis=-1), index


def test_an_operation_without_builtin_is_named_and_the_old_file_stays(exported, tmp_path):
    (tmp_path / "m.tflite").write_bytes(b"old")
    model = models.FaceAligner(exported.model.network, ArgmaxHeatmap(16, 4), "aflw19")
    with pytest.raises(ValueError, match="part decode cannot be converted to TFLite: it needs BitwiseAnd"):
        deploy.export(model, tmp_path / "m.tflite")
    assert [path.name for path in tmp_path.iterdir()] == ["m.tflite"]
    assert (tmp_path / "m.tflite").read_bytes() == b"old"


def test_metadata_is_plain_json(exported):
    text = flatbuffer.read_metadata(exported.paths["float16"].read_bytes(), "kfacealign")
    assert json.loads(text)["outputs"] == {"landmarks": "(1, points, 2)", "scores": "(1, points)"}
