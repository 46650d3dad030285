import numpy as np
import pytest

from kfacealign.codecs import Heatmap, HeatmapInHeatmap
from kfacealign.codecs.decoders import argmax_cells, soft_argmax


def points(*xy):
    return np.array([xy], "float32")


def as_outputs(targets):
    return {"heatmap_1": targets["heatmap"], "decimal": targets["decimal"]}


def test_integer_cell_is_floored_and_decimal_cell_rounded():
    """64 cells, 8 intervals: x = 10.30 cells -> cell 10, 0.30 * 8 = 2.4 -> 2; y = 20.95 -> cell 20, 7.6 -> 8, clipped to 7."""
    integer, decimal = HeatmapInHeatmap().cells(points((10.30 / 64, 20.95 / 64)))
    np.testing.assert_array_equal(integer, [[[10, 20]]])
    np.testing.assert_array_equal(decimal, [[[2, 7]]])


def test_x_is_the_column_and_y_the_row():
    heatmap = np.asarray(HeatmapInHeatmap(size=16).encode(points((3.5 / 16, 12.5 / 16)))["heatmap"])
    assert heatmap.shape == (1, 16, 16, 1)
    assert np.unravel_index(heatmap[0, :, :, 0].argmax(), (16, 16)) == (12, 3)


def test_gaussian_follows_equation_1():
    sigma = 1.5
    heatmap = np.asarray(HeatmapInHeatmap(size=16, sigma=sigma).encode(points((8.2 / 16, 6.9 / 16)))["heatmap"])[0, :, :, 0]
    rows, columns = np.mgrid[0:16, 0:16]
    squared = (columns - 8) ** 2 + (rows - 6) ** 2
    expected = np.where(np.sqrt(squared) <= 3 * sigma, np.exp(-squared / (2 * sigma**2)), 0)
    np.testing.assert_allclose(heatmap, expected, atol=1e-6)
    assert heatmap[6, 8] == 1.0


def test_round_trip_is_within_half_a_decimal_interval():
    """But for the last interval, which rounding up would leave: its upper half is clipped."""
    landmarks = np.random.default_rng(0).uniform(0, 1, (4, 98, 2)).astype("float32")
    codec = HeatmapInHeatmap()
    decoded, scores = codec.decode(as_outputs(codec.encode(landmarks)))
    assert np.abs(np.asarray(decoded) - landmarks).max() <= 1.001 / 512
    clipped = (landmarks * 64) % 1 > 7.5 / 8
    assert np.abs(np.asarray(decoded) - landmarks)[~clipped].max() <= 0.501 / 512
    np.testing.assert_array_equal(scores, np.ones((4, 98)))


@pytest.mark.parametrize("parts", [4, 8])
def test_clipping_the_last_part_shifts_answers_by_a_known_amount(parts):
    """Of n parts the last half, 1 / (2 n) of the cells, is read a whole part too low: 1 / (2 n^2) of a cell in the mean."""
    even = (np.arange(64 * parts) + 0.5) / (64 * parts) / 8 + 3 / 8  # all over one cell of eight
    landmarks = np.stack([even, even], -1)[None].astype("float32")
    codec = HeatmapInHeatmap(size=8, decimal_size=parts)
    shift = (np.asarray(codec.decode(as_outputs(codec.encode(landmarks)))[0]) - landmarks).mean((0, 1)) * 8
    np.testing.assert_allclose(shift, [-1 / (2 * parts**2)] * 2, atol=1e-5)


def test_positions_on_the_grid_are_exact():
    landmarks = np.array([[[0, 0], [1 / 64, 63 / 64], [5 / 512, 511 / 512]]], "float32")
    codec = HeatmapInHeatmap()
    np.testing.assert_array_equal(codec.decode(as_outputs(codec.encode(landmarks)))[0], landmarks)


def test_points_outside_the_crop_go_to_its_edge():
    codec = HeatmapInHeatmap()
    decoded, _ = codec.decode(as_outputs(codec.encode(points((-0.3, 1.4), (0.5, 2.0)))))
    np.testing.assert_allclose(decoded, [[[0.0, 511 / 512], [0.5, 511 / 512]]])


def test_hard_label_is_a_single_one():
    decimal = np.asarray(HeatmapInHeatmap(decimal_label="hard").encode(points((10.30 / 64, 20.95 / 64)))["decimal"])[0, :, :, 0]
    assert decimal.sum() == 1 and decimal[7, 2] == 1


def test_loss_is_equation_6_over_all_stacks():
    rng = np.random.default_rng(0)
    landmarks = rng.uniform(0.1, 0.9, (2, 3, 2)).astype("float32")
    codec = HeatmapInHeatmap(size=16, decimal_size=4, alpha=0.1)
    targets = codec.encode(landmarks)
    outputs = {name: rng.normal(size=(2, 16, 16, 3)).astype("float32") for name in ("heatmap_1", "heatmap_2")}
    outputs["decimal"] = rng.normal(size=(2, 4, 4, 3)).astype("float32")
    weights = np.array([[1, 1, 0], [1, 0, 0]], "float32")
    terms = codec.loss(targets, outputs, weights)
    errors = [((outputs[f"heatmap_{s}"] - np.asarray(targets["heatmap"])) ** 2).mean((1, 2)) for s in (1, 2)]
    expected = np.mean([error[weights > 0].mean() for error in errors])
    np.testing.assert_allclose(terms["heatmap_loss"], expected, rtol=1e-5)

    def log_softmax(maps):
        flat = np.asarray(maps, "float64").reshape(2, 16, 3)
        return flat - np.log(np.exp(flat).sum(1, keepdims=True))

    p, q = log_softmax(targets["decimal"]), log_softmax(outputs["decimal"])
    divergence = (np.exp(p) * (p - q)).mean(1)
    np.testing.assert_allclose(terms["decimal_loss"], 0.1 * divergence[weights > 0].mean(), rtol=1e-4)


def test_labels_may_be_parts_of_the_cell_that_the_network_names():
    """The landmark is at (11.3, 20.1) cells, the network names (10, 20): the nearest of its 8 x 8 parts is (7, 1)."""
    landmarks = points((11.3 / 64, 20.1 / 64))
    named = HeatmapInHeatmap().encode(points((10.5 / 64, 20.5 / 64)))["heatmap"]
    codec = HeatmapInHeatmap(decimal_cell="predicted", decimal_label="hard", decimal_loss="mse", alpha=1.0)
    targets = codec.encode(landmarks)
    label = np.asarray(codec.decimal_target(targets, {"heatmap_1": named}))[0, :, :, 0]
    assert label.sum() == 1 and label[1, 7] == 1
    outputs = {"heatmap_1": named, "decimal": label[None, :, :, None]}
    np.testing.assert_allclose(codec.decode(outputs)[0], points((10.875 / 64, 20.125 / 64)))
    weights = np.ones((1, 1), "float32")
    assert float(codec.loss(targets, outputs, weights)["decimal_loss"]) == 0
    # The paper's label is a part of the landmark's own cell, (11, 20): 0.3 * 8 = 2.4 -> 2.
    paper = HeatmapInHeatmap(decimal_label="hard", decimal_loss="mse", alpha=1.0)
    assert np.asarray(paper.decimal_target(targets, outputs))[0, 1, 2, 0] == 1
    assert float(paper.loss(targets, outputs, weights)["decimal_loss"]) == pytest.approx(2 / 64)  # two of 64 cells are off by 1


def test_loss_without_any_annotated_point_is_zero():
    codec = HeatmapInHeatmap(size=16, decimal_size=4)
    targets = codec.encode(points((0.5, 0.5)))
    outputs = {"heatmap_1": targets["heatmap"] + 1.0, "decimal": targets["decimal"] * 3.0}
    assert all(float(term) == 0 for term in codec.loss(targets, outputs, np.zeros((1, 1), "float32")).values())


def test_plain_heatmap_rounds_to_the_nearest_cell():
    codec = Heatmap(size=64)
    landmarks = points((10.4 / 64, 20.6 / 64), (63.9 / 64, 0.0))
    decoded, _ = codec.decode({"heatmap_1": codec.encode(landmarks)["heatmap"]})
    np.testing.assert_allclose(decoded, [[[10 / 64, 21 / 64], [63 / 64, 0]]])


def test_argmax_takes_the_first_of_equal_maxima():
    cells, scores = argmax_cells(np.zeros((1, 4, 6, 2), "float32"))
    np.testing.assert_array_equal(cells, np.zeros((1, 2, 2)))
    np.testing.assert_array_equal(scores, np.zeros((1, 2)))


def test_soft_argmax_of_a_peak_is_the_centre_of_its_cell():
    maps = np.zeros((1, 8, 8, 1), "float32")
    maps[0, 2, 5, 0] = 100
    np.testing.assert_allclose(soft_argmax(maps, temperature=10.0), [[[5.5 / 8, 2.5 / 8]]], atol=1e-6)
    np.testing.assert_allclose(soft_argmax(np.zeros((1, 8, 8, 1), "float32"), temperature=10.0), [[[0.5, 0.5]]], atol=1e-6)


def test_warm_up_is_zero_where_the_soft_argmax_is_right():
    codec = HeatmapInHeatmap(size=8, decimal_size=4, alpha=0.0)
    maps = np.zeros((1, 8, 8, 1), "float32")
    maps[0, 2, 5, 0] = 100
    outputs = {"heatmap_1": maps, "decimal": np.zeros((1, 4, 4, 1), "float32")}
    right = codec.warmup_loss(points((5.5 / 8, 2.5 / 8)), outputs, np.ones((1, 1), "float32"))
    wrong = codec.warmup_loss(points((6.5 / 8, 0.5 / 8)), outputs, np.ones((1, 1), "float32"))
    assert float(right["coordinate_loss"]) == pytest.approx(0, abs=1e-6)
    assert float(wrong["coordinate_loss"]) == pytest.approx(0.1 * 3 / 8, abs=1e-5)


@pytest.mark.parametrize("setting", [{"decimal_label": "firm"}, {"decimal_loss": "l3"}, {"decimal_cell": "next"}])
def test_unknown_settings_are_refused(setting):
    with pytest.raises(ValueError, match=next(iter(setting))):
        HeatmapInHeatmap(**setting)


def test_argmax_finds_every_cell_and_survives_nan():
    maps = np.zeros((1, 5, 7, 36), "float32")
    maps.reshape(35, 36)[np.arange(35), np.arange(35)] = 1
    maps[..., 35] = np.nan
    cells, _ = argmax_cells(maps)
    rows, columns = np.divmod(np.arange(35), 7)
    np.testing.assert_array_equal(np.asarray(cells)[0, :35], np.stack([columns, rows], -1))
    assert (np.asarray(cells)[0, 35] <= (6, 4)).all() and (np.asarray(cells)[0, 35] >= 0).all()
