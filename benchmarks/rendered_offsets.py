"""How far the rendered faces' landmarks lie from those that people or detectors give photographs, point by point.

    python benchmarks/rendered_offsets.py YTF68/train              # a folder of images with .pts files, 68 points
    python benchmarks/rendered_offsets.py YTF68/train --points     # every point

The mean shape of the near-frontal faces of each kind is made symmetric, and the rendered one is laid on the real one by a
similarity (Procrustes, all points but the jaw's). What is left are other definitions of the points, or other people. Offsets are
in percent of the distance between the outer corners of the eyes; x grows outwards, away from the middle of the face, and y down.
"""

import argparse

import numpy as np
from rich.console import Console
from rich.table import Table

import kfacealign as kfa
from kfacealign.data.rendered.synthetic import SyntheticFaces

SHARE = 0.25  # of the faces, the most symmetric, count as seen from the front
SCHEME = kfa.schemes.get("ibug68")
JAW = 17


def normalised(landmarks):
    """Landmarks (N, 68, 2) with the eyes' outer corners at (-0.5, 0) and (0.5, 0)."""
    points = landmarks[..., 0] + 1j * landmarks[..., 1]
    left, right = (points[:, [corner]] for corner in SCHEME.eye_corners)
    points = (points - (left + right) / 2) / (right - left)
    return np.stack([points.real, points.imag], -1)


def mean_of_frontal(landmarks):
    """Symmetric mean shape (68, 2) of the faces that are most like their own mirror image, and how many they are."""
    shapes, mirror = normalised(np.asarray(landmarks, float)), list(SCHEME.mirror)
    asymmetry = np.abs(shapes - shapes[:, mirror] * (-1, 1))[..., 0].mean(1)
    chosen = shapes[asymmetry <= np.quantile(asymmetry, SHARE)]
    mean = chosen.mean(0)
    return (mean + mean[mirror] * (-1, 1)) / 2, len(chosen)


def laid_on(shape, target):
    """`shape` moved, turned and scaled onto `target`, both (68, 2), by the points that are not the jaw's."""
    a, b = (points[:, 0] + 1j * points[:, 1] for points in (shape, target))
    middle, goal = a[JAW:].mean(), b[JAW:].mean()
    turn = np.vdot(a[JAW:] - middle, b[JAW:] - goal) / np.vdot(a[JAW:] - middle, a[JAW:] - middle)
    moved = (a - middle) * turn + goal
    return np.stack([moved.real, moved.imag], -1)


def offsets(rendered, real):
    """(68, 2) percent of the inter-ocular distance, x outwards."""
    found = 100 * (laid_on(rendered, real) - real)
    return found * np.stack([np.where(real[:, 0] < -1e-9, -1, 1), np.ones(len(real))], -1)


def rendered_faces(count, size):
    """Landmarks (N, 68, 2) of rendered faces whose head is turned by less than 8 degrees, sideways and up or down."""
    source, found = SyntheticFaces(seed=9, size=size), []
    index = 0
    while len(found) < count:
        face = source.render(index)
        index += 1
        if abs(face.parameters["yaw"]) < 8 and abs(face.parameters["pitch"]) < 8:
            found.append(face.landmarks["ibug68"])
    return np.array(found)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", metavar="FOLDER", help="images with .pts files of 68 points")
    parser.add_argument("--faces", type=int, default=400, help="rendered faces (default %(default)s)")
    parser.add_argument("--points", action="store_true", help="also print every point of the left half and the middle")
    arguments, console = parser.parse_args(), Console()
    real, count = mean_of_frontal(kfa.data.pts(arguments.folder, scheme="ibug68", test_fraction=0).train.landmarks)
    rendered, drawn = mean_of_frontal(rendered_faces(arguments.faces, 64))
    found = offsets(rendered, real)
    table = Table(title=f"offsets in percent, {drawn} rendered and {count} real faces", title_justify="left", min_width=70)
    for heading in ("region", "distance", "outwards", "down"):
        table.add_column(heading, justify="left" if heading == "region" else "right")
    for name, points in {**SCHEME.regions, "all": range(SCHEME.num_points)}.items():
        part = found[list(points)]
        table.add_row(name, f"{np.linalg.norm(part, axis=1).mean():.2f}", *(f"{value:+.2f}" for value in part.mean(0)))
    console.print(table)
    for point in range(SCHEME.num_points) if arguments.points else ():
        if real[point, 0] <= 1e-9:
            console.print(f"{point:3d}  outwards {found[point, 0]:+.1f}  down {found[point, 1]:+.1f}")


if __name__ == "__main__":
    main()
