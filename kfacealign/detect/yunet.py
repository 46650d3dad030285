"""YuNet (Wu et al., 2023), run by OpenCV from a file that the user names."""

import os
import threading
from pathlib import Path

import cv2
import numpy as np

from kfacealign.detect.detections import BoxRule, Detections, none, without_twins
from kfacealign.files import require_utf8

LONGEST_SIDE = 960  # larger images are reduced to it
# Medians over 306 training images of YouTube Faces (68 landmarks), on which the bundled models were trained, by
# python benchmarks/detectors.py --fit yunet_n_640_640.onnx YTF68/train --every 9, with the file of libfacedetection.train
# Deviations: 0.024, 0.025, 0.068, 0.049; the shift to the right, -0.004, is taken for 0.
RULE = BoxRule(right=0.0, down=0.129, width=0.790, height=0.761)


class YuNetDetector:
    """Finds faces with YuNet by `cv2.FaceDetectorYN`.

    Args:
        path: the model, an `.onnx` file such as `face_detection_yunet_2023mar.onnx` of OpenCV's model zoo.
        min_score: least score of a face.

    One detector may be shared by threads: a lock lets one of them run the model at a time.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: OpenCV cannot read it.
        ImportError: the installed OpenCV has no `FaceDetectorYN` (it came with 4.5.4).
    """

    name = "yunet"

    def __init__(self, path: str | os.PathLike, *, min_score: float = 0.6):
        self.min_score = min_score
        if not hasattr(cv2, "FaceDetectorYN"):
            raise ImportError(f"OpenCV {cv2.__version__} has no FaceDetectorYN: install opencv-python-headless>=4.8")
        if not Path(path).is_file():
            raise FileNotFoundError(f"{path}: no such detector")
        require_utf8(path)
        try:
            self._network = cv2.FaceDetectorYN.create(str(path), "", (320, 320), min_score)
        except cv2.error as error:
            raise ValueError(f"{path} is no YuNet model, or a damaged one: {str(error).strip().splitlines()[-1]}") from None
        self._lock = threading.Lock()

    def detect(self, image: np.ndarray) -> Detections:
        """The faces in an image.

        Args:
            image: (H, W, 3) uint8 RGB.

        Returns:
            `Detections` with points, the best first.
        """
        height, width = image.shape[:2]
        reduction = max(1.0, max(height, width) / LONGEST_SIDE)
        size = (max(1, round(width / reduction)), max(1, round(height / reduction)))
        pixels = cv2.resize(image, size, interpolation=cv2.INTER_AREA) if reduction > 1 else image
        with self._lock:
            self._network.setInputSize(size)
            rows = self._network.detect(cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))[1]
        if rows is None:
            return none()
        scale = np.array([width / size[0], height / size[1]])
        corners = np.stack([rows[:, :2], rows[:, :2] + rows[:, 2:4]], axis=1) * scale
        # The person's right eye comes first, which a frontal face has on the image's left, and so do the mouth's corners.
        points = (rows[:, 4:14].reshape(-1, 5, 2) * scale).astype(np.float32)
        found = Detections(RULE(corners.reshape(-1, 4)), rows[:, 14].astype(np.float32), points)
        return without_twins(found.above(self.min_score))
