"""Every model of the suite in every format: whether it exports, how large it is, how near Keras, how fast.

    python export/export_suite.py --out exported                       # full size, random weights: an hour or so on two cores
    python export/export_suite.py --quick --out exported               # narrow networks, small crops: minutes
    python export/export_suite.py --from my_method --quick --out exported    # a method of your own among them
    python export/export_suite.py --models lotr_m --trained lotr_m=runs/lotr/model.keras --calibration FOLDER --out exported

Writes OUT/MODEL/ with a SavedModel, TFLite files (float32, float16, int8), an ONNX file and the `.keras` file they were made
of, and OUT/suite.json with what the table says. A tracker is exported as its step. `difference` is the farthest that a
landmark lies from Keras', as a fraction of the crop, on 16 crops, `moved` the share of landmarks beyond a thousandth of it.
Without `--calibration` the crops are coloured noise, and then, as for untrained models in general, int8 and float16 say
little of accuracy: where two cells of a map are level an argmax jumps. Trained models show what a format costs.
Latencies are medians of batch 1, all files of a model taking turns. `XNNPACK` is how many of the file's nodes it takes.
"""

import argparse
import json
import logging
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

import kfacealign as kfa
from kfacealign import models
from kfacealign.backend import keras
from kfacealign.cli.arguments import add_from
from kfacealign.cli.export import size
from kfacealign.cli.main import import_methods
from kfacealign.deploy.exporting.calibration import read_calibration
from kfacealign.deploy.exporting.exporter import calibration_crops
from kfacealign.deploy.measure.benchmark import measured
from kfacealign.deploy.measure.inspection import delegated_nodes
from kfacealign.deploy.measure.parity import compare
from kfacealign.files import replacing
from kfacealign.quiet import quiet

CROPS = 16
# File -> what `export` is told.
FILES = {
    "float32.tflite": {"precision": "float32"},
    "float16.tflite": {"precision": "float16"},
    "int8.tflite": {"precision": "int8"},
    "model.onnx": {},
    "saved_model": {},
}
# What makes the methods of this package narrow with --quick.
NARROW = {"stacks": 1, "width": 16, "input_size": 64}
QUICKLY = {
    "HIH": {**NARROW, "decimal_size": 4, "decimal_width": 8},
    "LOTR": {"input_size": 64, "layers": 1},
    "CNNFFN": {"input_size": 64},
    "CoordNet": {"input_size": 64, "backbone_width": 0.125},
    "MapNet": {"input_size": 64, "backbone_width": 0.125, "width": 16},
    "FAN": NARROW,
    "AttentiveHeatmap1D": {**NARROW, "resolution": 32},
    "Heatmap2D": {**NARROW, "resolution": 32},
}
PIPNET_WIDTHS = {"mobilenet_v2": 0.35, "mobilenet_v3_large": 0.75}
TRACKER = "tracker"


def suite():
    """Name -> (class, its arguments) of every network of every known method; `kfacealign.models.methods` knows them."""
    found = {}
    for method in models.methods().values():
        for variant in models.variants_of(method):
            name = "_".join([method.__name__.lower(), *map(str, variant.settings.values())])
            found[name] = method, variant.settings
    return found


def narrowed(method, settings):
    """The arguments of a network with --quick; those of a method of another package are its own."""
    if method.__name__ == "PIPNet":
        return {**settings, "backbone_width": PIPNET_WIDTHS.get(settings["backbone"], 0.125), "input_size": 64}
    return {**settings, **QUICKLY.get(method.__name__, {})}


def tracker(scheme, quick):
    """The tracker, which is made of a detector, and not of a scheme as the others are."""
    detector = models.AttentiveHeatmap1D(scheme, **(NARROW if quick else {}))
    return models.AttentiveHeatmap1DTracker(detector, **({"width": 8} if quick else {}))


def made(name, arguments):
    """The model of that name: trained, or built and saved with batch statistics of noise."""
    if name in arguments.trained:
        return kfa.deploy.load(arguments.trained[name])
    keras.utils.set_random_seed(0)
    if name == TRACKER:
        model = tracker(arguments.scheme, arguments.quick)
    else:
        method, settings = suite()[name]
        model = method(arguments.scheme, **(narrowed(method, settings) if arguments.quick else settings))
    settle(model, noise(4, model.input_size))
    return model


def noise(count, side):
    """Colourful crops (N, S, S, 3) float32 without an edge."""
    coarse = np.random.default_rng(0).uniform(0, 255, (count, 6, 6, 3)).astype("float32")
    return np.stack([cv2.resize(image, (side, side), interpolation=cv2.INTER_CUBIC).clip(0, 255) for image in coarse])


def settle(model, crops):
    """Makes an untrained network's answers differ: larger weights for heads that begin near zero, and crops' batch statistics."""
    for seed, variable in enumerate(model.network.trainable_variables):
        if variable.path.endswith("kernel") and float(keras.ops.std(variable)) < 0.002:
            variable.assign(keras.initializers.HeNormal(seed)(variable.shape))  # kernels alike would be stored once
    norms = [layer for layer in model.network._flatten_layers() if isinstance(layer, keras.layers.BatchNormalization)]
    momenta = [layer.momentum for layer in norms]
    for layer in norms:
        layer.momentum = 0.005  # not 0: a channel that is the same everywhere would be divided by nothing
    model.network(crops, training=True)
    for layer, momentum in zip(norms, momenta, strict=True):
        layer.momentum = momentum


def exported(model, folder, crops):
    """File name -> path, or the reason that it cannot be."""
    found = {}
    for name, options in FILES.items():
        try:
            if hasattr(model, "step_parts"):
                found[name] = kfa.deploy.export_step(model, folder / name, **options)
            else:
                found[name] = kfa.deploy.export(model, folder / name, calibration=crops, **options)
        except ValueError as error:
            found[name] = str(error)
    return found


def rows(name, arguments):
    """Records of one model, one for each file."""
    model, folder = made(name, arguments), Path(arguments.out) / name
    folder.mkdir(parents=True, exist_ok=True)
    model.save(folder / "model.keras")
    crops = noise(CROPS, model.input_size)
    if arguments.calibration:
        crops = calibration_crops(model, read_calibration(Path(arguments.calibration), model), 128)
    found = exported(model, folder, crops)
    paths = {file: path for file, path in found.items() if isinstance(path, Path)}
    names = [str(path) for path in paths.values()]
    parity = {record.name: record for record in compare(model, names, crops[:CROPS], trust=True)[1:]}  # just written
    times = {}
    for threads in arguments.threads:
        task = {
            "measure": "latency",
            "paths": names,
            "threads": threads,
            "runs": arguments.runs,
            "trust": True,
        }
        times[threads] = dict(zip(paths, (float(np.median(taken)) for taken in measured(task, lambda: None)), strict=True))
    records = []
    for file, path in found.items():
        record = {"model": name, "file": file, "input_size": model.input_size}
        if file not in paths:
            records.append({**record, "reason": path})
            continue
        near = parity[str(path)]
        record |= {"bytes": size(path), "difference": near.maximum, "moved": near.moved, "ms": {n: times[n][file] for n in times}}
        if path.suffix == ".tflite":
            delegates, taken, total, left = delegated_nodes(path)
            record |= {"delegates": delegates, "taken": taken, "nodes": total, "left": left}
        records.append(record)
    return records


def show(records, threads, title, console):
    """Prints the table, and below it why what is not there is not."""
    table = Table(title=title, title_justify="left")
    for heading in ("model", "file", "MB", "difference", "moved", *(f"ms on {number}" for number in threads), "XNNPACK"):
        table.add_column(heading, no_wrap=True)
    for record in records:
        if "reason" in record:
            table.add_row(record["model"], record["file"], "see below")
            continue
        nodes = f"{record['taken']}/{record['nodes']}" if "nodes" in record else ""
        speed = [f"{record['ms'][number]:.2f}" for number in threads]
        numbers = (f"{record['bytes'] / 1e6:.2f}", f"{record['difference']:.1e}", f"{record['moved']:.1%}", *speed)
        table.add_row(record["model"], record["file"], *numbers, nodes)
    console.print(table)
    for record in records:
        if "reason" in record:
            console.print(f"{record['model']}, {record['file']}: {record['reason']}")
    outside = sorted({operator for record in records for operator in record.get("left", ())})
    console.print(f"left to the interpreter by XNNPACK: {', '.join(outside) or 'nothing'}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", metavar="NAME", help="only these, as the table names them")
    add_from(parser)
    parser.add_argument("--quick", action="store_true", help="narrow networks and 64-px crops")
    parser.add_argument("--trained", nargs="+", default=(), metavar="NAME=PATH", help="trained models to take for random ones")
    parser.add_argument("--calibration", metavar="PATH", help="folder of images, or .npy of crops; by default noise")
    parser.add_argument("--scheme", default="wflw98")
    parser.add_argument("--threads", type=int, nargs="+", default=(1, 2))
    parser.add_argument("--runs", type=int, default=50, help="timed reads of each file (default %(default)s)")
    parser.add_argument("--out", default="exported", help="directory to write to (default %(default)s)")
    arguments = parser.parse_args()
    arguments.trained = dict(entry.split("=", 1) for entry in arguments.trained)
    import_methods(arguments.methods)
    names = [*suite(), TRACKER]
    arguments.models = arguments.models or names
    unknown = sorted({*arguments.trained, *arguments.models} - set(names))
    if unknown:
        parser.error(f"no model is named {', '.join(unknown)}; there are {', '.join(names)}")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # many graphs in one process are meant here
    with quiet():  # TensorFlow's search for a GPU
        keras.distribution.list_devices()
    console, records, report = Console(), [], Path(arguments.out) / "suite.json"
    for name in arguments.models:
        with console.status(f"{name}: exporting to {Path(arguments.out) / name}"):
            records += rows(name, arguments)
        with replacing(report) as temporary:
            temporary.write_text(json.dumps(records, indent=1), encoding="utf-8")
    size_of_crops = "64-px crops" if arguments.quick else "crops of each model's default size"
    title = f"{arguments.scheme}, {size_of_crops}, batch 1, medians of {arguments.runs} interleaved runs"
    show(records, arguments.threads, title, console)
    console.print(f"written: {arguments.out}, {report}")


if __name__ == "__main__":
    main()
