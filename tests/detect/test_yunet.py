import cv2
import numpy as np
import pytest

from kfacealign.detect.yunet import YuNetDetector


class Network:
    """Stands in for OpenCV's network: two rows of 15 numbers, box, five points and score, in the pixels of its input."""

    def setInputSize(self, size):
        self.size = size

    def detect(self, pixels):
        assert pixels.shape[1::-1] == self.size
        self.pixels = pixels
        row = [10, 20, 30, 40, *range(10), 0.9]
        return 1, np.array([row, [100, 100, 10, 10, *range(10), 0.3]], np.float32)


@pytest.fixture
def detector(monkeypatch, tmp_path):
    file = tmp_path / "yunet.onnx"
    file.write_bytes(b"any")
    network = Network()
    monkeypatch.setattr(cv2.FaceDetectorYN, "create", lambda *arguments: network)
    detector = YuNetDetector(file)
    detector.network = network
    return detector


def test_box_points_and_score(detector):
    found = detector.detect(np.zeros((480, 640, 3), np.uint8))
    # x, y, w, h = 10, 20, 30, 40: centre (25, 40), longer side 40. The landmarks lie 0.129 * 40 lower, 0.79 * 40 by 0.761 * 40.
    np.testing.assert_allclose(found.boxes, [[25 - 15.8, 45.16 - 15.22, 25 + 15.8, 45.16 + 15.22]], rtol=1e-6)
    np.testing.assert_allclose(found.points, np.arange(10).reshape(1, 5, 2))
    np.testing.assert_allclose(found.scores, [0.9])


def test_large_photographs_are_reduced_and_the_answer_is_in_their_pixels(detector):
    found = detector.detect(np.zeros((960, 1920, 3), np.uint8))
    assert detector.network.size == (960, 480)
    np.testing.assert_allclose(found.boxes, [[18.4, 59.88, 81.6, 120.76]], rtol=1e-6)
    np.testing.assert_allclose(found.points[0, 1], [4, 6])


def test_the_network_reads_bgr(detector):
    image = np.zeros((20, 20, 3), np.uint8)
    image[..., 0] = 200
    detector.detect(image)
    assert detector.network.pixels[0, 0].tolist() == [0, 0, 200]
