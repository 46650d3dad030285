"""Self-training on twelve random images and a network of five small convolutions."""

import argparse
import dataclasses
import json
import shutil

import cv2
import keras
import numpy as np
import pytest

import kfacealign as kfa
from kfacealign import geometry
from kfacealign.data.faces import Dataset, Faces
from kfacealign.training import checkpoint, self_training

SIZE = 128
SETTINGS = {
    "variant": "pipnet",
    "paradigm": "uda",
    "method": "stc",
    "tasks": [1, 3],
    "input_size": SIZE,
    "epochs": 1,
    "warmup_epochs": 0,
    "batch_size": 4,
    "learning_rate": 1e-3,
    "drops": [],
    "seed": 5,
    "resume": False,
    "precision": "float32",
    "strict": False,
    "cache": None,
}


def small_backbone(name, input_size, weights=None, width=1.0, last_expansion=True):
    image = x = keras.Input((input_size, input_size, 3))
    for _ in range(5):
        x = keras.layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(x)
    return keras.Model(image, x, name="backbone")


@pytest.fixture(scope="module", autouse=True)
def small():
    """A small backbone that is not compiled, and neither pictures nor an export to TFLite after every round."""
    plain = kfa.models.FaceAligner.compile

    def eager(self, *args, **kwargs):
        plain(self, *args, **{**kwargs, "run_eagerly": True, "jit_compile": False})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kfacealign.models.pipnet.make_backbone", small_backbone)
        patch.setattr(kfa.models.FaceAligner, "compile", eager)
        patch.setattr("kfacealign.deploy.export", lambda model, path: None)
        patch.setattr("kfacealign.evaluation.write_run", lambda out, report, faces: [report.save(out / "report.json")])
        yield


def random_faces(folder, count, seed):
    scheme, rng = kfa.schemes.get("cofw29"), np.random.default_rng(seed)
    images = [folder / f"{seed}_{index}.png" for index in range(count)]
    for image in images:
        cv2.imwrite(str(image), rng.integers(0, 256, (80, 80, 3), "uint8"))
    landmarks = scheme.mean_shape * rng.uniform(50, 70, (count, 1, 1)) + rng.uniform(0, 15, (count, 1, 2))
    return Faces(scheme, images, landmarks, names=[image.stem for image in images])


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    folder = tmp_path_factory.mktemp("labelled")
    train, test = random_faces(folder, 4, 1), random_faces(folder, 4, 2)
    return Dataset(
        name="random", scheme=train.scheme, train=train, test=test, subsets={}, enlarge=1.25, normalizer="inter_ocular"
    )


@pytest.fixture(scope="module")
def unlabelled(tmp_path_factory):
    faces = kfa.data.ignore_labels(random_faces(tmp_path_factory.mktemp("unlabelled"), 4, 3))
    with open(faces.images[2], "wb") as file:
        file.write(b"no image")
    return faces


class Build:
    """Makes models and remembers them with the weights they begin with."""

    def __init__(self):
        self.models, self.initial = [], []

    def __call__(self):
        model = kfa.models.PIPNet("cofw29", neighbors=3, input_size=SIZE)
        self.models.append(model)
        self.initial.append(model.get_weights())
        return model


def train(faces, unlabelled, out, build=None, **changes):
    settings = argparse.Namespace(**{**SETTINGS, "out": str(out), **changes})
    return self_training.self_train(build or Build(), faces, unlabelled, None, settings)


@pytest.fixture(scope="module")
def trained(faces, unlabelled, tmp_path_factory):
    out, build = tmp_path_factory.mktemp("runs") / "stc", Build()
    with pytest.warns(UserWarning, match="1 unlabelled faces left out, their images cannot be read: 3_2"):
        model, rows = train(faces, unlabelled, out, build)
    return out, build, model, rows


def labels_of(round_directory):
    with np.load(round_directory / self_training.LABELS) as saved:
        return {name: saved[name] for name in saved}


def test_every_round_begins_with_the_same_weights_and_has_its_task(trained):
    _, build, _, _ = trained
    assert [model.task for model in build.models] == [3, 1, 3]
    for weights in build.initial[1:]:
        for first, other in zip(build.initial[0], weights, strict=True):
            np.testing.assert_array_equal(first, other)
    for first, other in zip(build.initial[0], build.models[0].get_weights(), strict=True):
        assert first.size < 4 or not np.array_equal(first, other)


def test_pseudo_labels_are_the_landmarks_of_the_round_before(trained, unlabelled):
    out, build, _, _ = trained
    saved = labels_of(out / "round_1")
    assert saved["names"].tolist() == unlabelled.names
    assert saved["readable"].tolist() == [True, True, False, True]
    # By hand: the square of 1.2 times the longer side about the box's centre, cut, aligned, and back again.
    x0, y0, x1, y1 = unlabelled.boxes[0]
    side = 1.2 * max(x1 - x0, y1 - y0)
    corner = np.array([(x0 + x1 - side) / 2, (y0 + y1 - side) / 2])
    crop, _ = geometry.crop(kfa.data.crops.read_image(unlabelled.images[0]), [*corner, *(corner + side)], SIZE)
    landmarks, _ = build.models[0].align(crop[None], verbose=0)
    np.testing.assert_allclose(saved["landmarks"][0], landmarks[0] * side + corner, atol=0.02)


def test_rounds_are_recorded(trained, capsys):
    out, _, model, rows = trained
    written = json.loads((out / "rounds.json").read_text())
    assert written["rounds"] == rows and (written["paradigm"], written["method"]) == ("uda", "stc")
    assert [(row["round"], row["task"]) for row in rows] == [(0, None), (1, 1), (2, 3)]
    for row in rows:
        report = json.loads((out / f"round_{row['round']}" / "report.json").read_text())
        assert row["nme"] == report["subsets"]["full"]["nme"] > 0
    last = keras.saving.load_model(out / "round_2" / "model.keras")
    for first, other in zip(last.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(first, other)
    assert checkpoint.read_state(out / "round_1")["settings"]["train faces"] == 4 + 3


def test_resume_trains_only_what_is_missing(trained, faces, unlabelled, tmp_path, capsys):
    out = shutil.copytree(trained[0], tmp_path / "stc")
    before = {number: (out / f"round_{number}" / "model.keras").read_bytes() for number in range(3)}
    shutil.rmtree(out / "round_2")
    with pytest.raises(ValueError, match="add --resume"):
        train(faces, unlabelled, out)

    build = Build()
    with pytest.warns(UserWarning, match="3_2"):
        _, rows = train(faces, unlabelled, out, build, resume=True)
    assert [model.task for model in build.models] == [3] and len(rows) == 3
    assert [before[number] == (out / f"round_{number}" / "model.keras").read_bytes() for number in range(3)] == [
        True,
        True,
        False,
    ]
    printed = capsys.readouterr().out
    assert "round 2: task 3" in printed and "round 1" not in printed and "NME" in printed

    _, again = train(faces, unlabelled, out, build, resume=True)
    assert again == rows and len(build.models) == 1


def test_a_round_killed_between_epochs_goes_on_with_its_task_and_labels(trained, faces, unlabelled, tmp_path, monkeypatch):
    out = shutil.copytree(trained[0], tmp_path / "stc")
    for number in (1, 2):
        shutil.rmtree(out / f"round_{number}")
    save = checkpoint.EpochCheckpoint.on_epoch_end

    def killed(self, epoch, logs=None):
        save(self, epoch, logs)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt), pytest.warns(UserWarning, match="3_2"):
        patch.setattr(checkpoint.EpochCheckpoint, "on_epoch_end", killed)
        train(faces, unlabelled, out, resume=True, tasks=[1])
    assert not (out / "round_1" / "report.json").exists()

    loaded = []
    load = keras.saving.load_model
    monkeypatch.setattr(self_training, "estimate", lambda *_: pytest.fail("labels were there"))
    monkeypatch.setattr(keras.saving, "load_model", lambda path, **options: loaded.append(load(path, **options)) or loaded[-1])
    build = Build()
    with pytest.warns(UserWarning, match="3_2"):
        train(faces, unlabelled, out, build, resume=True, tasks=[1])
    # What was built is only compared with what was loaded and trained on.
    assert loaded[0].task == 1 and [model.task for model in build.models] == [3]
    assert len(checkpoint.read_state(out / "round_1")["history"]) == 1


def test_labels_that_do_not_fit_are_estimated_anew(trained, unlabelled, tmp_path):
    teacher, own = trained[0] / "round_0" / "model.keras", argparse.Namespace(**{**SETTINGS, "out": str(tmp_path)})
    readable = unlabelled[[0, 1, 3]]
    moved = readable.landmarks + np.float32(1.5)
    self_training.write_labels(tmp_path / self_training.LABELS, readable, moved, np.ones(3, bool))
    np.testing.assert_array_equal(self_training.pseudo_labelled(readable, teacher, own).landmarks, moved)

    found = self_training.pseudo_labelled(readable[[0, 2]], teacher, own)  # other faces
    # Batches of another size are added up in another order.
    np.testing.assert_allclose(found.landmarks, labels_of(trained[0] / "round_1")["landmarks"][[0, 3]], rtol=1e-5)
    np.testing.assert_array_equal(found.boxes, readable.boxes[[0, 2]])
    (tmp_path / self_training.LABELS).write_bytes(b"PK damaged")
    assert self_training.read_labels(tmp_path / self_training.LABELS, readable) is None

    with pytest.raises(ValueError, match="none of the 1 images"):
        self_training.pseudo_labelled(unlabelled[[2]], teacher, own)


def test_rounds_that_do_not_follow_from_each_other(trained, faces, unlabelled, tmp_path):
    out = shutil.copytree(trained[0], tmp_path / "stc")
    with pytest.raises(ValueError, match="seed was 5 and is 6"):
        train(faces, unlabelled, out, resume=True, seed=6)
    with pytest.raises(ValueError, match="task was 1 and is 2"):
        train(faces, unlabelled, out, resume=True, tasks=[2, 3])
    (out / "round_0" / "report.json").unlink()
    with pytest.raises(ValueError, match="round_1 was trained on pseudo-labels of earlier rounds"):
        train(faces, unlabelled, out, resume=True)


def test_mistakes_are_found_before_training(faces, unlabelled, tmp_path, monkeypatch):
    monkeypatch.setattr(kfa.models.PIPNet, "fit", lambda *_, **__: pytest.fail("training began"))
    with pytest.raises(ValueError, match="there are no unlabelled faces"):
        train(faces, unlabelled[[]], tmp_path)
    with pytest.raises(ValueError, match=r"tasks are a sequence of 1, 2 and 3.*not \[1, 4\]"):
        train(faces, unlabelled, tmp_path, tasks=[1, 4])
    with pytest.raises(ValueError, match="the unlabelled ones aflw19"):
        train(faces, kfa.data.ignore_labels(unlabelled, scheme="aflw19"), tmp_path)
    with pytest.raises(ValueError, match="use larger crops"):
        train(faces, unlabelled, tmp_path, build=lambda: kfa.models.PIPNet("cofw29", neighbors=3, input_size=64))

    codec = kfa.codecs.PixelInPixel(np.zeros((29, 0)), size=4)

    def build():
        return kfa.models.FaceAligner(small_backbone("", SIZE), codec, "cofw29")

    with pytest.raises(ValueError, match="needs a model with tasks, such as PIPNet; FaceAligner has none"):
        train(dataclasses.replace(faces), unlabelled, tmp_path, build=build)
