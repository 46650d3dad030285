import os

import cv2
import numpy as np
import pytest

from kfacealign import schemes
from kfacealign.data import frames
from kfacealign.data.clip_batches import clip_pipeline
from kfacealign.data.clips import windows
from kfacealign.data.crops import Crops
from kfacealign.data.images import read_image
from kfacealign.data.readers.clip_folders import frame_folders, ytf68_clips
from kfacealign.data.readers.pts import write_points
from kfacealign.data.readers.talking_face import talking_face
from kfacealign.data.readers.w300vw import TEST_300VW, w300vw
from kfacealign.data.rendered.synthetic_disk import write_clips

COUNT = 20
SHAPE = 10 + 40 * schemes.get("ibug68").mean_shape


def grey(number):
    """The grey level of a frame, 10 apart from its neighbours'."""
    return 10 * number + 20


def write_video(path, count=COUNT, size=(64, 60)):
    """A video whose frame `number` is grey(number), with a white corner."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25.0, size)
    for number in range(1, count + 1):
        image = np.full((*size[::-1], 3), grey(number), "uint8")
        image[:8, :8] = 255
        writer.write(image)
    writer.release()
    return path


def annotate(folder, numbers):
    os.makedirs(folder, exist_ok=True)
    for number in numbers:
        write_points(folder / f"{number:06d}.pts", SHAPE + number / 4)


def frame_bytes(content, number):
    """(start, end) of a frame's JPEG in an AVI."""
    start = content.index(b"movi")
    for _ in range(number):
        start = content.index(b"00dc", start + 1)
    length = int.from_bytes(content[start + 4 : start + 8], "little")
    return start + 8, start + 8 + length


def corrupt(path, number):
    content = bytearray(path.read_bytes())
    start, end = frame_bytes(content, number)
    content[start:end] = bytes(end - start)
    path.write_bytes(content)
    return path


def cut_short(path, number):
    """The video ends in its frame `number`."""
    content = path.read_bytes()
    path.write_bytes(content[: frame_bytes(content, number)[0] + 60])
    return path


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """300VW with one video of each test category and one for training."""
    root = tmp_path_factory.mktemp("300VW")
    for name in ("114", "203", "410", "001"):
        write_video(root / name / "vid.avi")
        annotate(root / name / "annot", range(1, COUNT + 1))
    (root / "extra").mkdir()
    return root


# === Frames ===


@pytest.mark.parametrize("order", [range(1, COUNT + 1), [7, 3, 3, 20, 19, 1, 12]])
def test_the_frame_read_is_the_frame_asked_for(root, order):
    for number in order:
        image = read_image(frames.reference(root / "114" / "vid.avi", number))
        assert image.shape == (60, 64, 3) and abs(int(np.median(image)) - grey(number)) <= 3


def test_frames_are_rgb(tmp_path):
    writer = cv2.VideoWriter(str(tmp_path / "a.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 25.0, (32, 32))
    writer.write(np.full((32, 32, 3), (0, 0, 255), "uint8"))
    writer.release()
    assert np.abs(read_image(f"{tmp_path}/a.avi#1").mean((0, 1)) - [255, 0, 0]).max() < 6


def test_a_corrupt_frame_is_one_frame(tmp_path):
    path = corrupt(write_video(tmp_path / "a.avi"), 8)
    for numbers in ([7, 8, 9, 8, 20], [20, 9, 8]):
        reader = frames.VideoReader(path)
        for number in numbers:
            if number == 8:
                with pytest.raises(ValueError, match="frame 8 is corrupt"):
                    reader.read(number)
            else:
                assert abs(int(np.median(reader.read(number))) - grey(number)) <= 3
    source = frames.VideoFile(path)
    read = list(source)
    assert [frame.number for frame in read] == list(range(1, COUNT + 1))
    assert [frame.number for frame in read if frame.image is None] == [8]
    assert source.problems == [f"{path}: frame 8 is corrupt"]


def test_a_video_that_ends_early_says_so(tmp_path):
    path = cut_short(write_video(tmp_path / "a.avi"), 12)
    source = frames.VideoFile(path)
    assert source.count == COUNT
    shown = [frame.number for frame in source]
    assert shown in (list(range(1, 12)), list(range(1, 13)))  # what is left of frame 12 may decode
    assert source.problems == [f"{path}: the video ends after frame {shown[-1]} of the 20 that it announces"]
    with pytest.raises(frames.VideoEnded, match="of the 20 that it announces"):
        frames.VideoReader(path).read(15)
    with pytest.raises(frames.VideoEnded, match="ends after frame 20"):
        frames.VideoReader(write_video(tmp_path / "b.avi")).read(21)


def test_every_second_frame_of_a_source(root):
    source = frames.open_source(root / "114" / "vid.avi", every=3)
    read = list(source)
    assert [frame.number for frame in read] == [1, 4, 7, 10, 13, 16, 19]
    assert source.count == 7 and source.fps == pytest.approx(25 / 3) and not source.problems
    assert read[2].time == pytest.approx(6 / 25)
    assert all(abs(int(np.median(frame.image)) - grey(frame.number)) <= 3 for frame in read)


def test_a_folder_of_frames_in_the_order_of_its_numbers(tmp_path):
    for number in (10, 9, 1):
        cv2.imwrite(str(tmp_path / f"f{number}.png"), np.full((8, 9, 3), number, "uint8"))
    (tmp_path / "f11.jpg").write_bytes(b"")
    source = frames.open_source(tmp_path, fps=10.0)
    read = list(source)
    assert [frame.image[0, 0, 0] for frame in read[:3]] == [1, 9, 10] and read[3].image is None
    assert "f11.jpg: frame 4 is corrupt" in source.problems[0] and read[3].time == pytest.approx(0.3)


def test_what_is_no_source_is_named(tmp_path):
    (tmp_path / "junk.mp4").write_bytes(b"junk" * 99)
    with pytest.raises(OSError, match="not a video"):
        frames.open_source(tmp_path / "junk.mp4")
    with pytest.raises(FileNotFoundError, match="no such video file"):
        frames.open_source(tmp_path / "none.mp4")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="holds no image"):
        frames.open_source(tmp_path / "empty")
    with pytest.raises(OSError, match="webcam 97 cannot be opened"):
        frames.open_source("97")


# === 300VW ===


def test_the_test_categories_are_those_published():
    assert [len(ids) for ids in TEST_300VW.values()] == [31, 19, 14]
    assert len(set().union(*TEST_300VW.values())) == 64


def test_300vw(root):
    with pytest.warns(UserWarning, match="3 of 300VW's 64 test videos are here"):
        dataset = w300vw(root)
    assert dataset.train.names == ["001"] and dataset.test.names == ["114", "203", "410"]
    places = {name: list(members) for name, members in dataset.subsets.items()}
    assert places == {"category_1": [0], "category_2": [1], "category_3": [2]}
    assert "1 training videos (20 frames) and 3 test videos (60 frames)" in dataset.summary()
    assert dataset.test.length == COUNT and dataset.test.numbers[0].tolist() == list(range(1, COUNT + 1))
    np.testing.assert_allclose(dataset.test[1].landmarks[4], SHAPE + 5 / 4, atol=1e-4)


def test_crops_show_the_frame_that_is_annotated(root):
    with pytest.warns(UserWarning):
        faces = w300vw(root, every=4).test
    assert faces.numbers[0].tolist() == [1, 5, 9, 13, 17]
    levels = [int(np.median(image)) for image in Crops(faces[2], 16).batch(range(5))[0]]
    np.testing.assert_allclose(levels, [grey(number) for number in faces.numbers[0]], atol=3)
    (batch,) = list(clip_pipeline(windows(faces, 2, step=1), size=16, batch_size=12))
    levels = np.median(np.asarray(batch[0]), axis=(2, 3, 4))
    numbers = np.stack(windows(faces, 2, step=1).numbers)
    assert numbers.shape == (12, 2)
    np.testing.assert_allclose(levels, grey(numbers), atol=3)


def test_a_video_may_announce_any_number_of_frames(tmp_path, monkeypatch):
    """So many that a list of them would fill the memory."""
    write_video(tmp_path / "114" / "vid.avi", 3)
    annotate(tmp_path / "114" / "annot", [1, 2, 3])

    class Boasting(frames.VideoReader):
        def __init__(self, path):
            super().__init__(path)
            self.count = 2**40

    monkeypatch.setattr(frames, "VideoReader", Boasting)
    with pytest.warns(UserWarning, match="has 1099511627776 frames, .* has 3 annotations"):
        assert w300vw(tmp_path).test.numbers[0].tolist() == [1, 2, 3]


def test_counts_that_disagree_are_told_and_the_rest_is_read(root, tmp_path):
    write_video(tmp_path / "114" / "vid.avi", 10)
    annotate(tmp_path / "114" / "annot", [1, 2, 3, 5, 9, 10, 11, 12])
    write_video(tmp_path / "505" / "vid.avi", 10)
    annotate(tmp_path / "505" / "annot", range(1, 11))
    annotate(tmp_path / "506" / "annot", range(1, 3))
    (tmp_path / "506" / "vid.avi").write_bytes(b"junk")
    annotate(tmp_path / "507" / "annot", range(1, 3))
    with pytest.warns(UserWarning) as told:
        dataset = w300vw(tmp_path)
    told = " ".join(str(warning.message) for warning in told)
    assert "114/vid.avi has 10 frames, " in told and "has 8 annotations (1 to 12): the 6 frames that have both are read" in told
    assert "506/vid.avi: not a video" in told and "507/vid.avi: no such video file; the video is left out" in told
    assert dataset.test.names == ["114", "505"] and len(dataset.train) == 0
    assert dataset.test.numbers[0].tolist() == [1, 2, 3, 5, 9, 10]
    assert windows(dataset.test[:1], 3).numbers[0].tolist() == [1, 2, 3]


def test_a_frame_lost_from_a_video_counts_nowhere(tmp_path):
    cut_short(write_video(tmp_path / "114" / "vid.avi"), 12)
    annotate(tmp_path / "114" / "annot", range(1, COUNT + 1))
    with pytest.warns(UserWarning):
        crops = Crops(w300vw(tmp_path).test.faces, 16)
        crops.batch(range(COUNT))
    assert len(crops.failures) in (8, 9)
    path, reason = sorted(crops.failures)[-1]
    assert path.endswith("vid.avi#000020") and "ends after frame" in reason


def test_what_is_not_300vw_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no video of 300VW"):
        w300vw(tmp_path)
    write_video(tmp_path / "001" / "vid.avi", 2)
    annotate(tmp_path / "001" / "annot", [1])
    (tmp_path / "001" / "annot" / "000002.pts").write_text("version: 1\nn_points: 68\n{\n1 2\n}\n")
    with pytest.raises(ValueError, match=r"000002.pts"):
        w300vw(tmp_path)


# === Others ===


def test_frame_folders_read_synthetic_clips(tmp_path):
    write_clips(tmp_path / "clips", clips=2, frames=3, scheme="aflw19", size=64, progress=False)
    clips = frame_folders(tmp_path / "clips", scheme="aflw19")
    assert clips.names == ["clip_0000", "clip_0001"] and clips.length == 3
    assert clips.numbers[1].tolist() == [1, 2, 3] and clips[1].images[2].endswith("clip_0001/000003.jpg")
    assert frame_folders(tmp_path / "clips", scheme="aflw19", every=2).length == 2


def write_talking_face(root, shape):
    (root / "images").mkdir()
    (root / "points").mkdir()
    for number in range(3):
        cv2.imwrite(str(root / "images" / f"franck_{number:05d}.jpg"), np.zeros((60, 60, 3), "uint8"))
        write_points(root / "points" / f"franck_{number:05d}.pts", shape + number)


def test_talking_face(tmp_path):
    write_talking_face(tmp_path, SHAPE)
    clips = talking_face(tmp_path)
    assert len(clips) == 1 and clips.numbers[0].tolist() == [0, 1, 2]
    np.testing.assert_allclose(clips[0].landmarks, SHAPE + np.arange(3)[:, None, None], atol=1e-4)


def test_points_in_another_order_are_refused_and_reordered(tmp_path):
    shuffle = np.random.default_rng(0).permutation(68)
    write_talking_face(tmp_path, SHAPE[shuffle])
    with pytest.raises(ValueError, match="not in the order of ibug68"):
        talking_face(tmp_path)
    order = np.full(68, -1)
    seven = [36, 39, 42, 45, 30, 48, 54]
    order[seven] = np.argsort(shuffle)[seven]
    faces = talking_face(tmp_path, order=order)[0]
    np.testing.assert_allclose(faces.landmarks[0, seven], SHAPE[seven], atol=1e-4)
    assert np.flatnonzero(faces.weights[0]).tolist() == sorted(seven)
    with pytest.raises(ValueError, match="order needs 68 positions"):
        talking_face(tmp_path, order=[0, 1])


def test_ytf68_clips():
    if "KFACEALIGN_DATA" not in os.environ:
        pytest.skip("KFACEALIGN_DATA does not name the folder of real data")
    dataset = ytf68_clips(os.path.join(os.environ["KFACEALIGN_DATA"], "ytf68"))
    assert (len(dataset.train), len(dataset.test)) == (2751 // 3, 396 // 3)
    assert dataset.train.length == dataset.test.length == 3
    place = dataset.test.names.index("Andrea_Bocelli_1")
    names = [os.path.basename(path) for path in dataset.test[place].images]
    assert names == [f"Andrea_Bocelli_1{frame}.jpg" for frame in range(3)]


def test_clips_with_a_frame_missing_are_left_out(tmp_path):
    for part in ("train", "test"):
        (tmp_path / part).mkdir()
        for name in ("A_B_10", "A_B_11", "A_B_12", "A_B_20", "A_B_22"):
            cv2.imwrite(str(tmp_path / part / f"{name}.jpg"), np.zeros((60, 60, 3), "uint8"))
            write_points(tmp_path / part / f"{name}.pts", SHAPE)
    with pytest.warns(UserWarning, match="1 clips without frames 0, 1 and 2, left out: A_B_2"):
        dataset = ytf68_clips(tmp_path)
    assert dataset.train.names == dataset.test.names == ["A_B_1"]


def test_a_video_of_too_many_pixels_is_named(tmp_path, monkeypatch):
    write_video(tmp_path / "v.avi", count=2)
    monkeypatch.setenv("KFACEALIGN_MAX_PIXELS", "1000")
    with pytest.raises(ValueError, match=r"v\.avi: 64 x 60 pixels are more than the limit of 1,000"):
        frames.VideoReader(tmp_path / "v.avi")


def test_a_frame_on_which_opencv_fails_is_corrupt(tmp_path, monkeypatch):
    """OpenCV's own reader of AVI files raises at what a damaged file says of a frame."""

    class Capture:
        def __init__(self, path):
            self.capture, self.taken = video_capture(path), 0

        def __getattr__(self, name):
            return getattr(self.capture, name)

        def retrieve(self):
            self.taken += 1
            if self.taken == 2:
                raise cv2.error("assertion failed")
            return self.capture.retrieve()

    write_video(tmp_path / "v.avi", count=3)
    video_capture = cv2.VideoCapture
    monkeypatch.setattr(cv2, "VideoCapture", Capture)
    reader = frames.VideoReader(tmp_path / "v.avi")
    assert abs(int(reader.read(1)[30, 30, 0]) - grey(1)) < 4
    with pytest.raises(ValueError, match="frame 2 is corrupt"):
        reader.read(2)
    assert abs(int(reader.read(3)[30, 30, 0]) - grey(3)) < 4
