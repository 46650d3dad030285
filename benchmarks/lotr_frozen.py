"""LOTR against CNN + FFN on the same frozen features of a trained backbone: which of them reads landmarks better.

    python benchmarks/lotr_frozen.py --data-dir YTF68 --also INFANFACE              # about twenty minutes on two cores
    python benchmarks/lotr_frozen.py --data-dir YTF68 --also INFANFACE --backbone-weights imagenet
    python benchmarks/lotr_frozen.py --data-dir YTF68 --layers 1 2 3 4 5 6 --views 3 --steps 400 --rates 2e-3
    python benchmarks/lotr_frozen.py --data-dir YTF68 --losses l2 l1 smooth_l1 wing smooth_wing --seeds 0 1 2 --rates 2e-3

The features are those of a trained PIPNet with EfficientNet-Lite0, by default of the bundled preset; they are made once, of
random views of the training faces, and stay as they are. What is trained is what comes after, with AdamW, a cosine decay and no
dropout. Both networks begin with a gain of 0.1, unless `--first-values paper` gives LOTR those of the paper. With --layers the
rows are LOTR with so many layers in encoder and decoder (the paper's Sec. 4.8), with --losses LOTR under these losses of its
coordinates in pixels (Table 4). Told are the inter-ocular NME of the test faces after quarters of the steps and, for the end,
the interval over people and the AUC at 8 %; between LOTR and CNN + FFN also the difference with its interval.
"""

import argparse
import dataclasses
import itertools
import math

import numpy as np
from lotr_overfit import BACKBONE
from rich.console import Console
from rich.progress import track
from rich.table import Table

import kfacealign as kfa
from kfacealign.backend import keras
from kfacealign.data.faces import joined
from kfacealign.evaluation.comparison import bootstrap_interval, people
from kfacealign.metrics.distribution import auc
from kfacealign.models.backbones import backbone
from kfacealign.training.loop import adamw

# Few epochs cannot overfit: gentler views let short runs get further.
VIEWS = {"translation": 8 / 256, "rotation": 10.0, "occlusion_probability": 0.1, "blur_probability": 0.0}
FIRST_VALUES = {"suite": {"gain": 0.1, "query_stddev": 1.0}, "paper": {"gain": 1.0, "query_stddev": 1e-4}}
OPTIMIZERS = {"adamw": adamw, "lamb": keras.optimizers.Lamb}


@dataclasses.dataclass
class Row:
    """What is trained: the number of LOTR's layers, None for CNN + FFN, and the loss."""

    layers: int | None
    loss: str = "smooth_wing"


def rows(arguments):
    """Name -> row."""
    if arguments.layers:
        return {f"LOTR, {layers} layer{'s' * (layers > 1)}": Row(layers) for layers in arguments.layers}
    if arguments.losses:
        return {f"LOTR, {loss}": Row(2, loss) for loss in arguments.losses}
    return {"CNN + FFN": Row(None), "LOTR": Row(2)}


def build(row, scheme, arguments):
    """The model of a row."""
    common = {"backbone": BACKBONE, "input_size": arguments.input_size, "loss": kfa.training.LOSSES[row.loss]()}
    if row.layers is None:
        return kfa.models.CNNFFN(scheme, gain=0.1, **common)
    return kfa.models.LOTR(scheme, layers=row.layers, dropout=0.0, **common, **FIRST_VALUES[arguments.first_values])


def features_of(network, faces, arguments, views=None):
    """Features (float16, to fit into memory) and landmarks of `arguments.views` passes over faces, or of one without views."""
    crops = kfa.data.Crops(faces, arguments.input_size)
    batches = kfa.data.pipeline(crops, size=arguments.input_size, batch_size=32, views=views, seed=arguments.seeds[0])
    features, landmarks = [], []
    for _ in track(range(arguments.views if views else 1), "features", transient=True):
        for images, labels in batches:
            values = network.predict_on_batch(np.asarray(images, "float32"))
            features.append(np.asarray(values).astype("float16"))
            landmarks.append(np.asarray(labels["landmarks"]))
    return np.concatenate(features), np.concatenate(landmarks)


def trained(model, features, landmarks, arguments, rate, seed, measure):
    """Trains what comes after the backbone; what `measure` gives after quarters of the steps."""
    network, rng = model.network, np.random.default_rng(seed)
    part = keras.Model(network.get_layer("project").input, network.output["landmarks"])
    pixels, loss, optimizer = kfa.models.lotr.LOSS_PIXELS, model.codec.point_loss, OPTIMIZERS[arguments.optimizer](rate)
    part.compile(optimizer, loss=lambda expected, predicted: loss(pixels * expected, pixels * predicted))
    figures = []
    for step in range(arguments.steps):
        optimizer.learning_rate.assign(rate * (1 + math.cos(math.pi * step / arguments.steps)) / 2)
        chosen = rng.integers(len(features), size=arguments.batch_size)
        part.train_on_batch(features[chosen].astype("float32"), landmarks[chosen])
        if (step + 1) % (arguments.steps // 4) == 0:
            figures.append(measure(part.predict(measure.features, verbose=0)))
    return figures


class Errors:
    """The inter-ocular errors of the test faces in percent, from predictions."""

    def __init__(self, features, landmarks, scheme):
        self.features, self.landmarks = features.astype("float32"), landmarks
        left, right = scheme.eye_corners
        self.distances = np.linalg.norm(landmarks[:, left] - landmarks[:, right], axis=-1)

    def __call__(self, predicted):
        return 100 * np.linalg.norm(predicted - self.landmarks, axis=-1).mean(-1) / self.distances


def parse(words=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", required=True, help="a folder with train and test, images with .pts files")
    parser.add_argument("--also", nargs="*", default=[], help="more such folders, of which all faces are trained on")
    parser.add_argument("--backbone-weights", default=None, help="a trained model, or imagenet (default: the default preset)")
    parser.add_argument("--scheme", default="ibug68")
    parser.add_argument("--input-size", type=int, default=128)
    parser.add_argument("--views", type=int, default=8, help="random views of each training face (default %(default)s)")
    parser.add_argument("--steps", type=int, default=2760, help="default %(default)s, thirty epochs of 2,944 faces")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--rates", nargs="+", type=float, default=[2e-3, 1e-3], help="learning rates (default 2e-3 and 1e-3)")
    asked = parser.add_mutually_exclusive_group()
    asked.add_argument("--layers", type=int, nargs="+", help="LOTR with so many layers, each a row; no CNN + FFN")
    asked.add_argument("--losses", nargs="+", choices=kfa.training.LOSSES, help="LOTR under these losses, each a row")
    parser.add_argument("--first-values", choices=FIRST_VALUES, default="suite", help="of LOTR (default %(default)s)")
    parser.add_argument("--optimizer", choices=OPTIMIZERS, default="adamw", help="default %(default)s")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="of first values and batches; the views have the first")
    return parser.parse_args(words)


def main():
    arguments = parse()
    faces = kfa.data.pts(arguments.data_dir, scheme=arguments.scheme)
    further = [kfa.data.pts(folder, scheme=arguments.scheme, test_fraction=0).train for folder in arguments.also]
    weights = arguments.backbone_weights or kfa.presets.path(kfa.presets.store.DEFAULT)
    network = backbone(BACKBONE, arguments.input_size, weights=weights)
    views = kfa.data.RandomView(scheme=faces.scheme.name, **VIEWS)
    features, landmarks = features_of(network, joined([faces.train, *further]), arguments, views)
    test = Errors(*features_of(network, faces.test, arguments), faces.scheme)
    groups, best = people(faces.test.names), {}
    quarters = (f"{part * arguments.steps // 4}" for part in (1, 2, 3))
    table = Table("network", "rate", "seed", *quarters, "NME at the end, 95 %", "AUC 8 %")
    for (name, row), rate, seed in itertools.product(rows(arguments).items(), arguments.rates, arguments.seeds):
        keras.utils.set_random_seed(seed)
        found = trained(build(row, faces.scheme, arguments), features, landmarks, arguments, rate, seed, test)
        low, high = bootstrap_interval(found[-1], groups=groups)
        best[name] = min((found[-1], best.get(name, found[-1])), key=np.mean)
        cells = [f"{errors.mean():.2f}" for errors in found]
        area = f"{auc(found[-1], 8):.3f}"
        table.add_row(name, f"{rate:g}", str(seed), *cells[:-1], f"{cells[-1]} ({low:.2f} to {high:.2f})", area)
        Console().print(f"{name}, rate {rate:g}, seed {seed}: {', '.join(cells)}; AUC {area}")
    Console().print(table)
    if arguments.layers or arguments.losses:
        return
    difference = best["LOTR"] - best["CNN + FFN"]
    low, high = bootstrap_interval(difference, groups=groups)
    Console().print(f"best LOTR less best CNN + FFN: {difference.mean():+.3f} (95 % of the people: {low:+.3f} to {high:+.3f})")


if __name__ == "__main__":
    main()
