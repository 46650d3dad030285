"""A mesh seen by the camera: which place of the mesh, and of its texture, every pixel shows."""

import functools

import cv2
import numpy as np

SHIFT = 4  # bits after the point of OpenCV's fixed-point coordinates
TINY = 1e-3  # pixels squared; thinner triangles are not drawn
BEYOND = 0.3  # how far beyond a triangle its values go on, for pixels that it only touches


def fixed(points: np.ndarray) -> np.ndarray:
    """Image coordinates -> OpenCV's fixed-point coordinates, in which integers are pixel centres."""
    return np.rint(np.minimum(np.maximum(points, -1e4), 1e4) * 2**SHIFT - 2 ** (SHIFT - 1)).astype(np.int32)


@functools.cache
def triangles(rows: int, columns: int) -> np.ndarray:
    """The two triangles of every quad of a mesh, `(T, 3)` numbers of vertices, clockwise in the image where they are seen."""
    corner = np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = corner[:-1, :-1].ravel(), corner[:-1, 1:].ravel(), corner[1:, 1:].ravel(), corner[1:, :-1].ravel()
    return np.stack([np.stack([a, b, c], -1), np.stack([a, c, d], -1)], 1).reshape(-1, 3)


def seen(points: np.ndarray, depth: np.ndarray, values: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """What each pixel shows of a mesh.

    Args:
        points: `(R, C, 2)` vertices in image coordinates.
        depth: `(R, C)` nearness to the camera.
        values: `(R, C, V)` what vertices carry; it is interpolated inside the triangles.
        size: (height, width) of the image.

    Returns:
        Numbers `(P,)` of the pixels, row by row, that show the mesh, and the values `(P, V)` at their centres.
    """
    corners = triangles(*depth.shape)
    points, depth, values = points.reshape(-1, 2), depth.ravel(), values.reshape(depth.size, -1)
    a, b, c = points[corners].transpose(1, 0, 2)
    first, second = b - a, c - a
    area = first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]
    near = depth[corners].sum(1)
    front = np.flatnonzero(area > TINY)
    front = front[np.argsort(near[front])]
    shown = np.zeros(size, np.int32)
    for number, polygon in enumerate(fixed(points[corners[front]]), start=1):
        cv2.fillConvexPoly(shown, polygon, number, cv2.LINE_8, SHIFT)
    pixels = np.flatnonzero(shown)
    which = shown.ravel()[pixels].astype(np.intp) - 1
    share = _shares(a[front], first[front], second[front], area[front]).take(which, axis=0)
    row, column = np.divmod(pixels.astype(np.int32), np.int32(size[1]))
    x, y = column + np.float32(0.5), row + np.float32(0.5)
    to_second, to_third = (share[:, i] * x + share[:, i + 1] * y + share[:, i + 2] for i in (0, 3))
    low, high = np.float32(-BEYOND), np.float32(1 + BEYOND)
    one, two, three = values.astype(np.float32)[corners[front]].transpose(1, 0, 2)
    found = one.take(which, axis=0)
    found += np.minimum(np.maximum(to_second, low), high)[:, None] * (two - one).take(which, axis=0)
    found += np.minimum(np.maximum(to_third, low), high)[:, None] * (three - one).take(which, axis=0)
    return pixels, found


def _shares(a, first, second, area):
    """Coefficients of x, y and 1 by which the shares of the second and the third corner grow over triangles, `(T, 6)`."""
    second_share = np.stack([second[:, 1], -second[:, 0], second[:, 0] * a[:, 1] - second[:, 1] * a[:, 0]], -1)
    third_share = np.stack([-first[:, 1], first[:, 0], first[:, 1] * a[:, 0] - first[:, 0] * a[:, 1]], -1)
    return (np.concatenate([second_share, third_share], 1) / area[:, None]).astype(np.float32)


def looked_up(image: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """An image's values at coordinates (in which the first pixel's centre is at 0.5), `(P,)` each -> `(P, ...)`."""
    count, width = len(x), 256
    padding = -count % width
    maps = [np.pad(v.astype(np.float32) - np.float32(0.5), (0, padding)).reshape(-1, width) for v in (x, y)]
    found = cv2.remap(image, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return found.reshape(-1, *image.shape[2:])[:count]
