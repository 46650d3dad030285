import numpy as np
import pytest

from kfacealign.conversions import convert
from kfacealign.data import wflw, wflw68, write_wflw


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_wflw(tmp_path_factory.mktemp("data") / "wflw", train=2, test=2, size=64, progress=False)


def test_converted_and_lowered(root):
    whole, dataset = wflw(root), wflw68(root)
    assert (dataset.name, dataset.scheme.name, list(dataset.subsets)) == ("wflw68", "ibug68", list(whole.subsets))
    np.testing.assert_array_equal(dataset.test.landmarks, convert(whole.test, "ibug68").landmarks)
    height = whole.test.boxes[:, 3] - whole.test.boxes[:, 1]
    np.testing.assert_allclose(dataset.test.boxes[:, 1], whole.test.boxes[:, 1] + 0.2 * height, rtol=1e-6)
    np.testing.assert_array_equal(dataset.test.boxes[:, [0, 2, 3]], whole.test.boxes[:, [0, 2, 3]])
    np.testing.assert_array_equal(wflw68(root, lowered=0).train.boxes, whole.train.boxes)


def test_errors(root):
    with pytest.raises(ValueError, match=r"lowered is 1.5"):
        wflw68(root, lowered=1.5)
    with pytest.raises(ValueError, match="train 2, expected 7,500"):
        wflw68(root, strict=True)
