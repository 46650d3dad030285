"""Labels moved from one definition of a point to another: faces whose offsets are known by hand."""

import numpy as np
import pytest

import kfacealign as kfa
from kfacealign.data.definitions import frontal_mean, offsets_to, with_offsets

SCHEME = kfa.schemes.get("ibug68")
BROWS, EYES = list(SCHEME.regions["brows"]), SCHEME.eye_corners
INNER_LEFT, INNER_RIGHT = 21, 22  # the brows' inner ends


@pytest.fixture
def shape():
    """(68, 2) symmetric, 100 pixels between the outer corners of the eyes, level."""
    points = SCHEME.mean_shape.astype(float)
    points = (points + points[list(SCHEME.mirror)] * (-1, 1) + (1, 0)) / 2
    left, right = points[list(EYES)]
    return 100 * (points - (left + right) / 2) / (right[0] - left[0]) + 200


def faces_of(*shapes, weights=None):
    return kfa.data.Faces("ibug68", [f"{place}.png" for place in range(len(shapes))], np.array(shapes), weights=weights)


def quarter_turn(shape):
    """The shape turned by 90 degrees (x becomes y), twice as large and somewhere else."""
    return np.stack([-2 * (shape[:, 1] - 200), 2 * (shape[:, 0] - 200)], -1) + (500, 400)


def narrower(shape):
    """The brows' inner ends 7 pixels nearer to each other's side and 4 lower, as other people label them."""
    moved = shape.copy()
    moved[[INNER_LEFT, INNER_RIGHT]] += [(7, 4), (-7, 4)]
    return moved


def test_the_offsets_are_what_the_other_set_has_otherwise_however_its_faces_lie(shape):
    found = offsets_to(faces_of(quarter_turn(narrower(shape))), faces_of(shape), ["brows"])
    expected = np.zeros((68, 2))
    expected[[INNER_LEFT, INNER_RIGHT]] = [(0.07, 0.04), (-0.07, 0.04)]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_other_regions_stay_where_they_are(shape):
    other = narrower(shape)
    other[list(SCHEME.regions["mouth"])] += (0, 9)
    found = offsets_to(faces_of(other), faces_of(shape), ["brows"])
    assert not found[list(SCHEME.regions["mouth"])].any() and found[BROWS].any()
    both = offsets_to(faces_of(other), faces_of(shape), ["brows", "mouth"])
    np.testing.assert_allclose(both[list(SCHEME.regions["mouth"])], np.tile((0, 0.09), (20, 1)), atol=1e-5)


def test_labels_move_in_the_frame_of_each_face(shape):
    """On the face turned by a quarter and twice as large, 7 to the right and 4 down are 14 down and 8 to the left."""
    faces = faces_of(shape, quarter_turn(shape))
    moved = with_offsets(faces, offsets_to(faces_of(narrower(shape)), faces_of(shape), ["brows"]))
    np.testing.assert_allclose((moved.landmarks - faces.landmarks)[:, INNER_LEFT], [(7, 4), (-8, 14)], atol=1e-3)
    np.testing.assert_allclose((moved.landmarks - faces.landmarks)[:, INNER_RIGHT], [(-7, 4), (-8, -14)], atol=1e-3)
    rest = np.delete(np.arange(68), [INNER_LEFT, INNER_RIGHT])
    np.testing.assert_allclose(moved.landmarks[:, rest], faces.landmarks[:, rest], atol=1e-3)
    np.testing.assert_array_equal(moved.boxes, faces.boxes)  # crops are those of a box that nobody redefined
    np.testing.assert_allclose(faces.landmarks[0], shape, atol=1e-3)  # what was given stays as it was


def test_a_face_without_an_eye_has_no_frame_and_its_brows_count_no_more(shape):
    weights = np.ones((2, 68))
    weights[1, EYES[0]] = 0
    faces = faces_of(shape, shape, weights=weights)
    offsets = np.zeros((68, 2))
    offsets[BROWS] = (0.1, 0)
    moved = with_offsets(faces, offsets)
    assert moved.weights[0].all() and not moved.weights[1, BROWS].any()
    kept = np.setdiff1d(np.arange(68), [*BROWS, EYES[0]])
    assert moved.weights[1, kept].all()
    np.testing.assert_allclose(moved.landmarks[0, BROWS], shape[BROWS] + (10, 0), atol=1e-3)


def test_only_faces_seen_from_the_front_make_the_mean(shape):
    """Three of four faces look aside: their brows say nothing of the definition."""
    aside = shape.copy()
    inside = np.setdiff1d(np.arange(68), EYES)
    aside[inside, 0] += 20
    mean, count = frontal_mean(np.array([aside, shape, aside, aside]), SCHEME)
    assert count == 1
    np.testing.assert_allclose(100 * mean + 200, shape, atol=1e-9)


def test_what_cannot_be_compared_is_said(shape):
    faces = faces_of(shape)
    with pytest.raises(ValueError, match="ibug68 has no region named hair, teeth: there are contour, brows"):
        offsets_to(faces, faces, ["teeth", "brows", "hair"])
    with pytest.raises(ValueError, match="faces of ibug68 cannot take over the definition of aflw19"):
        offsets_to(kfa.data.Faces("aflw19", ["a.png"], kfa.schemes.get("aflw19").mean_shape[None] * 100), faces, ["brows"])
    weights = np.ones((1, 68))
    weights[0, 60] = 0
    with pytest.raises(ValueError, match=r"no face of 0\.png and others has all points"):
        offsets_to(faces_of(shape, weights=weights), faces, ["brows"])
