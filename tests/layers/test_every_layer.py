"""Every public layer is checked: configuration, saving, mixed precision, gradients."""

import checks
import numpy as np
import pytest

from kfacealign import layers

SMALL = {"layers": 1, "dim": 16, "heads": 4, "feed_forward": 24, "dropout": 0.2}


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


TOKENS = (normal(3, 4, 16), normal(3, 4, 16, seed=1))
# Name -> function that makes the layer, its inputs, and options of the check.
CASES = {
    "AttendedDecimalHead": (
        lambda: layers.AttendedDecimalHead(3, size=4, filters=8, temperature=5.0),
        [normal(2, 8, 8, 4), normal(2, 8, 8, 3, seed=1)],
        {"half": "float32", "call": lambda layer, trunk, maps: layer([trunk, maps])},
    ),
    "CoAttention": (
        lambda: layers.CoAttention(0.3),
        [normal(2, 6, 3, 4), normal(2, 6, 3, 4, seed=1)],
        {"call": lambda layer, x, y: layer([x, y])},
    ),
    "CornerAlignedUpSampling2D": (lambda: layers.CornerAlignedUpSampling2D(3), [normal(1, 4, 4, 2)], {}),
    "DecimalHeatmapHead": (lambda: layers.DecimalHeatmapHead(3, size=4, filters=8), [normal(1, 16, 16, 2)], {"half": "float32"}),
    "GradientReversal": (lambda: layers.GradientReversal(0.5), [normal(2, 3)], {}),
    "LearnedPosition2D": (lambda: layers.LearnedPosition2D(2, 2, dim=16), [TOKENS[0]], {}),
    "LocalSoftArgmax": (
        lambda: layers.LocalSoftArgmax(window=7, temperature=12.0, cell_centre=0.0),
        [normal(2, 9, 9, 3)],
        {"half": "float32"},
    ),
    "OffsetMapHead": (lambda: layers.OffsetMapHead(filters=8), [normal(2, 8, 8, 4)], {"half": "float32"}),
    "OffsetValueHead": (lambda: layers.OffsetValueHead(5, filters=8, size=4), [normal(2, 16, 16, 4)], {"half": "float32"}),
    "PixelInPixelHead": (lambda: layers.PixelInPixelHead(3, 2), [normal(2, 4, 4, 8)], {}),
    "TransformerDecoder": (lambda: layers.TransformerDecoder(5, query_stddev=0.5, **SMALL), TOKENS, {}),
    "TransformerEncoder": (lambda: layers.TransformerEncoder(**SMALL), TOKENS, {}),
}


def test_every_layer_is_here():
    assert set(CASES) == set(layers.__all__)


@pytest.mark.parametrize("name", CASES)
def test_it_is_a_good_layer(name, tmp_path):
    build, inputs, options = CASES[name]
    checks.layer(build, *inputs, folder=tmp_path, **options)
