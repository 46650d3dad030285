"""How far the labels of a set are off themselves, and so what a faultless model would read on them.

    python benchmarks/label_noise.py pipnet_lite0_ibug68 pipnet_lite0_clean_ibug68 --data-dir YTF68

Labels T, a model A and a model B that was trained on other labels (a clean preset has seen drawings alone) are three answers
whose errors know nothing of each other. The variance of each difference is then the sum of two variances, and three differences
tell them all (the three-cornered hat of clocks): var T = (var(T - A) + var(T - B) - var(A - B)) / 2. Constant offsets of the
points are taken off first, as they are definitions. The answers are means over a crop and its mirror image; all is in the frame
and in percent of the distance of A's outer eye corners, so that the NME differs a little from the one by the labels' distance.

What a faultless model would read is the NME of A less its offsets times rms T / rms (T - A): the lengths of both are taken to
have one shape. Images that mislead both models alike count as errors of the labels, labels whose mistakes A has learnt do not.
Intervals are of 95 % over people, as the names of the pictures tell them, 1,000 draws, seed 0.
"""

import argparse

import numpy as np
from rich.console import Console
from rich.table import Table

import kfacealign as kfa
from kfacealign.evaluation.comparison import people

DRAWS = 1000


def local(points, reference, eyes):
    """Points (N, K, 2) in percent of the distance between the eyes of a reference, along its eyes and across them."""
    vector = reference[:, eyes[1]] - reference[:, eyes[0]]
    distance = np.linalg.norm(vector, axis=1)
    x, y = (vector / distance[:, None]).T
    frame = np.stack([np.stack([x, y], -1), np.stack([-y, x], -1)], 1)
    return 100 * np.einsum("nij,nkj->nki", frame, points - reference) / distance[:, None, None]


def squares(first, second):
    """Mean squared distance (N,) of the points of each face, less the mean difference of each point."""
    difference = first - second
    return np.square(difference - difference.mean(0)).sum(-1).mean(1)


def variances(truth, first, second):
    """The variance (N,) that each face adds to that of the labels and to those of both answers."""
    ta, tb, ab = squares(truth, first), squares(truth, second), squares(first, second)
    return (ta + tb - ab) / 2, (ta + ab - tb) / 2, (tb + ab - ta) / 2


def root(values):
    """The root of a mean; 0 where it is negative, as the difference of variances may be by chance."""
    return float(np.sqrt(max(0.0, np.mean(values))))


def figures(truth, first, second):
    """NME of the first answer, the same without constant offsets, the NME of a faultless answer, and three rms, in percent."""
    lengths = np.linalg.norm(first - truth, axis=-1).mean()
    difference = first - truth
    varying = np.linalg.norm(difference - difference.mean(0), axis=-1).mean()
    spread = [root(values) for values in variances(truth, first, second)]
    return lengths, varying, varying * spread[0] / root(squares(truth, first)), *spread


def with_intervals(answers, who):
    """`figures` of all faces and their 2.5 and 97.5 percentiles over people."""
    draws, groups = np.random.default_rng(0), [np.flatnonzero(who == person) for person in np.unique(who)]
    drawn = []
    for _ in range(DRAWS):
        faces = np.concatenate([groups[person] for person in draws.integers(len(groups), size=len(groups))])
        drawn.append(figures(*(answer[faces] for answer in answers)))
    return figures(*answers), np.percentile(drawn, (2.5, 97.5), axis=0)


def answers(model, faces, normalizer):
    """Mean of the predictions for the crops and for their mirror images, and the labels, both (N, K, 2)."""
    crops = kfa.data.Crops(faces, model.input_size, enlarge=model.enlarge, cache=None)
    reports = [kfa.evaluation.evaluate(model, crops, normalizer=normalizer, flip=flip) for flip in (False, True)]
    return np.mean([np.asarray(report.predicted, "float64") for report in reports], 0), np.asarray(reports[0].truth, "float64")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first", metavar="A", help="a model: a .keras or .tflite file, or the name of a preset")
    parser.add_argument("second", metavar="B", help="a model that was trained on other labels")
    parser.add_argument("--data-dir", required=True, metavar="DIR", help="folder with train and test, images with .pts files")
    arguments, console = parser.parse_args(), Console()
    models = [kfa.load(name) for name in (arguments.first, arguments.second)]
    if models[0].scheme != models[1].scheme:
        parser.error(f"the models have different landmarks, {models[0].scheme.name} and {models[1].scheme.name}")
    faces, eyes = kfa.data.pts(arguments.data_dir, scheme=models[0].scheme), models[0].scheme.eye_corners
    (first, truth), (second, _) = (answers(model, faces.test, faces.normalizer) for model in models)
    found, (low, high) = with_intervals(
        [local(points, first, eyes) for points in (truth, first, second)], people(faces.test.names)
    )
    table = Table(title=f"{len(truth)} faces, percent of the inter-ocular distance", title_justify="left")
    for heading in ("", "figure", "of", "to"):
        table.add_column(heading, justify="right" if heading else "left")
    names = (
        "NME of A",
        "the same without constant offsets",
        "NME of a faultless model",
        "rms of the labels",
        "rms of A",
        "rms of B",
    )
    for name, *values in zip(names, found, low, high, strict=True):
        table.add_row(name, *(f"{value:.2f}" for value in values))
    console.print(table)


if __name__ == "__main__":
    main()
