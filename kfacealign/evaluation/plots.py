"""Pictures of a report: the error distribution, and the worst, median and best faces."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from kfacealign import drawing, geometry
from kfacealign.data.crops import read_image
from kfacealign.evaluation.report import auc, ced
from kfacealign.files import replacing

SIDE = 224  # pixels of a face in the gallery
COLUMNS = 6
MARGIN = 1.35  # of the picture over the longer side of the landmarks' box
GREEN, RED = (60, 220, 60), (255, 50, 50)


def write_run(out, report, faces, size=SIDE):
    """Writes `report.json`, `ced.png` and `predictions.png` to a directory.

    Args:
        out: the directory; made if it is not there.
        report: a `Report`.
        faces: the `Faces` it is about, in the same order.
        size: side of a face in `predictions.png`, in pixels.

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
    for name, indices in {"full": None, **report.subsets}.items():
        errors = report.counted_errors(indices)
        if len(errors):
            x, y = ced(errors)
            end = max(limit, x[-1])
            axes.step([0, *x, end], [0, *(100 * y), 100], where="post", label=f"{name}: AUC {auc(errors, limit):.3f}")
    axes.set(xlim=(0, limit), ylim=(0, 100), ylabel="faces, %")
    axes.set_xlabel(f"NME, % of {report.normalizer.replace('_', '-')}")
    axes.grid(alpha=0.3)
    if axes.get_lines():
        axes.legend(loc="lower right", fontsize=8)
    return figure


def gallery_figure(report, faces, size=SIDE):
    """Worst, median and best faces, a row each: truth green, prediction red, the error below.

    Faces that do not count are left out; with fewer than three times six faces the rows overlap.
    """
    errors = report.face_errors
    order = np.argsort(errors, kind="stable")[: int(np.isfinite(errors).sum())]  # NaN comes last
    if not len(order):
        figure = Figure(figsize=(4, 1))
        figure.text(0.5, 0.5, "no face counts", ha="center", va="center")
        return figure
    columns = min(COLUMNS, len(order))
    middle = (len(order) - columns) // 2
    rows = {"worst": order[::-1][:columns], "median": order[middle : middle + columns], "best": order[:columns]}
    figure = Figure(figsize=(max(4.2, 2.1 * columns), 7.2), layout="constrained")
    grid = figure.subplots(3, columns, squeeze=False)
    for axes, (name, indices) in zip(grid, rows.items()):
        axes[0].set_ylabel(name)
        for axis, index in zip(axes, indices):
            axis.imshow(face_picture(report, faces, int(index), size))
            axis.set_xlabel(f"{errors[index]:.2f} %", fontsize=8)
            axis.set(xticks=[], yticks=[])
    figure.suptitle(f"truth green, prediction red; NME {errors[order].mean():.2f} % on {len(order):,} faces")
    return figure


def face_picture(report, faces, index, size=SIDE):
    """One face, `(size, size, 3)`, with its annotated landmarks in green and the predicted ones in red."""
    landmarks, weights = faces.landmarks[index], faces.weights[index]
    box = geometry.square_box(geometry.landmark_box(landmarks, weights), MARGIN)
    picture, matrix = geometry.crop(read_image(faces.images[index]), box, size)
    truth, predicted = (geometry.apply_affine(matrix, points) for points in (landmarks, report.predicted[index]))
    picture = drawing.draw_landmarks(picture, truth, faces.scheme, GREEN, weights=weights)
    return drawing.draw_landmarks(picture, predicted, faces.scheme, RED)


def write_figure(figure, path):
    """Saves a figure in the format of the path's suffix; returns the path."""
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110)
    return path
