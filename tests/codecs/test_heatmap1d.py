import keras
import numpy as np
import pytest

from kfacealign.codecs import ContinuousHeatmap, Heatmap1D


@pytest.fixture(scope="module")
def landmarks():
    return np.random.default_rng(0).uniform(0.1, 0.9, (2, 30, 2)).astype("float32")


def test_by_hand():
    """x = 5.5 and y = 2.25 bins from the edge of 16; the centre of bin i is i + 0.5; height 1; sigma 1.5."""
    targets = Heatmap1D(16, sigma=1.5).encode(np.array([[[5.5 / 16, 2.25 / 16]]], "float32"))
    x, y = (np.asarray(targets[name]) for name in ("heatmap_x", "heatmap_y"))
    assert x.shape == y.shape == (1, 16, 1)
    assert x[0, 5, 0] == pytest.approx(1.0) and x[0, 7, 0] == pytest.approx(np.exp(-4 / 4.5), abs=1e-5)
    assert y[0, 2, 0] == pytest.approx(np.exp(-(0.25**2) / 4.5), abs=1e-5)
    assert y[0, 0, 0] == pytest.approx(np.exp(-(1.75**2) / 4.5), abs=1e-5)
    decoded, scores = Heatmap1D(16, sigma=1.5).decode(targets)
    np.testing.assert_allclose(decoded, [[[5.5 / 16, 2.5 / 16]]], atol=1e-6)
    np.testing.assert_allclose(scores, [[np.exp(-(0.25**2) / 4.5)]], atol=1e-5)


def test_targets_are_the_marginals_of_the_2d_gaussian():
    """Eq. 12: sums of Eq. 2 along the other axis, up to the factor sigma sqrt(2 pi) that Eq. 2 leaves open."""
    points = np.random.default_rng(1).uniform(0.3, 0.7, (1, 9, 2)).astype("float32")
    sigma = 3.0
    cells = np.arange(64) + 0.5
    squared = (cells[None, :, None] - 64 * points[0, :, 0]) ** 2 + (cells[:, None, None] - 64 * points[0, :, 1]) ** 2
    joint = np.exp(-squared / (2 * sigma**2)) / (sigma * np.sqrt(2 * np.pi))
    targets = Heatmap1D(64, sigma).encode(points)
    np.testing.assert_allclose(targets["heatmap_x"][0], joint.sum(0), atol=1e-4)
    np.testing.assert_allclose(targets["heatmap_y"][0], joint.sum(1), atol=1e-4)
    same = np.asarray(ContinuousHeatmap(64, sigma).encode(points)["heatmap"])[0].sum(0) / (sigma * np.sqrt(2 * np.pi))
    np.testing.assert_allclose(same, targets["heatmap_x"][0], atol=0.02)  # that one is cut at three sigma


@pytest.mark.parametrize("size", [64, 768])
def test_argmax_is_within_half_a_bin(landmarks, size):
    codec = Heatmap1D(size)
    decoded, _ = codec.decode(codec.encode(landmarks))
    errors = np.abs(np.asarray(decoded) - landmarks) * size
    assert errors.max() <= 0.5 + 1e-3 and 0.2 < errors.mean() < 0.3


def test_local_soft_argmax_is_within_a_hundredth_of_a_bin(landmarks):
    codec = Heatmap1D(384, decoder="local")
    assert codec.sigma == 6.0 and codec.window == 25
    decoded, _ = codec.decode(codec.encode(landmarks))
    assert np.abs(np.asarray(decoded) - landmarks).max() * 384 < 0.01


def test_local_soft_argmax_by_hand_at_the_border():
    """The maximum is bin 0: of a window of 3 only bins 0 and 1 take part."""
    heatmap = np.zeros((1, 8, 1), "float32")
    heatmap[0, :2, 0] = [1.0, 0.5]
    codec = Heatmap1D(8, sigma=1.0, decoder="local", window=3, temperature=2.0)
    decoded, scores = codec.decode({"heatmap_x": heatmap, "heatmap_y": heatmap[:, ::-1].copy()})
    share = np.exp(1.0) / (np.exp(2.0) + np.exp(1.0))
    np.testing.assert_allclose(decoded, [[[(0.5 + share) / 8, 1 - (0.5 + share) / 8]]], atol=1e-6)
    np.testing.assert_allclose(scores, [[1.0]])


def test_of_equal_maxima_the_first_wins_and_the_lower_score_counts():
    x = np.zeros((1, 8, 1), "float32")
    x[0, [3, 5], 0] = 0.9
    y = np.full((1, 8, 1), 0.2, "float32")
    decoded, scores = Heatmap1D(8).decode({"heatmap_x": x, "heatmap_y": y})
    np.testing.assert_allclose(decoded, [[[3.5 / 8, 0.5 / 8]]])
    np.testing.assert_allclose(scores, [[0.2]])


@pytest.mark.parametrize("decoder", ["argmax", "local"])
def test_what_is_not_finite_gives_a_position_inside(decoder):
    heatmap = np.zeros((1, 8, 4), "float32")
    heatmap[0, :, 0] = np.nan
    heatmap[0, 2, 1] = np.inf
    heatmap[0, :, 2] = -np.inf
    heatmap[0, :, 3] = 3e38
    decoded, scores = Heatmap1D(8, decoder=decoder).decode({"heatmap_x": heatmap, "heatmap_y": heatmap})
    assert np.isfinite(decoded).all() and np.isfinite(scores).all()
    assert np.asarray(decoded).min() > 0 and np.asarray(decoded).max() < 1
    np.testing.assert_allclose(np.asarray(decoded)[0, 1], 2.5 / 8)


def test_mirrored_heatmaps_are_those_of_mirrored_landmarks(landmarks):
    codec = Heatmap1D(96, decoder="local")
    targets = {name: np.asarray(value) for name, value in codec.encode(landmarks).items()}
    mirrored = (landmarks * [-1, 1] + [1, 0]).astype("float32")
    np.testing.assert_allclose(codec.encode(mirrored)["heatmap_x"], targets["heatmap_x"][:, ::-1], atol=1e-4)
    decoded, _ = codec.decode({**targets, "heatmap_x": targets["heatmap_x"][:, ::-1].copy()})
    np.testing.assert_allclose(decoded, mirrored, atol=0.05 / 96)


def test_points_outside_the_crop_go_to_its_edge():
    codec = Heatmap1D(32)
    decoded, _ = codec.decode(codec.encode(np.array([[[-0.3, 0.5], [0.5, 2.0]]], "float32")))
    np.testing.assert_allclose(decoded, [[[0, 0.5], [0.5, 1]]], atol=1 / 32)


def test_loss_is_equation_11_over_landmarks_and_bins():
    rng = np.random.default_rng(0)
    codec = Heatmap1D(8)
    targets = codec.encode(rng.uniform(size=(2, 3, 2)).astype("float32"))
    outputs = {name: rng.normal(size=(2, 8, 3)).astype("float32") for name in targets}
    weights = np.array([[1, 1, 0], [1, 0, 0]], "float32")
    norms = sum(np.square(outputs[name] - np.asarray(targets[name])).sum(1) for name in targets)
    loss = codec.loss(targets, outputs, weights)
    assert set(loss) == set(codec.terms)
    assert float(loss["heatmap_loss"]) == pytest.approx((norms * weights).sum() / 3 / 8, rel=1e-5)


def test_warm_up_is_l1_on_the_soft_argmax(landmarks):
    codec = Heatmap1D(192)
    targets = codec.encode(landmarks)
    weights = np.ones(landmarks.shape[:2], "float32")
    moved = landmarks + np.array([0.05, -0.02], "float32")
    terms = codec.warmup_loss(moved, targets, weights)
    assert set(terms) == set(codec.warmup_terms)
    assert float(terms["coordinate_loss"]) == pytest.approx(codec.warmup_weight * 0.07, abs=2e-3)
    assert float(terms["heatmap_loss"]) == pytest.approx(float(codec.loss(codec.encode(moved), targets, weights)["heatmap_loss"]))
    np.testing.assert_allclose(codec.warmup_decode(targets)[0], landmarks, atol=2e-3)


def test_config_and_refusals():
    codec = Heatmap1D(96, sigma=2.0, decoder="local", window=9, temperature=5.0)
    assert vars(Heatmap1D.from_config(codec.get_config())) == vars(codec)
    assert keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(codec)).window == 9
    with pytest.raises(ValueError, match="decoder is one of argmax, local"):
        Heatmap1D(64, decoder="dark")
    with pytest.raises(ValueError, match="odd number"):
        Heatmap1D(64, window=4)
