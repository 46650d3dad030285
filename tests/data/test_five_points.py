import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from kfacealign import evaluation, geometry, landmark_scheme, mirrors, photo, schemes
from kfacealign.data import five_points
from kfacealign.data.crops import Crops, read_image
from kfacealign.data.faces import Faces
from kfacealign.data.readers.csv_lists import read_list

SCHEMES = ("wflw98", "ibug68", "cofw29", "aflw19", "jd106")
COLORS = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (0, 255, 255))  # colours of the five points in a drawn face


def turned(points, degrees, zoom, shift):
    """Points rotated clockwise, enlarged and moved, and the (2, 3) map that does so."""
    angle = np.deg2rad(degrees)
    linear = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = np.column_stack([linear, shift])
    return geometry.apply_affine(matrix, np.asarray(points, "float64")), matrix


def umeyama(points, template):
    """The same by its textbook route, the singular value decomposition of the covariance."""
    centred, target = points - points.mean(0), template - template.mean(0)
    u, d, vt = np.linalg.svd(target.T @ centred)
    proper = np.array([1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    linear = (d * proper).sum() / (centred**2).sum() * (u * proper) @ vt
    return np.column_stack([linear, template.mean(0) - linear @ points.mean(0)])


def drawn(root, degrees, name="face.png"):
    """A 300 px photograph of five coloured discs on grey, the mean face turned; its one-face `Faces`."""
    landmarks, _ = turned(schemes.get("ibug68").mean_shape - 0.5, degrees, 120, (150, 140))
    image = np.full((300, 300, 3), 128, "uint8")
    for (x, y), color in zip(five_points.five_points(landmarks, "ibug68"), COLORS, strict=True):
        cv2.circle(image, (round(x - 0.5), round(y - 0.5)), 5, color, -1)
    assert cv2.imwrite(str(root / name), image[..., ::-1])
    return Faces("ibug68", [root / name], landmarks[None])


def test_the_five_points_are_those_of_the_datasets():
    known = {
        "wflw98": ((60, 64), (68, 72), (54,), (76,), (82,)),
        "ibug68": ((36, 39), (42, 45), (30,), (48,), (54,)),
        "cofw29": ((8, 10), (11, 9), (20,), (22,), (23,)),
        "aflw19": ((6, 8), (9, 11), (13,), (15,), (17,)),
        "jd106": ((66, 70), (75, 79), (54,), (84,), (90,)),
    }
    assert {name: five_points.indices(name) for name in SCHEMES} == known


def own(names, **further):
    """A scheme of somebody's own by the names of its points."""
    config = {"name": "own", "point_names": names.split(), "mirror": mirrors.by_names(names.split()), **further}
    return landmark_scheme.Scheme.from_config(config)


ALL_NAMED = """
    chin noseTip nose_bridge l_eye_inner r_eye_inner L-eye-outer R-eye-outer leftEyebrow rightEyebrow lip_corner_l lip_corner_r
    lip_left_2 lip_right_2
"""
EYES = "left_eye_outer right_eye_outer left_eye_inner right_eye_inner"


@pytest.mark.parametrize(
    "names, pupils, expected",
    [
        ("left_eye right_eye nose left_mouth right_mouth", None, ((0,), (1,), (2,), (3,), (4,))),
        (ALL_NAMED, None, ((5, 3), (6, 4), (1,), (9,), (10,))),
        # Corners go before pupils, and pupils before a single point of the eye.
        (f"nose mouth left_mouth right_mouth {EYES}", [[4], [5]], ((4, 6), (5, 7), (0,), (2,), (3,))),
        (
            "nose left_nose right_nose left_mouth right_mouth left_eye right_eye left_lid right_lid",
            [[5, 7], [6, 8]],
            ((5, 7), (6, 8), (0,), (3,), (4,)),
        ),
    ],
)
def test_the_names_of_an_own_scheme_tell_the_five_points(names, pupils, expected):
    assert five_points.indices(own(names, pupils=pupils)) == expected


@pytest.mark.parametrize(
    "names, missing",
    [
        (
            "left_ear right_ear chin",
            "are the left eye, the right eye, the tip of the nose, the left corner of the mouth, the right",
        ),
        ("left_eye_0 left_eye_1 right_eye_0 right_eye_1 nose left_lip right_lip", "are the left eye, the right eye: its file"),
        ("left_eye right_eye nose_0 nose_1 left_lip right_lip", "are the tip of the nose: its file needs names"),
        ("left_eye right_eye nose left_lip_0 left_lip_1 right_lip_0 right_lip_1", "are the left corner of the mouth, the right"),
        ("left_brow right_brow left_eyebrow right_eyebrow nose left_lip right_lip", "are the left eye, the right eye: its file"),
    ],
)
def test_names_that_do_not_tell_them_are_refused(names, missing):
    with pytest.raises(ValueError, match=missing) as error:
        five_points.indices(own(names))
    assert "scheme 'own'" in str(error.value) and "pupils for both eyes" in str(error.value)
    assert str(error.value).endswith("crop by the box (--align box)")


def test_a_face_of_an_own_scheme_is_turned_upright(tmp_path):
    """The five points of `TEMPLATE`, turned by 30 degrees, come back to it, and so does a point beside them."""
    scheme = own("left_eye_outer left_eye_inner right_eye_inner right_eye_outer nose left_lip right_lip chin")
    eyes = [[0.3066, 0.2819], [0.4066, 0.2819], [0.5934, 0.2819], [0.6934, 0.2819]]  # corners 0.05 beside the template's eyes
    places = np.concatenate([eyes, five_points.TEMPLATE[2:], [[0.5, 0.9]]])
    landmarks, _ = turned(places - 0.5, 30, 100, (120, 110))
    cv2.imwrite(str(tmp_path / "a.png"), np.full((220, 240, 3), 128, "uint8"))
    crops = Crops(Faces(scheme, [tmp_path / "a.png"], landmarks[None]), size=64, align="five_points", cache=None)
    assert crops.aligned.all()
    np.testing.assert_allclose(crops[0][1], places, atol=1e-5)


@pytest.mark.parametrize("name", SCHEMES)
def test_five_points_on_the_mean_shape(name):
    scheme = schemes.get(name)
    left_eye, right_eye, nose, left_mouth, right_mouth = five_points.five_points(scheme.mean_shape, name)
    assert left_eye[0] < left_mouth[0] < nose[0] == pytest.approx(0.5, abs=1e-6) and nose[0] < right_mouth[0] < right_eye[0]
    assert left_eye[1] < nose[1] < left_mouth[1]
    if scheme.pupils:
        pupils = [scheme.mean_shape[list(group)].mean(0) for group in scheme.pupils]
        np.testing.assert_allclose([left_eye, right_eye], pupils, atol=0.015)
    # In a mirror the sides change places, whatever the face.
    landmarks = np.random.default_rng(0).uniform(size=(scheme.num_points, 2))
    mirrored = (landmarks * [-1, 1] + [1, 0])[list(scheme.mirror)]
    expected = five_points.five_points(landmarks, name)[[1, 0, 2, 4, 3]] * [-1, 1] + [1, 0]
    np.testing.assert_allclose(five_points.five_points(mirrored, name), expected)


def test_the_template_is_the_mean_face_at_two_thirds_of_the_crop():
    points = five_points.five_points(schemes.get("jd106").mean_shape, "jd106")
    np.testing.assert_allclose(five_points.TEMPLATE, 0.5 + (points - 0.5) / 0.8 * 2 / 3, atol=1e-4)
    assert not five_points.TEMPLATE.flags.writeable


@pytest.mark.parametrize("degrees, zoom", [(0, 1.0), (30, 2.5), (-120, 0.3), (180, 40.0)])
def test_a_known_similarity_is_recovered(degrees, zoom):
    points, matrix = turned(five_points.TEMPLATE, degrees, zoom, (17.0, -5.0))
    found = five_points.similarity(points, five_points.TEMPLATE)
    np.testing.assert_allclose(found, geometry.invert_affine(matrix), atol=1e-12)
    np.testing.assert_allclose(geometry.apply_affine(found, points), five_points.TEMPLATE, atol=1e-12)
    assert geometry.length_scale(found) == pytest.approx(1 / zoom)


def test_similarity_is_the_least_squares_one_and_never_reflects():
    generator = np.random.default_rng(0)
    points, templates = generator.normal(size=(2, 200, 5, 2)) * [[[[9.0]]], [[[1.0]]]]
    points[0] = templates[0] * [-1, 1]  # a mirror image, which only a reflection would fit
    found = five_points.similarity(points, templates)
    np.testing.assert_allclose(found, [umeyama(*pair) for pair in zip(points, templates, strict=True)], atol=1e-9)
    assert (np.linalg.det(found[..., :2]) > 0).all()
    assert found.shape == (200, 2, 3) and found.dtype == np.float64
    np.testing.assert_allclose(five_points.similarity(points[7], templates[7]), found[7])


def test_points_without_a_similarity_are_named():
    points = np.tile(five_points.TEMPLATE, (3, 1, 1))
    points[1] = 4.0
    with pytest.raises(ValueError, match="the points of face 1 give no similarity"):
        five_points.similarity(points, five_points.TEMPLATE)
    with pytest.raises(ValueError, match="not finite"):
        five_points.similarity(points[0] * np.nan, five_points.TEMPLATE)
    with pytest.raises(ValueError, match="must both end in"):
        five_points.similarity(points, five_points.TEMPLATE[:4])


def test_schemes_without_five_points():
    with pytest.raises(ValueError, match=r"menpo39 has no five points.*profile"):
        five_points.five_points(np.zeros((1, 39, 2)), "menpo39")
    landmarks = np.random.default_rng(0).uniform(0, 90, (1, 39, 2))
    with pytest.raises(ValueError, match="menpo39 has no five points"):
        Crops(Faces("menpo39", ["a.png"], landmarks), 32, align="five_points")
    with pytest.raises(ValueError, match=r"ibug68 are \(N, 68, 2\), got shape \(1, 98, 2\)"):
        five_points.five_points(np.zeros((1, 98, 2)), "ibug68")


@pytest.mark.parametrize("name", SCHEMES)
def test_mean_faces_lie_inside_the_crop_however_they_are_turned(name):
    shape = schemes.get(name).mean_shape
    landmarks = np.stack([turned(shape, degrees, 77, (200, 300))[0] for degrees in range(-180, 180, 45)])
    crops = Crops(Faces(name, ["a.png"] * len(landmarks), landmarks), 192, align="five_points", cache=None)
    assert crops.aligned.all() and crops.landmarks.min() > 0.14 and crops.landmarks.max() < 0.86
    np.testing.assert_allclose(crops.landmarks, crops.landmarks[:1].repeat(8, 0), atol=1e-4)  # all upright and alike
    mapped = five_points.five_points(crops.landmarks, name)
    np.testing.assert_allclose(mapped, np.tile(five_points.TEMPLATE, (8, 1, 1)), atol=0.01)
    back = geometry.apply_affine(geometry.invert_affine(crops.matrices), crops.landmarks * 192)
    np.testing.assert_allclose(back, landmarks, atol=1e-3)
    wider = Crops(crops.faces, 192, enlarge=2.5, align="five_points", cache=None)
    np.testing.assert_allclose(wider.landmarks - 0.5, (crops.landmarks - 0.5) / 2, atol=1e-5)


@pytest.mark.parametrize("degrees", [0, 180, -70])
def test_a_drawn_face_becomes_upright(tmp_path, degrees):
    crops = Crops(drawn(tmp_path, degrees), 96, align="five_points")
    image, landmarks, _ = crops[0]
    for (x, y), color in zip(five_points.TEMPLATE * 96, COLORS, strict=True):
        np.testing.assert_allclose(image[int(y), int(x)].astype(int), color, atol=2)
    assert landmarks[30, 1] > landmarks[36, 1]  # the nose is below the eye
    assert crops.sides[0] == pytest.approx(96 / np.linalg.norm(crops.matrix(0)[:, 0]))
    boxed = Crops(crops.faces, 96)
    assert boxed.sides[0] == pytest.approx(96 / boxed.matrix(0)[0, 0]) and not boxed.aligned.any()


@pytest.mark.parametrize("align", ["box", "five_points"])
def test_errors_are_measured_in_the_photograph(tmp_path, align):
    class Model:
        """Finds every landmark 5 px off, 3 to the right and 4 below in the photograph, however the crop is turned."""

        scheme = "ibug68"

        def align(self, images, verbose=0):
            points = geometry.apply_affine(crops.matrices, crops.faces.landmarks + np.float32([3, 4])) / crops.size
            return points, np.ones(points.shape[:2], "float32")

    crops = Crops(drawn(tmp_path, 135), 64, align=align)
    report = evaluation.evaluate(Model(), crops)
    np.testing.assert_allclose(report.predicted, crops.faces.landmarks + np.float32([3, 4]), atol=1e-3)
    inter_ocular = np.linalg.norm(crops.faces.landmarks[0, 36] - crops.faces.landmarks[0, 45])
    np.testing.assert_allclose(report.errors, 500 / inter_ocular, rtol=1e-4)
    assert report.align == align


def test_faces_are_read_again_upright(tmp_path):
    face = drawn(tmp_path, 110)
    image, landmarks = read_image(face.images[0]), face.landmarks[0]

    class Model:
        """Finds the mean face in every crop, which it keeps."""

        scheme, input_size, enlarge = schemes.get("ibug68"), 96, 1.25

        def align(self, images, verbose=0, flip=False):
            self.images, self.flip = images, flip
            found = geometry.apply_affine(Crops(face, 96, align="five_points").matrices, landmarks[None]) / 96
            return found.repeat(len(images), 0) + 0.01, np.full((len(images), 68), 0.5, "float32")

    model, lost = Model(), np.full((68, 2), 40.0)
    found, scores = photo.align_upright(model, image, np.stack([landmarks, lost]), np.ones((2, 68)), flip=True)
    assert model.images.shape == (1, 96, 96, 3) and model.flip
    for (x, y), color in zip(five_points.TEMPLATE * 96, COLORS, strict=True):
        np.testing.assert_allclose(model.images[0, int(y), int(x)].astype(int), color, atol=2)
    # The shift of 0.01 of the crop to the right and below is turned back with the face.
    side = Crops(face, 96, align="five_points").sides[0]
    angle = np.deg2rad(110)
    step = 0.01 * side * np.array([np.cos(angle) - np.sin(angle), np.sin(angle) + np.cos(angle)])
    np.testing.assert_allclose(found[0], landmarks + step, atol=1e-2)
    np.testing.assert_array_equal(found[1], lost)  # its five points are one
    assert scores[0].tolist() == [0.5] * 68 and scores[1].tolist() == [1.0] * 68


def test_faces_without_their_five_points_are_cropped_by_the_box(tmp_path):
    one = drawn(tmp_path, 20)
    landmarks, weights = np.repeat(one.landmarks, 3, 0), np.ones((3, 68))
    weights[0, 45] = 0  # a corner of the right eye
    weights[1, 0] = 0  # a point of the jaw
    landmarks[2, [36, 39, 42, 45, 30, 48, 54]] = 150.0
    faces = Faces("ibug68", one.images * 3, landmarks, weights=weights)
    crops, boxed = Crops(faces, 32, align="five_points", cache=None), Crops(faces, 32, cache=None)
    assert crops.aligned.tolist() == [False, True, False]
    np.testing.assert_array_equal(crops.matrices[[0, 2]], boxed.matrices[[0, 2]])
    np.testing.assert_allclose(crops.matrices[1], five_points.crop_matrices(landmarks[1], "ibug68", 32))
    assert "3 face crops of 32 px, 2 cropped by their box" in crops.summary() and "box" not in boxed.summary()
    assert len(Crops(faces[[]], 32, align="five_points")) == 0
    with pytest.raises(ValueError, match="align is 'eyes'"):
        Crops(faces, 32, align="eyes")
    with pytest.raises(ValueError, match="enlarge"):
        five_points.crop_matrices(landmarks[1], "ibug68", 32, enlarge=0)


def test_the_disk_cache_tells_alignments_apart(tmp_path):
    faces, cache = drawn(tmp_path, 90), tmp_path / "cache"
    aligned = [Crops(faces, 32, cache=cache, align="five_points").batch([0])[0] for _ in range(2)]
    boxed = Crops(faces, 32, cache=cache).batch([0])[0]
    np.testing.assert_array_equal(*aligned)
    assert not np.array_equal(aligned[0], boxed) and len(os.listdir(cache)) == 4


@pytest.mark.skipif("KFACEALIGN_DATA" not in os.environ, reason="needs the 300W annotations")
def test_real_faces_are_upright_inside_the_default_crop():
    folder = Path(os.environ["KFACEALIGN_DATA"]) / "annotations" / "300w"
    faces = read_list(folder / "face_landmarks_300w_valid.csv")
    names, landmarks = faces.names, faces.landmarks
    crops = Crops(Faces("ibug68", names, landmarks), 192, align="five_points", cache=None)
    assert crops.aligned.all()
    outside = ((crops.landmarks < 0) | (crops.landmarks > 1)).any(-1)
    assert outside.mean() < 0.003 and outside.any(1).mean() < 0.08
    across = crops.landmarks[:, 45] - crops.landmarks[:, 36]  # between the outer corners of the eyes
    assert (across[:, 0] > 0).all() and np.abs(np.rad2deg(np.arctan2(across[:, 1], across[:, 0]))).mean() < 3
