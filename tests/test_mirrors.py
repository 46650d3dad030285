import numpy as np
import pytest

from kfacealign import mirrors, schemes

FRONTAL = [name for name in schemes.SCHEMES if name != "menpo39"]


def turned(shape, degrees):
    angle = np.deg2rad(degrees)
    return shape @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("left_eye", "right_eye"),
        ("leftEye_2", "rightEye_2"),
        ("LeftEye", "RightEye"),
        ("mouth-corner-RIGHT", "mouth-corner-LEFT"),
        ("l_brow_3", "r_brow_3"),
        ("R2", "L2"),
        ("eye left 4", "eye right 4"),
        ("left_eye_right_corner", "right_eye_left_corner"),
        ("cleft_of_the_chin", "cleft_of_the_chin"),
        ("bright", "bright"),
        ("lip", "lip"),
        ("nose_0", "nose_0"),
        ("linkes_auge_é", "linkes_auge_é"),
    ],
)
def test_the_other_side_of_a_name(name, other):
    assert mirrors.other_side(name) == other
    assert mirrors.other_side(other) == name


def test_names_tell_the_mirror():
    assert mirrors.by_names(("left_eye", "right_eye", "nose", "left_mouth", "right_mouth")) == (1, 0, 2, 4, 3)
    with pytest.raises(ValueError, match="point 0, 'left_eye', has no counterpart 'right_eye'"):
        mirrors.by_names(("left_eye", "nose"))
    with pytest.raises(ValueError, match="no name says left or right"):
        mirrors.by_names(("a", "b"))


@pytest.mark.parametrize("name", FRONTAL)
@pytest.mark.parametrize("degrees", [0, 9, -22])
def test_a_mean_shape_tells_the_mirror_of_every_frontal_scheme(name, degrees):
    scheme = schemes.get(name)
    mirror, apart = mirrors.by_shape(300 * turned(scheme.mean_shape, degrees) + [500, -20])
    assert mirror == scheme.mirror
    assert apart.max() < 1e-5


@pytest.mark.parametrize("name", ["cofw29", "aflw19"])
def test_a_mean_shape_that_is_not_quite_symmetric(name):
    scheme = schemes.get(name)
    for seed in range(5):
        noise = np.random.default_rng(seed).normal(0, 0.003, (scheme.num_points, 2))
        mirror, apart = mirrors.by_shape(turned(scheme.mean_shape + noise, 4))
        assert mirror == scheme.mirror and 0.001 < apart.max() < 0.03


def test_faces_tell_apart_what_lies_in_one_place():
    """Two points of an upper lip and two of a lower one, which lie upon each other in the mean but part where a mouth opens."""
    open_, width = np.array([-1, 0, 0.0, 1]) / 10, np.array([-3, 3, -3, 3]) / 10
    rest = np.stack([width, np.zeros(4)], -1) + [0.5, 0.8]
    faces = np.stack([rest + np.array([[0, -gap], [0, -gap], [0, gap], [0, gap]]) for gap in open_])
    eyes = np.broadcast_to([[0.2, 0.2], [0.8, 0.2]], (4, 2, 2))
    faces = np.concatenate([faces, eyes], 1)
    faces[:, :4] += np.random.default_rng(0).normal(0, 0.005, (4, 4, 2))
    shape = faces.mean(0)
    shape[:4] = shape[[2, 1, 0, 3]]  # what noise may do: the lips of the left side have changed places in the mean
    shape[2, 1], shape[0, 1] = 0.803, 0.797
    shape[3, 1], shape[1, 1] = 0.797, 0.803
    assert mirrors.by_shape(shape)[0] == (3, 2, 1, 0, 5, 4)
    assert mirrors.by_shape(shape, faces=faces)[0] == (1, 0, 3, 2, 5, 4)


def test_distances_by_hand():
    shape = np.array([[0, 0], [1, 0], [0.2, 1], [0.8, 1.0]])
    np.testing.assert_allclose(mirrors.distances(shape, (1, 0, 3, 2)), 0, atol=1e-12)
    np.testing.assert_allclose(mirrors.distances(shape, (0, 1, 2, 3)), [1, 1, 0.6, 0.6], atol=1e-12)


@pytest.mark.parametrize("points", [1, 2, 3, 5, 8])
def test_any_points_get_a_mirror_that_is_its_own_inverse(points):
    for seed in range(20):
        shape = np.random.default_rng(seed).random((points, 2))
        mirror, _ = mirrors.by_shape(shape)
        assert [mirror[mirror[point]] for point in range(points)] == list(range(points))
    assert mirrors.by_shape(np.zeros((points, 2)))[0] is not None


def test_a_circle_of_three_leaves_the_cheapest_point_alone():
    costs = np.array([[0.0, 1, 5], [1, 9, 1], [5, 1, 9]])
    assert mirrors._paired(np.array([1, 2, 0]), costs) == (0, 2, 1)
    assert mirrors._paired(np.array([1, 2, 3, 0]), np.array([[9.0, 1, 9, 5], [1, 9, 5, 9], [9, 5, 9, 1], [5, 9, 1, 9]])) == (
        1,
        0,
        3,
        2,
    )


def test_doubtful_points():
    scheme = schemes.get("ibug68")
    assert mirrors.doubtful(scheme.mean_shape, scheme.mirror) == []
    # Numbers that run outwards on both brows, as names suggest but this scheme has not: both ends go to the wrong place.
    wrong = list(scheme.mirror)
    wrong[17:27] = [22, 23, 24, 25, 26, 17, 18, 19, 20, 21]
    assert mirrors.doubtful(scheme.mean_shape, wrong) == [17, 18, 20, 21, 22, 23, 25, 26]
    assert len(mirrors.doubtful(scheme.mean_shape, range(68))) == 58  # all but the points on the middle
