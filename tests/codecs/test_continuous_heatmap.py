import numpy as np
import pytest

from kfacealign.codecs.continuous_heatmap import ContinuousHeatmap


def as_outputs(targets):
    return {"heatmap_1": targets["heatmap"]}


@pytest.fixture(scope="module")
def landmarks():
    return np.random.default_rng(0).uniform(0.1, 0.9, (2, 50, 2)).astype("float32")


def test_the_gaussian_stands_at_the_true_position():
    """x = 8.2 and y = 6.9 cells from the edge; the centre of cell i is i + 0.5. Eq. 1 with height 1."""
    heatmap = np.asarray(ContinuousHeatmap(16, sigma=1.5).encode(np.array([[[8.2 / 16, 6.9 / 16]]], "float32"))["heatmap"])
    rows, columns = np.mgrid[0:16, 0:16] + 0.5
    squared = (columns - 8.2) ** 2 + (rows - 6.9) ** 2
    np.testing.assert_allclose(heatmap[0, :, :, 0], np.where(squared <= 4.5**2, np.exp(-squared / 4.5), 0), atol=1e-5)


def test_round_trip_is_within_a_hundredth_of_a_cell(landmarks):
    codec = ContinuousHeatmap(64)
    decoded, scores = codec.decode(as_outputs(codec.encode(landmarks)))
    assert np.abs(np.asarray(decoded) - landmarks).max() < 0.01 / 64
    assert (np.asarray(scores) > 0.93).all()


def test_the_papers_window_and_temperature_are_biased_on_a_sigma_of_one(landmarks):
    """What makes the defaults: with sigma 1 the softmax is a tenth of a cell narrower than the grid can sample."""
    codec = ContinuousHeatmap(64, sigma=1.0, window=5, temperature=10.0)
    error = 64 * np.abs(np.asarray(codec.decode(as_outputs(codec.encode(landmarks)))[0]) - landmarks)
    assert 0.05 < error.mean() < 0.12


def test_mirrored_maps_are_those_of_mirrored_landmarks(landmarks):
    codec = ContinuousHeatmap(32)
    mirrored = landmarks * [-1, 1] + [1, 0]
    maps, other = (np.asarray(codec.encode(points.astype("float32"))["heatmap"]) for points in (landmarks, mirrored))
    np.testing.assert_allclose(other, maps[:, :, ::-1], atol=1e-4)
    decoded = np.asarray(codec.decode({"heatmap_1": maps[:, :, ::-1].copy()})[0])
    np.testing.assert_allclose(decoded, mirrored, atol=0.01 / 32)


def test_points_outside_the_crop_go_to_its_edge():
    codec = ContinuousHeatmap(32)
    decoded = np.asarray(codec.decode(as_outputs(codec.encode(np.array([[[-0.3, 0.5], [0.5, 2.0]]], "float32"))))[0])
    np.testing.assert_allclose(decoded, [[[0, 0.5], [0.5, 1]]], atol=1 / 32)
    assert decoded.min() >= 0 and decoded.max() <= 1


def test_loss_is_the_squared_error_over_all_stacks():
    rng = np.random.default_rng(0)
    codec = ContinuousHeatmap(8)
    targets = codec.encode(rng.uniform(0.2, 0.8, (2, 3, 2)).astype("float32"))
    outputs = {f"heatmap_{s}": rng.normal(size=(2, 8, 8, 3)).astype("float32") for s in (1, 2)}
    weights = np.array([[1, 1, 0], [1, 0, 0]], "float32")
    errors = [((maps - np.asarray(targets["heatmap"])) ** 2).mean((1, 2))[weights > 0].mean() for maps in outputs.values()]
    np.testing.assert_allclose(codec.loss(targets, outputs, weights)["heatmap_loss"], np.mean(errors), rtol=1e-5)
    assert set(codec.warmup_loss(np.zeros((2, 3, 2), "float32"), outputs, weights)) == set(codec.warmup_terms)


def test_configuration():
    codec = ContinuousHeatmap(32, 1.5, decoder="dark", window=5, temperature=12.0)
    assert codec.get_config() == {"size": 32, "sigma": 1.5, "decoder": "dark", "window": 5, "temperature": 12.0}
