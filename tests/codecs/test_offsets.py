import numpy as np
import pytest

from kfacealign.codecs.offsets import OffsetMap, OffsetValue


@pytest.fixture(scope="module")
def landmarks():
    """Far enough from one another that no two share a cell of 16."""
    grid = np.stack(np.meshgrid(np.arange(4), np.arange(3)), -1).reshape(1, 12, 2)
    return ((grid * 3 + 1 + np.random.default_rng(0).uniform(0, 1, (2, 12, 2))) / 16).astype("float32")


def as_outputs(targets):
    return {"heatmap_1" if name == "heatmap" else name: value for name, value in targets.items()}


@pytest.mark.parametrize("quantize", ["floor", "round"])
@pytest.mark.parametrize("kind", [OffsetValue, OffsetMap])
def test_round_trip_is_exact(kind, quantize, landmarks):
    codec = kind(16, quantize=quantize)
    decoded, scores = codec.decode(as_outputs(codec.encode(landmarks)))
    np.testing.assert_allclose(decoded, landmarks, atol=1e-6)
    np.testing.assert_array_equal(scores, np.ones((2, 12)))


def test_targets_by_hand():
    """x = 3.25 and y = 7.75 cells: cell (3, 7), offset (0.25, 0.75); rounded, cell (3, 8) and offset (0.25, -0.25)."""
    point = np.array([[[3.25 / 16, 7.75 / 16]]], "float32")
    targets = OffsetMap(16).encode(point)
    np.testing.assert_array_equal(targets["cells"], [[[3, 7]]])
    expected = np.zeros((1, 16, 16, 2))
    expected[0, 7, 3] = 0.25, 0.75
    np.testing.assert_allclose(targets["offset_map"], expected)
    np.testing.assert_allclose(OffsetValue(16, quantize="round").encode(point)["offset"], [[[0.25, -0.25]]])


def test_landmarks_in_one_cell_share_its_offset():
    points = np.array([[[3.2 / 16, 7.5 / 16], [3.6 / 16, 7.5 / 16]]], "float32")
    codec = OffsetMap(16)
    np.testing.assert_allclose(codec.decode(as_outputs(codec.encode(points)))[0], [[[3.4 / 16, 7.5 / 16]] * 2], atol=1e-6)


def smooth_l1(error):
    return np.where(np.abs(error) < 1, 0.5 * error**2, np.abs(error) - 0.5).sum(-1)


def test_loss_of_values(landmarks):
    rng = np.random.default_rng(1)
    shapes = {"heatmap_1": (2, 16, 16, 12), "offset": (2, 12, 2)}
    outputs = {name: rng.normal(size=shape).astype("float32") for name, shape in shapes.items()}
    weights = (rng.uniform(size=(2, 12)) > 0.5).astype("float32")
    codec = OffsetValue(16, alpha=0.3)
    targets = codec.encode(landmarks)
    terms = codec.loss(targets, outputs, weights)
    position = landmarks * 16
    expected = 0.3 * smooth_l1(outputs["offset"] - (position - np.floor(position)))[weights > 0].mean()
    np.testing.assert_allclose(terms["offset_loss"], expected, rtol=1e-5)
    squared = ((outputs["heatmap_1"] - np.asarray(targets["heatmap"])) ** 2).mean((1, 2))
    np.testing.assert_allclose(terms["heatmap_loss"], squared[weights > 0].mean(), rtol=1e-5)


def test_dynamic_ground_truth_leads_from_the_predicted_maximum(landmarks):
    maps = np.zeros((2, 16, 16, 12), "float32")
    maps[:, 5, 9] = 1
    outputs = {"heatmap_1": maps, "offset": np.zeros((2, 12, 2), "float32")}
    codec = OffsetValue(16, alpha=1.0, quantize="round", ground_truth="dynamic", offset_loss="l2")
    weights = np.ones((2, 12), "float32")
    expected = 0.5 * np.square(landmarks * 16 - [9, 5]).sum(-1).mean()
    np.testing.assert_allclose(codec.loss(codec.encode(landmarks), outputs, weights)["offset_loss"], expected, rtol=1e-5)


def test_loss_of_maps_is_at_the_landmarks_cells(landmarks):
    rng = np.random.default_rng(1)
    codec = OffsetMap(16, alpha=1.0)
    targets = codec.encode(landmarks)
    maps = rng.normal(size=(2, 16, 16, 2)).astype("float32")
    outputs = {"heatmap_1": targets["heatmap"], "offset_map": maps}
    cells = np.asarray(targets["cells"]).astype(int)
    at = maps[np.arange(2)[:, None], cells[..., 1], cells[..., 0]]
    expected = smooth_l1(at - np.asarray(targets["offset"])).mean()
    np.testing.assert_allclose(codec.loss(targets, outputs, np.ones((2, 12), "float32"))["offset_loss"], expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"quantize": "ceil"}, "quantize is"),
        ({"offset_loss": "l1"}, "offset_loss is one of"),
        ({"ground_truth": "none"}, "ground_truth is"),
    ],
)
def test_what_is_not_there_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        OffsetValue(**arguments)
