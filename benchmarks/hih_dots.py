r"""Two decimal heads of HIH on four dots at random places: which of them learns where in a cell a dot is.

    python benchmarks/hih_dots.py                                     # from pixels, both heads; four minutes each on a CPU
    python benchmarks/hih_dots.py --given maps --steps 2000           # from maps in which the place can be read

`--given pixels` trains an HIH with an hourglass of one level on coloured dots in 64 px of noise. `--given maps` trains the
head alone, and hands it Gaussians around the dots themselves in place of the trunk's features and of the integer map. Every
batch has new dots; the figures are of 96 others.

`right` is the share of decimal cells that are the target's (chance: 1 / 16), `cell` that of integer cells, `loss` the decimal
loss over that of a flat map. The error along an axis is given in integer cells, with the middle of the integer cell in place
of the decimal map and with the decimal map.
"""

import argparse
import functools

import numpy as np
from rich.console import Console
from rich.table import Table

import kfacealign as kfa
from kfacealign.backend import keras
from kfacealign.codecs.decoders import argmax_cells
from kfacealign.codecs.heatmap import gaussian_maps
from kfacealign.models import hih
from kfacealign.training.loop import adam

HEADS = ("strided", "attended")
COLOURS = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0.6, 0.6, 0]], "float32")
INPUT_SIZE, SIZE, DECIMAL_SIZE = 64, 16, 4
DOTS = kfa.schemes.Scheme(
    "dots",
    point_names=("red", "green", "blue", "yellow"),
    mirror=(0, 1, 2, 3),
    regions={"contour": (0, 1, 2, 3)},
    contours=(),
    eye_corners=None,
    pupils=None,
)


def drawn(rng, count, given):
    """`count` inputs of the network and the places of their dots `(count, 4, 2)`."""
    places = rng.uniform(0.1, 0.9, (count, 4, 2)).astype("float32")
    size, stddev = (INPUT_SIZE, 2.5) if given == "pixels" else (SIZE, 1.5)
    maps = keras.ops.convert_to_numpy(gaussian_maps(places * size - 0.5, size, stddev))
    if given == "maps":
        return maps, places
    noise = rng.normal(0, 0.05, (count, size, size, 3))
    return (255 * np.clip(maps @ COLOURS + noise, 0, 1)).astype("float32"), places


def build(arguments, head):
    """The model: a narrow HIH, or a decimal head after an input of maps."""
    if arguments.given == "pixels":
        hih.stacked_hourglass = functools.partial(SHALLOW, depth=1)
        shape = {"input_size": INPUT_SIZE, "width": 16, "decimal_size": DECIMAL_SIZE, "decimal_width": 24}
        return kfa.models.HIH(DOTS, decimal_head=head, alpha=arguments.alpha, **shape)
    maps = keras.Input((SIZE, SIZE, DOTS.num_points))
    layer = hih.DECIMAL_HEADS[head](DOTS.num_points, size=DECIMAL_SIZE, filters=arguments.filters)
    outputs = {"heatmap_1": keras.layers.Identity()(maps), "decimal": layer([maps, maps] if head == "attended" else maps)}
    codec = kfa.codecs.HeatmapInHeatmap(size=SIZE, decimal_size=DECIMAL_SIZE, alpha=arguments.alpha)
    return kfa.models.FaceAligner(keras.Model(maps, outputs), codec, DOTS)


SHALLOW = hih.stacked_hourglass


def train(model, arguments):
    """Trains on new dots in every step."""
    rng = np.random.default_rng(arguments.seed)
    weights = np.ones((arguments.batch_size, DOTS.num_points), "float32")

    def batches():
        while True:
            inputs, places = drawn(rng, arguments.batch_size, arguments.given)
            yield inputs, {"landmarks": places, "weights": weights}

    model.compile(adam(arguments.learning_rate))
    model.fit(batches(), epochs=1, steps_per_epoch=arguments.steps, verbose=2)


def figures(model, arguments):
    """The columns, as strings."""
    inputs, places = drawn(np.random.default_rng(arguments.seed + 1000), 96, arguments.given)
    outputs, codec = model.network(inputs, training=False), model.codec
    integer, decimal = (keras.ops.convert_to_numpy(argmax_cells(outputs[name])[0]) for name in ("heatmap_1", "decimal"))
    maps, weights = codec.decimal_target(codec.encode(places), outputs), np.ones(places.shape[:2], "float32")
    cell, target = (keras.ops.convert_to_numpy(cells) for cells in (codec.cells(places)[0], argmax_cells(maps)[0]))
    flat = keras.ops.zeros_like(maps)
    loss, flat_loss = (float(codec.decimal_term(maps, predicted, weights)) for predicted in (outputs["decimal"], flat))
    errors = [np.abs(integer + inside - places * SIZE).mean() for inside in (0.5, decimal / DECIMAL_SIZE)]
    shares = [100 * (found == true).all(axis=-1).mean() for found, true in ((integer, cell), (decimal, target))]
    return (*(f"{share:.1f}" for share in shares), f"{loss / flat_loss:.2f}", *(f"{error:.3f}" for error in errors))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--given", choices=("pixels", "maps"), default="pixels", help="default %(default)s")
    parser.add_argument("--heads", nargs="+", choices=HEADS, default=HEADS)
    parser.add_argument("--steps", type=int, default=400, help="default %(default)s")
    parser.add_argument("--batch-size", type=int, default=16, help="default %(default)s")
    parser.add_argument("--learning-rate", type=float, default=3e-3, help="default %(default)s")
    parser.add_argument("--alpha", type=float, default=5.0, help="weight of the decimal loss (default %(default)s)")
    parser.add_argument("--filters", type=int, default=64, help="channels of the head given maps (default %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="default %(default)s")
    arguments = parser.parse_args()
    table = Table("head", "cell %", "right %", "loss", "error, middle", "error", title=f"Four dots, given {arguments.given}")
    for head in arguments.heads:
        keras.utils.set_random_seed(arguments.seed)
        model = build(arguments, head)
        train(model, arguments)
        table.add_row(head, *figures(model, arguments))
    Console().print(table)


if __name__ == "__main__":
    main()
