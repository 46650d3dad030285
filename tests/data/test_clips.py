import cv2
import keras
import numpy as np
import pytest

from kfacealign import geometry
from kfacealign.data.clip_batches import ClipBatches, ClipCrops, clip_pipeline
from kfacealign.data.clips import Clips, windows
from kfacealign.data.faces import Faces
from kfacealign.data.views import RandomView

SIZE, FRAMES = 32, 3


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Five clips of three frames, each with a dot on landmark 0, which moves; frames 9 x 9 dots large."""
    root, rng = tmp_path_factory.mktemp("frames"), np.random.default_rng(0)
    images, landmarks = [], []
    for clip in range(5):
        shape = rng.uniform(30, 90, (68, 2))
        for frame in range(FRAMES):
            points = shape + np.array([3.0, 2.0]) * frame
            points[0] = 40 + 10 * frame, 60.0  # the dot's centre
            image = np.full((120, 130, 3), 20 * clip, "uint8")
            x, y = points[0].astype(int)
            image[y - 4 : y + 4, x - 4 : x + 4] = 255
            images.append(str(root / f"{clip}_{frame}.png"))
            cv2.imwrite(images[-1], image)
            landmarks.append(points)
    weights = np.ones((15, 68))
    weights[4, 5:9] = 0
    faces = Faces("ibug68", images, np.stack(landmarks), weights=weights)
    return Clips(faces, np.arange(15).reshape(5, 3), names=[f"clip_{i}" for i in range(5)])


def view(**arguments):
    return RandomView(scheme="ibug68", scale=(0.85, 1.15), blur=0.0, **arguments)


def one_pass(batches):
    if isinstance(batches, ClipBatches):
        batches.on_epoch_begin()
        read = [batches[i] for i in range(len(batches))]
        batches.on_epoch_end()
    else:
        read = list(batches)
    return [tuple(np.asarray(v) for v in (images, labels["landmarks"], labels["weights"])) for images, labels in read]


def test_clips_are_a_list(clips):
    assert (len(clips), clips.length, clips.scheme.name) == (5, 3, "ibug68")
    np.testing.assert_array_equal(clips[1].landmarks, clips.frames.landmarks[3:6])
    for part in (clips[1:3], clips[[1, 2]], clips[np.arange(5) % 3 > 0][:2]):
        assert part.names[0] == "clip_1" and len(part) == 2
    assert clips[[]].faces.landmarks.shape == (0, 68, 2)
    np.testing.assert_array_equal(clips[[4, 0]].faces.landmarks, clips.frames.landmarks[[12, 13, 14, 0, 1, 2]])


def test_mistakes_in_clips_are_named(clips):
    with pytest.raises(ValueError, match="late: a clip needs frames, by positions from 0 to 14"):
        Clips(clips.frames, [[0, 15]], names=["late"])
    with pytest.raises(ValueError, match="clip 0: 2 frames but 3 numbers"):
        Clips(clips.frames, [[0, 1]], numbers=[[1, 2, 3]])


def test_all_frames_of_a_clip_are_cut_by_one_square(clips):
    crops = ClipCrops(clips, SIZE, enlarge=1.5)
    matrices = crops.matrices.reshape(5, FRAMES, 2, 3)
    np.testing.assert_array_equal(matrices, matrices[:, :1].repeat(FRAMES, 1))
    boxes = geometry.landmark_box(clips.frames.landmarks[6:9])
    expected = geometry.crop_matrix(geometry.square_box(boxes.mean(0), 1.5), SIZE)
    np.testing.assert_allclose(matrices[2, 0], expected, rtol=1e-5)


def test_a_dot_at_a_landmark_is_at_that_landmark_in_the_crop(clips):
    ((images, landmarks, weights),) = one_pass(clip_pipeline(clips, size=64, batch_size=5))
    assert images.shape == (5, FRAMES, 64, 64, 3) and images.dtype == np.uint8
    assert landmarks.shape == (5, FRAMES, 68, 2)
    np.testing.assert_array_equal(weights.reshape(15, 68), clips.frames.weights)
    centres = (np.arange(64) + 0.5) / 64
    for clip in range(4):
        for frame in range(FRAMES):
            mass = np.clip(images[clip, frame, :, :, 0].astype(float) - 20 * clip, 30, None) - 30
            found = np.array([(mass.sum(0) @ centres), (mass.sum(1) @ centres)]) / mass.sum()
            np.testing.assert_allclose(found, landmarks[clip, frame, 0], atol=0.3 / 64)


def test_frames_of_a_clip_get_the_same_view(clips):
    """The view is one affine map for a clip, and another for another clip."""
    plain = ClipCrops(clips, SIZE)
    batches = ClipBatches(plain, size=SIZE, batch_size=4, views=view(flip=0.0, rotation_probability=1.0), shuffle=False, seed=3)
    images, labels = batches[0]
    before = plain.landmarks.reshape(5, FRAMES, 68, 2)
    maps = []
    for clip in range(4):
        for frame in range(FRAMES):
            system = np.concatenate([before[clip, frame], np.ones((68, 1))], -1)
            maps.append(np.linalg.lstsq(system, labels["landmarks"][clip, frame], rcond=None)[0])
    maps = np.array(maps).reshape(4, FRAMES, 3, 2)
    np.testing.assert_allclose(maps, maps[:, :1].repeat(FRAMES, 1), atol=1e-4)
    assert np.abs(maps[0, 0] - maps[1, 0]).max() > 0.01
    assert images.shape == (4, FRAMES, SIZE, SIZE, 3) and images.dtype == np.float32


def test_both_kinds_and_all_epochs_are_the_same(clips):
    arguments = dict(views=view(), seed=5)
    batches, single = (
        clip_pipeline(clips, size=SIZE, batch_size=4, **arguments),
        ClipBatches(clips, size=SIZE, batch_size=4, **arguments),
    )
    run = [one_pass(batches), one_pass(batches)]
    for epoch, other in zip(run, [one_pass(single), one_pass(single)], strict=True):
        assert [len(batch[0]) for batch in epoch] == [4, 1]
        for one, another in zip(epoch, other, strict=True):
            for a, b in zip(one, another, strict=True):
                np.testing.assert_allclose(a, b, atol=0.02)
    assert np.abs(run[0][0][1] - run[1][0][1]).max() > 0.01
    resumed = one_pass(ClipBatches(clips, size=SIZE, batch_size=4, epoch=1, **arguments))
    np.testing.assert_allclose(resumed[0][1], run[1][0][1], atol=1e-5)


def test_an_epoch_holds_every_clip_once_and_its_frames_in_order(clips):
    landmarks = np.concatenate(
        [batch[1] for batch in one_pass(clip_pipeline(clips, size=SIZE, batch_size=2, shuffle=True, seed=1))]
    )
    known = ClipCrops(clips, SIZE).landmarks.reshape(5, FRAMES, 68, 2)
    order = np.abs(landmarks[:, None] - known[None]).max((2, 3, 4)).argmin(1)
    assert sorted(order) == list(range(5)) and list(order) != list(range(5))
    np.testing.assert_array_equal(landmarks, known[order])


def test_shapes_are_known_to_keras(clips):
    batches = clip_pipeline(clips, size=SIZE, batch_size=2, views=view(), drop_remainder=True)
    assert len(batches) == 2
    if keras.config.backend() == "tensorflow":
        images, labels = batches.element_spec
        assert images.shape[1:] == (FRAMES, SIZE, SIZE, 3)
        assert labels["landmarks"].shape[1:] == (FRAMES, 68, 2) and labels["weights"].shape[1:] == (FRAMES, 68)


def test_windows(clips):
    numbers = [[1, 3, 5, 7, 9, 15, 17, 19, 21], range(5), [7]]
    videos = Clips(clips.frames, [np.arange(9), np.arange(9, 14), [14]], names=["a", "b", "c"], numbers=numbers)
    cut = windows(videos, 3)
    # Numbers 9 and 15 are not neighbours, so a has 5 + 4 frames. b gives 3 of its 5, and c is too short.
    assert [clip.tolist() for clip in cut.indices] == [[0, 1, 2], [5, 6, 7], [9, 10, 11]]
    assert cut.names == ["a:1", "a:15", "b:0"]
    assert [clip[0] for clip in windows(videos, 4, step=1).indices] == [0, 1, 5, 9, 10]
    with pytest.raises(ValueError, match="no video has 6 frames in a row, the longest of 3 has 9"):
        windows(videos, 6)
    with pytest.raises(ValueError, match=r"cut them with windows\(clips, length\)"):
        clip_pipeline(videos, size=SIZE, batch_size=1)


def test_a_frame_that_cannot_be_read_counts_nowhere(clips, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"no image")
    images = [*clips.frames.images[:2], str(tmp_path / "bad.png")]
    faces = Faces("ibug68", images, clips.frames.landmarks[:3])
    with pytest.warns(UserWarning, match="bad.png"):
        images, labels = ClipBatches(Clips(faces, [[0, 1, 2]]), size=SIZE, batch_size=1)[0]
    assert labels["weights"].sum((0, 2)).tolist() == [68, 68, 0]
    assert (images[0, 2] == 128).all()


@pytest.mark.parametrize("make", [clip_pipeline, ClipBatches])
def test_attributes_follow_their_frames(clips, make):
    flags = np.arange(15) % 4 == 0
    frames = Faces("ibug68", clips.frames.images, clips.frames.landmarks, attributes={"blur": flags})
    batches = make(Clips(frames, clips.indices), size=SIZE, batch_size=5, labels=("blur",))
    _, labels = batches[0] if isinstance(batches, ClipBatches) else next(iter(batches))
    np.testing.assert_array_equal(np.asarray(labels["blur"]), flags.reshape(5, FRAMES))


def test_arguments_that_clips_do_not_have_are_refused(clips):
    with pytest.raises(TypeError, match="align"):
        clip_pipeline(clips, size=SIZE, batch_size=1, align="five_points")
