"""What `inspect`, `parity`, `bench`, `align` and `export` say of files that they cannot use: one line, and no traceback."""

import keras
import numpy as np
import pytest

from kfacealign import deploy, models
from kfacealign.cli.main import main
from kfacealign.codecs.coordinates import Coordinates
from kfacealign.deploy.exporting import conversion

pytestmark = pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="exports are made under TensorFlow")
FOREIGN = "was not exported by kfacealign: it has no 'kfacealign' metadata"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model of 8 px, and files that are no models of kfacealign."""
    folder = tmp_path_factory.mktemp("commands")
    image = keras.Input((8, 8, 3), name="image")
    x = keras.layers.Dense(38, name="coordinates")(keras.layers.Flatten()(keras.ops.multiply(image, 1 / 255)))
    network = keras.Model(image, {"landmarks": keras.layers.Reshape((19, 2))(x)}, name="network")
    model = models.FaceAligner(network, Coordinates(), "aflw19")
    model.save(folder / "m.keras")
    (folder / "foreign.tflite").write_bytes(conversion.convert(deploy.inference_model(model)))
    (folder / "text.tflite").write_bytes(b"not even a flatbuffer " * 20)
    (folder / "cut.tflite").write_bytes(b"\x1c\0\0\0TFL3" + bytes(range(256)) * 3)
    (folder / "empty.tflite").touch()
    (folder / "empty.onnx").touch()
    (folder / "text.onnx").write_bytes(b"not even a protobuf " * 20)
    (folder / "nothing").mkdir()
    (folder / "texts").mkdir()
    (folder / "texts" / "a.txt").write_text("no image")
    (folder / "broken").mkdir()
    (folder / "broken" / "a.jpg").write_bytes(b"no image")
    np.save(folder / "good.npy", np.zeros((2, 8, 8, 3), "uint8"))
    np.save(folder / "large.npy", np.zeros((2, 9, 9, 3), "uint8"))
    np.save(folder / "flat.npy", np.zeros(5))
    np.save(folder / "none.npy", np.zeros((0, 8, 8, 3), "uint8"))
    np.save(folder / "words.npy", np.full((2, 8, 8, 3), "x"))
    np.save(folder / "nan.npy", np.full((2, 8, 8, 3), np.nan))
    np.save(folder / "objects.npy", np.array([{}, None], dtype=object))
    (folder / "text.npy").write_text("no array")
    (folder / "empty.npy").touch()
    with open(folder / "zip.npy", "wb") as file:
        np.savez(file, a=np.zeros(2))
    return folder


@pytest.fixture(scope="module")
def foreign_onnx(folder):
    """An ONNX file that runs, without metadata."""
    onnx = pytest.importorskip("onnx", reason="onnx is not installed (extra: export)")
    shapes = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 2]) for name in ("image", "scores")]
    graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["image"], ["scores"])], "graph", shapes[:1], shapes[1:])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, folder / "foreign.onnx")
    return folder / "foreign.onnx"


def refused(capsys, *arguments):
    """The one line on stderr of a command that has failed because of a mistake in its input."""
    capsys.readouterr()
    assert main(list(map(str, arguments))) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("kfacealign: error: ")
    return line


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("foreign.tflite", FOREIGN),
        ("text.tflite", "not a TFLite file"),
        ("cut.tflite", "is damaged"),
        ("empty.tflite", "not a TFLite file"),
        ("foreign.onnx", FOREIGN),
        ("text.onnx", "not an ONNX"),
        ("empty.onnx", "not an ONNX"),
        ("missing.tflite", "no such"),
    ],
)
def test_files_that_are_no_models_of_ours(folder, foreign_onnx, capsys, name, message):
    file = folder / name
    commands = {
        "inspect": [file],
        "parity": [folder / "m.keras", file],
        "bench": [file],
        "align": ["--model", file, "--box", "1,1,7,7", folder / "photo.png"],
    }
    if name.startswith("foreign"):
        assert main(["inspect", str(file)]) == 0
        assert "no kfacealign metadata" in capsys.readouterr().out
        del commands["inspect"]
    for command, arguments in commands.items():
        line = refused(capsys, command, *arguments)
        assert str(file) in line and message in line
    assert str(file) in refused(capsys, "parity", file, folder / "m.keras")


def test_warnings_of_an_export_are_one_line_each(folder, tmp_path, capsys):
    export = ["export", "--model", folder / "m.keras", "--out", tmp_path / "m.tflite", "--precision", "int8"]
    assert main([str(word) for word in [*export, "--calibration", folder / "good.npy"]]) == 0
    shown = capsys.readouterr()
    lines = [line for line in shown.out.splitlines() if line.startswith("warning")]
    assert len(lines) == 1 and lines[0].startswith("warning: int8 is calibrated on 2 crops, 128 were asked for")
    assert "UserWarning" not in shown.err


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nothing", "holds no image"),
        ("texts", "holds no image"),
        ("broken", "broken/a.jpg: not an image, or of a format that is not read"),
        ("large.npy", r"crops are numbers of shape (N, 8, 8, 3), these are uint8 (2, 9, 9, 3)"),
        ("flat.npy", "these are float64 (5,)"),
        ("words.npy", "these are <U1 (2, 8, 8, 3)"),
        ("none.npy", "holds no crop"),
        ("nan.npy", "values that are not finite"),
        ("objects.npy", "not a .npy array of numbers"),
        ("text.npy", "not a .npy array of numbers"),
        ("empty.npy", "not a .npy array of numbers"),
        ("zip.npy", "not a .npy array of numbers"),
        ("missing.npy", "No such file"),
        ("missing", "--calibration is a folder of images or a .npy array of crops"),
    ],
)
def test_what_does_not_calibrate(folder, tmp_path, capsys, name, message):
    export = ["export", "--model", folder / "m.keras", "--out", tmp_path / "m.tflite", "--precision", "int8"]
    line = refused(capsys, *export, "--calibration", folder / name)
    assert str(folder / name) in line and message in line
    assert not list(tmp_path.iterdir())


def test_exports_that_contradict_themselves(folder, tmp_path, capsys):
    export, int8 = ["export", "--model", folder / "m.keras", "--out"], ["--precision", "int8"]
    calibrated = [*int8, "--calibration", folder / "good.npy"]
    for arguments, message in (
        ([tmp_path / "m.tflite", *int8], "--precision int8 and --calibration (a folder of images"),
        ([tmp_path / "m.tflite", "--calibration", folder / "good.npy"], "go together"),
        ([tmp_path / "m.tflite", "--format", "onnx"], "m.tflite has not the suffix of format onnx"),
        ([tmp_path / "m.onnx", "--format", "litert"], "m.onnx has not the suffix of format litert"),
        ([tmp_path / "m.tflite", "--format", "savedmodel"], "m.tflite has not the suffix of format savedmodel"),
        ([tmp_path / "m.h5"], "cannot tell the format from m.h5"),
        ([tmp_path], "exists and is not a SavedModel"),
        ([tmp_path / "m.tflite", *calibrated, "--keep-float", "coordinate"], "named 'coordinate'; near it: coordinates"),
    ):
        assert message in refused(capsys, *export, *arguments)
    assert not list(tmp_path.iterdir())
