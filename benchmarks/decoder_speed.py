"""Decoding speed of heatmaps: local soft-argmax and DARK against a loop over maps in NumPy, and as a share of the network.

    python benchmarks/decoder_speed.py                       # 98 maps of 64 x 64, batch 32; FAN of two stacks at 256 px
    python benchmarks/decoder_speed.py --width 64 --stacks 1 # a small network

The loops do what the papers' formulas say for one map after another; both answers are compared. All take turns in one
run; figures are medians.
"""

import argparse
import time

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

import kfacealign as kfa
from kfacealign.backend import keras
from kfacealign.codecs import decoders

WINDOW, TEMPERATURE, SIGMA = 7, 10.0, 2.0


def peaked_maps(batch, size, points):
    """Noisy Gaussians `(B, size, size, points)` float32, as a network's outputs."""
    generator = np.random.default_rng(0)
    centres = generator.uniform(0, size - 1, (batch, points, 2))
    cells = np.arange(size)
    x = np.exp(-np.square(cells[None, :, None] - centres[:, None, :, 0]) / (2 * SIGMA**2))
    y = np.exp(-np.square(cells[None, :, None] - centres[:, None, :, 1]) / (2 * SIGMA**2))
    noise = generator.normal(0, 0.01, (batch, size, size, points))
    return (y[:, :, None, :] * x[:, None, :, :] + noise).astype("float32")


def local_loop(maps):
    """Eq. 4-5 of "Subpixel Heatmap Regression", map by map."""
    batch, height, width, points = maps.shape
    found, radius = np.zeros((batch, points, 2)), WINDOW // 2
    for b in range(batch):
        for k in range(points):
            heat = maps[b, :, :, k]
            y, x = np.unravel_index(np.argmax(heat), heat.shape)
            rows = np.arange(max(y - radius, 0), min(y + radius + 1, height))
            columns = np.arange(max(x - radius, 0), min(x + radius + 1, width))
            window = heat[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            mass = np.exp(TEMPERATURE * (window - window.max()))
            mass /= mass.sum()
            found[b, k] = (mass * columns[None, :]).sum(), (mass * rows[:, None]).sum()
    return (found + 0.5) / (width, height)


def dark_loop(maps):
    """Smoothing, logarithm and Taylor step of DARK, map by map; the step is left out at the border."""
    batch, height, width, points = maps.shape
    found, side = np.zeros((batch, points, 2)), 2 * int(np.ceil(3 * SIGMA)) + 1
    for b in range(batch):
        for k in range(points):
            heat = maps[b, :, :, k]
            y, x = np.unravel_index(np.argmax(heat), heat.shape)
            step = np.zeros(2)
            if 1 < x < width - 2 and 1 < y < height - 2:
                smooth = cv2.GaussianBlur(np.ascontiguousarray(heat), (side, side), SIGMA, borderType=cv2.BORDER_CONSTANT)
                log = np.log(np.maximum(smooth, 1e-10))
                first = 0.5 * np.array([log[y, x + 1] - log[y, x - 1], log[y + 1, x] - log[y - 1, x]])
                across = 0.25 * (log[y, x + 2] - 2 * log[y, x] + log[y, x - 2])
                down = 0.25 * (log[y + 2, x] - 2 * log[y, x] + log[y - 2, x])
                mixed = 0.25 * (log[y + 1, x + 1] - log[y - 1, x + 1] - log[y + 1, x - 1] + log[y - 1, x - 1])
                hessian = np.array([[across, mixed], [mixed, down]])
                if abs(np.linalg.det(hessian)) > 1e-12:
                    step = -np.linalg.solve(hessian, first)
            found[b, k] = np.add((x, y), step)
    return (found + 0.5) / (width, height)


def compiled(function):
    """The function as the backend runs a model's."""
    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        return tf.function(function)
    if keras.config.backend() == "jax":
        import jax

        return jax.jit(function)
    return function


def decoder(name):
    return compiled(
        lambda maps: decoders.decode(maps, name, cell_centre=0.5, window=WINDOW, temperature=TEMPERATURE, sigma=SIGMA)[0]
    )


def take_turns(functions, turns):
    """Name -> median of the seconds that a function without arguments takes."""
    for function in functions.values():
        function()
    times = {name: [] for name in functions}
    for _ in range(turns):
        for name, function in functions.items():
            begun = time.perf_counter()
            np.asarray(function())
            times[name].append(time.perf_counter() - begun)
    return {name: float(np.median(seconds)) for name, seconds in times.items()}


def against_loops(arguments):
    maps = peaked_maps(arguments.batch, arguments.size, arguments.points)
    tensor = keras.ops.convert_to_tensor(maps)
    fast = {name: decoder(name) for name in ("local", "dark")}
    functions = {name: lambda function=function: function(tensor) for name, function in fast.items()}
    functions |= {"local loop": lambda: local_loop(maps), "dark loop": lambda: dark_loop(maps)}
    seconds = take_turns(functions, arguments.turns)
    table = Table(
        "decoder", "ms", "NumPy loop, ms", "times as fast", "median difference, cells", title="batch of maps to landmarks"
    )
    for name, loop in (("local", local_loop), ("dark", dark_loop)):
        difference = np.median(np.abs(np.asarray(fast[name](tensor)) - loop(maps))) * arguments.size
        ours, theirs = seconds[name], seconds[f"{name} loop"]
        table.add_row(name, f"{1e3 * ours:.1f}", f"{1e3 * theirs:.1f}", f"{theirs / ours:.1f}", f"{difference:.1e}")
    return table


def share_of_network(arguments):
    model = kfa.models.FAN("wflw98", stacks=arguments.stacks, width=arguments.width, input_size=4 * arguments.size)
    generator = np.random.default_rng(0)
    images = keras.ops.convert_to_tensor(
        generator.uniform(0, 255, (arguments.images, *model.network.input_shape[1:])).astype("float32")
    )
    last = f"heatmap_{arguments.stacks}"
    network = compiled(lambda batch: model.network(batch, training=False)[last])
    maps = keras.ops.convert_to_tensor(peaked_maps(arguments.images, arguments.size, 98))
    local, dark = decoder("local"), decoder("dark")
    functions = {"network": lambda: network(images), "local": lambda: local(maps), "dark": lambda: dark(maps)}
    seconds = take_turns(functions, arguments.turns)
    table = Table(
        "step",
        "ms",
        "% of the network",
        title=f"{arguments.images} crops, FAN of {arguments.stacks} stacks, width {arguments.width}",
    )
    for name, taken in seconds.items():
        table.add_row(name, f"{1e3 * taken:.1f}", f"{100 * taken / seconds['network']:.2f}")
    return table


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--size", type=int, default=64, help="side of the maps in cells")
    parser.add_argument("--points", type=int, default=98)
    parser.add_argument("--images", type=int, default=4, help="crops that the network reads")
    parser.add_argument("--stacks", type=int, default=2)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--turns", type=int, default=9)
    arguments = parser.parse_args()
    console = Console()
    console.print(against_loops(arguments))
    console.print(share_of_network(arguments))


if __name__ == "__main__":
    main()
