"""Streams, read from a server of this machine and from captures that stand for cameras."""

import functools
import http.server
import threading

import cv2
import numpy as np
import pytest

from kfacealign.data import live
from kfacealign.data.frames import FrameFolder, NetworkStream, VideoFile, Webcam, open_source


@pytest.fixture
def served(tmp_path):
    """The address of a folder, and the folder."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(tmp_path)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"127.0.0.1:{server.server_port}", tmp_path
    server.shutdown()
    server.server_close()
    thread.join()


def write_video(path, count=12):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 20.0, (80, 64))
    for number in range(count):
        writer.write(np.full((64, 80, 3), 20 * number, "uint8"))
    writer.release()


def test_a_stream_is_read_to_its_end(served):
    host, folder = served
    write_video(folder / "a.avi")
    source = open_source(f"http://user:secret@{host}/a.avi?key=secret", every=2)
    frames = list(source)
    assert isinstance(source, NetworkStream) and [frame.number for frame in frames] == [1, 3, 5, 7, 9, 11]
    np.testing.assert_allclose([frame.time for frame in frames], np.arange(6) / 10, atol=1e-6)
    np.testing.assert_allclose([frame.image.mean() for frame in frames], 40 * np.arange(6), atol=3)
    assert source.fps == 10 and source.count is None and source.problems == []
    assert source.path == f"http://{host}/a.avi?..." and source.notes == [f"{source.path}: the stream ended after frame 12"]


def test_what_is_no_stream_is_told_without_secrets(served):
    host, _ = served
    with pytest.raises(OSError, match="cannot be opened") as error:
        open_source(f"http://user:secret@{host}/none.avi")
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("rtsp://camera/1", "rtsp://camera/1"),
        ("rtsp://user:secret@camera:554/1/main", "rtsp://camera:554/1/main"),
        ("http://user:se@cret@host/a.mp4?token=secret#part", "http://host/a.mp4?..."),
        ("http://host?token=secret", "http://host?..."),
        ("rtsp://user:se/cret@host/1", "rtsp://..."),
        ("rtsp://user:se?cret@host/1", "rtsp://..."),
        ("rtsp://user@host", "rtsp://host"),
    ],
)
def test_an_address_without_its_secrets(address, shown):
    assert live.without_secrets(address) == shown


def test_what_is_a_file_and_what_an_address(tmp_path):
    write_video(tmp_path / "1.avi")
    cv2.imwrite(str(tmp_path / "1.png"), np.zeros((8, 8, 3), "uint8"))
    assert isinstance(open_source((tmp_path / "1.avi").as_uri()), VideoFile)
    assert isinstance(open_source(tmp_path.as_uri()), FrameFolder) and isinstance(open_source(tmp_path), FrameFolder)
    for text, address in (("rtsp://a/b", True), ("HTTPS://a", True), ("c:/a.mp4", False), ("a//b", False), ("file:///a", False)):
        assert live.is_address(text) == address
    with pytest.raises(ValueError, match="no stream; an address begins with rtsp://"):
        open_source("gopher://host/a")


class Camera:
    """Stands for `cv2.VideoCapture`: five frames of a camera, the third of which is lost."""

    def __init__(self, index):
        self.index, self.number = index, 0

    def isOpened(self):
        return self.index == 1

    def get(self, _):
        return 0.0

    def grab(self):
        self.number += 1
        return self.number <= 5

    def retrieve(self):
        return self.number != 3, np.full((4, 6, 3), [10, 20, 30], "uint8")


def test_a_camera_is_read_until_it_stops(monkeypatch):
    monkeypatch.setattr(live.cv2, "VideoCapture", Camera)
    source = open_source("1")
    frames = list(source)
    assert isinstance(source, Webcam) and source.fps == 30 and [frame.number for frame in frames] == [1, 2, 3, 4, 5]
    assert [frame.image is None for frame in frames] == [False, False, True, False, False]
    assert frames[0].image[0, 0].tolist() == [30, 20, 10] and (np.diff([frame.time for frame in frames]) > 0).all()
    assert source.problems == ["webcam 1: no more frames after frame 5"]
    with pytest.raises(OSError, match="webcam 2 cannot be opened"):
        open_source(2)
