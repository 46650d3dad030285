"""What a random view does to pixels: resampling, colour, blur, occlusion. Batched, in `keras.ops`.

Every function takes (B, H, W, 3) float32 images of 0..255 with static H and W, and one parameter for each sample. A sample
whose parameter asks for nothing stays exactly as it is.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from kfacealign.backend import ops

_LUMA = np.array([0.299, 0.587, 0.114], "float32")  # ITU-R BT.601


def sample_affine(images: Any, matrix: Sequence[Sequence[Any]]) -> Any:
    """Resample images bilinearly; what lies outside of an image is 0.

    It is written with `ops.take`. Under JAX, `ops.image.affine_transform` computes its coordinates by a matrix product, which
    accelerators round to ten bits (a tenth of a pixel), and it takes ten times as long.

    Args:
        images: (B, H, W, 3) float32.
        matrix: two rows of three (B,) tensors, from pixels of the result to pixels of the image, both measured from
            the image's centre.

    Returns:
        (B, H, W, 3) float32.
    """
    height, width, channels = images.shape[1:]
    columns = (np.arange(width, dtype="float32") + 0.5 - width / 2)[None, None, :]
    rows = (np.arange(height, dtype="float32") + 0.5 - height / 2)[None, :, None]
    (xx, xy, shift_x), (yx, yy, shift_y) = [[entry[:, None, None] for entry in row] for row in matrix]
    # Pixel indices in the image padded by one pixel of border before it and two behind it.
    x = xx * columns + xy * rows + (shift_x + (width + 1) / 2)
    y = yx * columns + yy * rows + (shift_y + (height + 1) / 2)
    x, y = ops.clip(x, 0, width + 1), ops.clip(y, 0, height + 1)
    left, top = ops.floor(x), ops.floor(y)
    right_share, low_share = x - left, y - top
    both = right_share * low_share

    padded = ops.pad(images, [[0, 0], [1, 2], [1, 2], [0, 0]])
    stride = width + 3
    pixels = ops.reshape(padded, (-1, channels))
    first = ops.arange(ops.shape(images)[0], dtype="int32")[:, None, None] * ((height + 3) * stride)
    corner = first + ops.cast(top, "int32") * stride + ops.cast(left, "int32")

    def share(offset, weight):
        return ops.take(pixels, corner + offset, axis=0) * weight[..., None]

    upper = share(0, 1 - right_share - low_share + both) + share(1, right_share - both)
    return upper + share(stride, low_share - both) + share(stride + 1, both)


def adjust_color(images: Any, gain: Any, offset: Any) -> Any:
    """`images * gain + offset`, cut to 0..255.

    Args:
        images: (B, H, W, 3) float32.
        gain: (B, 3), a factor for each channel.
        offset: (B,), grey levels.

    Returns:
        (B, H, W, 3) float32.
    """
    return ops.clip(images * gain[:, None, None, :] + offset[:, None, None, None], 0, 255)


def _mixed(images, others, share):
    """Images where `share` is 0 and others where it is 1, both exactly; on a CPU TensorFlow is slower to select than to add."""
    share = ops.cast(share, "float32")
    return (1 - share) * images + share * others


def to_gray(images: Any, chosen: Any) -> Any:
    """Give all three channels the luma (BT.601), in the samples where `chosen` (B,) is true."""
    red, green, blue = (images[..., channel : channel + 1] * _LUMA[channel] for channel in range(3))
    return _mixed(images, red + green + blue, chosen[:, None, None, None])


def _gaussian_matrices(sigma, size):
    """(B, size, size) matrices that blur a column of `size` pixels mirrored at both ends."""
    target, source = np.arange(size)[:, None], np.arange(size)[None, :]
    copies = (source, -1 - source, 2 * size - 1 - source)  # the column and its mirror images beyond both ends
    precision = (0.5 / ops.square(ops.maximum(sigma, 1e-3)))[:, None, None]
    weights = sum(ops.exp(-precision * ((target - copy) ** 2).astype("float32")) for copy in copies)
    return weights / ops.sum(weights, axis=-1, keepdims=True)


def _apply_to_columns(matrices, images):
    height, width, channels = images.shape[1:]
    result = ops.matmul(matrices, ops.reshape(images, (-1, height, width * channels)))
    return ops.reshape(result, (-1, height, width, channels))


def gaussian_blur(images: Any, sigma: Any) -> Any:
    """Blur every sample by a Gaussian of its own width, mirroring the image at its edges.

    The separable kernel is applied as one dense matrix for each sample and axis. On a CPU, a
    convolution whose 41 taps differ between samples takes many times as long as this product.

    Args:
        images: (B, H, W, C) float32.
        sigma: (B,) standard deviations in pixels, below half of the shorter side; 0 leaves the sample as it is.

    Returns:
        (B, H, W, C) float32.
    """
    height, width = images.shape[1:3]
    down = _gaussian_matrices(sigma, height)
    along = down if width == height else _gaussian_matrices(sigma, width)
    blurred = ops.transpose(_apply_to_columns(down, images), (0, 2, 1, 3))
    blurred = ops.transpose(_apply_to_columns(along, blurred), (0, 2, 1, 3))
    return _mixed(images, blurred, (sigma > 0)[:, None, None, None])


def occlude(images: Any, rectangle: Sequence[Any], color: Any) -> Any:
    """Paint a rectangle over every sample.

    Args:
        images: (B, H, W, 3) float32.
        rectangle: x0, y0, x1, y1, each (B,), in crop coordinates. It covers the pixels whose centre lies in it; without
            area it covers none.
        color: (B, 3), 0..255.

    Returns:
        (B, H, W, 3) float32.
    """
    height, width = images.shape[1:3]
    x = ((np.arange(width) + 0.5) / width).astype("float32")
    y = ((np.arange(height) + 0.5) / height).astype("float32")
    x0, y0, x1, y1 = (side[:, None] for side in rectangle)
    columns = ops.cast(ops.logical_and(x >= x0, x < x1), "float32")
    rows = ops.cast(ops.logical_and(y >= y0, y < y1), "float32")
    covered = rows[:, :, None] * columns[:, None, :]
    return _mixed(images, color[:, None, None, :], covered[..., None])
