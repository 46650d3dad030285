import argparse

import pytest

from kfacealign import losses, schemes, training
from kfacealign.training import parse_settings, settings as module

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
QUICK = {**PAPER, "dataset": "synthetic68", "unlabelled_dataset": "synthetic", "backbone_weights": "none", "epochs": 6}


def parse(*argv):
    return parse_settings("", ("pipnet",), PAPER, QUICK, argv, groups=("backbone", "paradigm"))


def test_methods_and_their_tasks():
    settings = parse("--unlabelled", "photos")
    assert (settings.paradigm, settings.method, settings.tasks) == ("gssl", "stc", [1, 2, 3, 3, 3])
    assert settings.backbone_weights == "imagenet" and settings.out == "runs/pts_pipnet_resnet18_stc"
    assert parse("--unlabelled", "photos", "--method", "self-training").tasks == [3, 3, 3, 3, 3]
    assert parse("--unlabelled", "photos", "--tasks", "2", "3").tasks == [2, 3]
    assert parse("--unlabelled", "photos", "--method", "dann").tasks is None


def test_supervised_needs_no_unlabelled_faces():
    settings = parse("--paradigm", "gsl", "--backbone-weights", "none")
    assert settings.method is None and settings.unlabelled_dataset is None and settings.tasks is None
    assert settings.backbone_weights is None and settings.out == "runs/pts_pipnet_resnet18"


def test_a_named_directory_is_not_rendered_to():
    assert parse("--preset", "quick").dataset == "synthetic68"
    assert parse("--preset", "quick").unlabelled_dataset == "synthetic"
    named = parse("--preset", "quick", "--data-dir", "300W", "--unlabelled", "photos")
    assert (named.dataset, named.unlabelled_dataset, named.epochs) == ("pts", "folder", 6)
    assert parse("--preset", "quick", "--data-dir", "faces", "--dataset", "synthetic68").dataset == "synthetic68"


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


def test_flags_are_those_of_the_groups():
    settings = parse_settings("", ("one",), COMMON, COMMON, ())
    assert settings.dataset == "wflw" and settings.variant == "one" and not hasattr(settings, "backbone")
    with pytest.raises(SystemExit):
        parse_settings("", ("one",), COMMON, COMMON, ("--paradigm", "gsl"))


def test_scheme_and_alignment_are_the_presets_where_it_has_them():
    settings = parse_settings("", ("one",), COMMON, COMMON, ())
    assert (settings.scheme, settings.align) == ("ibug68", "box")
    paper = {**COMMON, "dataset": "pts", "scheme": "jd106", "align": "five_points"}
    quick = {**paper, "dataset": "synthetic106", "align": "box"}

    def parse(*argv):
        settings = parse_settings("", ("one",), paper, quick, argv)
        return settings.dataset, settings.scheme, settings.align

    assert parse() == ("pts", "jd106", "five_points")
    assert parse("--preset", "quick") == ("synthetic106", "jd106", "box")
    assert parse("--preset", "quick", "--data-dir", "JD") == ("pts", "jd106", "box")
    assert parse("--scheme", "wflw98", "--align", "box") == ("pts", "wflw98", "box")
    with pytest.raises(SystemExit):
        parse("--align", "eyes")


def test_losses_and_weights_are_chosen_by_name():
    paper = {**COMMON, "backbone_weights": "imagenet", "loss": "smooth_wing"}

    def parse(*argv):
        return parse_settings("", ("one",), paper, paper, argv, groups=("weights", "loss"))

    assert (parse().loss, parse().backbone_weights) == ("smooth_wing", "imagenet")
    assert (parse("--loss", "l2").loss, parse("--backbone-weights", "none").backbone_weights) == ("l2", None)
    assert not hasattr(parse(), "backbone")
    assert {name: loss().name for name, loss in training.LOSSES.items()} == {name: name for name in training.LOSSES}
    assert set(training.LOSSES.values()) == {losses.L1, losses.L2, losses.SmoothL1, losses.Wing, losses.SmoothWing}


def test_a_training_that_begins_with_a_model_needs_no_backbone():
    paper = {**COMMON, "backbone_weights": "imagenet"}

    def parse(*argv):
        settings = parse_settings("", ("one",), paper, paper, argv, groups=("weights", "begin"))
        return settings.begin_with, settings.backbone_weights

    assert parse() == (None, "imagenet")
    assert parse("--begin-with", "model.keras") == ("model.keras", None)
    assert parse("--begin-with", "model.keras", "--backbone-weights", "b.keras") == ("model.keras", "b.keras")


@pytest.mark.parametrize("name, points", [("synthetic68", 68), ("synthetic106", 106)])
def test_rendered_faces_have_the_landmarks_that_their_name_says(tmp_path, monkeypatch, name, points):
    monkeypatch.setattr(module, "SYNTHETIC", {"train": 2, "test": 1, "seed": 0, "size": 64, "progress": False})
    settings = parse_settings("", ("one",), COMMON, COMMON, ("--dataset", name, "--data-dir", str(tmp_path / "faces")))
    faces = training.load_dataset(settings)
    assert faces.train.landmarks.shape == (2, points, 2) and len(faces.test) == 1


def test_pipnet_recipe_reads_the_dataset_that_it_is_named_after(monkeypatch):
    """COFW's recipe: its scheme, the paper's crops and backbone, by the one function that the four recipes share."""
    from kfacealign.training import pipnet

    seen = {}
    faces = argparse.Namespace(scheme=schemes.get("cofw29"))
    monkeypatch.setattr(pipnet, "load_dataset", lambda settings: seen.update(dataset=settings.dataset, data_dir=settings.data_dir) or faces)
    monkeypatch.setattr(pipnet, "run", lambda build, faces, views, settings: (build(), views))
    paper = {name: PAPER[name] for name in (*COMMON, "backbone", "backbone_weights", "stride", "neighbors")}
    quick = {**paper, "backbone": "mobilenet_v2", "backbone_weights": "none", "input_size": 128}
    argv = ("--preset", "quick", "--dataset", "cofw", "--data-dir", "COFW")
    model, views = pipnet.run_pipnet("", paper, quick, 1.25, argv)
    assert seen == {"dataset": "cofw", "data_dir": "COFW"}
    assert (model.scheme.name, model.input_size, model.enlarge) == ("cofw29", 128, 1.25)
    assert model.codec.neighbors == 10 and views.rotation == 10.0
