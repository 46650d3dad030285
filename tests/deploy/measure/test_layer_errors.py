"""What int8 costs layer by layer, layers that stay in float, and int8 that reads bytes."""

import keras
import numpy as np
import pytest
from keras import ops
from rich.console import Console

from kfacealign import deploy, models
from kfacealign.cli.main import main
from kfacealign.codecs.coordinates import Coordinates
from kfacealign.deploy import flatbuffer
from kfacealign.deploy.exporting.conversion import convert
from kfacealign.deploy.exporting.partial_int8 import check_names, known_layer, named
from kfacealign.interpreter import interpreter_class

pytestmark = pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="exports are made under TensorFlow")
SIZE = 16


@pytest.fixture(scope="module")
def model():
    """Three convolutions; in each kernel of the second, weights of 300 for a channel that is always zero drown the others."""
    keras.utils.set_random_seed(0)
    image = keras.Input((SIZE, SIZE, 3), name="image")
    x = ops.multiply(image, 1 / 255)
    for name in ("first", "spoilt", "third"):
        x = keras.layers.Conv2D(8, 3, strides=2, padding="same", activation="relu", name=name)(x)
    x = keras.layers.Dense(38, name="coordinates")(keras.layers.Flatten(name="flat")(x))
    network = keras.Model(image, {"landmarks": keras.layers.Reshape((19, 2))(x)}, name="network")
    first, spoilt = network.get_layer("first"), network.get_layer("spoilt")
    kernel = np.array(first.kernel)
    kernel[..., 0] = 0.0
    first.kernel.assign(kernel)
    kernel = np.array(spoilt.kernel)
    kernel[:, :, 0] = 300.0
    spoilt.kernel.assign(kernel)
    return models.FaceAligner(network, Coordinates(), "aflw19")


@pytest.fixture(scope="module")
def crops():
    return np.random.default_rng(0).integers(0, 256, (8, SIZE, SIZE, 3), "uint8")


@pytest.fixture(scope="module")
def int8(model, crops, tmp_path_factory):
    return deploy.export(model, tmp_path_factory.mktemp("int8") / "m.tflite", precision="int8", calibration=crops)


def convolutions(path):
    return [element for name, element in flatbuffer.operators(path.read_bytes()) if name == "CONV_2D"]


# === The report ===


def test_the_worst_layer_is_the_spoilt_one(model, crops):
    records = deploy.quantization_report(model, crops, compared=4)
    assert records[0]["layer"] == "spoilt" and records[0]["operator"] == "CONV_2D" and records[0]["part"] == "network"
    assert records[0]["relative"] > 0.5 > 10 * max(record["relative"] for record in records[1:])
    assert records[0]["error"] > 5 * records[0]["scale"]
    by_name = {record["layer"]: record for record in records}
    # Rounding to the nearest step alone makes an error of 1 / sqrt(12) steps.
    assert 0.15 < by_name["first"]["error"] / by_name["first"]["scale"] < 0.6
    assert {"first", "third", "coordinates"} <= set(by_name)
    console = Console(record=True, width=120)
    console.print(deploy.report_table(records, count=2))
    shown = console.export_text()
    assert "spoilt" in shown and f"of {len(records)} operators" in shown
    long = {**records[0], "layer": "expanded_conv_10_squeeze_excite_conv_1"}
    narrow = Console(record=True, width=70)
    narrow.print(deploy.report_table([long]))
    rows = narrow.export_text().rpartition("─")[2].split("\n")
    assert "".join(row.split()[0] for row in rows if row.strip()) == long["layer"]


def test_without_images_there_is_nothing_to_measure(model):
    with pytest.raises(ValueError, match="no calibration images"):
        deploy.quantization_report(model, np.zeros((0, SIZE, SIZE, 3)))


@pytest.mark.parametrize(
    ("tensor", "layers", "around"),
    [
        (
            "net_1/body_1/relu_1/Relu6;net_1/body_1/bn_1/batchnorm/add_1;net_1/body_1/conv_1/convolution",
            ("conv", "relu", "bn"),
            ("net", "body"),
        ),
        ("net_1/body_1/conv_2_1/convolution;net_1/body_1/conv_2_1/BiasAdd", ("conv_2",), ("net", "body")),
        ("PartitionedCall:1", (), ()),
    ],
)
def test_layers_are_read_off_tensors_names(tensor, layers, around):
    found = named(tensor, "CONV_2D", {"net", "body", "relu", "bn", "conv", "conv_2"}, "part")
    assert (found.layers, found.around) == (layers, around)
    assert found.answers_to("part") and all(found.answers_to(name) for name in (*layers, *around))
    assert not found.answers_to("batchnorm")
    assert known_layer("convolution", {"conv"}) is None


def test_the_command_prints_the_report(model, crops, tmp_path, capsys):
    model.save(tmp_path / "m.keras")
    np.save(tmp_path / "crops.npy", crops)
    command = ["export", "--model", str(tmp_path / "m.keras")]
    int8 = ["--precision", "int8", "--calibration", str(tmp_path / "crops.npy")]
    assert main([*command, *int8, "--report"]) == 0
    assert "spoilt" in capsys.readouterr().out
    for extra, message in (
        (int8, "give --out"),
        (["--report"], "--report needs --precision int8"),
        (["--keep-float", "spoilt", "--out", str(tmp_path / "m.tflite")], "keep_float is for int8"),
        (["--step", "--out", str(tmp_path / "m.onnx")], "FaceAligner has no step"),
    ):
        assert main([*command, *extra]) == 2
        assert message in capsys.readouterr().err
    for rule in ("mtcnn", "1,2"):
        with pytest.raises(SystemExit):
            main([*command, "--detector", rule])
        assert "expected 'haar' or three numbers" in capsys.readouterr().err


# === Layers in float ===


def test_a_named_layer_stays_in_float(model, crops, int8, tmp_path):
    expected, _ = model.align(crops, verbose=0)
    path = deploy.export(model, tmp_path / "m.tflite", precision="int8", calibration=crops, keep_float=["spoilt"])
    assert convolutions(int8) == ["INT8", "INT8", "INT8"]
    assert convolutions(path) == ["INT8", "FLOAT32", "INT8"]
    moved, kept = (np.abs(deploy.load(file).align(crops)[0] - expected).max() for file in (int8, path))
    assert kept < 0.1 * moved
    assert deploy.load(path).metadata["float_layers"] == ["spoilt"]
    assert "float_layers" not in deploy.load(int8).metadata


def test_a_whole_part_stays_in_float(model, crops, tmp_path):
    path = deploy.export(model, tmp_path / "m.tflite", precision="int8", calibration=crops, keep_float=["network"])
    np.testing.assert_allclose(deploy.load(path).align(crops)[0], model.align(crops, verbose=0)[0], rtol=1e-4, atol=1e-4)


def test_a_layer_that_is_not_there_is_told():
    operators = [named("net_1/spoilt_1/convolution", "CONV_2D", {"net", "spoilt"}, "network")]
    check_names(["spoilt", "net", "network"], operators)
    with pytest.raises(ValueError, match="no layer that int8 quantises is named 'spoiled'; near it: spoilt"):
        check_names(["spoiled"], operators)


# === Bytes ===


def test_bytes_in_give_what_floats_give(model, crops, int8, tmp_path):
    path = deploy.export(model, tmp_path / "m.tflite", precision="int8_io", calibration=crops)
    aligner = deploy.load(path)
    assert aligner.dtype == aligner.metadata["input"]["dtype"] == "uint8"
    (image,) = aligner.interpreter.get_input_details()
    assert image["dtype"] == np.uint8 and image["quantization"] == (1.0, 0)
    assert [name for name, _ in flatbuffer.operators(path.read_bytes())][:2] == ["QUANTIZE", "CONV_2D"]
    expected = deploy.load(int8).align(crops)[0]
    step = np.ptp(expected) / 255
    np.testing.assert_allclose(aligner.align(crops)[0], expected, atol=1.01 * step)
    np.testing.assert_array_equal(aligner.align(crops.astype("float32"))[0], aligner.align(crops)[0])


def test_bytes_of_a_graph_that_begins_in_float(model, crops):
    """A graph that mirrors first reads the bytes as floats: its first operator converts them."""
    floats = convert(deploy.inference_model(model))
    found = flatbuffer.read_bytes(floats, "image")
    assert flatbuffer.operators(found)[0] == ("DEQUANTIZE", "FLOAT32")
    runners = [interpreter_class()(model_content=content).get_signature_runner() for content in (floats, found)]
    expected = runners[0](image=crops[:1].astype("float32"))["landmarks"]
    np.testing.assert_allclose(runners[1](image=crops[:1])["landmarks"], expected, atol=1e-6)
