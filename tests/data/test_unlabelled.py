import cv2
import numpy as np
import pytest

import kfacealign as kfa
from kfacealign.data.faces import Faces


class Detector:
    """Sees a small and a large face in bright images and nothing in dark ones."""

    def boxes(self, image):
        if image.mean() < 100:
            return np.zeros((0, 4), "float32")
        return np.array([[10, 20, 50, 60], [0, 0, 8, 8]], "float32")  # the largest first


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "b").mkdir()
    for name, value in (("z.png", 200), ("b/a.JPG", 220), ("dark.bmp", 5), ("b/c.webp", 180)):
        path = tmp_path / name
        path.write_bytes(cv2.imencode(path.suffix.lower(), np.full((64, 64, 3), value, "uint8"))[1].tobytes())
    (tmp_path / "broken.png").write_bytes(b"no image")
    (tmp_path / "notes.txt").write_text("no image either")
    return tmp_path


def labelled(scheme="ibug68", offset=0.0):
    scheme = kfa.schemes.get(scheme)
    landmarks = np.stack([scheme.mean_shape * 100 + offset, scheme.mean_shape * 50 + offset])
    return Faces(scheme, ["a.jpg", "b.jpg"], landmarks, attributes={"blur": [True, False]}, names=["a", "b"])


def test_detected_faces(folder):
    with pytest.warns(UserWarning, match="2 of 5 images left out: broken.png .*dark.bmp .no face found."):
        faces = kfa.data.image_folder(folder, "wflw98", detector=Detector())
    assert faces.names == ["b/a.JPG", "b/c.webp", "z.png"] and faces.scheme.name == "wflw98"
    assert faces.images[0] == str(folder / "b" / "a.JPG")
    assert faces.attributes["unlabelled"].all() and (faces.weights == 1).all()
    # Side 40 around (30, 40): the landmarks' box is 0.857 x 0.825 of it, its centre 0.164 lower.
    np.testing.assert_allclose(faces.boxes[0], [30 - 17.14, 46.56 - 16.5, 30 + 17.14, 46.56 + 16.5], rtol=1e-5)
    np.testing.assert_allclose(kfa.data.Crops(faces, 64).matrices, kfa.data.Crops(faces, 64, box="file").matrices, rtol=1e-4)


def test_given_boxes(folder):
    boxes = {"z.png": [8, 10, 40, 42], "b/a.JPG": (0, 0, 64, 32), "elsewhere.png": (0, 0, 1, 1)}
    with pytest.warns(UserWarning, match="3 of 5 images left out: b/c.webp .no box given."):
        faces = kfa.data.image_folder(folder, "ibug68", boxes=boxes)
    assert faces.names == ["b/a.JPG", "z.png"]
    np.testing.assert_array_equal(faces.boxes, [[0, 0, 64, 32], [8, 10, 40, 42]])
    low, high = faces.landmarks.min(1), faces.landmarks.max(1)
    np.testing.assert_allclose(np.concatenate([low, high], 1), faces.boxes, atol=1e-4)
    with pytest.raises(ValueError, match=r"z.png: its box is"):
        kfa.data.image_folder(folder, "ibug68", boxes={"z.png": [1, 2, 3]})


def test_folders_without_faces(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere is no folder"):
        kfa.data.image_folder(tmp_path / "nowhere", "ibug68")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="empty holds no image"):
        kfa.data.image_folder(tmp_path / "empty", "ibug68")
    with pytest.raises(ValueError, match=f"{folder}: no face was found in any of its 5 images"):
        kfa.data.image_folder(folder, "ibug68", boxes={})
    for name in ("z.png", "b/a.JPG", "b/c.webp"):
        (folder / name).unlink()
    with pytest.raises(ValueError, match="no face was found in any of its 2 images"):
        kfa.data.image_folder(folder, "ibug68", detector=Detector())


def test_ignored_labels_leave_the_box_by_hand():
    points = np.full((1, 29, 2), 50.0)
    points[0, :3] = [[30, 40], [70, 45], [60, 120]]
    points[0, 3] = [900, 900]
    weights = np.ones((1, 29))
    weights[0, 3] = 0  # not annotated
    faces = kfa.data.ignore_labels(Faces("cofw29", ["x.jpg"], points, weights=weights))
    np.testing.assert_array_equal(faces.boxes, [[30, 40, 70, 120]])
    shape = faces.scheme.mean_shape
    low, high = shape.min(0), shape.max(0)
    np.testing.assert_allclose(faces.landmarks[0], [30, 40] + (shape - low) / (high - low) * [40, 80], rtol=1e-5)
    # The mean shape is symmetric, so the placeholder is its own mirror about the middle of the box, x = 50.
    mirrored = faces.landmarks[0][list(faces.scheme.mirror)] * [-1, 1] + [100, 0]
    np.testing.assert_allclose(mirrored, faces.landmarks[0], atol=0.01)
    assert (faces.weights == 1).all() and list(faces.attributes) == ["unlabelled"]


def test_labels_of_another_scheme_are_ignored_too():
    faces = kfa.data.ignore_labels(labelled("wflw98"), scheme="ibug68")
    assert faces.scheme.name == "ibug68" and faces.landmarks.shape == (2, 68, 2)
    np.testing.assert_allclose(faces.boxes, labelled("wflw98").boxes)
    with pytest.raises(ValueError, match="no face"):
        kfa.data.ignore_labels(labelled()[[]])


def test_mixed_flags_boxes_and_crops():
    first, second = labelled(), kfa.data.ignore_labels(labelled(offset=30.0))
    second.boxes = second.boxes + 5  # crops must follow these boxes
    faces = kfa.data.mixed(first, second)
    assert faces.attributes["unlabelled"].tolist() == [False, False, True, True] and list(faces.attributes) == ["unlabelled"]
    assert faces.names == ["a", "b", "a", "b"]
    np.testing.assert_array_equal(faces.boxes[2:], second.boxes)
    crops = kfa.data.Crops(faces, 64, box="file", cache=None)
    np.testing.assert_array_equal(crops.matrices[:2], kfa.data.Crops(first, 64, cache=None).matrices)


def test_what_cannot_be_mixed():
    for one, other in ((labelled()[[]], labelled()), (labelled(), labelled()[[]])):
        with pytest.raises(ValueError, match=r"there are no (un)?labelled faces"):
            kfa.data.mixed(one, other)
    with pytest.raises(ValueError, match="ibug68, the unlabelled ones wflw98"):
        kfa.data.mixed(labelled(), labelled("wflw98"))
