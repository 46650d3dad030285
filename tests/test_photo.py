"""The way from a photograph to landmarks, with a model whose answer is known."""

import subprocess
import sys

import cv2
import numpy as np
import pytest
from PIL import Image

from kfacealign import geometry, photo, schemes
from kfacealign.data import five_points

HEAVY = ("keras", "tensorflow", "jax", "torch", "matplotlib", "scipy", "h5py")


class MeanFace:
    """Answers every crop with the mean shape; the scores count the crops."""

    def __init__(self, scheme="ibug68", input_size=64, enlarge=1.25):
        self.scheme, self.input_size, self.enlarge = schemes.get(scheme), input_size, enlarge
        self.batches, self.options = [], []

    def answer(self, crops):
        return np.repeat(self.scheme.mean_shape[None], len(crops), axis=0)

    def align(self, crops, verbose="auto", **options):
        assert verbose == 0
        assert crops.shape[1:] == (self.input_size, self.input_size, 3) and crops.dtype == np.uint8
        self.batches.append(crops)
        self.options.append(options)
        scores = np.arange(1, len(crops) + 1)[:, None] + np.zeros(self.scheme.num_points)
        return self.answer(crops), scores.astype("float32")


class BrightestPixel(MeanFace):
    """Answers every point with the centre of the brightest pixel of the crop."""

    def answer(self, crops):
        row, column = np.unravel_index(crops[..., 0].reshape(len(crops), -1).argmax(1), crops.shape[1:3])
        place = (np.stack([column, row], axis=-1) + 0.5) / self.input_size
        return np.repeat(place[:, None], self.scheme.num_points, axis=1).astype("float32")


def noise(height=120, width=160, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_importing_it_imports_nothing_heavy():
    code = f"import sys, kfacealign.photo; print(sorted(set({HEAVY}) & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


# === Reading ===


def test_a_photo_is_read_as_rgb(tmp_path):
    image = noise(7, 9)
    Image.fromarray(image).save(tmp_path / "photo.png")
    np.testing.assert_array_equal(photo.read_photo(tmp_path / "photo.png"), image)


def test_a_photo_is_turned_upright(tmp_path):
    image = np.zeros((40, 80, 3), np.uint8)
    image[:20, :20] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter, clockwise
    Image.fromarray(image).save(tmp_path / "photo.jpg", exif=exif, quality=100)
    upright = photo.read_photo(str(tmp_path / "photo.jpg"))
    assert upright.shape == (80, 40, 3)
    assert upright[:20, 20:].min() > 240 and upright[30:].max() < 15


@pytest.mark.parametrize("content", [b"", b"no image"])
def test_a_damaged_photo_is_named(tmp_path, content):
    (tmp_path / "photo.jpg").write_bytes(content)
    with pytest.raises(ValueError, match="not an image"):
        photo.read_photo(tmp_path / "photo.jpg")
    with pytest.raises(FileNotFoundError):
        photo.read_photo(tmp_path / "missing.jpg")


# === Boxes to landmarks ===


def test_landmarks_by_hand():
    """A box of 40 x 60 about (30, 50): the square has the side 60 * 1.25 = 75 and its corner at (-7.5, 12.5)."""
    model = MeanFace()
    faces = photo.align_photo(model, noise(), [[10, 20, 50, 80]])
    assert len(faces) == 1 and faces.landmarks.dtype == faces.scores.dtype == faces.squares.dtype == np.float32
    np.testing.assert_array_equal(faces.squares, [[-7.5, 12.5, 67.5, 87.5]])
    np.testing.assert_allclose(faces.landmarks[0], [-7.5, 12.5] + 75 * model.scheme.mean_shape, atol=1e-4)
    np.testing.assert_array_equal(faces.scores, np.ones((1, 68)))


def test_pixels_have_their_centres_at_the_halves():
    """The pixel of column 70 and row 41 is at (70.5, 41.5) in the image, wherever the crop puts it."""
    image = np.zeros((120, 160, 3), np.uint8)
    image[41, 70] = 255
    model = BrightestPixel()
    squares = [[40, 10, 104, 74], [50, 30, 82, 62], [66, 37, 74, 45]]  # crops of the scale 1, 2 and 8
    landmarks, _ = photo.align_squares(model, image, squares)
    # Enlarged f times, a pixel's brightest crop pixels are the two beside its centre.
    for found, scale in zip(landmarks, (1, 2, 8), strict=True):
        np.testing.assert_allclose(found, np.full((68, 2), [70.5, 41.5]), atol=0 if scale == 1 else 0.5 / scale)


def test_the_faces_of_a_photograph_are_one_batch():
    model, image = MeanFace(), noise()
    boxes = np.array([[10, 20, 50, 80], [60, 10, 100, 50], [0, 0, 160, 120]], np.float32)
    faces = photo.align_photo(model, image, boxes, flip=True)
    assert [len(batch) for batch in model.batches] == [3] and model.options == [{"flip": True}]
    assert len(faces) == 3
    for box, square, crop, landmarks, score in zip(
        boxes, faces.squares, model.batches[0], faces.landmarks, faces.scores, strict=True
    ):
        alone = photo.align_photo(MeanFace(), image, [box])
        np.testing.assert_array_equal(square, alone.squares[0])
        np.testing.assert_array_equal(crop, geometry.crop(image, square, 64)[0])
        np.testing.assert_allclose(landmarks, alone.landmarks[0], atol=1e-5)
        assert np.ptp(score) == 0
    np.testing.assert_array_equal(faces.scores[:, 0], [1, 2, 3])  # in the order of the boxes


def test_squares_may_lie_in_images_of_their_own():
    model, images = MeanFace(), [noise(seed=1), noise(80, 90, seed=2)]
    squares = [[10, 20, 74, 84], [5, 5, 69, 69]]
    landmarks, _ = photo.align_squares(model, images, squares)
    np.testing.assert_array_equal(model.batches[0][0], images[0][20:84, 10:74])
    np.testing.assert_array_equal(model.batches[0][1], images[1][5:69, 5:69])
    np.testing.assert_allclose(landmarks[1] - landmarks[0], np.full((68, 2), [-5, -15]), atol=1e-4)
    with pytest.raises(ValueError, match="longer"):
        photo.align_squares(model, images, squares[:1] * 3)


@pytest.mark.parametrize("boxes", [[], np.zeros((0, 4), np.float32)])
@pytest.mark.parametrize("upright", [False, True])
def test_without_boxes_there_are_no_faces(boxes, upright):
    model = MeanFace("cofw29")
    faces = photo.align_photo(model, noise(), boxes, five_points=upright)
    assert len(faces) == 0 and not model.batches
    assert (faces.squares.shape, faces.landmarks.shape, faces.scores.shape) == ((0, 4), (0, 29, 2), (0, 29))


def test_a_box_without_size_is_named():
    with pytest.raises(ValueError, match="the box 5, 5, 5, 5 in a photograph of 160 x 120 pixels is too small"):
        photo.align_photo(MeanFace(), noise(), [[5, 5, 5, 5]])


# === Five points ===


class TiltedFace(MeanFace):
    """Answers upright crops by the mean face in them, and the crop of a box by the mean face turned by 25 degrees."""

    def __init__(self):
        super().__init__("jd106", input_size=128)
        angle = np.deg2rad(25)
        turned = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        self.tilted = (0.5 + 0.7 * (self.scheme.mean_shape - 0.5) @ turned.T).astype("float32")
        # TEMPLATE is made of the mean shape of jd106, shrunk from 4/5 of the crop to 2/3.
        self.upright = 0.5 + (self.scheme.mean_shape - 0.5) * (2 / 3) / 0.8

    def answer(self, crops):
        return np.repeat((self.upright if len(self.batches) == 2 else self.tilted)[None], len(crops), axis=0)


def test_the_second_reading_is_upright():
    model, image = TiltedFace(), np.zeros((300, 300, 3), np.uint8)
    square = np.array([40.0, 60.0, 240.0, 260.0])
    truth = 200 * model.tilted + square[:2]
    left_eye, right_eye = five_points.five_points(truth, "jd106")[:2]
    assert right_eye[1] > left_eye[1] + 20  # the face is tilted
    cv2.circle(image, tuple(np.round(left_eye - 0.5).astype(int).tolist()), 3, (255, 255, 255), -1)
    first = photo.align_squares(model, image, [square])
    np.testing.assert_allclose(first[0][0], truth, atol=1e-3)
    landmarks, scores = photo.align_upright(model, image, *first, flip=True)
    # What the model finds in the upright crop is taken back to where the face is.
    np.testing.assert_allclose(landmarks[0], truth, atol=0.05)
    np.testing.assert_array_equal(scores, np.ones((1, 106)))
    assert model.options == [{}, {"flip": True}]
    # The crop is turned: the dot on the left eye lies where the template has this eye.
    bright = np.argwhere(model.batches[1][0][..., 0] > 127)[:, ::-1] + 0.5
    np.testing.assert_allclose(bright.mean(0) / 128, five_points.TEMPLATE[0], atol=0.01)


def test_five_points_of_a_photograph_are_a_second_reading():
    model = TiltedFace()
    faces = photo.align_photo(model, noise(300, 300), [[80, 100, 200, 220]], five_points=True)
    assert len(model.batches) == 2
    # The square: 120 * 1.25 = 150 about (140, 160).
    np.testing.assert_array_equal(faces.squares, [[65, 85, 215, 235]])
    np.testing.assert_allclose(faces.landmarks[0], 150 * model.tilted + [65, 85], atol=0.05)


def test_a_face_without_five_points_keeps_its_first_landmarks():
    model, image = MeanFace(), noise()
    first = np.stack([20 + 60 * model.scheme.mean_shape, np.full((68, 2), 33)]).astype("float32")
    scores = np.full((2, 68), 0.25, "float32")
    landmarks, again = photo.align_upright(model, image, first, scores)
    assert [len(batch) for batch in model.batches] == [1]
    np.testing.assert_array_equal(landmarks[1], first[1])
    np.testing.assert_array_equal(again, [[1.0] * 68, [0.25] * 68])
    assert np.abs(landmarks[0] - first[0]).max() > 1
    assert first[0, 0, 0] == np.float32(20 + 60 * model.scheme.mean_shape[0, 0]) and scores[0, 0] == 0.25  # not written to


def test_a_scheme_without_five_points_is_refused():
    with pytest.raises(ValueError, match="menpo39 has no five points"):
        photo.align_photo(MeanFace("menpo39"), noise(), [[10, 20, 50, 80]], five_points=True)


# === Back to the photograph ===


@pytest.mark.parametrize("box", [[10, 20, 74, 84], [-30.5, 2.25, 90, 61.75], [100, 100, 101, 104]])
@pytest.mark.parametrize("size", [64, 200])
def test_from_crop_is_the_inverse_of_crop(box, size):
    points = np.random.default_rng(3).uniform(-50, 200, (68, 2))
    _, matrix = geometry.crop(noise(), box, size)
    in_crop = geometry.apply_affine(matrix, points) / size
    np.testing.assert_allclose(geometry.from_crop(in_crop, matrix, size), points, atol=1e-9)
    corners = geometry.from_crop(np.array([[0.0, 0.0], [1.0, 1.0], [0.5, 0.5]]), matrix, size)
    x0, y0, x1, y1 = box
    np.testing.assert_allclose(corners, [[x0, y0], [x1, y1], [(x0 + x1) / 2, (y0 + y1) / 2]], atol=1e-9)


def test_from_crop_of_many_faces():
    points = np.random.default_rng(4).uniform(0, 1, (3, 5, 2)).astype("float32")
    matrices = np.stack([geometry.crop_matrix([x, x, x + 40, x + 20], 32) for x in (0, 7, 11)])
    found = geometry.from_crop(points, matrices, 32)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, points * [40, 20] + np.array([0, 7, 11])[:, None, None], atol=1e-4)


@pytest.mark.parametrize(
    "box, reason",
    [
        ((5000, 5000, 5100, 5100), "outside"),
        ((-50, 10, 0, 60), "outside"),
        ((10, 100, 60, 150), "outside"),
        ((60, 60, 60.01, 60.01), "too small"),
        ((60, 20, 20, 60), "too small"),
        ((0, 0, 1e9, 1e9), "too large"),
        ((0, 0, np.nan, 10), "no box"),
        ((0, 0, np.inf, 10), "no box"),
    ],
)
def test_boxes_in_which_there_can_be_no_face(box, reason):
    image = np.zeros((100, 200, 3), np.uint8)
    with pytest.raises(ValueError, match=rf"in a photograph of 200 x 100 pixels .*{reason}"):
        photo.usable_boxes([[10, 10, 40, 40], box], image)


def test_boxes_may_reach_beyond_the_photograph():
    image = np.zeros((100, 200, 3), np.uint8)
    boxes = photo.usable_boxes([(-50, -50, 1, 1), (199, 99, 400, 400)], image)
    assert boxes.dtype == np.float32 and boxes.shape == (2, 4)
    assert photo.usable_boxes([], image).shape == (0, 4)
    with pytest.raises(ValueError, match=r"got shape \(4,\)"):
        photo.usable_boxes([1, 2, 3, 4], image)


# === The second look ===


def turned(points, degrees, about=(80.0, 60.0)):
    """Points turned clockwise in the image."""
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return (np.asarray(points) - about) @ np.array([[cosine, sine], [-sine, cosine]]) + about


def mean_face(scheme="ibug68", side=50.0, centre=(80.0, 60.0)):
    """A mean face in a photograph; at this size its box fills 80 % of a square of that side."""
    return np.asarray(centre) + side * (schemes.get(scheme).mean_shape - 0.5)


@pytest.mark.parametrize("scheme", ["ibug68", "wflw98", "jd106", "cofw29", "aflw19"])
def test_a_quarter_turn_to_the_right_is_90_degrees(scheme):
    face = mean_face(scheme)
    x, y = face.T
    quarter = np.stack([-y, x], -1)  # what pointed to the right points down
    found = photo.rolls(np.stack([face, quarter, 3 * turned(face, -35), turned(face, 170) + 7]), scheme)
    np.testing.assert_allclose(found, [0, 90, -35, 170], atol=1e-4)


def test_what_is_no_face_has_no_roll():
    cells = np.stack([np.arange(68) % 8, np.arange(68) // 8], -1)
    places = np.stack([np.full((68, 2), 3.0), cells[:, ::-1], np.full((68, 2), np.nan), mean_face() * 1e300])
    assert np.isnan(photo.rolls(places, "ibug68")).all()
    assert np.isnan(photo.rolls(mean_face("menpo39")[None], "menpo39")).all()
    own = schemes.Scheme.from_config({"name": "own", "point_names": ["left", "right"], "mirror": [1, 0]})
    assert np.isnan(photo.rolls(np.ones((4, 2, 2)), own)).all() and len(photo.rolls(np.ones((0, 68, 2)), "ibug68")) == 0


@pytest.mark.parametrize("degrees", [0, 25, -100, 180])
def test_a_face_is_read_again_in_the_box_of_its_landmarks(degrees):
    """The model answers the mean face: the second answer is where the first one was if the crop is cut and turned rightly."""
    model, face = MeanFace(), turned(mean_face(), degrees).astype(np.float32)
    first = {"landmarks": face[None] + 0, "scores": np.zeros((1, 68), np.float32)}
    found = photo.read_again(model, noise(), first, which="all")
    np.testing.assert_array_equal(first["scores"], 0)  # what was given stays
    np.testing.assert_array_equal(found["scores"], 1)
    if abs(degrees) > 30:
        np.testing.assert_allclose(found["landmarks"][0], face, atol=1e-3)
    else:  # the crop is upright, around the landmarks' box
        box = geometry.square_box(geometry.landmark_box(face), 1.25)
        np.testing.assert_allclose(found["landmarks"][0], box[:2] + (box[2] - box[0]) * model.scheme.mean_shape, atol=1e-3)


def test_only_rolled_faces_are_read_again_unless_all_are_asked_for():
    """Faces rolled by 0, 29, 31 and -150 degrees, and one that is no face; the scores count the crops of a batch."""
    faces = np.stack([*(turned(mean_face(), degrees) for degrees in (0, 29, 31, -150)), np.full((68, 2), 9.0)]).astype(np.float32)
    for which, again in (("rolled", [2, 3]), ("all", [0, 1, 2, 3]), ("none", [])):
        model = MeanFace()
        first = {"landmarks": faces, "scores": np.zeros((5, 68), np.float32)}
        found = photo.read_again(model, noise(), first, which=which, flip=True)
        assert [len(batch) for batch in model.batches] == ([len(again)] if again else [])
        assert np.flatnonzero(found["scores"][:, 0]).tolist() == again
        assert model.options == [{"flip": True}] * len(model.batches)
    upright = np.ascontiguousarray(np.rot90(noise(160, 160)))
    with pytest.raises(ValueError, match="no second look 'both'; take one of rolled, all, none"):
        photo.align_photo(MeanFace(), upright, [[10, 20, 50, 80]], second_look="both")


def test_a_mark_that_lies_on_its_side_is_cut_upright():
    """A white pixel beside the chin of a face that lies on its left side is below the chin in the second crop."""

    class Seen(MeanFace):
        def answer(self, crops):
            self.crop = crops[-1]
            return super().answer(crops)

    model, image = Seen(input_size=100, enlarge=1.25), np.zeros((120, 160, 3), np.uint8)
    face = turned(mean_face(side=100.0), 90)  # the crown points to the right, the chin to the left
    chin = face[8]
    x, y = np.floor(chin - (4, 0)).astype(int)
    image[y - 1 : y + 2, x - 1 : x + 2] = 255
    photo.read_again(model, image, {"landmarks": face[None].astype(np.float32), "scores": np.zeros((1, 68), np.float32)})
    rows, columns = np.nonzero(model.crop[..., 0] > 100)
    np.testing.assert_allclose([columns.mean() + 0.5, rows.mean() + 0.5], 100 * model.scheme.mean_shape[8] + (0, 4), atol=1)
