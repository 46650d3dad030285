"""Exported models whose scheme is the user's own, and nowhere registered."""

import importlib.util
import json

import keras
import numpy as np
import pytest

from kfacealign import deploy, models, schemes
from kfacealign.codecs import Coordinates
from kfacealign.deploy import metadata

SCHEME = schemes.Scheme.from_config(
    {
        "name": "four",
        "point_names": ["left_eye", "right_eye", "left_mouth", "right_mouth"],
        "mirror": [1, 0, 3, 2],
        "regions": {"eyes": [0, 1], "mouth": [2, 3]},
        "contours": [{"name": "mouth", "points": [2, 3]}],
        "eye_corners": [0, 1],
        "pupils": [[0], [1]],
        "mean_shape": [[0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [0.75, 0.75]],
    }
)


@pytest.fixture(scope="module")
def model():
    image = keras.Input((8, 8, 3), name="image")
    points = keras.layers.Dense(8)(keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(image)))
    return models.FaceAligner(keras.Model(image, {"landmarks": keras.layers.Reshape((4, 2))(points)}), Coordinates(), SCHEME)


@pytest.mark.parametrize("name", ["m.tflite", "m.onnx", "m.xml", "m"])
def test_an_exported_model_brings_its_scheme_along(model, name, tmp_path):
    if name.endswith((".onnx", ".xml")):
        pytest.importorskip("tf2onnx")
    if name.endswith(".xml") and importlib.util.find_spec("openvino") is None:
        pytest.skip("openvino is not installed (extra: openvino)")
    path = deploy.export(model, tmp_path / name, **({} if "." in name else {"format": "savedmodel"}))
    loaded = deploy.load(path, trust=True)
    assert "four" not in schemes.SCHEMES and loaded.scheme == SCHEME
    crops = np.random.default_rng(0).integers(0, 255, (1, 8, 8, 3))
    np.testing.assert_allclose(loaded.align(crops)[0], model.align(crops)[0], atol=1e-5)


def told(**changes):
    found = json.loads(metadata.describe(small_described(), "float32"))
    return json.dumps({key: value for key, value in {**found, **changes}.items() if value is not None})


def small_described():
    """What `describe` needs of a model."""

    class Described:
        scheme, input_size, enlarge = SCHEME, 8, 1.25

    return Described()


def scheme_of(text):
    return metadata.scheme_of(metadata.parse(text, "m.onnx"), "m.onnx")


def test_metadata_of_before_has_names_and_mirror_alone(monkeypatch):
    older = told(**dict.fromkeys(("regions", "contours", "eye_corners", "pupils", "mean_shape")))
    made = scheme_of(older)
    assert made.matches(SCHEME) and made.regions == {"points": (0, 1, 2, 3)} and made.contours == ()
    monkeypatch.setitem(schemes.SCHEMES, "four", SCHEME)
    assert scheme_of(older) is SCHEME
    other = schemes.Scheme.from_config({**SCHEME.get_config(), "mirror": [0, 1, 2, 3]})
    monkeypatch.setitem(schemes.SCHEMES, "four", other)
    assert scheme_of(older).matches(SCHEME) and scheme_of(told()) == SCHEME


def test_schemes_of_this_package_are_known_by_name():
    text = json.dumps({"scheme": "aflw19", "input_size": 8, "enlarge": 1.2})
    assert scheme_of(text) is schemes.AFLW19
    assert "mean_shape" not in json.loads(
        metadata.describe(type("", (), {"scheme": schemes.AFLW19, "input_size": 8, "enlarge": 1.2}), "int8")
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mirror": [1, 2, 0, 3]}, "scheme 'four': mirror is not its own inverse, point 0 becomes 1"),
        ({"mirror": [1, 0, 2, 4]}, "scheme 'four': entry 3 of mirror is 4, expected a whole number from 0 to 3"),
        ({"mirror": [1, 0]}, "mirror has 2 entries for 4 points"),
        ({"point_names": ["a", "a", "b", "c"]}, "points 0 and 1 are both called 'a'"),
        ({"point_names": [], "mirror": []}, "point_names is empty"),
        ({"contours": {"a": [0, 1]}}, "contours holds a dict"),
        ({"contours": [{"name": "a", "points": [0, 9]}]}, "entry 1 of contours is 9"),
        ({"regions": [0]}, r"regions holds \[0\]"),
        ({"eye_corners": [0, "1"]}, "entry 1 of eye_corners is '1'"),
        ({"pupils": 5}, "pupils holds 5"),
        ({"mean_shape": [[0, 0]]}, "mean_shape holds a list of 1"),
        ({"num_points": 5}, "num_points = 5, and describes 4"),
        ({"scheme": ""}, "name holds ''"),
        ({"scheme": "none", "mirror": None}, "no landmark scheme 'none'; there are"),
        ({"scheme": "aflw19"}, "its metadata names the scheme aflw19 and has another point_names"),
    ],
)
def test_a_scheme_in_metadata_is_checked(changes, message):
    with pytest.raises(ValueError, match=rf"^m\.onnx: .*{message}.*export the model again"):
        metadata.parse(told(**changes), "m.onnx")
