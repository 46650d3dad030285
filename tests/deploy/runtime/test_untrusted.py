"""Exported files of strangers: nothing of them runs unasked, damage is told in one line, answers are numbers."""

import json
import subprocess
import sys

import keras
import numpy as np
import onnx
import pytest

import kfacealign as kfa
from kfacealign import deploy, models
from kfacealign.cli.main import main
from kfacealign.codecs.coordinates import Coordinates
from kfacealign.deploy import flatbuffer, metadata
from kfacealign.deploy.runtime.exported import ExportedAligner
from kfacealign.presets import cards
from kfacealign.streaming import Stream

GOOD = {"scheme": "aflw19", "input_size": 8, "enlarge": 1.25}


def small(bias=0.5):
    image = keras.Input((8, 8, 3), name="image")
    dense = keras.layers.Dense(38, bias_initializer=keras.initializers.Constant(bias))
    points = dense(keras.layers.Flatten()(keras.layers.Conv2D(2, 3)(keras.layers.Rescaling(1 / 255)(image))))
    return models.FaceAligner(keras.Model(image, {"landmarks": keras.layers.Reshape((19, 2))(points)}), Coordinates(), "aflw19")


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    """The bytes of a small exported model."""
    return deploy.export(small(), tmp_path_factory.mktemp("untrusted") / "m.tflite").read_bytes()


def changed(content, change):
    model = flatbuffer.unpack(content)
    change(model)
    return flatbuffer.pack(model)


def restated(content, **changes):
    """The same model with other metadata."""

    def change(model):
        (place,) = [entry.buffer for entry in model.metadata if entry.name == metadata.NAME.encode()]
        found = json.loads(bytes(model.buffers[place].data))
        model.buffers[place].data = list(json.dumps({**found, **changes}).encode())

    return changed(content, change)


# === SavedModels ===


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """A SavedModel that says it is ours and writes a file when it runs; the folder and the file."""
    import tensorflow as tf

    folder = tmp_path_factory.mktemp("program")
    canary = folder / "canary"
    module = tf.Module()

    @tf.function(input_signature=[tf.TensorSpec((1, 8, 8, 3), tf.float32, name="image")])
    def serve(image):
        with tf.control_dependencies([tf.io.write_file(str(canary), "it ran")]):
            return {"landmarks": tf.zeros((1, 19, 2)), "scores": tf.zeros((1, 19)) + tf.reduce_sum(image)}

    module.serve = serve
    tf.saved_model.save(module, str(folder / "m"), signatures=serve)
    (folder / "m" / metadata.FILE.parent).mkdir(exist_ok=True)
    (folder / "m" / metadata.FILE).write_text(json.dumps(GOOD))
    return folder / "m", canary


def test_a_saved_model_needs_trust(program, capsys):
    folder, canary = program
    for load in (deploy.load, kfa.load, kfa.FaceLandmarks, deploy.SavedModelAligner, deploy.StreamingRuntime):
        with pytest.raises(ValueError, match=r"m is a SavedModel, a program: .* --trust \(in Python trust=True\)"):
            load(folder)
    for command in (["align", "x.jpg", "--model"], ["track", "x.mp4", "--model"], ["evaluate", "--dataset", "pts", "--model"]):
        assert main([*command, str(folder)]) == 2
        assert "m is a SavedModel, a program" in capsys.readouterr().err
    assert not canary.exists()
    deploy.load(folder, trust=True).align(np.zeros((1, 8, 8, 3)))
    assert canary.read_text() == "it ran"


def test_a_saved_model_whose_graph_is_another(program):
    folder, _ = program
    (folder / metadata.FILE).write_text(json.dumps({**GOOD, "scheme": "ibug68"}))
    with pytest.raises(ValueError, match=r"m: its output landmarks is \[1, 19, 2\], its metadata says \[None, 68, 2\]"):
        deploy.load(folder, trust=True)


# === Metadata ===


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("scheme", [["ibug68"], None, 5, {}]),
        ("input_size", ["64", 7, 100_000, 64.0, True, None, [64], -8]),
        ("enlarge", ["x", 0, -1, 10, None, float("nan"), float("inf"), True, [1.2]]),
        (
            "input",
            [
                None,
                [],
                "image",
                {"dtype": "object"},
                {"dtype": ["float32"]},
                {"shape": 5},
                {"shape": []},
                {"shape": [1, 2, 3, "4"]},
            ],
        ),
        ("states", [5, [], "x", {"a": None}, {"a": ["x"]}, {"a": [0]}, {"a": [10**6, 10**6]}, {"a": [2] * 9}]),
        ("num_points", ["68", 0, None]),
        ("point_names", [None, "a", [1]]),
        ("mirror", [None, {}, ["0"], [-1]]),
        (
            "crop_from_detector",
            [5, [], {}, {"scale": 0, "shift": [0, 0]}, {"scale": 1, "shift": [0]}, {"scale": "1", "shift": [0, 0]}],
        ),
        ("parts", [5, {"a": "b"}, {"a": -1}]),
        ("float_parts", [5, "decode", [1]]),
        ("flip", [None, 1, "no"]),
    ],
)
def test_metadata_of_other_kinds(key, values):
    assert metadata.parse(json.dumps(GOOD), "m.onnx") == GOOD
    for value in values:
        with pytest.raises(ValueError, match=rf"^m.onnx: its 'kfacealign' metadata says {key} = .*, expected .*; export"):
            metadata.parse(json.dumps({**GOOD, key: value}), "m.onnx")


@pytest.mark.parametrize(
    "text", ["", "[]", "{", "5", "[" * 100_000, b"\xff\xfe", '{"scheme": "aflw19"}', " " * (metadata.LIMIT + 1)]
)
def test_metadata_that_is_none(text):
    with pytest.raises(ValueError, match=r"^m.onnx: its 'kfacealign' metadata "):
        metadata.parse(text, "m.onnx")


def test_metadata_of_another_graph(content, tmp_path):
    path = tmp_path / "m.tflite"
    for changes, message in (
        ({"scheme": "ibug68"}, "its metadata names the scheme ibug68 and has another point_names"),
        ({"input_size": 16}, r"its input image is \[1, 8, 8, 3\], its metadata says \[None, 16, 16, 3\]"),
        ({"states": {"state_x": [1, 4]}}, "its input state_x is missing"),
        ({"scheme": "mine", "mirror": [1, 2, 0, *range(3, 19)]}, "scheme 'mine': mirror is not its own inverse, point 0"),
        ({"scheme": "mine", "num_points": 20}, "says num_points = 20, and describes 19"),
    ):
        path.write_bytes(restated(content, **changes))
        with pytest.raises(ValueError, match=rf"m.tflite: .*{message}"):
            deploy.load(path)


# === Graphs ===


def test_onnx_files_keep_their_weights(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret.bin").write_bytes(np.ones(3, "float32").tobytes())
    weights = onnx.TensorProto(name="w", data_type=1, dims=[3], data_location=onnx.TensorProto.EXTERNAL)
    entry = weights.external_data.add()
    entry.key, entry.value = "location", "secret.bin"
    ends = [onnx.helper.make_tensor_value_info(name, 1, [3]) for name in "xy"]
    graph = onnx.helper.make_graph([onnx.helper.make_node("Add", ["x", "w"], ["y"])], "g", ends[:1], ends[1:], [weights])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ValueError, match=r"m.onnx is refused: it keeps weights in other files"):
        deploy.load(tmp_path / "m.onnx")


def custom(model):
    model.operatorCodes[0].customCode = b"FlexWriteFile"


def without_input(model):
    model.subgraphs[0].operators[0].inputs = [-1, *model.subgraphs[0].operators[0].inputs[1:]]


def far(model):
    model.subgraphs[0].operators[-1].outputs = [10**6]


def control(model):
    model.operatorCodes[0].builtinCode = flatbuffer.schema().BuiltinOperator.CALL_ONCE


def no_code(model):
    model.subgraphs[0].operators[0].opcodeIndex = 99


def two_graphs(model):
    model.subgraphs.append(model.subgraphs[0])


def no_buffer(model):
    model.subgraphs[0].tensors[0].buffer = 10**6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (custom, "its operator CUSTOM:FlexWriteFile is none"),
        (without_input, "names the tensor -1"),
        (far, "names the tensor 1000000"),
        (control, "its operator CALL_ONCE is none"),
        (no_code, "an operator without a code"),
        (two_graphs, "it has 2 graphs"),
        (no_buffer, "its tensor 0 has no buffer"),
    ],
)
def test_graphs_that_are_no_models(content, tmp_path, change, message):
    (tmp_path / "m.tflite").write_bytes(changed(content, change))
    with pytest.raises(ValueError, match=rf"m.tflite is damaged: .*{message}"):
        deploy.load(tmp_path / "m.tflite")


DAMAGE = """
import sys
import numpy as np
from kfacealign import deploy
content, rng, outcomes = open(sys.argv[1], "rb").read(), np.random.default_rng(0), set()
for number in range(80):
    damaged = bytearray(content)
    for place in rng.integers(8, len(content), 1 + number % 5):
        damaged[place] = rng.choice([0, 1, 127, 255, rng.integers(256)])
    open(sys.argv[2], "wb").write(damaged)
    try:
        deploy.load(sys.argv[2]).align(np.zeros((1, 8, 8, 3)))
        outcomes.add("read")
    except ValueError as error:
        assert sys.argv[2] in str(error) and "\\n" not in str(error), error
        outcomes.add("refused")
print(sorted(outcomes))
"""


def test_damaged_graphs_end_in_errors_that_name_them(content, tmp_path):
    """In a process of its own, which the damage must not end."""
    (tmp_path / "good").write_bytes(content)
    command = [sys.executable, "-c", DAMAGE, str(tmp_path / "good"), str(tmp_path / "m.tflite")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "['read', 'refused']"), done.stderr


# === Answers ===


class Broken(ExportedAligner):
    """A graph whose first answer is no number."""

    def run_tensors(self, tensors):
        return {"landmarks": np.full((1, 19, 2), np.nan, "float32"), "scores": np.ones((1, 19), "float32")}


def test_answers_that_are_no_numbers_are_refused():
    graph = {"image": (1, 8, 8, 3)}, {"landmarks": (1, 19, 2), "scores": (1, 19)}
    broken = Broken("broken.onnx", {**GOOD}, *graph)
    with pytest.raises(ValueError, match=r"broken.onnx gives landmarks or scores that are not finite numbers"):
        broken.align(np.zeros((2, 8, 8, 3)))
    with pytest.raises(ValueError, match=r"x.tflite gives landmarks or scores that are not finite"):
        Stream(broken.run_tensors, {}, 8, "x.tflite").step(np.zeros((8, 8, 3)))
    with pytest.raises(ValueError, match=r"the model face_aligner.* gives landmarks or scores that are not finite"):
        small(np.nan).align(np.zeros((1, 8, 8, 3)), verbose=0)


# === Cards ===


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("files", None),
        ("files.keras", 5),
        ("files.tflite.sha256", 5),
        ("input_size", "64"),
        ("parameters", None),
        ("enlarge", [1]),
        ("data", {}),
        ("data.0.faces", "many"),
        ("figures.tflite.nme", None),
        ("figures.clips", 7),
        ("latency.ms", True),
        ("limits", "none"),
        ("weak_spots", 3),
        ("augmentation", []),
    ],
)
def test_cards_of_other_kinds(tmp_path, place, value):
    card = cards.read(kfa.presets.store.FOLDER / f"{kfa.presets.DEFAULT}.json")
    *outer, last = place.split(".")
    inner = card
    for key in outer:
        inner = inner[int(key) if key.isdigit() else key]
    inner[last] = value
    (tmp_path / f"{card['name']}.json").write_text(json.dumps(card))
    with pytest.raises(ValueError, match=rf"{card['name']}.json: no card of a preset, its {place}\.?.* is missing or of another"):
        cards.read(tmp_path / f"{card['name']}.json")
