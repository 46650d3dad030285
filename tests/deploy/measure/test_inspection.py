"""What is read from exported files: tensors, operators, metadata, and the nodes that XNNPACK takes."""

import keras
import numpy as np
import pytest

from kfacealign import deploy, models
from kfacealign.cli.main import main
from kfacealign.codecs.codec import Codec
from kfacealign.deploy.exporting import conversion
from kfacealign.deploy.measure import inspection

pytestmark = pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="exports are made under TensorFlow")


@keras.saving.register_keras_serializable(package="tests_inspection")
class Place(Codec):
    """Every landmark lies where the first two channels say."""

    def decode(self, outputs):
        points = outputs["place"][:, None, :2] * np.ones((1, 19, 1), "float32")
        return points, points[..., 0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    image = keras.Input((8, 8, 3), name="image")
    features = keras.layers.Conv2D(4, 3, padding="same")(image)
    features = keras.layers.Conv2D(4, 3, padding="same")(features)
    place = keras.layers.GlobalAveragePooling2D()(features)
    model = models.FaceAligner(keras.Model(image, {"place": place}), Place(), "aflw19")
    folder = tmp_path_factory.mktemp("inspection")
    deploy.export(model, folder / "m.tflite")
    image = keras.Input(batch_shape=(1, 8, 8, 3), name="image")
    # XNNPACK cannot compute the remainder of a division.
    rest = keras.Model(image, {"rest": keras.ops.mod(keras.layers.Conv2D(2, 3)(image), 3.0)})
    (folder / "foreign.tflite").write_bytes(conversion.convert(rest))
    return folder


@pytest.fixture(scope="module")
def onnx_file(folder):
    """A file made by the onnx package alone, with our metadata: one input, one weight, one node of each of two kinds."""
    onnx = pytest.importorskip("onnx", reason="onnx is not installed (extra: export)")
    helper = onnx.helper
    nodes = [helper.make_node("Add", ["image", "shift"], ["sum"]), helper.make_node("Relu", ["sum"], ["scores"])]
    image = helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, ["batch", 2])
    scores = helper.make_tensor_value_info("scores", onnx.TensorProto.FLOAT, ["batch", 2])
    weight = helper.make_tensor("shift", onnx.TensorProto.FLOAT, [2], [1.0, 2.0])
    graph = helper.make_graph(nodes, "graph", [image], [scores], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    helper.set_model_props(model, {"kfacealign": '{"scheme": "aflw19"}'})
    onnx.save(model, folder / "m.onnx")
    return folder / "m.onnx"


def test_convolutions_are_delegated(folder):
    delegates, taken, total, left = inspection.delegated_nodes(folder / "m.tflite")
    assert delegates >= 1 and total == len(deploy.flatbuffer.operators((folder / "m.tflite").read_bytes()))
    assert 2 <= taken <= total and "CONV_2D" not in left


def test_an_operator_that_is_left_to_the_interpreter(folder):
    delegates, taken, total, left = inspection.delegated_nodes(folder / "foreign.tflite")
    assert "FLOOR_MOD" in left and taken < total and delegates >= 1


def test_each_part_is_counted_by_itself(folder):
    shares = inspection.delegated_parts(folder / "m.tflite")
    assert [share.part for share in shares] == ["network", "decode"]
    _, taken, total, left = inspection.delegated_nodes(folder / "m.tflite")
    assert (sum(share.taken for share in shares), sum(share.nodes for share in shares)) == (taken, total)
    assert sorted({name for share in shares for name in share.left}) == left
    assert inspection.delegated_parts(folder / "foreign.tflite") == []


@pytest.mark.parametrize(
    ("make", "networks", "rest"),
    [
        (
            lambda: models.PIPNet("ibug68", "mobilenet_v2", input_size=64, backbone_width=0.35),
            {"network"},
            {"locate", "offsets", "decode"},
        ),
        (lambda: models.LOTR.m("ibug68", input_size=64), {"network", "regression", "decode"}, set()),
    ],
)
def test_networks_are_delegated_whole(make, networks, rest, tmp_path):
    """Only nodes that find cells and read values there are left to the interpreter."""
    shares = inspection.delegated_parts(deploy.export(make(), tmp_path / "m.tflite"))
    assert {share.part for share in shares} == networks | rest
    for share in shares:
        assert share.part in rest or (share.taken, share.left) == (share.nodes, [])
    assert sum(share.nodes for share in shares if share.part in networks) > 60


def test_operators_are_counted(folder):
    counted = inspection.operators(folder / "m.tflite")
    assert ("CONV_2D", "FLOAT32", 2) in counted
    assert [count for _, _, count in counted] == sorted((count for _, _, count in counted), reverse=True)


def test_tensors_and_metadata(folder):
    inputs, outputs = inspection.tensors(folder / "m.tflite")
    assert inputs == [inspection.Tensor("image", (1, 8, 8, 3), "float32")]
    assert outputs == [inspection.Tensor("landmarks", (1, 19, 2), "float32"), inspection.Tensor("scores", (1, 19), "float32")]
    assert inspection.read_metadata(folder / "m.tflite")["scheme"] == "aflw19"
    assert inspection.read_metadata(folder / "foreign.tflite") is None


def test_onnx_files(onnx_file):
    inputs, outputs = inspection.tensors(onnx_file)
    assert inputs == [inspection.Tensor("image", ("batch", 2), "float32")]
    assert outputs == [inspection.Tensor("scores", ("batch", 2), "float32")]
    assert inspection.operators(onnx_file) == [("Add", "", 1), ("Relu", "", 1)]
    assert inspection.read_metadata(onnx_file) == {"scheme": "aflw19"} and inspection.onnx_opset(onnx_file) == 17


def test_the_command(folder, onnx_file, capsys):
    assert main(["inspect", str(folder / "m.tflite")]) == 0
    printed = capsys.readouterr().out
    assert "CONV_2D" in printed and "aflw19" in printed and "1 x 19 x 2" in printed and "XNNPACK takes" in printed
    assert "left to the interpreter" in printed and "network" in printed and "decode" in printed
    assert main(["inspect", str(folder / "foreign.tflite")]) == 0
    assert "no kfacealign metadata" in capsys.readouterr().out
    assert main(["inspect", str(onnx_file)]) == 0
    assert "opset 17" in capsys.readouterr().out


def test_what_cannot_be_inspected(folder, tmp_path, capsys):
    content = (folder / "m.tflite").read_bytes()
    (tmp_path / "other.tflite").write_bytes(b"PK\3\4 zip file")
    (tmp_path / "cut.tflite").write_bytes(content[:600])
    (tmp_path / "other.onnx").write_bytes(b"\xff" * 40)
    (tmp_path / "m.h5").touch()
    for name, message in (
        ("other.tflite", "not a TFLite file"),
        ("cut.tflite", "is damaged"),
        ("other.onnx", "not an ONNX file"),
        ("m.h5", "inspect reads .tflite, .onnx and OpenVINO's .xml files"),
        ("missing.tflite", "no such file"),
    ):
        assert main(["inspect", str(tmp_path / name)]) == 2
        assert message in capsys.readouterr().err
