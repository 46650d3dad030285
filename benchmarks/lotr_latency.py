"""LOTR-M as TFLite beside PIPNet-MobileNetV2: file size, nodes taken by XNNPACK of all, latency, agreement with Keras.

    python benchmarks/lotr_latency.py                                            # untrained, 106 points, 192 px
    python benchmarks/lotr_latency.py --model runs/x/model.keras --calibration FOLDER
    python benchmarks/lotr_latency.py --heatmaps                                 # beside heatmap networks, float32

All files take turns in one run, batch 1, so that whatever else the machine does falls on all of them; figures are
medians. A difference is the largest of a coordinate of the crop, on 32 crops: of noise without `--calibration`, and then
what it says of int8 is little, because eight bits that fit noise do not fit faces. PIPNet has as many landmarks and
pixels as the LOTR model and is untrained, which changes neither size nor speed; its argmax jumps between equal cells, so
differences are LOTR's alone. A file with Flex operators ends the run.

With --heatmaps LOTR stands beside CNN + FFN and networks of heatmaps, all untrained and float32: MapNet on the same backbone,
HIH with one hourglass and FAN with two.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

import kfacealign as kfa
from kfacealign.backend import keras
from kfacealign.deploy import flatbuffer
from kfacealign.deploy.exporting.calibration import read_calibration
from kfacealign.deploy.exporting.exporter import PRECISIONS, calibration_crops
from kfacealign.deploy.measure import inspection

CROPS = 32
THREADS = (1, 2)


def smooth_noise(count, size):
    """Colourful crops (N, S, S, 3) float32 without an edge."""
    noise = np.random.default_rng(0).uniform(0, 255, (count, 6, 6, 3)).astype("float32")
    return np.stack([cv2.resize(image, (size, size), interpolation=cv2.INTER_CUBIC).clip(0, 255) for image in noise])


def settle(model, crops):
    """Gives batch norms the statistics of crops: with those of an untrained network its features are next to nothing."""
    norms = [layer for layer in model.network._flatten_layers() if isinstance(layer, keras.layers.BatchNormalization)]
    momenta = [layer.momentum for layer in norms]
    for layer in norms:
        layer.momentum = 0.005  # not 0: a channel that is the same everywhere would be divided by nothing
    model.network(crops, training=True)
    for layer, momentum in zip(norms, momenta, strict=True):
        layer.momentum = momentum


def export(model, crops, folder):
    """Precision -> path of the model's file; raises RuntimeError where one has Flex operators."""
    paths = {}
    for precision in PRECISIONS:
        paths[precision] = kfa.deploy.export(
            model, folder / f"{type(model).__name__}_{precision}.tflite", precision=precision, calibration=crops
        )
        foreign = [name for name, _ in flatbuffer.operators(paths[precision].read_bytes()) if name.startswith("CUSTOM")]
        if foreign:
            raise RuntimeError(f"{paths[precision]} has operators that are no built-ins: {foreign}")
    return paths


def medians(functions, image, runs):
    """Name -> median milliseconds of one crop, the functions taking turns."""
    seconds = {name: [] for name in functions}
    for run in range(runs + 3):
        for name, function in functions.items():
            start = time.perf_counter()
            function(image)
            if run >= 3:  # the first runs fill the caches
                seconds[name].append(time.perf_counter() - start)
    return {name: 1e3 * float(np.median(times)) for name, times in seconds.items()}


def milliseconds(paths, image, runs):
    """Threads -> (name -> median milliseconds)."""
    found = {}
    for threads in THREADS:
        aligners = {name: kfa.deploy.load(path, threads=threads) for name, path in paths.items()}
        found[threads] = medians({name: aligner.run for name, aligner in aligners.items()}, image, runs)
    return found


def beside_heatmaps(arguments):
    """Name -> untrained model of as many landmarks and pixels as LOTR's."""
    common = {"scheme": "jd106", "input_size": 192}
    return {
        "LOTR": kfa.models.LOTR(variant=arguments.variant, query_stddev=1.0, **common),
        "CNN + FFN": kfa.models.CNNFFN(backbone="mobilenet_v2", **common),
        "MapNet": kfa.models.MapNet(backbone="mobilenet_v2", stride=4, **common),
        "HIH": kfa.models.HIH(stacks=1, decimal_size=6, **common),  # 8 does not divide 48 cells as its head needs
        "FAN": kfa.models.FAN(stacks=2, **common),
    }


def heatmap_table(models, runs):
    """Latency of models in float32, and its ratio to the first one's."""
    speeds = (title for threads in THREADS for title in (f"ms on {threads}", "ratio"))
    table = Table("model", "MB", *speeds, title=f"batch 1: median of {runs} interleaved runs on {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as folder:
        paths = {name: kfa.deploy.export(model, Path(folder) / f"{n}.tflite") for n, (name, model) in enumerate(models.items())}
        size = next(iter(models.values())).input_size
        found = milliseconds(paths, smooth_noise(1, size), runs)
        for name, path in paths.items():
            cells = []
            for times in found.values():
                cells += [f"{times[name]:.2f}", f"{times[name] / next(iter(times.values())):.2f}"]
            table.add_row(name, f"{path.stat().st_size / 1e6:.2f}", *cells)
    return table


def models_of(arguments):
    """LOTR and PIPNet, and the crops (N, S, S, 3) of calibration and comparison."""
    keras.utils.set_random_seed(0)
    if arguments.model:
        lotr = kfa.deploy.load(arguments.model)
    else:
        lotr = kfa.models.LOTR("jd106", variant=arguments.variant, query_stddev=1.0)
    size = lotr.input_size
    pipnet = kfa.models.PIPNet(lotr.scheme, backbone="mobilenet_v2", input_size=size)
    crops = smooth_noise(CROPS, size)
    if arguments.calibration:
        crops = calibration_crops(lotr, read_calibration(Path(arguments.calibration), lotr), 4 * CROPS)
    for model in (pipnet,) if arguments.model else (lotr, pipnet):
        settle(model, crops[:CROPS])
    return lotr, pipnet, crops


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="a trained LOTR (.keras); by default an untrained one")
    parser.add_argument("--variant", choices=("m", "m+", "r+"), default="m", help="of the untrained one")
    parser.add_argument("--calibration", help="folder of images, with .pts files or without; by default noise")
    parser.add_argument("--heatmaps", action="store_true", help="untrained heatmap networks beside it, float32 alone")
    parser.add_argument("--runs", type=int, default=100)
    arguments = parser.parse_args()
    if arguments.heatmaps:
        keras.utils.set_random_seed(0)
        Console(width=130).print(heatmap_table(beside_heatmaps(arguments), arguments.runs))
        return
    lotr, pipnet, crops = models_of(arguments)
    expected = lotr.align(crops[:CROPS], verbose=0)[0]

    how = f"median of {arguments.runs} interleaved runs on {os.cpu_count()} cores"
    title = f"{lotr.scheme.name}, {lotr.input_size} px, batch 1: {how}"
    speeds = (f"ms on {threads}" for threads in THREADS)
    table = Table("model", "precision", "MB", "nodes", "delegates", *speeds, "difference", title=title, title_justify="left")
    outside = {}
    with tempfile.TemporaryDirectory() as folder:
        named = {"LOTR": export(lotr, crops, Path(folder)), "PIPNet": export(pipnet, crops, Path(folder))}
        paths = {(name, precision): path for name, files in named.items() for precision, path in files.items()}
        found = milliseconds(paths, crops[:1].astype("float32"), arguments.runs)
        for (name, precision), path in paths.items():
            delegates, taken, total, outside[name] = inspection.delegated_nodes(path)
            difference = ""
            if name == "LOTR":
                difference = f"{np.abs(kfa.deploy.load(path).align(crops[:CROPS], verbose=0)[0] - expected).max():.1e}"
            speed = [f"{found[threads][name, precision]:.2f}" for threads in THREADS]
            size = f"{path.stat().st_size / 1e6:.2f}"
            table.add_row(name, precision, size, f"{taken}/{total}", str(delegates), *speed, difference)
        float_parts = kfa.deploy.load(named["LOTR"]["int8"]).metadata["float_parts"]
    console = Console()
    console.print(table)
    for name, left in outside.items():
        console.print(f"left to the interpreter by XNNPACK, {name}: {', '.join(left) or 'nothing'}")
    console.print(f"in float32 inside the int8 file of LOTR: {', '.join(float_parts)}")
    console.print(f"the landmarks of LOTR differ between these crops by {expected.std(axis=0).mean():.1e} (standard deviation)")


if __name__ == "__main__":
    main()
