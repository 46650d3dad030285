"""OpenVINO models: what is in the two files, and that OpenVINO finds what Keras finds."""

import hashlib
import importlib.util
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from keras import ops

from kfacealign import deploy, models
from kfacealign.cli.main import main
from kfacealign.codecs import Heatmap
from kfacealign.deploy.exporting import exporter
from kfacealign.deploy.exporting import openvino as exporting
from kfacealign.deploy.measure import inspection
from kfacealign.deploy.runtime import openvino as running

# `pytest.importorskip` would import it with its telemetry.
pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="openvino is not installed (extra: openvino)"),
    pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="exports are made under TensorFlow"),
]
SIZE = 16


def small():
    keras.utils.set_random_seed(0)
    image = keras.Input((SIZE, SIZE, 3), name="image")
    x = keras.layers.Conv2D(16, 3, strides=2, padding="same", activation="relu")(ops.multiply(image, 1 / 255))
    x = keras.layers.BatchNormalization()(keras.layers.Conv2D(16, 3, padding="same")(x))
    return models.FaceAligner(keras.Model(image, {"heatmap_1": keras.layers.Conv2D(19, 1)(x)}), Heatmap(8), "aflw19", enlarge=1.3)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    model, folder = small(), tmp_path_factory.mktemp("openvino")
    model.save(folder / "m.keras")
    paths = {
        "one": deploy.export(model, folder / "one.xml", licence="CC0"),
        "any": deploy.export(model, folder / "any.xml", batch=None),
        "half": deploy.export(model, folder / "half.xml", precision="float16"),
    }
    crops = np.random.default_rng(0).integers(0, 256, (5, SIZE, SIZE, 3), "uint8")
    return SimpleNamespace(model=model, folder=folder, crops=crops, paths=paths, expected=model.align(crops, verbose=0))


@pytest.mark.parametrize(("name", "tolerance"), [("one", 1e-5), ("any", 1e-5), ("half", 2e-3)])
def test_openvino_finds_what_keras_finds(exported, name, tolerance):
    for batch_size in (1, 3):
        aligner = deploy.load(exported.paths[name], threads=2)
        found = aligner.align(exported.crops, batch_size=batch_size)
        for given, wanted in zip(found, exported.expected, strict=True):
            np.testing.assert_allclose(given, wanted, atol=tolerance)
    assert aligner.resizable == (name == "any") and aligner.threads == 2


def test_the_files_say_what_they_are(exported):
    aligner = deploy.load(exported.paths["one"])
    assert isinstance(aligner, deploy.OpenVinoAligner)
    assert (aligner.scheme.name, aligner.input_size, aligner.enlarge) == ("aflw19", SIZE, 1.3)
    told = inspection.read_metadata(exported.paths["one"])
    assert told == aligner.metadata and (told["licence"], told["precision"]) == ("CC0", "float32")
    assert told["weights_sha256"] == hashlib.sha256((exported.folder / "one.bin").read_bytes()).hexdigest()
    inputs, outputs = inspection.tensors(exported.paths["any"])
    assert inputs == [inspection.Tensor("image", (-1, SIZE, SIZE, 3), "float32")]
    assert {(tensor.name, tensor.shape) for tensor in outputs} == {("landmarks", (-1, 19, 2)), ("scores", (-1, 19))}
    counts = {name: count for name, _, count in inspection.operators(exported.paths["one"])}
    assert counts["Convolution"] == 3 and counts["Result"] == 2


def test_float16_is_for_weights_alone(exported):
    """The kernel of 3 x 3 x 16 x 16 = 2304 numbers is halved; those of 432 and 304 and the grids of the decoding are not."""
    nodes = running.read_model(exported.paths["half"]).get_ops()
    constants = [node for node in nodes if node.get_type_name() == "Constant"]
    half = [node for node in constants if node.get_element_type().to_string() == "f16"]
    assert [node.data.size for node in half] == [2304] and exporting.SMALLEST == 1024
    assert {node.get_element_type().to_string() for node in nodes if node.get_type_name() == "Convolution"} == {"f32"}
    saved = (exported.folder / "one.bin").stat().st_size - (exported.folder / "half.bin").stat().st_size
    assert saved == 2 * 2304


def test_the_settings_keep_float32(exported):
    compiled = deploy.load(exported.paths["one"], threads=1).compiled
    assert compiled.get_property("INFERENCE_PRECISION_HINT").to_string() == "f32"
    assert compiled.get_property("INFERENCE_NUM_THREADS") == 1


def test_both_files_are_replaced_or_none(exported, tmp_path, monkeypatch):
    path = deploy.export(exported.model, tmp_path / "m.xml")
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert set(before) == {"m.xml", "m.bin"}
    deploy.export(exported.model, path, precision="float16")
    after = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert set(after) == set(before) and all(after[name] != before[name] for name in after)

    def stopped(*_):
        raise ValueError("stopped")

    monkeypatch.setattr(exporting, "halve", stopped)
    with pytest.raises(ValueError, match="stopped"):
        deploy.export(exported.model, path, precision="float16")
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == after


def test_the_weights_are_in_place_before_the_description(exported, tmp_path, monkeypatch):
    order, replace = [], exporter.os.replace
    monkeypatch.setattr(exporter.os, "replace", lambda source, target: (order.append(target.name), replace(source, target)))
    deploy.export(exported.model, tmp_path / "m.xml")
    assert order == ["m.bin", "m.xml"]


def test_what_is_refused(exported, tmp_path):
    (tmp_path / "m.bin").write_bytes(b"another program's")
    with pytest.raises(ValueError, match=r"m.bin exists without m.xml, so it may be another program's; choose another name"):
        deploy.export(exported.model, tmp_path / "m.xml")
    assert (tmp_path / "m.bin").read_bytes() == b"another program's"
    with pytest.raises(ValueError, match=r"an OpenVINO model is float32 or float16; for int8 export to a .tflite file"):
        deploy.export(exported.model, tmp_path / "n.xml", precision="int8")
    with pytest.raises(ValueError, match=r"n.onnx has not the suffix of format openvino, .* end it in .xml"):
        deploy.export(exported.model, tmp_path / "n.onnx", format="openvino")
    assert [file.name for file in tmp_path.iterdir()] == ["m.bin"]


def test_the_commands_take_it(exported, capsys):
    folder = exported.folder
    np.save(folder / "crops.npy", exported.crops)
    assert main(["export", "--model", str(folder / "m.keras"), "--out", str(folder / "c.xml"), "--precision", "float16"]) == 0
    size = sum((folder / name).stat().st_size for name in ("c.xml", "c.bin"))
    assert f"({size / 1e6:.2f} MB, float16, aflw19, 16 px)" in capsys.readouterr().out
    assert main(["inspect", str(folder / "c.xml")]) == 0
    printed = capsys.readouterr().out
    assert f"{size / 1e6:.2f} MB" in printed and "Convolution" in printed and "enlarge" in printed
    assert main(["parity", str(folder / "m.keras"), str(folder / "one.xml"), "--count", "2", "--tolerance", "0.0001"]) == 0
    assert "one.xml" in capsys.readouterr().out
    assert main(["bench", str(folder / "c.xml"), "--runs", "2"]) == 0
    assert f"{size / 1e6:.2f}" in capsys.readouterr().out
