"""A trained PIPNet on a MobileNet made small: int8 after training and quantisation-aware, half and three quarters pruned.

    python benchmarks/pipnet_qat.py --model runs/lotr/backbone/model.keras --data-dir YTF68 --every 3
    python benchmarks/pipnet_qat.py --model MODEL.keras --data-dir YTF68 --sparsities 0.5 0.75 0.9 --epochs 10 --pruning-epochs 30

A table of the test error of every LiteRT file, its size as it is and zipped, and its latency on one and two threads: medians
of runs in which the files take turns, and the ratio to the first file. Trainings are kept in runs/qat and go on where they
were stopped; with other settings name another --out. The first two rows are the model as it was, without fine-tuning.
"""

import argparse
import dataclasses
import json
from pathlib import Path

from rich.console import Console
from rich.table import Table

import kfacealign as kfa
from kfacealign.deploy.compression import tuning
from kfacealign.deploy.compression.pruning import zipped_size
from kfacealign.deploy.measure import benchmark
from kfacealign.files import replacing

THREADS = (1, 2)
# Few epochs cannot overfit: gentler views let short runs get further.
VIEWS = {"translation": 8 / 256, "rotation": 10.0, "occlusion_probability": 0.1, "blur_probability": 0.0}


def settings_of(arguments, sparsity, out):
    """What the recipe's command line would have given."""
    rate, epochs = (arguments.pruning_rate, arguments.pruning_epochs) if sparsity else (arguments.learning_rate, arguments.epochs)
    return argparse.Namespace(
        model=arguments.model,
        sparsity=sparsity,
        epochs=epochs,
        drops=[max(1, round(0.8 * epochs))],
        batch_size=16,
        learning_rate=rate,
        seed=arguments.seed,
        out=str(out),
        resume=True,
        strict=False,
        cache="memory",
    )


def errors(arguments, sparsity, faces, out):
    """File -> NME in percent, of a run that is finished, or is finished now."""
    settings = settings_of(arguments, sparsity, out)
    asked = {name: value for name, value in vars(settings).items() if name not in ("resume", "out", "cache", "strict")}
    asked["training faces"] = len(faces.train)
    path = out / "errors.json"
    if path.exists():
        found = json.loads(path.read_text())
        if found["settings"] != asked:
            raise ValueError(f"{out} holds a run of other settings ({found['settings']}): name another directory with --out")
        return found["nme"]
    reports = tuning.tune(settings, faces, kfa.data.RandomView(scheme=faces.scheme.name, **VIEWS), baseline=not sparsity)
    found = {name: float(report.rows()["full"]["nme"]) for name, report in reports.items()}
    with replacing(path) as temporary:
        temporary.write_text(json.dumps({"settings": asked, "nme": found}, indent=1))
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="a trained PIPNet (.keras) of the scheme ibug68")
    parser.add_argument("--data-dir", required=True, help="a folder of images with .pts files, such as ytf68")
    parser.add_argument("--sparsities", type=float, nargs="*", default=[0.5, 0.75])
    parser.add_argument("--epochs", type=int, default=3, help="of quantisation-aware training")
    parser.add_argument("--pruning-epochs", type=int, default=8)
    parser.add_argument("--learning-rate", type=float, default=1e-4, help="of quantisation-aware training")
    parser.add_argument("--pruning-rate", type=float, default=5e-4)
    parser.add_argument("--every", type=int, default=1, help="train on every Nth face (default all)")
    parser.add_argument("--runs", type=int, default=100, help="timed reads of each file")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", default="runs/qat")
    arguments = parser.parse_args()

    faces = kfa.data.pts(arguments.data_dir, scheme="ibug68")
    faces = dataclasses.replace(faces, train=faces.train[:: arguments.every])
    rows = []
    for sparsity in (0.0, *arguments.sparsities):
        out = Path(arguments.out) / tuning.method(sparsity).replace(" ", "_").replace("%", "")
        names = {
            "float32.tflite": "float32",
            "int8.tflite": "int8 after training",
            "model.tflite": f"{tuning.method(sparsity)}, float32",
            "model_int8.tflite": f"{tuning.method(sparsity)}, int8 after training" if sparsity else "int8, quantisation-aware",
        }
        rows += [(names[name], out / name, nme) for name, nme in errors(arguments, sparsity, faces, out).items()]

    costs = benchmark.bench([path for _, path, _ in rows], threads=THREADS, runs=arguments.runs)
    title = f"{arguments.model} on {len(faces.test):,} test faces; {len(faces.train):,} to train on"
    table = Table(title=title, title_justify="left")
    table.add_column("model")
    for column in ("NME, %", "MB", "MB, gzip", *(f"ms, {number} thread{'s' * (number > 1)}" for number in THREADS)):
        table.add_column(column, justify="right")
    for place, (name, path, nme) in enumerate(rows):
        times = [costs[place + len(rows) * turn] for turn in range(len(THREADS))]
        cells = [f"{cost.median:.2f} ({cost.ratio:.2f})" for cost in times]
        table.add_row(name, f"{nme:.3f}", f"{path.stat().st_size / 1e6:.2f}", f"{zipped_size(path) / 1e6:.2f}", *cells)
    Console(width=120).print(table)


if __name__ == "__main__":
    kfa.training.main(main)
