"""`.keras` files of strangers: nothing that they bring along runs, and what is wrong with one is told in a line."""

import copy
import io
import json
import zipfile

import h5py
import keras
import numpy as np
import pytest

from kfacealign import models
from kfacealign.codecs.coordinates import Coordinates
from kfacealign.models import keras_archive, keras_config
from kfacealign.models.backbones import copy_backbone
from kfacealign.models.loading import bounded_weights, load_keras, open_keras
from kfacealign.training import checkpoint

CONFIG, WEIGHTS, METADATA = "config.json", "model.weights.h5", "metadata.json"


@keras.saving.register_keras_serializable(package="tests_loading")
class Doubled(keras.layers.Layer):
    """A layer of a user's own."""

    def call(self, x):
        return 2.0 * x


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The members of a small model's file."""
    image = keras.Input((8, 8, 3), name="image")
    x = keras.layers.Dense(4, activation="relu", name="dense")(keras.layers.GlobalAveragePooling2D()(Doubled()(image)))
    points = keras.layers.Reshape((19, 2))(keras.layers.Dense(38, name="points")(keras.ops.multiply(x, 0.5)))
    model = models.FaceAligner(keras.Model(image, {"landmarks": points}), Coordinates(), "aflw19")
    model.compile(keras.optimizers.AdamW(keras.optimizers.schedules.PiecewiseConstantDecay([5], [1e-3, 1e-4])))
    path = tmp_path_factory.mktemp("loading") / "m.keras"
    model.save(path)
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path / "m.keras"


def packed(path, members, method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items() if isinstance(members, dict) else members:
            archive.writestr(name, content)
    return path


def described(path, whole, change):
    """A file whose description was changed by a function of its dict."""
    config = json.loads(whole[CONFIG])
    change(config)
    return packed(path, {**whole, CONFIG: json.dumps(config)})


def layers(config):
    return config["config"]["network"]["config"]["layers"]


def named(config, kind):
    return next(entry for entry in layers(config) if entry["class_name"] == kind)


def refused(path, message, error=ValueError):
    with pytest.raises(error, match=message) as caught:
        load_keras(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_good_file_loads_with_a_class_of_the_users_own(path, whole):
    model = load_keras(packed(path, whole))
    assert model.align(np.zeros((2, 8, 8, 3)), verbose=0)[0].shape == (2, 19, 2) and not model.compiled
    packed(path, whole, zipfile.ZIP_DEFLATED)
    assert isinstance(open_keras(path, compiled=True).optimizer, keras.optimizers.AdamW)


# === The zip ===


@pytest.mark.parametrize("size", [0, 3, 100, 3000, -1])
def test_a_cut_file(path, whole, size):
    path.write_bytes(packed(path, whole).read_bytes()[:size])
    refused(path, "is damaged or cut short")


def test_something_else_under_the_name(path, tmp_path):
    path.mkdir()
    refused(path, "not a regular file", OSError)
    with pytest.raises(FileNotFoundError, match="no such model"):
        load_keras(tmp_path / "missing.keras")


@pytest.mark.parametrize("name", ["assets/words.txt", "../outside", "/outside", "model.weights.npz", "CONFIG.JSON"])
def test_other_members(path, whole, name):
    refused(packed(path, {**whole, name: b"x"}), "is refused: besides config.json.* it holds")


def test_members_that_are_missing_or_twice_there(path, whole):
    refused(packed(path, {CONFIG: whole[CONFIG]}), "damaged or cut short: it has no model.weights.h5")
    with pytest.warns(UserWarning, match="Duplicate"):
        packed(path, [*whole.items(), (CONFIG, b"{}")])
    refused(path, "more than once")


def test_members_that_grow(path, whole):
    bomb = packed(path, {**whole, WEIGHTS: bytes(40 * 2**20)}, zipfile.ZIP_DEFLATED)
    assert bomb.stat().st_size < 2**17
    refused(path, "is refused: model.weights.h5 would take 40 MiB")
    packed(path, {**whole, CONFIG: b" " * (16 * 2**20 + 1)}, zipfile.ZIP_DEFLATED)
    refused(path, "is refused: config.json would take 16 MiB")
    refused(packed(path, whole, zipfile.ZIP_LZMA), "packed as Keras packs nothing")


def test_a_list_of_many_members_is_not_read(path, whole):
    refused(packed(path, {**whole, **{f"{number}": b"" for number in range(9)}}), "three members, not 12")


def test_damage_inside(path, whole):
    content = bytearray(packed(path, whole).read_bytes())
    content[content.index(whole[WEIGHTS][:64]) + 2000] ^= 255
    path.write_bytes(content)
    refused(path, "is damaged or cut short: Bad CRC")


# === The description ===


def entry(module, name, registered=None, **config):
    return {"module": module, "class_name": name, "registered_name": registered, "config": config}


def function(module, name):
    return {"module": module, "class_name": "function", "config": name, "registered_name": name}


@pytest.mark.parametrize(
    "activation",
    [
        entry("keras.layers", "TFSMLayer", filepath="graph", call_endpoint="serving_default"),
        entry("keras.layers", "Lambda", function=function("keras.layers", "TFSMLayer"), arguments={}),
        entry("keras.layers", "TorchModuleWrapper"),
        entry("keras.layers", "StringLookup", vocabulary="/etc/passwd"),
        entry("keras.layers", "TextVectorization", vocabulary="words.txt"),
        entry("keras.saving", "KerasFileEditor", filepath="x.keras"),
        entry("keras.src.ops.core", "Map", function="x"),
        entry("keras_hub.models", "ResNetBackbone"),
        entry("os", "system"),
        entry(None, "__lambda__", value="x"),
        entry(None, "__typespec__"),
        entry(None, "__numpy__", value=["x"], dtype="S1000000000"),
        entry(None, "__numpy__", value=[1], dtype={"a": 1}),
        entry("keras.layers", "Dense", "tests_loading>Unknown", units=3),
        {"class_name": "Lambda", "config": {}},
        {"class_name": ["Dense"], "config": {}, "module": "keras.layers"},
        function("keras.config", "set_floatx"),
        function("keras.utils", "get_file"),
        function("keras.datasets.mnist", "load_data"),
        function("builtins", "eval"),
    ],
    ids=lambda value: str(value["config"] if value["class_name"] == "function" else value["class_name"]),
)
def test_what_may_not_be_named(path, whole, activation):
    for kind in ("Dense", "Functional"):

        def change(config, kind=kind):
            place = named(config, "Dense")["config"] if kind == "Dense" else layers(config)[1]["inbound_nodes"][0]["kwargs"]
            place["activation"] = copy.deepcopy(activation)

        refused(described(path, whole, change), "is refused: (it names|its description)")
    refused(described(path, whole, lambda config: config["compile_config"].update(optimizer=activation)), "is refused")
    assert keras.config.floatx() == "float32" and {file.name for file in path.parent.iterdir()} == {"m.keras"}


def test_functions_that_only_compute_may_be_named(path, whole):
    def change(config):
        named(config, "Dense")["config"]["activation"] = function("builtins", "softmax")

    assert load_keras(described(path, whole, change)).network.get_layer("dense").activation is keras.activations.softmax


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"backbone_weights": "imagenet"}, r"weights to be read from elsewhere \(backbone_weights\)"),
        ({"backbone_weights": "other.keras"}, r"weights to be read from elsewhere \(backbone_weights\)"),
        ({"input_size": 10**9}, "input_size = 1000000000, 8192 is the most"),
        ({"input_size": 8192 - 8192 % 32}, "cannot be loaded|crops of 8192 pixels"),
        ({"backbone_width": 50.0}, "far more weights than are in the file"),
        ({"backbone": 7}, "cannot be loaded"),
        ({"nonsense": 1}, "cannot be loaded"),
    ],
)
def test_constructors_of_our_own(path, whole, settings, message):
    values = {"scheme": "aflw19", "backbone": "mobilenet_v2", "input_size": 32, "neighbors": None, **settings}
    config = entry("kfacealign.models.pipnet", "PIPNet", "kfacealign>PIPNet", **values)
    refused(packed(path, {**whole, CONFIG: json.dumps(config)}), message)


def test_sizes_beyond_reason(path, whole):
    refused(described(path, whole, lambda config: named(config, "Dense")["config"].update(units=10**9)), "16777216 is the most")
    refused(described(path, whole, lambda config: named(config, "Dense")["config"].update(units=10**7)), "cannot be loaded")
    many = {**whole, CONFIG: b"[" + b"1," * keras_config.MOST_PARTS + b"1]"}
    refused(packed(path, many), "too many parts")
    refused(packed(path, {**whole, CONFIG: b"[" * 100_000 + b"]" * 100_000}), "no JSON|no model")
    refused(packed(path, {**whole, CONFIG: b"no JSON"}), "no JSON")
    refused(packed(path, {**whole, CONFIG: b"[]"}), "not that of a model")

    def deepen(config):
        inner = config["config"]
        for _ in range(keras_config.DEEPEST + 1):
            inner["more"] = {}
            inner = inner["more"]

    refused(described(path, whole, deepen), "levels deep")


def test_weights_are_counted_only_inside_the_block():
    with bounded_weights(100, 2), pytest.raises(ValueError, match="far more weights"):
        keras.layers.Dense(100).build((None, 2))
    with bounded_weights(100, 2):
        keras.layers.Dense(3).build((None, 2))
    keras.layers.Dense(100).build((None, 2))


def test_another_kind_of_model(path):
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save(path)
    refused(path, "holds a Sequential, not a kfacealign model")
    assert isinstance(open_keras(path), keras.Sequential)


# === The weights ===


def weights(whole, change):
    """The members with an HDF5 file that a function has changed."""
    content = io.BytesIO(whole[WEIGHTS])
    with h5py.File(content, "r+") as file:
        change(file)
    return {**whole, WEIGHTS: content.getvalue()}


def first(file):
    """The group and the name of some kernel."""
    found = []
    file.visititems(lambda name, item: found.append(item) if isinstance(item, h5py.Dataset) and item.ndim == 2 else None)
    return found[0].parent, found[0].name.rpartition("/")[2]


def external(file):
    group, name = first(file)
    shape = group[name].shape
    del group[name]
    group.create_dataset(name, shape, "float32", external=[("secret.txt", 0, h5py.h5f.UNLIMITED)])


def virtual(file):
    group, name = first(file)
    layout = h5py.VirtualLayout(group[name].shape, "float32")
    layout[:] = h5py.VirtualSource("secret.h5", "x", shape=layout.shape)
    del group[name]
    group.create_virtual_dataset(name, layout)


def replaced(value):
    def change(file):
        group, name = first(file)
        del group[name]
        group[name] = value

    return change


def grown(**options):
    def change(file):
        group, name = first(file)
        del group[name]
        group.create_dataset(name, (2**14, 2**14), "float32", **options)

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (external, "lie in another file"),
        (virtual, "lie in another file"),
        (replaced(h5py.ExternalLink("secret.h5", "/x")), "a link to another place"),
        (replaced(h5py.SoftLink("/layers")), "a link to another place"),
        (lambda file: file.__setitem__("again", file["layers"]), "more than once"),
        (replaced("text"), "no array of numbers"),
        (replaced(h5py.Empty("float32")), "no array of numbers"),
        (grown(), "would take 1024 MiB, but are not stored"),
        (grown(chunks=(64, 64), compression="gzip"), "would take 1024 MiB"),
        (grown(chunks=(2**14, 2**13)), "in pieces of more than 64 MiB"),
        (grown(chunks=(64, 64), compression="lzf"), "packed as Keras packs nothing"),
    ],
    ids=["external", "virtual", "external link", "soft link", "twice", "text", "empty", "unwritten", "packed", "chunk", "lzf"],
)
def test_weights_that_no_model_has(path, whole, change, message):
    refused(packed(path, weights(whole, change)), f"is refused: its weights .*{message}")


def test_weights_that_are_no_numbers(path, whole):
    def spoil(file):
        group, name = first(file)
        group[name][0, 0] = np.nan

    refused(packed(path, weights(whole, spoil)), r"its weights are not finite \(")
    refused(packed(path, {**whole, WEIGHTS: whole[WEIGHTS][:3000]}), "is damaged or cut short: its weights cannot be read")
    refused(packed(path, weights(whole, replaced(np.zeros((5, 5), "float32")))), "cannot be loaded")


def test_damaged_files_end_in_errors_that_name_them(path, whole):
    """Bytes overwritten at random, of the zip, of the description and of the weights; each file loads or is refused."""
    rng = np.random.default_rng(0)
    good, outcomes = packed(path, whole).read_bytes(), []
    for number in range(60):
        member = (None, CONFIG, WEIGHTS)[number % 3]
        content = bytearray(good if member is None else whole[member])
        for place in rng.integers(0, len(content), 1 + number % 4):
            content[place] = rng.integers(256)
        if member is None:
            path.write_bytes(content)
        else:
            packed(path, {**whole, member: bytes(content)})
        try:
            keras_config.check_config(keras_archive.read_archive(path)[0])
            outcomes.append("read")
        except ValueError as error:
            assert str(path) in str(error) or member == CONFIG
            outcomes.append("refused")
    assert set(outcomes) == {"read", "refused"}


# === Elsewhere ===


def test_every_reader_of_keras_files_looks_first(path, whole, tmp_path):
    def change(config):
        named(config, "Dense")["config"]["activation"] = function("keras.config", "set_floatx")

    described(path, whole, change)
    with pytest.raises(ValueError, match="is refused: it names"):
        copy_backbone(path, None, "mobilenet_v2")
    state = {"checkpoint": path.name, "settings": {}, "history": []}
    (tmp_path / "state.json").write_text(json.dumps(state))
    with pytest.raises(ValueError, match="is refused: it names"):
        checkpoint.load_state(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"checkpoint": 5}, "its checkpoint is none"),
        ({"checkpoint": "../m.keras"}, "its checkpoint is none"),
        ({"checkpoint": None}, "its checkpoint is none"),
        ({"settings": []}, "its settings is none"),
        ({"history": 3}, "its history is none"),
        ({"history": [1]}, "its history is none"),
    ],
)
def test_states_of_other_kinds(tmp_path, change, message):
    (tmp_path / "state.json").write_text(json.dumps({"checkpoint": "c.keras", "settings": {}, "history": [], **change}))
    with pytest.raises(ValueError, match=f"state.json is not a run's state .{message}"):
        checkpoint.read_state(tmp_path)


@pytest.mark.parametrize("text", ["[]", "5", "{", "[" * 100_000])
def test_states_that_are_none(tmp_path, text):
    (tmp_path / "state.json").write_text(text)
    with pytest.raises(ValueError, match=r"state.json is not a run's state"):
        checkpoint.read_state(tmp_path)
