import dataclasses

import numpy as np
import pytest

from kfacealign import schemes
from kfacealign.data import Faces, ignore_labels, write_clips, write_pts
from kfacealign.data.faces import Dataset
from kfacealign.data.mean_shape import aligned, mean_shape, mirror_doubts, with_mean_shape
from kfacealign.data.unlabelled import placeholders

FOUR = schemes.Scheme.from_config(
    {"name": "four", "point_names": ["left_eye", "right_eye", "left_mouth", "right_mouth"], "mirror": [1, 0, 3, 2]}
)
SQUARE = np.array([[0.0, 0], [10, 0], [0, 20], [10, 20]])


def faces(*landmarks, weights=None, scheme=FOUR):
    return Faces(scheme, [f"{place}.jpg" for place in range(len(landmarks))], np.array(landmarks), weights=weights)


def dataset(train, test=None):
    test = Faces(train.scheme, [], []) if test is None else test
    parts = {"train": train, "test": test, "subsets": {}, "enlarge": 1.25, "normalizer": "box"}
    return Dataset(name="mine", scheme=train.scheme, **parts)


def test_mean_of_two_faces_by_hand():
    """The first face is 10 x 20 pixels, its crop's side is 25; the second is the first at three times the size."""
    expected = [[0.3, 0.1], [0.7, 0.1], [0.3, 0.9], [0.7, 0.9]]
    made = mean_shape([faces(SQUARE), faces(3 * SQUARE + [100, -7])])
    assert made.dtype == np.float32
    np.testing.assert_allclose(made, expected, atol=1e-6)


def test_the_box_of_the_mean_is_centred_and_fills_the_crop():
    wide = SQUARE.copy()
    wide[0, 0], wide[3, 0] = -6, 16
    made = mean_shape([faces(SQUARE, wide, wide)])
    assert np.ptp(made[:, 1]) == pytest.approx(0.8) and made[:, 1].mean() == pytest.approx(0.5)
    assert made[:, 0].min() + made[:, 0].max() == pytest.approx(1)


def test_points_that_are_not_annotated_do_not_count():
    far = SQUARE.copy()
    far[1] = [10, 5]
    weights = np.ones((3, 4))
    weights[1, 1] = weights[:, 2] = 0
    made = mean_shape([faces(SQUARE, far, SQUARE, weights=weights)])
    np.testing.assert_allclose(made[[0, 1, 3]], [[0.3, 0.1], [0.7, 0.1], [0.7, 0.9]], atol=1e-6)
    np.testing.assert_allclose(made[2], 0.5)
    with pytest.raises(ValueError, match="there is no face"):
        mean_shape([Faces(FOUR, [], [])])


def test_faces_are_moved_onto_the_mean():
    angle = np.deg2rad(20)
    turned = SQUARE @ [[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]] * 4 + 50
    shape = mean_shape([faces(SQUARE)])
    np.testing.assert_allclose(aligned([faces(SQUARE, turned)], shape), [shape, shape], atol=1e-5)
    weights = np.array([[1.0, 1, 1, 0]])
    assert aligned([faces(SQUARE, weights=weights)], shape).shape == (0, 4, 2)


def test_a_dataset_gets_the_shape_of_its_training_faces():
    wide = SQUARE * [2, 1]
    read = dataset(faces(SQUARE), faces(wide))
    made = with_mean_shape(read)
    assert made.train.scheme is made.test.scheme is made.scheme and made.scheme.matches(FOUR)
    np.testing.assert_allclose(made.scheme.mean_shape, mean_shape([read.train]), atol=1e-6)
    assert read.scheme.mean_shape is None and read.train.scheme is FOUR
    np.testing.assert_allclose(with_mean_shape(dataset(faces(SQUARE)[:0], read.test)).scheme.mean_shape[0], [0.1, 0.1], atol=1e-6)
    assert with_mean_shape(made) is made
    nobody = dataset(faces(SQUARE)[:0])
    assert with_mean_shape(nobody) is nobody
    known = dataset(faces(schemes.AFLW19.mean_shape * 100, scheme="aflw19"))
    assert with_mean_shape(known) is known


def test_a_mirror_that_does_not_fit_is_warned_of():
    assert mirror_doubts(mean_shape([faces(SQUARE)]), FOUR.mirror) == ""
    wrong = dataclasses.replace(FOUR, mirror=(0, 1, 3, 2))
    with pytest.warns(
        UserWarning, match=r"four: the mirror of 2 points does not fit .* \(0 becomes 0, not 1, 1 becomes 1, not 0\)"
    ):
        with_mean_shape(dataset(faces(SQUARE, scheme=wrong)))


def test_faces_without_labels_need_a_shape():
    with pytest.raises(ValueError, match="four has no mean shape to put in the boxes"):
        placeholders(FOUR, np.zeros((1, 4)))
    made = with_mean_shape(dataset(faces(SQUARE)))
    np.testing.assert_allclose(ignore_labels(made.train).landmarks[0], SQUARE, atol=1e-5)


def test_faces_are_not_drawn_with_points_of_ones_own(tmp_path):
    for write in (write_pts, write_clips):
        with pytest.raises(ValueError, match=r"faces are drawn with the points of wflw98, .*, not with those of 'four'"):
            write(tmp_path / "new", scheme=FOUR)
