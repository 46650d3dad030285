"""The five methods trained alike on one pretrained backbone: NME, FR and AUC with bootstrap intervals, parameters, latency.

    python benchmarks/leaderboard.py --data-dir YTF68 --every 3 --people       # some minutes a method and seed on a CPU
    python benchmarks/leaderboard.py --data-dir YTF68 --every 3 --only LOTR PIPNet --seeds 0 1 2
    python benchmarks/leaderboard.py --data-dir YTF68 --every 3 --people --also INFANFACE --out runs/leaderboard_infants
    kfacealign compare runs/leaderboard/*_0                                    # afterwards: pairs of methods, face by face

Alike are faces, crops, views, epochs, batch, optimiser and the weights that EfficientNet-Lite0 begins with; it is the backbone of
PIPNet and LOTR, and the descending half of the others' one hourglass, which is not their papers'. Not alike, and said in the
table: heatmap methods begin with a warm-up of the same length, within the same epochs; PIPNet has cells of 32 px; LOTR has no
dropout and begins with smaller steps towards the points (docs/methods/lotr.md); HIH has the decimal head that learns in short
trainings (docs/methods/hih.md).
This says which method learns most in so few steps at 128 px, not which is best.

Runs are kept in OUT and go on where they were stopped.

Intervals hold 95 % of 10,000 resamples of the test faces; with --people of the people in them, who are named before the last
underscore, as in YTF68, because frames of one person are not independent. Minutes are those of the processor, all cores added.
Latency is the median of the exported float32 files, which take turns.
"""

import argparse
import functools
import inspect
import time
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

import kfacealign as kfa
from kfacealign.cli.arguments import add_from
from kfacealign.cli.main import import_methods
from kfacealign.data.faces import joined
from kfacealign.deploy.measure.benchmark import bench
from kfacealign.evaluation.comparison import bootstrap_interval, people
from kfacealign.models.complexity import trainable_parameters

BACKBONE = "efficientnet_lite0"
# Few epochs cannot overfit: gentler views let short runs get further.
VIEWS = {"translation": 8 / 256, "rotation": 10.0, "occlusion_probability": 0.1, "blur_probability": 0.0}


def methods(scheme, arguments):
    """Name of a row -> (folder, function that makes its model, what its settings say besides, note)."""
    weights = None if arguments.backbone_weights == "none" else arguments.backbone_weights
    sized = {"input_size": arguments.input_size, "enlarge": 1.1, "backbone": BACKBONE, "backbone_weights": weights}
    hourglass = {**sized, "width": arguments.width, "stacks": 1}
    decimals = {"decimal_size": 4, "decimal_width": arguments.width, "decimal_head": "attended", "alpha": 0.5}
    steady = {"dropout": 0.0, "query_stddev": 1.0, "gain": 0.1}
    warm = {"warmup_epochs": arguments.warmup_epochs, "width": arguments.width}
    narrow = f"{arguments.width} channels, {arguments.warmup_epochs} of the epochs as warm-up"
    shared = {"backbone": BACKBONE, "backbone_weights": weights}
    models = kfa.models
    rows = {
        "HIH": (models.HIH, {**hourglass, **decimals}, warm, f"{narrow}; attended decimals"),
        "FAN, subpixel": (models.FAN, hourglass, warm, f"{narrow}; not Siamese"),
        "attentive 1D heatmaps": (models.AttentiveHeatmap1D, hourglass, warm, narrow),
        "PIPNet": (models.PIPNet, {**sized, "stride": 32, "offset_weight": 0.1}, {"stride": 32}, "cells of 32 px"),
        "LOTR": (models.LOTR, {**sized, **steady}, {"loss": "smooth_wing"}, "no dropout"),
    }
    return {
        name: (method.__name__.lower(), functools.partial(method, scheme, **network), {**shared, **settings}, note)
        for name, (method, network, settings, note) in rows.items()
    } | own_methods(scheme, arguments.input_size)


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
        drops=[],
        decay="cosine",
        seed=seed,
        out=str(Path(arguments.out) / f"{folder}_{seed}"),
        resume=True,
        precision="float32",
        strict=False,
        cache="memory",
        **{"warmup_epochs": 0, **changed},
    )


# === Figures ===


def minutes_of(out, spent):
    """The minutes that a training took: those of now, or of the longest run of before where this one only read its model."""
    file = out / "minutes.txt"
    spent = max(spent, float(file.read_text())) if file.exists() else spent
    file.write_text(f"{spent:.3f}")
    return spent


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
    parser.add_argument("--also", nargs="*", default=[], metavar="DIR", help="further folders of images with .pts to train on")
    parser.add_argument("--people", action="store_true", help="resample people, not faces")
    parser.add_argument("--backbone-weights", default="imagenet", help="imagenet (default), none, or a trained model (.keras)")
    parser.add_argument("--width", type=int, default=128, help="channels of the heatmap methods; the papers' are 256")
    parser.add_argument("--input-size", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--warmup-epochs", type=int, default=1)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--threads", type=int, default=2, help="of the latency")
    parser.add_argument("--runs", type=int, default=100, help="of the latency")
    parser.add_argument("--out", default="runs/leaderboard")
    return parser.parse_args(argv)


def leaderboard(arguments):
    """Trains or reads every row; the table."""
    import_methods(arguments.methods)
    faces = kfa.data.pts(arguments.data_dir, scheme="ibug68")
    further = [kfa.data.pts(folder, scheme="ibug68", test_fraction=0).train for folder in arguments.also]
    faces.train = joined([faces.train[:: arguments.every], *further])
    views = kfa.data.RandomView.subpixel(faces.scheme, **VIEWS)
    rows = {}
    for name, (folder, build, changed, note) in methods(faces.scheme, arguments).items():
        for seed in arguments.seeds if name in (arguments.only or [name]) else []:
            settings = settings_of(arguments, folder, changed, seed)
            begun = time.process_time()
            model, report = kfa.training.run(build, faces, views, settings, export=kfa.deploy.export)
            minutes = minutes_of(Path(settings.out), (time.process_time() - begun) / 60)
            size = f"{trainable_parameters(model) / 1e6:.2f}"
            cells = [name, str(seed), *figures(report, arguments.people), size, f"{minutes:.1f}"]
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
    headings = ("method", "seed", "NME", "FR 10 %", "AUC 10 %", "parameters (M)", "CPU min", speed, "note")
    table = Table(*headings, title=title, title_justify="left")
    for (cells, note), cost in zip(rows.values(), costs, strict=True):
        table.add_row(*cells, f"{cost.median:.2f}", note)
    return table


def main():
    table = leaderboard(parse())
    Console(width=None if Console().is_terminal else 200).print(table)  # a file is as wide as the table


if __name__ == "__main__":
    main()
