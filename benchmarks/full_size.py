"""Every method at its paper's size, trained on one accelerator within minutes.

    kfacealign datasets pack wflw WFLW wflw.h5 --images webp --enlarge 1.4 --train 2500 --test 500    # where the dataset is
    KERAS_BACKEND=jax python benchmarks/full_size.py wflw.h5 --minutes 9 --out runs/full              # where the accelerator is
    KERAS_BACKEND=jax python benchmarks/full_size.py --smoke --out runs/smoke                         # at toy size, on a CPU

Nothing is downloaded and no TensorFlow is needed. First all steps are compiled into JAX's cache in OUT/cache; then at most
three processes at a time train, each for its share of the minutes. The learning rate follows the share that is done: it rises
for a fiftieth, and falls as a cosine. Each method leaves a folder with weights.npz (float16), history.csv, predictions.npz,
report.json and result.json, and its line in OUT/table.md, as soon as it ends; whatever stops the rest leaves these. Two GB of
the accelerator's memory are enough for the crops of 10,000 faces of 256 px.
"""

import argparse
import dataclasses
import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

import kfacealign as kfa
from kfacealign.backend import keras
from kfacealign.evaluation.run_files import write_predictions
from kfacealign.files import replacing
from kfacealign.models.complexity import trainable_parameters
from kfacealign.training.checkpoint import write_history
from kfacealign.training.loop import PRECISIONS

MOST = 3  # processes side by side
BEGINNING = 25  # seconds that a process takes before its first step and after its last
WARMUP = 0.2  # share of the time under the warm-up's loss, for methods that have one
EVER = 1_000_000  # epochs


@dataclasses.dataclass
class Method:
    """A method's network, and how it is trained here.

    Attributes:
        model: the class.
        settings: its arguments at the paper's size.
        toy: what `--smoke` has instead.
    """

    model: type
    settings: dict
    toy: dict
    size: int = 256
    batch_size: int = 16
    rate: float = 1e-3


METHODS = {
    "PIPNet": Method(kfa.models.PIPNet, {"backbone": "resnet18", "backbone_weights": None}, {"backbone_width": 0.25}),
    "HIH": Method(kfa.models.HIH, {"stacks": 4}, {"stacks": 1, "width": 8, "decimal_size": 4, "decimal_width": 8}),
    # Queries that differ from the start, see recipes/lotr.py: minutes are a short training.
    "LOTR": Method(
        kfa.models.LOTR,
        {"variant": "m", "backbone_weights": None, "dropout": 0.0, "query_stddev": 1.0, "gain": 0.1},
        {"feed_forward": 32, "layers": 1},
        size=192,
        batch_size=32,
        rate=5e-4,
    ),
    "FAN": Method(kfa.models.FAN, {"stacks": 2}, {"stacks": 1, "width": 16}),
    "1D heatmaps": Method(kfa.models.AttentiveHeatmap1D, {"stacks": 4}, {"stacks": 1, "width": 16}),
}
TOY = {"size": 64, "batch_size": 4}


# === One method ===


class Budget(keras.callbacks.Callback):
    """Ends a training after its seconds, which count from the end of the first step, and says how fast it learns until then."""

    async_safe = True  # it reads no result of a step, so no step waits for it

    def __init__(self, seconds, rate, folder):
        super().__init__()
        self.seconds, self.rate, self.folder = seconds, rate, folder
        self.start, self.until, self.history, self.steps = None, 1.0, [], 0

    def share(self):
        return 0.0 if self.start is None else min((time.monotonic() - self.start) / max(self.seconds, 1e-6), 1.0)

    def on_epoch_begin(self, epoch, logs=None):
        self.model.optimizer.learning_rate = self.rate * schedule(self.share())

    def on_train_batch_end(self, batch, logs=None):
        self.steps += 1
        if self.start is None:
            self.start = time.monotonic()
        if self.share() >= self.until or not self.seconds:
            self.model.stop_training = True

    def on_epoch_end(self, epoch, logs=None):
        row = {
            "epoch": len(self.history) + 1,
            "share": round(self.share(), 4),
            "learning_rate": float(self.model.optimizer.learning_rate),
        }
        self.history.append({**row, **{name: float(value) for name, value in logs.items()}})
        write_history(self.folder / "history.csv", self.history)


def schedule(share):
    """The learning rate after a share of the time, over its peak."""
    return max(min(share / 0.02, 1.0), 0.05) * 0.5 * (1 + math.cos(math.pi * share))


def train(args):
    """Trains one method for so many seconds and writes what it gives; for 0 seconds it compiles and writes nothing."""
    method, folder = METHODS[args.method], Path(args.out) / args.method.replace(" ", "_")
    changed = TOY if args.smoke else {}
    size, batch_size = changed.get("size", method.size), changed.get("batch_size", method.batch_size)
    keras.utils.set_random_seed(args.seed)
    keras.config.set_dtype_policy(PRECISIONS["float32" if args.smoke else "bfloat16"])
    faces = kfa.data.packed(args.data)
    model = method.model(faces.scheme, input_size=size, **method.settings | (method.toy if args.smoke else {}))
    model.compile(kfa.training.adam(method.rate))
    views = kfa.data.RandomView.paper(faces.scheme)
    model.set_views(views)
    options = {"enlarge": model.enlarge, "cache": "device"}
    test = faces.test if args.seconds else faces.test[:64]
    crops, test = kfa.data.Crops(faces.train, size, **options), kfa.data.Crops(test, size, enlarge=model.enlarge)
    options = {"views": views, "views_on": "device", "shuffle": True, "seed": args.seed, "drop_remainder": True}
    batches = kfa.data.pipeline(crops, size=size, batch_size=batch_size, **options)
    folder.mkdir(parents=True, exist_ok=True)
    budget = Budget(args.seconds, method.rate, folder)
    for warmup in (True, False) if model.codec.warmup_terms else (False,):
        model.warmup, budget.until = warmup, WARMUP if warmup else 1.0
        model.fit(batches, epochs=EVER, callbacks=[budget], verbose=0)
    spent = time.monotonic() - budget.start
    report = kfa.evaluation.evaluate(model, test, normalizer=faces.normalizer)
    if args.seconds:
        result = {
            "method": args.method,
            "NME": round(report.summary()["nme"], 3),
            "parameters": trainable_parameters(model),
            "px": size,
            "batch": batch_size,
            "steps": budget.steps,
            "images a second": round(budget.steps * batch_size / spent, 1),
            "seconds": round(spent, 1),
        }
        write(folder, model, report, test.faces, result)


def write(folder, model, report, faces, result):
    """Writes weights in half precision, predictions, the report, and last the line of the table."""
    weights = {f"{number:04d} {weight.path}".replace("/", "|"): weight for number, weight in enumerate(model.network.weights)}
    with replacing(folder / "weights.npz") as temporary, open(temporary, "wb") as file:
        np.savez(file, **{name: keras.ops.convert_to_numpy(weight).astype("float16") for name, weight in weights.items()})
    write_predictions(report, faces, folder / "predictions.npz")
    report.save(folder / "report.json")
    with replacing(folder / "result.json") as temporary:
        temporary.write_text(json.dumps(result))


# === All of them ===


def together(commands, deadline, ended=lambda: None):
    """Runs commands, at most `MOST` at a time, until a deadline; returns those that failed or were cut.

    Args:
        commands: dict of name -> command.
        deadline: of `time.monotonic`.
        ended: called after each that ends.
    """
    waiting, running, failed = list(commands), {}, []
    while waiting or running:
        while waiting and len(running) < MOST and time.monotonic() < deadline:
            running[waiting[0]] = subprocess.Popen(commands[waiting[0]])
            waiting.pop(0)
        for name, process in list(running.items()):
            if process.poll() is None and time.monotonic() >= deadline:
                process.kill()
                process.wait()
            if process.poll() is not None:
                failed += [name] if running.pop(name).returncode else []
                ended()
        if time.monotonic() >= deadline and not running:
            return failed + waiting
        time.sleep(0.1)
    return failed


def table(out, names):
    """Writes what is there of the table; returns it."""
    found = [out / name.replace(" ", "_") / "result.json" for name in names]
    rows = [json.loads(path.read_text()) for path in found if path.exists()]
    lines = [f"| {' | '.join(rows[0])} |", f"|{'---|' * len(rows[0])}"] if rows else []
    lines += [f"| {' | '.join(map(str, row.values()))} |" for row in rows]
    with replacing(out / "table.md") as temporary:
        temporary.write_text("\n".join([*lines, ""]))
    return "\n".join(lines)


def smoke_data(out):
    """A packed file of a few rendered faces."""
    path = out / "smoke.h5"
    if not path.exists():
        kfa.data.write_wflw(out / "rendered", train=12, test=4, size=96, progress=False)
        kfa.data.pack(kfa.data.wflw(out / "rendered"), path, size=96, enlarge=1.4, images="webp", progress=False)
    return str(path)


def run_all(args):
    """Compiles, trains and tells; returns the exit status."""
    start, out = time.monotonic(), Path(args.out)
    deadline = start + 60 * args.minutes
    out.mkdir(parents=True, exist_ok=True)
    data = smoke_data(out) if args.smoke else args.data
    cache = {"JAX_COMPILATION_CACHE_DIR": str(out / "cache"), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    os.environ.update({**cache, "XLA_PYTHON_CLIENT_MEM_FRACTION": f"{0.9 / MOST:.2f}"})

    def commands(seconds):
        common = [sys.executable, __file__, data, "--out", str(out), "--seed", str(args.seed), "--seconds", f"{seconds:.1f}"]
        return {name: [*common, *(["--smoke"] if args.smoke else []), "--method", name] for name in args.methods}

    failed = together(commands(0), deadline)
    print(f"compiled after {time.monotonic() - start:.0f} s" + (f", but not {', '.join(failed)}" if failed else ""), flush=True)
    rounds = math.ceil(len(args.methods) / MOST)
    seconds = args.seconds or max((deadline - time.monotonic()) / rounds - BEGINNING, 1)
    failed = together(commands(seconds), deadline, lambda: table(out, args.methods))
    print(table(out, args.methods))
    if failed:
        print(f"without a result: {', '.join(failed)}")
    return 1 if failed else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", metavar="DATA.h5", help="what kfacealign datasets pack wrote")
    parser.add_argument("--minutes", type=float, default=9.0, help="of all together")
    parser.add_argument("--out", default="runs/full_size")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS), metavar="NAME", help=", ".join(METHODS))
    parser.add_argument("--smoke", action="store_true", help="toy networks on rendered faces, a second each")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, help="for each method, instead of its share of the minutes")
    parser.add_argument("--method", choices=METHODS, help="train this one here; how the processes are started")
    args = parser.parse_args()
    if keras.config.backend() != "jax":
        parser.error("it needs Keras on JAX: set KERAS_BACKEND=jax")
    if not (args.data or args.smoke):
        parser.error("name the packed file, or --smoke")
    if args.method:
        return train(args)
    if args.smoke:
        args.seconds, args.minutes = args.seconds or 1.0, max(args.minutes, 60.0)
    sys.exit(run_all(args))


if __name__ == "__main__":
    main()
