"""Every public codec is checked: configuration, losses, decoding, and points without annotation, which do not count."""

import checks
import numpy as np
import pytest

from kfacealign import codecs
from kfacealign.losses import SmoothWing

ABSTRACT = {"Codec", "HeatmapCodec"}
NEIGHBORS = [[1, 2], [0, 2], [1, 3], [2, 4], [3, 2]]


def maps(*names, shape=(8, 8, 5)):
    return {name: np.random.default_rng(i).uniform(0, 1, (2, *shape)).astype("float32") for i, name in enumerate(names)}


STACKS = maps("heatmap_1", "heatmap_2")
CELLS = {"cells": np.random.default_rng(9).integers(0, 8, (2, 5, 2)).astype("float32")}
# Name -> the codec and the outputs of a network that it reads.
CASES = {
    "ContinuousHeatmap": (codecs.ContinuousHeatmap(8, 1.5, decoder="dark", window=5, temperature=12.0), STACKS),
    "Coordinates": (codecs.Coordinates(SmoothWing(w=5.0, t=0.1), pixels=128), maps("landmarks", shape=(5, 2))),
    "Heatmap": (codecs.Heatmap(8, 1.0, decoder="local", quantize="floor", window=7, temperature=12.0), STACKS),
    "Heatmap1D": (
        codecs.Heatmap1D(16, sigma=2.0, decoder="local", window=9, temperature=5.0),
        maps("heatmap_x", "heatmap_y", shape=(16, 5)),
    ),
    "HeatmapInHeatmap": (
        codecs.HeatmapInHeatmap(
            size=8, decimal_size=4, sigma=1.0, alpha=0.2, decimal_label="hard", decimal_loss="mse", decimal_cell="predicted"
        ),
        STACKS | maps("decimal", shape=(4, 4, 5)),
    ),
    "OffsetMap": (
        codecs.OffsetMap(8, 1.0, alpha=0.2, quantize="round", offset_loss="l2"),
        STACKS | maps("offset_map", shape=(8, 8, 2)),
    ),
    "OffsetValue": (
        codecs.OffsetValue(8, 1.0, alpha=0.2, quantize="round", ground_truth="dynamic", offset_loss="l2"),
        STACKS | maps("offset", shape=(5, 2)),
    ),
    "PixelInPixel": (
        codecs.PixelInPixel(NEIGHBORS, size=8, offset_weight=0.25, repeated_votes=True),
        maps("score") | maps("x", "y", "scores", shape=(5,)) | maps("neighbor_x", "neighbor_y", shape=(5, 2)) | CELLS,
    ),
}


def test_every_codec_is_here():
    assert set(CASES) | ABSTRACT == set(codecs.__all__)


@pytest.mark.parametrize("name", CASES)
def test_it_is_a_good_codec(name):
    checks.codec(*CASES[name])
