"""Pictures of a report: the error distribution, the errors by landmark, and the worst, median and best faces."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from kfacealign import drawing, geometry, schemes
from kfacealign.data.crops import read_image
from kfacealign.files import replacing
from kfacealign.metrics.distribution import auc, ced

SIDE = 224  # pixels of a face in the gallery
COLUMNS = 6
MARGIN = 1.35  # of the picture over the longer side of the landmarks' box
GREEN, RED = (60, 220, 60), (255, 50, 50)
SIDED = ("contour", "brows", "eyes")  # regions whose two sides are groups of their own
GAP = 1.5  # between groups of bars, in bars


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


def landmark_figure(report, index=None):
    """The mean error of every landmark; of the face at `index` alone, with the means as black marks on its bars."""
    means = report.landmark_errors
    if index is None:
        title = f"Mean error of each landmark, {int(report.counted.sum()):,} faces"
        return landmark_errors(means, report.scheme, title=title, normalizer=report.normalizer)
    errors = np.where(report.weights[index] > 0, report.errors[index], np.nan)
    title = f"Error of each landmark, {report.names[index]}; marks: mean over the set"
    return landmark_errors(errors, report.scheme, title=title, normalizer=report.normalizer, reference=means)


def landmark_errors(errors, scheme, target=None, title="", normalizer=None, reference=None):
    """A bar for the error of every landmark, grouped by region with the sides apart (PIPNet, Fig. 6).

    Numbers below the bars are those of the annotation; the line across a group is its mean. NaN has no bar.

    Args:
        errors: `(K,)` percent, of one face or means over a set (`Report.landmark_errors`).
        scheme: a name or a `Scheme` of K points.
        target: where to draw: matplotlib axes, or the path of an image file; None only returns the figure.
        title: of the chart.
        normalizer: of the errors, for the label of the axis; None takes the scheme's default.
        reference: `(K,)` percent, drawn as a mark on each bar; None draws none.

    Returns:
        The matplotlib figure.

    Raises:
        ValueError: the errors are not K numbers.
    """
    scheme = schemes.get(scheme)
    errors = np.asarray(errors, "float64")
    if errors.shape != (scheme.num_points,):
        raise ValueError(f"{scheme.name} has {scheme.num_points} landmarks, got errors of shape {errors.shape}")
    axes = target
    if target is None or isinstance(target, (str, Path)):
        width = 2 + 0.13 * (scheme.num_points + GAP * 8)
        axes = Figure(figsize=(max(7, width), 4), layout="constrained").add_subplot()
    places, points = [], []
    start = 0.0
    for number, (name, group) in enumerate(landmark_groups(scheme).items()):
        x = start + np.arange(len(group))
        axes.bar(x, np.nan_to_num(errors[group]), width=0.8, color=f"C{number}")
        known = errors[group][np.isfinite(errors[group])]
        label = f"{name}\n{known.mean():.2f}" if len(known) else f"{name}\n-"
        axes.text(x.mean(), 1.01, label, transform=axes.get_xaxis_transform(), ha="center", va="bottom", fontsize=8)
        if len(known):
            axes.hlines(known.mean(), x[0] - 0.5, x[-1] + 0.5, color="0.25", linewidth=1, linestyle=":")
        places += list(x)
        points += list(group)
        start = x[-1] + 1 + GAP
    if reference is not None:
        axes.plot(places, np.asarray(reference)[points], linestyle="", marker="_", markersize=6, color="black")
    axes.set_xticks(places, points, rotation=90, fontsize=6)
    axes.set_xlim(-1, start - GAP)
    axes.set_ylim(bottom=0)
    unit = (normalizer or scheme.default_normalizer).replace("_", "-")
    axes.set(xlabel="landmark; dotted: mean of the region", ylabel=f"error, % of {unit}")
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)
    axes.set_title(title, pad=32, fontsize=10)
    if isinstance(target, (str, Path)):
        write_figure(axes.figure, target)
    return axes.figure


def landmark_groups(scheme):
    """Dict of group name -> its points in the order of the annotation; every point is in one group.

    The groups are the scheme's regions; contour, brows and eyes are halved where the scheme has two sides, a point on
    the midline counted to the left. That is eight groups for most schemes, five for a profile.
    """
    scheme = schemes.get(scheme)
    groups = {}
    for region, points in scheme.regions.items():
        sided = region in SIDED and any(scheme.mirror[point] != point for point in points)
        for side in ("left", "right") if sided else (None,):
            name = region if side is None else f"{side} {region.removesuffix('s')}"
            groups[name] = [point for point in sorted(points) if side in (None, _side(scheme, point))]
    return groups


def _side(scheme, point):
    """Which side of the image a point of a frontal face is on: by its name, else the one annotated first is left."""
    for side in ("left", "right"):
        if scheme.point_names[point].startswith(f"{side}_"):
            return side
    return "left" if point <= scheme.mirror[point] else "right"


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
    for axes, (name, indices) in zip(grid, rows.items(), strict=False):
        axes[0].set_ylabel(name)
        for axis, index in zip(axes, indices, strict=False):
            axis.imshow(face_picture(report, faces, int(index), size))
            axis.set_xlabel(f"{errors[index]:.2f} %", fontsize=8)
            axis.set(xticks=[], yticks=[])
    figure.suptitle(f"truth green, prediction red; NME {errors[order].mean():.2f} % on {len(order):,} faces")
    return figure


def face_picture(report, faces, index, size=SIDE):
    """One face, `(size, size, 3)`, with its annotated landmarks in green and the predicted ones in red."""
    truth = faces.images[index], faces.landmarks[index], faces.weights[index]
    return draw_face(*truth, report.predicted[index], faces.scheme, size)


def draw_face(image, landmarks, weights, predicted, scheme, size=SIDE):
    """The face in the photograph at path `image`, `(size, size, 3)`: `landmarks` green, `predicted` red, both `(K, 2)`.

    Raises:
        OSError, ValueError: the photograph cannot be read.
    """
    box = geometry.square_box(geometry.landmark_box(landmarks, weights), MARGIN)
    picture, matrix = geometry.crop(read_image(image), box, size)
    truth, found = (geometry.apply_affine(matrix, points) for points in (landmarks, predicted))
    picture = drawing.draw_landmarks(picture, truth, scheme, GREEN, weights=weights)
    return drawing.draw_landmarks(picture, found, scheme, RED)


def write_figure(figure, path):
    """Saves a figure in the format of the path's suffix; returns the path."""
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110)
    return path
