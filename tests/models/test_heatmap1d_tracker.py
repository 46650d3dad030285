"""The tracker: clips, streams, and the detector inside."""

import checks
import keras
import numpy as np
import pytest

from kfacealign import metrics
from kfacealign.models import AttentiveHeatmap1D, AttentiveHeatmap1DTracker, Heatmap2D, Heatmap2DTracker, heatmap1d
from kfacealign.models.heatmap1d_tracker import decayed_sums

SMALL = {"scheme": "aflw19", "stacks": 1, "input_size": 64, "width": 16}
KINDS = {"1d": (AttentiveHeatmap1D, AttentiveHeatmap1DTracker), "2d": (Heatmap2D, Heatmap2DTracker)}


@pytest.fixture(scope="module", autouse=True)
def few_features():
    """In place of the hourglasses one convolution: what is tested here comes after them."""

    def features_of(input_size, scheme, stacks, width):
        image = keras.Input((input_size, input_size, 3), name="image")
        x = keras.layers.Conv2D(16, 4, strides=4, name="features")(keras.ops.multiply(image, 1.0 / 255))
        return image, keras.layers.BatchNormalization(name="features_bn")(x)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(heatmap1d, "features_of", features_of)
        yield


def make(kind="1d", **kwargs):
    """A tracker whose refinements are as large as what they refine."""
    detector, tracker = KINDS[kind]
    keras.utils.set_random_seed(0)
    model = tracker(detector(resolution=64, **SMALL), width=8, **kwargs)
    for weight in model.network.trainable_weights:
        if "kernel" in weight.path:
            weight.assign(keras.initializers.HeNormal(1)(weight.shape))
    return model


@pytest.fixture(scope="module")
def trackers():
    return {kind: make(kind) for kind in KINDS}


@pytest.fixture(scope="module")
def clips():
    return np.random.default_rng(0).integers(0, 256, (4, 3, 64, 64, 3)).astype("uint8")


@pytest.fixture(scope="module")
def labels():
    rng = np.random.default_rng(1)
    weights = np.ones((4, 3, 19), "float32")
    weights[0, 1, :5] = 0
    return {"landmarks": rng.uniform(0.1, 0.9, (4, 3, 19, 2)).astype("float32"), "weights": weights}


# === Equation 13 ===


@pytest.mark.parametrize("lam", [0.0, 0.3, 1.0])
def test_the_triangular_product_is_the_loop(lam):
    features = np.random.default_rng(0).normal(size=(2, 5, 4, 3)).astype("float32")
    expected = np.zeros_like(features)
    for t in range(5):
        for tau in range(t + 1):
            expected[:, t] += lam ** (t - tau) * features[:, tau]
    found = decayed_sums(features.reshape(10, 4, 3), frames=5, lam=lam)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(found).reshape(2, 5, 4, 3), expected, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_streams_and_clips_agree(trackers, clips, kind):
    tracker = trackers[kind]
    landmarks, scores = tracker.align_clips(clips)
    assert landmarks.shape == (4, 3, 19, 2) and scores.shape == (4, 3, 19)
    stream = tracker.stream()
    for clip in (2, 0):
        for frame in range(3):
            found = stream.step(clips[clip, frame])
            np.testing.assert_allclose(found[0], landmarks[clip, frame], atol=1e-5)
            np.testing.assert_allclose(found[1], scores[clip, frame], rtol=1e-5, atol=1e-5)
        stream.reset()


def test_heatmaps_of_clips_are_those_of_streams(trackers, clips):
    """Not only where their maxima are: V_t = U_t + lambda V_(t-1), U from the encoder."""
    tracker = trackers["1d"]
    outputs = tracker(clips)
    assert outputs["heatmap_x"].shape == (4, 3, 64, 19)
    states = {name: np.zeros(shape, "float32") for name, shape in tracker.states.items()}
    assert {name: array.shape for name, array in states.items()} == {"state_x": (1, 16, 8), "state_y": (1, 16, 8)}
    for frame in range(3):
        heatmaps, states = tracker.refined(clips[:1, frame], lambda name, u, states=states: u + 0.3 * states[name])
        for name, maps in heatmaps.items():
            np.testing.assert_allclose(maps[0], outputs[name][0, frame], rtol=1e-4, atol=1e-5)


def test_the_past_counts_where_lambda_does_and_the_future_never(trackers, clips):
    tracker, changed = trackers["1d"], clips[:1].copy()
    changed[:, 1] = 0
    before, after = tracker(clips[:1])["heatmap_y"], tracker(changed)["heatmap_y"]
    np.testing.assert_allclose(after[:, 0], before[:, 0], rtol=1e-5, atol=1e-5)
    assert np.abs(np.asarray(after[:, 2] - before[:, 2])).max() > 1e-2
    forgetful = make(lam=0.0)
    difference = forgetful(clips[:1])["heatmap_y"][:, 2] - forgetful(changed)["heatmap_y"][:, 2]
    np.testing.assert_allclose(difference, np.zeros_like(difference), atol=1e-4)


def test_a_still_is_a_clip_of_one_frame(trackers, clips):
    tracker = trackers["1d"]
    landmarks, scores = tracker.align(clips[:, 0])
    np.testing.assert_allclose(landmarks, tracker.align_clips(clips)[0][:, 0], atol=1e-5)
    stream = tracker.stream()
    np.testing.assert_allclose(stream.step(clips[0, 0])[1], scores[0], rtol=1e-5, atol=1e-5)


def test_streams_do_not_disturb_each_other(trackers, clips):
    first, second = trackers["1d"].stream(), trackers["1d"].stream()
    expected = trackers["1d"].align_clips(clips[:2])[1]
    for frame in range(3):
        np.testing.assert_allclose(first.step(clips[0, frame])[1], expected[0, frame], rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(second.step(clips[1, frame])[1], expected[1, frame], rtol=1e-5, atol=1e-5)


# === Training ===


def test_the_loss_is_that_of_all_frames_and_the_nme_too(trackers, clips, labels):
    tracker = trackers["1d"]
    tracker.compile("sgd", run_eagerly=True)
    result = tracker.test_on_batch(clips, labels, return_dict=True)
    flat = {name: value.reshape(12, *value.shape[2:]) for name, value in labels.items()}
    outputs = {name: keras.ops.reshape(maps, (12, 64, 19)) for name, maps in tracker(clips).items()}
    codec = tracker.codec
    expected = codec.loss(codec.encode(flat["landmarks"]), outputs, flat["weights"])["heatmap_loss"]
    assert result["loss"] == pytest.approx(float(expected), rel=1e-5)
    predicted = tracker.align_clips(clips)[0].reshape(12, 19, 2)
    errors = metrics.nme(flat["landmarks"], predicted, "aflw19", weights=flat["weights"])
    counted = keras.ops.convert_to_numpy(errors)[keras.ops.convert_to_numpy(errors) > 0]
    assert result["nme"] == pytest.approx(counted.mean(), rel=1e-4)


def test_stills_train_it_too(trackers, clips, labels):
    """As the paper does with 300W."""
    trackers["1d"].compile("sgd", run_eagerly=True)
    result = trackers["1d"].test_on_batch(clips[:, 0], {name: value[:, 0] for name, value in labels.items()}, return_dict=True)
    assert np.isfinite(result["loss"])


@pytest.mark.parametrize("frozen", [False, True])
def test_the_detector_learns_unless_it_is_frozen(clips, labels, frozen):
    tracker = make(frozen=frozen)
    tracker.compile(keras.optimizers.SGD(1e2), run_eagerly=True)
    inside = {id(weight) for weight in tracker.detector.network.weights}
    before = [(weight, keras.ops.convert_to_numpy(weight)) for weight in tracker.network.weights]
    tracker.train_on_batch(clips, labels)
    still = [weight for weight, value in before if (keras.ops.convert_to_numpy(weight) == value).all()]
    assert {id(weight) for weight in still} == (inside if frozen else set())
    assert len(inside) > 20


def test_a_new_tracker_begins_where_its_detector_is(clips):
    detector = AttentiveHeatmap1D(resolution=64, **SMALL)
    tracker = AttentiveHeatmap1DTracker(detector, width=8)
    found, expected = tracker(clips[:, 0]), detector(clips[:, 0])
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], atol=5e-3)


def test_saves_and_loads(clips, labels, tmp_path):
    tracker = make(lam=0.5, frozen=True)
    tracker.compile(keras.optimizers.Adam(1e-3), run_eagerly=True)
    tracker.train_on_batch(clips, labels)
    loaded = checks.aligner(tracker, clips[:, 0], tmp_path)
    assert loaded.lam == 0.5 and loaded.frozen
    assert len(loaded.trainable_weights) == len(tracker.trainable_weights) < len(tracker.network.weights)
    assert len(loaded.optimizer.variables) == len(tracker.optimizer.variables)
    for name, maps in tracker(clips).items():
        np.testing.assert_array_equal(loaded(clips)[name], maps)


def test_what_does_not_fit_is_refused(trackers, clips):
    with pytest.raises(ValueError, match="refines a AttentiveHeatmap1D, not a Heatmap2D"):
        AttentiveHeatmap1DTracker(Heatmap2D(**SMALL))
    with pytest.raises(ValueError, match=r"lambda is in \[0, 1\], got 1.5"):
        AttentiveHeatmap1DTracker(AttentiveHeatmap1D(**SMALL), lam=1.5)
    with pytest.raises(ValueError, match=r"clips of shape \(N, T, 64, 64, 3\)"):
        trackers["1d"].align_clips(clips[0])
    with pytest.raises(ValueError, match=r"one crop of shape \(64, 64, 3\)"):
        trackers["1d"].stream().step(clips[0])
    landmarks, scores = trackers["1d"].align_clips(clips[:0])
    assert landmarks.shape == (0, 3, 19, 2) and scores.shape == (0, 3, 19)
