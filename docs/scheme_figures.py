"""The figures of the conventions: coordinates, the numbered points of every scheme, and mirroring."""

import matplotlib.pyplot as plt
import numpy as np
from drawn import BLUE, GREEN, RED, crop_of, save, show

from kfacealign import drawing, schemes


def coordinates(arguments):
    """Where the first pixel is, and what crop coordinates are."""
    figure, axes = plt.subplots(figsize=(7.4, 4.4))
    for line in range(5):
        axes.plot([line, line], [0, 4], color="#999999", linewidth=0.8)
        axes.plot([0, 4], [line, line], color="#999999", linewidth=0.8)
    for x in range(4):
        for y in range(4):
            axes.plot(x + 0.5, y + 0.5, ".", color="#bbbbbb", markersize=4)
    marked = (
        (0, 0, "(0, 0): outer corner of the first pixel\ncrop coordinates (0, 0)", RED),
        (0.5, 0.5, "(0.5, 0.5): centre of the first pixel", BLUE),
        (2.25, 1.75, "(2.25, 1.75): a landmark\ncrop coordinates (0.5625, 0.4375)", GREEN),
        (4, 4, "(4, 4): outer corner of the last pixel\ncrop coordinates (1, 1)", RED),
    )
    for place, (x, y, text, color) in zip((-0.15, 0.85, 1.95, 3.75), marked, strict=True):
        axes.plot(x, y, "o", color=color, markersize=7)
        line = {"arrowstyle": "-", "color": color, "lw": 0.8}
        axes.annotate(text, (x, y), (4.7, place), color=color, va="center", arrowprops=line)
    axes.annotate("", (4.35, -0.45), (-0.05, -0.45), arrowprops={"arrowstyle": "->"})
    axes.annotate("", (-0.45, 4.35), (-0.45, -0.05), arrowprops={"arrowstyle": "->"})
    axes.text(2, -0.75, "x, to the right", ha="center")
    axes.text(-0.85, 2, "y, downwards", va="center", rotation=90)
    axes.text(2, 4.5, "an image, or a crop, of 4 x 4 pixels", ha="center", va="top")
    axes.set(xlim=(-1.1, 8.6), ylim=(4.8, -1.1), aspect="equal")
    axes.axis("off")
    return [save(figure, arguments.out, "coordinates.svg")]


def beside(scheme, points):
    """Where the number of each point stands, in typographic points from it: outside of closed lines, else above."""
    offsets = np.tile((0.0, 8.0), (len(points), 1))
    for contour in scheme.contours:
        if contour.closed:
            places = points[list(contour.points)]
            away = (places - places.mean(0)) * (1, -1)
            # The corners of the inner lips lie on those of the outer ones: their numbers go inside.
            inner = contour.name == "inner_lip"
            flat = np.abs(away[:, 0]) > 0.95 * np.abs(away[:, 0]).max()
            away[:, 1] = np.where(flat, 0, np.sign(away[:, 1]) * np.maximum(np.abs(away[:, 1]), np.abs(away).max() * 0.7))
            away[:, 0] = np.where(flat & inner, -away[:, 0], np.where(flat, away[:, 0], 0.5 * away[:, 0]))
            offsets[list(contour.points)] = 8 * away / np.linalg.norm(away, axis=1, keepdims=True)
    for point, place in enumerate(points):
        same = np.flatnonzero(np.linalg.norm(points - place, axis=1) < 0.006)
        if len(same) == 2:  # the centre of an eye and its pupil
            offsets[point] = (-9, 0) if point == same[0] else (11, 0)
    return offsets


def numbered_schemes(arguments):
    """Every scheme's mean shape with the number of each point."""
    paths = []
    for scheme in schemes.SCHEMES.values():
        points = scheme.mean_shape
        limits = [((0.05, 0.95), (0.95, 0.05))]
        if scheme.name == "menpo39":  # a profile's nose and lips, again and larger
            limits.append(((0.45, 0.77), (0.73, 0.41)))
        figure, row = plt.subplots(1, len(limits), figsize=(8 * len(limits), 8), squeeze=False)
        for axes, (across, down) in zip(row[0], limits, strict=True):
            for first, second in drawing.segments(scheme):
                axes.plot(*points[[first, second]].T, color="#bbbbbb", linewidth=0.8, zorder=1)
            axes.plot(*points.T, ".", color=BLUE, markersize=5, zorder=2)
            for number, (place, offset) in enumerate(zip(points, beside(scheme, points), strict=True)):
                if across[0] < place[0] < across[1] and down[1] < place[1] < down[0]:
                    axes.annotate(str(number), place, offset, textcoords="offset points", ha="center", va="center", fontsize=7)
            axes.set(xlim=across, ylim=down, aspect="equal")
            axes.axis("off")
        paths.append(save(figure, arguments.out, f"scheme_{scheme.name}.svg"))
    return paths


def mirror(arguments):
    """A mirror turns x to 1 - x, and points to their counterparts."""
    scheme = schemes.get("aflw19")
    crop, points = crop_of("aflw19", 192)
    mirrored = np.stack([1 - points[:, 0], points[:, 1]], axis=-1)
    steps = (
        (crop, points, "a crop and its landmarks", BLUE),
        (crop[:, ::-1], mirrored, "x becomes 1 - x", RED),
        (crop[:, ::-1], mirrored[list(scheme.mirror)], "then landmarks[mirror]", GREEN),
    )
    figure, row = plt.subplots(1, 3, figsize=(12, 4.2))
    for axes, (picture, places, title, color) in zip(row, steps, strict=True):
        show(axes, picture, title)
        axes.plot(*places.T, ".", color=color, markersize=8, markeredgecolor="white", markeredgewidth=0.5)
        for number, place in enumerate(places):
            axes.annotate(str(number), place, (3, 3), textcoords="offset points", color="white", fontsize=9, weight="bold")
    return [save(figure, arguments.out, "mirror.jpg")]
