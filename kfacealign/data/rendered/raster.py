"""A mesh seen by the camera: which place of the mesh, and of its texture, every pixel shows."""

import functools

import cv2
import numpy as np

SHIFT = 4  # bits after the point of OpenCV's fixed-point coordinates
TINY = 0.05  # pixels squared; smaller quads are not drawn
WIDTH = 256  # pixels are looked up in rows of so many
BEYOND = 0.7  # how far from its middle the values of a quad are followed, for pixels that it only touches


def fixed(points: np.ndarray) -> np.ndarray:
    """Image coordinates -> OpenCV's fixed-point coordinates, in which integers are pixel centres."""
    return np.rint(np.minimum(np.maximum(points, -1e4), 1e4) * 2**SHIFT - 2 ** (SHIFT - 1)).astype(np.int32)


@functools.cache
def quads(rows: int, columns: int) -> np.ndarray:
    """The quads of a mesh, `(Q, 4)` numbers of vertices, clockwise in the image where they are seen."""
    corner = np.arange(rows * columns).reshape(rows, columns)
    return np.stack([corner[:-1, :-1], corner[:-1, 1:], corner[1:, 1:], corner[1:, :-1]], -1).reshape(-1, 4)


def seen(points: np.ndarray, depth: np.ndarray, values: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """What each pixel shows of a mesh.

    Args:
        points: `(R, C, 2)` vertices in image coordinates.
        depth: `(R, C)` nearness to the camera.
        values: `(R, C, V)` what vertices carry. Inside a quad it grows as on the parallelogram that is most like it.
        size: (height, width) of the image.

    Returns:
        Numbers `(P,)` of the pixels, row by row, that show the mesh, and the values `(P, V)` at their centres.
    """
    corners = quads(*depth.shape)
    points, depth, values = points.reshape(-1, 2), depth.ravel(), values.reshape(depth.size, -1)
    middle, across, down = _parallelogram(points[corners])
    area = across[:, 0] * down[:, 1] - across[:, 1] * down[:, 0]
    front = np.flatnonzero(area > TINY)
    front = front[np.argsort(depth[corners[front]].sum(1))]
    shown = np.zeros(size, np.int32)
    for number, polygon in enumerate(fixed(points[corners[front]]), start=1):
        cv2.fillConvexPoly(shown, polygon, number, cv2.LINE_8, SHIFT)
    pixels = np.flatnonzero(shown > 0)
    which = shown.ravel()[pixels].astype(np.intp) - 1
    share = _shares(middle[front], across[front], down[front], area[front]).take(which, axis=0)
    row, column = np.divmod(pixels.astype(np.int32), np.int32(size[1]))
    x, y = column + np.float32(0.5), row + np.float32(0.5)
    to_right, to_below = (share[:, i] * x + share[:, i + 1] * y + share[:, i + 2] for i in (0, 3))
    bound = np.float32(BEYOND)
    middle, across, down = _parallelogram(values.astype(np.float32)[corners[front]])
    found = middle.take(which, axis=0)
    found += np.minimum(np.maximum(to_right, -bound), bound)[:, None] * across.take(which, axis=0)
    found += np.minimum(np.maximum(to_below, -bound), bound)[:, None] * down.take(which, axis=0)
    return pixels, found


def _parallelogram(corners):
    """Middle, and the sides across and down, of the parallelograms most like quads `(Q, 4, D)`; `(Q, D)` each."""
    a, b, c, d = corners.transpose(1, 0, 2)
    return (a + b + c + d) / 4, (b + c - a - d) / 2, (c + d - a - b) / 2


def _shares(middle, across, down, area):
    """Coefficients of x, y and 1 that tell how far, in sides, a pixel is across and down from a middle, `(Q, 6)`."""
    first = np.stack([down[:, 1], -down[:, 0], down[:, 0] * middle[:, 1] - down[:, 1] * middle[:, 0]], -1)
    second = np.stack([-across[:, 1], across[:, 0], across[:, 1] * middle[:, 0] - across[:, 0] * middle[:, 1]], -1)
    return (np.concatenate([first, second], 1) / area[:, None]).astype(np.float32)


def looked_up(x: np.ndarray, y: np.ndarray, *images: np.ndarray) -> list[np.ndarray]:
    """The values of images at coordinates (in which the first pixel's centre is at 0.5), `(P,)` each -> `(P, ...)` of each."""
    count = len(x)
    maps = np.zeros((2, -(-count // WIDTH) * WIDTH), np.float32)
    maps[:, :count] = x, y
    maps[:, :count] -= np.float32(0.5)
    across, down = maps.reshape(2, -1, WIDTH)
    found = [cv2.remap(image, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) for image in images]
    return [values.reshape(-1, *image.shape[2:])[:count] for values, image in zip(found, images, strict=True)]
