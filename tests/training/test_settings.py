import argparse
import runpy
import sys
from pathlib import Path

import pytest

import kfacealign as kfa
from kfacealign import losses, schemes, training
from kfacealign.data import catalogue
from kfacealign.training import parse_settings

PAPER = {
    "dataset": "pts",
    "paradigm": "gssl",
    "method": "stc",
    "unlabelled_dataset": "folder",
    "tasks": {"stc": (1, 2, 3, 3, 3), "self-training": (3, 3, 3, 3, 3)},
    "backbone": "resnet18",
    "backbone_weights": "imagenet",
    "stride": 32,
    "neighbors": 10,
    "input_size": 256,
    "epochs": 60,
    "warmup_epochs": 0,
    "batch_size": 16,
    "learning_rate": 1e-4,
    "drops": (30, 50),
}
COMMON = {name: PAPER[name] for name in ("input_size", "epochs", "warmup_epochs", "batch_size", "learning_rate", "drops")}
QUICK = {"dataset": "synthetic68", "unlabelled_dataset": "synthetic", "backbone_weights": "none", "epochs": 6}


def parse(*argv):
    return parse_settings("", PAPER, QUICK, argv=argv)


def test_methods_and_their_tasks():
    settings = parse("--unlabelled", "photos")
    assert (settings.paradigm, settings.method, settings.tasks) == ("gssl", "stc", [1, 2, 3, 3, 3])
    assert settings.backbone_weights == "imagenet" and settings.out == "runs/pts_resnet18_stc"
    assert parse("--unlabelled", "photos", "--method", "self-training").tasks == [3, 3, 3, 3, 3]
    assert parse("--unlabelled", "photos", "--tasks", "2", "3").tasks == [2, 3]
    assert parse("--unlabelled", "photos", "--method", "dann").tasks is None


def test_supervised_needs_no_unlabelled_faces():
    settings = parse("--paradigm", "gsl", "--backbone-weights", "none")
    assert settings.method is None and settings.unlabelled_dataset is None and settings.tasks is None
    assert settings.backbone_weights is None and settings.out == "runs/pts_resnet18"


def test_a_named_directory_is_not_rendered_to():
    assert parse("--scale", "quick").dataset == "synthetic68"
    assert parse("--scale", "quick").unlabelled_dataset == "synthetic"
    named = parse("--scale", "quick", "--data-dir", "300W", "--unlabelled", "photos")
    assert (named.dataset, named.unlabelled_dataset, named.epochs) == ("pts", "folder", 6)
    assert parse("--scale", "quick", "--data-dir", "faces", "--dataset", "synthetic68").dataset == "synthetic68"


@pytest.mark.parametrize(
    "flags, message",
    [
        ((), "--paradigm gssl needs --unlabelled"),
        (("--paradigm", "uda"), "--paradigm uda needs --unlabelled"),
        (("--paradigm", "gsl", "--unlabelled", "x", "--method", "stc"), "leave out --method, --unlabelled,"),
        (("--unlabelled", "x", "--method", "dann", "--tasks", "3"), "dann has no rounds"),
        (("--unlabelled", "x", "--tasks", "1", "4"), "1, 2 or 3, got 1 4"),
        (("--unlabelled", "x", "--align", "five_points"), "--align five_points needs the five points of every face"),
    ],
)
def test_flags_that_do_not_fit(flags, message):
    with pytest.raises(ValueError, match=message):
        parse(*flags)


def test_flags_are_the_keys_of_the_paper():
    settings = parse_settings("", COMMON, {}, argv=())
    assert settings.dataset == "wflw" and not hasattr(settings, "variant") and not hasattr(settings, "backbone")
    with pytest.raises(SystemExit):
        parse_settings("", COMMON, {}, argv=("--paradigm", "gsl"))


def test_a_methods_own_settings_are_flags_of_their_values_type():
    paper = {**COMMON, "gamma": 0.4, "stacks": 4, "widths": (8, 16), "shared": True, "note": "a", "shape": "wide"}
    flags = {"shape": {"choices": ("wide", "tall"), "help": "of the network"}}

    def parse(*argv):
        return parse_settings("", paper, {"gamma": 0.1}, flags=flags, argv=argv)

    settings = parse()
    assert (settings.gamma, settings.stacks, settings.widths, settings.shared) == (0.4, 4, (8, 16), True)
    settings = parse("--gamma", "2", "--stacks", "1", "--widths", "3", "--no-shared", "--note", "b", "--shape", "tall")
    assert (settings.gamma, settings.stacks, settings.widths) == (2.0, 1, [3])
    assert (settings.shared, settings.note, settings.shape) == (False, "b", "tall")
    assert parse("--scale", "quick").gamma == 0.1 and parse("--scale", "quick", "--gamma", "3").gamma == 3.0
    with pytest.raises(SystemExit):
        parse("--stacks", "1.5")
    with pytest.raises(SystemExit):
        parse("--shape", "round")


def test_a_dataset_has_settings_of_its_own():
    """The paper's value for the dataset goes before its value for all, the scale's and the flag's before both."""
    paper, datasets = {**COMMON, "enlarge": 1.2, "dataset": "wflw"}, {"300w": {"enlarge": 1.1, "epochs": 5}}

    def parse(*argv):
        settings = parse_settings("", paper, {"epochs": 2}, datasets=datasets, argv=argv)
        return settings.enlarge, settings.epochs

    assert parse() == (1.2, 60)
    assert parse("--dataset", "300w") == (1.1, 5)
    assert parse("--dataset", "300w", "--scale", "quick") == (1.1, 2)
    assert parse("--dataset", "300w", "--enlarge", "1.5", "--epochs", "9") == (1.5, 9)


def test_scheme_and_alignment_are_the_papers_where_it_has_them():
    settings = parse_settings("", COMMON, {}, argv=())
    assert (settings.scheme, settings.align) == ("ibug68", "box")
    paper = {**COMMON, "dataset": "pts", "scheme": "jd106", "align": "five_points"}
    quick = {**paper, "dataset": "synthetic106", "align": "box"}

    def parse(*argv):
        settings = parse_settings("", paper, quick, argv=argv)
        return settings.dataset, settings.scheme, settings.align

    assert parse() == ("pts", "jd106", "five_points")
    assert parse("--scale", "quick") == ("synthetic106", "jd106", "box")
    assert parse("--scale", "quick", "--data-dir", "JD") == ("pts", "jd106", "box")
    assert parse("--scheme", "wflw98", "--align", "box") == ("pts", "wflw98", "box")
    with pytest.raises(SystemExit):
        parse("--align", "eyes")


def test_losses_and_weights_are_chosen_by_name():
    paper = {**COMMON, "backbone_weights": "imagenet", "loss": "smooth_wing"}

    def parse(*argv):
        return parse_settings("", paper, {}, argv=argv)

    assert (parse().loss, parse().backbone_weights) == ("smooth_wing", "imagenet")
    assert (parse("--loss", "l2").loss, parse("--backbone-weights", "none").backbone_weights) == ("l2", None)
    assert not hasattr(parse(), "backbone")
    assert {name: loss().name for name, loss in training.LOSSES.items()} == {name: name for name in training.LOSSES}
    assert set(training.LOSSES.values()) == {losses.L1, losses.L2, losses.SmoothL1, losses.Wing, losses.SmoothWing}


def test_a_training_that_begins_with_a_model_needs_no_backbone():
    paper = {**COMMON, "backbone_weights": "imagenet", "begin_with": None}

    def parse(*argv):
        settings = parse_settings("", paper, {}, argv=argv)
        return settings.begin_with, settings.backbone_weights

    assert parse() == (None, "imagenet")
    assert parse("--begin-with", "model.keras") == ("model.keras", None)
    assert parse("--begin-with", "model.keras", "--backbone-weights", "b.keras") == ("model.keras", "b.keras")


@pytest.mark.parametrize("name, points", [("synthetic68", 68), ("synthetic106", 106)])
def test_rendered_faces_have_the_landmarks_that_their_name_says(tmp_path, monkeypatch, name, points):
    monkeypatch.setattr(catalogue, "SYNTHETIC", {"train": 2, "test": 1, "seed": 0, "size": 64, "progress": False})
    faces = catalogue.load_dataset(name, tmp_path / "faces")
    assert faces.train.landmarks.shape == (2, points, 2) and len(faces.test) == 1


def test_pipnet_recipe_reads_the_dataset_that_is_named(monkeypatch):
    """COFW by the recipe of all four datasets: its scheme, the paper's crops and backbone."""
    recipe = runpy.run_path(str(Path(__file__).parents[2] / "recipes" / "pipnet.py"))["recipe"]
    seen = {}
    faces = argparse.Namespace(scheme=schemes.get("cofw29"))
    monkeypatch.setattr(
        kfa.data, "load_dataset", lambda name, root, scheme, missing: seen.update(dataset=name, data_dir=root) or faces
    )
    monkeypatch.setattr(
        kfa.training, "run", lambda build, faces, views, settings, **ends: seen.update(model=build(), views=views)
    )
    monkeypatch.setattr(sys, "argv", ["pipnet.py", "--scale", "quick", "--dataset", "cofw", "--data-dir", "COFW"])
    recipe()
    assert (seen["dataset"], seen["data_dir"]) == ("cofw", "COFW")
    model, views = seen["model"], seen["views"]
    assert (model.scheme.name, model.input_size, model.enlarge) == ("cofw29", 128, 1.25)
    assert model.codec.neighbors == 10 and views.rotation == 10.0


def test_drops_are_steps_where_a_cosine_is_the_rule():
    """`--drops 5` on the command line says how the rate falls; nobody has to say it twice."""
    paper, quick = {"decay": "steps", "drops": (30, 50)}, {"decay": "cosine", "drops": ()}
    for argv, expected in (
        (["--scale", "quick"], ("cosine", [])),
        (["--scale", "quick", "--drops", "5"], ("steps", [5])),
        (["--scale", "quick", "--drops"], ("cosine", [])),
        (["--decay", "cosine", "--drops"], ("cosine", [])),
        ([], ("steps", [30, 50])),
    ):
        settings = parse_settings("", paper, quick, argv=argv)
        assert (settings.decay, list(settings.drops)) == expected
