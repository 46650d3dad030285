import numpy as np
import pytest

from kfacealign import drawing, pose, schemes


def one_point(x, y):
    """Landmarks of aflw19 of which only the last is in the image."""
    landmarks = np.full((19, 2), 5000.0)
    landmarks[18] = x, y
    return landmarks


def centre(picture):
    """Centre of what is bright, (x, y) in image coordinates."""
    weight = picture.astype(float).sum(-1)
    rows, columns = np.indices(weight.shape) + 0.5
    return np.array([(columns * weight).sum(), (rows * weight).sum()]) / weight.sum()


def test_a_dot_at_a_pixel_centre_is_on_that_pixel():
    black = np.zeros((40, 40, 3), "uint8")
    picture = drawing.draw_landmarks(black, one_point(10.5, 20.5), "aflw19", color=(255, 0, 0), contours=False, thickness=0.8)
    np.testing.assert_array_equal(picture[20, 10], [255, 0, 0])
    np.testing.assert_allclose(centre(picture), [10.5, 20.5], atol=0.05)
    assert not black.any()  # the image itself is left alone


@pytest.mark.parametrize("point", [(10.0, 20.0), (13.25, 7.75), (20.9, 30.1)])
def test_dots_are_drawn_between_pixels(point):
    black = np.zeros((40, 40, 3), "uint8")
    picture = drawing.draw_landmarks(black, one_point(*point), "aflw19", contours=False, thickness=3)
    np.testing.assert_allclose(centre(picture), point, atol=0.15)


def test_contours_are_lines_between_their_points():
    landmarks = np.full((19, 2), 200.0)
    landmarks[12], landmarks[13], landmarks[14] = (10.5, 20.5), (25.5, 20.5), (40.5, 20.5)  # the nose
    weights = np.zeros(19)
    weights[12:15] = 1
    black = np.zeros((60, 60, 3), "uint8")
    lines = drawing.draw_landmarks(black, landmarks, "aflw19", color=(255, 255, 255), thickness=1, weights=weights)
    assert lines[20, 10:41].min() > 200 and not lines[24:].any()
    dots = drawing.draw_landmarks(black, landmarks, "aflw19", contours=False, thickness=1, weights=weights)
    assert not dots[20, 15].any() and dots[20, 25].any()


@pytest.mark.parametrize("scale", [1, 4, 10])
def test_dots_and_lines_grow_with_the_face(scale):
    """A face of 260 pixels has dots of radius 2 and lines 1 pixel wide; ten times as large ones, 20 and 14."""
    landmarks = np.full((19, 2), 50.0) * scale
    landmarks[18], landmarks[12], landmarks[13] = np.array([[310.0, 50], [100, 90], [200, 90]]) * scale  # 12 to 13 is a line
    weights = np.zeros(19)
    weights[[0, 12, 13, 18]] = 1
    black = np.zeros((120 * scale, 400 * scale, 3), "uint8")
    picture = drawing.draw_landmarks(black, landmarks, "aflw19", color=(255, 255, 255), weights=weights)[..., 0] / 255.0
    dot = picture[: 70 * scale, 290 * scale :].sum()
    assert np.sqrt(dot / np.pi) == pytest.approx(2 * scale, abs=0.7)  # smoothing adds about half a pixel
    line = picture[70 * scale : 110 * scale, 150 * scale].sum()
    assert 0.95 * round(1.4 * scale) <= line <= round(1.4 * scale) + 1.8


def test_dots_have_limits():
    face = np.array([[0.0, 0.0], [130.0, 65.0]])
    assert drawing.dot_radius(face, (1000, 2000, 3)) == 1.0
    assert drawing.dot_radius(face / 100, (4000, 6000, 3)) == 0.5  # a tiny face in a large photograph
    assert drawing.dot_radius(face * 20, (3000, 4000, 3)) == 20.0  # a huge one
    assert drawing.dot_radius(face * 1000, (650, 130, 3)) == 10.0  # a point that lies far outside


def test_lines_of_a_small_face_let_it_be_seen():
    landmarks = np.full((19, 2), 10.5)
    landmarks[12], landmarks[13] = (10.5, 30.5), (50.5, 30.5)
    weights = np.zeros(19)
    weights[12:14] = 1
    grey = np.full((60, 80, 3), 100, "uint8")
    picture = drawing.draw_landmarks(grey, landmarks, "aflw19", color=(200, 200, 200), weights=weights)
    # An extent of 40 has radius 0.5: half the line, half the photograph.
    np.testing.assert_allclose(picture[30, 20:40], 150, atol=5)
    assert (picture[:29] == 100).all() and (picture[32:] == 100).all()


def test_several_faces_are_drawn_at_once():
    faces = np.stack([np.random.default_rng(seed).uniform(5, 90, (19, 2)) for seed in (0, 1)])
    picture = drawing.draw_landmarks(np.zeros((100, 100, 3), "uint8"), faces, "aflw19")
    one = drawing.draw_landmarks(np.zeros((100, 100, 3), "uint8"), faces[0], "aflw19")
    np.testing.assert_array_equal(picture, drawing.draw_landmarks(one, faces[1], "aflw19"))
    black = np.zeros((100, 100, 3), "uint8")
    assert not drawing.draw_landmarks(black, np.zeros((0, 19, 2)), "aflw19").any()


def test_closed_contours_return_to_their_first_point():
    pairs = drawing.segments(schemes.IBUG68)
    assert (36, 37) in pairs and (41, 36) in pairs and (16, 0) not in pairs
    assert len(pairs) == 16 + 4 + 4 + 3 + 4 + 6 + 6 + 12 + 8


def test_what_is_not_annotated_or_not_finite_is_left_out():
    black = np.zeros((40, 40, 3), "uint8")
    assert not drawing.draw_landmarks(black, np.full((19, 2), 20.0), "aflw19", weights=np.zeros(19)).any()
    assert not drawing.draw_landmarks(black, np.full((19, 2), np.nan), "aflw19").any()
    landmarks = np.full((19, 2), 20.5)
    landmarks[3] = np.nan
    assert drawing.draw_landmarks(black, landmarks, "aflw19").any()


@pytest.mark.parametrize("far", [60.0, -100.0, 1e5, -1e12])
@pytest.mark.parametrize("inside", [0, 18])
def test_points_outside_the_image(far, inside):
    landmarks = np.full((19, 2), far)
    landmarks[:inside] = 20.5
    assert drawing.draw_landmarks(np.zeros((40, 40, 3), "uint8"), landmarks, "aflw19").shape == (40, 40, 3)


def test_wrong_number_of_points():
    with pytest.raises(ValueError, match=r"ibug68 has 68 points, got landmarks of shape \(19, 2\)"):
        drawing.draw_landmarks(np.zeros((8, 8, 3), "uint8"), np.zeros((19, 2)), "ibug68")


@pytest.mark.parametrize("name", schemes.SCHEMES)
def test_draw_scheme(name):
    picture = drawing.draw_scheme(name, size=256)
    assert picture.shape == (256, 256, 3) and picture.dtype == np.uint8
    for x, y in schemes.get(name).mean_shape * 256:
        assert (picture[int(y), int(x)] < 255).any()


def test_mosaic():
    tiles = [np.full((2, 3, 3), value, "uint8") for value in (1, 2, 3)]
    picture = drawing.mosaic(tiles, 2)
    assert picture.shape == (4, 6, 3)
    assert [picture[0, 0, 0], picture[0, 5, 0], picture[3, 0, 0], picture[3, 5, 0]] == [1, 2, 3, 0]


def test_the_axes_of_a_head_by_hand():
    """60 mm at 600 mm with a focal length of 400 pixels are 40 pixels; the head is turned by 60 degrees to its own left."""
    camera = pose.camera_matrix((201, 161), focal=400)
    head = pose.head_points("ibug68")[0] @ pose.rotation_matrix(60, 0, 0).T + [0, 0, 600]
    found = pose.estimate((head @ camera.T)[:, :2] / head[:, 2:], "ibug68", camera)
    black = np.zeros((161, 201, 3), "uint8")
    picture = drawing.draw_pose(black, found)
    assert not black.any()
    strong = (picture.max(-1) > 100) * (1 + picture.argmax(-1))
    red, green, blue = (np.argwhere(strong == axis) for axis in (1, 2, 3))
    # From the middle, (100.5, 80.5), the pixel (100, 80): down by 40; out of the face to the right by 60 sin 60 at 570 mm:
    # 36.5; to the person's left, which is nearly into the picture, by 60 cos 60 at 652 mm: 18.4.
    assert abs(green[:, 0].max() - 120) <= 1 and set(green[:, 1]) == {100}
    assert abs(blue[:, 1].max() - 136) <= 1 and set(blue[:, 0]) == {80}
    assert len(red) == 0 or red[:, 1].max() <= 119  # beneath the blue one, which is nearer
    assert picture[:70].sum() == 0 and picture[:, :95].sum() == 0
