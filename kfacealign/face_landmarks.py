"""From photographs to faces in one call."""

import dataclasses
import functools
import math
import os
from collections.abc import Sequence
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
        view: (S, S, 3) uint8, the face and what is around it; None where the `FaceLandmarks` makes no views.
        matrix: (2, 3), image coordinates -> pixels of the view.
        size: width and height of the upright photograph in pixels.
        visibility: (K,) float32, the probability that each point can be seen; None where the model is not calibrated.
        covariance: (K, 3) float32, xx, xy and yy of each point's error in pixels squared; None likewise.
        focal: the camera's focal length in pixels of the photograph; None is the photograph's longer side.
    """

    landmarks: np.ndarray
    scores: np.ndarray
    box: np.ndarray
    score: float | None
    scheme: schemes.Scheme
    view: np.ndarray | None
    matrix: np.ndarray
    size: tuple[int, int]
    visibility: np.ndarray | None = None
    covariance: np.ndarray | None = None
    focal: float | None = None

    @functools.cached_property
    def pose(self) -> pose.Pose | None:
        """Which way the head is turned, computed when it is first asked for.

        The camera is `kfacealign.pose.camera_matrix(face.size, focal=face.focal)`: one that looks through the middle of the
        photograph. Where its whole matrix is known, `kfacealign.pose.estimate` takes it. None where no head fits the landmarks,
        or their scheme has no points in three dimensions.
        """
        if pose.head_points(self.scheme) is None:
            return None
        unsure = None if self.covariance is None else geometry.covariance_matrices(self.covariance)
        camera = pose.camera_matrix(self.size, focal=self.focal)
        return pose.estimate(self.landmarks, self.scheme, camera, covariances=unsure)

    def __repr__(self) -> str:
        x0, y0, x1, y1 = (round(float(value)) for value in self.box)
        told = "" if self.score is None else f", score {self.score:.2f}"
        return f"<Face of {len(self.landmarks)} landmarks ({self.scheme.name}) in ({x0}, {y0}) to ({x1}, {y1}){told}>"

    def to_dict(self) -> dict[str, Any]:
        """The face as plain Python, for JSON: landmarks, scores, box, score, the name of the scheme, and the pose.

        Of a calibrated model it has visibility and covariance, too.
        """
        return {
            "landmarks": np.round(self.landmarks.astype(float), 3).tolist(),
            "scores": np.round(self.scores.astype(float), 4).tolist(),
            "box": np.round(self.box.astype(float), 3).tolist(),
            "score": None if self.score is None else round(float(self.score), 4),
            "scheme": self.scheme.name,
            "pose": None if self.pose is None else self.pose.to_dict(),
            **certainty(self),
        }

    def picture(self) -> np.ndarray:
        """(S, S, 3) uint8 RGB: the view with the landmarks drawn; hidden points are rings, and errors have their ellipses.

        Raises:
            ValueError: the face has no view.
        """
        if self.view is None:
            raise ValueError("the face has no view: its FaceLandmarks was made with views=False")
        points = geometry.apply_affine(self.matrix, self.landmarks)
        covariance = None if self.covariance is None else geometry.transform_covariance(self.covariance, self.matrix)
        return draw_landmarks(self.view, points, self.scheme, visibility=self.visibility, covariance=covariance)

    def _repr_png_(self) -> bytes | None:
        return None if self.view is None else cv2.imencode(".png", cv2.cvtColor(self.picture(), cv2.COLOR_RGB2BGR))[1].tobytes()


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
        second_look: which faces are read a second time in the box of their own landmarks: "rolled", those that are rolled by more
            than 30 degrees, in a crop that is turned upright; "all", which takes each face twice the time and serves boxes that
            are not exact; or "none". `five_points` takes its place.
        focal: the camera's focal length in pixels, for the faces' `pose`; None is each photograph's longer side.
        views: whether each `Face` gets its view; without them many photographs are read a little faster.
        threads: CPU threads of the model; None leaves it to the runtime.
        trust: whether a SavedModel folder may be loaded. It is a program, and loading it can do whatever its author wrote.
        options: further arguments of the model's `align`, such as `flip=True` of a model in Keras.

    Attributes:
        model: the loaded model. detector: the detector.

    Raises:
        FileNotFoundError: there is no such model. ValueError: it is damaged, there is no such detector or second look, or the
            focal length is not above 0.
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
        second_look: str = "rolled",
        focal: float | None = None,
        views: bool = True,
        threads: int | None = None,
        trust: bool = False,
        **options: Any,
    ):
        self.model = loaded(model, threads, trust)
        self.detector = detect.make(detector, min_score=min_score)
        if focal is not None and not 0 < focal < math.inf:
            raise ValueError(f"a focal length is a number of pixels above 0, got {focal}")
        photo.check_look(second_look)
        self.five_points, self.any_rotation, self.second_look, self.focal = five_points, any_rotation, second_look, focal
        self.views, self.options = views, options

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
        found = photo.read_squares(self.model, images, squares, **self.options)
        ends = np.cumsum([len(look.found) for look in looks])[:-1]
        parts = {name: np.split(values, ends) for name, values in found.items()}
        read = [(look, {name: parts[name][place] for name in parts}) for place, look in enumerate(looks)]
        ways = len(QUARTERS) if self.any_rotation and boxes is None else 1
        return [self._faces(*best(read[start : start + ways])) for start in range(0, len(read), ways)]

    def draw(self, photos: Any, *, boxes: Any = None) -> np.ndarray:
        """The photograph with the landmarks of its faces drawn, (H, W, 3) uint8 RGB; arguments as of a call."""
        picture = as_image(photos)
        return draw_faces(picture, self(picture, boxes=boxes), self.model.scheme)

    def _looks(self, source, boxes):
        """The ways in which a photograph is read: as it is, and turned where that is asked for."""
        image = as_image(source)
        if boxes is not None:
            boxes = photo.usable_boxes(boxes, image)
            return [Look(image, detect.Detections(boxes, np.full(len(boxes), np.nan, np.float32)), 0)]
        ways = QUARTERS if self.any_rotation else QUARTERS[:1]
        turned = [np.ascontiguousarray(np.rot90(image, quarters)) for quarters in ways]
        return [Look(one, detect.search(one, detector=self.detector), quarters) for quarters, one in enumerate(turned)]

    def _faces(self, look, read):
        """`Face` objects of one photograph; what was found in the turned image is turned back."""
        if self.five_points:
            read = photo.read_upright(self.model, look.image, read, **self.options)
        else:
            read = photo.read_again(self.model, look.image, read, which=self.second_look, **self.options)
        original = np.ascontiguousarray(np.rot90(look.image, -look.quarters))
        found, landmarks = turned_back(look.found, look.quarters, original.shape, read["landmarks"])
        if "covariance" in read:
            # `np.rot90` turns (x, y) to (y, -x) each time; this is the way back.
            turn = np.linalg.matrix_power(np.array([[0.0, -1.0], [1.0, 0.0]]), look.quarters)
            read["covariance"] = geometry.transform_covariance(read["covariance"], turn)
        faces = []
        for place, box in enumerate(found.boxes):
            matrix = geometry.crop_matrix(geometry.square_box(box, AROUND), VIEW)
            view = geometry.warp(original, matrix, VIEW) if self.views else None
            score = None if np.isnan(found.scores[place]) else float(found.scores[place])
            points = landmarks[place].astype(np.float32)
            parts = {"box": box, "score": score, "scheme": self.model.scheme, "view": view, "matrix": matrix, "focal": self.focal}
            parts |= {name: values[place] for name, values in read.items() if name != "landmarks"}
            faces.append(Face(landmarks=points, size=original.shape[1::-1], **parts))
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


def best(read: list[tuple[Look, dict[str, np.ndarray]]]) -> tuple[Look, dict[str, np.ndarray]]:
    """Of several ways of reading one photograph (look, what was read with scores (N, K)) the one that shows a face best."""
    return max(read, key=lambda one: one[1]["scores"].mean(-1).max(initial=0.0) if one[1]["scores"].size else 0.0)


def draw_faces(image: np.ndarray, faces: Sequence[Face], scheme: schemes.Scheme) -> np.ndarray:
    """A copy of a photograph (H, W, 3) uint8 RGB with the landmarks of its faces drawn, and with how sure they are."""
    landmarks = np.reshape([face.landmarks for face in faces], (-1, scheme.num_points, 2))
    known = [name for name in ("visibility", "covariance") if faces and getattr(faces[0], name, None) is not None]
    return draw_landmarks(image, landmarks, scheme, **{name: np.stack([getattr(face, name) for face in faces]) for name in known})


def certainty(face: Face) -> dict[str, list]:
    """The visibility and the covariance of a face as plain Python; empty where the model is not calibrated."""
    if face.covariance is None:
        return {}
    visibility, covariance = face.visibility.astype(float), face.covariance.astype(float)
    return {"visibility": np.round(visibility, 4).tolist(), "covariance": np.round(covariance, 4).tolist()}


def loaded(model: Any, threads: int | None, trust: bool = False) -> Any:
    """A model by its file or a preset's name; anything else is taken for a loaded model.

    A preset is its `.tflite` file where it is bundled so and an interpreter is installed, else its `.keras` file.
    """
    if model is None or (isinstance(model, str) and model in store.names()):
        name = model or store.DEFAULT
        return store.from_preset(name, format=store.quickest(name), threads=threads)
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
