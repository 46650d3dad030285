import numpy as np
import pytest

from kfacealign import geometry


def dot(height, width, x, y, sigma):
    """A Gaussian blob whose centre is at (x, y) in image coordinates (first pixel centre at 0.5)."""
    columns, rows = np.arange(width) + 0.5, np.arange(height) + 0.5
    blob = np.exp(-((columns[None] - x) ** 2 + (rows[:, None] - y) ** 2) / (2 * sigma**2))
    return np.repeat(blob[..., None] * 255, 3, axis=-1).astype(np.float32)


def centroid(pixels):
    mass = np.asarray(pixels, np.float64)[..., 0]
    x, y = np.arange(mass.shape[1]) + 0.5, np.arange(mass.shape[0]) + 0.5
    return np.array([(mass.sum(0) * x).sum(), (mass.sum(1) * y).sum()]) / mass.sum()


def test_landmark_box():
    points = np.array([[3, 4], [10, 1], [5, 9]], np.float32)
    np.testing.assert_array_equal(geometry.landmark_box(points), [3, 1, 10, 9])
    np.testing.assert_array_equal(geometry.landmark_box(points, weights=[1, 0, 1]), [3, 4, 5, 9])
    both = geometry.landmark_box(np.stack([points, points + 1]))
    np.testing.assert_array_equal(both, [[3, 1, 10, 9], [4, 2, 11, 10]])
    assert both.dtype == np.float32


def test_landmark_box_ignores_nan_only_where_unannotated():
    points = np.array([[3, 4], [np.nan, 1], [5, 9]], np.float32)
    np.testing.assert_array_equal(geometry.landmark_box(points, weights=[1, 0, 1]), [3, 4, 5, 9])
    with pytest.raises(ValueError, match="not finite"):
        geometry.landmark_box(points)
    with pytest.raises(ValueError, match="face 1 have no box"):
        geometry.landmark_box(np.ones((2, 3, 2)), weights=[[1, 1, 1], [0, 0, 0]])
    with pytest.raises(ValueError, match="do not fit"):
        geometry.landmark_box(np.ones((2, 3, 2)), weights=[1, 1, 1])


def test_square_box():
    np.testing.assert_allclose(geometry.square_box([10, 20, 30, 60], 1.5), [-10, 10, 50, 70])
    np.testing.assert_allclose(geometry.square_box([10, 20, 30, 20], 1.0), [10, 10, 30, 30])


@pytest.mark.parametrize("box", [[5, 5, 5, 5], [1, 2, np.nan, 4], [9, 2, 3, 4], [0, 0, np.inf, 1]])
def test_degenerate_boxes_are_named(box):
    with pytest.raises(ValueError, match=rf"box \[{float(box[0])}, {float(box[1])}, "):
        geometry.square_box(box, 1.2)
    with pytest.raises(ValueError, match=rf"box \[{float(box[0])}, {float(box[1])}, "):
        geometry.crop_matrix(box, 64)
    with pytest.raises(ValueError, match="box"):
        geometry.crop(np.zeros((10, 10, 3), np.uint8), box, 8)


def test_zero_width_box_has_a_square_but_no_crop():
    with pytest.raises(ValueError, match="no area"):
        geometry.crop_matrix([1, 2, 1, 9], 64)
    with pytest.raises(ValueError, match="enlarge"):
        geometry.square_box([1, 2, 3, 4], 0)


def test_crop_matrix_takes_the_corners_of_the_box_to_those_of_the_crop():
    matrix = geometry.crop_matrix([10, 20, 30, 60], 100)
    corners = np.array([[10, 20], [30, 60], [20, 30]], np.float32)
    np.testing.assert_allclose(geometry.apply_affine(matrix, corners), [[0, 0], [100, 100], [50, 25]], atol=1e-5)
    assert matrix.dtype == np.float64


def test_apply_and_invert_affine():
    quarter_turn = np.array([[0.0, -1.0, 5.0], [1.0, 0.0, 7.0]])
    np.testing.assert_allclose(geometry.apply_affine(quarter_turn, [[2, 3]]), [[2, 9]])
    rng = np.random.default_rng(0)
    matrices, points = rng.normal(size=(4, 2, 3)), rng.normal(size=(4, 5, 2))
    inverse = geometry.invert_affine(matrices)
    np.testing.assert_allclose(geometry.apply_affine(inverse, geometry.apply_affine(matrices, points)), points)
    np.testing.assert_allclose(geometry.apply_affine(matrices[2], points[2]), geometry.apply_affine(matrices, points)[2])
    assert geometry.apply_affine(matrices[0], points[0].astype(np.float32)).dtype == np.float32


def test_crop_at_the_scale_of_the_image_is_a_slice():
    image = np.random.default_rng(1).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    pixels, _ = geometry.crop(image, [7, 11, 23, 27], 16)
    np.testing.assert_array_equal(pixels, image[11:27, 7:23])
    assert pixels.dtype == np.uint8


def test_enlarging_is_bilinear_between_pixel_centres():
    image = np.array([[0, 100], [0, 100]], np.float32)
    pixels, _ = geometry.crop(image, [0, 0, 2, 2], 8)
    assert pixels.shape == (8, 8, 1)
    # Centres of the columns in source pixels: 0.125, 0.375, ... ; the ramp runs from 0.5 to 1.5.
    np.testing.assert_allclose(pixels[4, 2:6, 0], [12.5, 37.5, 62.5, 87.5], atol=1e-3)


@pytest.mark.parametrize("side", [37.3, 64.0, 150.7, 400.0, 1111.0])
@pytest.mark.parametrize("size", [64, 128])
def test_dot_is_found_where_the_matrix_says(side, size):
    scale = size / side
    x, y = 611.37, 583.81
    image = dot(1200, 1300, x, y, sigma=3 / scale)
    box = np.array([x - 0.45 * side, y - 0.62 * side, x + 0.55 * side, y + 0.38 * side])
    pixels, matrix = geometry.crop(image, box, size)
    expected = geometry.apply_affine(matrix, np.array([[x, y]]))[0]
    np.testing.assert_allclose(expected, [0.45 * size, 0.62 * size], atol=1e-6)
    np.testing.assert_allclose(centroid(pixels), expected, atol=0.05)


@pytest.mark.parametrize("shrink", [1, 2, 3, 5, 8, 16])
def test_single_pixel_is_found_where_the_matrix_says(shrink):
    image = np.zeros((400, 400, 3), np.float32)
    image[203, 177] = 255.0 * shrink**2
    half, point, errors, mass = 8 * shrink, np.array([177.5, 203.5]), [], []
    for phase in (np.arange(16) + 0.5) / 16:
        corner = point - half + phase * shrink
        pixels, matrix = geometry.crop(image, [*corner, *(corner + 2 * half)], 16)
        errors.append(centroid(pixels) - geometry.apply_affine(matrix, point))
        mass.append(pixels[..., 0].sum() / 255.0)
    # A pixel that shrinks into one crop pixel is found at that pixel's centre; over all phases nothing is shifted.
    assert np.abs(errors).max() < (0.05 if shrink == 1 else 0.55)
    np.testing.assert_allclose(np.mean(errors, axis=0), 0, atol=0.05)
    np.testing.assert_allclose(mass, 1.0, atol=0.2)  # area averaging keeps the mass of even a single pixel
    np.testing.assert_allclose(np.mean(mass), 1.0, atol=0.02)


def test_rotated_warp_follows_the_matrix():
    image = dot(300, 300, 140.2, 171.9, sigma=8)
    angle, scale = np.deg2rad(33.0), 0.31
    linear = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = np.column_stack([linear, [48, 48] - linear @ [150, 150]])
    pixels = geometry.warp(image, matrix, 96)
    np.testing.assert_allclose(centroid(pixels), geometry.apply_affine(matrix, np.array([140.2, 171.9])), atol=0.05)


@pytest.mark.parametrize("side", [130.0, 333.3, 517.0, 1024.0])
def test_fine_patterns_average_to_grey(side):
    rows, columns = np.mgrid[:1100, :1100]
    checker = (((rows + columns) % 2) * 255).astype(np.uint8)[..., None]
    stripes = ((columns % 2) * 255).astype(np.uint8)[..., None]
    tolerance = 255 * 64 / side * 0.6  # a whole number of stripes seldom fits into a crop pixel
    for image in (checker, stripes):
        pixels = geometry.crop(image, [20.3, 31.7, 20.3 + side, 31.7 + side], 64)[0].astype(float)
        assert abs(pixels.mean() - 127.5) < 1.5
        assert np.abs(pixels - 127.5).max() < tolerance


def test_outside_of_the_image_is_the_border():
    image = np.full((100, 100, 3), 200, np.uint8)
    for side in (40, 200, 1000):
        pixels, _ = geometry.crop(image, [-side / 2, -side / 2, side / 2, side / 2], 20)
        assert (pixels[:10] == 0).all() and (pixels[:, :10] == 0).all()
        inside = int(20 * min(100, side / 2) / side)
        assert (pixels[10 : 10 + inside, 10 : 10 + inside] == 200).all()
        assert (pixels[10 + inside :] == 0).all() and (pixels[:, 10 + inside :] == 0).all()
    assert (geometry.crop(image, [5000, 5000, 6000, 6000], 20)[0] == 0).all()
    assert (geometry.crop(image, [200, 200, 205, 205], 20)[0] == 0).all()
    matrix = geometry.crop_matrix([-10, -10, 0, 0], 10)
    assert (geometry.warp(image, matrix, 10, border=9) == 9).all()


def test_pixels_straddling_the_edge_hold_their_share_of_the_image():
    image = np.full((300, 300, 3), 200, np.uint8)
    # Crop pixels of 12 source pixels, the edge of the image in the middle of the sixth.
    pixels = geometry.crop(image, [-66, 10, 54, 130], 10)[0][:, :, 0].astype(float)
    np.testing.assert_allclose(pixels[:, 5], 100, atol=3)
    assert (pixels[:, :5] == 0).all() and (pixels[:, 6:] == 200).all()


def test_stretched_box_keeps_to_its_matrix():
    image = dot(400, 600, 250.3, 180.4, sigma=20)
    pixels, matrix = geometry.crop(image, [100, 150, 500, 220], 64)
    wide = dot(400, 600, 250.3, 180.4, sigma=6)
    np.testing.assert_allclose(geometry.apply_affine(matrix, np.array([300, 185])), [32, 32])
    pixels = geometry.crop(wide, [100, 150, 500, 220], 64)[0]
    np.testing.assert_allclose(centroid(pixels), geometry.apply_affine(matrix, np.array([250.3, 180.4])), atol=0.05)
