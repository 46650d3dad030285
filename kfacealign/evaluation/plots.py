"""Pictures of a report: the error distribution, and the worst, median and best faces."""

import os
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from kfacealign import drawing, geometry
from kfacealign.data.crops import read_image
from kfacealign.evaluation.report import auc, ced

SIDE = 224  # pixels of a face in the gallery
COLUMNS = 6


def write_run(out, report, faces, size=SIDE):
    """Writes `report.json`, `ced.png` and `predictions.png` to a directory.

    Args:
        out: the directory.
        report: a `Report`.
        faces: the `Faces` it is about.

    Returns:
        The list of paths written.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    return [
        report.save(out / "report.json"),
        write_figure(ced_figure(report), out / "ced.png"),
        write_figure(gallery_figure(report, faces, size), out / "predictions.png"),
    ]


def ced_figure(report):
    """The share of faces within each error, for the full set and every subset."""
    figure = Figure(figsize=(6.4, 4.8), layout="constrained")
    axes = figure.add_subplot()
    limit = max(report.thresholds)
    everyone = np.arange(len(report.names))
    for name, indices in {"full": everyone, **report.subsets}.items():
        errors = report.face_errors[np.asarray(indices, int)]
        errors = errors[np.isfinite(errors)]
        if len(errors):
            x, y = ced(errors)
            axes.step([0, *x], [0, *(100 * y)], where="post", label=f"{name}: AUC {auc(errors, limit):.3f}")
    axes.set(xlim=(0, limit), ylim=(0, 100), ylabel="faces, %")
    axes.set_xlabel(f"NME, % of the {report.normalizer.replace('_', '-')} distance")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    return figure


def gallery_figure(report, faces, size=SIDE):
    """Worst, median and best faces, a row each: truth green, prediction red, the error below."""
    order = np.argsort(np.where(np.isnan(report.face_errors), -np.inf, report.face_errors))
    order = order[np.isnan(report.face_errors).sum() :]
    columns = min(COLUMNS, len(order))
    middle = max(0, (len(order) - columns) // 2)
    rows = {"worst": order[::-1][:columns], "median": order[middle : middle + columns], "best": order[:columns]}
    figure = Figure(figsize=(2.1 * max(1, columns), 7.2), layout="constrained")
    grid = figure.subplots(3, max(1, columns), squeeze=False)
    for axes, (name, indices) in zip(grid, rows.items()):
        for axis, index in zip(axes, indices):
            axis.imshow(face_picture(report, faces, int(index), size))
            axis.set_xlabel(f"{report.face_errors[index]:.2f} %", fontsize=8)
        axes[0].set_ylabel(name)
        for axis in axes:
            axis.set(xticks=[], yticks=[])
    figure.suptitle(f"truth green, prediction red; NME {np.nanmean(report.face_errors):.2f} % on {len(order)} faces")
    return figure


def face_picture(report, faces, index, size):
    """One face, `(size, size, 3)`, with its annotated and its predicted landmarks."""
    landmarks = faces.landmarks[index]
    box = geometry.square_box(geometry.landmark_box(landmarks, faces.weights[index]), 1.35)
    picture, matrix = geometry.crop(read_image(faces.images[index]), box, size)
    for points, colour in ((landmarks, (60, 220, 60)), (report.predicted[index], (255, 50, 50))):
        picture = drawing.draw_landmarks(picture, geometry.apply_affine(matrix, points), faces.scheme, colour)
    return picture


def write_figure(figure, path):
    """Saves a figure under a temporary name and renames it."""
    temporary = path.with_name(f".writing-{path.name}")
    figure.savefig(temporary, dpi=110, format=path.suffix[1:])
    os.replace(temporary, path)
    return path
