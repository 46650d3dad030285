import pytest

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
    ],
)
def test_flags_that_do_not_fit(flags, message):
    with pytest.raises(ValueError, match=message):
        parse(*flags)


def test_flags_are_those_of_the_groups():
    common = {name: PAPER[name] for name in ("input_size", "epochs", "warmup_epochs", "batch_size", "learning_rate", "drops")}
    settings = parse_settings("", ("one",), common, common, ())
    assert settings.dataset == "wflw" and settings.variant == "one" and not hasattr(settings, "backbone")
    with pytest.raises(SystemExit):
        parse_settings("", ("one",), common, common, ("--paradigm", "gsl"))
