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
        Numbers `(P,)` of the pixels, row by row, that show the mesh, and the values `(P, V)` at their centres, float32.
    """
    places = Shown(points, depth, size)
    return places.pixels, places.values(values).T


class Shown:
    """Which place of a mesh each pixel shows.

    Args:
        points: `(R, C, 2)` vertices in image coordinates.
        depth: `(R, C)` nearness to the camera.
        size: (height, width) of the image.

    Attributes:
        pixels: numbers `(P,)` of the pixels, row by row, that show the mesh.
        grid: `(2, P)` float32, which column and which row of vertices is there, as coordinates on an image of one pixel a vertex.
    """

    def __init__(self, points: np.ndarray, depth: np.ndarray, size: tuple[int, int]):
        rows, columns = depth.shape
        parts = _, across, down = _parallelograms(points)
        area = across[0] * down[1] - across[1] * down[0]
        front = np.flatnonzero(area > TINY)
        corners = quads(rows, columns)[front]
        nearest_last = np.argsort(depth.ravel()[corners].sum(1))
        self.front = front = front[nearest_last]
        polygons = fixed(points.reshape(-1, 2)).take(corners[nearest_last], axis=0)
        shown = np.full(size, -1, np.int32)
        for number, polygon in enumerate(polygons):
            cv2.fillConvexPoly(shown, polygon, number, cv2.LINE_8, SHIFT)
        self.pixels = np.flatnonzero(shown >= 0)
        self.which = shown.ravel().take(self.pixels).astype(np.intp)
        shares = _shares(*(part.take(front, axis=-1) for part in (*parts, area)))
        x, y = (centres.take(self.pixels) for centres in _centres(*size))
        self.right, self.below = (self._share(x, y, *coefficients) for coefficients in shares)
        row, column = np.divmod(front, columns - 1)
        self.grid = np.empty((2, len(self.pixels)), np.float32)
        np.add(self.right, (column + 1).astype(np.float32).take(self.which), out=self.grid[0])
        np.add(self.below, (row + 1).astype(np.float32).take(self.which), out=self.grid[1])

    def _share(self, x, y, of_x, of_y, constant):
        """How far a pixel lies from the middle of its quad, in sides of the quad."""
        share = of_x.take(self.which) * x
        share += of_y.take(self.which) * y
        share += constant.take(self.which)
        return np.minimum(np.maximum(share, np.float32(-BEYOND), out=share), np.float32(BEYOND), out=share)

    def values(self, values: np.ndarray) -> np.ndarray:
        """What vertices carry, `(R, C, V)`, at the pixels, `(V, P)` float32."""
        middle, across, down = (part.take(self.front, axis=1) for part in _parallelograms(values.astype(np.float32)))
        found = np.empty((len(middle), len(self.which)), np.float32)
        for one, start, right, below in zip(found, middle, across, down, strict=True):
            np.multiply(right.take(self.which), self.right, out=one)
            one += below.take(self.which) * self.below
            one += start.take(self.which)
        return found


@functools.lru_cache(maxsize=4)
def _centres(height, width):
    """x and y of the centres of all pixels, row by row, float32."""
    y, x = np.divmod(np.arange(height * width, dtype=np.float32), np.float32(width))
    return x + np.float32(0.5), y + np.float32(0.5)


def _parallelograms(points):
    """Middle, and the sides across and down, of the parallelograms most like the quads of a mesh `(R, C, D)`; `(D, Q)` each."""
    points = np.ascontiguousarray(np.moveaxis(points, -1, 0))
    a, b, c, d = points[:, :-1, :-1], points[:, :-1, 1:], points[:, 1:, 1:], points[:, 1:, :-1]
    first, second = c - a, b - d
    sides = (a + b + c + d) / 4, (first + second) / 2, (first - second) / 2
    return [side.reshape(len(points), -1) for side in sides]


def _shares(middle, across, down, area):
    """Coefficients `(Q,)` of x, y and 1 for how many sides a pixel is across from a middle, then those for how many down."""
    for x, y in ((down[1], -down[0]), (-across[1], across[0])):
        x, y = x / area, y / area
        yield x.astype(np.float32), y.astype(np.float32), (-x * middle[0] - y * middle[1]).astype(np.float32)


def looked_up(x: np.ndarray, y: np.ndarray, *images: np.ndarray) -> list[np.ndarray]:
    """The values of images at coordinates (in which the first pixel's centre is at 0.5), `(P,)` each -> `(P, ...)` of each."""
    count = len(x)
    maps = np.zeros((2, -(-count // WIDTH) * WIDTH), np.float32)
    np.subtract(x, 0.5, out=maps[0, :count], casting="same_kind")
    np.subtract(y, 0.5, out=maps[1, :count], casting="same_kind")
    across, down = maps.reshape(2, -1, WIDTH)
    found = [cv2.remap(image, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) for image in images]
    return [values.reshape(-1, *image.shape[2:])[:count] for values, image in zip(found, images, strict=True)]
