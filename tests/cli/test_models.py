"""`kfacealign models`: the sizes of the models beside those of the papers."""

import functools
import math
import typing

import pytest

from kfacealign.cli import models as command
from kfacealign.cli.main import main
from kfacealign.models import Variant, backbones, coordnet, lotr, mapnet, pipnet

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
    """(parameters, multiply-adds) of the rows of PIPNet's Table 9 by method and network; each backbone is built once."""
    with pytest.MonkeyPatch.context() as patch:
        built = functools.cache(backbones.backbone)
        for module in (pipnet, coordnet, mapnet):
            patch.setattr(module, "make_backbone", built)
        rows = command.chosen(["PIPNet", "CoordNet", "MapNet"])
        return {Row(method.__name__, variant): command.measure(method, variant)[:2] for method, variant in rows}


@pytest.fixture(scope="module")
def lotr_sizes():
    """(parameters, trainable ones) of LOTR's rows by network; each backbone is built once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lotr, "make_backbone", functools.cache(backbones.backbone))
        rows = command.chosen(["LOTR", "CNNFFN"])
        return {variant: command.measure_megabytes(method, variant) for method, variant in rows}


class Row(typing.NamedTuple):
    """A method's name and one of its variants."""

    model: str
    variant: Variant


def to_the_last_digit(number, published):
    decimals = len(published.partition(".")[2])
    return f"{number:.{decimals}f}" == published


def test_parameters_are_the_papers_to_the_last_digit(sizes):
    wrong = {row: size for row, (size, _) in sizes.items() if not to_the_last_digit(size / 1e6, row.variant.parameters)}
    assert wrong == {} and len(sizes) == 11


def test_pipnets_parameters_exactly(sizes):
    for (model, variant), (parameters, _) in sizes.items():
        if model == "PIPNet":
            assert parameters == BACKBONES[variant.name] + 68 * 23 * (CHANNELS[variant.name] + 1)


def test_gflops_of_pipnet_are_the_papers_to_the_last_digit(sizes):
    found = {row.variant: operations / 1e9 for row, (_, operations) in sizes.items() if row.model == "PIPNet"}
    assert len(found) == 5
    assert {variant.name: size for variant, size in found.items() if not to_the_last_digit(size, variant.gflops)} == {}


def test_gflops_of_mapnet_are_the_papers_and_the_transposed_convolutions(sizes):
    for (model, variant), (_, operations) in sizes.items():
        if model == "MapNet":
            channels = CHANNELS[variant.name]
            transposed = 16 * 512 * (channels * 8**2 + 512 * (16**2 + 32**2 + 64**2))
            assert to_the_last_digit((operations - transposed) / 1e9, variant.gflops)


def test_gflops_of_coordnet_are_the_papers_with_its_dense_layers_twice(sizes):
    for (model, variant), (_, operations) in sizes.items():
        if model == "CoordNet":
            dense = 512 * (64 * CHANNELS[variant.name] + 512 + 2 * 98)
            assert operations / 1e9 == pytest.approx(float(variant.gflops), abs=0.1)
            assert to_the_last_digit((operations + dense) / 1e9, variant.gflops)


def test_sizes_of_lotr_are_the_papers_to_the_last_digit(lotr_sizes, capsys, monkeypatch):
    for variant, (parameters, trainable) in lotr_sizes.items():
        assert to_the_last_digit(parameters / 1e6, variant.parameters)
        assert f"{math.floor(100 * trainable * 4 / 2**20) / 100:.2f}" == variant.megabytes
    monkeypatch.setattr(command, "measure_megabytes", lambda method, variant: lotr_sizes[variant])
    assert main(["models", "--model", "lotr", "CNNFFN"]) == 0
    shown = capsys.readouterr().out
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in shown.splitlines() if "│" in line]
    assert ["LOTR-M+", "3.71", "3.71", "14.03", "14.03"] in cells
    assert ["CNN + FFN, ResNet-50", "25.24", "25.24", "96.09", "96.09"] in cells
    assert len(cells) == 5 and "GFLOPs" not in shown


def test_the_values_of_the_heatmaps_are_those_of_table_1():
    """2 N L in one dimension, N L^2 in two."""
    expected = {"AttentiveHeatmap1D": {"L = 64": 2 * 68 * 64}, "Heatmap2D": {"L = 64": 68 * 64**2, "L = 128": 68 * 128**2}}
    for method, variant in command.chosen(list(expected)):
        if variant.name in expected[method.__name__]:
            assert command.measure(method, variant)[2] == expected[method.__name__][variant.name]


def test_the_command_prints_the_table(capsys, monkeypatch):
    def measured(method, variant):
        return 1_230_000 if variant.settings == {"stacks": 2} else 0, 4_560_000_000, 7_890

    monkeypatch.setattr(command, "measure_megabytes", lambda method, variant: (0, 0))
    monkeypatch.setattr(command, "measure", measured)
    assert main(["models", "--model", "hih"]) == 0
    shown = capsys.readouterr().out
    row = next(line for line in shown.splitlines() if "2 hourglasses" in line)
    cells = ["HIH", "2 hourglasses", "98", "1.23", "14.47", "4.56", "10.38"]
    assert [cell.strip() for cell in row.split("│")[1:-1]] == cells
    assert "PIPNet" not in shown and "LOTR" not in shown
    assert main(["models"]) == 0
    shown = capsys.readouterr().out
    names = ("PIPNet", "CoordNet", "MapNet", "HIH", "FAN", "AttentiveHeatmap1D", "Heatmap2D", "LOTR-R+")
    assert all(name in shown for name in (*names, "leave out the transposed convolutions"))
    assert shown.count("ResNet-101") == 3
    assert main(["models", "--model", "HIH", "Unknown"]) == 2
    assert "no method is called Unknown; there are " in capsys.readouterr().err
