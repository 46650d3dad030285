"""Models that say how sure they are: the head by hand, files, mirrored crops, exports, and models that do not say it."""

import functools
import importlib.util
import json

import keras
import numpy as np
import pytest

import kfacealign as kfa
from kfacealign import deploy, models
from kfacealign.layers.certainty import CertaintyHead, cholesky, covariance, sampled
from kfacealign.layers.hourglass import stacked_hourglass
from kfacealign.models.inference import FlipAverage

SIZE = 64
METHODS = {
    "PIPNet": lambda: models.PIPNet("aflw19", backbone="mobilenet_v2", input_size=SIZE, neighbors=3),
    "HIH": lambda: models.HIH("aflw19", width=16, input_size=SIZE, decimal_size=2, decimal_width=8),
    "FAN": lambda: models.FAN("aflw19", stacks=1, width=16, input_size=SIZE),
    "LOTR": lambda: models.LOTR("aflw19", input_size=SIZE, layers=1, heads=2),
    "AttentiveHeatmap1D": lambda: models.AttentiveHeatmap1D("aflw19", stacks=1, width=16, input_size=SIZE),
}


@pytest.fixture(scope="module", autouse=True)
def tiny_backbones():
    """Backbones of one convolution and hourglasses of one level: those of the papers take seconds to build."""

    def backbone(name, input_size, weights=None, width=1.0, last_expansion=True):
        image = keras.Input((input_size, input_size, 3), name="image")
        pooled = keras.layers.AveragePooling2D(8)(keras.ops.multiply(image, 1 / 255))
        x = keras.layers.Conv2D(16, 4, strides=4, activation="relu")(pooled)
        return keras.Model(image, x, name="backbone")

    with pytest.MonkeyPatch.context() as patch:
        # One level of hourglass in place of four, of the same layers.
        patch.setattr("kfacealign.models.hih.stacked_hourglass", functools.partial(stacked_hourglass, depth=1))
        for module in ("pipnet", "lotr", "coordnet"):
            patch.setattr(f"kfacealign.models.{module}.make_backbone", backbone)
        yield


def crops(count=3):
    noise = np.random.default_rng(0).uniform(0, 255, (count, 8, 8, 3))
    return np.kron(noise, np.ones((1, SIZE // 8, SIZE // 8, 1))).astype("float32")


def calibrated(model):
    """A calibrated model whose head says something else of every crop and point."""
    made = models.CalibratedAligner(model, radii=[(0.5, 1.1), (0.9, 2.146)])
    rng = np.random.default_rng(1)
    made.head.set_weights([rng.normal(0, 0.3, weight.shape) for weight in made.head.weights])
    return made


@pytest.fixture(scope="module")
def small(tiny_backbones):
    keras.utils.set_random_seed(0)
    return calibrated(METHODS["PIPNet"]())


# === The head ===


def test_a_map_is_read_by_interpolation():
    # Two rows and four columns whose numbers are 10 row + column: centres lie at (column + 0.5) / 4 and (row + 0.5) / 2.
    cells = (10.0 * np.arange(2)[:, None] + np.arange(4))[None, :, :, None].astype("float32")
    places = [[0.125, 0.25], [0.875, 0.25], [0.125, 0.75], [0.5, 0.5], [0.3, 0.25], [-3, 0.25], [9, 9]]
    found = sampled(cells, np.array([places], "float32"))
    np.testing.assert_allclose(np.ravel(found), [0, 3, 10, 6.5, 0.7, 0, 13], atol=1e-5)


def test_an_ellipse_by_hand():
    np.testing.assert_allclose(covariance(np.array([2.0, 1.0, 3.0])), [4, 2, 10])
    usual = np.exp(-4.0)
    np.testing.assert_allclose(cholesky(np.zeros(4, "float32")), [usual, 0, usual], rtol=1e-6)
    found = np.asarray(cholesky(np.array([[1e3, 1e3, -1e3, 0], [-1e3, -1e3, 1e3, 0]], "float32")))
    assert np.isfinite(found).all() and (found[:, [0, 2]] > 0).all()
    np.testing.assert_allclose(found[:, 1] / found[:, 2], [2, -2])


def test_the_calibration_scales_ellipses_and_moves_logits():
    features, landmarks = np.ones((1, 2, 2, 4), "float32"), np.full((1, 3, 2), 0.5, "float32")
    tensors = {"map": features, "landmarks": landmarks, "scores": np.ones((1, 3), "float32")}
    plain, moved = CertaintyHead(3, 4), CertaintyHead(3, 4, scale=2.0, slope=3.0, offset=-1.0)
    moved.set_weights(plain.get_weights())
    before, after = plain(tensors), moved(tensors)
    np.testing.assert_allclose(after["covariance"], 4 * np.asarray(before["covariance"]), rtol=1e-5)
    said = np.asarray(before["visibility"], float)
    expected = 1 / (1 + np.exp(-(3 * np.log(said / (1 - said)) - 1)))
    np.testing.assert_allclose(after["visibility"], expected, rtol=1e-4)


# === The model ===


@pytest.mark.parametrize("method", METHODS)
def test_every_method_saves_loads_and_keeps_its_landmarks(method, tmp_path):
    keras.utils.set_random_seed(0)
    model, images = METHODS[method](), crops()
    before = model.align(images)
    made = calibrated(model)
    found = made.align_all(images)
    assert list(found) == ["landmarks", "scores", "visibility", "covariance"]
    for name, values in zip(("landmarks", "scores"), before, strict=True):
        np.testing.assert_array_equal(found[name], values)
    assert found["visibility"].shape == (3, 19) and found["covariance"].shape == (3, 19, 3)
    assert ((found["visibility"] > 0) & (found["visibility"] < 1)).all() and np.ptp(found["visibility"]) > 1e-3
    xx, xy, yy = np.moveaxis(found["covariance"], -1, 0)
    assert (xx > 0).all() and (xx * yy - xy * xy > 0).all()
    made.save(tmp_path / "made.keras")
    loaded = kfa.load(tmp_path / "made.keras")
    assert type(loaded.aligner) is type(model) and loaded.radii == {0.5: 1.1, 0.9: 2.146}
    for name, values in loaded.align_all(images).items():
        np.testing.assert_array_equal(values, found[name])
    # The model that it was made of is as it was.
    for values, expected in zip(model.align(images), before, strict=True):
        np.testing.assert_array_equal(values, expected)


def test_a_mirrored_crop_swaps_points_and_mirrors_ellipses(small):
    images = crops(2)
    found, once = small.align_all(images, flip=True), small.align_all(images)
    other = small.align_all(images[:, :, ::-1])
    mirror = list(small.scheme.mirror)
    np.testing.assert_allclose(found["visibility"], (once["visibility"] + other["visibility"][:, mirror]) / 2, atol=1e-5)
    back = other["covariance"][:, mirror] * [1, -1, 1]
    np.testing.assert_allclose(found["covariance"], (once["covariance"] + back) / 2, rtol=1e-3)


def test_the_average_of_mirrored_answers_by_hand():
    both = {
        "both_landmarks": np.array([[[0.2, 0.5], [0.7, 0.5]], [[0.3, 0.5], [0.8, 0.5]]], "float32"),
        "both_scores": np.ones((2, 2), "float32"),
        "both_visibility": np.array([[0.2, 0.9], [0.7, 0.4]], "float32"),
        "both_covariance": np.array([[[4, 1, 2], [1, 0, 1]], [[3, 2, 3], [6, -3, 4]]], "float32"),
    }
    found = FlipAverage([1, 0])(both)
    np.testing.assert_allclose(found["visibility"], [[0.3, 0.8]], rtol=1e-6)
    np.testing.assert_allclose(found["covariance"], [[[5, 2, 3], [2, -1, 2]]])


def test_what_is_not_calibrated(small):
    tracker = models.AttentiveHeatmap1DTracker(METHODS["AttentiveHeatmap1D"]())
    with pytest.raises(ValueError, match="tracker is not calibrated"):
        models.CalibratedAligner(tracker)
    with pytest.raises(ValueError, match="calibrated already"):
        models.CalibratedAligner(small)
    with pytest.raises(ValueError, match="CoordNet does not say which layer"):
        models.CalibratedAligner(models.CoordNet("aflw19", backbone="mobilenet_v2", input_size=SIZE))
    with pytest.raises(ValueError, match="a calibrated model is not trained"):
        small.compile("adam")


# === Exports ===


def assert_same(found, expected, *, margin):
    np.testing.assert_allclose(found["landmarks"], expected["landmarks"], atol=margin)
    np.testing.assert_allclose(found["visibility"], expected["visibility"], atol=10 * margin)
    np.testing.assert_allclose(found["covariance"], expected["covariance"], rtol=100 * margin)


@pytest.mark.parametrize("method", ["PIPNet", "LOTR"])
def test_tflite_files_say_the_same(method, tmp_path):
    keras.utils.set_random_seed(0)
    made, images = calibrated(METHODS[method]()), crops()
    path = deploy.export(made, tmp_path / "made.tflite")
    exported = deploy.load(path)
    assert exported.answers == ("landmarks", "scores", "visibility", "covariance")
    assert exported.radii == {0.5: 1.1, 0.9: 2.146} and exported.metadata["model"] == method
    # The order in which bindings without names have them.
    assert sorted(exported.runner.get_output_details()) == ["covariance", "landmarks", "scores", "visibility"]
    shapes = [tuple(detail["shape"]) for detail in exported.interpreter.get_output_details()]
    assert shapes == [(1, 19, 3), (1, 19, 2), (1, 19), (1, 19)]
    assert_same(exported.align_all(images), made.align_all(images), margin=1e-4)
    landmarks, _ = exported.align(images)
    np.testing.assert_array_equal(landmarks, exported.align_all(images)["landmarks"])


def test_saved_models_and_mirrored_tflite_files_say_the_same(small, tmp_path):
    images = crops(2)
    whole = deploy.load(deploy.export(small, tmp_path / "made"), trust=True)
    assert_same(whole.align_all(images), small.align_all(images), margin=1e-4)
    flipped = deploy.load(deploy.export(small, tmp_path / "flip.tflite", flip=True))
    assert_same(flipped.align_all(images), small.align_all(images, flip=True), margin=1e-4)


@pytest.mark.parametrize(("name", "needed"), [("made.onnx", "tf2onnx"), ("made.xml", "openvino")])
def test_onnx_files_and_openvino_models_say_the_same(small, tmp_path, name, needed):
    if importlib.util.find_spec(needed) is None:
        pytest.skip(f"{needed} is not installed")
    found = deploy.load(deploy.export(small, tmp_path / name))
    assert found.answers == ("landmarks", "scores", "visibility", "covariance")
    assert_same(found.align_all(crops(2)), small.align_all(crops(2)), margin=1e-4)


def test_a_model_without_it_has_the_outputs_of_before(small, tmp_path):
    model = small.aligner
    assert model.answers == ("landmarks", "scores") and list(model.align_all(crops(1))) == ["landmarks", "scores"]
    exported = deploy.load(deploy.export(model, tmp_path / "plain.tflite"))
    assert sorted(exported.outputs) == ["landmarks", "scores"] and not exported.radii
    described = json.dumps(exported.metadata)
    assert "covariance" not in described and "ellipse" not in described
    assert exported.metadata["outputs"] == {"landmarks": "(1, points, 2)", "scores": "(1, points)"}
