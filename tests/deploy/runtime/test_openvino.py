"""OpenVINO models of strangers, the runtime's silence, and what is said where it is not installed."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import keras
import numpy as np
import pytest

import kfacealign as kfa
from kfacealign import deploy, models
from kfacealign.cli.main import main
from kfacealign.codecs import Coordinates
from kfacealign.deploy.measure import inspection
from kfacealign.deploy.runtime import openvino as running

ROOT = Path(__file__).parents[3]
HERE = importlib.util.find_spec("openvino") is not None
installed = pytest.mark.skipif(not HERE, reason="openvino is not installed (extra: openvino)")


def small():
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 3), name="image")
    x = keras.layers.Conv2D(2, 3, strides=4, activation="relu")(keras.layers.Rescaling(1 / 255)(image))
    points = keras.layers.Reshape((19, 2))(keras.layers.Dense(38)(keras.layers.Flatten()(x)))
    return models.FaceAligner(keras.Model(image, {"landmarks": points}), Coordinates(), "aflw19")


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """The `.xml` file of a small model."""
    return deploy.export(small(), tmp_path_factory.mktemp("untrusted") / "good.xml")


def copied(good, folder, change=lambda text: text):
    """A copy of the two files, with another text; the path."""
    shutil.copy(good.with_suffix(".bin"), folder / "m.bin")
    (folder / "m.xml").write_text(change(good.read_text()))
    return folder / "m.xml"


# === Files of strangers ===


@installed
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: "", "m.xml:1: not XML, or damaged"),
        (lambda text: "PK\3\4 zip", "m.xml:1: not XML, or damaged"),
        (lambda text: text[: len(text) // 2], r"m.xml:\d+: not XML, or damaged"),
        (lambda text: "<annotations/>", "m.xml:1: the outermost element is <annotations>, expected <net>"),
        (lambda text: text.replace("<net ", "<!DOCTYPE net []><net ", 1), "m.xml:2: it declares a document type"),
        (lambda text: "<net/>", "m.xml was not exported by kfacealign"),
        (lambda text: re.sub("<kfacealign value.*/>", "", text), "m.xml was not exported by kfacealign"),
        (lambda text: re.sub('<kfacealign value=".*"', '<kfacealign value="{"', text), "metadata is not JSON"),
        (lambda text: re.sub('<kfacealign value=".*"', "<kfacealign", text), "metadata is not JSON"),
        (lambda text: text.replace('type="ReLU"', 'type="Nothing"'), "m.xml is damaged: .*Nothing"),
        (lambda text: re.sub('size="[0-9]+"', 'size="99999999"', text, count=1), "m.xml is damaged"),
        (lambda text: text.replace("to-layer", "to-nowhere"), "m.xml is damaged"),
        (lambda text: text.replace("aflw19", "ibug68"), "m.xml: its metadata names the scheme ibug68 and has another"),
    ],
)
def test_descriptions_that_are_none(good, tmp_path, change, message):
    path = copied(good, tmp_path, change)
    assert path.read_text() != good.read_text()
    for load in (deploy.load, kfa.load, kfa.FaceLandmarks, deploy.OpenVinoAligner):
        with pytest.raises(ValueError, match=message) as told:
            load(path)
        assert "\n" not in str(told.value)


@installed
def test_weights_that_are_missing_cut_or_others(good, tmp_path, capsys):
    path = copied(good, tmp_path)
    weights = tmp_path / "m.bin"
    content = weights.read_bytes()
    others = bytes(len(content))
    for changed, message in (
        (None, "m.xml: its weights are missing, m.bin: the two files belong together; copy both"),
        (content[:-4], "m.xml: its weights, m.bin, are damaged or those of another model"),
        (b"", "m.xml: its weights, m.bin, are damaged or those of another model"),
        (others, "m.xml: its weights, m.bin, are damaged or those of another model"),
    ):
        weights.unlink()
        if changed is not None:
            weights.write_bytes(changed)
        with pytest.raises(ValueError, match=message):
            deploy.load(path)
        weights.touch()
    for command in (["inspect"], ["align", "x.jpg", "--box", "1,1,7,7", "--model"]):
        assert main([*command, str(path)]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("kfacealign: error: ") and "m.xml: its weights, m.bin, are damaged" in line


@installed
def test_a_model_moves_with_its_weights(good, tmp_path):
    path = copied(good, tmp_path)
    crops = np.full((1, 8, 8, 3), 100, "uint8")
    np.testing.assert_array_equal(deploy.load(path).align(crops)[0], deploy.load(good).align(crops)[0])


@installed
def test_a_graph_with_a_memory_or_beyond_reason_is_refused():
    openvino = running.runtime()
    ops = openvino.opset13
    given = ops.parameter([1, 4], np.float32, name="image")
    read = ops.read_value(given, "memory", np.float32, [1, 4])
    kept = ops.assign(read, "memory")
    with pytest.raises(ValueError, match=r"its operator (ReadValue|Assign) is none that a model file may have"):
        running.check_graph(openvino.Model([ops.result(read)], [kept], [given], "m"))
    large = ops.tile(given, np.array([2**26, 1], "int64"))  # 2^28 numbers of four bytes
    with pytest.raises(ValueError, match=r"the tensor of its operator (Tile|Result) has no shape that can be allocated"):
        running.check_graph(openvino.Model([large], [given], "m"))
    running.check_graph(openvino.Model([ops.relu(given)], [given], "m"))


@installed
def test_files_of_others_are_inspected(tmp_path, capsys):
    openvino = running.runtime()
    given = openvino.opset13.parameter([1, 4], np.float32, name="x")
    given.output(0).set_names({"x"})
    doubled = openvino.opset13.add(given, given)
    doubled.output(0).set_names({"y"})
    openvino.save_model(openvino.Model([doubled], [given], "m"), tmp_path / "m.xml")
    assert inspection.read_metadata(tmp_path / "m.xml") is None
    assert inspection.tensors(tmp_path / "m.xml") == ([inspection.Tensor("x", (1, 4), "float32")],) + (
        [inspection.Tensor("y", (1, 4), "float32")],
    )
    assert main(["inspect", str(tmp_path / "m.xml")]) == 0
    assert "no kfacealign metadata" in capsys.readouterr().out
    with pytest.raises(ValueError, match=r"m.xml was not exported by kfacealign"):
        deploy.load(tmp_path / "m.xml")


DAMAGE = """
import sys
import numpy as np
from kfacealign import deploy
content, rng, outcomes = open(sys.argv[1], "rb").read(), np.random.default_rng(0), set()
body = content.index(b"<layers>"), content.index(b"</edges>")
for number in range(60):
    damaged = bytearray(content)
    for place in rng.integers(*body, 1 + number % 5):
        damaged[place] = rng.choice([48, 49, 57, 45, 63, rng.integers(256)])
    open(sys.argv[2], "wb").write(damaged)
    try:
        deploy.load(sys.argv[2]).align(np.zeros((1, 8, 8, 3)))
        outcomes.add("read")
    except ValueError as error:
        assert sys.argv[2] in str(error) and "\\n" not in str(error), error
        outcomes.add("refused")
print(sorted(outcomes))
"""


@installed
def test_damaged_graphs_end_in_errors_that_name_them(good, tmp_path):
    """In a process of its own, which the damage must not end."""
    path = copied(good, tmp_path)
    command = [sys.executable, "-c", DAMAGE, str(good), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "['read', 'refused']"), done.stderr


@installed
def test_one_model_may_be_shared_by_threads(good):
    aligner = deploy.load(good)
    crops = np.random.default_rng(1).integers(0, 256, (16, 8, 8, 3), "uint8")
    wanted = aligner.align(crops)[0]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda place: aligner.align(crops[place : place + 1])[0][0], list(range(16)) * 8))
    np.testing.assert_array_equal(found, np.tile(wanted, (8, 1, 1)))


# === Without openvino, and its silence ===


def test_what_is_said_where_it_is_not_installed(tmp_path, monkeypatch, capsys):
    text = json.dumps({"scheme": "aflw19", "input_size": 8, "enlarge": 1.25}).replace('"', "&quot;")
    (tmp_path / "m.xml").write_text(f'<net><rt_info><kfacealign value="{text}"/></rt_info></net>')
    (tmp_path / "m.bin").touch()
    monkeypatch.setitem(sys.modules, "openvino", None)
    message = "OpenVINO models need the package openvino: pip install 'kfacealign[openvino]'"
    with pytest.raises(ImportError, match=re.escape(message)):
        kfa.load(tmp_path / "m.xml")
    with pytest.raises(ImportError, match=re.escape(message)):
        deploy.export(small(), tmp_path / "n.xml")
    assert main(["align", "x.jpg", "--model", str(tmp_path / "m.xml")]) == 2
    assert message in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.bin", "m.xml"]


# A stand-in for `openvino_telemetry` that tells when it is imported, whether that package is installed or not.
TELLING = "import pathlib\npathlib.Path.home().joinpath('telemetry').touch()\nraise ImportError('a stand-in')\n"
CODE = """
import importlib.util, sys
{imported}
from kfacealign import deploy
print(deploy.load(sys.argv[1]).align(__import__("numpy").zeros((1, 8, 8, 3)))[0].shape)
heavy = [name for name in ("keras", "tensorflow", "jax", "h5py", "matplotlib", "scipy") if name in sys.modules]
print(heavy, importlib.util.find_spec("openvino_telemetry") is not None)
"""


@installed
@pytest.mark.parametrize("imported", ["", "import openvino"])
def test_the_runtime_tells_nobody(good, tmp_path, imported):
    """Its package of telemetry is not imported by a model that is loaded; that it would be otherwise shows the test."""
    home, packages = tmp_path / "home", tmp_path / "packages"
    (packages / "openvino_telemetry").mkdir(parents=True)
    (packages / "openvino_telemetry" / "__init__.py").write_text(TELLING)
    home.mkdir()
    paths = os.pathsep.join([str(packages), str(ROOT), *filter(None, sys.path)])
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": paths, "HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", CODE.format(imported=imported), str(good)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=False)
    assert (done.returncode, done.stdout.splitlines()) == (0, ["(1, 19, 2)", "[] True"]), done.stderr
    assert [path.name for path in home.rglob("*")] == (["telemetry"] if imported else [])
