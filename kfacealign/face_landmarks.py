"""From photographs to faces in one call."""

import dataclasses
import functools
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from kfacealign import detect, geometry, photo, pose, schemes
from kfacealign.data import image_files
from kfacealign.deploy.runtime import loading
from kfacealign.detect.searching import turned_back
from kfacealign.drawing import draw_landmarks
from kfacealign.presets import store

VIEW = 256  # pixels of a face's picture
QUARTERS = (0, 1, 2, 3)  # turns in which a photograph is read
AROUND = 1.6  # side of that picture over the longer side of the face's box


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Face:
    """One face of a photograph.

    Attributes:
        landmarks: (K, 2) float32, image coordinates: (x, y) in pixels of the upright photograph, the centre of its first pixel
            at (0.5, 0.5).
        scores: (K,) float32, the model's score of each landmark.
        box: (4,) float32 x0, y0, x1, y1, the detector's face: brows to chin and ear to ear.
        score: the detector's score; None where the box was given.
        scheme: the landmark `Scheme`, whose `point_names` tell the landmarks.
        view: (S, S, 3) uint8, the face and what is around it.
        matrix: (2, 3), image coordinates -> pixels of the view.
        size: width and height of the upright photograph in pixels.
    """

    landmarks: np.ndarray
    scores: np.ndarray
    box: np.ndarray
    score: float | None
    scheme: schemes.Scheme
    view: np.ndarray
    matrix: np.ndarray
    size: tuple[int, int]

    @functools.cached_property
    def pose(self) -> pose.Pose | None:
        """Which way the head is turned, computed when it is first asked for.

        The camera is `kfacealign.pose.camera_matrix(face.size)`: one that looks through the middle of the photograph, its focal
        length the photograph's longer side. Where it is known, `kfacealign.pose.estimate` takes it. None where no head fits
        the landmarks, or their scheme has no points in three dimensions.
        """
        if pose.head_points(self.scheme) is None:
            return None
        return pose.estimate(self.landmarks, self.scheme, pose.camera_matrix(self.size))

    def __repr__(self) -> str:
        x0, y0, x1, y1 = (round(float(value)) for value in self.box)
        told = "" if self.score is None else f", score {self.score:.2f}"
        return f"<Face of {len(self.landmarks)} landmarks ({self.scheme.name}) in ({x0}, {y0}) to ({x1}, {y1}){told}>"

    def to_dict(self) -> dict[str, Any]:
        """The face as plain Python, for JSON: landmarks, scores, box, score, the name of the scheme, and the pose."""
        return {
            "landmarks": np.round(self.landmarks.astype(float), 3).tolist(),
            "scores": np.round(self.scores.astype(float), 4).tolist(),
            "box": np.round(self.box.astype(float), 3).tolist(),
            "score": None if self.score is None else round(float(self.score), 4),
            "scheme": self.scheme.name,
            "pose": None if self.pose is None else self.pose.to_dict(),
        }

    def picture(self) -> np.ndarray:
        """(S, S, 3) uint8 RGB: the view with the landmarks drawn."""
        return draw_landmarks(self.view, geometry.apply_affine(self.matrix, self.landmarks), self.scheme)

    def _repr_png_(self) -> bytes:
        return cv2.imencode(".png", cv2.cvtColor(self.picture(), cv2.COLOR_RGB2BGR))[1].tobytes()


class FaceLandmarks:
    """Finds the faces of photographs and their landmarks.

    A `.tflite` or `.onnx` model runs without Keras and TensorFlow. One object may be shared by threads: detector and model
    each let one thread at a time do their work.

    Args:
        model: a model's file, the name of a preset, or a loaded model; None is the bundled default.
        detector: "blazeface", "haar", YuNet's `.onnx` file, or an object with `detect`; None is the best one installed.
        min_score: least score of a face; None leaves it to the detector.
        five_points: whether each face is read a second time, turned upright by its eyes, nose and mouth; for models that were
            trained on such crops.
        any_rotation: whether every photograph is also read on its sides and upside down; the way is kept in which a face's
            landmarks have the highest mean score. Detectors alone cannot tell it: BlazeFace finds faces on their sides, too,
            with a box as if they were upright.
        threads: CPU threads of the model; None leaves it to the runtime.
        trust: whether a SavedModel folder may be loaded. It is a program, and loading it can do whatever its author wrote.
        options: further arguments of the model's `align`, such as `flip=True` of a model in Keras.

    Attributes:
        model: the loaded model. detector: the detector.

    Raises:
        FileNotFoundError: there is no such model. ValueError: it is damaged, or there is no such detector.
        ImportError: what the model or the detector needs is not installed.

    Example:
        >>> faces = kfacealign.FaceLandmarks()
        >>> for face in faces("photo.jpg"):
        ...     print(face.box, face.landmarks.shape)
    """

    def __init__(
        self,
        model: Any = None,
        *,
        detector: Any = None,
        min_score: float | None = None,
        five_points: bool = False,
        any_rotation: bool = False,
        threads: int | None = None,
        trust: bool = False,
        **options: Any,
    ):
        self.model = loaded(model, threads, trust)
        self.detector = detect.make(detector, min_score=min_score)
        self.five_points, self.any_rotation, self.options = five_points, any_rotation, options

    def __repr__(self) -> str:
        name = getattr(self.detector, "name", type(self.detector).__name__)
        return f"<FaceLandmarks: {self.model.scheme.name}, crops of {self.model.input_size} px, detector {name}>"

    def __call__(self, photos: Any, *, boxes: Any = None) -> list:
        """The faces of a photograph, or of each of several.

        Args:
            photos: the path of an image file, an array (H, W, 3) RGB 0..255, a PIL image, or a list of these. Files and PIL
                images are turned upright by their EXIF orientation.
            boxes: the faces' boxes in place of the detector's, (N, 4), brows to chin and ear to ear; of a list of photographs
                a list of such.

        Returns:
            List of `Face`, the largest first or in the order of the boxes; of a list of photographs a list of such lists. All
            faces go through the network in as few batches as it takes.

        Raises:
            OSError, ValueError: a photograph cannot be read; the message names it.
            ValueError: a box is no face's (see `kfacealign.photo.usable_boxes`), or there are not as many boxes as photographs.
        """
        if not isinstance(photos, list | tuple):
            return self([photos], boxes=None if boxes is None else [boxes])[0]
        if not photos:
            return []
        given = [None] * len(photos) if boxes is None else boxes
        if len(given) != len(photos):
            raise ValueError(f"{len(photos)} photographs, but boxes for {len(given)}")
        looks = [look for source, its in zip(photos, given, strict=True) for look in self._looks(source, its)]
        images = [look.image for look in looks for _ in range(len(look.found))]
        squares = [geometry.square_box(box, self.model.enlarge) for look in looks for box in look.found.boxes]
        landmarks, scores = photo.align_squares(self.model, images, squares, **self.options)
        ends = np.cumsum([len(look.found) for look in looks])[:-1]
        read = list(zip(looks, np.split(landmarks, ends), np.split(scores, ends), strict=True))
        ways = len(QUARTERS) if self.any_rotation and boxes is None else 1
        return [self._faces(*best(read[start : start + ways])) for start in range(0, len(read), ways)]

    def draw(self, photos: Any, *, boxes: Any = None) -> np.ndarray:
        """The photograph with the landmarks of its faces drawn, (H, W, 3) uint8 RGB; arguments as of a call."""
        picture = as_image(photos)
        faces = [face.landmarks for face in self(picture, boxes=boxes)]
        return draw_landmarks(picture, np.reshape(faces, (-1, self.model.scheme.num_points, 2)), self.model.scheme)

    def _looks(self, source, boxes):
        """The ways in which a photograph is read: as it is, and turned where that is asked for."""
        image = as_image(source)
        if boxes is not None:
            boxes = photo.usable_boxes(boxes, image)
            return [Look(image, detect.Detections(boxes, np.full(len(boxes), np.nan, np.float32)), 0)]
        ways = QUARTERS if self.any_rotation else QUARTERS[:1]
        turned = [np.ascontiguousarray(np.rot90(image, quarters)) for quarters in ways]
        return [Look(one, detect.search(one, detector=self.detector), quarters) for quarters, one in enumerate(turned)]

    def _faces(self, look, landmarks, scores):
        """`Face` objects of one photograph; what was found in the turned image is turned back."""
        if self.five_points:
            landmarks, scores = photo.align_upright(self.model, look.image, landmarks, scores, **self.options)
        original = np.ascontiguousarray(np.rot90(look.image, -look.quarters))
        found, landmarks = turned_back(look.found, look.quarters, original.shape, landmarks)
        faces = []
        for place, box in enumerate(found.boxes):
            view, matrix = geometry.crop(original, geometry.square_box(box, AROUND), VIEW)
            score = None if np.isnan(found.scores[place]) else float(found.scores[place])
            points = landmarks[place].astype(np.float32)
            parts = {"box": box, "score": score, "scheme": self.model.scheme, "view": view, "matrix": matrix}
            faces.append(Face(landmarks=points, scores=scores[place], size=original.shape[1::-1], **parts))
        return faces


@dataclasses.dataclass(frozen=True, eq=False)
class Look:
    """One way in which a photograph is read.

    Attributes:
        image: (H, W, 3) uint8 RGB, turned. found: its faces. quarters: by how many quarters it was turned, as `np.rot90` does.
    """

    image: np.ndarray
    found: detect.Detections
    quarters: int


def best(read: list[tuple[Look, np.ndarray, np.ndarray]]) -> tuple[Look, np.ndarray, np.ndarray]:
    """Of several ways of reading one photograph (look, landmarks (N, K, 2), scores (N, K)) the one that shows a face best."""
    return max(read, key=lambda one: one[2].mean(-1).max(initial=0.0) if one[2].size else 0.0)


def loaded(model: Any, threads: int | None, trust: bool = False) -> Any:
    """A model by its file or a preset's name; anything else is taken for a loaded model.

    A preset is its `.tflite` file where an interpreter is installed, else its `.keras` file.
    """
    if model is None or (isinstance(model, str) and model in store.names()):
        format = "tflite" if store.has_interpreter() else "keras"
        return store.from_preset(model or store.DEFAULT, format=format, threads=threads)
    if isinstance(model, str | os.PathLike):
        return loading.load(model, threads=threads, trust=trust)
    return model


def as_image(source: Any) -> np.ndarray:
    """(H, W, 3) uint8 RGB of a path, an array or a PIL image.

    Raises:
        OSError, ValueError: it cannot be read; the message names the file.
    """
    if isinstance(source, str | os.PathLike):
        try:
            return photo.read_photo(source)
        except ValueError as error:
            raise ValueError(f"{Path(source)}: {error}") from None
    if hasattr(source, "getexif"):
        return image_files.from_pillow(source)
    image = np.asarray(source)
    if image.ndim == 2:
        image = np.repeat(image[..., None], 3, axis=2)
    if image.ndim != 3 or image.shape[2] not in (3, 4) or 0 in image.shape:
        raise ValueError(f"a photograph is a path, a PIL image or an array (H, W, 3) RGB, got shape {image.shape}")
    if image.dtype != np.uint8:
        image = np.clip(np.rint(image), 0, 255).astype(np.uint8)
    return np.ascontiguousarray(image[..., :3])
