"""Ways to place and to read a heatmap's peak, on networks trained alike.

("Subpixel Heatmap Regression", Tables 1 to 3; HIH, Table V.)

    python benchmarks/heatmap_readers.py --data-dir YTF68 --every 3             # minutes a network on a CPU
    python benchmarks/heatmap_readers.py --data-dir YTF68 --only continuous     # one network, read in every way
    python benchmarks/heatmap_readers.py --data-dir YTF68 --every 3 --only "global soft-argmax" "continuous, twice the steps"
    python benchmarks/heatmap_readers.py --data-dir 300W --width 256 --input-size 256 --epochs 50 --drops 25 40 \\
        --learning-rate 1e-4

Every network is trained by the same crops, views, epochs, optimiser and warm-up; of FAN (one stack) only the encoding
differs, of HIH's hourglass only the head. Siamese training shows each crop twice a step and so costs twice as much;
"continuous, twice the steps" costs as much without it. "global soft-argmax" is the paper's baseline: all its epochs are under
the L1 loss of the coordinates that the soft-argmax of the whole map gives, which is the warm-up's loss. A plain heatmap is then
read by every decoder, from the same trained network. Runs are kept in runs/readers and go on where they were stopped.
"""

import argparse
import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

import kfacealign as kfa
from kfacealign.codecs.decoders import NAMES, with_decoder
from kfacealign.evaluation.reports import heading, shown
from kfacealign.models.complexity import trainable_parameters

ENLARGE = 1.08
COLUMNS = ("nme", "fr@10", "auc@10", "point_variance")
# Few epochs cannot overfit: gentler views let short runs get further.
VIEWS = {"translation": 8 / 256, "rotation": 10.0, "occlusion_probability": 0.1, "blur_probability": 0.0}


@dataclasses.dataclass
class Row:
    """What is trained: a function that makes the model, and what its training has of its own."""

    build: Callable
    siamese: bool = False
    warmup_only: bool = False
    times: int = 1  # as many epochs as the others


def networks(scheme, arguments):
    """Name of a network -> row."""
    common = {"input_size": arguments.input_size, "width": arguments.width, "stacks": 1, "enlarge": ENLARGE}
    fan = functools.partial(kfa.models.FAN, scheme, **common)
    hourglass = functools.partial(kfa.models.Hourglass, scheme, **common)
    decimals = {"decimal_size": arguments.decimal_size, "decimal_width": int(1.5 * arguments.width), "alpha": 1.0}
    corrected = {"encoding": "round", "offset_weight": arguments.offset_weight}
    return {
        "rounded": Row(functools.partial(fan, encoding="round", decoder="argmax")),
        "static correction": Row(functools.partial(fan, correction="static", **corrected)),
        "dynamic correction": Row(functools.partial(fan, correction="dynamic", **corrected)),
        "continuous": Row(fan),
        "continuous, siamese": Row(fan, siamese=True),
        "continuous, twice the steps": Row(fan, times=2),
        "global soft-argmax": Row(fan, warmup_only=True),
        "hourglass": Row(hourglass),
        "WOV": Row(functools.partial(hourglass, offset="value", offset_width=int(1.5 * arguments.width))),
        "WOM": Row(functools.partial(hourglass, offset="map", offset_width=arguments.width // 2)),
        "HIH": Row(functools.partial(kfa.models.HIH, scheme, **common, **decimals)),
    }


def settings_of(arguments, name, row, seed):
    """What a recipe's command line would have given."""
    epochs = row.times * arguments.epochs
    return argparse.Namespace(
        variant=name,
        input_size=arguments.input_size,
        epochs=epochs,
        warmup_epochs=epochs if row.warmup_only else row.times * arguments.warmup_epochs,
        batch_size=arguments.batch_size,
        learning_rate=arguments.learning_rate,
        drops=[row.times * epoch for epoch in arguments.drops],
        seed=seed,
        out=str(Path(arguments.out) / f"{name.replace(', ', '_').replace(' ', '_').replace('-', '_').lower()}_{seed}"),
        resume=True,
        precision="float32",
        strict=False,
        cache="memory",
    )


def train(row, faces, settings):
    """The trained or read model."""
    views = kfa.data.RandomView.subpixel(faces.scheme, **VIEWS)
    if row.siamese:
        wrap = functools.partial(kfa.training.Siamese, views=views)
        return kfa.training.run(row.build, faces, None, settings, wrap=wrap)[0]
    return kfa.training.run(row.build, faces, views, settings)[0]


def readers(codec):
    """Name of a way to read the codec's maps -> codec that does."""
    if "decoder" not in codec.get_config():
        return {"its own": codec}
    found = {name: with_decoder(codec, name) for name in NAMES if name != "local"}
    return {**found, **{f"local {n}x{n}": with_decoder(codec, "local", window=n) for n in (3, 5, 7)}}


def read(model, codec, crops, normalizer):
    """The report of a model whose maps are read by another codec."""
    aligner = kfa.models.FaceAligner(model.network, codec, model.scheme, enlarge=model.enlarge)
    return kfa.evaluation.evaluate(aligner, crops, normalizer=normalizer)


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", required=True, help="a folder of images with .pts files")
    parser.add_argument("--scheme", default="ibug68")
    parser.add_argument("--normalizer", help="what errors are divided by (default: the scheme's)")
    parser.add_argument("--only", nargs="+", help="some of the networks, as the table names them")
    parser.add_argument("--every", type=int, default=1, help="take every Nth training face; YTF68 holds clips of three frames")
    parser.add_argument("--width", type=int, default=64, help="channels of the trunk; the papers' are 256")
    parser.add_argument("--decimal-size", type=int, default=4, help="side of HIH's decimal maps; the paper's are 8")
    parser.add_argument("--offset-weight", type=float, default=1e-3, help="of FAN's corrections (default %(default)s)")
    parser.add_argument("--input-size", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--warmup-epochs", type=int, default=5)
    parser.add_argument("--drops", type=int, nargs="*", default=[9, 11])
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--out", default="runs/readers")
    return parser.parse_args()


def main():
    arguments = parse()
    faces = kfa.data.pts(arguments.data_dir, scheme=arguments.scheme)
    faces.train = faces.train[:: arguments.every]
    normalizer = arguments.normalizer or faces.normalizer
    crops = kfa.data.Crops(faces.test, arguments.input_size, enlarge=ENLARGE)
    title = f"{faces.name}, {normalizer.replace('_', '-')} errors in percent"
    table = Table("network", "read by", "seed", "parameters (M)", *map(heading, COLUMNS), title=title)
    for name, row in networks(faces.scheme, arguments).items():
        for seed in arguments.seeds if name in (arguments.only or [name]) else []:
            model = train(row, faces, settings_of(arguments, name, row, seed))
            size = f"{trainable_parameters(model) / 1e6:.2f}"
            for reader, codec in readers(model.codec).items():
                figures = read(model, codec, crops, normalizer).rows()["full"]
                table.add_row(name, reader, str(seed), size, *(shown(column, figures[column]) for column in COLUMNS))
    Console().print(table)


if __name__ == "__main__":
    main()
