"""Annotated faces without pixels: what every reader returns.

`Faces` is a list of annotations held as arrays. `Dataset` is a training and a test `Faces` with named subsets of the test
part. All coordinates are image coordinates: (x, y), with the origin at the outer top-left corner, so that the centre of the
first pixel is (0.5, 0.5).
"""

import dataclasses
import os
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from kfacealign import geometry, schemes
from kfacealign.console import shown

FURTHEST = 1e6  # pixels; no coordinate of an annotation lies beyond


@dataclasses.dataclass(kw_only=True)
class Face:
    """One annotated face.

    Attributes:
        image: path of the photograph that shows it; several faces may share one.
        name: a short name for reports.
        landmarks: (K, 2) float32, image coordinates; points may lie outside the image.
        weights: (K,) float32, 0 = this landmark is not annotated.
        box: (4,) float32, x0, y0, x1, y1 in image coordinates.
        attributes: flags of this face by name, for instance `{"occlusion": True}`.
        occluded: (K,) bool, the landmarks that something hides; None where the dataset does not say.
        origin: where the annotation was read, for instance "list.txt:12".
    """

    image: str
    name: str
    landmarks: np.ndarray
    weights: np.ndarray
    box: np.ndarray
    attributes: dict[str, bool]
    occluded: np.ndarray | None = None
    origin: str = ""


class Faces:
    """A list of N annotated faces of one scheme; no pixel is read.

    `faces[3]` is a `Face`; `faces[10:20]`, `faces[indices]` and `faces[mask]` are `Faces`.

    Args:
        scheme: a `kfacealign.schemes.Scheme` or its name; K is its number of points.
        images: N image paths.
        landmarks: (N, K, 2), image coordinates. A landmark of weight 0 may be NaN; it is kept as (0, 0).
        weights: (N, K), 0 = not annotated. None makes them all 1.
        boxes: (N, 4), x0, y0, x1, y1. None takes the boxes of the annotated landmarks.
        attributes: name -> (N,) flags.
        names: N short names. None takes the image paths. What cannot be printed or encoded is kept as `\\xe9`, see
            `kfacealign.console.shown`.
        origins: N strings for messages, which say where a face was read, for instance "list.txt:12". None takes the image
            paths.
        occluded: (N, K), which landmarks something hides; None where the dataset does not say. A hidden landmark is
            annotated all the same, so its weight is not 0.

    Raises:
        ValueError: an array has a wrong shape, a coordinate of an annotated landmark is not finite, a coordinate is beyond
            `FURTHEST`, or a face has no size; the message names the origin of the face.
    """

    def __init__(
        self,
        scheme: str | schemes.Scheme,
        images: Sequence[str | os.PathLike],
        landmarks: np.ndarray,
        *,
        weights: np.ndarray | None = None,
        boxes: np.ndarray | None = None,
        attributes: Mapping[str, Sequence[bool] | np.ndarray] | None = None,
        names: Sequence[str] | None = None,
        origins: Sequence[str] | None = None,
        occluded: np.ndarray | None = None,
    ):
        self.scheme = schemes.get(scheme)
        self.images = [str(image) for image in images]
        # Reports, pages, packs and figures hold names: they are text that all of these can hold. Paths stay as they are.
        self.names = [shown(str(name)) for name in (self.images if names is None else names)]
        count, points = len(self.images), self.scheme.num_points
        self.origins = origins = [shown(str(origin)) for origin in (self.images if origins is None else origins)]

        self.landmarks = _array(landmarks, (count, points, 2), "landmarks")
        weights = np.ones((count, points), "float32") if weights is None else weights
        self.weights = _array(weights, (count, points), "weights")
        for what, texts in (("names", self.names), ("origins", origins)):
            if len(texts) != count:
                raise ValueError(f"{count} images but {len(texts)} {what}")
        self.landmarks = _without_unknown(self.landmarks, self.weights)
        _check_faces(self.landmarks, self.weights, origins)
        if boxes is None:
            boxes = _landmark_boxes(self.landmarks, self.weights)
        self.boxes = _array(boxes, (count, 4), "boxes")
        _check_boxes(self.boxes, origins)
        self.occluded = None if occluded is None else _array(occluded, (count, points), "occluded") > 0
        self.attributes = {}
        for name, flags in (attributes or {}).items():
            self.attributes[name] = np.asarray(flags, bool).reshape(-1)
            if len(self.attributes[name]) != count:
                raise ValueError(f"{count} images but {len(self.attributes[name])} flags for attribute '{name}'")

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int | slice | Sequence | np.ndarray) -> "Face | Faces":
        if isinstance(index, (int, np.integer)):
            return Face(
                image=self.images[index],
                name=self.names[index],
                landmarks=self.landmarks[index],
                weights=self.weights[index],
                box=self.boxes[index],
                attributes={name: bool(flags[index]) for name, flags in self.attributes.items()},
                occluded=None if self.occluded is None else self.occluded[index],
                origin=self.origins[index],
            )
        chosen = _positions(index, len(self))
        return Faces(
            self.scheme,
            images=[self.images[i] for i in chosen],
            landmarks=self.landmarks[chosen],
            weights=self.weights[chosen],
            boxes=self.boxes[chosen],
            attributes={name: flags[chosen] for name, flags in self.attributes.items()},
            names=[self.names[i] for i in chosen],
            origins=[self.origins[i] for i in chosen],
            occluded=None if self.occluded is None else self.occluded[chosen],
        )

    def __repr__(self):
        return f"Faces({len(self):,} of {self.scheme.name})"


@dataclasses.dataclass(kw_only=True)
class Dataset:
    """The two parts of a landmark dataset, and how its faces are customarily cropped and measured.

    Attributes:
        name: "wflw", or the folder's name.
        scheme: the landmark scheme of both parts.
        train: the training faces.
        test: the test faces.
        subsets: name -> integer positions in `test`.
        enlarge: side of the square crop over the longer side of the landmarks' box; 1.25 fills 80 % of the crop.
        normalizer: what errors are customarily divided by, for instance "inter_ocular".
    """

    name: str
    scheme: schemes.Scheme
    train: Faces
    test: Faces
    subsets: dict[str, np.ndarray]
    enlarge: float
    normalizer: str

    def __post_init__(self):
        self.name = shown(str(self.name))
        self.subsets = {shown(str(name)): places for name, places in self.subsets.items()}

    def summary(self) -> str:
        """One line for people: the counts that were read."""
        parts = ", ".join(f"{name} {len(indices):,}" for name, indices in self.subsets.items())
        return f"{self.name} ({self.scheme.name}): {len(self.train):,} training and {len(self.test):,} test faces" + (
            f" ({parts})" if parts else ""
        )

    def __repr__(self):
        return f"<{self.summary()}>"


def joined(parts: Iterable[Faces]) -> Faces:
    """Several `Faces` of one scheme as one, in their order; attributes that one of them lacks are left out."""
    parts = list(parts)
    shared = [name for name in parts[0].attributes if all(name in part.attributes for part in parts)]
    occluded = None
    if all(part.occluded is not None for part in parts):
        occluded = np.concatenate([part.occluded for part in parts])
    return Faces(
        parts[0].scheme,
        images=[image for part in parts for image in part.images],
        landmarks=np.concatenate([part.landmarks for part in parts]),
        weights=np.concatenate([part.weights for part in parts]),
        boxes=np.concatenate([part.boxes for part in parts]),
        attributes={name: np.concatenate([part.attributes[name] for part in parts]) for name in shared},
        names=[name for part in parts for name in part.names],
        origins=[origin for part in parts for origin in part.origins],
        occluded=occluded,
    )


def _without_unknown(landmarks, weights):
    """Landmarks that have (0, 0) where a coordinate is not finite and nothing is annotated."""
    unknown = (weights == 0) & ~np.isfinite(landmarks).all(-1)
    return np.where(unknown[..., None], np.float32(0), landmarks) if unknown.any() else landmarks


def _array(values, shape, what):
    with np.errstate(over="ignore"):  # a number that is too large becomes infinite, which is refused by its face
        array = np.asarray(values, "float32")
    if array.shape != shape and not (array.size == 0 and 0 in shape):
        raise ValueError(f"{what} have shape {array.shape}, expected {shape}")
    return np.ascontiguousarray(array.reshape(shape))


def _positions(index, count):
    if isinstance(index, slice):
        return np.arange(count)[index]
    index = np.asarray(index)
    if index.size == 0:
        return np.zeros(0, int)
    return np.arange(count)[index]


def _check_faces(landmarks, weights, origins):
    """Refuses coordinates that are not finite, weights without sense, and annotated points that span no more than a dot."""
    bad = ~np.isfinite(landmarks).all((1, 2))
    if bad.any():
        face = int(np.flatnonzero(bad)[0])
        point = int(np.flatnonzero(~np.isfinite(landmarks[face]).all(-1))[0])
        found = landmarks[face, point].tolist()
        advice = "if it is not annotated, give it the weight 0"
        raise ValueError(f"{origins[face]}: landmark {point} is {found}, expected finite coordinates: {advice}")
    _check_range(landmarks, origins, "a landmark")
    bad = ~(np.isfinite(weights) & (weights >= 0)).all(1)
    if bad.any():
        raise ValueError(f"{origins[np.flatnonzero(bad)[0]]}: landmark weights must be finite and not negative")
    annotated = (weights > 0)[..., None]
    low = np.where(annotated, landmarks, np.inf).min(1)
    high = np.where(annotated, landmarks, -np.inf).max(1)
    bad = ~(high > low).any(1)
    if bad.any():
        face = int(np.flatnonzero(bad)[0])
        raise ValueError(f"{origins[face]}: the face has no size: its annotated landmarks coincide or there are none")


def _check_boxes(boxes, origins):
    sides = boxes[:, 2:] - boxes[:, :2]
    bad = ~(np.isfinite(boxes).all(1) & (sides >= 0).all(1) & (sides > 0).any(1))
    if bad.any():
        face = int(np.flatnonzero(bad)[0])
        raise ValueError(
            f"{origins[face]}: the face has no size: its box is {boxes[face].tolist()}, "
            "expected x0, y0, x1, y1 with x0 < x1 and y0 < y1"
        )
    _check_range(boxes, origins, "its box")


def _check_range(coordinates, origins, what):
    """Refuses coordinates (N, ...) that are beyond `FURTHEST`."""
    far = np.abs(coordinates) > FURTHEST
    if far.any():
        place = tuple(int(places[0]) for places in np.nonzero(far))
        face, found = place[0], f"has the coordinate {coordinates[place]:,.0f}"
        raise ValueError(f"{origins[face]}: {what} {found}, expected none beyond {FURTHEST:,.0f}: is a decimal point lost?")


def _landmark_boxes(landmarks, weights):
    if not len(landmarks):
        return np.zeros((0, 4), "float32")
    return geometry.landmark_box(landmarks, weights=weights)
