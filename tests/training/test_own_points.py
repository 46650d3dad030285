import csv
import json
import runpy
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

import kfacealign as kfa
from kfacealign import scheme_files
from kfacealign.data.mean_shape import mean_shape
from kfacealign.training import parse_settings, three_parts

RECIPE = Path(__file__).parents[2] / "recipes" / "your_points.py"
FIVE = {"name": "five", "names": ["left_eye", "right_eye", "nose", "left_mouth", "right_mouth"], "eye_corners": [0, 1]}
SHAPE = np.float32([[20, 22], [44, 22], [32, 34], [23, 46], [41, 46]])
PAPER = {"dataset": "pts", "scheme": None, "person": None, "input_size": 64, "epochs": 1, "batch_size": 4, "learning_rate": 1e-3}


def write_face(path, rng):
    """A grey face of 64 pixels with dots at its five points, anywhere in the picture."""
    points = SHAPE + rng.uniform(-6, 6, 2).astype("float32")
    image = np.full((64, 64, 3), 90, "uint8")
    cv2.circle(image, tuple(int(value) for value in points[2]), 26, (150, 170, 200), -1)
    for point in points:
        cv2.circle(image, tuple(int(value) for value in point), 3, (30, 30, 40), -1)
    cv2.imwrite(str(path.with_suffix(".png")), image)
    lines = [f"{x + 0.5:.3f} {y + 0.5:.3f}" for x, y in points]
    path.with_suffix(".pts").write_text("\n".join(["version: 1", "n_points: 5", "{", *lines, "}"]))


@pytest.fixture
def folder(tmp_path):
    """Writes faces of these names; returns their folder, in which points.json is the scheme."""

    def write(*names):
        root, rng = tmp_path / "faces", np.random.default_rng(0)
        for name in names:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            write_face(root / name, rng)
        (root / "points.json").write_text(json.dumps(FIVE))
        return root

    return write


def parts(folder, *flags):
    scheme = str(folder / "points.json")
    settings = parse_settings("", PAPER, {}, argv=["--data-dir", str(folder), "--scheme", scheme, *flags])
    faces, validation, notes = three_parts(settings)
    return [list(part.names) for part in (faces.train, validation, faces.test)], faces, notes


def test_three_parts_of_a_folder(folder):
    """Of 40 faces a tenth is tested, and of the 36 others 0.15, that is 5, are not trained on."""
    names = [f"face{number}" for number in range(40)]
    (trained, validation, tested), faces, notes = parts(folder(*names))
    assert sorted(trained + validation + tested) == sorted(names)
    assert (len(trained), len(validation), len(tested)) == (31, 5, 4)
    assert "5 more faces" in notes[-1]
    assert faces.scheme.mean_shape is not None and faces.normalizer == "inter_ocular"


@pytest.mark.parametrize(("count", "expected"), [(3, (1, 1, 1)), (5, (3, 1, 1)), (8, (6, 1, 1))])
def test_few_faces_have_three_parts_too(folder, count, expected):
    found, _, _ = parts(folder(*(f"face{number}" for number in range(count))))
    assert tuple(map(len, found)) == expected


def test_two_faces_are_too_few(folder):
    with pytest.raises(ValueError, match="1 training faces of 1 people are too few"):
        parts(folder("a", "b"))


def test_no_person_is_in_two_parts_where_people_are_known(folder):
    root = folder(*(f"{person}_{number}" for person in "abcdefgh" for number in range(4)))
    found, faces, _ = parts(root, "--person", "(.)_")
    whole = kfa.data.pts(root, scheme=scheme_files.read(root / "points.json"), test_fraction=0).train
    people = [{name[0] for name in part} for part in found]
    assert sum(map(len, people)) == 8 and set.union(*people) == set("abcdefgh")
    assert sum(map(len, found)) == 32 and all(len(part) % 4 == 0 for part in found), "people are whole"
    # The mean shape, in which neighbours are found, is that of people who are not tested.
    others = mean_shape([whole[[whole.names.index(name) for name in found[0] + found[1]]]])
    np.testing.assert_allclose(faces.scheme.mean_shape, others, atol=1e-6)


def test_people_of_a_named_test_part_are_not_trained_on(folder):
    root = folder("train/a_1", "train/b_1", "train/b_2", "train/c_1", "test/a_2", "test/d_1")
    found, _, notes = parts(root, "--person", "(.)_")
    assert found[2] == ["a_2", "d_1"], "the test part stays as it is"
    assert sorted(found[0] + found[1]) == ["b_1", "b_2", "c_1"]
    assert {name[0] for name in found[0]} != {name[0] for name in found[1]}
    assert notes[0] == "left out: 1 training faces of people who are tested"


def test_a_scheme_is_asked_for(folder):
    settings = parse_settings("", PAPER, {}, argv=["--data-dir", str(folder("a", "b", "c"))])
    with pytest.raises(ValueError, match="--scheme is missing"):
        three_parts(settings)


def test_the_recipe_from_a_folder_to_files(folder, monkeypatch, capsys):
    """Nine faces: the model that is written is the best epoch's, which the validation faces tell, and it carries the scheme."""
    root = folder(*(f"face{number}" for number in range(9)))
    out, scheme = root.parent / "run", str(root / "points.json")
    argv = ["your_points.py", "--data-dir", str(root), "--scheme", scheme, "--out", str(out), "--input-size", "64"]
    argv += [
        "--steps",
        "2",
        "--batch-size",
        "8",
        "--epochs",
        "4",
        "--patience",
        "1",
        "--min-epochs",
        "1",
        "--learning-rate",
        "0.03",
    ]
    monkeypatch.setattr(sys, "argv", argv)
    recipe = runpy.run_path(str(RECIPE))
    recipe["recipe"]()
    printed = capsys.readouterr().out
    with open(out / "history.csv", newline="") as file:
        errors = [float(row["val_nme"]) for row in csv.DictReader(file)]
    best = int(np.argmin(errors)) + 1
    assert f"after epoch {best} of {len(errors)}" in printed and "written:" in printed
    assert len(errors) == min(4, best + 1), "the training ends one epoch after the best"
    (_, validation, tested), _, _ = parts(root)
    model = kfa.load(out / "model.keras")
    assert model.scheme.point_names == tuple(FIVE["names"]) and model.scheme.mirror == (1, 0, 2, 4, 3)
    whole = kfa.data.pts(root, scheme=scheme_files.read(scheme), test_fraction=0).train
    held = whole[[whole.names.index(name) for name in validation]]
    assert kfa.evaluation.evaluate(model, held).rows()["full"]["nme"] == pytest.approx(min(errors), rel=1e-3)
    report = json.loads((out / "report.json").read_text())
    assert [face["name"] for face in report["faces"]] == tested
    crops, _, _ = kfa.data.Crops(held, 64, enlarge=model.enlarge).batch([0])
    exported = kfa.load(out / "model.tflite")
    assert exported.scheme == model.scheme
    np.testing.assert_allclose(exported.align(crops)[0], model.align(crops)[0], atol=1e-3)
    assert cv2.imread(str(out / "predictions.png")) is not None


@pytest.mark.parametrize(
    ("flags", "expected"),
    [([], "preset"), (["--backbone-weights", "none"], None), (["--backbone-weights", "imagenet"], "imagenet")],
)
def test_the_three_beginnings(folder, monkeypatch, flags, expected):
    seen = {}
    root = folder("a", "b", "c", "d")
    monkeypatch.setattr(kfa.models, "PIPNet", lambda scheme, **settings: seen.update(settings))
    monkeypatch.setattr(kfa.training, "run", lambda build, faces, views, settings, **ends: build() or seen.update(ends))
    monkeypatch.setattr(sys, "argv", ["your_points.py", "--data-dir", str(root), "--scheme", str(root / "points.json"), *flags])
    runpy.run_path(str(RECIPE))["recipe"]()
    weights = seen["backbone_weights"]
    assert weights == (kfa.presets.path("pipnet_lite0_ibug68") if expected == "preset" else expected)
    assert (seen["neighbors"], seen["input_size"], len(seen["validation"])) == (4, 128, 1)
    assert seen["repeats"] == 25 * 16 // 2, "two faces make an epoch of 25 batches of 16"
