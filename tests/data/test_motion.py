import cv2
import numpy as np
import pytest

from kfacealign import schemes
from kfacealign.data.clip_batches import ClipCrops, clip_pipeline
from kfacealign.data.clips import Clips, windows
from kfacealign.data.faces import Faces
from kfacealign.data.motion import moving_stills, occluded, smooth_paths

CALM = dict(shift=0.0, scale=0.0, rotation=0.0, light=0.0)


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    """Four photographs with a white dot on the tip of the nose (landmark 30) and grey elsewhere."""
    root, landmarks = tmp_path_factory.mktemp("stills"), 30 + 140 * schemes.get("ibug68").mean_shape
    x, y = np.round(landmarks[30])
    landmarks[30] = x, y
    images = [str(root / f"{i}.png") for i in range(4)]
    for path in images:
        image = np.full((200, 200, 3), 100, "uint8")
        image[int(y) - 5 : int(y) + 5, int(x) - 5 : int(x) + 5] = 200
        cv2.imwrite(path, image)
    return Faces("ibug68", images, np.repeat(landmarks[None], 4, axis=0))


def crops_of(clips, size=64, **arguments):
    crops = ClipCrops(clips, size, cache=None, **arguments)
    images, landmarks, _ = crops.batch(range(len(crops)))
    return images.reshape(len(clips), clips.length, size, size, 3), landmarks.reshape(len(clips), clips.length, -1, 2)


def test_landmarks_go_with_the_pixels(faces):
    clips = moving_stills(faces, 8, seed=1, shift=0.2, rotation=30, scale=0.3, light=0.0, speed=3)
    images, landmarks = crops_of(clips)
    centres = (np.arange(64) + 0.5) / 64
    mass = np.clip(images[..., 0].astype(float) - 120, 0, None)
    x = (mass.sum(2) * centres).sum(-1) / mass.sum((2, 3))
    y = (mass.sum(3) * centres).sum(-1) / mass.sum((2, 3))
    np.testing.assert_allclose(np.stack([x, y], -1), landmarks[:, :, 30], atol=0.4 / 64)


def test_motion_is_smooth_stays_in_range_and_differs(faces):
    clips = moving_stills(faces, 30, seed=0, **{**CALM, "shift": 0.1})
    _, landmarks = crops_of(clips)
    _, still = crops_of(moving_stills(faces, 30, seed=0, **CALM))
    moved = landmarks - still
    np.testing.assert_allclose(moved, moved[:, :, :1].repeat(68, 2), atol=1e-5)  # all points of a frame move alike
    assert 0.03 < np.abs(moved).max() <= 0.1001
    # Three waves of at most 1, 2 and 3 periods in 30 frames: no step is longer than 2 pi 3 / 30 of the range.
    assert np.abs(np.diff(moved, axis=1)).max() <= 0.1 * 2 * np.pi * 3 / 30
    assert np.abs(moved[0] - moved[1]).max() > 0.01
    paths = smooth_paths(np.random.default_rng(0), 100, 60, speed=1.0)
    assert np.abs(paths).max() <= 1


def test_scale_and_rotation_are_similarities_about_the_centre(faces):
    clips = moving_stills(faces, 12, seed=4, **{**CALM, "scale": 0.2, "rotation": 15.0})
    linear = clips.effects.motion[..., :2]
    factor = np.sqrt(np.linalg.det(linear))
    assert 1 / 1.2 <= factor.min() < 1 < factor.max() <= 1.2
    np.testing.assert_allclose(linear @ np.swapaxes(linear, -1, -2), factor[..., None, None] ** 2 * np.eye(2), atol=1e-12)
    assert np.abs(np.degrees(np.arctan2(linear[..., 1, 0], linear[..., 0, 0]))).max() <= 15
    np.testing.assert_allclose(linear @ [0.5, 0.5] + clips.effects.motion[..., 2], 0.5, atol=1e-12)


def test_light_is_a_gain(faces):
    clips = moving_stills(faces, 10, seed=0, **{**CALM, "light": 0.5})
    images, _ = crops_of(clips)
    gain = clips.effects.gain
    assert 1 / 1.5 <= gain.min() < 1 < gain.max() <= 1.5
    np.testing.assert_allclose(images[:, :, 0, 0, 0], 100 * gain, atol=0.51)


def test_nothing_changes_where_nothing_is_asked(faces):
    images, landmarks = crops_of(moving_stills(faces, 3, **CALM))
    plain = ClipCrops(Clips(faces, np.arange(4)[:, None].repeat(3, 1)), 64).batch(range(12))
    np.testing.assert_array_equal(images.reshape(12, 64, 64, 3), plain[0])
    np.testing.assert_array_equal(landmarks.reshape(12, 68, 2), plain[1])


def test_the_seed_decides(faces):
    first, again, other = (moving_stills(faces, 5, seed=seed, occlusion=0.5).effects for seed in (3, 3, 4))
    assert first.key() == again.key() != other.key()


def test_objects_pass_for_some_frames(faces):
    clips = occluded(moving_stills(faces, 12, **CALM), seed=2, largest=0.5)
    plain, _ = crops_of(moving_stills(faces, 12, **CALM))
    images, _ = crops_of(clips)
    hidden = (images != plain).any(-1)
    boxes, colors = clips.effects.boxes, clips.effects.colors
    shown = (boxes[..., 2] > boxes[..., 0]).sum(1)
    assert (shown >= 3).all() and (shown <= 9).all() and not hidden[:, 0].any()
    for clip in range(4):
        runs = np.flatnonzero(hidden[clip].any((1, 2)))
        assert len(runs) == shown[clip] and (np.diff(runs) == 1).all()
        x0, y0, x1, y1 = boxes[clip, runs[0]] * 64
        assert 16 <= x1 - x0 <= 32 and 16 <= y1 - y0 <= 32 and min(x0, y0) >= 0 and max(x1, y1) <= 64
        np.testing.assert_array_equal(images[clip, runs[0], int(y0) + 2, int(x0) + 2], colors[clip])
        assert abs(hidden[clip, runs[0]].sum() - (x1 - x0) * (y1 - y0)) < 64
    assert (occluded(clips, probability=0.0).effects.boxes == clips.effects.boxes).all()


def test_effects_follow_their_clips_and_batches(faces):
    clips = moving_stills(faces, 4, seed=6, occlusion=1.0)
    images, landmarks = crops_of(clips[[2, 0]])
    expected = crops_of(clips)
    np.testing.assert_array_equal(images, expected[0][[2, 0]])
    np.testing.assert_array_equal(landmarks, expected[1][[2, 0]])
    (batch,) = list(clip_pipeline(clips, size=64, batch_size=4))
    np.testing.assert_array_equal(np.asarray(batch[0]), expected[0])
    with pytest.raises(ValueError, match="first, then give these effects"):
        windows(clips, 2)


def test_crops_kept_on_disk_are_those_of_the_effects(faces, tmp_path):
    for seed in (0, 1):
        clips = moving_stills(faces, 3, seed=seed, occlusion=1.0, **CALM)
        kept = ClipCrops(clips, 64, cache=tmp_path)
        kept.batch(range(12))
        images, _, _ = ClipCrops(clips, 64, cache=tmp_path).batch(range(12))
        np.testing.assert_array_equal(images.reshape(4, 3, 64, 64, 3), crops_of(clips)[0])


def test_bad_numbers_are_named(faces):
    with pytest.raises(ValueError, match="length is 0"):
        moving_stills(faces, 0)
    with pytest.raises(ValueError, match="probability is 2"):
        occluded(moving_stills(faces, 3), probability=2)
