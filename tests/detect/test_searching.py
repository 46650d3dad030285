import numpy as np

from kfacealign.detect.detections import Detections
from kfacealign.detect.searching import find_faces, search, turned_back


class Boxes:
    """A detector in the manner of `HaarDetector`, with squares alone."""

    def boxes(self, image):
        return np.array([[0, 0, 10, 10], [100, 200, 200, 300]], np.float32)


class Scores:
    def detect(self, image):
        boxes = np.array([[100, 100, 120, 120], [0, 0, 50, 50], [60, 60, 99, 99]], np.float32)
        return Detections(boxes, np.array([0.9, 0.5, 0.4], np.float32))


def test_what_was_found_is_turned_back():
    nothing = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32))
    image = np.arange(5 * 7).reshape(5, 7)
    for quarters in range(4):
        turned = np.rot90(image, quarters)
        row, column = (int(index[0]) for index in np.nonzero(turned == image[1, 4]))
        point = np.array([[[column + 0.5, row + 0.5]]])
        _, landmarks = turned_back(nothing, quarters, image.shape, point)
        np.testing.assert_array_equal(landmarks, [[[4.5, 1.5]]])
        face = Detections(np.array([[column, row, column + 1, row + 1]], np.float32), np.array([0.5], np.float32), point)
        back, _ = turned_back(face, quarters, image.shape)
        np.testing.assert_array_equal(back.boxes, [[4, 1, 5, 2]])
        np.testing.assert_array_equal(back.points, [[[4.5, 1.5]]])


def test_squares_of_a_cascade_become_boxes_of_faces():
    boxes = find_faces(np.zeros((400, 300, 3), np.uint8), detector=Boxes())
    np.testing.assert_allclose(boxes[0], [107.15, 225.15, 192.85, 307.65], rtol=1e-6)  # the largest first


def test_least_score_and_order():
    found = search(np.zeros((400, 300, 3), np.uint8), detector=Scores(), min_score=0.5)
    np.testing.assert_array_equal(found.boxes, [[0, 0, 50, 50], [100, 100, 120, 120]])
