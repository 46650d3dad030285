"""benchmarks/model_offsets.py: the part of an error that is the same on every face."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

EYES = (0, 1)


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("model_offsets", Path(__file__).parents[1] / "benchmarks/model_offsets.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_frame_of_eyes_that_look_up_the_image(script):
    """Eyes 20 apart, one above the other: "along" is down the image, "across" is to its left."""
    points = np.array([[[50.0, 10.0], [50.0, 30.0], [40.0, 20.0]]])
    distance, frame = script.axes(points, EYES)
    assert distance.tolist() == [20.0] and frame[0].tolist() == [[0.0, 1.0], [-1.0, 0.0]]
    # A tenth of 20 across: 2 to the left of what is true, which is taken off again.
    constant = np.array([[0, 0], [0, 0], [0, 0.1]])
    np.testing.assert_allclose(script.without(points, constant, EYES)[0, 2], [42, 20])


def test_an_offset_that_all_faces_share_is_found_and_nothing_else(script):
    """Faces of any size and roll, whose third point is wrong by (0.2, -0.1) of the distance in the frame of their eyes."""
    random = np.random.default_rng(0)
    angles, sizes = random.uniform(-3, 3, 50), random.uniform(5, 90, 50)
    along = np.stack([np.cos(angles), np.sin(angles)], -1) * sizes[:, None]
    across = np.stack([-along[:, 1], along[:, 0]], -1)
    truth = np.stack([0 * along, along, 0.5 * along + 0.7 * across], 1) + random.uniform(0, 100, (50, 1, 2))
    predicted = truth.copy()
    predicted[:, 2] += 0.2 * along - 0.1 * across
    found = script.offsets(predicted, truth, EYES)
    np.testing.assert_allclose(found, [[0, 0], [0, 0], [0.2, -0.1]], atol=1e-12)
    np.testing.assert_allclose(script.without(predicted, found, EYES), truth, atol=1e-9)
