"""Pruned aligners: how many zeros, where, and how they come back; the fine-tuning run that recipes call."""

import argparse
import csv
from types import SimpleNamespace

import cv2
import keras
import numpy as np
import pytest
from tiny_networks import SIZE, crops, eagerly, labels, tiny_pipnet

pytest.importorskip("tf_keras", reason="quantisation-aware training is an extra")

import kfacealign as kfa
from kfacealign.deploy.compression import pruning, tuning

KEPT = {"first": (3, 3, 3, 16), "depthwise": (3, 3, 16, 1)}


@pytest.fixture(scope="module", autouse=True)
def eager():
    with eagerly():
        yield


@pytest.fixture(scope="module")
def pruned(tmp_path_factory):
    """A tiny PIPNet after four steps of training, in which three quarters of it were pruned."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        source = tiny_pipnet(monkeypatch)
        model = pruning.PrunedAligner(source, sparsity=0.75, end_step=3)
        untouched = model.trained_aligner()
        model.compile(keras.optimizers.Adam(1e-3))
        for _ in range(4):
            results = model.train_on_batch(crops(4), labels(4), return_dict=True)
        moved = pruning.sparsities(model.trained_aligner())
        model.mask()
        aligner = model.trained_aligner()
        yield SimpleNamespace(**locals())


def test_the_sparsity_is_reached_in_every_kernel_but_the_kept_ones(pruned):
    assert np.isfinite(pruned.results["loss"])
    shares = {name.split("/")[-1]: (weights, share) for name, weights, share in pruning.sparsities(pruned.aligner)}
    assert {name: shares.pop(name) for name in KEPT} == {name: (np.prod(shape), 0.0) for name, shape in KEPT.items()}
    # x and y are pruned as one kernel, those of the neighbours as another.
    for pair in (("x", "y"), ("neighbor_x", "neighbor_y")):
        (weights, first), (_, second) = (shares.pop(name) for name in pair)
        assert abs((first + second) / 2 - 0.75) <= 1 / weights
    assert set(shares) == {"branch", "squeeze_conv", "excite", "last", "score"}
    for weights, share in shares.values():
        assert abs(share - 0.75) <= 1 / weights
    # The optimiser's last step has moved the weights that were masked before it.
    before, after = (sum(share for _, _, share in rows) for rows in (pruned.moved, pruning.sparsities(pruned.aligner)))
    assert before < 0.7 * after


def test_an_unpruned_twin_gives_its_weights_back(pruned):
    for before, after in zip(pruned.source.network.get_weights(), pruned.untouched.network.get_weights(), strict=True):
        np.testing.assert_array_equal(after, before)


def test_the_pruned_model_is_an_ordinary_one(pruned, tmp_path, monkeypatch):
    tiny_pipnet(monkeypatch)
    pruned.aligner.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    assert type(loaded) is kfa.models.PIPNet
    assert pruning.sparsities(loaded) == pruning.sparsities(pruned.aligner)
    # The same numbers, eagerly, from the twin and from Keras' own layers.
    outputs, wanted = (model(crops(2, 1), training=False) for model in (loaded, pruned.model))
    for name in ("score", "x", "neighbor_y"):
        np.testing.assert_allclose(outputs[name], wanted[name], rtol=1e-4, atol=1e-4)
    pruned.source.save(tmp_path / "source.keras")
    assert pruning.zipped_size(tmp_path / "m.keras") < pruning.zipped_size(tmp_path / "source.keras")


@pytest.mark.parametrize(("sparsity", "end_step", "message"), [(1.0, 3, "between 0 and 1, got 1.0"), (0.5, 0, "at least 1")])
def test_shares_and_steps_that_are_none(pruned, sparsity, end_step, message):
    with pytest.raises(ValueError, match=message):
        pruning.PrunedAligner(pruned.source, sparsity=sparsity, end_step=end_step)


# === The run ===


def write_faces(root):
    """Four faces for training and two for testing, of random pixels."""
    rng = np.random.default_rng(0)
    for part, count in (("train", 4), ("test", 2)):
        (root / part).mkdir()
        for index in range(count):
            cv2.imwrite(str(root / part / f"{index}.png"), rng.integers(0, 256, (80, 80, 3), "uint8"))
            lines = [f"{x:.3f} {y:.3f}" for x, y in rng.uniform(10, 70, (19, 2))]
            (root / part / f"{index}.pts").write_text("\n".join(["version: 1", "n_points: 19", "{", *lines, "}"]))
    return kfa.data.pts(root, scheme="aflw19")


def settings_of(tmp_path, *flags):
    values = {"dataset": "pts", "epochs": 1, "batch_size": 4, "learning_rate": 1e-3, "drops": ()}
    presets = {name: (values, {**values, "learning_rate": 1e-2}) for name in ("paper", "quick")}
    command = ["--model", str(tmp_path / "source.keras"), "--out", str(tmp_path / "out"), *flags]
    return tuning.parse_settings("a test", presets, argv=command)


def test_a_run_goes_on_where_it_was_stopped(pruned, tmp_path, monkeypatch):
    tiny_pipnet(monkeypatch)
    pruned.source.save(tmp_path / "source.keras")
    faces = write_faces(tmp_path)
    # Another test checks the results.
    monkeypatch.setattr(tuning, "finish", lambda console, source, model, *rest: model)
    flags = ("--sparsity", "0.5", "--data-dir", str(tmp_path))
    tuning.tune(settings_of(tmp_path, *flags), faces, None)
    assert [path.name for path in (tmp_path / "out").glob("checkpoint*")] == ["checkpoint-0001.keras"]
    with pytest.raises(ValueError, match="holds a run of 1 epochs: add --resume"):
        tuning.tune(settings_of(tmp_path, *flags), faces, None)
    model = tuning.tune(settings_of(tmp_path, *flags, "--epochs", "2", "--resume"), faces, None)
    assert model.optimizer.iterations == 2
    with open(tmp_path / "out" / "history.csv") as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["1", "2"]
    assert max(share for _, _, share in pruning.sparsities(model.trained_aligner())) >= 0.5


def test_of_a_calibrated_model_the_model_inside_is_trained(pruned, tmp_path, monkeypatch, capsys):
    tiny_pipnet(monkeypatch)
    calibrated = kfa.models.CalibratedAligner(pruned.source)
    with pytest.raises(ValueError, match=r"the model is calibrated.*give the model inside, model\.aligner"):
        pruning.PrunedAligner(calibrated, sparsity=0.5, end_step=1)
    calibrated.save(tmp_path / "source.keras")
    monkeypatch.setattr(tuning, "finish", lambda console, source, model, *rest: model)
    flags = ("--sparsity", "0.5", "--data-dir", str(tmp_path))
    model = tuning.tune(settings_of(tmp_path, *flags), write_faces(tmp_path), None)
    assert type(model.trained_aligner()) is type(pruned.source)
    assert "source.keras is calibrated: the model inside is trained" in capsys.readouterr().out


def test_what_a_pruning_run_writes(pruned, tmp_path, monkeypatch):
    exported = []

    def export(aligner, path, **options):
        exported.append(path.name)
        path.write_bytes(bytes(9))

    monkeypatch.setattr(tuning.deploy, "export", export)
    monkeypatch.setattr(tuning.deploy, "load", lambda path: pruned.aligner)
    faces = write_faces(tmp_path)
    (tmp_path / "out").mkdir()
    test = kfa.data.Crops(faces.test, size=SIZE, enlarge=1.2, cache=None)
    settings = argparse.Namespace(out=str(tmp_path / "out"), sparsity=0.75)
    reports = tuning.finish(tuning.Console(), pruned.source, pruned.model, crops(4), test, faces, settings)
    assert exported == ["float32.tflite", "int8.tflite", "model.tflite", "model_int8.tflite"] == list(reports)
    with open(tmp_path / "out" / "sparsity.csv") as file:
        rows = {row["kernel"].split("/")[-1]: float(row["zeros"]) for row in csv.DictReader(file)}
    assert rows["first"] == 0 and abs(rows["last"] - 0.75) < 0.01
    assert {"model.keras", "report.json", "predictions.npz"} <= {path.name for path in (tmp_path / "out").iterdir()}


def test_settings_are_those_of_what_is_done(tmp_path):
    assert settings_of(tmp_path, "--data-dir", "D").learning_rate == 1e-3
    assert settings_of(tmp_path, "--data-dir", "D", "--sparsity", "0.5").learning_rate == 1e-2
    assert settings_of(tmp_path, "--scale", "quick", "--epochs", "7").epochs == 7
    with pytest.raises(ValueError, match="--sparsity is a share of the weights from 0 to below 1, got 75"):
        settings_of(tmp_path, "--sparsity", "75")


def test_faces_of_another_scheme_are_refused(pruned, tmp_path, monkeypatch):
    tiny_pipnet(monkeypatch)
    pruned.source.save(tmp_path / "source.keras")
    other = argparse.Namespace(scheme=kfa.schemes.get("ibug68"), name="pts")
    with pytest.raises(ValueError, match=r"source.keras predicts aflw19, the faces of pts have ibug68"):
        tuning.tune(settings_of(tmp_path), other, None)
