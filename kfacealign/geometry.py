"""Boxes, affine maps and crops, in NumPy and OpenCV.

Points are (x, y). *Image coordinates* have their origin at the outer top-left corner of the image, so the centre
of the first pixel is (0.5, 0.5). *Crop pixels* are the same for a crop and run from 0 to its size; divided by the size
they are the *crop coordinates* in [0, 1] that models read and write. A box is (x0, y0, x1, y1) in image coordinates, and an
affine map is a (2, 3) matrix `[A | t]` with `A @ point + t`.
"""

import cv2
import numpy as np

# The source is reduced to no less than this many pixels per crop pixel before it is warped, so that the reduction
# costs no sharpness while the warp of a large photograph stays cheap.
_OVERSAMPLING = 2.0
_FINEST = 16  # samples of a crop pixel along a side at most
_LARGEST = 16_384  # side of the grid of samples at most
_HUGE = 1e100  # no number of an affine map is as large
_LONGEST = 32_766  # pixels along a side of what OpenCV warps


def landmark_box(landmarks: np.ndarray, *, weights: np.ndarray | None = None) -> np.ndarray:
    """The smallest box around landmarks.

    Args:
        landmarks: (K, 2) points, or (N, K, 2) for N faces.
        weights: (K,) or (N, K); a point of weight 0 is not annotated and is left out, be it NaN. None counts every point.

    Returns:
        (4,) or (N, 4) float32 boxes x0, y0, x1, y1 in the coordinates of the landmarks.

    Raises:
        ValueError: the shapes do not fit, a face has no counted point, or a counted point is not finite.
    """
    points = np.asarray(landmarks, np.float32)
    if points.ndim not in (2, 3) or points.shape[-1] != 2:
        raise ValueError(f"landmarks must be (K, 2) or (N, K, 2), got shape {points.shape}")
    counted = np.ones(points.shape[:-1], bool) if weights is None else np.asarray(weights) > 0
    if counted.shape != points.shape[:-1]:
        raise ValueError(f"weights of shape {counted.shape} do not fit landmarks of shape {points.shape}")
    wrong = ~counted.any(-1) | (counted & ~np.isfinite(points).all(-1)).any(-1)
    if wrong.any():
        which = f" of face {int(np.argmax(wrong))}" if points.ndim == 3 else ""
        raise ValueError(f"the landmarks{which} have no box: no point is annotated, or one is not finite")
    low = np.where(counted[..., None], points, np.inf).min(-2)
    high = np.where(counted[..., None], points, -np.inf).max(-2)
    return np.concatenate([low, high], axis=-1).astype(np.float32)


def _checked_box(box):
    values = np.asarray(box, np.float64)
    if values.shape != (4,):
        raise ValueError(f"a box is four numbers x0, y0, x1, y1, got shape {values.shape}")
    if not np.isfinite(values).all() or values[2] <= values[0] or values[3] <= values[1]:
        raise ValueError(f"box {values.tolist()} (x0, y0, x1, y1) has no area or is not finite")
    return values


def square_box(box: np.ndarray, enlarge: float) -> np.ndarray:
    """The square of side `max(width, height) * enlarge` around the centre of a box.

    Args:
        box: (4,) x0, y0, x1, y1 in image coordinates. Its width or its height may be 0, but not both.
        enlarge: factor of the side; 1.0 keeps the longer side.

    Returns:
        (4,) float32 box.

    Raises:
        ValueError: the box has no size or is not finite, or `enlarge` is not positive.
    """
    if not enlarge > 0:
        raise ValueError(f"enlarge must be a positive factor, got {enlarge}")
    values = np.asarray(box, np.float64)
    with np.errstate(over="ignore"):
        extent = values[2:] - values[:2] if np.isfinite(values).all() else np.zeros(2)
    if extent.min() < 0 or extent.max() <= 0:
        raise ValueError(f"box {values.tolist()} (x0, y0, x1, y1) has no size or is not finite")
    centre, half = (values[:2] + values[2:]) / 2, extent.max() * enlarge / 2
    return np.concatenate([centre - half, centre + half]).astype(np.float32)


def crop_matrix(box: np.ndarray, size: int) -> np.ndarray:
    """The map that takes a box to a square crop: image coordinates -> crop pixels.

    A box that is not square is stretched: its width and its height both become `size`.

    Args:
        box: (4,) x0, y0, x1, y1 in image coordinates; may reach outside the image.
        size: side of the crop in pixels.

    Returns:
        (2, 3) float64; the corners of the box go to (0, 0) and (size, size).

    Raises:
        ValueError: the box has no area or is not finite.
    """
    x0, y0, x1, y1 = _checked_box(box)
    scale_x, scale_y = size / (x1 - x0), size / (y1 - y0)
    return np.array([[scale_x, 0.0, -x0 * scale_x], [0.0, scale_y, -y0 * scale_y]])


def apply_affine(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Map points by an affine matrix.

    Args:
        matrix: (2, 3), or (N, 2, 3) with one matrix for each face.
        points: (..., 2), or (N, K, 2) with N matrices.

    Returns:
        The mapped points, computed in float64, in the shape and floating dtype of `points` (float32 for integers).
    """
    matrix, points = np.asarray(matrix, np.float64), np.asarray(points)
    dtype = points.dtype if np.issubdtype(points.dtype, np.floating) else np.float32
    linear, offset = matrix[..., :2], matrix[..., 2]
    if matrix.ndim == 3:
        offset = offset[:, None]
    return (points @ np.swapaxes(linear, -1, -2) + offset).astype(dtype)


def invert_affine(matrix: np.ndarray) -> np.ndarray:
    """The inverse of an affine map.

    Args:
        matrix: (2, 3) or (N, 2, 3).

    Returns:
        float64 of the same shape: `apply_affine(invert_affine(m), apply_affine(m, p))` is `p`.

    Raises:
        numpy.linalg.LinAlgError: the map has no inverse (it squashes the plane to a line).
    """
    matrix = np.asarray(matrix, np.float64)
    linear = np.linalg.inv(matrix[..., :2])
    return np.concatenate([linear, -linear @ matrix[..., 2:]], axis=-1)


def from_crop(landmarks: np.ndarray, matrix: np.ndarray, size: int) -> np.ndarray:
    """Landmarks in crop coordinates -> image coordinates.

    Args:
        landmarks: (K, 2) or (N, K, 2), crop coordinates.
        matrix: (2, 3) or (N, 2, 3), the crop's map from image coordinates to crop pixels, as `crop` returns it.
        size: side of the crop in pixels.

    Returns:
        Image coordinates, in the shape and dtype of the landmarks.
    """
    return apply_affine(invert_affine(matrix), landmarks * size)


def covariance_from_crop(covariance: np.ndarray, matrix: np.ndarray, size: int) -> np.ndarray:
    """Covariances of points in crop coordinates -> those of the points in image coordinates.

    With L the linear part of the way back, an error e becomes L e and its covariance C becomes L C L^T.

    Args:
        covariance: (K, 3) or (N, K, 3): xx, xy and yy, crop coordinates squared.
        matrix: (2, 3) or (N, 2, 3), the crop's map from image coordinates to crop pixels, as `crop` returns it.
        size: side of the crop in pixels.

    Returns:
        Pixels squared, in the shape and dtype of the covariances.
    """
    return transform_covariance(covariance, invert_affine(matrix) * size)


def transform_covariance(covariance: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """The covariances of points that an affine map has moved.

    Args:
        covariance: (K, 3) or (N, K, 3): xx, xy and yy.
        matrix: (2, 3), or (N, 2, 3) with one matrix for each face; only its linear part counts.

    Returns:
        The covariances, computed in float64, in the shape and floating dtype of `covariance` (float32 for integers).
    """
    covariance, linear = np.asarray(covariance), np.asarray(matrix, np.float64)[..., :2]
    linear = linear if linear.ndim == 2 else linear[:, None]
    whole = linear @ covariance_matrices(covariance) @ np.swapaxes(linear, -1, -2)
    dtype = covariance.dtype if np.issubdtype(covariance.dtype, np.floating) else np.float32
    return np.stack([whole[..., 0, 0], whole[..., 0, 1], whole[..., 1, 1]], axis=-1).astype(dtype)


def covariance_matrices(covariance: np.ndarray) -> np.ndarray:
    """Covariances (..., 3), xx, xy and yy, as matrices (..., 2, 2)."""
    covariance = np.asarray(covariance)
    return covariance[..., [0, 1, 1, 2]].reshape(*covariance.shape[:-1], 2, 2)


def length_scale(matrix: np.ndarray) -> np.ndarray:
    """The factor by which an affine map makes lengths longer, `sqrt(|det A|)`.

    A similarity transform has one such factor for every direction; of any other map this is the geometric mean of its
    largest and its smallest factor.

    Args:
        matrix: (2, 3) or (N, 2, 3).

    Returns:
        A float64 number, or (N,).
    """
    return np.sqrt(np.abs(np.linalg.det(np.asarray(matrix, np.float64)[..., :2])))


def warp(image: np.ndarray, matrix: np.ndarray, size: int, *, border: float = 0) -> np.ndarray:
    """Resample an image through an affine map: bilinear when enlarging, area-averaged when shrinking.

    To shrink f times, the image is sampled on a grid ceil(f) times finer than the crop and the samples of each crop
    pixel are averaged, so that detail finer than a crop pixel turns to its mean instead of aliasing. Time and memory are
    bounded by the crop's size and the part of the image in it, whatever the matrix: an image that is a speck in the crop
    becomes a speck of its mean colour, placed to a quarter of a crop pixel.

    Args:
        image: (H, W, C) or (H, W), uint8 or float32, of any extent.
        matrix: (2, 3) image coordinates -> crop pixels, invertible.
        size: side of the result in pixels.
        border: value outside the image.

    Returns:
        (size, size, C) in the dtype of the image (C = 1 for a two-dimensional image).

    Raises:
        ValueError: the matrix is not finite or has no inverse, or the size is no side of a crop.
    """
    image, matrix = np.asarray(image), _checked_matrix(matrix)
    if not 1 <= size <= _LONGEST:
        raise ValueError(f"a crop has a side of 1 to {_LONGEST:,} pixels, got {size}")
    channels = 1 if image.ndim == 2 else image.shape[2]
    steps = _steps(matrix)
    reduction = np.floor(steps[1] / _OVERSAMPLING)
    if reduction >= 2:
        image, matrix = _reduce(image, matrix, size, np.full(2, reduction), border)
        steps = _steps(matrix)
    if steps[0] > _FINEST:
        # The crop is stretched: one direction of the image is shrunk far more than the other.
        axes = np.maximum(np.floor(1 / (np.linalg.norm(matrix[:, :2], axis=0) * _OVERSAMPLING)), 1)
        image, matrix = _reduce(image, matrix, size, axes, border)
        steps = _steps(matrix)
    if max(image.shape[:2]) > _LONGEST:
        image, matrix = _reduce(image, matrix, size, np.ones(2), border)
    if not image.size:
        return np.full((size, size, channels), border, image.dtype)
    fine = int(np.clip(np.ceil(steps[0] - 1e-6), 1, max(1, min(_FINEST, _LARGEST // size))))
    matrix = matrix * fine
    # OpenCV has pixel centres at whole numbers, this package has them at the halves.
    centred = np.column_stack([matrix[:, :2], matrix[:, :2] @ [0.5, 0.5] + matrix[:, 2] - 0.5])
    pixels = cv2.warpAffine(
        image,
        centred,
        (size * fine, size * fine),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(border,) * 4,
    )
    if fine > 1:
        pixels = cv2.resize(pixels, (size, size), interpolation=cv2.INTER_AREA)
    return pixels.reshape(size, size, channels)


def _checked_matrix(matrix):
    values = np.asarray(matrix, np.float64)
    if values.shape != (2, 3):
        raise ValueError(f"an affine map is a (2, 3) matrix, got shape {values.shape}")
    with np.errstate(all="ignore"):
        try:
            usable = np.isfinite(values).all() and (np.abs([values, invert_affine(values)]) < _HUGE).all()
        except np.linalg.LinAlgError:
            usable = False
    if not usable:
        raise ValueError(f"the affine map {values.tolist()} has no inverse, or numbers that are not finite or beyond {_HUGE:g}")
    return values


def _steps(matrix):
    """Source pixels per crop pixel, in the direction of the most and of the least."""
    return np.linalg.svd(invert_affine(matrix)[:, :2], compute_uv=False)


def _reduce(image, matrix, size, reduction, border):
    """The part of the source that the crop covers, area-averaged, and the map that belongs to it.

    Args:
        image: (H, W, C) or (H, W).
        matrix: (2, 3) image coordinates -> crop pixels.
        size: side of the crop.
        reduction: (2,) source pixels that become one, across and down; 1 leaves an axis as it is unless OpenCV cannot warp so
            many pixels.
        border: value outside the image.

    Returns:
        An image without pixels if the crop shows nothing of the source.
    """
    corners = apply_affine(invert_affine(matrix), np.array([[0, 0], [size, 0], [0, size], [size, size]], np.float64))
    limit = np.array(image.shape[1::-1])
    # Two reduced pixels around the crop keep its edge free of the border that lies outside the cut.
    low = np.clip(np.floor(corners.min(0) - 2 * reduction), 0, limit).astype(int)
    high = np.clip(np.ceil(corners.max(0) + 2 * reduction), 0, limit).astype(int)
    extent = high - low
    if (extent <= 0).any():
        return image[:0], matrix
    part = image[low[1] : high[1], low[0] : high[0]]
    reduced = np.clip(np.round(extent / reduction), 1, _LONGEST).astype(int)
    if (reduced != extent).any():
        part = cv2.resize(part, reduced.tolist(), interpolation=cv2.INTER_AREA)
    # A source far smaller than the reduction is a share of one reduced pixel: nothing is finer than half of it.
    scale = np.maximum(extent / reduced, reduction / 2)
    share = np.prod(extent / reduced / scale)
    if share < 1:
        part = (border + (np.asarray(part, np.float64) - border) * share + 0.5 * (image.dtype.kind == "u")).astype(image.dtype)
    corner = low + (extent - scale * reduced) / 2
    to_source = np.array([[scale[0], 0.0, corner[0]], [0.0, scale[1], corner[1]]])
    linear = matrix[:, :2] @ to_source[:, :2]
    return part, np.column_stack([linear, matrix[:, :2] @ to_source[:, 2] + matrix[:, 2]])


def crop(image: np.ndarray, box: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Cut a box out of an image and resample it to a square.

    Args:
        image: (H, W, C) or (H, W), uint8 or float32.
        box: (4,) x0, y0, x1, y1 in image coordinates; what lies outside the image is 0.
        size: side of the crop in pixels.

    Returns:
        `(pixels, matrix)`: (size, size, C) in the dtype of the image, and the (2, 3) map from image coordinates to
        crop pixels (divide mapped points by `size` for crop coordinates).

    Raises:
        ValueError: the box has no area or is not finite.
    """
    matrix = crop_matrix(box, size)
    return warp(image, matrix, size), matrix
