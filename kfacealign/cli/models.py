"""`kfacealign models`: parameters, and multiply-adds or megabytes, of the models, beside those of the papers."""

import math
from dataclasses import dataclass

from rich.console import Console
from rich.progress import track
from rich.table import Table

from kfacealign import schemes
from kfacealign.models.complexity import multiply_adds, trainable_parameters
from kfacealign.models.coordnet import CoordNet
from kfacealign.models.heatmap1d import AttentiveHeatmap1D, Heatmap2D
from kfacealign.models.hih import HIH
from kfacealign.models.lotr import CNNFFN, LOTR
from kfacealign.models.mapnet import MapNet
from kfacealign.models.pipnet import PIPNet
from kfacealign.quiet import quiet

MODELS = {
    "pipnet": PIPNet,
    "coordnet": CoordNet,
    "mapnet": MapNet,
    "hih": HIH,
    "heatmap1d": AttentiveHeatmap1D,
    "heatmap2d": Heatmap2D,
}

NOTES = {
    "coordnet": "CoordNet: the paper's parameters are those of 98 landmarks.",
    "mapnet": "MapNet: at stride 2; the paper's GFLOPs leave out the transposed convolutions.",
}


@dataclass(frozen=True)
class Row:
    """A row of a paper's table.

    Attributes:
        model: key of `MODELS`. network: what the row calls it.
        scheme: the landmarks at which the published number of parameters holds.
        parameters: published, millions, with the digits printed. gflops: likewise, billions.
        settings: arguments of the model.
    """

    model: str
    network: str
    scheme: str
    parameters: str
    gflops: str
    settings: dict


# PIPNet's Table 9 and HIH's Table I.
ROWS = (
    Row("pipnet", "MobileNetV2", "ibug68", "4.2", "0.5", {"backbone": "mobilenet_v2"}),
    Row("pipnet", "MobileNetV3", "ibug68", "4.5", "0.4", {"backbone": "mobilenet_v3_large"}),
    Row("pipnet", "ResNet-18", "ibug68", "12.0", "2.4", {"backbone": "resnet18"}),
    Row("pipnet", "ResNet-50", "ibug68", "26.7", "5.6", {"backbone": "resnet50"}),
    Row("pipnet", "ResNet-101", "ibug68", "45.7", "10.5", {"backbone": "resnet101"}),
    Row("coordnet", "ResNet-18", "wflw98", "28.3", "2.4", {"backbone": "resnet18"}),
    Row("coordnet", "ResNet-50", "wflw98", "91.0", "5.5", {"backbone": "resnet50"}),
    Row("coordnet", "ResNet-101", "wflw98", "110.0", "10.4", {"backbone": "resnet101"}),
    Row("mapnet", "ResNet-18", "ibug68", "28", "3.0", {"backbone": "resnet18", "stride": 2}),
    Row("mapnet", "ResNet-50", "ibug68", "52.9", "6.0", {"backbone": "resnet50", "stride": 2}),
    Row("mapnet", "ResNet-101", "ibug68", "71.9", "10.9", {"backbone": "resnet101", "stride": 2}),
    Row("hih", "1 hourglass", "wflw98", "10.37", "6.99", {"stacks": 1}),
    Row("hih", "2 hourglasses", "wflw98", "14.47", "10.38", {"stacks": 2}),
    Row("hih", "4 hourglasses", "wflw98", "22.68", "17.15", {"stacks": 4}),
)


@dataclass(frozen=True)
class LOTRRow:
    """A row of LOTR's Table 3, which counts other things than the others do.

    Attributes:
        model: class. network: what the table calls it.
        parameters: published, millions. megabytes: likewise, of 2^20 bytes.
        settings: arguments of the model.
    """

    model: type
    network: str
    parameters: str
    megabytes: str
    settings: dict


LOTR_ROWS = (
    LOTRRow(LOTR, "LOTR-M", "2.81", "10.59", {"variant": "m"}),
    LOTRRow(LOTR, "LOTR-M+", "3.71", "14.03", {"variant": "m+"}),
    LOTRRow(LOTR, "LOTR-R+", "25.21", "95.97", {"variant": "r+"}),
    LOTRRow(CNNFFN, "CNN + FFN, MobileNetV2", "3.89", "14.71", {"backbone": "mobilenet_v2"}),
    LOTRRow(CNNFFN, "CNN + FFN, ResNet-50", "25.24", "96.09", {"backbone": "resnet50"}),
)

# The detectors of Table 1 of the attentive 1D heatmaps, whose paper gives no sizes.
HEATMAP_ROWS = (
    Row("heatmap1d", "L = 64", "ibug68", "-", "-", {"resolution": 64}),
    Row("heatmap1d", "L = 768", "ibug68", "-", "-", {"resolution": 768}),
    Row("heatmap2d", "L = 64", "ibug68", "-", "-", {"resolution": 64}),
    Row("heatmap2d", "L = 128", "ibug68", "-", "-", {"resolution": 128}),
)


DESCRIPTION = (
    "Builds the models with random weights and prints their parameters, and multiply-adds or megabytes, beside the numbers "
    "that the papers give."
)


def add_arguments(parser):
    names = ("pipnet", "coordnet", "mapnet", "hih", "lotr", "heatmap1d")
    parser.add_argument("--model", choices=names, help="only this one (default: all, about a minute)")


def run(arguments):
    console = Console()
    rows = [row for row in ROWS if arguments.model in (None, row.model)]
    if rows:
        sizes = [measure(row) for row in track(rows, "building", console=console, transient=True)]
        console.print(size_table(rows, sizes))
    for model in dict.fromkeys(row.model for row in rows):
        if model in NOTES:
            console.print(NOTES[model])
    if arguments.model in (None, "lotr"):
        sizes = [measure_lotr(row) for row in track(LOTR_ROWS, "building", console=console, transient=True)]
        console.print(lotr_table(sizes))
    if arguments.model in (None, "heatmap1d"):
        sizes = [measure(row) for row in track(HEATMAP_ROWS, "building", console=console, transient=True)]
        console.print(heatmap_table(sizes))
    return 0


def measure(row):
    """Trainable parameters and multiply-adds of a row's model at 256 px, as many as they are."""
    with quiet():  # notices of TensorFlow and KerasHub when they start
        model = MODELS[row.model](row.scheme, **row.settings)
    return trainable_parameters(model), multiply_adds(model.network)


def size_table(rows, sizes):
    """Rows and what `measure` found for each -> the table."""
    table = Table(title="trainable parameters and multiply-adds of a 256 px crop", title_justify="left")
    for name in ("model", "network", "points", "parameters, M", "paper", "GFLOPs", "paper"):
        table.add_column(name, justify="left" if name in ("model", "network") else "right")
    for row, (parameters, operations) in zip(rows, sizes, strict=True):
        table.add_row(
            MODELS[row.model].__name__,
            row.network,
            str(schemes.get(row.scheme).num_points),
            f"{parameters / 1e6:.2f}",
            row.parameters,
            f"{operations / 1e9:.2f}",
            row.gflops,
        )
    return table


def measure_lotr(row):
    """Parameters of a row's model at 192 px and 106 landmarks, batch-norm statistics among them, and the trainable ones."""
    with quiet():
        model = row.model("jd106", **row.settings)
    return model.count_params(), trainable_parameters(model)


def lotr_table(sizes):
    """What `measure_lotr` found for `LOTR_ROWS` -> the table. Megabytes are cut off after two digits, as the paper's."""
    title = "LOTR, 106 points, 192 px crops: parameters with batch-norm statistics, and four bytes of each trainable one"
    table = Table("network", title=title, title_justify="left")
    for name in ("parameters, M", "paper", "MB (2^20 bytes)", "paper"):
        table.add_column(name, justify="right")
    for row, (parameters, trainable) in zip(LOTR_ROWS, sizes, strict=True):
        megabytes = math.floor(100 * 4 * trainable / 2**20) / 100
        table.add_row(row.network, f"{parameters / 1e6:.2f}", row.parameters, f"{megabytes:.2f}", row.megabytes)
    return table


def heatmap_table(sizes):
    """What `measure` found for `HEATMAP_ROWS` -> the table. The co-attention's products are not among the multiply-adds."""
    table = Table(title="1D and 2D heatmaps of 256 px crops, 68 points, 4 hourglasses", title_justify="left")
    for name in ("model", "network", "values of the output", "parameters, M", "GFLOPs"):
        table.add_column(name, justify="left" if name in ("model", "network") else "right")
    for row, (parameters, operations) in zip(HEATMAP_ROWS, sizes, strict=True):
        resolution, points = row.settings["resolution"], schemes.get(row.scheme).num_points
        values = 2 * points * resolution if row.model == "heatmap1d" else points * resolution**2
        sizes_shown = f"{values:,}", f"{parameters / 1e6:.2f}", f"{operations / 1e9:.2f}"
        table.add_row(MODELS[row.model].__name__, row.network, *sizes_shown)
    return table
