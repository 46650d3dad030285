"""Models, metrics and views whose scheme is the user's own, and nowhere registered."""

import json
import zipfile

import keras
import numpy as np
import pytest

from kfacealign import models, schemes
from kfacealign.codecs import Coordinates
from kfacealign.data import FaceBatches, Faces, RandomView
from kfacealign.metrics.errors import NME
from kfacealign.models.loading import load_keras
from kfacealign.training.finetuning import begin_with

SCHEME = schemes.Scheme.from_config(
    {
        "name": "five",
        "point_names": ["left_eye", "right_eye", "nose", "left_mouth", "right_mouth"],
        "mirror": [1, 0, 2, 4, 3],
        "regions": {"eyes": [0, 1], "nose": [2], "mouth": [3, 4]},
        "contours": [{"name": "mouth", "points": [3, 4]}],
        "eye_corners": [0, 1],
        "mean_shape": [[0.3, 0.3], [0.7, 0.3], [0.49, 0.51], [0.35, 0.7], [0.65, 0.7]],
    }
)


def small(scheme=SCHEME):
    image = keras.Input((8, 8, 3), name="image")
    points = keras.layers.Dense(2 * scheme.num_points)(keras.layers.Flatten()(image))
    network = keras.Model(image, {"landmarks": keras.layers.Reshape((scheme.num_points, 2))(points)})
    return models.FaceAligner(network, Coordinates(), scheme)


def with_config(path, change):
    """The `.keras` file with another configuration."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    change(config["config"])
    members["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def test_a_saved_model_brings_its_scheme_along(tmp_path):
    made = small()
    made.save(tmp_path / "five.keras")
    loaded = load_keras(tmp_path / "five.keras")
    assert "five" not in schemes.SCHEMES
    assert loaded.scheme == SCHEME and loaded.nme.scheme == SCHEME
    crops = np.random.default_rng(0).integers(0, 255, (2, 8, 8, 3))
    for flip in (False, True):
        np.testing.assert_allclose(loaded.align(crops, flip=flip)[0], made.align(crops, flip=flip)[0], atol=1e-6)


def test_a_scheme_in_a_model_file_is_checked(tmp_path):
    path = tmp_path / "five.keras"
    small().save(path)
    with_config(path, lambda config: config["scheme"].update(mirror=[1, 2, 0, 4, 3]))
    with pytest.raises(ValueError, match=r"five\.keras cannot be loaded: .*mirror is not its own inverse, point 0 becomes 1"):
        load_keras(path)
    with_config(path, lambda config: config.update(scheme="nobody"))
    with pytest.raises(ValueError, match=r"five\.keras cannot be loaded: .*no landmark scheme 'nobody'"):
        load_keras(path)


def test_pipnet_finds_neighbours_in_the_schemes_own_shape():
    model = models.PIPNet(SCHEME, backbone="mobilenet_v2", backbone_width=0.25, neighbors=2, input_size=64)
    # From an eye it is 0.28 to the nose and 0.403 to the mouth's corner on its side, but only 0.4 to the other eye.
    assert np.asarray(model.codec.neighbor_indices).tolist() == [[2, 1], [2, 0], [3, 4], [2, 4], [2, 3]]
    config = model.get_config()
    assert config["scheme"] == SCHEME.get_config()
    assert models.PIPNet.from_config(config).scheme == SCHEME


def test_parts_of_a_training_are_told_whole():
    metric = NME.from_config(NME(SCHEME).get_config())
    assert metric.scheme == SCHEME and metric.normalizer == "inter_ocular"
    view = RandomView.from_config(json.loads(json.dumps(RandomView(scheme=SCHEME, flip=1.0).get_config())))
    values = view.permute(np.arange(5.0)[None], np.array([[[-1.0, 0, 1], [0, 1, 0]]]))
    assert np.asarray(values).tolist() == [[1, 0, 2, 4, 3]]
    assert RandomView(scheme="ibug68").get_config()["scheme"] == "ibug68"


def test_views_of_another_mirror_are_refused():
    """Points of one's own may be as many as those of a scheme of this package, by whose mirror views go that have no scheme."""
    own = schemes.Scheme.from_config(
        {"name": "mine", "point_names": [f"point_{point}" for point in range(19)], "mirror": list(range(19))}
    )
    faces = {
        scheme.name: Faces(scheme, ["a.jpg"], np.random.default_rng(0).random((1, scheme.num_points, 2)) * 100)
        for scheme in (SCHEME, own, schemes.AFLW19)
    }
    options = {"size": 8, "batch_size": 1}
    with pytest.raises(ValueError, match="the views exchange other points in a mirror than mine does"):
        FaceBatches(faces["mine"], views=RandomView(), **options)
    with pytest.raises(ValueError, match="no scheme is known by its 5 landmarks: pass scheme="):
        FaceBatches(faces["five"], views=RandomView(), **options)
    with pytest.raises(ValueError, match="scheme five has 5 landmarks, the input 19"):
        FaceBatches(faces["mine"], views=RandomView(scheme=SCHEME), **options)
    for its in faces.values():
        FaceBatches(its, views=RandomView(scheme=its.scheme), **options)
        FaceBatches(its, views=RandomView(flip=0.0), **options)
    FaceBatches(faces["aflw19"], views=RandomView(), **options)


def test_going_on_needs_the_same_points(tmp_path):
    made, path = small(), tmp_path / "five.keras"
    made.save(path)
    drawn = schemes.Scheme.from_config({**SCHEME.get_config(), "contours": [], "mean_shape": None})
    again = small(drawn)
    begin_with(again, str(path))
    np.testing.assert_array_equal(again.get_weights()[0], made.get_weights()[0])
    other = schemes.Scheme.from_config({**SCHEME.get_config(), "mirror": [0, 1, 2, 3, 4]})
    with pytest.raises(ValueError, match="scheme is five with another mirror there and five here"):
        begin_with(small(other), str(path))
