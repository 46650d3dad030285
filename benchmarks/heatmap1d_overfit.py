"""What limits 1D heatmaps of high resolution: the width of a bin, the decoder, sigma, the loss, or the network?

    python benchmarks/heatmap1d_overfit.py --data-dir YTF68             # about ten minutes on two cores

A few faces are learnt by heart at several resolutions L, without views. Were a bin the limit, the error would fall as 1 / L;
were it the decoder, the local soft-argmax would be better than the argmax; were it the network, the error would be the same
at every L, and above that of decoding the targets themselves. The errors are told for the training faces, in percent of the
inter-ocular distance, and in bins; "as targets" is the error of decoding the targets; "bins missed" is the share of maxima that
are not in the bin of the truth.
"""

import argparse
import math

import numpy as np
from lotr_overfit import some_faces
from rich.console import Console
from rich.table import Table

import kfacealign as kfa
from kfacealign.backend import keras
from kfacealign.codecs import Heatmap1D
from kfacealign.training.loop import adamw


def trained(arguments, resolution, sigma, images, landmarks):
    """The heatmaps of the training faces after the training, and its last loss."""
    keras.utils.set_random_seed(arguments.seed)
    model = kfa.models.AttentiveHeatmap1D(
        arguments.scheme,
        resolution=resolution,
        sigma=sigma * resolution / (arguments.input_size // 4),
        stacks=1,
        width=arguments.width,
        input_size=arguments.input_size,
    )
    optimizer = adamw(arguments.learning_rate)
    model.compile(optimizer)
    labels = {"landmarks": landmarks, "weights": np.ones(landmarks.shape[:2], "float32")}
    for step in range(arguments.steps):
        optimizer.learning_rate.assign(arguments.learning_rate * (1 + math.cos(math.pi * step / arguments.steps)) / 2)
        loss = model.train_on_batch(images, labels, return_dict=True)
    return model.network.predict(images.astype("float32"), verbose=0), model.codec, float(loss["heatmap_loss"])


def row(arguments, resolution, sigma, images, landmarks, distances):
    maps, codec, loss = trained(arguments, resolution, sigma, images, landmarks)
    local = Heatmap1D(codec.size, codec.sigma, decoder="local")

    def error(decoder, heatmaps):
        found = keras.ops.convert_to_numpy(decoder.decode(heatmaps)[0])
        return found, 100 * float((np.linalg.norm(found - landmarks, axis=-1).mean(-1) / distances).mean())

    found, argmax = error(codec, maps)
    bins = np.abs(found - landmarks) * resolution
    targets = codec.encode(landmarks)
    figures = (argmax, error(local, maps)[1], error(codec, targets)[1], error(local, targets)[1], float(bins.mean()))
    shares = f"{100 * float((bins > 0.5).mean()):.0f} %"
    return (f"{resolution}", f"{sigma:g}", f"{loss:.1e}", *(f"{figure:.2f}" for figure in figures), shares)


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", required=True, help="a folder of images with .pts files")
    parser.add_argument("--scheme", default="ibug68")
    parser.add_argument("--faces", type=int, default=32)
    parser.add_argument("--input-size", type=int, default=128)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--resolutions", type=int, nargs="+", default=[32, 128, 384])
    parser.add_argument("--sigmas", type=float, nargs="+", default=[1.0, 0.5], help="in positions of the features")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def main():
    arguments = parse()
    faces = some_faces(arguments.data_dir, arguments.scheme, arguments.faces, arguments.input_size)
    columns = ("L", "sigma", "loss", "argmax", "local", "as targets", "local", "argmax in bins", "bins missed")
    table = Table(*columns, title=f"inter-ocular NME of {arguments.faces} training faces after {arguments.steps} steps")
    for sigma in arguments.sigmas:
        for resolution in arguments.resolutions:
            table.add_row(*row(arguments, resolution, sigma, *faces))
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
