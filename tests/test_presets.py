"""Presets: bundling, loading and describing bundled models, and what `--model` means to the commands."""

import argparse
import json
import os
import zipfile
from pathlib import Path

import cv2
import h5py
import keras
import numpy as np
import pytest

import kfacealign as kfa
from kfacealign import models
from kfacealign.cli.main import main
from kfacealign.codecs import Coordinates
from kfacealign.losses import L2
from kfacealign.presets import bundling, cards, float16, store
from kfacealign.training import rendered_and_real

TINY = "tiny_ibug68"
FACTS = {
    "data": [{"name": "a few drawings", "faces": 4, "licence": "Apache-2.0"}],
    "splits": "none to speak of",
    "augmentation": {"rotation": 25.0, "scale": [0.85, 1.2]},
    "command": "python recipes/tiny.py",
    "seed": 3,
    "epochs": 2,
    "hardware": "a CPU",
    "limits": ["Knows nothing."],
}
SPOTS = [{"group": "yaw 0 to 15 degrees", "faces": 7, "nme": 3.25, "box": 2.0}]
SPOTS += [{"group": "hand", "faces": 0, "nme": None, "box": None}]


def tiny(layer=None):
    """Coordinates around the mean shape, moved a little by the content of the image."""
    scheme = kfa.schemes.get("ibug68")
    image = keras.Input((32, 32, 3), name="image")
    x = keras.ops.multiply(image, 1 / 255)
    x = keras.layers.Conv2D(8, 3, strides=2, activation="relu", name="conv")(x)
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    if layer is not None:
        x = layer(x)
    dense = keras.layers.Dense(136, kernel_initializer=keras.initializers.RandomNormal(stddev=0.05, seed=1), name="points")
    landmarks = keras.layers.Reshape((68, 2), name="landmarks")(dense(x))
    dense.bias.assign(scheme.mean_shape.ravel())
    model = models.FaceAligner(keras.Model(image, {"landmarks": landmarks}), Coordinates(L2()), scheme, enlarge=1.2)
    # Float16 cannot hold this variance; batch statistics may be as large.
    model.network.get_layer("norm").moving_variance.assign(np.float32([1e5] + 7 * [0.05]))
    return model


def measured(file, threads):
    return {"ms": 0.5, "threads": threads, "runs": 1, "runtime": "TFLite", "machine": "a machine"}


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    root = kfa.data.write_pts(tmp_path_factory.mktemp("faces") / "drawn", train=2, test=4, size=96, progress=False)
    return root


@pytest.fixture(scope="module")
def made(tmp_path_factory, faces):
    """A folder with a tiny preset that the command made, and the model that it was made of."""
    root = tmp_path_factory.mktemp("presets")
    keras.utils.set_random_seed(0)
    model = tiny()
    (root / "run").mkdir()
    model.save(root / "run" / "model.keras")
    (root / "run" / "facts.json").write_text(json.dumps(FACTS))
    (root / "run" / "weak_spots.json").write_text(json.dumps(SPOTS))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bundling, "latency", measured)
        arguments = ["presets", "make", TINY, "--model", root / "run/model.keras", "--data-dir", faces, "--out", root / "bundled"]
        assert main([str(argument) for argument in arguments]) == 0
    return root / "bundled", model


@pytest.fixture
def bundled(made, monkeypatch):
    """The tiny preset, as the default and the only one that is bundled."""
    monkeypatch.setattr(store, "FOLDER", made[0])
    monkeypatch.setattr(store, "DEFAULT", TINY)
    return made[0]


@pytest.fixture
def copied(bundled, tmp_path, monkeypatch):
    """A copy of the tiny preset that may be damaged."""
    for file in bundled.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    monkeypatch.setattr(store, "FOLDER", tmp_path)
    return tmp_path


def crops(count=4):
    noise = np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3))
    return (noise * np.linspace(0.2, 1, count)[:, None, None, None]).astype("uint8")


# === Files ===


def test_both_files_say_what_the_model_says(bundled, made):
    expected, scores = made[1].align(crops(), verbose=0)
    assert expected.std(0).max() > 1e-3  # the images matter
    model = kfa.from_preset(TINY)
    assert type(model) is models.FaceAligner and model.enlarge == 1.2 and not model.compiled
    assert {variable.dtype for variable in model.variables} == {"float32"}
    np.testing.assert_allclose(model.align(crops(), verbose=0)[0], expected, atol=2e-3)
    runtime = kfa.from_preset(TINY, format="tflite", threads=1)
    assert isinstance(runtime, kfa.deploy.LiteRTAligner) and runtime.threads == 1
    landmarks, found = runtime.align(crops())
    np.testing.assert_allclose(landmarks, expected, atol=2e-3)
    np.testing.assert_allclose(found, scores, atol=1e-3)


def test_kernels_are_halved_and_vectors_are_not(bundled):
    with zipfile.ZipFile(bundled / f"{TINY}.keras") as archive, h5py.File(archive.open(float16.WEIGHTS)) as file:
        names = []
        file.visit(names.append)
        found = [file[name][()] for name in names if isinstance(file[name], h5py.Dataset)]
    kernels = [values for values in found if values.ndim > 1]
    assert len(kernels) == 2 and all(values.dtype == np.float16 for values in kernels)
    vectors = [values for values in found if values.ndim == 1]
    assert len(vectors) == 6 and all(values.dtype == np.float32 for values in vectors)
    assert any(values.max() == 1e5 for values in vectors)  # beyond float16


def test_a_weight_beyond_float16_is_refused(tmp_path):
    model = tiny()
    model.network.get_layer("points").kernel.assign(np.full((8, 136), 1e5, "float32"))
    with pytest.raises(ValueError, match=r"not finite in float16 .the largest is 100000"):
        float16.save_halved(model, tmp_path / "m.keras")
    assert not list(tmp_path.iterdir())


def test_a_file_with_code_in_it_is_not_run(copied):
    whole = tiny(keras.layers.Lambda(lambda x: x + 0))
    float16.save_halved(whole, copied / f"{TINY}.keras")
    card = json.loads((copied / f"{TINY}.json").read_text())
    card["files"]["keras"]["sha256"] = store.checksum(copied / f"{TINY}.keras")
    (copied / f"{TINY}.json").write_text(json.dumps(card))
    with pytest.raises(ValueError, match=r"tiny_ibug68\.keras is refused: it names .*(?i:lambda)"):
        kfa.from_preset(TINY)


@pytest.mark.parametrize("format", store.FORMATS)
def test_another_file_in_its_place_is_named(copied, format):
    file = copied / f"{TINY}.{format}"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(ValueError, match=rf"tiny_ibug68\.{format}: not the file of the preset tiny_ibug68: its SHA-256 is"):
        kfa.from_preset(TINY, format=format)


def test_missing_files_and_names(copied):
    (copied / f"{TINY}.tflite").unlink()
    with pytest.raises(FileNotFoundError, match=r"tiny_ibug68\.tflite is missing: this copy of the package has no files"):
        kfa.from_preset(TINY, format="tflite")
    with pytest.raises(FileNotFoundError, match=r"lotr_m_ibug68\.json is missing.*recipes/preset_lotr\.py.*make lotr_m_ibug68"):
        kfa.from_preset("lotr_m_ibug68")
    with pytest.raises(ValueError, match="no preset is called 'nobody'; there are tiny_ibug68, pipnet"):
        kfa.from_preset("nobody")
    with pytest.raises(ValueError, match="format is one of keras, tflite, not 'onnx'"):
        kfa.from_preset(TINY, format="onnx")


@pytest.fixture(scope="module")
def unseen(tmp_path_factory):
    root = tmp_path_factory.mktemp("unseen")
    return kfa.data.pts(kfa.data.write_pts(root / "drawn", train=1, test=8, seed=77, size=160, progress=False))


# === Cards ===


def test_the_card_holds_figures_of_both_files(bundled, made, faces):
    card = kfa.presets.card(TINY)
    assert {name: card[name] for name in FACTS} == FACTS and card["weak_spots"] == SPOTS
    assert (card["class"], card["scheme"], card["input_size"], card["enlarge"]) == ("FaceAligner", "ibug68", 32, 1.2)
    assert card["parameters"] == 3 * 3 * 3 * 8 + 8 + 2 * 8 + 9 * 136
    report = kfa.evaluation.evaluate(made[1], kfa.data.pts(faces).test).summary()
    figures = card["figures"]
    assert (figures["set"], figures["faces"], figures["normalizer"]) == ("drawn test", 4, "inter_ocular")
    for format in store.FORMATS:
        assert figures[format]["nme"] == pytest.approx(report["nme"], abs=0.2)
        assert figures[format]["fr@10"] == pytest.approx(report["fr@10"])
        assert card["files"][format]["bytes"] == (bundled / f"{TINY}.{format}").stat().st_size
    described = kfa.from_preset(TINY, format="tflite").metadata
    assert described["licence"] == "a few drawings: Apache-2.0" and described["training_data"] == "a few drawings"


def test_the_text_is_made_of_the_card(bundled):
    text = (bundled / f"{TINY}.md").read_text()
    assert text == cards.markdown(kfa.presets.card(TINY))
    parts = ("# tiny_ibug68", "rotation 25, scale 0.85 to 1.2", "Seed 3, 2 epochs", "recipes/tiny.py", "| a few drawings | 4")
    for part in parts:
        assert part in text
    assert "| yaw 0 to 15 degrees | 7 | 3.25 | 2.00 |" in text and "| hand | 0 | - | - |" in text and "- Knows nothing." in text
    assert kfa.presets.card(TINY)["files"]["keras"]["sha256"] in text


def test_bundled_presets_are_whole_small_and_in_step_with_their_cards():
    total = 0
    assert kfa.presets.names() == list(store.RECIPES)
    for name in kfa.presets.names():
        card = kfa.presets.card(name)
        text = (store.FOLDER / f"{name}.md").read_text(encoding="utf-8")
        assert text == cards.markdown(card), f"{name}.md is not that of its card"
        for format in store.FORMATS:
            total += kfa.presets.path(name, format=format).stat().st_size  # raises where the checksum differs
    assert total < 70e6


@pytest.mark.skipif("KFACEALIGN_DATA" not in os.environ, reason="KFACEALIGN_DATA names no folder of real data")
def test_the_default_has_the_error_of_its_card_on_real_faces():
    faces = kfa.data.pts(Path(os.environ["KFACEALIGN_DATA"]) / "ytf68").test
    figures = kfa.presets.card(store.DEFAULT)["figures"]
    report = kfa.evaluation.evaluate(kfa.from_preset(format="tflite"), faces).summary()
    assert figures["faces"] == len(faces) == 396
    assert report["nme"] == pytest.approx(figures["tflite"]["nme"], abs=0.02) and report["nme"] < 4.2


@pytest.mark.parametrize("name", list(store.RECIPES))
def test_each_preset_finds_rendered_faces_that_none_was_trained_on(name, unseen):
    """Both files are measured; the mean face itself is off by more than 15 %."""
    for format in store.FORMATS:
        report = kfa.evaluation.evaluate(kfa.from_preset(name, format=format), unseen.test)
        assert report.summary()["nme"] < 12


def test_a_card_that_is_none_is_named(copied):
    (copied / "other.json").write_text("{}")
    with pytest.raises(ValueError, match=r"other\.json: no card of a preset, it lacks name, class"):
        kfa.presets.card("other")
    (copied / "other.json").write_text("{")
    with pytest.raises(ValueError, match=r"other\.json: no card of a preset"):
        kfa.presets.card("other")
    (copied / "other.json").write_bytes((copied / f"{TINY}.json").read_bytes())
    with pytest.raises(ValueError, match=r"other\.json: the card of tiny_ibug68, expected that of other"):
        kfa.presets.card("other")


# === Commands ===


def test_the_list(bundled, capsys):
    assert main(["presets"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "tiny_ibug68 (default)" in shown and "a few drawings (Apache-2.0)" in shown and "32 px" in shown
    assert "0.5 ms, 2 threads, a machine" in shown
    assert "not bundled in this copy" in shown and "recipes/preset_tracker.py" in shown
    assert main(["presets", "show", TINY]) == 0
    assert capsys.readouterr().out.strip() == (bundled / f"{TINY}.md").read_text().strip()


def test_align_without_a_model_takes_the_default(bundled, tmp_path, capsys):
    cv2.imwrite(str(tmp_path / "photo.png"), np.random.default_rng(0).integers(0, 255, (90, 120, 3), "uint8"))
    arguments = ["align", str(tmp_path / "photo.png"), "--box", "10,20,50,60", "--out"]
    assert main([*arguments, str(tmp_path / "a")]) == 0
    shown = capsys.readouterr().out
    assert "model: tiny_ibug68 (tflite), trained on a few drawings\n" in shown and shown.count("model: ") == 1
    assert main([*arguments, str(tmp_path / "b"), "--model", TINY, "--flip"]) == 0
    assert "model: tiny_ibug68 (keras), trained on a few drawings" in capsys.readouterr().out
    first, second = (json.loads((tmp_path / out / "photo.json").read_text())["faces"][0]["landmarks"] for out in "ab")
    assert np.abs(np.array(first) - second).max() < 20


def test_what_model_means(bundled, monkeypatch):
    assert kfa.presets.chosen() == str(bundled / f"{TINY}.tflite")
    assert kfa.presets.chosen(TINY, keras=True) == str(bundled / f"{TINY}.keras")
    for path in ("runs/x/model.keras", f"./{TINY}", "other"):
        assert kfa.presets.chosen(path) == path
    monkeypatch.setattr(store, "has_interpreter", lambda: False)
    assert kfa.presets.chosen() == str(bundled / f"{TINY}.keras")


def test_track_and_align_without_a_bundled_model_say_how_to_get_one(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(store, "FOLDER", tmp_path)
    cv2.imwrite(str(tmp_path / "1.png"), np.zeros((64, 64, 3), "uint8"))
    for arguments in (["align", str(tmp_path / "1.png")], ["track", str(tmp_path), "--out", str(tmp_path / "o.mp4")]):
        assert main(arguments) == 2
        shown = capsys.readouterr().err
        assert "is missing" in shown and "recipes/preset_pipnet.py" in shown and shown.count("\n") == 1


def test_what_cannot_be_made_is_one_line(made, faces, tmp_path, capsys):
    run = made[0].parent / "run"
    (tmp_path / "facts.json").write_text('{"data": []}')
    for arguments, message in (
        (["Tiny", "--model", run / "model.keras"], "small letters, digits and _"),
        (["tiny", "--model", "m.tflite"], "made of a model's .keras file"),
        (["tiny", "--model", tmp_path / "m.keras", "--card-from", tmp_path / "no.json"], "no.json is missing"),
        (["tiny", "--model", tmp_path / "m.keras"], "facts.json: lacks splits, augmentation, command, seed, epochs, limits"),
        (["tiny", "--model", run / "model.keras", "--data-dir", faces, "--clips"], "is a FaceAligner: --clips is for trackers"),
    ):
        assert main(["presets", "make", *map(str, arguments), "--out", str(tmp_path / "out")]) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


# === Training data ===


def test_rendered_and_real_faces_train_together(faces, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(rendered_and_real, "SYNTHETIC", {"train": 3, "test": 1, "seed": 0, "size": 64})
    settings = kfa.training.parse_settings("", {"dataset": "pts"}, {}, argv=["--data-dir", str(faces)])
    found, sources = rendered_and_real.rendered_and_real(settings)
    real = kfa.data.pts(faces)
    assert len(found.train) == 5 and found.name == "drawn" and found.normalizer == "inter_ocular"
    np.testing.assert_array_equal(found.train.landmarks[3:], real.train.landmarks)
    np.testing.assert_array_equal(found.test.landmarks, real.test.landmarks)
    assert sources == [
        {"name": "drawn", "faces": 2, "licence": "that of the dataset"},
        {"name": rendered_and_real.RENDERING[0], "faces": 3, "licence": "Apache-2.0"},
    ]


def test_the_training_faces_of_further_folders_come_as_often_as_asked(faces, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(rendered_and_real, "SYNTHETIC", {"train": 3, "test": 1, "seed": 0, "size": 64})
    argv = ["--data-dir", str(faces), "--also", str(faces / "test"), "--also-times", "3"]
    settings = kfa.training.parse_settings("", {"dataset": "pts", "also": (), "also_times": 2}, {}, argv=argv)
    found, sources = rendered_and_real.rendered_and_real(settings)
    further = kfa.data.pts(faces).test
    assert len(found.train) == 5 + 3 * len(further)
    np.testing.assert_array_equal(found.train.landmarks[5:], np.tile(further.landmarks, (3, 1, 1)))
    assert sources[2] == {"name": "test", "faces": len(further), "licence": "that of the dataset"}


def test_rendered_faces_alone_are_of_the_full_ranges_and_others_usual(faces, tmp_path, monkeypatch):
    """A preset that sees no photograph has to know profiles and tilted heads from drawings; the card says which were drawn."""
    monkeypatch.chdir(tmp_path)
    for module in (rendered_and_real, kfa.data.catalogue):
        monkeypatch.setattr(module, "SYNTHETIC", {"train": 2, "test": 1, "seed": 0, "size": 64})
    paper, quick = {"dataset": "pts", "ranges": "usual"}, {"dataset": "synthetic68", "ranges": "usual"}
    cases = (
        (["--dataset", "synthetic68"], "synthetic68_full", "full", "Trained on drawings alone"),
        (["--scale", "quick"], "synthetic68", "usual", "Trained on drawings alone"),
        (["--data-dir", str(faces)], "synthetic68", "usual", "Trained on a small set of frames"),
        (["--data-dir", str(faces), "--ranges", "full"], "synthetic68_full", "full", "Trained on a small set of frames"),
    )
    for argv, folder, ranges, sentence in cases:
        settings = kfa.training.parse_settings("", paper, quick, datasets=rendered_and_real.ALONE, argv=argv)
        found, _ = rendered_and_real.rendered_and_real(settings)
        drawn = [str(path) for path in found.train.images if "synthetic68" in str(path)]
        assert drawn == [str(Path("data") / folder / "train" / f"train_{number:05d}.jpg") for number in range(2)]
        assert json.loads((tmp_path / "data" / folder / "synthetic.json").read_text())["ranges"] == ranges
        limits = rendered_and_real.limits(settings)
        assert limits[0].startswith(sentence) and limits[1] == rendered_and_real.UNSEEN[ranges]


def test_joined_faces_keep_the_attributes_that_all_have():
    def some(count, occluded, **attributes):
        landmarks = np.random.default_rng(count).uniform(0, 9, (count, 68, 2))
        flags = {name: np.full(count, value) for name, value in attributes.items()}
        return kfa.data.Faces("ibug68", ["a"] * count, landmarks, attributes=flags, occluded=occluded)

    both = rendered_and_real.joined([some(2, np.ones((2, 68)), blur=True, pose=False), some(1, None, blur=False)])
    assert both.attributes.keys() == {"blur"} and both.attributes["blur"].tolist() == [True, True, False]
    assert len(both) == 3 and both.occluded is None


def test_clips_joined_are_the_clips_of_both():
    def clips(count, name):
        points = np.random.default_rng(count).uniform(0, 9, (3 * count, 68, 2))
        frames = kfa.data.Faces("ibug68", [f"{name}{i}" for i in range(3 * count)], points)
        return kfa.data.Clips(frames, np.arange(3 * count).reshape(count, 3), names=[f"{name}_{i}" for i in range(count)])

    first, second = clips(2, "a"), clips(1, "b")
    both = rendered_and_real.joined_clips([first, second])
    assert both.names == ["a_0", "a_1", "b_0"] and both.length == 3
    assert both[2].images == ["b0", "b1", "b2"] and both[1].images == ["a3", "a4", "a5"]
    np.testing.assert_array_equal(both[2].landmarks, second[0].landmarks)
    moving = kfa.data.moving_stills(first.frames, length=3)
    with pytest.raises(ValueError, match="clips with effects cannot be joined"):
        rendered_and_real.joined_clips([moving, second])


def test_facts_name_no_place_of_this_machine(tmp_path):
    settings = kfa.training.parse_settings("", {"epochs": 4}, {}, argv=["--out", str(tmp_path)])
    views = kfa.data.RandomView.paper("ibug68", scale=(0.9, 1.1))
    argv = ["/a/b/recipes/preset_x.py", "--data-dir", "/somewhere/else/ytf68", "--out", "runs/x", "--resume"]
    path = rendered_and_real.write_facts(
        settings, [rendered_and_real.source(rendered_and_real.known("ytf68"), 5)], views, argv, epochs="4 and more"
    )
    facts = bundling.read_facts(path)
    assert facts["command"] == "python recipes/preset_x.py --data-dir ytf68 --out runs/x"
    assert facts["epochs"] == "4 and more" and facts["seed"] == 0 and facts["augmentation"]["scale"] == [0.9, 1.1]
    assert facts["data"][0]["licence"] == "research use only"
    assert "/somewhere" not in path.read_text()


def test_a_card_says_what_the_training_began_with():
    def told(**settings):
        return rendered_and_real.begun_with(argparse.Namespace(**settings))

    assert told(begin_with="runs/a/model.keras", backbone_weights=None) == "model.keras"
    assert "Apache-2.0" in told(begin_with=None, backbone_weights="imagenet", backbone="efficientnet_lite0")
    assert told(backbone_weights="runs/b.keras", backbone="resnet18") == "the backbone of b.keras"
    assert told(begin_with=None) is None
