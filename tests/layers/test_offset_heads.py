import numpy as np
import pytest
from keras import ops

from kfacealign.layers.offset_heads import OffsetMapHead, OffsetValueHead


def test_shapes():
    features = ops.ones((2, 32, 32, 16))
    assert OffsetValueHead(5, filters=8, size=4)(features).shape == (2, 5, 2)
    assert OffsetValueHead(5)(features).shape == (2, 5, 2)
    assert OffsetMapHead(filters=8)(features).shape == (2, 32, 32, 2)


def test_without_filters_it_is_pooling_and_one_product():
    features = np.random.default_rng(0).normal(size=(2, 4, 4, 6)).astype("float32")
    head = OffsetValueHead(3)
    found = head(features)
    kernel, bias = (weight.numpy() for weight in head.trainable_weights)
    np.testing.assert_allclose(found, (features.mean((1, 2)) @ kernel + bias).reshape(2, 3, 2), atol=1e-5)


def test_sides_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="size 8 needs a square input whose side is 8 times 4, 8, 16"):
        OffsetValueHead(5, filters=8, size=8)(ops.ones((1, 16, 16, 4)))
