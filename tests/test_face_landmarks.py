import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from PIL import Image

import kfacealign as kfa
from kfacealign import detect, geometry, pose
from kfacealign.data import SyntheticFaces

SIZE, FACES = 256, 4
EXIF_ORIENTATION = 0x0112


@pytest.fixture(scope="module")
def rendered():
    """(image (256, 256, 3), landmarks (68, 2)) of rendered faces."""
    source = SyntheticFaces(3, size=SIZE)
    faces = [source.render(number) for number in range(FACES)]
    return [(face.image, face.landmarks["ibug68"]) for face in faces]


@pytest.fixture(scope="module")
def crowd(rendered):
    """Two faces in one photograph, the second half as large."""
    image = np.full((300, 420, 3), 120, np.uint8)
    image[:256, :256] = rendered[1][0]
    image[150:278, 280:408] = geometry.crop(rendered[2][0], (0, 0, 256, 256), 128)[0]
    return image, [rendered[1][1], rendered[2][1] / 2 + [280, 150]]


@pytest.fixture(scope="module")
def faces():
    return kfa.FaceLandmarks()


def error(found, truth):
    """Mean distance of landmarks in sides of the true box."""
    box = geometry.landmark_box(truth)
    return np.linalg.norm(found - truth, axis=-1).mean() / (box[2:] - box[:2]).max()


def test_faces_of_an_array(faces, crowd):
    image, truth = crowd
    found = faces(image)
    assert len(found) == 2  # the larger first
    for face, points in zip(found, truth, strict=True):
        assert error(face.landmarks, points) < 0.06
        assert face.landmarks.dtype == face.scores.dtype == face.box.dtype == np.float32
        assert face.landmarks.shape == (68, 2) and face.scores.shape == (68,) and face.scheme.name == "ibug68"
        assert 0.6 < face.score <= 1


def test_every_kind_of_photograph_is_the_same_photograph(faces, crowd, tmp_path):
    image, _ = crowd
    file = tmp_path / "crowd.png"
    Image.fromarray(image).save(file)
    kinds = [str(file), file, Image.open(file), image, image.astype(np.float32), np.dstack([image, np.full(image.shape[:2], 7)])]
    expected = faces(image)
    for found in [*faces(kinds), *map(faces, kinds)]:
        assert len(found) == 2
        for face, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(face.landmarks, other.landmarks, atol=1e-3)
            np.testing.assert_array_equal(face.box, other.box)


def test_a_batch_and_one_after_the_other_are_the_same(faces, rendered, crowd):
    photographs = [rendered[0][0], np.zeros((60, 80, 3), np.uint8), crowd[0]]
    together = faces(photographs)
    assert [len(found) for found in together] == [1, 0, 2]
    for found, image in zip(together, photographs, strict=True):
        for face, other in zip(found, faces(image), strict=True):
            np.testing.assert_allclose(face.landmarks, other.landmarks, atol=1e-2)


def test_all_faces_go_through_the_network_at_once(faces, crowd, rendered, monkeypatch):
    sizes, align = [], faces.model.align

    def counted(crops, **options):
        sizes.append(len(crops))
        return align(crops, **options)

    monkeypatch.setattr(faces.model, "align", counted, raising=False)
    faces([crowd[0], rendered[0][0]])
    assert sizes == [3]


def test_boxes_take_the_place_of_the_detector(faces, crowd):
    image, truth = crowd
    boxes = [geometry.landmark_box(points) for points in truth[::-1]]
    found = faces(image, boxes=boxes)
    assert [face.score for face in found] == [None, None]
    for face, points, box in zip(found, truth[::-1], boxes, strict=True):
        np.testing.assert_allclose(face.box, box, rtol=1e-6)
        assert error(face.landmarks, points) < 0.06
    assert faces(image, boxes=[]) == []


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_turned_photographs(rendered, quarters):
    image, truth = rendered[1]
    turned = np.ascontiguousarray(np.rot90(image, quarters))
    for _ in range(quarters):
        truth = np.stack([truth[:, 1], SIZE - truth[:, 0]], axis=-1)  # (x, y) -> (y, w - x), as np.rot90 turns
    found = kfa.FaceLandmarks(any_rotation=True)(turned)
    assert len(found) == 1 and error(found[0].landmarks, truth) < 0.06
    middle = (found[0].box[:2] + found[0].box[2:]) / 2
    box = geometry.landmark_box(truth)
    assert np.abs(middle - (box[:2] + box[2:]) / 2).max() < 0.15 * (box[2:] - box[:2]).max()
    shown = geometry.apply_affine(found[0].matrix, truth)
    assert shown.min() > 0 and shown.max() < len(found[0].view)


def test_faces_that_are_upside_down_are_read_again_turned_upright():
    """The default knows them from few views; the first reading tells that they are rolled, the second sees them upright."""
    drawn = [SyntheticFaces(3, size=SIZE).render(index) for index in range(8)]
    images = [np.ascontiguousarray(np.rot90(face.image, 2)) for face in drawn]
    truth = np.stack([SIZE - face.landmarks["ibug68"] for face in drawn])
    boxes = [geometry.landmark_box(points)[None] for points in truth]
    errors = {}
    for second_look in ("rolled", "none"):
        found = kfa.FaceLandmarks(second_look=second_look)(images, boxes=boxes)
        landmarks = np.stack([faces[0].landmarks for faces in found])
        errors[second_look] = np.linalg.norm(landmarks - truth, axis=-1).mean()
    assert errors["rolled"] < 0.6 * errors["none"]
    upright = [kfa.FaceLandmarks(second_look=which)(drawn[0].image)[0].landmarks for which in ("rolled", "none")]
    np.testing.assert_array_equal(*upright)
    with pytest.raises(ValueError, match="no second look"):
        kfa.FaceLandmarks(second_look="always")


@pytest.mark.parametrize("orientation, back", [(1, 0), (3, 2), (6, 1), (8, 3)])
def test_a_photograph_is_upright_by_its_exif_orientation(faces, rendered, tmp_path, orientation, back):
    image, truth = rendered[1]
    stored = Image.fromarray(np.ascontiguousarray(np.rot90(image, back)))
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    stored.save(tmp_path / "turned.jpg", exif=exif, quality=95)
    for source in (tmp_path / "turned.jpg", Image.open(tmp_path / "turned.jpg")):
        found = faces(source)
        assert len(found) == 1 and error(found[0].landmarks, truth) < 0.06


def test_eight_threads_give_the_answers_of_one(rendered):
    for detector in ("blazeface", "haar"):
        shared = kfa.FaceLandmarks(detector=detector)
        images = [image for image, _ in rendered]
        alone = [shared(image) for image in images]
        start = threading.Barrier(8)

        def work(thread, shared=shared, images=images, start=start):
            start.wait()
            return [(place, shared(images[place])) for place in np.random.default_rng(thread).permutation(len(images))]

        with ThreadPoolExecutor(8) as pool:
            answers = [answer for answers in pool.map(work, range(8)) for answer in answers]
        assert len(answers) == 8 * len(images)
        for place, found in answers:
            assert len(found) == len(alone[place])
            for face, other in zip(found, alone[place], strict=True):
                np.testing.assert_array_equal(face.landmarks, other.landmarks)
                np.testing.assert_array_equal(face.box, other.box)


def test_a_face_tells_of_itself(faces, crowd):
    image, _ = crowd
    face = faces(image)[0]
    told = json.loads(json.dumps(face.to_dict()))
    assert list(told) == ["landmarks", "scores", "box", "score", "scheme", "pose"] and told["scheme"] == "ibug68"
    np.testing.assert_allclose(told["landmarks"], face.landmarks, atol=1e-3)
    assert repr(face).startswith("<Face of 68 landmarks (ibug68) in (")
    picture = cv2.imdecode(np.frombuffer(face._repr_png_(), np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(picture[..., ::-1], face.picture())
    # The view shows the face where its matrix says: the pixel at the tip of the nose is the photograph's.
    x, y = np.rint(geometry.apply_affine(face.matrix, face.landmarks[30]) - 0.5).astype(int)
    column, row = np.floor(face.landmarks[30]).astype(int)
    assert np.abs(face.view[y, x].astype(int) - image[row, column]).max() < 40


def test_without_views_all_else_is_the_same(faces, rendered):
    image, _ = rendered[1]
    (face,), (bare,) = faces(image), kfa.FaceLandmarks(views=False)(image)
    assert bare.view is None and bare._repr_png_() is None
    for name in ("landmarks", "scores", "box", "matrix"):
        np.testing.assert_array_equal(getattr(bare, name), getattr(face, name))
    assert bare.to_dict() == face.to_dict()
    with pytest.raises(ValueError, match="has no view"):
        bare.picture()


def test_the_pose_of_a_face_in_the_photographs_camera(faces, rendered):
    """The camera is the photograph's, also where the face was cropped from a side of it."""
    image = np.full((300, 700, 3), 120, np.uint8)
    image[20:276, 430:686] = rendered[1][0]
    face = faces(image)[0]
    assert face.size == (700, 300)
    np.testing.assert_array_equal(face.pose.camera, [[700, 0, 350], [0, 700, 150], [0, 0, 1]])
    expected = pose.estimate(face.landmarks, "ibug68", face.pose.camera)
    np.testing.assert_array_equal(face.pose.rotation, expected.rotation)
    assert face.pose is face.pose  # computed once
    told = json.loads(json.dumps(face.to_dict()))["pose"]
    np.testing.assert_allclose([told[name] for name in ("yaw", "pitch", "roll")], pose.angles(expected.rotation), atol=0.01)
    np.testing.assert_allclose(told["rotation"], expected.rotation, atol=1e-5)
    assert set(told) == {"yaw", "pitch", "roll", "rotation", "translation", "camera", "error"}


def test_the_focal_length_is_the_cameras(crowd):
    face = kfa.FaceLandmarks(focal=900)(crowd[0])[0]
    np.testing.assert_array_equal(face.pose.camera, [[900, 0, 210], [0, 900, 150], [0, 0, 1]])
    for wrong in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="a focal length is a number of pixels above 0"):
            kfa.FaceLandmarks(focal=wrong)


def test_a_face_that_is_no_head_has_no_pose(faces, crowd):
    parts = vars(faces(crowd[0])[0]) | {"landmarks": np.full((68, 2), 7, np.float32)}
    face = kfa.Face(**{name: parts[name] for name in kfa.Face.__dataclass_fields__})
    assert face.pose is None and face.to_dict()["pose"] is None


def test_drawing(faces, crowd):
    image, _ = crowd
    picture = faces.draw(image)
    assert picture.shape == image.shape and picture.dtype == np.uint8
    changed = np.argwhere((picture != image).any(-1))
    assert changed[:, 1].min() < 128 and changed[:, 1].max() > 280  # both faces
    np.testing.assert_array_equal(faces.draw(np.zeros((60, 80, 3), np.uint8)), np.zeros((60, 80, 3)))


def test_what_is_no_photograph(faces, tmp_path):
    (tmp_path / "words.jpg").write_text("no image")
    with pytest.raises(ValueError, match=r"words\.jpg: not an image"):
        faces(tmp_path / "words.jpg")
    with pytest.raises(OSError, match=r"missing\.jpg"):
        faces([tmp_path / "missing.jpg"])
    with pytest.raises(ValueError, match=r"got shape \(5, 5, 2\)"):
        faces(np.zeros((5, 5, 2)))
    with pytest.raises(FileNotFoundError, match="no-model"):
        kfa.FaceLandmarks("no-model.tflite")
    with pytest.raises(ValueError, match="no detector 'mtcnn'"):
        kfa.FaceLandmarks(detector="mtcnn")


def test_models_and_detectors_of_ones_own(rendered):
    class Middle:
        def detect(self, image):
            return detect.Detections(np.array([[50, 50, 210, 220]], np.float32), np.array([0.5], np.float32))

    model = kfa.from_preset(kfa.presets.DEFAULT, format="tflite")
    own = kfa.FaceLandmarks(model, detector=Middle())
    assert own.model is model
    assert own(rendered[0][0])[0].score == 0.5
    assert "detector Middle" in repr(own) and "detector blazeface" in repr(kfa.FaceLandmarks(model))


@pytest.mark.parametrize("name", kfa.presets.names())
def test_every_preset_opens_by_its_name(name, rendered):
    """Those that are bundled as `.keras` alone as well; the tolerance is that of drawings of 100 px between the eyes."""
    reader = kfa.FaceLandmarks(name)
    found = reader(rendered[1][0])
    assert len(found) == 1 and found[0].landmarks.shape == (reader.model.scheme.num_points, 2)
    truth = SyntheticFaces(3, size=SIZE).render(1).landmarks[reader.model.scheme.name]
    assert np.abs(found[0].landmarks - truth).mean() < 3


def test_neither_keras_nor_tensorflow_is_imported(rendered, tmp_path):
    Image.fromarray(rendered[0][0]).save(tmp_path / "face.png")
    script = (
        "import sys, kfacealign as kfa; faces = kfa.FaceLandmarks()(sys.argv[1]); "
        "print(len(faces), sorted({'keras', 'tensorflow', 'jax', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script, tmp_path / "face.png"], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[0] == "1 []"


def test_no_photograph_has_no_faces(faces):
    assert faces([]) == []


def test_a_box_that_is_no_faces_is_refused(faces, rendered):
    with pytest.raises(ValueError, match="in a photograph of 256 x 256 pixels lies outside"):
        faces(rendered[0][0], boxes=[[300, 300, 400, 400]])
    with pytest.raises(ValueError, match="1 photographs, but boxes for 2"):
        faces([rendered[0][0]], boxes=[[[50, 50, 210, 220]], []])


# === Calibrated models ===


class SureModel:
    """Finds all points in the middle of a crop, sure of a crop whose upper left corner is white.

    In a crop of 16 pixels its deviations are 2 along x and 1 along y, and the covariance is 1.
    """

    scheme, input_size, enlarge, answers = kfa.schemes.AFLW19, 16, 1.0, ("landmarks", "scores", "visibility", "covariance")

    def align_all(self, crops, verbose=0):
        count, sure = len(crops), crops[:, 0, 0].mean(-1) / 255
        return {
            "landmarks": np.full((count, 19, 2), 0.5, "float32"),
            "scores": np.repeat(sure[:, None], 19, axis=1).astype("float32"),
            "visibility": np.full((count, 19), 0.25, "float32"),
            "covariance": np.tile(np.array([4, 1, 1], "float32") / 16**2, (count, 19, 1)),
        }


class Middle:
    """Detects a face of 32 pixels in the middle of any picture."""

    name = "middle"

    def detect(self, image):
        centre = np.array(image.shape[1::-1]) / 2
        box = np.concatenate([centre - 16, centre + 16])[None].astype("float32")
        return detect.Detections(box, np.ones(1, "float32"))


def test_how_sure_a_face_is():
    landmarker = kfa.FaceLandmarks(SureModel(), detector=Middle())
    image = np.full((60, 80, 3), 255, np.uint8)
    (face,) = landmarker(image)
    # Two pixels of the photograph are one of the crop.
    np.testing.assert_allclose(face.covariance, np.tile([16, 4, 4], (19, 1)), rtol=1e-6)
    np.testing.assert_allclose(face.visibility, 0.25)
    described = json.loads(json.dumps(face.to_dict()))
    assert described["visibility"] == [0.25] * 19 and described["covariance"] == [[16, 4, 4]] * 19
    assert landmarker.draw(image).shape == image.shape and face.picture().shape == (256, 256, 3)


@pytest.mark.parametrize(
    ("corner", "expected"),
    [
        ((0, 0), [16, 4, 4]),
        ((1, 0), [4, -4, 16]),  # turned left once, its right becomes its top: x' = y and y' = -x
        ((1, 1), [16, 4, 4]),  # upside down
        ((0, 1), [4, -4, 16]),
    ],
)
def test_the_ellipse_of_a_turned_face_is_turned_back(corner, expected):
    """A white quarter of the face is at its upper left after so many turns."""
    image = np.zeros((60, 80, 3), np.uint8)
    x, y = 24 + 16 * corner[0], 14 + 16 * corner[1]
    image[y : y + 16, x : x + 16] = 255
    (face,) = kfa.FaceLandmarks(SureModel(), detector=Middle(), any_rotation=True)(image)
    assert face.scores.min() > 0.9
    np.testing.assert_allclose(face.landmarks, np.tile([40, 30], (19, 1)), atol=1e-3)
    np.testing.assert_allclose(face.covariance, np.tile(expected, (19, 1)), rtol=1e-5)


def test_other_models_say_nothing_of_it(faces, crowd):
    (first, *_) = faces(crowd[0])
    assert first.visibility is None and first.covariance is None
    assert not {"visibility", "covariance"} & set(first.to_dict())
