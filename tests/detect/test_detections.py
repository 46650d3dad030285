import numpy as np
import pytest

from kfacealign.detect.detections import BoxRule, Detections, joined, none, shared, without_twins


def found(boxes, scores, points=None):
    return Detections(np.array(boxes, np.float32).reshape(-1, 4), np.array(scores, np.float32), points)


def test_shared_by_hand():
    # A square of 10 and one shifted by (5, 0): they share 50 of 100.
    assert shared(np.array([0, 0, 10, 10]), np.array([5, 0, 15, 10])) == 0.5
    # A box inside a larger one is shared as a whole, in either order.
    assert shared(np.array([0, 0, 100, 100]), np.array([40, 40, 50, 50])) == 1
    assert shared(np.array([40, 40, 50, 50]), np.array([0, 0, 100, 100])) == 1
    assert shared(np.array([0, 0, 10, 10]), np.array([20, 20, 30, 30])) == 0
    assert shared(np.array([0, 0, 10, 10]), np.array([5, 5, 5, 5])) == 0


def test_shared_of_many():
    boxes = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [0, 0, 4, 4], [3, 3, 3, 9]], np.float32)
    expected = [[1, 0.5, 1, 0], [0.5, 1, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]]  # the last has no area
    np.testing.assert_array_equal(shared(boxes[:, None], boxes), expected)


def test_twins_are_one_face_and_neighbours_are_two():
    faces = found([[0, 0, 10, 10], [1, 1, 11, 11], [8, 0, 18, 10], [2, 2, 6, 6]], [0.7, 0.9, 0.8, 0.95])
    kept = without_twins(faces)
    # The small box has the best score and hides both boxes around it; the third shares 2 of its 10 columns with the first.
    np.testing.assert_array_equal(kept.boxes, [[2, 2, 6, 6], [8, 0, 18, 10]])
    np.testing.assert_allclose(kept.scores, [0.95, 0.8])


def test_overlap_is_the_bound():
    faces = found([[0, 0, 10, 10], [6, 0, 16, 10]], [0.9, 0.8])  # They share 4 of 10.
    assert len(without_twins(faces, overlap=0.41)) == 2
    assert len(without_twins(faces, overlap=0.39)) == 1


def test_points_stay_with_their_face():
    points = np.arange(30, dtype=np.float32).reshape(3, 5, 2)
    faces = found([[0, 0, 1, 1], [5, 5, 9, 9], [20, 20, 22, 22]], [0.2, 0.9, 0.5], points)
    np.testing.assert_array_equal(without_twins(faces).points, points[[1, 2, 0]])
    np.testing.assert_array_equal(faces.above(0.5).points, points[1:])
    np.testing.assert_array_equal(faces.by_size().points, points[[1, 2, 0]])


def test_joined_puts_the_best_first_and_knows_nothing():
    both = joined([found([[0, 0, 1, 1]], [0.3]), none(), found([[2, 2, 3, 3]], [0.6])])
    np.testing.assert_allclose(both.scores, [0.6, 0.3])
    assert both.points is None
    assert len(joined([])) == len(joined([none()])) == len(without_twins(none())) == 0


def test_rule_by_hand():
    rule = BoxRule(right=0.1, down=0.2, width=0.5, height=2.0)
    # 20 wide, 10 high: the side is 20, the centre (20, 15) moves to (22, 19), and the box becomes 10 wide and 40 high.
    np.testing.assert_allclose(rule(np.array([10, 10, 30, 20])), [17, -1, 27, 39])
    assert rule(np.zeros((0, 4))).shape == (0, 4)


@pytest.mark.parametrize("chosen", [slice(0, 1), np.array([0])])
def test_choosing(chosen):
    assert len(found([[0, 0, 1, 1], [2, 2, 3, 3]], [0.9, 0.8])[chosen]) == 1
