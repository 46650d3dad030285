"""How far the rendered faces' landmarks lie from those that people or detectors give photographs, point by point.

    python benchmarks/rendered_offsets.py YTF68/train                       # a folder of images with .pts files, 68 points
    python benchmarks/rendered_offsets.py meanface.txt --scheme wflw98      # a mean face: a text file of numbers x y x y ...
    python benchmarks/rendered_offsets.py YTF68/train --points              # every point

Of a folder the mean shape of the near-frontal faces is compared, made symmetric, and the rendered one is laid on it by a
similarity (Procrustes, all points but the jaw's). Mean faces as PIPNet's authors publish them are means over crops whose two
sides were made equal, so that x and y have a scale of their own there. What is left are other definitions of the points, or
other people. Offsets are in percent of the distance between the outer corners of the eyes; x grows outwards, away from the
middle of the face, and y down.
"""

import argparse
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

import kfacealign as kfa
from kfacealign.data.definitions import frontal_mean, in_eye_frame, laid_on, symmetric
from kfacealign.data.rendered.synthetic import SyntheticFaces

FRONTAL = ("ibug68", "wflw98", "cofw29", "aflw19", "jd106")


def mean_of(source, scheme):
    """Mean shape (K, 2) of a folder or a file, and how many faces it is known to be of."""
    if not Path(source).is_file():
        return frontal_mean(kfa.data.pts(source, scheme=scheme, test_fraction=0).train.landmarks, scheme)
    numbers = np.array(Path(source).read_text(encoding="utf-8").split(), float)
    if len(numbers) != 2 * scheme.num_points:
        raise SystemExit(f"{source}: {len(numbers)} numbers; a mean face of {scheme.name} has {2 * scheme.num_points}")
    return symmetric(in_eye_frame(numbers.reshape(1, -1, 2), scheme)[0], scheme), None


def stretched_onto(shape, target, still):
    """`shape` moved onto `target`, both (K, 2), with a scale for x and one for y, by the points `still`."""
    middle, goal = shape[still].mean(0), target[still].mean(0)
    a, b = shape[still] - middle, target[still] - goal
    return (shape - middle) * (a * b).sum(0) / (a * a).sum(0) + goal


def offsets(moved, real):
    """(K, 2) percent of the inter-ocular distance, x outwards, of a shape that was laid on a real one."""
    return 100 * (moved - real) * np.stack([np.where(real[:, 0] < -1e-9, -1, 1), np.ones(len(real))], -1)


def rendered_faces(count, size, scheme):
    """Landmarks (N, K, 2) of rendered faces whose head is turned by less than 8 degrees, sideways and up or down."""
    source, found = SyntheticFaces(seed=9, size=size), []
    index = 0
    while len(found) < count:
        face = source.render(index)
        index += 1
        if abs(face.parameters["yaw"]) < 8 and abs(face.parameters["pitch"]) < 8:
            found.append(face.landmarks[scheme.name])
    return np.array(found)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", metavar="FOLDER|FILE", help="images with .pts files, or the numbers of a mean face")
    parser.add_argument("--scheme", default="ibug68", choices=FRONTAL, help="what its points are (default %(default)s)")
    parser.add_argument("--faces", type=int, default=400, help="rendered faces (default %(default)s)")
    parser.add_argument("--points", action="store_true", help="also print every point of the left half and the middle")
    arguments, console = parser.parse_args(), Console()
    scheme = kfa.schemes.get(arguments.scheme)
    still = [point for point in range(scheme.num_points) if point not in scheme.regions["contour"]]
    real, count = mean_of(arguments.source, scheme)
    rendered, drawn = frontal_mean(rendered_faces(arguments.faces, 64, scheme), scheme)
    found = offsets((laid_on if count else stretched_onto)(rendered, real, still), real)
    title = f"offsets in percent, {drawn} rendered faces and {f'{count} real ones' if count else 'a mean face'}"
    table = Table(title=title, title_justify="left", min_width=70)
    for heading in ("region", "distance", "outwards", "down"):
        table.add_column(heading, justify="left" if heading == "region" else "right")
    for name, points in {**scheme.regions, "all": range(scheme.num_points)}.items():
        part = found[list(points)]
        table.add_row(name, f"{np.linalg.norm(part, axis=1).mean():.2f}", *(f"{value:+.2f}" for value in part.mean(0)))
    console.print(table)
    for point in range(scheme.num_points) if arguments.points else ():
        if real[point, 0] <= 1e-9:
            console.print(f"{point:3d}  outwards {found[point, 0]:+.1f}  down {found[point, 1]:+.1f}")


if __name__ == "__main__":
    main()
