"""Loading models by path: what is accepted, and what is said about the rest."""

import json

import keras
import numpy as np
import pytest

from kfacealign import deploy, models
from kfacealign.codecs.codec import Codec
from kfacealign.deploy import flatbuffer
from kfacealign.deploy.exporting import conversion


@keras.saving.register_keras_serializable(package="tests")
class Centre(Codec):
    """Every landmark lies at the mean colour, (red, green)."""

    def decode(self, outputs):
        points = outputs["color"][:, None, :2] * np.ones((1, 19, 1), "float32")
        return points, points[..., 0]


@pytest.fixture(scope="module")
def model():
    image = keras.Input((8, 8, 3), name="image")
    color = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 255)(image))
    return models.FaceAligner(keras.Model(image, {"color": color}), Centre(), "aflw19", enlarge=1.4)


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    model.save(folder / "m.keras")
    deploy.export(model, folder / "m.tflite")
    deploy.export(model, folder / "m.onnx")
    deploy.export(model, folder / "m")
    return folder


@pytest.mark.parametrize("name", ["m.keras", "m.tflite", "m.onnx", "m"])
def test_every_kind_of_model_has_the_same_interface(folder, name):
    aligner = deploy.load(folder / name, trust=name == "m")
    crops = np.zeros((3, 8, 8, 3), "uint8")
    crops[1, ..., 0] = 51
    landmarks, scores = aligner.align(crops, verbose=0)
    assert landmarks.shape == (3, 19, 2) and scores.shape == (3, 19)
    np.testing.assert_allclose(landmarks[1], np.tile([0.2, 0.0], (19, 1)), atol=1e-6)
    np.testing.assert_allclose(scores[:, 0], [0.0, 0.2, 0.0], atol=1e-6)
    assert (aligner.scheme.name, aligner.input_size, aligner.enlarge) == ("aflw19", 8, 1.4)
    assert aligner.align(crops[:0])[0].shape == (0, 19, 2)
    with pytest.raises(ValueError, match=r"\(N, 8, 8, 3\)"):
        aligner.align(np.zeros((1, 9, 9, 3)))


def test_threads_are_passed_on(folder):
    for name in ("m.tflite", "m.onnx"):
        assert deploy.load(folder / name, threads=2).threads == 2
    options = deploy.load(folder / "m.onnx", threads=2).session.get_session_options()
    assert options.intra_op_num_threads == 2
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"


def test_a_path_that_is_no_model(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such model"):
        deploy.load(tmp_path / "missing.keras")
    (tmp_path / "m.h5").touch()
    with pytest.raises(
        ValueError, match=r"a .keras file, a .tflite file, an .onnx file, OpenVINO's .xml file or a SavedModel folder"
    ):
        deploy.load(tmp_path / "m.h5")
    with pytest.raises(
        ValueError, match=r"a .keras file, a .tflite file, an .onnx file, OpenVINO's .xml file or a SavedModel folder"
    ):
        deploy.load(tmp_path)


def test_damaged_files(folder, tmp_path):
    content = (folder / "m.tflite").read_bytes()
    for name, damaged in (("empty.tflite", b""), ("other.tflite", b"PK\3\4 zip file"), ("cut.tflite", content[:600])):
        (tmp_path / name).write_bytes(damaged)
        with pytest.raises(ValueError, match=f"{name}: not a TFLite file|{name} is damaged"):
            deploy.load(tmp_path / name)
    for name, damaged in (("empty.onnx", b""), ("other.onnx", content), ("cut.onnx", (folder / "m.onnx").read_bytes()[:300])):
        (tmp_path / name).write_bytes(damaged)
        with pytest.raises(ValueError, match=f"{name}: not an ONNX model|{name} was not exported by kfacealign"):
            deploy.load(tmp_path / name)
    (tmp_path / "cut.keras").write_bytes((folder / "m.keras").read_bytes()[:500])
    with pytest.raises(ValueError, match=r"cut.keras is damaged or cut short"):
        deploy.load(tmp_path / "cut.keras")


def test_models_of_other_origin(model, tmp_path):
    (tmp_path / "foreign.tflite").write_bytes(conversion.convert(deploy.inference_model(model)))
    with pytest.raises(ValueError, match=r"foreign.tflite was not exported by kfacealign"):
        deploy.load(tmp_path / "foreign.tflite")
    conversion.write_saved_model(deploy.inference_model(model), tmp_path / "foreign")
    with pytest.raises(ValueError, match="foreign was not exported by kfacealign"):
        deploy.load(tmp_path / "foreign", trust=True)
    model.network.save(tmp_path / "network.keras")
    with pytest.raises(ValueError, match=r"network.keras holds a Functional, not a kfacealign model"):
        deploy.load(tmp_path / "network.keras")


def test_files_of_before_there_were_batches_and_bytes(model, tmp_path):
    """Their metadata does not mention batch and type, which then are one crop and float32."""
    content = conversion.convert(deploy.inference_model(model))
    text = json.dumps({"scheme": "aflw19", "input_size": 8, "enlarge": 1.4})
    (tmp_path / "m.tflite").write_bytes(flatbuffer.add_metadata(content, "kfacealign", text))
    aligner = deploy.load(tmp_path / "m.tflite")
    assert (aligner.resizable, aligner.dtype) == (False, "float32")
    assert aligner.align(np.zeros((2, 8, 8, 3), "uint8"))[0].shape == (2, 19, 2)


def test_metadata_that_lacks_something(model, tmp_path):
    content = conversion.convert(deploy.inference_model(model))
    for text, message in (
        ("{", "m.tflite: its 'kfacealign' metadata is not JSON"),
        ("7", "m.tflite: its 'kfacealign' metadata is no JSON object"),
        (json.dumps({"scheme": "aflw19"}), "has no input_size, enlarge"),
        (json.dumps({"scheme": "aflw20", "input_size": 8, "enlarge": 1.2}), "m.tflite: no landmark scheme 'aflw20'"),
    ):
        (tmp_path / "m.tflite").write_bytes(flatbuffer.add_metadata(content, "kfacealign", text))
        with pytest.raises(ValueError, match=message):
            deploy.load(tmp_path / "m.tflite")
