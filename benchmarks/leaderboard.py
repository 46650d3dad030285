"""The five methods trained alike: NME, FR and AUC with bootstrap intervals, parameters, latency.

    python benchmarks/leaderboard.py --data-dir YTF68 --every 3 --people      # about a quarter of an hour a method on a CPU
    python benchmarks/leaderboard.py --data-dir YTF68 --every 3 --only 'LOTR-M' 'PIPNet MobileNetV2'
    kfacealign compare runs/leaderboard/*_0                                   # afterwards: pairs of methods, face by face

Alike are faces, views, epochs, batch, optimiser and seed. Not alike, and said in the table: heatmap methods begin with a
warm-up of the same length, within the same epochs; PIPNet and LOTR on MobileNetV2 begin with one backbone, that of a
PIPNet trained on rendered faces (runs/lotr/backbone, trained first where it is missing); PIPNet on MobileNetV2 has cells of
32 px, since those of 16 would cost more than the rest of it; LOTR has no dropout, which needs more steps than these; crops are
as tight as each method's own (column `crop`, the crop's side over the landmarks' box), and a tighter crop shows more of the
face's pixels.
Widths are what a CPU trains: this says which method learns most in so few steps at 128 px, not which is best.

Runs are kept in OUT and go on where they were stopped.

Intervals hold 95 % of 10,000 resamples of the test faces; with --people of the people in them, who are named before the last
underscore, as in YTF68, because frames of one person are not independent. Latency is the median of the exported
float32 files, which take turns.
"""

import argparse
import functools
import inspect
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

import kfacealign as kfa
from kfacealign.cli.arguments import add_from
from kfacealign.cli.main import import_methods
from kfacealign.deploy.measure.benchmark import bench
from kfacealign.evaluation.comparison import bootstrap_interval, people
from kfacealign.models.complexity import trainable_parameters

BACKBONE = "runs/lotr/backbone/model.keras"
# Few epochs cannot overfit: gentler views let short runs get further.
VIEWS = {"translation": 8 / 256, "rotation": 10.0, "occlusion_probability": 0.1, "blur_probability": 0.0}


def methods(scheme, arguments):
    """Name of a row -> (folder, function that makes its model, what its settings say besides, note)."""
    size, width = arguments.input_size, arguments.width
    common = {"input_size": size, "width": width, "stacks": 1}
    tight = {**common, "enlarge": 1.08}
    decimals = {"decimal_size": 4, "decimal_width": int(1.5 * width), "alpha": 1.0}
    heatmap = {"warmup_epochs": arguments.warmup_epochs}
    shared = {"backbone_weights": arguments.backbone_weights}
    resolution = 3 * size
    narrow = f"{width} channels, one stack, warm-up of {arguments.warmup_epochs} epochs"
    begun = "backbone trained on rendered faces" if arguments.backbone_weights else "random weights"
    pipnet = functools.partial(kfa.models.PIPNet, scheme, offset_weight=0.1, input_size=size, enlarge=1.1)
    return {
        "HIH": ("hih", functools.partial(kfa.models.HIH, scheme, **tight, **decimals), {"variant": "HIH", **heatmap}, narrow),
        "PIPNet MobileNetV2": (
            "pipnet_mobilenet_v2",
            functools.partial(pipnet, backbone="mobilenet_v2", stride=32, **shared),
            {"variant": "pipnet", "backbone": "mobilenet_v2", "stride": 32, "neighbors": 10, **shared},
            f"{begun}; cells of 32 px",
        ),
        "PIPNet ResNet-18": (
            "pipnet_resnet18",
            functools.partial(pipnet, backbone="resnet18", stride=16, backbone_width=0.25),
            {"variant": "pipnet", "backbone": "resnet18", "stride": 16, "neighbors": 10, "backbone_weights": None},
            "a quarter of the channels, random weights",
        ),
        "LOTR-M": (
            "lotr_m",
            functools.partial(kfa.models.LOTR, scheme, dropout=0.0, query_stddev=1.0, input_size=size, **shared),
            {"variant": "m_dropout0", "loss": "smooth_wing", **shared},
            f"{begun}; no dropout",
        ),
        "FAN, subpixel": (
            "fan",
            functools.partial(kfa.models.FAN, scheme, **tight),
            {"variant": "continuous", **heatmap},
            f"{narrow}; not Siamese",
        ),
        "attentive 1D heatmaps": (
            "heatmap1d",
            functools.partial(kfa.models.AttentiveHeatmap1D, scheme, resolution=resolution, gamma=0.4, **common),
            {"variant": f"1d_{resolution}_0.4_width{width}_stacks1_argmax_sigmaNone", **heatmap},
            narrow,
        ),
        **own_methods(scheme, size),
    }


def own_methods(scheme, size):
    """As `methods`, of those that --from imported: their networks as they are, crops of `size` where they take a size."""
    found = {}
    for method in filter(kfa.models.variants.foreign, kfa.models.methods().values()):
        sized = {"input_size": size} if "input_size" in inspect.signature(method).parameters else {}
        for variant in kfa.models.variants_of(method):
            folder = "_".join([method.__name__.lower(), *map(str, variant.settings.values())])
            build = functools.partial(method, scheme, **{**sized, **variant.settings})
            name = f"{method.__name__} {variant.name}"
            found[name] = (folder, build, {"variant": folder}, f"of {method.__module__}")
    return found


def settings_of(arguments, folder, changed, seed):
    """What a recipe's command line would have given."""
    return argparse.Namespace(
        input_size=arguments.input_size,
        epochs=arguments.epochs,
        batch_size=arguments.batch_size,
        learning_rate=arguments.learning_rate,
        drops=arguments.drops,
        seed=seed,
        out=str(Path(arguments.out) / f"{folder}_{seed}"),
        resume=True,
        precision="float32",
        strict=False,
        cache="memory",
        **{"warmup_epochs": 0, **changed},
    )


def trained_backbone(arguments):
    """The path of `--backbone-weights`, or None; the default is trained where it is not there."""
    weights = arguments.backbone_weights
    if weights == "none":
        return None
    if weights == BACKBONE and not Path(weights).exists():
        from lotr_losses import pretrained_backbone  # beside this script

        options = {"variant": "m", "out": "runs/lotr", "rendered": "data/synthetic68", "align": "box", "optimizer": "adam"}
        options = argparse.Namespace(**{**vars(arguments), **options, "backbone_weights": None})
        pretrained_backbone(options, kfa.schemes.get("ibug68"))
    return weights


# === Figures ===


def figures(report, by_people):
    """NME, FR 10 % and AUC 10 % as text, each with its interval; all three are means over faces."""
    errors = report.counted_errors()
    names = [name for name, counted in zip(report.names, report.counted, strict=True) if counted]
    groups = people(names) if by_people else None
    cells = []
    for values, digits in ((errors, 2), (100.0 * (errors > 10), 2), (np.maximum(0, 1 - errors / 10), 3)):
        low, high = bootstrap_interval(values, groups=groups)
        cells.append(f"{values.mean():.{digits}f} ({low:.{digits}f} to {high:.{digits}f})")
    return cells


def parse(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", required=True, help="a folder of images with .pts files, 68 points")
    add_from(parser)
    parser.add_argument("--only", nargs="+", help="some of the rows, as the table names them")
    parser.add_argument("--every", type=int, default=1, help="take every Nth training face; YTF68 holds clips of three frames")
    parser.add_argument("--people", action="store_true", help="resample people, not faces")
    parser.add_argument("--backbone-weights", default=BACKBONE, help="of a MobileNetV2 (.keras), or none (default %(default)s)")
    parser.add_argument("--width", type=int, default=64, help="channels of the heatmap methods; the papers' are 256")
    parser.add_argument("--input-size", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--warmup-epochs", type=int, default=5)
    parser.add_argument("--drops", type=int, nargs="*", default=[9, 11])
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--threads", type=int, default=2, help="of the latency")
    parser.add_argument("--runs", type=int, default=100, help="of the latency")
    parser.add_argument("--out", default="runs/leaderboard")
    return parser.parse_args(argv)


def leaderboard(arguments):
    """Trains or reads every row; the table."""
    import_methods(arguments.methods)
    arguments.backbone_weights = trained_backbone(arguments)
    faces = kfa.data.pts(arguments.data_dir, scheme="ibug68")
    faces.train = faces.train[:: arguments.every]
    views = kfa.data.RandomView.subpixel(faces.scheme, **VIEWS)
    rows = {}
    for name, (folder, build, changed, note) in methods(faces.scheme, arguments).items():
        for seed in arguments.seeds if name in (arguments.only or [name]) else []:
            settings = settings_of(arguments, folder, changed, seed)
            model, report = kfa.training.run(build, faces, views, settings, export=kfa.deploy.export)
            size = f"{trainable_parameters(model) / 1e6:.2f}"
            cells = [name, str(seed), *figures(report, arguments.people), size, f"{model.enlarge:g}"]
            rows[str(Path(settings.out) / "model.tflite")] = cells, note
    if not rows:
        raise SystemExit(f"no row is named so; there are {', '.join(methods(faces.scheme, arguments))}")
    costs = bench(list(rows), threads=(arguments.threads,), runs=arguments.runs)
    resampled = "people" if arguments.people else "faces"
    title = (
        f"{faces.name}: {len(faces.train):,} training and {len(faces.test):,} test faces, {arguments.input_size} px, "
        f"{arguments.epochs} epochs; inter-ocular errors in percent; in brackets 95 % of resamples of the {resampled}"
    )
    speed = f"ms, {arguments.threads} threads"
    headings = ("method", "seed", "NME", "FR 10 %", "AUC 10 %", "parameters (M)", "crop", speed, "note")
    table = Table(*headings, title=title, title_justify="left")
    for (cells, note), cost in zip(rows.values(), costs, strict=True):
        table.add_row(*cells, f"{cost.median:.2f}", note)
    return table


def main():
    table = leaderboard(parse())
    Console(width=None if Console().is_terminal else 200).print(table)  # a file is as wide as the table


if __name__ == "__main__":
    main()
