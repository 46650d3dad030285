import argparse
import csv
import dataclasses
import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import time

import cv2
import keras
import numpy as np
import pytest

import kfacealign as kfa
from kfacealign.files import lock
from kfacealign.process import guarded
from kfacealign.training import loop
from kfacealign.training.checkpoint import write_history

SCRIPT = """
import keras
import kfacealign as kfa

def build():
    image = keras.Input((64, 64, 3))
    x = keras.layers.Conv2D(16, 7, strides=4, padding="same", activation="relu")(keras.ops.multiply(image, 1 / 255))
    x = keras.layers.BatchNormalization()(x)
    network = keras.Model(image, {"heatmap_1": keras.layers.Conv2D(68, 3, padding="same")(x)})
    return kfa.models.FaceAligner(network, kfa.codecs.Heatmap(16, 1.5), "ibug68")

def recipe():
    paper = dict(input_size=64, epochs=4, warmup_epochs=2, batch_size=4, learning_rate=1e-3, drops=(3,))
    settings = kfa.training.parse_settings("a test", paper, {})
    faces = kfa.data.load_dataset(settings.dataset, settings.data_dir, scheme=settings.scheme)
    kfa.training.run(build, faces, kfa.data.RandomView(scheme="ibug68"), settings, export=kfa.deploy.export)

kfa.training.main(recipe)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Twelve faces of random pixels whose landmarks are the mean shape, moved about."""
    root = tmp_path_factory.mktemp("faces")
    rng = np.random.default_rng(0)
    shape = kfa.schemes.get("ibug68").mean_shape
    for part, count in (("train", 12), ("test", 4)):
        (root / part).mkdir()
        for index in range(count):
            cv2.imwrite(str(root / part / f"{index}.png"), rng.integers(0, 256, (80, 80, 3), "uint8"))
            points = shape * 60 + rng.uniform(0, 20, (1, 2))
            lines = [f"{x + 0.5:.3f} {y + 0.5:.3f}" for x, y in points]
            (root / part / f"{index}.pts").write_text("\n".join(["version: 1", "n_points: 68", "{", *lines, "}"]))
    return root


def start(folder, out, *flags):
    command = [sys.executable, "-c", SCRIPT, "--dataset", "pts", "--data-dir", str(folder), "--out", str(out), *flags]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def history(out):
    with open(out / "history.csv", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def finished(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "whole"
    process = start(folder, out)
    printed, errors = process.communicate()
    assert process.returncode == 0, errors
    return out, printed


def test_a_run_writes_what_it_says(finished):
    out, printed = finished
    for name in ("model.keras", "history.csv", "report.json", "ced.png", "predictions.png", "model.tflite"):
        assert (out / name).stat().st_size > 0
        assert name in printed
    assert [row["phase"] for row in history(out)] == ["warmup", "warmup", "training", "training"]
    rates = [float(row["learning_rate"]) for row in history(out)]
    assert rates == pytest.approx([1e-3, 1e-3, 1e-3, 1e-4])
    assert json.loads((out / "report.json").read_text())["align"] == "box"
    assert not list(out.glob(".writing-*"))


def test_a_killed_run_goes_on_and_gives_the_same_history(folder, finished, tmp_path):
    """Killed as soon as the second epoch is on disk, somewhere in the third."""
    process = start(folder, tmp_path)
    while len(json.loads((tmp_path / "state.json").read_text())["history"] if (tmp_path / "state.json").exists() else []) < 2:
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    before = history(tmp_path)
    assert 2 <= len(before) < 4

    refused = start(folder, tmp_path)
    assert "--resume" in refused.communicate()[1] and refused.returncode == 2
    other = start(folder, tmp_path, "--resume", "--seed", "3")
    assert "seed was 0 and is 3" in other.communicate()[1]

    resumed = start(folder, tmp_path, "--resume")
    printed, errors = resumed.communicate()
    assert resumed.returncode == 0, errors
    assert f"resumed after epoch {len(before)}" in printed
    whole, parts = history(finished[0]), history(tmp_path)
    assert len(parts) == 4
    for expected, row in zip(whole, parts, strict=True):
        for name in ("loss", "val_loss", "nme", "val_nme"):
            assert float(row[name]) == pytest.approx(float(expected[name]), rel=1e-3)


def test_a_missing_directory_is_one_line(tmp_path):
    process = start(tmp_path / "nowhere", tmp_path / "out")
    errors = process.communicate()[1].strip().splitlines()
    assert process.returncode == 2
    assert errors[-1].startswith("error: ") and "nowhere" in errors[-1]


# === Runs in this process, of a network that does next to nothing ===


def small_network():
    image = keras.Input((16, 16, 3))
    points = keras.layers.Reshape((68, 2))(keras.layers.Dense(136)(keras.layers.GlobalAveragePooling2D()(image)))
    return kfa.models.FaceAligner(keras.Model(image, {"landmarks": points}), kfa.codecs.Coordinates(), "ibug68")


def small_settings(out, **changed):
    values = {"input_size": 16, "batch_size": 4, "learning_rate": 1e-3, "drops": [], "warmup_epochs": 0, "epochs": 1, "seed": 0}
    flags = {name: False for name in ("resume", "strict")}
    return argparse.Namespace(**{**values, **flags, "out": str(out), "cache": "memory", **changed})


@pytest.fixture
def unreadable(folder):
    """The faces of the folder, and one more whose photograph is cut off and whose name is no UTF-8."""
    faces = kfa.data.pts(folder, scheme="ibug68")
    bad = folder / os.fsdecode(b"caf\xe9 [bold] $x^{$.jpg")
    bad.write_bytes(b"\xff\xd8\xff no photograph")
    points = faces.train.landmarks[:1]
    more = kfa.data.Faces("ibug68", [*faces.train.images, bad], np.concatenate([faces.train.landmarks, points]))
    test = kfa.data.Faces("ibug68", [*faces.test.images, bad], np.concatenate([faces.test.landmarks, points]))
    yield dataclasses.replace(faces, train=more, test=test, subsets={"$x^{$ [/b]": np.arange(2)})
    bad.unlink()


def test_a_strict_run_names_the_photograph_and_others_go_on(unreadable, tmp_path, capsys):
    def strict():
        kfa.training.run(small_network, unreadable, None, small_settings(tmp_path / "strict", strict=True))

    assert guarded("", strict) == 2
    printed = capsys.readouterr().err.splitlines()
    assert len(printed) == 1 and "caf\\xe9 [bold] $x^{$.jpg: cannot be read" in printed[0]
    assert not (tmp_path / "strict" / "history.csv").exists()

    out = tmp_path / "run [/b] $x^{$"
    with pytest.warns(UserWarning, match="cannot be read"):
        _, report = kfa.training.run(small_network, unreadable, None, small_settings(out))
    told = capsys.readouterr().out
    assert "training set: 13 face crops" in told and told.count("caf\\xe9 [bold] $x^{$.jpg (") == 2
    assert f"  {out / 'report.html'}\n" in told and "$x^{$ [/b]" in told
    assert report.names[-1].endswith("caf\\xe9 [bold] $x^{$.jpg")
    assert {"model.keras", "report.html", "predictions.npz", "ced.png"} <= {path.name for path in out.iterdir()}


def test_a_second_run_does_not_get_the_folder(folder, tmp_path):
    faces = kfa.data.pts(folder, scheme="ibug68")
    with lock(tmp_path), pytest.raises(BlockingIOError, match=rf"in use by process {os.getpid()} on .*; choose another --out"):
        kfa.training.run(small_network, faces, None, small_settings(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_run_left_is_brought_in_order(folder, tmp_path):
    """Killed after the state was written and before the history was; beside it lie a half checkpoint and an older one."""
    faces = kfa.data.pts(folder, scheme="ibug68")
    kfa.training.run(small_network, faces, None, small_settings(tmp_path))
    whole = (tmp_path / "history.csv").read_bytes()
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    (tmp_path / "history.csv").write_text("epoch\n")
    for name in ("checkpoint-0000.keras", f".checkpoint-0002.{dead.pid}.keras", f".other.{dead.pid}.txt"):
        (tmp_path / name).touch()
    kfa.training.run(small_network, faces, None, small_settings(tmp_path, resume=True))
    assert (tmp_path / "history.csv").read_bytes() == whole
    assert [path.name for path in tmp_path.glob("checkpoint-*")] == ["checkpoint-0001.keras"]
    assert {path.name for path in tmp_path.glob(".*")} == {f".other.{dead.pid}.txt"}


def test_a_full_disk_names_the_file_and_leaves_a_state_that_resumes(folder, tmp_path):
    faces = kfa.data.pts(folder, scheme="ibug68")
    kfa.training.run(small_network, faces, None, small_settings(tmp_path))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, hard))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            kfa.training.run(small_network, faces, None, small_settings(tmp_path, resume=True, epochs=2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.filename == str(tmp_path / "checkpoint-0002.keras")
    assert len(history(tmp_path)) == 1
    kfa.training.run(small_network, faces, None, small_settings(tmp_path, resume=True, epochs=2))
    assert [row["epoch"] for row in history(tmp_path)] == ["1", "2"]


def test_crops_are_cut_as_the_settings_say(folder, tmp_path, monkeypatch, capsys):
    module = importlib.import_module("kfacealign.training.loop")
    faces, seen = kfa.data.pts(folder, scheme="ibug68"), []
    monkeypatch.setattr(module, "fit", lambda model, train, test, *rest, **options: seen.extend((train.align, test.align)))
    monkeypatch.setattr(module, "finish", lambda *arguments: None)
    settings = small_settings(tmp_path)

    def run():
        return kfa.training.run(small_network, faces, None, settings)[1]

    assert run().align == "box"  # settings that say nothing, as those of other programs
    assert "five points" not in capsys.readouterr().out
    settings.align = "five_points"
    assert run().align == "five_points" and seen == ["box"] * 2 + ["five_points"] * 2
    assert "kfacealign align --five-points" in " ".join(capsys.readouterr().out.split())


def test_step_decay():
    rates = [kfa.training.step_decay(5e-6, (30, 50))(epoch, None) for epoch in (0, 29, 30, 49, 50, 59)]
    assert rates == pytest.approx([5e-6, 5e-6, 5e-7, 5e-7, 5e-8, 5e-8])


def test_cosine_decay():
    """Half a cosine: the whole rate, half of it in the middle, 0 after the last epoch."""
    schedule = loop.rates(argparse.Namespace(learning_rate=2e-3, decay="cosine", epochs=4, drops=[]))
    assert [schedule(epoch, None) for epoch in (0, 1, 2, 4)] == pytest.approx([2e-3, 1e-3 + 1e-3 / 2**0.5, 1e-3, 0])
    with pytest.raises(ValueError, match="leave out --drops"):
        loop.rates(argparse.Namespace(learning_rate=2e-3, decay="cosine", epochs=4, drops=[2]))
    assert loop.rates(argparse.Namespace(learning_rate=2e-3, drops=[1]))(1, None) == pytest.approx(2e-4)


def test_scales_give_defaults_and_flags_go_before_them():
    values = {
        "variant": "tiny",
        "input_size": 256,
        "epochs": 60,
        "warmup_epochs": 0,
        "batch_size": 16,
        "learning_rate": 5e-6,
        "drops": (30, 50),
    }

    def parse(*argv):
        return kfa.training.parse_settings("", values, {"epochs": 5}, variants=("tiny",), argv=argv)

    assert parse().epochs == 60 and parse().drops == [30, 50] and parse().out == os.path.join("runs", "wflw_tiny")
    assert parse("--scale", "quick").epochs == 5
    assert parse("--scale", "quick", "--epochs", "7").epochs == 7


def test_history_has_a_column_for_every_value(tmp_path):
    write_history(tmp_path / "h.csv", [{"epoch": 1, "a": 0.5}, {"epoch": 2, "b": 0.25}])
    assert (tmp_path / "h.csv").read_text().splitlines() == ["epoch,a,b", "1,0.5,", "2,,0.25"]
