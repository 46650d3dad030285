"""benchmarks/rendered_offsets.py: drawn landmarks laid on mean faces whose offsets are known."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

import kfacealign as kfa

SCHEME = kfa.schemes.get("aflw19")


@pytest.fixture(scope="module")
def script():
    path = Path(__file__).resolve().parents[1] / "benchmarks" / "rendered_offsets.py"
    spec = importlib.util.spec_from_file_location("rendered_offsets", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def shape():
    """Symmetric, with the outer corners of the eyes at (-0.5, 0) and (0.5, 0)."""
    points = SCHEME.mean_shape.astype(float)
    left, right = SCHEME.eye_corners
    return (points - (points[left] + points[right]) / 2) / (points[right, 0] - points[left, 0])


def test_a_mean_face_whose_axes_were_stretched_is_met_and_a_similarity_only_moves(script, shape):
    still = list(range(SCHEME.num_points - 1))
    np.testing.assert_allclose(script.stretched_onto(shape, shape * (1, 0.7) + (3, -2), still), shape * (1, 0.7) + (3, -2))
    turned = shape @ [[0, 2], [-2, 0]] + (5, 1)  # a quarter turn, twice as large
    np.testing.assert_allclose(script.laid_on(shape, turned, still), turned, atol=1e-12)


def test_offsets_are_in_percent_outwards_and_down(script, shape):
    moved, (left, right) = shape.copy(), SCHEME.eye_corners
    moved[left] += (-0.02, 0.01)  # to the left is outwards on the left half
    moved[right] += (-0.02, 0.0)
    found = script.offsets(moved, shape)
    np.testing.assert_allclose(found[[left, right]], [[2, 1], [-2, 0]], atol=1e-9)
    assert np.abs(np.delete(found, [left, right], 0)).max() < 1e-9


def test_a_file_of_a_mean_face_is_read_made_symmetric_and_counted(script, shape, tmp_path):
    crooked = shape.copy()
    crooked[-1, 0] += 0.1  # the chin, which is its own mirror image
    (tmp_path / "mean.txt").write_text(" ".join(f"{value:.6f}" for value in (40 * crooked + 100).ravel()))
    found, count = script.mean_of(tmp_path / "mean.txt", SCHEME)
    assert count is None
    np.testing.assert_allclose(found, shape, atol=1e-5)
    with pytest.raises(SystemExit, match="38 numbers; a mean face of wflw98 has 196"):
        script.mean_of(tmp_path / "mean.txt", kfa.schemes.get("wflw98"))
