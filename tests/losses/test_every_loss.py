"""Every public loss is checked: configuration, gradient, mixed precision."""

import checks
import numpy as np
import pytest

from kfacealign import losses

CASES = {
    "CoordinateSoftClassification": losses.CoordinateSoftClassification(name="csc"),
    "L1": losses.L1(name="l"),
    "L2": losses.L2(name="l"),
    "SmoothL1": losses.SmoothL1(name="l"),
    "SmoothWing": losses.SmoothWing(5.0, 0.5, t=0.2),
    "Wing": losses.Wing(5.0, 0.5),
}


def test_every_loss_is_here():
    assert set(CASES) == set(losses.__all__)


@pytest.mark.parametrize("name", CASES)
def test_it_is_a_good_loss(name):
    rng = np.random.default_rng(0)
    shape = (2, 4, 4, 3) if name == "CoordinateSoftClassification" else (2, 3, 2)
    truth, predicted = rng.uniform(0, 1, (2, *shape)).astype("float32")
    checks.loss(CASES[name], truth, predicted)
