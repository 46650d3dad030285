"""`kfacealign models`: the sizes of the models beside those of the papers."""

import functools
import math

import pytest

from kfacealign.cli import models as command
from kfacealign.cli.main import main
from kfacealign.models import backbones, coordnet, lotr, mapnet, pipnet

# Trainable parameters by hand: the backbone's, then K(3 + 2 * 10) 1x1 convolutions with a bias.
BACKBONES = {
    "MobileNetV2": 2_223_872,
    "MobileNetV3": 2_971_952,
    "ResNet-18": 11_176_512,
    "ResNet-50": 23_508_032,
    "ResNet-101": 42_500_160,
}
CHANNELS = {"MobileNetV2": 1280, "MobileNetV3": 960, "ResNet-18": 512, "ResNet-50": 2048, "ResNet-101": 2048}


@pytest.fixture(scope="module")
def sizes():
    """(parameters, multiply-adds) of the rows but HIH's, which `tests/models/test_hih.py` counts; each backbone is built once."""
    with pytest.MonkeyPatch.context() as patch:
        built = functools.cache(backbones.backbone)
        for module in (pipnet, coordnet, mapnet):
            patch.setattr(module, "make_backbone", built)
        return {row: command.measure(row) for row in command.ROWS if row.model != "hih"}


@pytest.fixture(scope="module")
def lotr_sizes():
    """(parameters, trainable ones) of LOTR's rows; each backbone is built once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lotr, "make_backbone", functools.cache(backbones.backbone))
        return [command.measure_lotr(row) for row in command.LOTR_ROWS]


@pytest.fixture(scope="module", autouse=True)
def hashable_rows():
    """Rows as keys: their settings are a dict."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command.Row, "__hash__", lambda row: hash((row.model, row.network)))
        yield


def to_the_last_digit(number, published):
    decimals = len(published.partition(".")[2])
    return f"{number:.{decimals}f}" == published


def test_parameters_are_the_papers_to_the_last_digit(sizes):
    wrong = {
        (row.model, row.network): size for row, (size, _) in sizes.items() if not to_the_last_digit(size / 1e6, row.parameters)
    }
    assert wrong == {}


def test_pipnets_parameters_exactly(sizes):
    for row, (parameters, _) in sizes.items():
        if row.model == "pipnet":
            assert parameters == BACKBONES[row.network] + 68 * 23 * (CHANNELS[row.network] + 1)


def test_gflops_of_pipnet_are_the_papers_to_the_last_digit(sizes):
    found = {row: operations / 1e9 for row, (_, operations) in sizes.items() if row.model == "pipnet"}
    assert len(found) == 5
    assert {row.network: size for row, size in found.items() if not to_the_last_digit(size, row.gflops)} == {}


def test_gflops_of_mapnet_are_the_papers_and_the_transposed_convolutions(sizes):
    for row, (_, operations) in sizes.items():
        if row.model == "mapnet":
            channels = CHANNELS[row.network]
            transposed = 16 * 512 * (channels * 8**2 + 512 * (16**2 + 32**2 + 64**2))
            assert to_the_last_digit((operations - transposed) / 1e9, row.gflops)


def test_gflops_of_coordnet_are_the_papers_with_its_dense_layers_twice(sizes):
    for row, (_, operations) in sizes.items():
        if row.model == "coordnet":
            dense = 512 * (64 * CHANNELS[row.network] + 512 + 2 * 98)
            assert operations / 1e9 == pytest.approx(float(row.gflops), abs=0.1)
            assert to_the_last_digit((operations + dense) / 1e9, row.gflops)


def test_sizes_of_lotr_are_the_papers_to_the_last_digit(lotr_sizes, capsys, monkeypatch):
    for row, (parameters, trainable) in zip(command.LOTR_ROWS, lotr_sizes, strict=True):
        assert to_the_last_digit(parameters / 1e6, row.parameters)
        assert f"{math.floor(100 * trainable * 4 / 2**20) / 100:.2f}" == row.megabytes
    found = dict(zip((row.network for row in command.LOTR_ROWS), lotr_sizes, strict=True))
    monkeypatch.setattr(command, "measure_lotr", lambda row: found[row.network])
    assert main(["models", "--model", "lotr"]) == 0
    shown = capsys.readouterr().out
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in shown.splitlines() if "│" in line]
    assert ["LOTR-M+", "3.71", "3.71", "14.03", "14.03"] in cells
    assert ["CNN + FFN, ResNet-50", "25.24", "25.24", "96.09", "96.09"] in cells
    assert len(cells) == 5 and "GFLOPs" not in shown


def test_the_command_prints_the_table(capsys, monkeypatch):
    monkeypatch.setattr(command, "measure_lotr", lambda row: (0, 0))
    monkeypatch.setattr(command, "measure", lambda row: (1_230_000 if row.settings == {"stacks": 2} else 0, 4_560_000_000))
    assert main(["models", "--model", "hih"]) == 0
    shown = capsys.readouterr().out
    row = next(line for line in shown.splitlines() if "2 hourglasses" in line)
    assert [cell.strip() for cell in row.split("│")[1:-1]] == ["HIH", "2 hourglasses", "98", "1.23", "14.47", "4.56", "10.38"]
    assert "PIPNet" not in shown and "LOTR" not in shown
    assert main(["models"]) == 0
    shown = capsys.readouterr().out
    assert all(
        name in shown for name in ("PIPNet", "CoordNet", "MapNet", "HIH", "LOTR-R+", "leave out the transposed convolutions")
    )
    assert shown.count("ResNet-101") == 3
