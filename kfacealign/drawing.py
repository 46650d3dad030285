"""Landmarks drawn on images, with sub-pixel positions."""

import cv2
import numpy as np

from kfacealign import schemes

SHIFT = 4  # fractional bits of OpenCV's coordinates


def draw_landmarks(image, landmarks, scheme, color=(255, 50, 50), contours=True, thickness=None):
    """A copy of an image with landmarks as dots and, thinner, the scheme's contours.

    Args:
        image: `(H, W, 3)` uint8, RGB.
        landmarks: `(K, 2)` in image coordinates (the centre of the first pixel is (0.5, 0.5)).
        scheme: of the landmarks.
        color: RGB.
        contours: whether lines are drawn.
        thickness: radius of a dot in pixels; by default the size of the landmarks decides.

    Returns:
        `(H, W, 3)` uint8.
    """
    scheme = schemes.get(scheme)
    points = np.asarray(landmarks, "float64")
    if points.shape != (scheme.num_points, 2):
        raise ValueError(f"{scheme.name} has {scheme.num_points} points, got landmarks of shape {points.shape}")
    picture = np.ascontiguousarray(image).copy()
    if thickness is None:
        thickness = max(0.8, np.ptp(points, axis=0).max() / 130)
    # OpenCV's integers are pixel centres. Far outside they would overflow its fixed point.
    fixed = np.round((np.clip(points, -1e4, 1e4) - 0.5) * 2**SHIFT).astype(int)
    if contours:
        for contour in scheme.contours:
            line = fixed[list(contour.points)]
            width = max(1, round(thickness * 0.7))
            cv2.polylines(picture, [line], contour.closed, color, width, cv2.LINE_AA, SHIFT)
    for point in fixed:
        cv2.circle(picture, tuple(int(v) for v in point), round(thickness * 2**SHIFT), color, -1, cv2.LINE_AA, SHIFT)
    return picture


def mosaic(images, columns):
    """Images of one size `(H, W, 3)` side by side, row by row; the rest of the last row is black."""
    images = [np.asarray(image) for image in images]
    blank = np.zeros_like(images[0])
    images += [blank] * (-len(images) % columns)
    return np.vstack([np.hstack(images[start : start + columns]) for start in range(0, len(images), columns)])
