"""NRMSE of 1D heatmaps by their resolution and with and without co-attention (the trends of Table 1 and of Fig. 3).

    python benchmarks/heatmap1d_resolution.py --data-dir YTF68                       # for a GPU
    python benchmarks/heatmap1d_resolution.py --data-dir YTF68 --every 3 --width 64 --stacks 1 --input-size 128 \\
        --resolutions 32 96 384 --epochs 8 --drops 6 7 --batch-size 16 --learning-rate 1e-3      # for a CPU
    python benchmarks/heatmap1d_resolution.py --data-dir YTF68 --gammas 0.4 --resolutions 64 128 --two-dimensional

All models are trained alike: the same crops, views, epochs and optimiser, first under the warm-up's loss. L/F is the
resolution over the side of the crop. Errors are in percent of the normaliser. Runs are kept in runs/heatmap1d and go on
where they were stopped.
"""

import argparse
import dataclasses
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

import kfacealign as kfa
from kfacealign.evaluation.reports import shown
from kfacealign.models.complexity import trainable_parameters

# Few epochs cannot overfit: gentler views let short runs get further.
VIEWS = {"translation": 8 / 256, "rotation": 10.0, "occlusion_probability": 0.1, "blur_probability": 0.0}


def models(scheme, arguments):
    """Name of a run -> its row's first cells and the function that makes its model."""
    size = {"stacks": arguments.stacks, "width": arguments.width, "input_size": arguments.input_size}
    found = {}
    for resolution in arguments.resolutions:
        for gamma in arguments.gammas:

            def build(resolution=resolution, gamma=gamma):
                chosen = {"gamma": gamma, "sigma": arguments.sigma, "decoder": arguments.decoder}
                return kfa.models.AttentiveHeatmap1D(scheme, resolution=resolution, **chosen, **size)

            found[f"1d_{resolution}_{gamma:g}"] = ("1D", resolution, f"{gamma:g}"), build
        if arguments.two_dimensional:

            def build_2d(resolution=resolution):
                chosen = {"sigma": arguments.sigma, "decoder": arguments.decoder}
                return kfa.models.Heatmap2D(scheme, resolution=resolution, **chosen, **size)

            found[f"2d_{resolution}"] = ("2D", resolution, ""), build_2d
    return found


def settings_of(arguments, name, seed):
    """What a recipe's command line would have given."""
    return argparse.Namespace(
        variant=f"{name}_width{arguments.width}_stacks{arguments.stacks}_{arguments.decoder}_sigma{arguments.sigma}",
        input_size=arguments.input_size,
        epochs=arguments.epochs,
        warmup_epochs=arguments.warmup_epochs,
        batch_size=arguments.batch_size,
        learning_rate=arguments.learning_rate,
        drops=arguments.drops,
        seed=seed,
        out=str(Path(arguments.out) / f"{name}_{seed}"),
        resume=True,
        precision="float32",
        strict=False,
        cache="memory",
    )


def figures(report, faces):
    """NRMSE and NME of a report's faces that count, in percent."""
    found = kfa.metrics.nrmse(
        faces.test.landmarks, report.predicted, faces.scheme, name=report.normalizer, weights=report.weights
    )
    return float(np.mean(np.asarray(found)[report.counted])), report.summary()["nme"]


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", required=True, help="a folder of images with .pts files")
    parser.add_argument("--scheme", default="ibug68")
    parser.add_argument("--normalizer", help="by default the scheme's")
    parser.add_argument("--every", type=int, default=1, help="train on every Nth face (default all)")
    parser.add_argument("--resolutions", type=int, nargs="+", default=[64, 128, 256, 384, 512, 768])
    parser.add_argument("--gammas", type=float, nargs="+", default=[0.0, 0.4])
    parser.add_argument("--two-dimensional", action="store_true", help="2D heatmaps of every resolution, too")
    parser.add_argument("--stacks", type=int, default=4)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--input-size", type=int, default=256)
    parser.add_argument("--sigma", type=float, help="in bins; by default one position of the features")
    parser.add_argument("--decoder", choices=("argmax", "local"), default="argmax")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--warmup-epochs", type=int, default=4)
    parser.add_argument("--drops", type=int, nargs="*", default=[30, 36])
    parser.add_argument("--batch-size", type=int, default=10)
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--out", default="runs/heatmap1d")
    return parser.parse_args()


def main():
    arguments = parse()
    faces = kfa.data.pts(arguments.data_dir, scheme=arguments.scheme)
    normalizer = arguments.normalizer or faces.normalizer
    faces = dataclasses.replace(faces, train=faces.train[:: arguments.every], normalizer=normalizer)
    views = kfa.data.RandomView.subpixel(faces.scheme, **VIEWS)
    title = f"{faces.name}, {len(faces.train):,} training faces, {normalizer.replace('_', '-')} errors in percent"
    table = Table("heatmaps", "L", "L/F", "gamma", "seed", "parameters (M)", "NRMSE", "NME", title=title)
    for name, ((kind, resolution, gamma), build) in models(faces.scheme, arguments).items():
        for seed in arguments.seeds:
            model, report = kfa.training.run(build, faces, views, settings_of(arguments, name, seed))
            cells = (kind, str(resolution), f"{resolution / arguments.input_size:.2f}", gamma, str(seed))
            size = f"{trainable_parameters(model) / 1e6:.2f}"
            table.add_row(*cells, size, *(shown("nme", figure) for figure in figures(report, faces)))
    Console().print(table)


if __name__ == "__main__":
    main()
