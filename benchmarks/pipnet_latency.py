"""Latency of PIPNet as TFLite, over ONNX Runtime, and of the gathered head over the dense one.

    python benchmarks/pipnet_latency.py                     # MobileNetV2, MobileNetV3 and ResNet-18 at 256 px, 98 landmarks

All files of a backbone take turns in one run, batch 1, so that whatever else the machine does falls on all of them;
figures are medians. "dense" evaluates the offset branches at every cell, as the authors do. Decoding is measured on its
own: finding the winning cells with their features, and merging votes. int8 is calibrated on noise: only its speed is
measured here.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np
from keras import ops
from rich.console import Console
from rich.table import Table

import kfacealign as kfa
from kfacealign.backend import keras
from kfacealign.deploy.exporting import conversion, graphs
from kfacealign.interpreter import interpreter_class
from kfacealign.models.inference import InferencePart
from kfacealign.quiet import import_onnxruntime, quiet

# FPS on the CPU of Table 9 (Xeon E5-2698 v4, PyTorch).
PAPER_FPS = {"mobilenet_v2": 29.5, "mobilenet_v3_large": 28.4, "resnet18": 35.7}


class DenseMaps(keras.layers.Layer):
    """All branches at all cells."""

    def __init__(self, head, **kwargs):
        super().__init__(**kwargs)
        self.head = head

    def call(self, features):
        return self.head.dense(features)


class ReadMaps(keras.layers.Layer):
    """The branches' maps -> landmarks and scores: one gather from each map at the winning cells."""

    def __init__(self, codec, **kwargs):
        super().__init__(**kwargs)
        self.codec = codec

    def call(self, maps):
        cells, scores = self.codec.locate(maps["score"])
        points, size = cells.shape[1], self.codec.size
        place = ops.cast(cells[..., 1] * size + cells[..., 0], "int32")[0]
        found = {"cells": cells, "scores": scores}
        for name in ("x", "y", "neighbor_x", "neighbor_y"):
            each = maps[name].shape[-1] // points
            rows = ops.reshape(maps[name], (size * size * points, each))
            values = ops.take(rows, place * points + ops.arange(points, dtype="int32"), axis=0)[None]
            found[name] = values if each > 1 else values[..., 0]
        landmarks, scores = self.codec.decode(found)
        return {"landmarks": landmarks, "scores": scores}


class DensePIPNet(kfa.models.PIPNet):
    """PIPNet exported as the authors run it."""

    def inference_parts(self, *, network=None):
        dense, read = DenseMaps(self.head), ReadMaps(self.codec)

        def maps(tensors):
            return dense(self.network(tensors["image"], training=False)["features"])

        return [
            InferencePart("network", ("image",), maps, quantizable=True),
            InferencePart("decode", ("score", *self.head.branches), read, quantizable=False),
        ]


def runners(model, dense, folder, threads):
    """Name -> (function of an image that runs it once, bytes of its file)."""
    noise = np.random.default_rng(0).uniform(0, 255, (16, *model.network.input_shape[1:])).astype("float32")
    found = {}
    for name, aligner, precision in (
        ("float32", model, "float32"),
        ("float16", model, "float16"),
        ("int8", model, "int8"),
        ("dense float32", dense, "float32"),
    ):
        path = kfa.deploy.export(aligner, folder / f"{name}.tflite", precision=precision, calibration=noise)
        found[name] = (kfa.deploy.load(path, threads=threads).run, path.stat().st_size)
    found["onnx"] = onnx_runner(model, folder / "model.onnx", threads)
    return found


def part_seconds(model, threads, runs):
    """Name of each part of the float32 graph -> median seconds of running it alone."""
    seconds = {}
    for part, _ in graphs.part_models(model):
        interpreter = interpreter_class()(model_content=conversion.convert(part), num_threads=threads)
        interpreter.allocate_tensors()
        for details in interpreter.get_input_details():
            value = np.random.default_rng(0).uniform(0, 1, details["shape"]).astype("float32")
            interpreter.set_tensor(details["index"], value)
        seconds.update(medians({part.name: lambda _, interpreter=interpreter: interpreter.invoke()}, None, runs))
    return seconds


def onnx_runner(model, path, threads):
    onnxruntime = import_onnxruntime()
    with quiet():
        graph = model.inference_model(batch_size=1)
        graph(np.zeros((1, *model.network.input_shape[1:]), "float32"))  # Keras exports no model that was never called
        graph.export(str(path), format="onnx", verbose=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Its threads would keep the cores busy during the others' turns.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda image: session.run(None, {name: image}), path.stat().st_size


def medians(functions, image, runs):
    """Name -> median seconds of one crop, the functions taking turns of ten."""
    seconds = {name: [] for name in functions}
    for _ in range(-(-runs // 10)):
        for name, function in functions.items():
            for run in range(13):
                start = time.perf_counter()
                function(image)
                if run >= 3:  # the first runs fill the caches
                    seconds[name].append(time.perf_counter() - start)
    return {name: float(np.median(times)) for name, times in seconds.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbones", nargs="+", default=list(PAPER_FPS), choices=list(PAPER_FPS))
    parser.add_argument("--scheme", default="wflw98")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=100)
    arguments = parser.parse_args()
    table = Table("backbone", "graph", "MB", "ms", "FPS", "over ONNX Runtime", "over dense", "paper's FPS (its CPU)")
    for backbone in arguments.backbones:
        keras.utils.set_random_seed(0)
        model = kfa.models.PIPNet(arguments.scheme, backbone=backbone)
        dense = DensePIPNet(arguments.scheme, backbone=backbone)
        dense.network.set_weights(model.network.get_weights())
        with tempfile.TemporaryDirectory() as folder:
            found = runners(model, dense, Path(folder), arguments.threads)
            image = np.random.default_rng(1).uniform(0, 255, (1, 256, 256, 3)).astype("float32")
            landmarks = [found[name][0](image)[0] for name in ("float32", "dense float32")]
            assert np.abs(landmarks[0] - landmarks[1]).max() < 1e-4, "gathered and dense graphs differ"
            seconds = medians({name: function for name, (function, _) in found.items()}, image, arguments.runs)
        for name, value in seconds.items():
            ratios = [f"{value / seconds[other]:.2f}" for other in ("onnx", "dense float32")]
            row = (name, f"{found[name][1] / 1e6:.1f}", f"{1e3 * value:.2f}", f"{1 / value:.0f}", *ratios)
            table.add_row(backbone, *row, f"{PAPER_FPS[backbone]}")
        parts = part_seconds(model, arguments.threads, arguments.runs)
        share = (parts["locate"] + parts["decode"]) / (parts["network"] + parts["offsets"])
        listed = ", ".join(f"{name} {1e3 * value:.3f} ms" for name, value in parts.items())
        Console().print(f"{backbone}: {listed}: decoding takes {100 * share:.1f} % of the network's time")
    Console().print(f"{arguments.threads} threads, {os.cpu_count()} cores")
    Console().print(table)


if __name__ == "__main__":
    main()
