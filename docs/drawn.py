"""What the figures share: one rendered face, colours, axes, files."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np

import kfacealign as kfa
from kfacealign import geometry

SIZE = 256
RED, BLUE, GREEN, ORANGE = "#d62728", "#1f5fbf", "#1b8a3a", "#e07b00"
TRUTH = {"marker": "+", "color": RED, "markersize": 13, "markeredgewidth": 2, "linestyle": "none"}

plt.rcParams.update({"svg.hashsalt": "kfacealign", "svg.fonttype": "none", "font.size": 9, "axes.titlesize": 10})


def crop_of(scheme="wflw98", size=SIZE):
    """A rendered face as models see it: crop `(size, size, 3)` and landmarks `(K, 2)` in crop coordinates."""
    face = kfa.data.SyntheticFaces(seed=3, size=320).render(574)
    box = geometry.square_box(geometry.landmark_box(face.landmarks["wflw98"]), 1.25)
    crop, matrix = geometry.crop(face.image, box, size)
    return crop, geometry.apply_affine(matrix, face.landmarks[scheme]) / size


def save(figure, out, name):
    """Writes a figure: lines as SVG, pictures as JPEG or PNG, by the suffix of its name."""
    path = out / name
    options = {"metadata": {"Date": None}} if path.suffix == ".svg" else {"dpi": 110}
    figure.savefig(path, bbox_inches="tight", facecolor="white", **options)
    plt.close(figure)
    return path


def show(axes, image, title, extent=(0, 1, 1, 0), **options):
    """A picture in crop coordinates, or in those of `extent`, without ticks."""
    axes.imshow(image, extent=extent, **{"interpolation": "nearest", **options})
    axes.set_title(title)
    axes.set_xticks([])
    axes.set_yticks([])


def grid(axes, start, count, step):
    """The borders of cells."""
    for place in start[0] + step * np.arange(count + 1):
        axes.axvline(place, color="white", linewidth=0.6, alpha=0.7)
    for place in start[1] + step * np.arange(count + 1):
        axes.axhline(place, color="white", linewidth=0.6, alpha=0.7)


def one_map(codec, points, point, name="heatmap"):
    """What a codec makes of the crop's landmarks: one point's map."""
    return np.asarray(codec.encode(points[None].astype("float32"))[name])[0, ..., point]
