import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from kfacealign import detect


@pytest.fixture(scope="module")
def detector():
    return detect.HaarDetector()


@pytest.fixture(scope="module")
def samples():
    """The sample photographs: name -> (RGB image, (68, 2) landmarks in image coordinates)."""
    if "KFACEALIGN_DATA" not in os.environ:
        pytest.skip("KFACEALIGN_DATA does not name the folder of real data")
    found = {}
    for path in sorted((Path(os.environ["KFACEALIGN_DATA"]) / "samples").glob("*.pts")):
        image = next(other for other in path.parent.glob(path.stem + ".*") if other.suffix != ".pts")
        numbers = path.read_text().split("{")[1].split("}")[0].split()
        points = np.array(numbers, np.float32).reshape(-1, 2) - 0.5  # .pts files are 1-based
        found[path.stem] = cv2.cvtColor(cv2.imread(str(image)), cv2.COLOR_BGR2RGB), points
    return found


def share_inside(points, box):
    return ((points >= box[:2]) & (points <= box[2:])).all(-1).mean()


def overlap(a, b):
    extent = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None).prod()
    return extent / ((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - extent)


@pytest.mark.parametrize("name", ["einstein", "takeo"])
def test_box_of_a_photograph_contains_the_landmarks(detector, samples, name):
    image, points = samples[name]
    boxes = detector.boxes(image)
    assert boxes.dtype == np.float32 and boxes.shape[1] == 4
    assert share_inside(points, boxes[0]) > 0.85
    face = detect.face_box(boxes[0])
    truth = np.concatenate([points.min(0), points.max(0)])
    assert share_inside(points, face) > 0.8
    assert overlap(face, truth) > 0.65
    assert overlap(face, truth) > overlap(boxes[0], truth)


def test_gray_and_float_images_give_the_same_boxes(detector, samples):
    image, _ = samples["takeo"]
    boxes, gray = detector.boxes(image), cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    np.testing.assert_array_equal(detector.boxes(gray), boxes)
    np.testing.assert_array_equal(detector.boxes(gray[..., None]), boxes)
    np.testing.assert_array_equal(detector.boxes(image.astype(np.float32)), boxes)


def test_channels_are_read_as_rgb(detector, samples):
    image = samples["takeo"][0].copy()
    image[..., 2] = 0  # blue counts 0.114: without it the face stays; read as red it would lose 0.299
    expected = detector.boxes(np.rint(image @ [0.299, 0.587, 0.0]).astype(np.uint8))
    np.testing.assert_allclose(detector.boxes(image), expected, atol=2)


def test_boxes_keep_to_the_image_and_to_its_scale(detector, samples):
    image, _ = samples["takeo"]
    height, width = image.shape[:2]
    # Set 100 right and 50 down into a larger picture, everything four times as large: over the size that is reduced.
    canvas = np.full((height + 150, width + 150, 3), 128, np.uint8)
    canvas[50 : 50 + height, 100 : 100 + width] = image
    large = cv2.resize(canvas, None, fx=4, fy=4, interpolation=cv2.INTER_LINEAR)
    expected = detector.boxes(image)[0]
    assert sum(overlap(box / 4 - [100, 50, 100, 50], expected) > 0.7 for box in detector.boxes(large)) == 1


def test_largest_first(detector, samples):
    image, _ = samples["takeo"]
    half = cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    canvas = np.full((image.shape[0], image.shape[1] + half.shape[1], 3), 128, np.uint8)
    canvas[: half.shape[0], : half.shape[1]] = half
    canvas[:, half.shape[1] :] = image
    boxes = detector.boxes(canvas)
    sides = boxes[:, 2] - boxes[:, 0]
    assert len(boxes) >= 2 and (np.diff(sides) <= 0).all()
    assert boxes[0, 0] > half.shape[1] - 10


def test_profiles_are_sought_on_both_sides_when_there_is_no_frontal_face(detector, monkeypatch):
    gray = np.arange(200 * 300, dtype=np.uint32).reshape(200, 300).astype(np.uint8)

    def fake(cascade, image):
        if cascade is detector._frontal:
            return np.zeros((0, 4)), np.zeros(0)
        # The cascade "sees" a face only in the image as it is, then another only in the mirrored one.
        left, top, side = (40, 60, 100) if np.array_equal(image, gray) else (10, 20, 60)
        return np.array([[left, top, left + side, top + side]], float), np.array([4.0])

    monkeypatch.setattr(detector, "_detect", fake)
    boxes = detector.boxes(gray)
    np.testing.assert_allclose(boxes[0], [47.5, 67.5, 132.5, 152.5])  # 0.85 of the side about its centre
    np.testing.assert_allclose(boxes[1], [300 - 65.5, 24.5, 300 - 14.5, 75.5])


def test_nothing_found(detector):
    boxes = detector.boxes(np.full((60, 80, 3), 99, np.uint8))
    assert boxes.shape == (0, 4) and boxes.dtype == np.float32
    assert detect.face_box(boxes).shape == (0, 4)


def test_face_box_by_hand():
    face = detect.face_box([100, 200, 200, 300])
    np.testing.assert_allclose(face, [150 - 42.85, 266.4 - 41.25, 150 + 42.85, 266.4 + 41.25], rtol=1e-6)
    np.testing.assert_array_equal(detect.face_box([[100, 200, 200, 300]])[0], face)


def test_wrong_shape_is_named(detector):
    with pytest.raises(ValueError, match=r"got shape \(4, 4, 7\)"):
        detector.boxes(np.zeros((4, 4, 7), np.uint8))


def test_an_opencv_without_cascades_is_told_apart(monkeypatch):
    monkeypatch.setattr(cv2.data, "haarcascades", "/nowhere/")
    with pytest.raises(ImportError, match="install opencv-python-headless<5"):
        detect.HaarDetector()
    monkeypatch.delattr(cv2, "data")
    with pytest.raises(ImportError, match="install opencv-python-headless<5"):
        detect.HaarDetector()
