"""Presets: bundling, loading and describing bundled models, and what `--model` means to the commands."""

import functools
import json
import os
import runpy
import shlex
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
SPOTS = [{"group": "yaw 0 to 15 degrees", "faces": 7, "nme": 3.25, "box": 2.0, "of": "yaw", "from": 0, "to": 15}]
SPOTS += [{"group": "yaw 15 to 30 degrees", "faces": 7, "nme": 8.5, "box": 5.0, "of": "yaw", "from": 15, "to": 30}]
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
    with pytest.raises(FileNotFoundError, match=r"lotr_lite0_ibug68\.json is missing.*preset_lotr\.py.*make lotr_lite0_ibug68"):
        kfa.from_preset("lotr_lite0_ibug68")
    with pytest.raises(ValueError, match="no preset is called 'nobody'; there are tiny_ibug68, pipnet"):
        kfa.from_preset("nobody")
    with pytest.raises(ValueError, match="format is one of keras, tflite, not 'onnx'"):
        kfa.from_preset(TINY, format="onnx")


@pytest.fixture(scope="module")
def unseen(tmp_path_factory):
    """Name of a scheme -> the same eight drawn faces with its points."""
    root, drawn = tmp_path_factory.mktemp("unseen"), {"train": 1, "test": 8, "seed": 77, "size": 160, "progress": False}
    return functools.cache(lambda name: kfa.data.pts(kfa.data.write_pts(root / name, scheme=name, **drawn), scheme=name).test)


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
    low, high = figures["interval"]
    assert low <= figures["keras"]["nme"] <= high and figures["resampled"] == "faces"
    described = kfa.from_preset(TINY, format="tflite").metadata
    assert described["licence"] == "a few drawings: Apache-2.0" and described["training_data"] == "a few drawings"
    assert [(band["of"], band["to"], band["error"]) for band in described["errors"]] == [("yaw", 15, 2.0), ("yaw", 30, 5.0)]


def test_a_model_of_more_points_is_measured_by_those_that_the_faces_have():
    """98 true points are read as 68: what is converted, and its scores, are worked out by the table of the conversion."""
    faces98, faces68 = (kfa.data.SyntheticFaces(seed=5).render(2).landmarks[name][None] for name in ("wflw98", "ibug68"))

    class Exact:
        scheme, input_size, enlarge = "wflw98", 256, 1.2

        def align(self, images, **given):
            return faces98, np.arange(98.0)[None]

    converted = bundling.Converted(Exact(), kfa.schemes.get("ibug68"))
    landmarks, scores = converted.align(np.zeros((1, 256, 256, 3), "uint8"))
    assert (converted.input_size, converted.enlarge) == (256, 1.2)
    eyes = kfa.schemes.get("ibug68").regions["eyes"]
    assert landmarks.shape == (1, 68, 2) and scores.shape == (1, 68)
    np.testing.assert_allclose(landmarks[0, [36, 45, 30]], faces68[0, [36, 45, 30]], atol=0.2)
    np.testing.assert_allclose(landmarks[0, list(eyes)], faces68[0, list(eyes)], atol=2.5)
    assert scores[0, [0, 1, 36]].tolist() == [0, 2, 60]
    with pytest.raises(ValueError, match="wflw98"):
        bundling.Converted(Exact(), kfa.schemes.get("jd106"))


def test_users_are_told_how_far_a_head_may_turn(bundled, tmp_path, capsys):
    sentence = "Do not use beyond 15 degrees of yaw: from there the error is 5.00 % of the box"
    assert sentence in (bundled / f"{TINY}.md").read_text()
    assert main(["export", "--model", TINY, "--out", str(tmp_path / "again.tflite")]) == 0
    assert main(["inspect", str(tmp_path / "again.tflite")]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert sentence in shown and "yaw 15 to 30 degrees" in shown
    described = kfa.deploy.load(tmp_path / "again.tflite").metadata
    assert described["licence"] == "a few drawings: Apache-2.0"


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
        for format in card["files"]:
            total += kfa.presets.path(name, format=format).stat().st_size  # raises where the checksum differs
    assert total < 70e6


@pytest.mark.skipif("KFACEALIGN_DATA" not in os.environ, reason="KFACEALIGN_DATA names no folder of real data")
def test_the_default_has_the_error_of_its_card_on_real_faces():
    faces = kfa.data.pts(Path(os.environ["KFACEALIGN_DATA"]) / "ytf68").test
    figures = kfa.presets.card(store.DEFAULT)["figures"]
    report = kfa.evaluation.evaluate(kfa.from_preset(format="tflite"), faces).summary()
    assert figures["faces"] == len(faces) == 396
    assert report["nme"] == pytest.approx(figures["tflite"]["nme"], abs=0.02) and report["nme"] < 4.2


@pytest.mark.parametrize("name", [name for name in store.RECIPES if "clean" in name])
def test_the_line_of_a_clean_card_runs_from_an_empty_folder(name):
    """Its recipes take all of its flags, none needs photographs, and each stage begins with what one before wrote."""
    made = {"CLEAN68"}  # the folder of pipnet_lite0_clean_ibug68, whose backbone those of 98 and 106 points begin with
    for stage in kfa.presets.card(name)["command"].split("; "):
        interpreter, script, *argv = shlex.split(stage)
        assert interpreter == "python" and "--data-dir" not in argv
        recipe = runpy.run_path(str(Path(__file__).parents[1] / script))
        shared = kfa.training.rendered_and_real
        settings = kfa.training.parse_settings(
            "", recipe["PAPER"], recipe["QUICK"], datasets=shared.ALONE, flags=shared.FLAGS, argv=argv
        )
        assert settings.dataset.startswith("synthetic") and settings.seed == 0
        for source in (settings.begin_with, settings.backbone_weights):
            assert source in (None, "imagenet") or (Path(source).parent.name in made and Path(source).name == "model.keras")
        made.add(Path(settings.out).name)


@pytest.mark.parametrize("name", list(store.RECIPES))
def test_each_preset_finds_rendered_faces_that_none_was_trained_on(name, unseen):
    """All files are measured; the mean face itself is off by more than 15 %."""
    for format in kfa.presets.card(name)["files"]:
        report = kfa.evaluation.evaluate(kfa.from_preset(name, format=format), unseen(kfa.presets.card(name)["scheme"]))
        assert report.summary()["nme"] < 12


def test_a_preset_may_be_a_keras_file_alone(made, faces, tmp_path, monkeypatch):
    monkeypatch.setattr(bundling, "latency", measured)
    monkeypatch.setattr(store, "FOLDER", tmp_path / "bundled")
    run = made[0].parent / "run" / "model.keras"
    arguments = ["presets", "make", TINY, "--model", run, "--data-dir", faces, "--out", tmp_path / "bundled"]
    assert main([str(argument) for argument in [*arguments, "--only-keras", "--people"]]) == 0
    assert sorted(file.suffix for file in (tmp_path / "bundled").glob("tiny*")) == [".json", ".keras", ".md"]
    card = kfa.presets.card(TINY)
    assert list(card["files"]) == ["keras"] and "tflite" not in card["figures"] and card["latency"]["ms"] == 0.5
    assert card["figures"]["resampled"] == "people" and "tflite" not in cards.markdown(card).split("## Figures")[0]
    assert store.chosen(TINY).endswith(f"{TINY}.keras")
    with pytest.raises(ValueError, match=f"{TINY} is bundled as .keras alone: kfacealign export --model {TINY}"):
        kfa.from_preset(TINY, format="tflite")


@pytest.mark.parametrize(
    ("part", "changed", "wrong"),
    [
        ("figures", {"interval": [1.0]}, "figures.interval"),
        ("figures", {"interval": [1.0, "2"]}, "figures.interval.1"),
        ("figures", {"interval": [1.0, 2.0], "resampled": None}, "figures.resampled"),
        ("figures", {"tflite": {"nme": 1.0}}, "figures.tflite.fr@10"),
        ("files", {"tflite": 1}, "files.tflite"),
        ("weak_spots", [{**SPOTS[0], "to": "15"}], "weak_spots.to"),
        ("weak_spots", [{**SPOTS[0], "to": 400}], "weak_spots"),
    ],
)
def test_what_a_card_may_lack_is_looked_at_where_it_is_there(copied, part, changed, wrong):
    card = json.loads((copied / f"{TINY}.json").read_text())
    card[part] = {**card[part], **changed} if isinstance(changed, dict) else changed
    (copied / f"{TINY}.json").write_text(json.dumps(card))
    with pytest.raises(ValueError, match=f"its {wrong} is missing or of another kind"):
        kfa.presets.card(TINY)


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
