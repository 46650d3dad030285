"""DANN on random images and a network of five small convolutions."""

import argparse
import csv
import math

import cv2
import keras
import numpy as np
import pytest
import tensorflow as tf

import kfacealign as kfa
from kfacealign.data.faces import Dataset, Faces
from kfacealign.models import DomainAdversarialPIPNet
from kfacealign.training import ReversalSchedule, checkpoint, run_domain_adversarial
from kfacealign.training.domain_adversarial import reversal_weight

SIZE = 64


def small_backbone(name, input_size, weights=None, width=1.0, last_expansion=True):
    image = x = keras.Input((input_size, input_size, 3))
    for _ in range(5):
        x = keras.layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(x)
    return keras.Model(image, x, name="backbone")


@pytest.fixture(scope="module", autouse=True)
def small():
    """A small backbone, and neither pictures nor an export to TFLite."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kfacealign.models.pipnet.make_backbone", small_backbone)
        patch.setattr("kfacealign.deploy.export", lambda model, path: None)
        patch.setattr("kfacealign.evaluation.write_run", lambda out, report, faces: [report.save(out / "report.json")])
        yield


def build(kind=DomainAdversarialPIPNet):
    return kind("cofw29", neighbors=3, input_size=SIZE)


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return build()


@pytest.fixture(scope="module")
def batch():
    """Three random images, the second without labels."""
    rng = np.random.default_rng(0)
    landmarks = rng.uniform(0.1, 0.9, (3, 29, 2)).astype("float32")
    y = {"landmarks": landmarks, "weights": np.ones((3, 29), "float32"), "unlabelled": np.array([0, 1, 0], "float32")}
    return rng.uniform(0, 255, (3, SIZE, SIZE, 3)).astype("float32"), y


def gradients(model, batch, wanted, reversal):
    """Of the sum of the terms `wanted` names, at a weight of the reversal: by path of the variable."""
    images, y = batch
    model.reversal.weight.assign(reversal)
    with tf.GradientTape() as tape:
        terms = model.loss_terms(y, model(images, training=True))
        total = sum(terms[name] for name in wanted)
    variables = model.trainable_variables
    return [None if value is None else value.numpy() for value in tape.gradient(total, [v.value for v in variables])]


def test_the_domain_gradient_is_turned_round_on_the_backbone_only(model, batch):
    reversed_, plain = (gradients(model, batch, ("domain_loss",), weight) for weight in (0.5, -1.0))  # -1: as without reversal
    backbone = len(model.network.get_layer("backbone").trainable_variables)
    for half, whole in zip(reversed_[:backbone], plain[:backbone], strict=True):
        np.testing.assert_allclose(half, -0.5 * whole, rtol=1e-4, atol=1e-9)
    assert max(np.abs(value).max() for value in plain[:backbone]) > 0
    own = len(model.discriminator.trainable_variables)
    assert own == 4 and model.discriminator.count_params() == 8 * 512 + 512 + 512 + 1 + 1
    for first, second in zip(reversed_[-own:], plain[-own:], strict=True):
        np.testing.assert_allclose(first, second, rtol=1e-5)
    assert all(value is None for value in plain[backbone:-own])  # the head


def test_landmarks_of_unlabelled_faces_count_nowhere(model, batch):
    images, y = batch
    outputs = model(images, training=False)
    terms = model.loss_terms(y, outputs)
    moved = {**y, "landmarks": y["landmarks"].copy()}
    moved["landmarks"][1] = 0.5
    for name, value in model.loss_terms(moved, outputs).items():
        assert float(value) == float(terms[name])
    labelled = {name: y[name][[0, 2]] for name in ("landmarks", "weights")}
    alone = model.loss_terms(labelled, {name: value.numpy()[[0, 2]] for name, value in outputs.items()})
    assert set(alone) == {"score_loss", "offset_loss", "neighbor_loss"}
    for name, value in alone.items():
        assert float(terms[name]) == pytest.approx(float(value), rel=1e-5)


def test_domain_loss_by_hand(model, batch):
    images, y = batch
    outputs = model(images, training=False)
    logits = model.discriminator(outputs["features"]).numpy()[:, 0]
    share = 1 / (1 + np.exp(-logits))
    expected = -(np.log(1 - share[0]) + np.log(share[1]) + np.log(1 - share[2])) / 3
    assert float(model.loss_terms(y, outputs)["domain_loss"]) == pytest.approx(0.1 * expected, rel=1e-5)


def test_it_is_saved_with_its_reversal(model, batch, tmp_path):
    model.reversal.weight.assign(0.375)
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    assert type(loaded) is DomainAdversarialPIPNet and float(loaded.reversal.weight) == 0.375
    images, y = batch
    for name, value in loaded.loss_terms(y, loaded(images)).items():
        assert float(value) == pytest.approx(float(model.loss_terms(y, model(images))[name]), rel=1e-5)


def test_schedule_by_hand(model):
    assert reversal_weight(0) == 0
    assert reversal_weight(0.5) == pytest.approx(2 / (1 + math.exp(-5)) - 1) == pytest.approx(0.98661, abs=1e-5)
    assert 0.9999 < reversal_weight(1) < 1
    schedule = ReversalSchedule()
    schedule.set_model(model)
    schedule.set_params({"epochs": 5, "steps": 4})
    schedule.on_epoch_begin(1)
    schedule.on_train_batch_begin(2)
    assert float(model.reversal.weight) == pytest.approx(2 / (1 + math.exp(-3)) - 1)  # 1.5 of 5 epochs


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    folder, rng, scheme = tmp_path_factory.mktemp("faces"), np.random.default_rng(0), kfa.schemes.get("cofw29")
    images = [str(folder / f"{index}.png") for index in range(8)]
    for image in images:
        cv2.imwrite(image, rng.integers(0, 256, (70, 70, 3), "uint8"))
    everyone = Faces(scheme, images, np.tile(scheme.mean_shape * 70, (8, 1, 1)))
    return Dataset(
        name="random", scheme=scheme, train=everyone[:3], test=everyone[6:], subsets={}, enlarge=1.25, normalizer="inter_ocular"
    ), kfa.data.ignore_labels(everyone[3:6])


def settings(out):
    return argparse.Namespace(
        variant="pipnet", paradigm="uda", method="dann", tasks=None, input_size=SIZE, epochs=2, warmup_epochs=0, batch_size=3,
        learning_rate=1e-3, drops=[], seed=0, resume=False, precision="float32", strict=False, cache=None, out=str(out),
    )  # fmt: skip


def test_a_run(faces, tmp_path, capsys):
    trained, report = run_domain_adversarial(build, *faces, None, settings(tmp_path))
    assert float(trained.reversal.weight) == pytest.approx(reversal_weight(0.75))  # before the last of two times two batches
    assert "3 are without labels: uda, dann" in capsys.readouterr().out
    with open(tmp_path / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert float(rows[0]["domain_loss"]) > 0 and "val_domain_loss" not in rows[0] and float(rows[1]["val_nme"]) > 0
    assert checkpoint.read_state(tmp_path)["settings"]["method"] == "dann"
    assert len(report.names) == 2


def test_mistakes(faces, tmp_path):
    dataset, unlabelled = faces
    with pytest.raises(ValueError, match="dann needs a DomainAdversarialPIPNet, not a PIPNet"):
        run_domain_adversarial(lambda: build(kfa.models.PIPNet), dataset, unlabelled, None, settings(tmp_path))
    with pytest.raises(ValueError, match="there are no unlabelled faces"):
        run_domain_adversarial(build, dataset, unlabelled[[]], None, settings(tmp_path))
