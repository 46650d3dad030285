"""The figures of the documentation, drawn by the package's own schemes, codecs, views and models on a rendered face.

    python docs/figures.py                      # all of them, to docs/figures
    python docs/figures.py --only hih schemes   # some
    python docs/figures.py --lotr MODEL.keras   # the trained LOTR whose attention is drawn
    python docs/figures.py --only portrait      # needs scikit-image 0.26, which brings the photograph

The same code and versions give the same files, so that a figure which changes says that the code has.
"""

import argparse
import importlib.util
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import matplotlib.pyplot as plt
import numpy as np
from drawn import BLUE, GREEN, ORANGE, RED, SIZE, TRUTH, crop_of, grid, one_map, save, show
from scheme_figures import coordinates, mirror, numbered_schemes

import kfacealign as kfa
from kfacealign import drawing, files, geometry
from kfacealign.codecs import decoders
from kfacealign.data import image_files

OUT = Path(__file__).parent / "figures"
OVERFIT = Path(__file__).parents[1] / "benchmarks" / "lotr_overfit.py"
CURVE = Path(__file__).parents[1] / "benchmarks" / "your_points_curve.py"
LOTR = Path("runs/lotr/adam_smooth_wing_0/model.keras")  # as docs/results.md trains it
POINT = 82  # of wflw98: the right corner of the mouth


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=FIGURES, default=list(FIGURES), metavar="NAME", help=", ".join(FIGURES))
    parser.add_argument("--lotr", type=Path, default=LOTR, help="a trained LOTR (default %(default)s)")
    parser.add_argument("--out", type=Path, default=OUT, help="folder to write to (default %(default)s)")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name in arguments.only:
        for path in FIGURES[name](arguments):
            print(path)


# === A photograph ===


def portrait(arguments):
    """What the default preset finds on a photograph: Eileen Collins, by NASA, which scikit-image's package has as a file."""
    path = files.packaged_file("scikit-image", "astronaut.png")
    if path is None:
        print("scikit-image is not installed: portrait.jpg is left as it is (pip install scikit-image)")
        return []
    side, faces = 440, kfa.FaceLandmarks(detector="blazeface")
    photo = kfa.photo.read_photo(path)
    (face,) = faces(photo)
    whole, to_whole = geometry.crop(photo, (0, 0, *photo.shape[1::-1]), side)
    near, to_near = geometry.crop(photo, geometry.square_box(face.box, 1.6), side)
    whole = drawing.draw_landmarks(whole, geometry.apply_affine(to_whole, face.landmarks), face.scheme)
    near = drawing.draw_landmarks(near, geometry.apply_affine(to_near, face.landmarks), face.scheme, thickness=2)
    x0, y0, x1, y1 = geometry.apply_affine(to_whole, face.box.reshape(2, 2)).round().astype(int).ravel().tolist()
    cv2.rectangle(whole, (x0, y0), (x1, y1), (255, 255, 255), 1)
    image_files.write(arguments.out / "portrait.jpg", np.hstack([whole, near]), quality=88)
    return [arguments.out / "portrait.jpg"]


# === Methods ===


def methods(arguments):
    """One face as each of the five methods represents it."""
    crop, points = crop_of()
    labels = points[None].astype("float32")
    figure, row = plt.subplots(1, 5, figsize=(15, 3.4), layout="constrained")
    titles = ("HIH: heatmap in heatmap", "PIPNet: pixel in pixel", "LOTR: landmark queries")
    titles += ("Subpixel heatmaps", "Attentive 1D heatmaps")
    for axes, title in zip(row, titles, strict=False):
        show(axes, cv2.addWeighted(crop, 0.55, np.full_like(crop, 255), 0.45, 0), title)
    maps = np.asarray(kfa.codecs.HeatmapInHeatmap(64, 8).encode(labels)["heatmap"])[0].max(-1)
    row[0].imshow(maps, extent=(0, 1, 1, 0), cmap="Reds", alpha=np.clip(1.5 * maps, 0, 1), interpolation="nearest")
    cells = np.floor(points * 8) / 8
    grid(row[1], (0, 0), 8, 1 / 8)
    row[1].quiver(*cells.T, *(points - cells).T, angles="xy", scale_units="xy", scale=1, width=0.004, color=BLUE)
    grid(row[2], (0, 0), 6, 1 / 6)
    row[2].plot(*points.T, ".", color=GREEN, markersize=4)
    maps = np.asarray(kfa.codecs.ContinuousHeatmap(64).encode(labels)["heatmap"])[0].max(-1)
    row[3].imshow(maps, extent=(0, 1, 1, 0), cmap="Purples", alpha=np.clip(1.5 * maps, 0, 1), interpolation="bilinear")
    bins = (np.arange(768) + 0.5) / 768
    targets = kfa.codecs.Heatmap1D(768, sigma=4).encode(labels)
    for point in range(0, 98, 3):
        x, y = (np.asarray(targets[name])[0, :, point] for name in ("heatmap_x", "heatmap_y"))
        row[4].plot(bins, 0.15 * x, color=BLUE, linewidth=0.7)
        row[4].plot(1 - 0.15 * y, bins, color=ORANGE, linewidth=0.7)
    row[4].plot(*points[::3].T, ".", color=RED, markersize=4)
    row[4].set(xlim=(0, 1), ylim=(1, 0))
    return [save(figure, arguments.out, "methods.jpg")]


def hih(arguments):
    """The integer heatmap of a point, its cell, and the decimal heatmap inside it."""
    codec = kfa.codecs.HeatmapInHeatmap(64, 8)
    crop, points = crop_of()
    place = points[POINT]
    integer, decimal = (np.asarray(cells)[0, POINT] for cells in codec.cells(points[None].astype("float32")))
    figure, row = plt.subplots(1, 4, figsize=(13, 3.7))
    show(row[0], crop, "a landmark in a crop of 256 x 256")
    row[0].plot(*place, **TRUTH)
    show(row[1], one_map(codec, points, POINT), "integer heatmap, 64 x 64", cmap="magma")
    low, high = (integer - 3) / 64, (integer + 4) / 64
    row[1].add_patch(plt.Rectangle(low, *(high - low), fill=False, color="white"))
    show(row[2], one_map(codec, points, POINT), "its cells around the landmark", extent=(0, 64, 64, 0), cmap="magma")
    row[2].set(xlim=(integer[0] - 3, integer[0] + 4), ylim=(integer[1] + 4, integer[1] - 3))
    row[2].add_patch(plt.Rectangle(integer, 1, 1, fill=False, color="cyan", linewidth=2))
    row[2].plot(*(place * 64), **TRUTH)
    # A decimal cell is drawn around what it stands for.
    show(row[3], one_map(codec, points, POINT, "decimal"), "decimal heatmap, 8 x 8", extent=(-0.5, 7.5, 7.5, -0.5), cmap="magma")
    row[3].plot(*((place * 64 - integer) * 8), **TRUTH)
    row[3].plot(*decimal, "o", color="cyan", fillstyle="none", markersize=12)
    return [save(figure, arguments.out, "hih.jpg")]


def pipnet(arguments):
    """The 8 x 8 cells, a point's offset inside its cell, and the neighbours it votes for."""
    crop, points = crop_of("ibug68")
    model = kfa.models.PIPNet("ibug68", backbone="mobilenet_v2", backbone_width=0.25)
    point, codec = 54, model.codec
    targets = {name: np.asarray(value)[0] for name, value in codec.encode(points[None].astype("float32")).items()}
    cell, neighbors = targets["cells"][point], codec.table[point]
    figure, row = plt.subplots(1, 3, figsize=(12.6, 4.4))
    show(row[0], crop, "score: which of 8 x 8 cells holds the point")
    grid(row[0], (0, 0), 8, 1 / 8)
    row[0].imshow(targets["score"][..., point], extent=(0, 1, 1, 0), cmap="autumn", alpha=0.55 * targets["score"][..., point])
    row[0].plot(*points[point], **TRUTH)
    titles = ("offset: where in the cell, from its corner", "neighbours: where the ten nearest points are")
    for axes, title in zip(row[1:], titles, strict=False):
        show(axes, crop, title)
        grid(axes, (0, 0), 8, 1 / 8)
        axes.add_patch(plt.Rectangle(cell / 8, 1 / 8, 1 / 8, fill=False, color="yellow", linewidth=2))
    arrow = {"arrowstyle": "-|>", "color": "white", "lw": 1.5}
    row[1].annotate("", points[point], cell / 8, arrowprops=arrow)
    row[1].plot(*points[point], **TRUTH)
    middle = (cell + 0.5) / 8
    row[1].set(xlim=(middle[0] - 0.14, middle[0] + 0.14), ylim=(middle[1] + 0.14, middle[1] - 0.14))
    for neighbor in neighbors:
        row[2].annotate("", points[neighbor], cell / 8, arrowprops={**arrow, "lw": 0.9})
    row[2].plot(*points[neighbors].T, ".", color=ORANGE, markersize=9)
    row[2].plot(*points[point], **TRUTH)
    row[2].set(xlim=(0.05, 0.95), ylim=(1, 0.1))
    return [save(figure, arguments.out, "pipnet.jpg")]


def curriculum(arguments):
    """The score maps of the three tasks of self-training."""
    crop, points = crop_of("ibug68")
    codec = kfa.codecs.PixelInPixel(np.zeros((68, 0), int), 8)
    targets = codec.encode(points[None].astype("float32"))
    figure, row = plt.subplots(1, 3, figsize=(12, 4.2))
    tasks = (("score_4", "task 1: score at four times the stride"), ("score_2", "task 2: at twice"))
    tasks += (("score", "task 3: everything"),)
    for axes, (name, title) in zip(row, tasks, strict=True):
        maps = np.asarray(targets[name])[0]
        held = maps.sum(-1) / maps.sum(-1).max()
        show(axes, crop, title)
        axes.imshow(held, extent=(0, 1, 1, 0), cmap="autumn", alpha=0.6 * (held > 0), interpolation="nearest")
        grid(axes, (0, 0), len(held), 1 / len(held))
    return [save(figure, arguments.out, "curriculum.jpg")]


def attention(model, crop):
    """The cross-attention of a LOTR's last decoder layer, the mean of its heads: `(K, h, w)`, each of sum 1."""
    network = model.network
    inner = [network.get_layer(name).output for name in ("encoder", "positions")]
    memory, positions = type(network)(network.input, inner).predict(crop[None].astype("float32"), verbose=0)
    decoder, keys = network.get_layer("decoder"), memory + positions
    tokens = np.asarray(decoder.embeddings)[None]
    for own, cross, feed in zip(decoder.attentions, decoder.cross_attentions, decoder.networks, strict=True):
        tokens = own(tokens, tokens, tokens, tokens)
        _, scores = cross.attention(tokens, memory, key=keys, return_attention_scores=True)
        tokens = feed(cross(tokens, tokens, keys, memory))
    side = network.get_layer("positions").height
    return np.asarray(scores)[0].mean(0).reshape(-1, side, side)


def lotr(arguments):
    """Where landmark queries look; needs a trained model."""
    if not arguments.lotr.exists():
        print(f"{arguments.lotr} is not there: lotr.jpg is left as it is (give a trained LOTR by --lotr)")
        return []
    model = kfa.deploy.load(arguments.lotr)
    crop, _ = crop_of(size=model.input_size)
    found, maps = model.align(crop[None], verbose=0)[0][0], attention(model, crop)
    queries = ((8, "chin"), (36, "outer corner of the left eye"), (30, "tip of the nose"), (54, "right corner of the mouth"))
    figure, row = plt.subplots(1, 4, figsize=(14, 3.9))
    for axes, (query, title) in zip(row, queries, strict=True):
        large = cv2.resize(maps[query].astype("float32"), (128, 128), interpolation=cv2.INTER_NEAREST)
        show(axes, crop, f"query {query}: {title}")
        axes.imshow(large, extent=(0, 1, 1, 0), cmap="inferno", alpha=0.6)
        grid(axes, (0, 0), maps.shape[1], 1 / maps.shape[1])
        axes.plot(*found.T, ".", color="white", markersize=2)
        axes.plot(*found[query], "o", color="cyan", markersize=7, markeredgecolor="black")
    return [save(figure, arguments.out, "lotr.jpg")]


def lotr_attention(arguments):
    """Attention before and after 32 rendered faces were learnt by heart, by benchmarks/lotr_overfit.py; takes minutes."""
    path = arguments.out / "lotr_attention.jpg"
    with tempfile.TemporaryDirectory() as folder:
        faces = kfa.data.write_pts(Path(folder) / "faces", train=64, test=2)
        flags = ["--data-dir", str(faces), "--only", "gain 0.1, queries N(0, 1)", "--steps", "600", "--figure", str(path)]
        subprocess.run([sys.executable, str(OVERFIT), *flags], check=True)
    return [path]


def losses(arguments):
    """The losses of LOTR's Table 4 and their gradients."""
    error = np.linspace(-15, 15, 1201).astype("float32")
    pairs = np.stack([error, error], axis=-1)[None]
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 3.8))
    kinds = (("L1", kfa.losses.L1()), ("L2", kfa.losses.L2()), ("smooth-L1", kfa.losses.SmoothL1()))
    kinds += (("Wing", kfa.losses.Wing()), ("smooth-Wing", kfa.losses.SmoothWing()))
    for name, loss in kinds:
        value = np.asarray(loss.call(np.zeros_like(pairs), pairs))[0]
        style = {"linewidth": 2} if name == "smooth-Wing" else {"linewidth": 1}
        left.plot(error, value, label=name, **style)
        right.plot(error, np.gradient(value, error), label=name, **style)
    left.set(title="loss", xlabel="error in pixels of a 192-px crop", ylim=(0, 25))
    right.set(title="its gradient", xlabel="error in pixels of a 192-px crop", ylim=(-7, 7))
    right.legend(loc="lower right", fontsize=8)
    return [save(figure, arguments.out, "losses.svg")]


def subpixel(arguments):
    """A rounded and a continuous heatmap around their point, and what each decoder reads."""
    _, points = crop_of()
    place, size = points[POINT], 64
    rounded, continuous = kfa.codecs.Heatmap(size, sigma=2.0), kfa.codecs.ContinuousHeatmap(size)
    figure, row = plt.subplots(1, 3, figsize=(12.6, 4.2))
    readings = ((rounded, "argmax", "rounded to a cell, read by argmax"), (continuous, "argmax", "continuous, read by argmax"))
    readings += ((continuous, "local", "continuous, local soft-argmax over 7 x 7 cells"),)
    for axes, (codec, name, title) in zip(row, readings, strict=True):
        maps = one_map(codec, points, POINT)
        centre, moved = codec.cell_centre, 0.5 - codec.cell_centre
        # A cell is drawn around what it stands for.
        shift = (-moved, size - moved, size - moved, -moved)
        found = np.asarray(decoders.decode(maps[None, :, :, None], name, cell_centre=centre, window=7)[0])[0, 0]
        show(axes, maps, title, extent=shift, cmap="magma")
        cell = np.floor(place * size - centre + 0.5) + centre
        axes.set(xlim=(cell[0] - 4.5, cell[0] + 4.5), ylim=(cell[1] + 4.5, cell[1] - 4.5))
        if name == "local":
            axes.add_patch(plt.Rectangle(cell - 3.5, 7, 7, fill=False, color="white", linestyle="--"))
        axes.plot(*(place * size), **TRUTH)
        axes.plot(*(found * size), "o", color="cyan", fillstyle="none", markersize=12, markeredgewidth=2)
        lost = np.hypot(*(found - place)) * SIZE
        axes.set_xlabel(f"off by {lost:.2f} pixels of a crop of 256")
    return [save(figure, arguments.out, "subpixel.jpg")]


def heatmap1d(arguments):
    """A point's two marginals beside the crop, and the map of L x L that they stand for."""
    codec = kfa.codecs.Heatmap1D(768)
    crop, points = crop_of()
    x, y = one_map(codec, points, POINT, "heatmap_x"), one_map(codec, points, POINT, "heatmap_y")
    bins = (np.arange(768) + 0.5) / 768
    figure, axes = plt.subplots(2, 3, figsize=(9.6, 5), width_ratios=(4, 1, 4), height_ratios=(1, 4), layout="constrained")
    axes[0, 0].fill_between(bins, x, color=BLUE)
    axes[0, 0].set(xlim=(0, 1), title="heatmap_x, 768 bins", xticks=[], yticks=[])
    axes[1, 1].fill_betweenx(bins, y, color=ORANGE)
    axes[1, 1].set(ylim=(1, 0), title="heatmap_y,\n768 bins", xticks=[], yticks=[])
    show(axes[1, 0], crop, "")
    axes[1, 0].axvline(points[POINT, 0], color=BLUE, linewidth=1)
    axes[1, 0].axhline(points[POINT, 1], color=ORANGE, linewidth=1)
    axes[1, 0].plot(*points[POINT], **TRUTH)
    show(axes[1, 2], np.outer(y, x), "what they stand for: a 2D heatmap of\n768 x 768 bins that is never computed", cmap="magma")
    axes[0, 1].axis("off")
    axes[0, 2].axis("off")
    return [save(figure, arguments.out, "heatmap1d.jpg")]


# === Training and tracking ===


def views(arguments):
    """Random views of one face, its landmarks with them."""
    crop, points = crop_of(size=128)
    count = 12
    view = kfa.data.RandomView.paper("wflw98")
    draws = np.random.default_rng(5).random((count, view.draws_per_sample), "float32")
    batch = np.repeat(crop[None], count, 0), np.repeat(points[None], count, 0).astype("float32")
    images, landmarks, _ = (np.asarray(value) for value in view(batch, draws=draws))
    drawn = [drawing.draw_landmarks(i.round().astype("uint8"), p * 128, "wflw98") for i, p in zip(images, landmarks, strict=True)]
    path = arguments.out / "views.jpg"
    image_files.write(path, drawing.mosaic(drawn, 6), quality=88)
    return [path]


def own_points(arguments):
    """The error of points of one's own by the number of labelled faces: the rows that the benchmark wrote, by its own drawing."""
    spec = importlib.util.spec_from_file_location("your_points_curve", CURVE)
    curve = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(curve)
    curve.draw(curve.read_rows(Path(__file__).with_name("your_points_curve.csv")), 189, arguments.out / "own_points.svg")
    return [arguments.out / "own_points.svg"]


def one_euro(arguments):
    """A coordinate that rests, moves and rests, with noise, and what the One-Euro filter makes of it."""
    from kfacealign.tracking import OneEuro

    time = np.arange(120) / 25
    truth = 0.05 * (1 / (1 + np.exp(-(time - 2.4) * 6)))
    noisy = truth + np.random.default_rng(0).normal(0, 0.003, len(time))
    smoother = OneEuro(fps=25)
    figure, axes = plt.subplots(figsize=(8, 3.2))
    axes.plot(time, noisy, ".-", color="#bbbbbb", linewidth=0.8, markersize=3, label="with noise")
    smooth = [float(smoother(value)) for value in noisy]
    axes.plot(time, smooth, color=RED, linewidth=1.5, label="One-Euro, min_cutoff 1, beta 20")
    axes.plot(time, truth, color="black", linewidth=0.8, linestyle="--", label="truth")
    axes.set(xlabel="seconds", ylabel="x, in sides of the crop")
    axes.legend(fontsize=8)
    return [save(figure, arguments.out, "one_euro.svg")]


FIGURES = {
    "portrait": portrait,
    "coordinates": coordinates,
    "schemes": numbered_schemes,
    "mirror": mirror,
    "methods": methods,
    "hih": hih,
    "pipnet": pipnet,
    "curriculum": curriculum,
    "lotr": lotr,
    "lotr_attention": lotr_attention,
    "losses": losses,
    "subpixel": subpixel,
    "heatmap1d": heatmap1d,
    "views": views,
    "own_points": own_points,
    "one_euro": one_euro,
}

if __name__ == "__main__":
    main()
