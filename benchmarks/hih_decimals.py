"""What the decimal heatmaps of HIH learn, by head, label and loss (HIH, Tables VII and VIII).

    python benchmarks/hih_decimals.py --data-dir YTF68 --every 3 --seeds 0 1 2       # 18 trainings
    python benchmarks/hih_decimals.py --dataset synthetic --only "attended, soft, csc"
    python benchmarks/hih_decimals.py --dataset synthetic --overfit 32 --epochs 100 --warmup-epochs 0 --drops
    python benchmarks/hih_decimals.py --dataset synthetic --model runs/quick/model.keras
    python benchmarks/hih_decimals.py --dataset synthetic --trunk runs/quick/model.keras --epochs 3 --warmup-epochs 0 --drops
    python benchmarks/hih_decimals.py --dataset synthetic --trunk runs/quick/model.keras --epochs 3 --warmup-epochs 0 --drops \\
        --only "attended, soft, csc" --decimal-sizes 2 4 8 16 --decimal-sigmas 1          # and of one size, sigmas 0.5 to 1.5

All models are trained alike: the same crops, views, epochs, optimiser and warm-up. `strided` is the paper's head, of width
1.5 times the trunk's as in the paper; `attended` reads each landmark's own place. With --overfit N the first N training faces
are trained on without views, and measured on. With --model nothing is trained. With --trunk the integer maps and all
before them are those of a trained HIH and stay as they are: the decimal heads alone are trained, and the rows differ in nothing
else. The labels of `attended` are parts of the cell that the model itself names (`decimal_cell`), but those of `true cells` are
parts of the landmark's own, as the paper's are.

Columns: `right` is the share of decimal cells that are the target's, `frequent` the share that naming the most frequent cell
would have; `loss` is the decimal loss over that of a flat map; `cell` is the share of integer cells that are right. The NME is
given with the middle of the integer cell in place of the decimal map, and with the decimal map. Both are in the crop's own
frame. Runs are kept in runs/decimals and go on where they were stopped.
"""

import argparse
import dataclasses
import functools
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

import kfacealign as kfa
from kfacealign.backend import keras
from kfacealign.codecs.decoders import argmax_cells
from kfacealign.metrics.errors import NME

ENLARGE = 1.08
# Few epochs cannot overfit: gentler views let short runs get further.
VIEWS = {"translation": 8 / 256, "rotation": 10.0, "occlusion_probability": 0.1, "blur_probability": 0.0}
# Head, label, loss and `decimal_cell` of each row.
ROWS = {
    "attended, soft, csc": ("attended", "soft", "csc", "predicted"),
    "attended, soft, mse": ("attended", "soft", "mse", "predicted"),
    "attended, hard, csc": ("attended", "hard", "csc", "predicted"),
    "attended, hard, mse": ("attended", "hard", "mse", "predicted"),
    "attended, true cells": ("attended", "soft", "csc", "true"),
    "strided, soft, csc": ("strided", "soft", "csc", "true"),
}
COLUMNS = ("cell %", "right %", "frequent %", "loss", "NME, middle", "NME")


def variants(arguments):
    """Settings of each combination of the sizes and sigmas that are asked for: copies of the arguments, and their name."""
    for size in arguments.decimal_sizes or [None]:
        for sigma in arguments.decimal_sigmas or [None]:
            changed = argparse.Namespace(**vars(arguments))
            changed.sizes = {"decimal_size": size} if size else {}
            changed.sizes |= {"decimal_sigma": sigma} if sigma else {}
            yield changed, "".join(f", {name.removeprefix('decimal_')} {value:g}" for name, value in changed.sizes.items())


def build(scheme, arguments, name):
    """The model of a row."""
    if arguments.trunk:
        trained = kfa.load(arguments.trunk)
        width = int(1.5 * trained.width) if name.startswith("strided") else trained.width
        size = arguments.sizes.get("decimal_size", trained.decimal_size)
        config = {**trained.get_config(), **choices(arguments, name, size), "decimal_width": width, **arguments.sizes}
        return with_cells(with_trunk(kfa.models.HIH.from_config(config), trained), name)
    size = {"decimal_size": arguments.decimal_size, "decimal_width": int(1.5 * arguments.width), **arguments.sizes}
    common = {"input_size": arguments.input_size, "width": arguments.width, "enlarge": ENLARGE, **size}
    return with_cells(kfa.models.HIH(scheme, **common, **choices(arguments, name, size["decimal_size"])), name)


def choices(arguments, name, size):
    """The settings of a row's decimal half."""
    head, label, loss, _ = ROWS[name]
    # On small maps CSC is half of the variance over the cells, divided by their number; so both losses weigh alike.
    alpha = arguments.alpha * (1.0 if loss == "csc" else 0.5 / size**2)
    return {"decimal_head": head, "decimal_label": label, "decimal_loss": loss, "alpha": alpha}


def with_trunk(model, trained):
    """The model with all but its decimal half from a trained one, and not trained further."""
    for layer in model.network.layers:
        if not layer.name.startswith("decimal"):
            layer.set_weights(trained.network.get_layer(layer.name).get_weights())
            layer.trainable = False
    return model


def with_cells(model, name):
    """The model with labels that are parts of the cells which the row says."""
    model.codec = type(model.codec).from_config({**model.codec.get_config(), "decimal_cell": ROWS[name][3]})
    return model


def settings_of(arguments, name, seed):
    """What a recipe's command line would have given."""
    return argparse.Namespace(
        variant=name,
        input_size=arguments.input_size,
        epochs=arguments.epochs,
        warmup_epochs=arguments.warmup_epochs,
        batch_size=arguments.batch_size,
        learning_rate=arguments.learning_rate,
        drops=arguments.drops,
        seed=seed,
        out=str(Path(arguments.out) / f"{name.replace(', ', '_')}_{seed}"),
        resume=True,
        precision="float32",
        strict=False,
        cache="memory",
    )


def figures(model, faces):
    """The columns of a model on faces, as strings."""
    codec = model.codec
    crops = kfa.data.Crops(faces, model.input_size, enlarge=model.enlarge)
    batches = [read(model, *batch) for batch in kfa.data.pipeline(crops, size=model.input_size, batch_size=32)]
    found = {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
    known = found["weights"] > 0
    decimal, target = (found[name][known] @ [1, codec.decimal_size] for name in ("decimal", "target decimal"))
    middle = (found["integer"] + 0.5) / codec.size
    whole = (found["integer"] + found["decimal"] / codec.decimal_size) / codec.size
    return (
        f"{100 * (found['integer'] == found['target integer']).all(axis=-1)[known].mean():.1f}",
        f"{100 * (decimal == target).mean():.1f}",
        f"{100 * np.bincount(target.astype(int)).max() / target.size:.1f}",
        f"{found['loss'].mean() / found['flat'].mean():.3f}",
        *(f"{nme(model.scheme, found['landmarks'], points, found['weights']):.2f}" for points in (middle, whole)),
    )


def read(model, images, labels):
    """A batch's cells, their targets, and the decimal loss beside that of flat maps of the targets' mean."""
    codec, landmarks, weights = model.codec, labels["landmarks"], labels["weights"]
    outputs = model.network(keras.ops.cast(images, "float32"), training=False)
    target = codec.decimal_target(codec.encode(landmarks), outputs)
    flat = keras.ops.zeros_like(target) + keras.ops.mean(target)
    integer, _ = codec.cells(landmarks)
    values = {
        "integer": argmax_cells(codec.stack_maps(outputs)[-1])[0],
        "decimal": argmax_cells(outputs["decimal"])[0],
        "target integer": integer,
        "target decimal": argmax_cells(target)[0],
        "landmarks": landmarks,
        "weights": weights,
        "loss": keras.ops.reshape(codec.decimal_term(target, outputs["decimal"], weights), (1,)),
        "flat": keras.ops.reshape(codec.decimal_term(target, flat, weights), (1,)),
    }
    return {name: keras.ops.convert_to_numpy(value) for name, value in values.items()}


def nme(scheme, landmarks, points, weights):
    """The inter-ocular error in percent, or that of the scheme's own normaliser."""
    metric = NME(scheme=scheme.name)
    metric.update_state(landmarks, points, sample_weight=weights)
    return float(metric.result())


def parse(words=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="pts", choices=kfa.data.catalogue.DATASETS)
    parser.add_argument("--data-dir", help="the dataset's directory")
    parser.add_argument("--scheme", default="ibug68")
    parser.add_argument("--model", help="a trained HIH to measure, a .keras file")
    parser.add_argument("--trunk", help="a trained HIH, a .keras file, of which all but the decimal head is kept")
    parser.add_argument("--only", nargs="+", choices=ROWS, help="some of the rows")
    parser.add_argument("--every", type=int, default=1, help="take every Nth training face; YTF68 holds clips of three frames")
    parser.add_argument("--overfit", type=int, help="train on this many faces without views, and measure on them")
    parser.add_argument("--alpha", type=float, default=5.0, help="weight of the decimal loss")
    parser.add_argument("--width", type=int, default=64, help="channels of the trunk; the paper's are 256")
    parser.add_argument("--decimal-size", type=int, default=4, help="side of the decimal maps; the paper's are 8")
    parser.add_argument("--decimal-sizes", type=int, nargs="+", help="a row for each of these sides")
    parser.add_argument("--decimal-sigmas", type=float, nargs="+", help="a row for each of these sigmas, in decimal cells")
    parser.add_argument("--input-size", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--warmup-epochs", type=int, default=4)
    parser.add_argument("--drops", type=int, nargs="*", default=[9, 11])
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--out", default="runs/decimals")
    return parser.parse_args(words)


def main():
    arguments = parse()
    faces = kfa.data.load_dataset(arguments.dataset, arguments.data_dir, scheme=arguments.scheme)
    table = Table("head, label, loss", "seed", *COLUMNS, title=f"{faces.name}, errors in percent")
    if arguments.model:
        table.add_row(arguments.model, "", *figures(kfa.load(arguments.model), faces.test))
        Console().print(table)
        return
    faces = dataclasses.replace(faces, train=faces.train[:: arguments.every])
    views = kfa.data.RandomView(scheme=faces.scheme.name, **VIEWS)
    if arguments.overfit:
        few, views = faces.train[: arguments.overfit], None
        faces = dataclasses.replace(faces, train=few, test=few, subsets={})
    for name in arguments.only or ROWS:
        for changed, told in variants(arguments):
            for seed in arguments.seeds:
                make = functools.partial(build, faces.scheme, changed, name)
                model, _ = kfa.training.run(make, faces, views, settings_of(arguments, name + told, seed))
                table.add_row(name + told, str(seed), *figures(model, faces.test))
    Console().print(table)


if __name__ == "__main__":
    main()
