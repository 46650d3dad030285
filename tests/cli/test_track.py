"""`kfacealign track`, from its arguments to its files and messages."""

import csv
import json
import os

import cv2
import numpy as np
import pytest

from kfacealign import schemes
from kfacealign.cli import track
from kfacealign.cli.main import main

SCHEME = schemes.get("ibug68")
SIDE = 32


class Model:
    """Sees the face in a crop exactly where the mean shape is; dark crops score nothing."""

    scheme, input_size, enlarge = SCHEME, SIDE, 1.25

    def align(self, images, verbose=0):
        assert images.dtype == np.uint8 and images.shape[1:] == (SIDE, SIDE, 3) and verbose == 0
        points, scores = zip(*[self.one(image) for image in images], strict=True)
        return np.stack(points), np.stack(scores)

    calls = 0

    def one(self, image):
        self.calls += 1
        tremble = (-1) ** self.calls
        score = (0.7 if image.mean() > 128 else 0.1) + 0.001 * tremble
        return (SCHEME.mean_shape + 0.01 * tremble).astype("float32"), np.full(68, score, "float32")


class Detector:
    """A face in the middle of every bright frame."""

    def boxes(self, image):
        if image.mean() < 128:
            return np.zeros((0, 4), "float32")
        centre = np.array(image.shape[1::-1]) / 2
        return np.concatenate([centre - 15, centre + 15])[None].astype("float32")


@pytest.fixture(autouse=True)
def fakes(monkeypatch):
    monkeypatch.setattr(track.deploy, "load", lambda path, threads, trust: Model())
    monkeypatch.setattr(track.detect, "make", lambda detector, min_score: Detector())
    monkeypatch.setenv("PATH", os.devnull)  # no ffmpeg


def write_video(path, dark=(), count=12, size=(80, 64)):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 20.0, size)
    for number in range(1, count + 1):
        writer.write(np.full((*size[::-1], 3), 20 if number in dark else 200, "uint8"))
    writer.release()
    return path


def run(*arguments):
    return main(["track", *map(str, arguments), "--model", "m"])


def read(out):
    """The JSON file, the NPZ file, the rows of the CSV file, and the number of frames of the video."""
    report = json.loads(out.with_suffix(".json").read_text())
    with np.load(out.with_suffix(".npz")) as file:
        table = dict(file)
    with open(out.with_suffix(".csv"), newline="") as file:
        rows = list(csv.reader(file))
    capture, pictures = cv2.VideoCapture(str(out)), []
    while True:
        found, picture = capture.read()
        if not found:
            return report, table, rows, pictures
        pictures.append(picture)


@pytest.mark.parametrize("suffix", [".mp4", ".avi"])
def test_everything_is_written(tmp_path, capsys, suffix):
    out = tmp_path / "out" / f"face{suffix}"
    assert run(write_video(tmp_path / "a.avi", dark=(5, 6)), "--out", out) == 0
    report, table, rows, pictures = read(out)
    assert sorted(os.listdir(out.parent)) == sorted(f"face{ending}" for ending in (suffix, ".csv", ".npz", ".json"))
    assert (report["frames"], report["frames_expected"], report["found"], report["tracks"]) == (12, 12, 10, 2)
    assert report["detector_runs"] == 4 and not report["problems"] and not report["interrupted"] and report["fps"] > 0
    assert set(report["milliseconds_per_frame"]) == {"reading", "detecting", "cropping", "model", "drawing and writing", "total"}

    assert table["found"].tolist() == [number not in (5, 6) for number in range(1, 13)]
    assert table["detected"].nonzero()[0].tolist() == [0, 6]
    assert np.isnan(table["landmarks"][4]).all() and np.isfinite(table["landmarks"][6]).all()
    assert table["landmarks"].shape == (12, 68, 2) and str(table["scheme"]) == "ibug68"
    np.testing.assert_allclose(table["time"], np.arange(12) / 20)
    boxes = table["box"][0]
    expected = boxes[:2] + (SCHEME.mean_shape + 0.01) * (boxes[2] - boxes[0])
    np.testing.assert_allclose(table["landmarks"][0], expected, atol=1e-3)  # the second look at the first frame

    assert rows[0][:9] == ["frame", "time", "found", "detected", "score", "x0", "y0", "x1", "y1"] and len(rows) == 13
    np.testing.assert_allclose([float(value) for value in rows[1][5:-1]], table["landmarks"][0].ravel(), atol=1e-3)
    assert rows[5][:5] == ["5", "0.2000", "0", "0", "0.0000"] and set(rows[5][5:]) == {""}
    assert rows[0][-1] == "face" and [row[-1] for row in rows[1:]] == ["1"] * 4 + ["", ""] + ["2"] * 6
    assert table["face"].tolist() == [1] * 4 + [0, 0] + [2] * 6
    parts = [(one["face"], one["first_frame"], one["last_frame"], one["found"]) for one in report["faces"]]
    assert parts == [(1, 1, 4, 4), (2, 7, 12, 6)] and not report["rate_varies"] and not report["notes"]
    assert "no ffmpeg is installed" in report["sound"]

    assert len(pictures) == 12 and pictures[0].shape == (64, 80, 3)
    assert np.ptp(pictures[0]) > 60 and np.ptp(pictures[4]) < 30  # landmarks are drawn where there is a face
    shown = capsys.readouterr().out
    assert "face found in 10 of 12 frames, in 2 tracks" in shown and "detector: Detector, asked in 4 frames" in shown
    assert "frames/s" in shown and "jitter" in shown
    assert all(str(out.with_suffix(ending)) in shown for ending in (suffix, ".csv", ".npz", ".json"))


def test_poses_are_the_last_columns(tmp_path):
    out = tmp_path / "face.avi"
    assert run(write_video(tmp_path / "a.avi", dark=(5, 6)), "--out", out, "--pose") == 0
    _, table, rows, _ = read(out)
    assert rows[0][-4:] == ["face", "yaw", "pitch", "roll"]
    assert rows[5][-4:] == ["", "", "", ""] and np.isnan(table["yaw"][4])
    # The face is the mean shape, from the front and upright.
    np.testing.assert_allclose([float(row[-3]) for row in rows[7:]], 0, atol=3)
    np.testing.assert_allclose([float(row[-1]) for row in rows[7:]], 0, atol=3)
    np.testing.assert_allclose([float(row[-2]) for row in rows[7:]], table["pitch"][6:], atol=0.01)
    assert table["roll"].shape == (12,)


def test_smoothing_lowers_the_jitter(tmp_path, capsys):
    out = tmp_path / "o.mp4"
    assert run(write_video(tmp_path / "a.avi", count=20), "--out", out, "--smooth", "--min-cutoff", "0.5", "--beta", "0") == 0
    report, table, _, _ = read(out)
    assert report["jitter"] < 0.5 * report["raw_jitter"] and report["smooth"] == {"min_cutoff": 0.5, "beta": 0.0}
    np.testing.assert_array_equal(table["landmarks"][0], table["raw_landmarks"][0])
    assert np.abs(table["landmarks"] - table["raw_landmarks"])[5:].max() > 0.1
    assert "before smoothing" in capsys.readouterr().out


def test_every_second_frame_and_a_limit(tmp_path):
    out = tmp_path / "o.mp4"
    assert run(write_video(tmp_path / "a.avi"), "--out", out, "--every", 2, "--frames", 4) == 0
    report, table, _, pictures = read(out)
    assert table["frame"].tolist() == [1, 3, 5, 7] and len(pictures) == 4 and report["every"] == 2
    assert cv2.VideoCapture(str(out)).get(cv2.CAP_PROP_FPS) == pytest.approx(10)


def test_a_video_that_ends_early_keeps_its_frames(tmp_path, capsys):
    path = write_video(tmp_path / "a.avi")
    content = path.read_bytes()
    frames = [place for place in range(content.index(b"movi"), len(content)) if content[place : place + 4] == b"00dc"]
    path.write_bytes(content[: frames[7] + 20])
    assert run(path, "--out", tmp_path / "o.mp4") == 1
    report, table, _, pictures = read(tmp_path / "o.mp4")
    assert 3 <= report["frames"] < 12 and report["found"] == report["frames"] == len(pictures) == len(table["frame"])
    assert f"a.avi: the video ends after frame {report['frames']} of the 12 that it announces" in capsys.readouterr().out


def folder(tmp_path, sizes):
    (tmp_path / "frames").mkdir()
    for number, size in enumerate(sizes, start=1):
        path = tmp_path / "frames" / f"{number}.png"
        if size is None:
            path.write_bytes(b"no image")
        else:
            cv2.imwrite(str(path), np.full((*size[::-1], 3), 200, "uint8"))
    return tmp_path / "frames"


def test_a_corrupt_frame_is_a_frame_without_a_face(tmp_path, capsys):
    assert run(folder(tmp_path, [(80, 64), None, (80, 64), (80, 64)]), "--out", tmp_path / "o.mp4", "--fps", 10) == 1
    report, table, _, pictures = read(tmp_path / "o.mp4")
    assert table["found"].tolist() == [True, False, True, True] and len(pictures) == 4
    np.testing.assert_allclose(table["time"], [0, 0.1, 0.2, 0.3])
    assert "2.png: frame 2 is corrupt" in capsys.readouterr().out and len(report["problems"]) == 1


def test_frames_of_different_sizes_are_tracked_and_told(tmp_path, capsys):
    assert run(folder(tmp_path, [(80, 64), (80, 64), (120, 100), (120, 100)]), "--out", tmp_path / "o.mp4") == 1
    report, table, _, pictures = read(tmp_path / "o.mp4")
    assert table["found"].all() and table["detected"].tolist() == [True, False, True, False]
    assert {picture.shape for picture in pictures} == {(64, 80, 3)}
    assert np.abs(table["landmarks"][2].mean(0) - table["landmarks"][1].mean(0) - [20, 18]).max() < 2
    (problem,) = report["problems"]
    assert "frame 3 is 120 x 100, the frame before 80 x 64" in problem and "frame 3 is 120 x 100" in capsys.readouterr().out


def test_no_face_at_all(tmp_path, capsys):
    assert run(write_video(tmp_path / "a.avi", dark=range(1, 13)), "--out", tmp_path / "o.mp4") == 1
    report, table, _, pictures = read(tmp_path / "o.mp4")
    assert not table["found"].any() and len(pictures) == 12 and report["jitter"] is None
    assert "a.avi: no face was found in any of the 12 frames" in capsys.readouterr().out


@pytest.mark.parametrize("error", [KeyboardInterrupt(), cv2.error("out of memory"), OSError(28, "No space left on device")])
def test_what_was_done_is_kept(tmp_path, capsys, monkeypatch, error):
    update, calls = track.MultiFaceTracker.update, []

    def stopping(self, image, time):
        calls.append(1)
        if len(calls) == 6:
            raise error
        return update(self, image, time)

    monkeypatch.setattr(track.MultiFaceTracker, "update", stopping)
    status = run(write_video(tmp_path / "a.avi"), "--out", tmp_path / "o.mp4")
    report, table, rows, pictures = read(tmp_path / "o.mp4")
    assert len(table["frame"]) == len(pictures) == len(rows) - 1 == 5
    interrupted = isinstance(error, KeyboardInterrupt)
    assert status == (130 if interrupted else 1) and report["interrupted"] == interrupted
    shown = capsys.readouterr().out
    assert ("interrupted: what was done is kept" if interrupted else "a.avi: stopped at frame 5: ") in shown


def test_what_cannot_be_tracked_is_one_line(tmp_path, capsys):
    video = write_video(tmp_path / "a.avi")
    (tmp_path / "junk.mp4").write_bytes(b"junk" * 50)
    (tmp_path / "empty").mkdir()
    bad = folder(tmp_path, [None, None])
    for source, out, message in (
        (tmp_path / "none.mp4", "o.mp4", "none.mp4: no such video file"),
        (tmp_path / "junk.mp4", "o.mp4", "junk.mp4: not a video"),
        (tmp_path / "empty", "o.mp4", "empty: the folder holds no image"),
        (bad, "o.mp4", "frames: no frame could be read; "),
        ("98", "o.mp4", "webcam 98 cannot be opened"),
        (video, "o.gif", "the overlay is written as .mp4 or .avi"),
        (video, "a.avi", "is the video itself"),
    ):
        assert run(source, "--out", tmp_path / out) == 2
        shown = capsys.readouterr().err.strip()
        assert message in shown and shown.count("kfacealign: error") == 1
    assert sorted(os.listdir(tmp_path)) == ["a.avi", "empty", "frames", "junk.mp4"]


def test_mistakes_in_the_arguments(capsys):
    mistakes = ((["--every", "0"], "1 or more"), (["--threshold", "1"], "a share"), (["--fps", "-1"], "a number above 0"))
    for arguments, message in mistakes:
        with pytest.raises(SystemExit):
            run("a.avi", *arguments)
        assert message in capsys.readouterr().err


# === Several faces ===


class TwoFaces:
    """A face in the middle of either half of every bright frame, the right one first."""

    def boxes(self, image):
        height, width = image.shape[:2]
        centres = [np.array([width * share, height / 2]) for share in (0.75, 0.25) if image[0, int(width * share), 0] > 128]
        sides = (16, 15)
        found = [np.concatenate([centre - side, centre + side]) for centre, side in zip(centres, sides, strict=False)]
        return np.array(found, "float32").reshape(-1, 4)


def test_several_faces_are_rows_of_their_own(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(track.detect, "make", lambda detector, min_score: TwoFaces())
    (tmp_path / "frames").mkdir()
    for number in range(1, 11):
        image = np.full((64, 160, 3), 200, "uint8")
        if number in (4, 5, 6):
            image[:, :80] = 20
        if number == 8:
            image[:] = 20
        cv2.imwrite(str(tmp_path / "frames" / f"{number}.png"), image)
    out = tmp_path / "o.mp4"
    assert run(tmp_path / "frames", "--out", out, "--faces", "all", "--fps", 10) == 0
    report, table, rows, pictures = read(out)
    found = list(zip(table["frame"].tolist(), table["face"].tolist(), strict=True))
    assert found[:9] == [(1, 1), (1, 2), (2, 1), (2, 2), (3, 1), (3, 2), (4, 1), (5, 1), (6, 1)]
    assert (8, 0) in found and not table["found"][found.index((8, 0))] and len(rows) == len(found) + 1
    assert report["found"] == 9 and report["most_faces"] == 2 and report["frames"] == len(pictures) == 10
    assert report["tracks"] == len(report["faces"]) == len(set(table["face"].tolist()) - {0}) >= 3
    left = table["landmarks"][table["face"] == 2].mean((1, 2))
    right = table["landmarks"][(table["face"] == 1)].mean((1, 2))
    assert (left < right.min()).all()
    picture = pictures[0].astype(int)
    assert np.abs(picture[:, :80] - picture[:, 80:]).max() > 60  # in two colours
    assert "up to 2 at once" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        run("a.avi", "--faces", "0")


# === Times ===


def write_stamped(path, times, size=(80, 64)):
    """A video of pictures at any times: JPEG packets with their time stamps in milliseconds."""
    options = [cv2.VIDEOWRITER_PROP_RAW_VIDEO, 1]
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*"MJPG"), 1000.0, size, options)
    packet = cv2.imencode(".jpg", np.full((*size[::-1], 3), 200, "uint8"))[1].reshape(1, -1)
    for time in times:
        writer.set(cv2.VIDEOWRITER_PROP_PTS, round(1000 * time))
        writer.write(packet)
    writer.release()
    return path


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_times_are_those_of_the_file(tmp_path, capsys, suffix):
    times = np.concatenate([np.arange(12) / 30, 0.4 + np.arange(8) / 5])
    path = write_stamped(tmp_path / f"a{suffix}", times)
    assert run(path, "--out", tmp_path / "o.mp4", "--smooth") == 0
    report, table, _, pictures = read(tmp_path / "o.mp4")
    np.testing.assert_allclose(table["time"], times, atol=1e-3)
    assert report["frames"] == report["frames_expected"] == 20 and not report["problems"] and report["rate_varies"]
    (note,) = report["notes"]
    assert f"a{suffix}: the frame rate varies, from 5 to 30 frames a second" in note and note in capsys.readouterr().out
    capture = cv2.VideoCapture(str(tmp_path / "o.mp4"))
    fps = capture.get(cv2.CAP_PROP_FPS)
    assert fps == pytest.approx(30, abs=0.5) and len(pictures) / fps == pytest.approx(2.0, abs=0.05)


def test_an_estimated_number_of_frames_is_no_problem(tmp_path):
    """Matroska tells its length only: OpenCV makes 1000 frames a second of it."""
    path = write_stamped(tmp_path / "a.mkv", np.arange(15) / 25)
    assert cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FRAME_COUNT) > 500
    assert run(path, "--out", tmp_path / "o.mp4") == 0
    report, table, _, pictures = read(tmp_path / "o.mp4")
    assert len(pictures) == report["frames"] == 15 and not report["problems"] and not report["notes"]
    np.testing.assert_allclose(table["time"], np.arange(15) / 25, atol=1e-3)
    assert cv2.VideoCapture(str(tmp_path / "o.mp4")).get(cv2.CAP_PROP_FPS) == pytest.approx(25)


# === Addresses ===


def test_a_file_by_its_address(tmp_path):
    video = write_video(tmp_path / "a b.avi")
    assert run(video.as_uri(), "--out", tmp_path / "o.mp4") == 0
    assert read(tmp_path / "o.mp4")[0]["frames"] == 12


def test_what_an_address_keeps_secret_is_not_printed(tmp_path, capfd):
    for address in (
        "http://user:secret@127.0.0.1:9/a?token=secret",
        "rtsp://user:se?cret@127.0.0.1:9/a",
        "ftp://u:secret@host/a",
    ):
        assert run(address, "--out", tmp_path / "o.mp4") == 2
        shown = "".join(capfd.readouterr())
        assert "secret" not in shown and "cret@" not in shown
        assert ("no stream; an address begins with" if address.startswith("ftp") else "cannot be opened") in shown
