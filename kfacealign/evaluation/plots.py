"""Pictures of a report: the error distribution, the errors by landmark, and the worst, median and best faces."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from kfacealign import drawing, geometry, schemes
from kfacealign.console import shown
from kfacealign.data.crops import read_image
from kfacealign.files import replacing
from kfacealign.metrics.distribution import auc, ced

if TYPE_CHECKING:
    from kfacealign.data.faces import Faces
    from kfacealign.evaluation.reports import Report

SIDE = 224  # side of a face in the gallery, in pixels
COLUMNS = 6
MARGIN = 1.35  # side of the picture over the longer side of the landmarks' box
GREEN, RED = (60, 220, 60), (255, 50, 50)
SIDED = ("contour", "brows", "eyes")  # regions whose two sides are groups of their own
GAP = 1.5  # distance between groups of bars, in bars


def ced_figure(report: "Report") -> Figure:
    """The share of faces within each error, for the full set and every subset."""
    figure = Figure(figsize=(6.4, 4.8), layout="constrained")
    axes = figure.add_subplot()
    limit = max(report.thresholds)
    for name, indices in {"full": None, **report.subsets}.items():
        errors = report.counted_errors(indices)
        if len(errors):
            x, y = ced(errors)
            end = max(limit, x[-1])
            label = f"{shown(name)}: AUC {auc(errors, limit):.3f}"
            axes.step([0, *x, end], [0, *(100 * y), 100], where="post", label=label)
    axes.set(xlim=(0, limit), ylim=(0, 100), ylabel="faces, %")
    axes.set_xlabel(f"NME, % of {report.normalizer.replace('_', '-')}")
    axes.grid(alpha=0.3)
    if axes.get_lines():
        add_legend(axes)
    return plain(figure)


def landmark_figure(report: "Report", *, index: int | None = None) -> Figure:
    """The error of every landmark.

    Args:
        report: a `Report`.
        index: position of the face whose errors are shown, with the means over the set as black marks on its bars; None
            shows the means.
    """
    means = report.landmark_errors
    if index is None:
        title = f"Mean error of each landmark, {int(report.counted.sum()):,} faces"
        return landmark_errors(means, report.landmark_scheme, title=title, normalizer=report.normalizer)
    errors = np.where(report.weights[index] > 0, report.errors[index], np.nan)
    title = f"Error of each landmark, {shown(report.names[index])}; marks: mean over the set"
    return landmark_errors(errors, report.landmark_scheme, title=title, normalizer=report.normalizer, reference=means)


def landmark_errors(
    errors: np.ndarray,
    scheme: schemes.Scheme | str,
    *,
    target: Axes | str | Path | None = None,
    title: str = "",
    normalizer: str | None = None,
    reference: np.ndarray | None = None,
) -> Figure:
    """A bar for the error of every landmark, grouped by region, the left side apart from the right (PIPNet, Fig. 6).

    The numbers below the bars are the annotation's numbers of the landmarks. The dotted line across a group is its mean. NaN
    has no bar.

    Args:
        errors: `(K,)` percent, the errors of one face or the means over a set (`Report.landmark_errors`).
        scheme: a name or a `Scheme` of K points.
        target: matplotlib axes to draw into, or the path of an image file to write; None only returns the figure.
        title: title of the chart.
        normalizer: normaliser of the errors, for the label of the axis; None takes the scheme's default.
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
    axes.set_title(title, pad=32, fontsize=10, parse_math=False)
    if isinstance(target, (str, Path)):
        write_figure(axes.figure, target)
    return axes.figure


def landmark_groups(scheme: schemes.Scheme | str) -> dict[str, list[int]]:
    """Dict of group name -> the group's points in the order of the annotation; every point is in one group.

    The groups are the scheme's regions. Where the scheme has two sides, contour, brows and eyes are each two groups, and a
    point on the midline is in the left one. That makes eight groups for most schemes, and five for a profile.
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
    """The side of the image that a point of a frontal face is on, "left" or "right".

    The point's name says so; if it does not, the point of the pair that is annotated first is the left one.
    """
    for side in ("left", "right"):
        if scheme.point_names[point].startswith(f"{side}_"):
            return side
    return "left" if point <= scheme.mirror[point] else "right"


def gallery_figure(report: "Report", faces: "Faces", *, size: int = SIDE) -> Figure:
    """The worst, the median and the best faces in a row each, the truth green, the prediction red, the error below.

    Faces that do not count are left out. With fewer than three times six faces some are in more than one row.

    Args:
        report: a `Report`.
        faces: the report's `Faces`, in the same order.
        size: side of a face in pixels.
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
            axis.imshow(face_picture(report, faces, int(index), size=size))
            axis.set_xlabel(f"{errors[index]:.2f} %", fontsize=8)
            axis.set(xticks=[], yticks=[])
    figure.suptitle(f"truth green, prediction red; NME {errors[order].mean():.2f} % on {len(order):,} faces")
    return figure


def face_picture(report: "Report", faces: "Faces", index: int, *, size: int = SIDE) -> np.ndarray:
    """The face at position `index`, its annotated landmarks green and the predicted ones red, `(size, size, 3)` uint8."""
    return draw_face(
        faces.images[index],
        landmarks=faces.landmarks[index],
        weights=faces.weights[index],
        predicted=report.predicted[index],
        scheme=faces.scheme,
        size=size,
    )


def draw_face(
    image: str | os.PathLike,
    *,
    landmarks: np.ndarray,
    weights: np.ndarray,
    predicted: np.ndarray,
    scheme: schemes.Scheme | str,
    size: int = SIDE,
) -> np.ndarray:
    """A face cut out of its photograph, with its true landmarks green and the predicted ones red.

    Args:
        image: path of the photograph.
        landmarks: `(K, 2)` true landmarks in image coordinates.
        weights: `(K,)`, 0 = not annotated.
        predicted: `(K, 2)` predicted landmarks in image coordinates.
        scheme: scheme of both, a name or a `Scheme`.
        size: side of the picture in pixels.

    Returns:
        `(size, size, 3)` uint8, RGB.

    Raises:
        OSError, ValueError: the photograph cannot be read.
    """
    box = geometry.square_box(geometry.landmark_box(landmarks, weights=weights), MARGIN)
    picture, matrix = geometry.crop(read_image(image), box, size)
    truth, found = (geometry.apply_affine(matrix, points) for points in (landmarks, predicted))
    picture = drawing.draw_landmarks(picture, truth, scheme, color=GREEN, weights=weights)
    return drawing.draw_landmarks(picture, found, scheme, color=RED)


def add_legend(axes: Axes) -> None:
    """The legend of all curves in the lower right corner; matplotlib alone leaves out names that begin with `_`."""
    names = [line.get_label() for line in axes.get_lines()]
    legend = axes.legend(axes.get_lines(), [""] * len(names), loc="lower right", fontsize=8)
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set(text=name, parse_math=False)


def plain(figure: Figure) -> Figure:
    """The figure, whose texts are shown as they are: names of faces, subsets and runs are no formulas."""
    for text in figure.findobj(Text):
        text.set_parse_math(False)
    return figure


def write_figure(figure: Figure, path: Path) -> Path:
    """Writes a figure to a file in the format that its suffix names; returns the path."""
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110)
    return path
