"""The tracker's step as a TFLite file."""

import importlib.util
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from kfacealign import deploy
from kfacealign.deploy import flatbuffer
from kfacealign.models import AttentiveHeatmap1D, AttentiveHeatmap1DTracker, heatmap1d


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A tracker with a convolution in place of hourglasses, its exports, clips, and what Keras finds in the clips."""

    def features_of(input_size, scheme, stacks, width):
        image = keras.Input((input_size, input_size, 3), name="image")
        return image, keras.layers.Conv2D(16, 4, strides=4)(keras.ops.multiply(image, 1.0 / 255))

    keras.utils.set_random_seed(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(heatmap1d, "features_of", features_of)
        detector = AttentiveHeatmap1D("aflw19", stacks=1, input_size=64, width=16, enlarge=1.3)
    tracker = AttentiveHeatmap1DTracker(detector, width=8)
    for weight in tracker.network.trainable_weights:
        if "kernel" in weight.path:
            weight.assign(keras.initializers.RandomNormal(stddev=0.2, seed=1)(weight.shape))
    folder = tmp_path_factory.mktemp("exported")
    paths = {p: deploy.export_step(tracker, folder / f"{p}.tflite", precision=p) for p in ("float32", "float16")}
    clips = np.random.default_rng(0).integers(0, 256, (2, 3, 64, 64, 3)).astype("uint8")
    landmarks, scores = tracker.align_clips(clips)
    return SimpleNamespace(tracker=tracker, detector=detector, paths=paths, clips=clips, landmarks=landmarks, scores=scores)


def test_three_frames_as_keras(exported):
    stream = deploy.StreamingRuntime(exported.paths["float32"])
    for clip in (0, 1):
        for frame in range(3):
            landmarks, scores = stream.step(exported.clips[clip, frame])
            np.testing.assert_allclose(landmarks, exported.landmarks[clip, frame], atol=1e-4)
            np.testing.assert_allclose(scores, exported.scores[clip, frame], atol=1e-4, rtol=1e-4)
        stream.reset()
    assert np.abs(exported.scores[:, 1] - exported.tracker.align(exported.clips[:, 1])[1]).max() > 1e-2  # the past matters


@pytest.mark.parametrize("name", ["step.onnx", "step.xml", "step"])
def test_other_formats_step_as_keras(exported, tmp_path, name):
    if name.endswith(".xml") and importlib.util.find_spec("openvino") is None:
        pytest.skip("openvino is not installed (extra: openvino)")
    stream = deploy.load(deploy.export_step(exported.tracker, tmp_path / name, licence="none"), trust=True)
    assert stream.states == {"state_x": (1, 16, 8), "state_y": (1, 16, 8)} and stream.metadata["licence"] == "none"
    for frame in range(3):
        landmarks, scores = stream.step(exported.clips[0, frame])
        np.testing.assert_allclose(landmarks, exported.landmarks[0, frame], atol=1e-4)
        np.testing.assert_allclose(scores, exported.scores[0, frame], atol=1e-4, rtol=1e-4)


def test_streams_of_one_file_are_apart(exported):
    runtime = deploy.StreamingRuntime(exported.paths["float32"])
    first, second = runtime.stream(), runtime.stream()
    for frame in range(3):
        np.testing.assert_allclose(first.step(exported.clips[0, frame])[1], exported.scores[0, frame], atol=1e-4, rtol=1e-4)
        np.testing.assert_allclose(second.step(exported.clips[1, frame])[1], exported.scores[1, frame], atol=1e-4, rtol=1e-4)


def test_float16_weights(exported):
    stream = deploy.StreamingRuntime(exported.paths["float16"])
    scores = np.stack([stream.step(crop)[1] for crop in exported.clips[0]])
    np.testing.assert_allclose(scores, exported.scores[0], atol=0.01 * np.ptp(exported.scores))
    assert exported.paths["float16"].stat().st_size < 0.7 * exported.paths["float32"].stat().st_size


def test_what_the_file_says(exported):
    content = exported.paths["float32"].read_bytes()
    assert not [name for name, _ in flatbuffer.operators(content) if name.startswith("CUSTOM")]
    signature = flatbuffer.unpack(content).signatureDefs[0]
    assert sorted(entry.name for entry in signature.inputs) == [b"image", b"state_x", b"state_y"]
    assert sorted(entry.name for entry in signature.outputs) == [b"landmarks", b"scores", b"state_x", b"state_y"]
    runtime = deploy.StreamingRuntime(exported.paths["float32"])
    assert runtime.states == {"state_x": (1, 16, 8), "state_y": (1, 16, 8)}
    assert (runtime.scheme.name, runtime.input_size, runtime.enlarge) == ("aflw19", 64, 1.3)
    assert runtime.metadata["model"] == "AttentiveHeatmap1DTracker" and runtime.metadata["states"]["state_x"] == [1, 16, 8]


def test_align_takes_every_crop_for_a_clip(exported):
    runtime = deploy.StreamingRuntime(exported.paths["float32"])
    runtime.step(exported.clips[1, 0])
    landmarks, _ = runtime.align(exported.clips[:, 1])
    expected = exported.tracker.align(exported.clips[:, 1])
    np.testing.assert_allclose(landmarks, expected[0], atol=1e-4)
    np.testing.assert_allclose(runtime.step(exported.clips[1, 1])[1], exported.scores[1, 1], atol=1e-4, rtol=1e-4)


def test_what_has_no_step_is_refused(exported, tmp_path):
    with pytest.raises(ValueError, match="AttentiveHeatmap1D has no step"):
        deploy.export_step(exported.detector, tmp_path / "m.tflite")
    with pytest.raises(ValueError, match="float32 or float16, not 'int8'"):
        deploy.export_step(exported.tracker, tmp_path / "m.tflite", precision="int8")
    with pytest.raises(ValueError, match="an ONNX model is float32"):
        deploy.export_step(exported.tracker, tmp_path / "m.onnx", precision="float16")
    path = deploy.export(exported.detector, tmp_path / "detector.tflite")
    crops = exported.clips[0]
    found, expected = deploy.load(path).align(crops), exported.detector.align(crops)
    np.testing.assert_allclose(found[0], expected[0], atol=1e-4)
    with pytest.raises(ValueError, match="keeps no state"):
        deploy.StreamingRuntime(path)
    assert list(tmp_path.iterdir()) == [path]
