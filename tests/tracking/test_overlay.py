import cv2
import numpy as np

from kfacealign import schemes
from kfacealign.tracking.overlay import COLORS, Overlay, color
from kfacealign.tracking.track import Track

SCHEME = schemes.get("ibug68")


def grey(level, size=(64, 80)):
    return np.full((*size, 3), level, "uint8")


def levels(path):
    capture, found = cv2.VideoCapture(str(path)), []
    while True:
        there, picture = capture.read()
        if not there:
            return found, capture.get(cv2.CAP_PROP_FPS)
        found.append(round(float(picture.mean()) / 10) * 10)


def write(path, frames, fps=10.0, until=0.0):
    overlay = Overlay(path, fps=fps, scheme=SCHEME)
    for time, image in frames:
        overlay.add(time, image, [])
    overlay.close(time=until)
    return overlay


def test_pictures_are_shown_as_long_as_they_last(tmp_path):
    frames = [(0.0, grey(50)), (0.1, grey(80)), (0.4, grey(110)), (0.42, grey(140)), (0.6, grey(170))]
    overlay = write(tmp_path / "a.avi", frames, until=0.9)
    found, fps = levels(tmp_path / "a.avi")
    # 0.40 and 0.42 fall into one frame's time: the later is shown.
    assert found == [50, 80, 80, 80, 140, 140, 170, 170, 170] and fps == 10 and overlay.written == 9 and not overlay.cut


def test_a_constant_rate_is_written_frame_by_frame(tmp_path):
    times = np.round(np.arange(40) / 29.97, 3)
    write(tmp_path / "a.avi", [(time, grey(50 + 10 * (place % 10))) for place, time in enumerate(times)], fps=29.97)
    assert levels(tmp_path / "a.avi")[0] == [50 + 10 * (place % 10) for place in range(40)]


def test_a_gap_of_hours_is_cut(tmp_path):
    overlay = write(tmp_path / "a.avi", [(0.0, grey(50)), (7200.0, grey(80)), (7200.5, grey(110))], fps=2.0)
    found, _ = levels(tmp_path / "a.avi")
    assert found == [50] * 120 + [80, 110] and overlay.cut == 7140


def test_every_face_has_a_color(tmp_path):
    overlay = Overlay(tmp_path / "a.avi", fps=10.0, scheme=SCHEME)
    points = SCHEME.mean_shape * 60
    parts = {"scores": np.ones(68), "score": 1.0, "found": True, "detected": True, "box": np.zeros(4)}
    tracks = [Track(landmarks=points + [60 * n, 0], raw=points, id=n + 1, **parts) for n in range(2)]
    overlay.add(0.0, grey(0, (64, 128)), tracks)
    picture = overlay._picture
    overlay.close()
    for half, place in ((picture[:, :60], 0), (picture[:, 68:], 1)):
        brightest = half.reshape(-1, 3)[half.sum(-1).argmax()]
        np.testing.assert_array_equal(brightest, COLORS[place])
    assert color(1) == color(len(COLORS) + 1) and len(set(COLORS)) == len(COLORS)
