"""Pixel in pixel against the worked example of Fig. 4, NumPy and loops."""

import numpy as np
import pytest
from keras import ops

from kfacealign import schemes
from kfacealign.codecs.pixel_in_pixel import PixelInPixel, nearest_neighbors, voters

# Landmark 0 is a neighbour of 1 and 2; nobody votes for 2.
TABLE = [[1], [0], [0]]


def numpy(values):
    return {name: ops.convert_to_numpy(value) for name, value in values.items()}


def outputs_of(targets):
    """What a perfect network puts out, as decoding reads it."""
    found = {name: targets[name] for name in ("cells", "x", "y", "neighbor_x", "neighbor_y") if name in targets}
    return {**found, "scores": ops.max(targets["score"], axis=(1, 2))}


def test_figure_4_by_hand():
    # Stride 32 of 256 px: the red point is 30 % right and 80 % down in its cell (2, 3); the blue one lies at 180 % and 70 %.
    red, blue = ((2 + 0.3) / 8, (3 + 0.8) / 8), ((2 + 1.8) / 8, (3 + 0.7) / 8)
    targets = numpy(PixelInPixel([[1], [0]], size=8).encode(ops.array([[red, blue]], dtype="float32")))
    assert targets["score"].shape == (1, 8, 8, 2)
    assert np.argwhere(targets["score"][0, :, :, 0]).tolist() == [[3, 2]]
    np.testing.assert_allclose([targets["x"][0, 0], targets["y"][0, 0]], [0.3, 0.8], atol=1e-5)
    np.testing.assert_allclose([targets["neighbor_x"][0, 0, 0], targets["neighbor_y"][0, 0, 0]], [1.8, 0.7], atol=1e-5)


def test_coarser_maps_hold_the_cell_that_contains_the_cell():
    targets = numpy(PixelInPixel(TABLE, size=8).encode(ops.array([[[0.99, 0.01], [0.4, 0.6], [0.5, 0.5]]], dtype="float32")))
    assert np.argwhere(targets["score_2"][0, :, :, 0]).tolist() == [[0, 3]]
    assert np.argwhere(targets["score_4"][0, :, :, 1]).tolist() == [[1, 0]]
    # A point on the border belongs to the cell that begins there.
    assert np.argwhere(targets["score"][0, :, :, 2]).tolist() == [[4, 4]]


@pytest.mark.parametrize("count", [0, 1, 10])
def test_round_trip_even_outside_the_crop(count):
    scheme = schemes.get("wflw98")
    codec = PixelInPixel(nearest_neighbors(scheme.mean_shape, count), size=8)
    landmarks = np.random.default_rng(0).uniform(-0.1, 1.1, (4, 98, 2)).astype("float32")
    found, scores = codec.decode(outputs_of(codec.encode(ops.array(landmarks))))
    np.testing.assert_allclose(found, landmarks, atol=1e-6)
    np.testing.assert_array_equal(scores, np.ones((4, 98)))


def test_a_landmark_is_the_mean_of_its_own_prediction_and_the_votes_for_it():
    codec = PixelInPixel(TABLE, size=4)
    outputs = {
        "cells": ops.array([[[1.0, 0.0], [2.0, 1.0], [3.0, 3.0]]]),
        "x": ops.array([[0.2, 0.5, 0.25]]),
        "y": ops.array([[0.4, 0.5, 0.75]]),
        "neighbor_x": ops.array([[[0.7], [-0.9], [-1.5]]]),
        "neighbor_y": ops.array([[[1.3], [-0.6], [-2.0]]]),
        "scores": ops.array([[0.5, 0.6, 0.7]]),
    }
    landmarks, scores = codec.decode(outputs)
    # Point 0: itself 1.2, from point 1 2 - 0.9, from point 2 3 - 1.5. Point 1: 2.5 and 1 + 0.7. Point 2: alone.
    x = [(1.2 + 1.1 + 1.5) / 3, (2.5 + 1.7) / 2, 3.25]
    y = [(0.4 + 0.4 + 1.0) / 3, (1.5 + 1.3) / 2, 3.75]
    np.testing.assert_allclose(landmarks[0], np.stack([x, y], axis=-1) / 4, atol=1e-6)
    np.testing.assert_allclose(scores, [[0.5, 0.6, 0.7]])


def test_voters_against_a_loop():
    table = nearest_neighbors(schemes.get("ibug68").mean_shape, 10)
    places, shares = voters(table)
    for point in range(68):
        votes = [index for index, target in enumerate(table.reshape(-1)) if target == point]
        assert list(places[point][: len(votes)]) == votes
        np.testing.assert_allclose(shares[point][: 1 + len(votes)], 1 / (1 + len(votes)))
        assert not shares[point][1 + len(votes) :].any()


def test_neighbours_are_the_nearest_others():
    shape = [[0.0, 0.0], [1.0, 0.0], [3.0, 0.0], [3.0, 0.0]]
    # Coinciding points are each other's neighbours, never their own.
    assert nearest_neighbors(shape, 2).tolist() == [[1, 2], [0, 2], [3, 1], [2, 1]]


def test_more_neighbours_than_other_landmarks():
    with pytest.raises(ValueError, match="0 to 2 neighbours, not 3"):
        nearest_neighbors(np.eye(3, 2), 3)


def random_case(codec, batch=3, points=3, seed=0):
    rng = np.random.default_rng(seed)
    landmarks = rng.uniform(0, 1, (batch, points, 2)).astype("float32")
    size = codec.size
    outputs = {"score": rng.normal(size=(batch, size, size, points)), "x": rng.normal(size=(batch, points))}
    outputs.update(score_2=rng.normal(size=(batch, size // 2, size // 2, points)), y=rng.normal(size=(batch, points)))
    outputs.update(score_4=rng.normal(size=(batch, size // 4, size // 4, points)))
    for name in ("neighbor_x", "neighbor_y"):
        outputs[name] = rng.normal(size=(batch, points, 1))
    return landmarks, {name: ops.array(value, dtype="float32") for name, value in outputs.items()}


def test_loss_is_equations_1_to_6():
    codec = PixelInPixel(TABLE, size=4, offset_weight=0.02)
    landmarks, outputs = random_case(codec)
    targets = codec.encode(ops.array(landmarks))
    t, o = numpy(targets), numpy(outputs)
    terms = numpy(codec.loss(targets, outputs, ops.ones((3, 3))))
    np.testing.assert_allclose(terms["score_loss"], np.mean((t["score"] - o["score"]) ** 2), rtol=1e-5)
    offset = np.mean([np.abs(t[name] - o[name]) for name in ("x", "y")])
    np.testing.assert_allclose(terms["offset_loss"], 0.02 * offset, rtol=1e-5)
    vote = np.mean([np.abs(t[name] - o[name]) for name in ("neighbor_x", "neighbor_y")])
    np.testing.assert_allclose(terms["neighbor_loss"], 0.02 * vote, rtol=1e-5)


def test_points_without_annotation_count_nowhere():
    codec = PixelInPixel(TABLE, size=4)
    landmarks, outputs = random_case(codec)
    weights = np.array([[1, 1, 0], [1, 1, 0], [1, 1, 0]], "float32")
    moved = landmarks.copy()
    moved[:, 2] += 0.3
    terms = [numpy(codec.loss(codec.encode(ops.array(points)), outputs, ops.array(weights))) for points in (landmarks, moved)]
    for name in codec.terms:
        np.testing.assert_allclose(terms[0][name], terms[1][name], rtol=1e-6)
    # Nor does a vote for such a point: only 0 -> 1 and 1 -> 0 are left.
    weights[:, 1], weights[:, 2] = 0, 1
    t, o = numpy(codec.encode(ops.array(landmarks))), numpy(outputs)
    expected = np.mean([np.abs(t[name] - o[name])[:, 2] for name in ("neighbor_x", "neighbor_y")])
    found = codec.loss(codec.encode(ops.array(landmarks)), outputs, ops.array(weights))["neighbor_loss"]
    np.testing.assert_allclose(found, 0.1 * expected, rtol=1e-5)


@pytest.mark.parametrize("task,coarse", [(1, "score_4"), (2, "score_2")])
def test_pseudo_labels_count_only_in_the_map_of_their_task(task, coarse):
    codec = PixelInPixel(TABLE, size=8)
    landmarks, outputs = random_case(codec)
    targets = codec.encode(ops.array(landmarks))
    weights = codec.curriculum(ops.ones((3, 3)), ops.array([0.0, 1.0, 1.0]), task)
    terms, t, o = numpy(codec.loss(targets, outputs, weights)), numpy(targets), numpy(outputs)
    squared = [(t["score"][0] - o["score"][0]) ** 2, (t[coarse][1:] - o[coarse][1:]) ** 2]
    expected = sum(part.sum() for part in squared) / sum(part.size for part in squared)
    np.testing.assert_allclose(terms["score_loss"], expected, rtol=1e-5)
    np.testing.assert_allclose(terms["offset_loss"], 0.1 * np.mean([np.abs(t[n] - o[n])[0] for n in ("x", "y")]), rtol=1e-5)


def test_in_task_3_pseudo_labels_count_like_labels():
    codec = PixelInPixel(TABLE, size=8)
    landmarks, outputs = random_case(codec)
    targets = codec.encode(ops.array(landmarks))
    mixed = codec.loss(targets, outputs, codec.curriculum(ops.ones((3, 3)), ops.array([0.0, 1.0, 1.0]), 3))
    plain = codec.loss(targets, outputs, ops.ones((3, 3)))
    for name in codec.terms:
        np.testing.assert_allclose(mixed[name], plain[name])


def test_without_neighbours_there_is_no_loss_of_theirs():
    assert PixelInPixel([[], []], size=8).terms == ("score_loss", "offset_loss")
