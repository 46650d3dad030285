"""The tables about models: the leaderboard of the methods, and where a model is weak."""

import importlib.util
import json
import types
from pathlib import Path

import keras
import numpy as np
import pytest

import kfacealign as kfa
from kfacealign.data.rendered.synthetic import SyntheticFaces
from kfacealign.evaluation.comparison import bootstrap_interval
from kfacealign.presets.bundling import read_weak_spots

ROOT = Path(__file__).parents[1]


def script(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "benchmarks" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def board():
    return script("leaderboard")


@pytest.fixture(scope="module")
def spots():
    return script("weak_spots")


# === The leaderboard ===


def test_rows_are_trained_alike_but_for_what_the_table_says(board, monkeypatch):
    monkeypatch.setattr(board, "own_methods", lambda scheme, size: {})  # those that other tests have defined
    arguments = board.parse(["--data-dir", "x", "--every", "3"])
    found = board.methods(kfa.schemes.get("ibug68"), arguments)
    assert list(found) == ["HIH", "FAN, subpixel", "attentive 1D heatmaps", "PIPNet", "LOTR"]
    settings = {name: board.settings_of(arguments, folder, changed, 0) for name, (folder, _, changed, _) in found.items()}
    for name in ("epochs", "batch_size", "learning_rate", "decay", "input_size", "seed", "backbone", "backbone_weights"):
        assert len({str(getattr(its, name)) for its in settings.values()}) == 1
    warmed = {name for name, its in settings.items() if its.warmup_epochs}
    assert warmed == {"HIH", "FAN, subpixel", "attentive 1D heatmaps"}
    assert all("warm-up" in note for name, (*_, note) in found.items() if name in warmed)
    for build in (its for _, its, _, _ in found.values()):
        alike = ("input_size", "enlarge", "backbone", "backbone_weights")
        assert [build.keywords[name] for name in alike] == [128, 1.1, "efficientnet_lite0", "imagenet"]
    assert settings["HIH"].out == "runs/leaderboard/hih_0"


def test_minutes_are_those_of_the_training_not_of_reading_its_model(board, tmp_path):
    assert board.minutes_of(tmp_path, 4.5) == 4.5
    assert board.minutes_of(tmp_path, 0.1) == 4.5


def test_a_registered_method_of_another_module_is_a_row(board):
    """No list names it: it has the variants of its class, and crops of the size asked for."""

    @keras.saving.register_keras_serializable(package="a_leaderboard_test")
    class Answer(kfa.models.FaceAligner):
        variants = (kfa.models.Variant("short", {"words": 1}), kfa.models.Variant("long", {"words": 9}))

        def __init__(self, scheme, input_size=8, words=1):
            self.told = scheme.name, input_size, words

    rows = board.own_methods(kfa.schemes.get("ibug68"), 64)
    folder, build, settings, note = rows["Answer long"]
    assert (folder, settings) == ("answer_9", {"variant": "answer_9"}) and __name__.split(".")[-1] in note
    assert build.keywords == {"input_size": 64, "words": 9} and "Answer short" in rows
    assert not any(name.startswith(("HIH", "PIPNet")) for name in rows)


def report_of(errors, names):
    errors = np.asarray(errors, "float64")
    points = np.tile(kfa.schemes.get("ibug68").mean_shape * 100, (len(errors), 1, 1))
    length = np.linalg.norm(points[0, 36] - points[0, 45])
    moved = points + (errors / 100 * length)[:, None, None] * np.array([1.0, 0.0])
    return kfa.evaluation.report(points, moved, "ibug68", names=names)


def test_figures_and_their_intervals(board):
    rng = np.random.default_rng(0)
    errors = rng.uniform(2, 14, 40)
    report = report_of(errors, [f"Some_One_{i}" for i in range(40)])
    cells = board.figures(report, by_people=False)
    low, high = bootstrap_interval(report.counted_errors())
    assert cells[0] == f"{errors.mean():.2f} ({low:.2f} to {high:.2f})"
    assert cells[1].startswith(f"{100 * (errors > 10).mean():.2f} (")
    assert cells[2].startswith(f"{np.maximum(0, 1 - errors / 10).mean():.3f} (")


def test_the_table(board, tmp_path, monkeypatch):
    root = kfa.data.write_pts(tmp_path / "drawn", train=6, test=4, size=48, progress=False)
    asked = []

    def run(build, faces, views, settings, export):
        asked.append((settings.out, settings.backbone_weights, len(faces.train)))
        model = types.SimpleNamespace(trainable_weights=[np.zeros((1000, 250))])
        return model, report_of([4, 6, 8, 12], faces.test.names)

    monkeypatch.setattr(board.kfa.training, "run", run)
    monkeypatch.setattr(board, "bench", lambda paths, threads, runs: [types.SimpleNamespace(median=1.5) for _ in paths])
    command = ["--data-dir", str(root), "--backbone-weights", "none", "--every", "2", "--out", str(tmp_path), "--only"]
    for folder in ("fan_0", "lotr_0"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "minutes.txt").write_text("7.5")
    table = board.leaderboard(board.parse([*command, "FAN, subpixel", "LOTR"]))
    assert asked == [(str(tmp_path / "fan_0"), None, 3), (str(tmp_path / "lotr_0"), None, 3)]
    first, second = zip(*(column.cells for column in table.columns), strict=True)
    assert first[:2] == ("FAN, subpixel", "0")
    assert [cell.split(" (")[0] for cell in first[2:5]] == ["7.50", "25.00", "0.300"]
    assert second[5:] == ("0.25", "7.5", "1.50", "no dropout")
    assert "1 of the epochs as warm-up" in first[8]
    assert "3 training and 4 test faces" in table.title
    further = board.leaderboard(board.parse([*command, "LOTR", "--also", str(root), str(root)]))
    assert asked[-1][2] == 3 + 6 + 6 and "15 training and 4 test faces" in further.title
    with pytest.raises(SystemExit, match="no row is named so; there are HIH, "):
        board.leaderboard(board.parse([*command, "x"]))


# === Weak spots ===


def test_faces_are_told_before_they_are_drawn(spots):
    source = SyntheticFaces(7, size=48, ranges="full")
    for index in range(12):
        told, drawn = spots.facts(7, index), source.render(index).parameters
        assert all(told[angle] == abs(drawn[angle]) for angle in ("yaw", "pitch", "roll"))
        assert all(told[name] == drawn[name] for name in ("skin_tone", "glasses", "occluder", "infant"))


def test_rows_hold_the_faces_that_they_name(spots):
    rows = spots.groups()
    named = ("all as they come", "yaw 30 to 45 degrees", "yaw 75 to 90 degrees", "roll 90 to 135 degrees", "infants", "glasses")
    wanted = {name: rows[name] for name in named}
    numbers, members = spots.chosen(wanted, 4, seed=1)
    assert {name: len(places) for name, places in members.items()} == dict.fromkeys(wanted, 4)
    assert [numbers[place] for place in members["all as they come"]] == [0, 1, 2, 3]
    for place in members["yaw 30 to 45 degrees"]:
        face = spots.facts(1, numbers[place])
        assert 30 <= face["yaw"] < 45 and not face["glasses"] and not face["occluder"]
        assert face["roll"] < 45 and not face["infant"] and not face["bad"]
    upside_down, infant = (spots.facts(1, numbers[members[name][0]]) for name in ("roll 90 to 135 degrees", "infants"))
    assert 90 <= upside_down["roll"] < 135 and upside_down["yaw"] < 15
    assert infant["infant"] and infant["roll"] < 45
    for place in members["glasses"]:
        face = spots.facts(1, numbers[place])
        assert face["glasses"] == 1 and face["yaw"] < 15
    # A row that nothing fits stays empty and ends the search.
    assert spots.chosen({"nobody": lambda face: False}, 1, 0)[1]["nobody"].size == 0


class Exact:
    """Sees the mean shape in every crop."""

    scheme, input_size, enlarge = kfa.schemes.get("ibug68"), 32, 1.25

    def align(self, images, verbose=0):
        assert images.shape[1:] == (32, 32, 3)
        return np.tile(self.scheme.mean_shape, (len(images), 1, 1)), np.ones((len(images), 68))


def test_the_table_of_a_model(spots, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(kfa.deploy, "load", lambda path: Exact())
    monkeypatch.setattr(spots, "groups", lambda: {"all": lambda face: True, "nobody": lambda face: False})
    monkeypatch.setattr("sys.argv", ["weak_spots.py", str(tmp_path / "m.keras"), "--faces", "3", "--size", "64"])
    spots.main()
    everyone, nobody = json.loads((tmp_path / "weak_spots.json").read_text())
    report = spots.measured(Exact(), [0, 1, 2], spots.SEED, 64)
    assert everyone["faces"] == 3 and everyone["nme"] == pytest.approx(report.summary()["nme"])
    assert everyone["low"] <= everyone["nme"] <= everyone["high"] and 0 < everyone["box"] < everyone["nme"] < 60
    assert nobody == {"group": "nobody", "faces": 0, "nme": None, "low": None, "high": None, "fr@10": None, "box": None}
    assert read_weak_spots(tmp_path / "weak_spots.json")[1] == {"group": "nobody", "faces": 0, "nme": None, "box": None}
    assert "weak_spots.json" in "".join(capsys.readouterr().out.split())  # the console breaks long lines
