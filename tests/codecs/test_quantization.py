import os
from pathlib import Path

import numpy as np
import pytest

from kfacealign.codecs.quantization import CODECS, quantization_table
from kfacealign.data.readers.csv_lists import read_list


def chosen(*names):
    return {name: CODECS[name] for name in names}


def test_points_a_quarter_of_a_cell_off_the_grid():
    """The box 0..640 gives cells of 11 px from -32 on. A quarter cell is lost by rounding and kept by 4x4 and finer maps."""
    cells = np.random.default_rng(0).integers(3, 61, (5, 68, 2)) + np.array([0.25, 0.0])
    cells[:, 36], cells[:, 45] = (10.25, 30), (46.25, 30)
    landmarks = 11.0 * cells - 32
    landmarks[:, 0], landmarks[:, 1] = (0, 0), (640, 640)
    corners = np.sqrt(2) * (32 / 11 % 1 - 1)
    table = dict(quantization_table(landmarks, "ibug68"))
    assert list(table) == list(CODECS)
    expected = 100 * (66 * 0.25 + 2 * abs(corners)) / 68 / 36
    assert table["heatmap 64x64, rounded"] == pytest.approx(expected, rel=1e-3)
    assert table["heatmap in heatmap 64x64, 8x8"] < 0.02 * expected
    assert table["offset value 64x64"] < 1e-3 * expected
    assert table["continuous 64x64, local"] < 0.03 * expected


@pytest.fixture(scope="module")
def challenging():
    folder = Path(os.environ["KFACEALIGN_DATA"]) / "annotations" / "300w"
    return read_list(folder / "face_landmarks_300w_valid_challenge.csv").landmarks


@pytest.mark.skipif("KFACEALIGN_DATA" not in os.environ, reason="needs the 300W annotations")
def test_300w_has_the_errors_and_ratios_of_the_paper():
    """1.111 % on 300W (Sec. IV-B); Table IX's ideal column 1.285 : 0.420 : 0.182 : 0.091 on WFLW."""
    names = ["heatmap 64x64, rounded", *(f"heatmap in heatmap 64x64, {size}" for size in ("4x4", "8x8", "16x16"))]
    folder = Path(os.environ["KFACEALIGN_DATA"]) / "annotations" / "300w"
    landmarks = read_list(folder / "face_landmarks_300w_valid.csv").landmarks[::3]
    plain, four, eight, sixteen = (error for _, error in quantization_table(landmarks, "ibug68", codecs=chosen(*names)))
    assert plain == pytest.approx(1.10, abs=0.02)
    assert plain / four == pytest.approx(1.285 / 0.420, rel=0.05)
    assert plain / eight == pytest.approx(1.285 / 0.182, rel=0.05)
    assert plain / sixteen == pytest.approx(1.285 / 0.091, rel=0.06)


@pytest.mark.skipif("KFACEALIGN_DATA" not in os.environ, reason="needs the 300W annotations")
def test_continuous_heatmaps_lose_next_to_nothing(challenging):
    """Figure 3's claim: at most 0.02 % inter-ocular with a local soft-argmax; the faces of 300W's hardest subset."""
    codecs = chosen("heatmap 64x64, rounded", "continuous 64x64, local", "continuous 64x64, sigma 1, local 5x5")
    rounded, continuous, literal = (error for _, error in quantization_table(challenging, "ibug68", codecs=codecs))
    assert continuous <= 0.02
    assert 0.3 < literal < 0.5 * rounded
