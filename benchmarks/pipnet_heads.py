"""Detection heads on one backbone: coordinates, heatmaps, PIP, PIP with neighbours (the comparison of PIPNet's Fig. 12).

    python benchmarks/pipnet_heads.py --data-dir YTF68                # minutes a head on a CPU
    python benchmarks/pipnet_heads.py --data-dir YTF68 --strides 16 32 64 128 --backbone efficientnet_lite0 --width 1 --every 3
    python benchmarks/pipnet_heads.py --data-dir 300W --width 1 --input-size 256 --epochs 60 --drops 30 50 --learning-rate 1e-4

Every head is trained alike: the same crops, views, epochs, optimiser and initial backbone. The score map has the 8 x 8
cells of the paper whatever the input size. With --strides the rows are PIP without neighbours at these strides, each with the
paper's weight of the offsets (Table 1); EfficientNet-Lite0 then begins with ImageNet's weights. Runs are kept in runs/heads
and go on where they were stopped.
"""

import argparse
import functools
from pathlib import Path

from rich.console import Console
from rich.table import Table

import kfacealign as kfa
from kfacealign.evaluation.reports import heading, shown

ENLARGE = 1.1
# Few epochs cannot overfit: gentler views let short runs get further.
GENTLE = functools.partial(
    kfa.data.RandomView, translation=8 / 256, rotation=10.0, occlusion_probability=0.1, blur_probability=0.0
)


def heads(scheme, size, width):
    """Head -> (function that makes its model, whether it needs the heatmap warm-up)."""
    common = {"backbone": "resnet18", "backbone_width": width, "input_size": size, "enlarge": ENLARGE}
    # The weight of the offsets belongs to the number of cells: 8 x 8 as at stride 32 of 256 px.
    pip = functools.partial(kfa.models.PIPNet, scheme, stride=size // 8, offset_weight=0.1, **common)
    return {
        "coordinate": (functools.partial(kfa.models.CoordNet, scheme, **common), False),
        "heatmap": (functools.partial(kfa.models.MapNet, scheme, stride=4, width=int(256 * width), **common), True),
        "pip": (functools.partial(pip, neighbors=0), False),
        "pip + neighbours": (functools.partial(pip, neighbors=10), False),
    }


def strides(scheme, arguments):
    """Stride -> (function that makes PIPNet without neighbours at this stride, False)."""
    weights = "imagenet" if arguments.backbone == "efficientnet_lite0" else None
    common = {"backbone": arguments.backbone, "backbone_weights": weights, "backbone_width": arguments.width, "enlarge": ENLARGE}
    pip = functools.partial(kfa.models.PIPNet, scheme, neighbors=0, input_size=arguments.input_size, **common)
    return {f"stride {stride}": (functools.partial(pip, stride=stride), False) for stride in arguments.strides}


def settings_of(arguments, out, warmup, seed):
    """What a recipe's command line would have given."""
    return argparse.Namespace(
        variant=out.name,
        input_size=arguments.input_size,
        epochs=arguments.epochs,
        warmup_epochs=arguments.epochs // 2 if warmup else 0,
        batch_size=16,
        learning_rate=arguments.learning_rate,
        drops=arguments.drops,
        seed=seed,
        out=str(out),
        resume=True,
        precision="float32",
        strict=False,
        cache="memory",
    )


def parse(words=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", required=True, help="a folder of images with .pts files")
    parser.add_argument("--heads", nargs="+", help="some of: coordinate, heatmap, 'pip', 'pip + neighbours'")
    parser.add_argument("--strides", type=int, nargs="+", help="PIP without neighbours at these strides in place of the heads")
    parser.add_argument("--backbone", choices=("resnet18", "efficientnet_lite0"), default="resnet18", help="with --strides")
    parser.add_argument("--every", type=int, default=1, help="take every Nth training face; YTF68 holds clips of three frames")
    parser.add_argument("--width", type=float, default=0.25, help="factor on the backbone's channels")
    parser.add_argument("--input-size", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--drops", type=int, nargs="*", default=[11, 14])
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--out", default="runs/heads")
    return parser.parse_args(words)


def main():
    arguments = parse()
    faces = kfa.data.pts(arguments.data_dir, scheme="ibug68")
    faces.train = faces.train[:: arguments.every]
    columns = ("nme", "fr@10", "auc@10", "point_variance")
    table = Table("head", "seed", "parameters (M)", *map(heading, columns))
    named = strides(faces.scheme, arguments) if arguments.strides else heads(faces.scheme, arguments.input_size, arguments.width)
    for name, (build, warmup) in named.items():
        for seed in arguments.seeds if name in (arguments.heads or [name]) else []:
            out = Path(arguments.out) / f"{name.replace(' + ', '_').replace(' ', '_')}_{seed}"
            model, report = kfa.training.run(build, faces, GENTLE(scheme="ibug68"), settings_of(arguments, out, warmup, seed))
            size = f"{kfa.models.complexity.trainable_parameters(model) / 1e6:.2f}"
            figures = report.rows()["full"]
            table.add_row(name, str(seed), size, *(shown(column, figures[column]) for column in columns))
    Console().print(table)


if __name__ == "__main__":
    main()
