"""What a run was begun with is what it goes on with: settings, configuration of the model, views, faces and labels."""

import argparse
import json

import keras
import numpy as np
import pytest

import kfacealign as kfa
from kfacealign.training.loop import adam, start_or_resume
from kfacealign.training.resuming import NOT_COMPARED, check_same, describe, describe_model, fingerprint

SETTINGS = {
    "dataset": "pts",
    "scheme": "ibug68",
    "align": "box",
    "variant": "tiny",
    "input_size": 64,
    "enlarge": 1.25,
    "epochs": 4,
    "warmup_epochs": 2,
    "batch_size": 4,
    "learning_rate": 1e-3,
    "drops": [3],
    "seed": 0,
    "precision": "float32",
    "strict": False,
    "scale": "quick",
    "begin_with": None,
    "loss": "wing",
    "gamma": 0.4,
    "out": "runs/a",
    "resume": False,
    "data_dir": "FOLDER",
    "unlabelled": None,
    "cache": "memory",
}
# Another value for every setting.
CHANGED = {
    **{name: "other" for name, value in SETTINGS.items() if value is None or isinstance(value, str)},
    **{name: value + 1 for name, value in SETTINGS.items() if isinstance(value, int | float)},
    **{name: not value for name, value in SETTINGS.items() if isinstance(value, bool)},
    "drops": [2],
}


def faces(count=4, shift=0.0):
    landmarks = np.tile(100 * kfa.schemes.get("ibug68").mean_shape, (count, 1, 1))
    landmarks[0, 0, 0] += shift
    return kfa.data.Faces("ibug68", [f"{number}.png" for number in range(count)], landmarks, names=list("abcdef"[:count]))


def dataset(train=None, test=None):
    train, test = faces() if train is None else train, faces(2) if test is None else test
    return kfa.data.Dataset(
        name="faces", scheme=train.scheme, train=train, test=test, subsets={}, enlarge=1.25, normalizer="inter_ocular"
    )


def described(changed=None, of=None, views=None, **further):
    return describe(of or dataset(), argparse.Namespace(**{**SETTINGS, **(changed or {})}), views=views, **further)


def test_the_same_is_the_same_and_survives_a_file():
    again = json.loads(json.dumps(described(views=kfa.data.RandomView(scheme="ibug68"))))
    check_same(again, described(views=kfa.data.RandomView(scheme="ibug68")), "runs/a")


@pytest.mark.parametrize("name", sorted(set(SETTINGS) - set(NOT_COMPARED) - {"dataset", "scheme"}))
def test_every_setting_is_compared(name):
    with pytest.raises(ValueError, match=rf"runs/a cannot be resumed with other settings: {name} was .* and is .*"):
        check_same(described(), described({name: CHANGED[name]}), "runs/a")


@pytest.mark.parametrize("name", NOT_COMPARED)
def test_where_things_are_and_how_far_to_go_may_change(name):
    check_same(described(), described({name: CHANGED.get(name, "other")}), "runs/a")


def test_both_values_are_named_of_everything_that_differs():
    with pytest.raises(ValueError, match=r"learning_rate was 0.001 and is 0.1; gamma was 0.4 and is 2$"):
        check_same(described(), described({"learning_rate": 0.1, "gamma": 2}), "runs/a")


def test_a_setting_that_is_new_or_of_another_run_is_named():
    with pytest.raises(ValueError, match="frames was None and is 10"):
        check_same(described(), described(frames=10), "runs/a")


def test_labels_and_names_of_the_faces_are_compared():
    moved = dataset(faces(shift=0.01))
    with pytest.raises(ValueError, match=r"train labels was \w{12} and is \w{12}$"):
        check_same(described(), described(of=moved), "runs/a")
    fewer = dataset(faces(3))
    with pytest.raises(ValueError, match="train faces was 4 and is 3; train labels was"):
        check_same(described(), described(of=fewer), "runs/a")
    with pytest.raises(ValueError, match=r"other settings: test labels was \w{12} and is \w{12}$"):
        check_same(described(), described(of=dataset(test=faces(2, shift=1.0))), "runs/a")


def test_a_fingerprint_is_of_names_landmarks_weights_and_boxes():
    one = faces()
    assert fingerprint(one) == fingerprint(faces()) and len(fingerprint(one)) == 12
    renamed, hidden, boxed = faces(), faces(), faces()
    renamed.names[0] = "z"
    hidden.weights[1, 5] = 0
    boxed.boxes[0] += 1
    assert len({fingerprint(some) for some in (one, renamed, hidden, boxed, faces(shift=1e-3))}) == 5
    clips = kfa.data.Clips(one, [[0, 1], [2, 3]])
    assert fingerprint(clips) == fingerprint(one) != fingerprint(kfa.data.Clips(one, [[0, 1]]))


def test_views_are_compared():
    views, others = (kfa.data.RandomView(scheme="ibug68", rotation=rotation) for rotation in (10.0, 30.0))
    with pytest.raises(ValueError, match=r"views\.rotation was 10\.0 and is 30\.0"):
        check_same(described(views=views), described(views=others), "runs/a")


# === The model ===


def aligner(units=4, **changed):
    image = keras.Input((16, 16, 3))
    x = keras.layers.Dense(units)(keras.layers.GlobalAveragePooling2D()(image))
    points = keras.layers.Reshape((68, 2))(keras.layers.Dense(136)(x))
    return kfa.models.FaceAligner(keras.Model(image, {"landmarks": points}), kfa.codecs.Coordinates(), "ibug68", **changed)


def test_names_that_keras_numbers_anew_are_no_difference():
    assert describe_model(aligner()) == describe_model(aligner())


@pytest.mark.parametrize("changed, name", [({"units": 5}, "network"), ({"enlarge": 1.5}, "enlarge was 1.25 and is 1.5")])
def test_a_changed_hyperparameter_of_the_model_is_refused(tmp_path, changed, name):
    settings = argparse.Namespace(**{**SETTINGS, "out": str(tmp_path), "resume": True})
    before = describe(dataset(), settings)
    model, history = start_or_resume(aligner, settings, before, adam)
    model.optimizer.build(model.trainable_variables)
    checkpoint = kfa.training.EpochCheckpoint(tmp_path, history, before, "training")
    checkpoint.set_model(model)
    checkpoint.on_epoch_end(0, {"loss": 1.0})

    resumed, history = start_or_resume(aligner, settings, describe(dataset(), settings), adam)
    assert len(history) == 1 and all(
        np.array_equal(a, b) for a, b in zip(resumed.get_weights(), model.get_weights(), strict=True)
    )
    with pytest.raises(ValueError, match=rf"cannot be resumed with other settings: hyperparameters\.{name}"):
        start_or_resume(lambda: aligner(**changed), settings, describe(dataset(), settings), adam)


def test_a_models_own_hyperparameters_are_told_one_by_one():
    first, second = (kfa.models.FAN("ibug68", stacks=1, width=width, input_size=64) for width in (16, 32))
    with pytest.raises(ValueError, match=r"hyperparameters.width was 16 and is 32$"):
        check_same({"hyperparameters": describe_model(first)}, {"hyperparameters": describe_model(second)}, "runs/a")
