"""`kfacealign bench` from its arguments to its table, measuring in a process of its own."""

import json

import keras
import numpy as np
import pytest

from kfacealign import deploy, models
from kfacealign.cli import bench as command
from kfacealign.cli.main import main
from kfacealign.codecs import Heatmap
from kfacealign.deploy.exporting import conversion
from kfacealign.deploy.measure import benchmark

pytestmark = pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="exports are made under TensorFlow")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    image = keras.Input((16, 16, 3), name="image")
    network = keras.Model(image, {"heatmap_1": keras.layers.Conv2D(19, 3, 2, "same")(image)})
    model = models.FaceAligner(network, Heatmap(8), "aflw19")
    folder = tmp_path_factory.mktemp("bench")
    deploy.export(model, folder / "m.tflite")
    (folder / "foreign.tflite").write_bytes(conversion.convert(deploy.inference_model(model)))
    return folder


def test_a_file_against_itself(folder, tmp_path, capsys):
    path = str(folder / "m.tflite")
    assert main(["bench", path, "--runs", "3", "--json", str(tmp_path / "bench.json")]) == 0
    printed = capsys.readouterr().out
    assert "m.tflite" in printed and "median" in printed and "3 reads" in printed
    (record,) = json.loads((tmp_path / "bench.json").read_text())["files"]
    assert record["path"] == path and record["threads"] == 1 and record["ratio"] == 1.0
    assert 0 < record["median"] <= record["p90"] and record["bytes"] == (folder / "m.tflite").stat().st_size
    assert 0 < record["delegated"] <= record["nodes"]
    if benchmark.resident("VmRSS") is not None:
        assert record["peak"] > record["before"] > 1e7


def test_a_row_for_every_file_and_number_of_threads():
    costs = [
        benchmark.Cost(path, threads, 2.0, 3.0, 1.0, 2_500_000, *nodes, 700_000_000, 730_000_000)
        for threads in (1, 4)
        for path, nodes in (("a/m.tflite", (7, 9)), ("b/m.tflite", (None, None)))
    ]
    made = command.table(costs, 5)
    columns = [list(column.cells) for column in made.columns]
    assert columns[0] == ["a/m.tflite", "b/m.tflite"] * 2 and columns[1] == ["1", "1", "4", "4"]
    assert columns[6] == ["7/9", "-", "", ""] and columns[5] == ["2.50", "2.50", "", ""] and columns[7] == ["30", "30", "", ""]


def test_short_names():
    assert command.short(["x/a.tflite", "x/b.tflite"]) == ["a.tflite", "b.tflite"]
    assert command.short(["x/y/a.onnx", "x/z/a.onnx"]) == ["y/a.onnx", "z/a.onnx"]
    assert command.short(["a.onnx", "a.onnx"]) == ["a.onnx", "a.onnx"]


def test_mistakes(folder, tmp_path, capsys):
    np.save(tmp_path / "m.npy", np.zeros(1))
    for arguments, message in (
        ([folder / "foreign.tflite"], "was not exported by kfacealign"),
        ([tmp_path / "missing.keras"], "no such model"),
        ([tmp_path / "m.npy"], "is not a model"),
        ([folder / "m.tflite", "--threads", "0"], "--runs and --threads are numbers from 1 on"),
        ([folder / "m.tflite", "--runs", "0"], "--runs and --threads are numbers from 1 on"),
    ):
        assert main(["bench", *map(str, arguments)]) == 2
        assert message in capsys.readouterr().err


def test_the_compiled_model_beside_the_interpreter(folder, tmp_path, capsys):
    pytest.importorskip("ai_edge_litert.compiled_model", reason="LiteRT is not installed (extra: export)")
    path = str(folder / "m.tflite")
    assert main(["bench", path, "--runtime", "compiled", "--runs", "3", "--json", str(tmp_path / "bench.json")]) == 0
    printed = capsys.readouterr().out
    assert "m.tflite: compiled, its answers on noise " in " ".join(printed.split())
    records = json.loads((tmp_path / "bench.json").read_text())["files"]
    assert [(record["path"], record["runtime"]) for record in records] == [(path, ""), (path, "compiled")]
    assert records[0]["difference"] is None and 0 <= records[1]["difference"] < 1e-5
    assert records[1]["nodes"] is None and 0 < records[1]["median"] <= records[1]["p90"]


def test_how_far_the_compiled_model_is():
    costs = [
        benchmark.Cost(path, 1, 2.0, 3.0, 1.0, 1, None, None, None, None, runtime="compiled", difference=difference)
        for path, difference in (("a.tflite", 0.0), ("b.tflite", 0.0013))
    ]
    assert command.names(costs) == ["a.tflite, compiled", "b.tflite, compiled"]
    assert command.differences(costs) == [
        "a.tflite: compiled, its answers on noise are to the bit those of the interpreter",
        "b.tflite: compiled, its answers on noise differ by at most 1.3e-03 from those of the interpreter",
    ]


def test_the_compiled_model_is_for_tflite_files(folder, tmp_path, capsys):
    (tmp_path / "m.keras").touch()
    assert main(["bench", str(tmp_path / "m.keras"), "--runtime", "compiled"]) == 2
    assert "LiteRT's CompiledModel runs .tflite files, and there is none among these" in capsys.readouterr().err
