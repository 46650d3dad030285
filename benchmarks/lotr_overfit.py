"""Whether a transformer, or a feed-forward network, learns a few faces by heart from the features of one backbone.

    python benchmarks/lotr_overfit.py --data-dir YTF68                  # about ten minutes on two cores
    python benchmarks/lotr_overfit.py --data-dir YTF68 --only 'CNN + FFN' 'gain 0.1' --steps 2000
    python benchmarks/lotr_overfit.py --data-dir YTF68 --figure attention.png

The features are those of EfficientNet-Lite0 with ImageNet's weights, made once, and stay as they are: what is trained is what
comes after, without views or dropout, with a cosine decay of the rate. A row is one setting; it tells the inter-ocular NME
of these faces after so many steps, the rate at which queries arrive at the prediction head (the correlation of the decoder's
answers with its queries before training, 1 if nothing else is there), and the entropy of the attention over the tokens before
and after, as a share of that of equal attention. The picture has the attention of eight landmarks before and after.
"""

import argparse
import math

import numpy as np
from rich.console import Console
from rich.table import Table

import kfacealign as kfa
from kfacealign.backend import keras
from kfacealign.models.backbones import backbone
from kfacealign.training.loop import adamw

BACKBONE = "efficientnet_lite0"
PAPER = {"query_stddev": 1e-4, "gain": 1.0}
# Name of a row -> the settings of LOTR, the optimiser and its rate; None is CNN + FFN.
ROWS = {
    "CNN + FFN": (None, adamw, 1e-3),
    "the paper's": (PAPER, keras.optimizers.Lamb, 1e-3),
    "the paper's, LAMB 1e-2": (PAPER, keras.optimizers.Lamb, 1e-2),
    "the paper's, AdamW": (PAPER, adamw, 1e-3),
    "queries N(0, 1)": ({**PAPER, "query_stddev": 1.0}, adamw, 1e-3),
    "gain 0.1": ({**PAPER, "gain": 0.1}, adamw, 1e-3),
    "gain 0.1, queries N(0, 1)": ({"gain": 0.1, "query_stddev": 1.0}, adamw, 1e-3),
    "gain 0.1, queries N(0, 1), LAMB 1e-2": ({"gain": 0.1, "query_stddev": 1.0}, keras.optimizers.Lamb, 1e-2),
}
SHARES = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1)  # of the steps, after which the NME is told
DRAWN = (0, 8, 16, 30, 36, 45, 48, 54)  # of 68 landmarks


class Head:
    """What comes after the backbone, with its training on features."""

    def __init__(self, settings, scheme, size):
        build = kfa.models.CNNFFN if settings is None else kfa.models.LOTR
        settings = {"gain": 1.0} if settings is None else {**settings, "dropout": 0.0}
        self.model = build(scheme, backbone=BACKBONE, input_size=size, **settings)
        network = self.model.network
        self.part = keras.Model(network.get_layer("project").input, network.output["landmarks"])

    def train(self, features, landmarks, optimizer, rate, steps, measure):
        """Trains on all faces at once; what `measure` gives after shares of the steps."""

        def loss(expected, predicted):
            return kfa.losses.SmoothWing()(kfa.models.lotr.LOSS_PIXELS * expected, kfa.models.lotr.LOSS_PIXELS * predicted)

        optimizer = optimizer(rate)
        self.part.compile(optimizer, loss=loss)
        figures, wanted = [], {max(1, round(share * steps)) for share in SHARES}
        for step in range(steps):
            optimizer.learning_rate.assign(rate * (1 + math.cos(math.pi * step / steps)) / 2)
            self.part.train_on_batch(features, landmarks)
            if step + 1 in wanted:
                figures.append(measure(self.part.predict_on_batch(features)))
        return figures

    def attention(self, features):
        """The cross-attention of the last decoder layer, the mean of its heads: (N, K, M); and the decoder's answers."""
        network = self.model.network
        tokens = keras.Model(network.get_layer("project").input, network.get_layer("tokens").output)(features)
        positions = network.get_layer("positions")(tokens)
        decoder, memory = network.get_layer("decoder"), network.get_layer("encoder")(tokens, positions)
        shape = (len(tokens), *decoder.embeddings.shape)
        answers = keras.ops.broadcast_to(decoder.embeddings, shape)
        for own, cross, feed in zip(decoder.attentions, decoder.cross_attentions, decoder.networks, strict=True):
            answers = own(answers, answers, answers, answers)
            _, scores = cross.attention(answers, memory, key=memory + positions, return_attention_scores=True)
            answers = feed(cross(answers, answers, memory + positions, memory))
        return keras.ops.convert_to_numpy(keras.ops.mean(scores, axis=1)), keras.ops.convert_to_numpy(answers)

    def state(self, features):
        """The share of the queries in the decoder's answers, and the attention's entropy."""
        attention, answers = self.attention(features)
        queries = keras.ops.convert_to_numpy(self.model.network.get_layer("decoder").embeddings)
        share = np.corrcoef(answers.ravel(), np.broadcast_to(queries, answers.shape).ravel())[0, 1]
        entropy = -(attention * np.log(attention + 1e-12)).sum(-1).mean() / math.log(attention.shape[-1])
        return share, entropy


def some_faces(data_dir, scheme, count, size):
    """Crops of faces spread over the training part, their landmarks in crop coordinates, and inter-ocular distances."""
    faces = kfa.data.pts(data_dir, scheme=scheme).train
    faces = faces[np.linspace(0, len(faces) - 1, count).astype(int)]
    images, landmarks, _ = kfa.data.Crops(faces, size).batch(np.arange(count))
    return images, landmarks, np.linalg.norm(np.subtract(*(landmarks[:, i] for i in faces.scheme.eye_corners)), axis=-1)


def draw(path, image, before, after, landmarks):
    """The attention of landmarks over the crop, before the training in the first row, after it in the second."""
    import matplotlib.pyplot as plt

    side = math.isqrt(before.shape[-1])
    figure, axes = plt.subplots(2, len(DRAWN), figsize=(1.4 * len(DRAWN), 3))
    for row, maps in zip(axes, (before, after), strict=True):
        for axis, point in zip(row, DRAWN, strict=True):
            axis.imshow(image, extent=(0, 1, 1, 0))
            axis.imshow(maps[point].reshape(side, side), extent=(0, 1, 1, 0), alpha=0.6, cmap="magma", vmin=0)
            axis.plot(*landmarks[point], "c.", markersize=5)
            axis.axis("off")
    figure.savefig(path, dpi=120, bbox_inches="tight")


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", required=True, help="a folder of images with .pts files")
    parser.add_argument("--scheme", default="ibug68")
    parser.add_argument("--only", nargs="+", choices=ROWS, help="some of the rows")
    parser.add_argument("--faces", type=int, default=32)
    parser.add_argument("--input-size", type=int, default=128)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--figure", metavar="FILE", help="draw the attention of the last row before and after")
    return parser.parse_args()


def main():
    arguments = parse()
    images, landmarks, distances = some_faces(arguments.data_dir, arguments.scheme, arguments.faces, arguments.input_size)
    features = backbone(BACKBONE, arguments.input_size, weights="imagenet").predict(images.astype("float32"), verbose=0)

    def nme(predicted):
        return 100 * float((np.linalg.norm(predicted - landmarks, axis=-1).mean(-1) / distances).mean())

    steps = [f"{max(1, round(share * arguments.steps))}" for share in SHARES]
    title = f"inter-ocular NME of {arguments.faces} training faces; the mean face has {nme(landmarks.mean(0)):.1f}"
    table = Table("setting", *steps, "queries kept", "entropy before", "after", title=title)
    for name in arguments.only or ROWS:
        settings, optimizer, rate = ROWS[name]
        keras.utils.set_random_seed(arguments.seed)
        head = Head(settings, arguments.scheme, arguments.input_size)
        state = head.state(features) if settings else None
        before = head.attention(features[:1])[0][0] if settings else None
        figures = head.train(features, landmarks, optimizer, rate, arguments.steps, nme)
        cells = (f"{state[0]:.2f}", f"{state[1]:.2f}", f"{head.state(features)[1]:.2f}") if settings else ("", "", "")
        table.add_row(name, *(f"{figure:.2f}" for figure in figures), *cells)
        if arguments.figure and settings:
            draw(arguments.figure, images[0], before, head.attention(features[:1])[0][0], landmarks[0])
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
