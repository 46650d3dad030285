"""Landmarks drawn on images, with sub-pixel positions."""

import itertools
from collections.abc import Iterable

import cv2
import numpy as np

from kfacealign import schemes
from kfacealign.pose import Pose

SHIFT = 4  # fractional bits of OpenCV's coordinates
LIMIT = 3e4  # pixels; farther out OpenCV's fixed point would overflow
FINENESS = 130  # extent of a face's landmarks over the radius of their dots
SMALLEST = 0.5  # pixels of that radius
LINES = 0.7  # width of the lines over the radius of the dots
AXIS = 60.0  # millimetres of a head's axes
AXES = ((255, 60, 60), (60, 220, 60), (70, 110, 255))  # to the person's left, down, out of the face


def draw_landmarks(
    image: np.ndarray,
    landmarks: np.ndarray,
    scheme: schemes.Scheme | str,
    *,
    color: tuple[int, int, int] = (255, 50, 50),
    contours: bool = True,
    thickness: float | None = None,
    weights: np.ndarray | None = None,
) -> np.ndarray:
    """A copy of an image with the landmarks as dots and the scheme's contours as thinner lines.

    Args:
        image: `(H, W, 3)` uint8, RGB.
        landmarks: `(K, 2)`, or `(N, K, 2)` of N faces, in image coordinates (the centre of the first pixel is (0.5, 0.5)); they
            may lie outside.
        scheme: scheme of the landmarks, a name or a `Scheme`.
        color: RGB.
        contours: whether lines are drawn.
        thickness: radius of a dot in pixels; by default a 130th of the extent of the face's landmarks, but at least 0.5, and at
            most a 65th of the image's longer side. A line is 0.7 times as wide, at least a pixel; it is half transparent where
            the radius is half a pixel.
        weights: `(K,)`, or `(N, K)`; points of weight 0, points that are not finite and the lines to either are left out.

    Returns:
        `(H, W, 3)` uint8.

    Raises:
        ValueError: the landmarks are not those of the scheme.
    """
    scheme = schemes.get(scheme)
    points = np.asarray(landmarks, "float64")
    if points.ndim not in (2, 3) or points.shape[-2:] != (scheme.num_points, 2):
        raise ValueError(f"{scheme.name} has {scheme.num_points} points, got landmarks of shape {points.shape}")
    shown = np.isfinite(points).all(-1)
    if weights is not None:
        shown &= np.asarray(weights) > 0
    points = np.clip(np.where(shown[..., None], points, 0), -LIMIT, LIMIT)
    picture = np.array(image, order="C")
    for face, its in zip(points.reshape(-1, scheme.num_points, 2), shown.reshape(-1, scheme.num_points), strict=True):
        if its.any():
            radius = dot_radius(face[its], picture.shape) if thickness is None else thickness
            _draw(picture, face, its, segments(scheme) if contours else [], color, radius)
    return picture


def dot_radius(points: np.ndarray, shape: tuple[int, ...]) -> float:
    """The radius in pixels with which the landmarks `(K, 2)` of a face are drawn in an image of a shape `(H, W, ...)`."""
    largest = max(SMALLEST, 2 * max(shape[:2]) / FINENESS)
    return float(np.clip(np.ptp(points, axis=0).max() / FINENESS, SMALLEST, largest))


def _draw(picture, points, shown, pairs, color, radius):
    """Draws one face into a picture."""
    # OpenCV has pixel centres at whole numbers, this package has them at the halves.
    fixed = np.round((points - 0.5) * 2**SHIFT).astype("int32")
    lines = [fixed[list(pair)] for pair in pairs if shown[list(pair)].all()]
    if lines and radius >= 1:
        cv2.polylines(picture, lines, False, color, max(1, round(radius * LINES)), cv2.LINE_AA, SHIFT)
    elif lines:
        low, high = points[shown].min(0), points[shown].max(0)
        x0, y0 = np.maximum(np.floor(low) - 2, 0).astype(int)
        part = picture[y0 : max(int(high[1]) + 3, 0), x0 : max(int(high[0]) + 3, 0)]
        drawn = np.array(part, order="C")
        if drawn.size:
            corner = np.array([x0, y0], "int32") * 2**SHIFT
            cv2.polylines(drawn, [line - corner for line in lines], False, color, 1, cv2.LINE_AA, SHIFT)
            part[:] = cv2.addWeighted(drawn, radius, np.ascontiguousarray(part), 1 - radius, 0)
    for point in fixed[shown].tolist():
        cv2.circle(picture, point, round(radius * 2**SHIFT), color, -1, cv2.LINE_AA, SHIFT)


def draw_pose(image: np.ndarray, pose: Pose) -> np.ndarray:
    """A copy of an image with a head's axes, drawn from between the eyes.

    Args:
        image: `(H, W, 3)` uint8, RGB.
        pose: the head's pose in that image.

    Returns:
        `(H, W, 3)` uint8. Red points to the person's left, green down and blue out of the face; each line is 60 mm long.
    """
    picture = np.array(image, order="C")
    ends = AXIS * np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, -1]])
    depths = (ends @ pose.rotation.T + pose.translation)[:, 2]
    points = np.clip(pose.project(ends), -LIMIT, LIMIT)
    width = max(1, round(pose.camera[0, 0] / depths[0] * 2))  # two millimetres
    fixed = np.round((points - 0.5) * 2**SHIFT).astype("int32").tolist()
    for axis in np.argsort(-depths[1:]):  # the nearest is drawn last
        cv2.line(picture, fixed[0], fixed[1 + axis], AXES[axis], width, cv2.LINE_AA, SHIFT)
    return picture


def segments(scheme: schemes.Scheme) -> list[tuple[int, int]]:
    """The lines of a scheme's contours as pairs of point indices."""
    pairs = []
    for contour in scheme.contours:
        points = contour.points + contour.points[:1] * contour.closed
        pairs += itertools.pairwise(points)
    return pairs


def draw_scheme(scheme: schemes.Scheme | str, *, size: int = 512) -> np.ndarray:
    """The mean shape of a scheme with its contours and the number of every point.

    Args:
        scheme: a name or a `Scheme`.
        size: side of the picture in pixels.

    Returns:
        `(size, size, 3)` uint8, RGB, on white.

    Raises:
        ValueError: the scheme has no mean shape.
    """
    scheme = schemes.get(scheme)
    if scheme.mean_shape is None:
        raise ValueError(f"{scheme.name} has no mean shape that could be drawn")
    points = scheme.mean_shape * size
    picture = draw_landmarks(np.full((size, size, 3), 255, "uint8"), points, scheme, thickness=size / 300)
    return draw_numbers(picture, points, scale=size / 1800, color=(40, 40, 160))


def draw_numbers(
    image: np.ndarray, landmarks: np.ndarray, *, scale: float = 0.4, color: tuple[int, int, int] = (40, 40, 160)
) -> np.ndarray:
    """A copy of an image with the number of every landmark beside it.

    Args:
        image: `(H, W, 3)` uint8, RGB.
        landmarks: `(K, 2)` in image coordinates; those that are not finite are left out.
        scale: of the font; 1 is 22 pixels high.
        color: RGB.

    Returns:
        `(H, W, 3)` uint8.
    """
    picture = np.array(image, order="C")
    for number, (x, y) in enumerate(np.clip(np.asarray(landmarks, "float64"), -LIMIT, LIMIT)):
        if np.isfinite([x, y]).all():
            corner = round(x + 4 * scale), round(y - 7 * scale)
            cv2.putText(picture, str(number), corner, cv2.FONT_HERSHEY_SIMPLEX, scale, color, 1, cv2.LINE_AA)
    return picture


def mosaic(images: Iterable[np.ndarray], columns: int) -> np.ndarray:
    """Images of one size `(H, W, 3)` side by side, row by row; the rest of the last row is black."""
    images = [np.asarray(image) for image in images]
    blank = np.zeros_like(images[0])
    images += [blank] * (-len(images) % columns)
    return np.vstack([np.hstack(images[start : start + columns]) for start in range(0, len(images), columns)])
