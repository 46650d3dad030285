"""Fine-tuning: a run that goes on from a trained model."""

import argparse

import keras
import numpy as np
import pytest

import kfacealign as kfa
from kfacealign.training.finetuning import begin_with, keep
from kfacealign.training.loop import adam, kept_of, start_or_resume
from kfacealign.training.resuming import check_same, describe

SETTINGS = {"variant": "pipnet", "input_size": 64, "batch_size": 4, "learning_rate": 1e-3, "drops": [], "warmup_epochs": 0}


def pipnet(scheme="ibug68", **kwargs):
    return kfa.models.PIPNet(
        scheme, **{"backbone": "resnet18", "backbone_width": 0.125, "input_size": 64, "neighbors": 2, **kwargs}
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A model whose statistics are no longer those it was built with, and its file."""
    keras.utils.set_random_seed(3)
    model = pipnet()
    for weight in model.weights:
        weight.assign(keras.random.uniform(weight.shape, 0.01, 0.03, seed=len(weight.shape)))
    path = tmp_path_factory.mktemp("trained") / "model.keras"
    model.save(path)
    return model, path


def test_a_new_model_answers_as_the_trained_one(trained):
    model, path = trained
    keras.utils.set_random_seed(4)
    new = pipnet()
    crops = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3)).astype("uint8")
    assert np.abs(new.align(crops)[0] - model.align(crops)[0]).max() > 1e-3
    begin_with(new, str(path))
    np.testing.assert_array_equal(new.align(crops)[0], model.align(crops)[0])


def test_a_share_of_the_start_is_kept(trained):
    """A quarter of the start and three quarters of a model whose weights are all 0.2 higher: 0.15 above the start."""
    start, path = trained
    tuned = pipnet()
    tuned.set_weights([weight + 0.2 for weight in start.get_weights()])
    keep(tuned, str(path), 0.25)
    for ours, theirs in zip(tuned.get_weights(), start.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs + 0.15, atol=1e-6)
    with pytest.raises(ValueError, match=r"is 1\.5, expected 0 to 1"):
        keep(tuned, str(path), 1.5)


def test_the_share_may_be_of_another_model_than_the_training_began_with():
    assert kept_of(argparse.Namespace(begin_with="a.keras")) == "a.keras"
    assert kept_of(argparse.Namespace(begin_with="a.keras", keep_of=None)) == "a.keras"
    assert kept_of(argparse.Namespace(begin_with="a.keras", keep_of="b.keras")) == "b.keras"


def test_a_run_ends_with_the_weights_of_the_other_model_where_all_of_it_is_kept(trained, tmp_path):
    """One step from the trained model; then nothing of it stays, because the share of another one is 1."""
    other = pipnet()
    other.set_weights([weight + 0.01 for weight in trained[0].get_weights()])
    other.save(tmp_path / "other.keras")
    root = kfa.data.write_pts(tmp_path / "faces", train=4, test=2, size=64, progress=False)
    paper = {**SETTINGS, "begin_with": None, "keep": 0.0, "keep_of": None, "epochs": 1}
    argv = ["--begin-with", str(trained[1]), "--keep", "1", "--keep-of", str(tmp_path / "other.keras")]
    settings = kfa.training.parse_settings("", paper, {}, argv=[*argv, "--out", str(tmp_path / "run")])
    model, _ = kfa.training.run(pipnet, kfa.data.pts(root), kfa.data.RandomView(), settings, export=None)
    for ours, theirs in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-7)


def test_a_model_is_not_named_in_vain(capsys):
    with pytest.raises(SystemExit):
        kfa.training.parse_settings("", {"begin_with": None, "keep": 0.0, "keep_of": None}, {}, argv=["--keep-of", "m.keras"])
    assert "--keep-of names the model of which --keep, a share from 0 to 1, is kept: give both" in capsys.readouterr().err


@pytest.mark.parametrize("given", [["--keep", "0.5"], ["--keep", "-1", "--begin-with", "m.keras"], ["--keep", "2"]])
def test_what_can_not_be_kept_is_told_before_the_training(given, capsys):
    with pytest.raises(SystemExit):
        kfa.training.parse_settings("", {"begin_with": None, "keep": 0.0}, {}, argv=given)
    assert "--keep is a share, from 0 to 1, of the weights of --begin-with" in " ".join(capsys.readouterr().err.split())


def test_the_model_inside_a_calibrated_one_begins_a_training(trained, tmp_path):
    model, _ = trained
    path, crops = tmp_path / "sure.keras", np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3)).astype("uint8")
    kfa.models.CalibratedAligner(model, radii=[(0.9, 2.146)]).save(path)
    new = pipnet()
    begin_with(new, str(path))
    np.testing.assert_array_equal(new.align(crops)[0], model.align(crops)[0])
    with_backbone = pipnet(scheme="wflw98", backbone_weights=str(path))
    for ours, theirs in zip(
        with_backbone.network.get_layer("backbone").get_weights(), model.network.get_layer("backbone").get_weights(), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
    with pytest.raises(ValueError, match="scheme is ibug68 there and wflw98 here"):
        begin_with(pipnet("wflw98"), str(path))


def test_a_preset_begins_a_training_by_its_name():
    name = kfa.presets.names()[0]
    preset = kfa.from_preset(name)
    new = type(preset).from_config(preset.get_config())
    new.weights[0].assign(keras.ops.zeros_like(new.weights[0]))
    begin_with(new, name, kfa.load)
    for ours, theirs in zip(new.get_weights(), preset.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    "build, message",
    [
        (
            lambda: pipnet("wflw98"),
            "scheme is ibug68 there and wflw98 here; neighbors is a table of 68 x 2 there and a table of 98 x 2 here",
        ),
        (lambda: pipnet(neighbors=5), "neighbors is a table of 68 x 2 there and a table of 68 x 5 here"),
        (
            lambda: kfa.models.CoordNet("ibug68", backbone="resnet18", backbone_width=0.125, input_size=64),
            "it is PIPNet, this is CoordNet",
        ),
    ],
)
def test_another_network_is_refused(trained, build, message):
    model = build()
    before = model.get_weights()
    with pytest.raises(ValueError, match=f"model.keras cannot begin this training.*{message}"):
        begin_with(model, str(trained[1]))
    assert all(np.array_equal(ours, was) for ours, was in zip(model.get_weights(), before, strict=True))


def test_other_neighbours_of_the_same_number_are_another_network(trained):
    """The weights would fit, and mean other points."""
    config = trained[0].get_config()
    config["neighbors"] = [[b, a] for a, b in config["neighbors"]]
    with pytest.raises(ValueError, match="neighbors is a table of 68 x 2 there"):
        begin_with(kfa.models.PIPNet.from_config(config), str(trained[1]))


def test_what_is_not_there_or_has_no_weights_is_refused(trained, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere.keras"):
        begin_with(pipnet(), str(tmp_path / "nowhere.keras"))
    kfa.deploy.export(trained[0], tmp_path / "model.tflite", format="litert")
    with pytest.raises(ValueError, match=r"model.tflite has no weights to go on with"):
        begin_with(pipnet(), str(tmp_path / "model.tflite"), kfa.load)


def test_a_run_begins_with_it_and_is_resumed_only_with_the_same(trained, tmp_path):
    shape = kfa.schemes.get("ibug68").mean_shape
    some = kfa.data.Faces("ibug68", ["a.png"] * 4, np.tile(100 * shape, (4, 1, 1)))
    faces = kfa.data.Dataset(
        name="faces", scheme=some.scheme, train=some, test=some[:2], subsets={}, enlarge=1.25, normalizer="inter_ocular"
    )
    settings = argparse.Namespace(
        **SETTINGS, seed=0, precision="float32", out=str(tmp_path), resume=False, begin_with=str(trained[1])
    )
    model, history = start_or_resume(pipnet, settings, describe(faces, settings), adam)
    assert history == [] and model.compiled
    for ours, theirs in zip(model.get_weights(), trained[0].get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    before = describe(faces, settings)
    settings.begin_with = None
    with pytest.raises(ValueError, match=r"begin_with was .* and is None"):
        check_same(before, describe(faces, settings), tmp_path)
