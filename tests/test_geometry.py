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


# === Images and maps of any extent ===


@pytest.mark.parametrize("tall", [False, True])
def test_a_pixel_of_a_very_wide_image_lands_where_the_matrix_says(tall):
    """OpenCV warps no more than 32,766 pixels a side; the image is 40,000 wide and the pixel at (35000.5, 7.5)."""
    image = np.zeros((20, 40_000, 3), np.uint8)
    image[7, 35_000] = 255
    box, place = np.array([34_990.0, -2, 35_006, 14]), np.array([10, 9])  # pixel 10 from the left of the crop, 9 from its top
    if tall:
        image, box, place = np.ascontiguousarray(image.transpose(1, 0, 2)), box[[1, 0, 3, 2]], place[::-1]
    pixels, _ = geometry.crop(image, box, 16)
    expected = np.zeros((16, 16, 3), np.uint8)
    expected[place[1], place[0]] = 255
    np.testing.assert_array_equal(pixels, expected)
    # Enlarged four times the pixel's centre is at 4 * (10.5, 9.5) crop pixels.
    np.testing.assert_allclose(centroid(geometry.crop(image, box, 64)[0]), 4 * (place + 0.5), atol=0.01)


@pytest.mark.parametrize("tall", [False, True])
@pytest.mark.parametrize("x", [1_200, 13_337, 38_800])
def test_a_blob_of_a_very_wide_image_lands_where_the_matrix_says(x, tall):
    """A square around the whole image, as face detectors look at it, and a box that stretches it: no half pixel is lost."""
    image, point = np.zeros((400, 40_000), np.uint8), np.array([x, 190.0])
    image[40:340, x - 1_000 : x + 1_000] = 255
    boxes = np.array([[0.0, -19_800, 40_000, 20_200], [-10.0, -20, 40_010, 420]])
    if tall:
        image, point, boxes = np.ascontiguousarray(image.T), point[::-1], boxes[:, [1, 0, 3, 2]]
    for box in boxes:
        pixels, matrix = geometry.crop(image, box, 512)
        np.testing.assert_allclose(centroid(pixels), geometry.apply_affine(matrix, point), atol=0.05)


def test_a_turned_crop_of_a_very_wide_image_follows_its_matrix():
    image = np.zeros((300, 40_000, 3), np.uint8)
    image[:, 36_000:36_300] = dot(300, 300, 140.2, 171.9, sigma=8).astype(np.uint8)
    angle, scale = np.deg2rad(33.0), 0.31
    linear = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = np.column_stack([linear, [48, 48] - linear @ [36_150, 150]])
    pixels = geometry.warp(image, matrix, 96)
    np.testing.assert_allclose(centroid(pixels), geometry.apply_affine(matrix, np.array([36_140.2, 171.9])), atol=0.1)


@pytest.mark.parametrize("side", [1e4, 1e5, 1e7, 1e9, 1e30])
def test_a_photograph_in_a_far_larger_box_is_a_speck_of_its_mean(side):
    """By hand: 100 x 100 pixels of 200 in the middle of a box of 10,000 are one 6.5536th of a crop pixel of 256 a side."""
    image = np.full((100, 100, 3), 200, np.float32)
    pixels, _ = geometry.crop(image, [50 - side / 2, 50 - side / 2, 50 + side / 2, 50 + side / 2], 256)
    mass = 200 * (100 * 256 / side) ** 2
    np.testing.assert_allclose(pixels[..., 0].sum(), mass, rtol=0.1, atol=1e-30)
    if side < 1e7:
        np.testing.assert_allclose(centroid(pixels), [128, 128], atol=0.01)
        assert pixels[124:132, 124:132].sum() > 0.999 * pixels.sum()
    assert not geometry.crop(image.astype(np.uint8), [200, 200, 200 + side, 200 + side], 256)[0].any()


def test_a_speck_keeps_the_border():
    image = np.zeros((10, 10, 3), np.uint8)
    matrix = geometry.crop_matrix([-1e6, -1e6, 1e6, 1e6], 64)
    assert (geometry.warp(image, matrix, 64, border=128) == 128).all()


@pytest.mark.parametrize("shape", [(90, 120, 3), (20, 40_000, 3), (33_000, 3, 3)])
def test_any_affine_map_gives_a_crop_or_a_reason(shape):
    rng, image = np.random.default_rng(4), np.full(shape, 9, np.uint8)
    made = 0
    for _ in range(40):
        matrix = rng.normal(size=(2, 3)) * 10.0 ** rng.uniform(-9, 9, (2, 3))
        pixels = geometry.warp(image, matrix, 32)
        assert pixels.shape == (32, 32, 3) and pixels.max() <= 9
        made += 1
    assert made == 40


@pytest.mark.parametrize(
    "matrix",
    [
        np.zeros((2, 3)),
        [[1, 2, 0], [2, 4, 0]],
        [[np.nan, 0, 0], [0, 1, 0]],
        [[1, 0, np.inf], [0, 1, 0]],
        np.full((2, 3), 1e308),
        [[1e-200, 0, 0], [0, 1e-200, 0]],
        np.eye(3),
    ],
)
def test_maps_without_use_are_refused(matrix):
    with pytest.raises(ValueError, match="affine map"):
        geometry.warp(np.zeros((10, 10, 3), np.uint8), matrix, 8)


def test_crops_larger_than_opencv_makes_are_refused():
    with pytest.raises(ValueError, match="a side of 1 to 32,766 pixels, got 40000"):
        geometry.warp(np.zeros((10, 10, 3), np.uint8), np.eye(2, 3), 40_000)


def test_a_covariance_by_hand():
    # The crop is turned by a quarter and twice as fine: crop x = -2 y, crop y = 2 x, so that x = crop y / 2, y = -crop x / 2.
    matrix, size = np.array([[0.0, -2, 300], [2, 0, -40]]), 100
    # In crop pixels the variances are 4 and 1 and the covariance is 1: in the image the variance of x is 1 / 4, that of y is
    # 4 / 4, and the covariance -1 / 4.
    found = geometry.covariance_from_crop(np.array([[4e-4, 1e-4, 1e-4]]), matrix, size)
    np.testing.assert_allclose(found, [[0.25, -0.25, 1.0]])
    # A crop that is not turned, of two pixels a pixel: the signs stay.
    found = geometry.covariance_from_crop(np.array([[4e-4, 1e-4, 1e-4]]), np.array([[2.0, 0, 5], [0, 2, 7]]), size)
    np.testing.assert_allclose(found, [[1.0, 0.25, 0.25]])


def test_a_mirrored_covariance_changes_the_sign_of_xy():
    mirror = np.array([[-1.0, 0, 1], [0, 1, 0]])
    np.testing.assert_allclose(geometry.transform_covariance([[4, 1, 2]], mirror), [[4, -1, 2]])


def test_a_covariance_is_that_of_the_points_moved():
    rng = np.random.default_rng(0)
    points = rng.multivariate_normal([0.4, 0.6], [[4e-4, 2e-4], [2e-4, 3e-4]], 200)
    turns = [np.array([[c, -s, 3], [s, c, -8]]) * scale for c, s, scale in ((0.8, 0.6, 1.5), (-0.6, 0.8, 0.7))]
    matrices = np.stack(turns)

    def as_three(cloud):
        return np.cov(cloud, rowvar=False)[[0, 0, 1], [0, 1, 1]]

    found = geometry.covariance_from_crop(np.tile(as_three(points), (2, 1, 1)), matrices, 64)
    for place, matrix in enumerate(matrices):
        np.testing.assert_allclose(found[place, 0], as_three(geometry.from_crop(points, matrix, 64)), rtol=1e-6)
