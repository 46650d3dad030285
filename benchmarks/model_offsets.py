"""Which way a model errs, and what is left of its error without the part that is the same on every face.

    python benchmarks/model_offsets.py pipnet_lite0_clean_ibug68 --data-dir YTF68 --every 4

The table has the mean signed error of the test faces along x and y, in percent of the inter-ocular distance, for all points and
by region: distances hide a shift that all faces share. Then the constant offset of each point, in the frame of the eyes, is
fitted on the training faces and taken off the answers for the test faces. What this lowers is a difference of definitions, as
between rendered and annotated faces, and none of what the model sees. Whoever takes it off a model has trained on these labels.
"""

import argparse

import numpy as np
from rich.console import Console
from rich.table import Table

import kfacealign as kfa


def axes(points, eyes):
    """Distance (N,) and unit axes (N, 2, 2), along the eyes and across, of points (N, K, 2) by their two outer eye corners."""
    first, second = eyes
    vector = points[:, second] - points[:, first]
    distance = np.linalg.norm(vector, axis=1)
    x, y = (vector / distance[:, None]).T
    return distance, np.stack([np.stack([x, y], -1), np.stack([-y, x], -1)], 1)


def offsets(predicted, truth, eyes):
    """(K, 2) mean error of each point in the frame of the predicted eyes, in units of their distance."""
    distance, frame = axes(predicted, eyes)
    return (np.einsum("nij,nkj->nki", frame, predicted - truth) / distance[:, None, None]).mean(0)


def without(predicted, constant, eyes):
    """Points (N, K, 2) less an offset (K, 2) that is given in the frame of their eyes."""
    distance, frame = axes(predicted, eyes)
    return predicted - np.einsum("nij,ki->nkj", frame, constant) * distance[:, None, None]


def answers(model, faces, normalizer):
    """Predicted and true points (N, K, 2), float64."""
    crops = kfa.data.Crops(faces, model.input_size, enlarge=model.enlarge, cache=None)
    report = kfa.evaluation.evaluate(model, crops, normalizer=normalizer)
    return np.asarray(report.predicted, "float64"), np.asarray(report.truth, "float64")


def rows(predicted, truth, scheme):
    """Name, NME, median and mean signed error along x and y, in percent of the true inter-ocular distance."""
    distance, _ = axes(truth, scheme.eye_corners)
    errors = 100 * (predicted - truth) / distance[:, None, None]
    for name, points in {"all": range(scheme.num_points), **scheme.regions}.items():
        lengths = np.linalg.norm(errors[:, list(points)], axis=-1).mean(1)
        yield name, lengths.mean(), np.median(lengths), *errors[:, list(points)].mean((0, 1))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", metavar="MODEL", help="a .keras or .tflite file, or the name of a preset")
    parser.add_argument("--data-dir", required=True, metavar="DIR", help="folder with train and test, images with .pts files")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="fit on every Nth training face (default: on all)")
    arguments, console = parser.parse_args(), Console()
    model = kfa.load(arguments.model)
    faces, eyes = kfa.data.pts(arguments.data_dir, scheme=model.scheme), model.scheme.eye_corners
    constant = offsets(*answers(model, faces.train[:: arguments.every], faces.normalizer), eyes)
    predicted, truth = answers(model, faces.test, faces.normalizer)
    table = Table(title=f"{arguments.model}: {len(truth)} faces, percent of the inter-ocular distance", title_justify="left")
    for heading in ("points", "NME", "median", "x", "y", "NME without offsets", "median", "x", "y"):
        table.add_column(heading, justify="left" if heading == "points" else "right")
    found = (rows(points, truth, model.scheme) for points in (predicted, without(predicted, constant, eyes)))
    for (name, *before), (_, *after) in zip(*found, strict=True):
        table.add_row(name, *(f"{value:.2f}" for value in (*before, *after)))
    console.print(table)
    console.print(f"mean length of the offsets: {100 * np.linalg.norm(constant, axis=1).mean():.2f} %")


if __name__ == "__main__":
    main()
