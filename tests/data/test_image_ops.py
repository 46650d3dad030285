import keras
import numpy as np
from scipy import ndimage

from kfacealign.data import image_ops


def noise(count, height, width):
    return np.random.default_rng(0).integers(0, 256, (count, height, width, 3)).astype(np.float32)


def run(function, *arguments):
    """Call with NumPy arrays (or nested tuples of them) and get one back."""
    return keras.ops.convert_to_numpy(function(*keras.tree.map_structure(keras.ops.convert_to_tensor, arguments)))


def test_sampling_is_bilinear_with_a_black_border():
    height, width, count = 60, 80, 4
    images = noise(count, height, width)
    generator = np.random.default_rng(1)
    matrices = np.array([[1, 0, 0], [0, 1, 0]]) + generator.normal(size=(count, 2, 3)) * [0.3, 0.3, 12]
    rows = tuple(tuple(matrices[:, i, j].astype(np.float32) for j in range(3)) for i in range(2))
    seen = run(image_ops.sample_affine, images, rows)
    y, x = np.mgrid[:height, :width].reshape(2, -1) + 0.5
    centred = np.stack([x - width / 2, y - height / 2])
    for i in range(count):
        source = matrices[i, :, :2] @ centred + matrices[i, :, 2:] + [[width / 2 - 0.5], [height / 2 - 0.5]]
        reference = [
            ndimage.map_coordinates(images[i, ..., channel], source[::-1], order=1, mode="grid-constant") for channel in range(3)
        ]
        np.testing.assert_allclose(seen[i].reshape(-1, 3), np.transpose(reference), atol=0.03)


def test_blur_is_the_gaussian_of_the_stated_sigma():
    height, width = 96, 80
    sigmas = np.array([0.0, 0.8, 1.5, 3.0, 5.0], np.float32)
    images = noise(len(sigmas), height, width)
    seen = run(image_ops.gaussian_blur, images, sigmas)
    impulses = np.zeros_like(images)
    impulses[:, 48, 40] = 1000.0
    spread = run(image_ops.gaussian_blur, impulses, sigmas)[..., 0]
    np.testing.assert_array_equal(seen[0], images[0])
    for i, sigma in enumerate(sigmas):
        reference = ndimage.gaussian_filter(images[i], sigma, axes=(0, 1), mode="reflect", truncate=6)
        np.testing.assert_allclose(seen[i], reference, atol=0.01)
        mass = spread[i] / spread[i].sum()
        for marginal, offset in ((mass.sum(0), np.arange(width) - 40), (mass.sum(1), np.arange(height) - 48)):
            np.testing.assert_allclose((marginal * offset**2).sum(), sigma**2, rtol=0.01, atol=1e-6)


def test_occluded_pixels_are_those_whose_centre_is_covered():
    images = noise(2, 10, 20)
    rectangle = tuple(np.array(side, np.float32) for side in ([0.1, 0.5], [0.24, 0.5], [0.35, 0.5], [0.56, 0.5]))
    color = np.array([[1, 2, 3], [4, 5, 6]], np.float32)
    expected = images.copy()
    expected[0, 2:6, 2:7] = color[0]  # row centres 0.25 to 0.55, column centres 0.125 to 0.325
    np.testing.assert_array_equal(run(image_ops.occlude, images, rectangle, color), expected)


def test_color_is_cut_to_the_range_and_gray_is_luma_where_chosen():
    images = np.full((2, 3, 4, 3), [100, 50, 200], np.float32)
    gain, offset = np.array([[1, 1, 1], [0.5, 2, 1.5]], np.float32), np.array([0, -60], np.float32)
    adjusted = run(image_ops.adjust_color, images, gain, offset)
    np.testing.assert_allclose(adjusted[:, 0, 0], [[100, 50, 200], [0, 40, 240]])
    gray = run(image_ops.to_gray, images, np.array([True, False]))
    np.testing.assert_allclose(gray[0], 0.299 * 100 + 0.587 * 50 + 0.114 * 200, rtol=1e-6)
    np.testing.assert_array_equal(gray[1], images[1])
