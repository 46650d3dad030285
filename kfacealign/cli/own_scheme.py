"""`kfacealign datasets scheme`: a file points.yaml for points that are of no scheme of this package."""

import argparse
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from kfacealign import data, drawing, mirrors, scheme_files, schemes
from kfacealign.cli.arguments import add_missing, add_part, add_scheme
from kfacealign.console import shown
from kfacealign.data.image_files import write as write_image
from kfacealign.data.mean_shape import aligned, mean_shape, mirror_doubts
from kfacealign.data.readers import csv_lists, pts, texts
from kfacealign.files import replacing
from kfacealign.landmark_scheme import MOST_POINTS
from kfacealign.schemes import Scheme

SIDE = 1200  # pixels of a drawing of up to `MANY` points
MANY = 100
LEFT, RIGHT, MIDDLE = (30, 90, 220), (220, 60, 30), (0, 140, 60)
DOUBTFUL = 0.04  # of the face: pairs that are farther apart are named
NAMED = 8
COMMENTS = {
    "name": "Points of your own, for --scheme. They count from 0 in the order of the annotation files; left and right are sides "
    "of\nthe image. See docs/your_points.md.",
    "names": "A name for each point instead of their number, such as\n  names: [left_eye, right_eye]",
    "mirror": "What each point becomes when the image is mirrored, found in the mean shape of {faces}: look at it with --draw.",
    "regions": "Groups of points, for tables of errors, such as\n  regions: {{eyes: [0, 1], mouth: [3, 4]}}",
    "contours": "Lines to draw, such as\n  contours: {{brow: [0, 1, 2], eye: {{points: [3, 4, 5, 6], closed: true}}}}",
    "eye_corners": "The outer corners of the left and the right eye, by whose distance errors are divided, such as\n"
    "  eye_corners: [0, 1]\nWithout them it is the box of the landmarks.",
    "mean_shape": "The mean shape of {faces}, x and y in the crop of a face.",
}


def add_arguments(parts: Any) -> None:
    """Adds the part to those of `kfacealign datasets`."""
    part = add_part(
        parts,
        "scheme",
        "write a scheme for points of your own",
        "Writes points.yaml for the points of a folder: their number, what each becomes in a mirror, which is found in the "
        "mean shape of the faces, and that shape. Names, regions, contours and the corners of the eyes are left to you. With "
        "--scheme, a file that is there is compared with the faces instead, and the exit status is 1 if its mirror does not fit "
        "them.",
    )
    part.add_argument("root", metavar="DIR", help="images with .pts files beside them, or lists in HRNet's CSV format")
    add_scheme(part, "compare this scheme with the faces, and write none")
    part.add_argument("--name", metavar="NAME", help="name of the scheme (default: the folder's)")
    part.add_argument("--out", default="points.yaml", metavar="FILE", help="the file (default %(default)s)")
    part.add_argument("--overwrite", action="store_true", help="replace the file if it is there")
    part.add_argument(
        "--draw",
        metavar="FILE",
        help="draw the numbered points on the mean shape and on a face: left side blue, right side red, middle green",
    )
    add_missing(part)


def run(console: Console, arguments: argparse.Namespace) -> int:
    """Writes or compares a scheme; returns the exit status."""
    out = Path(arguments.out)
    if arguments.scheme is None and out.exists() and not arguments.overwrite:
        raise ValueError(
            f"{out} is there already: name another file with --out, look at it with --scheme {out}, or --overwrite it"
        )
    given = arguments.scheme is not None
    scheme = schemes.get(arguments.scheme) if given else unnamed(arguments.root, arguments.name)
    faces = read(arguments.root, scheme, arguments.missing)
    shape = mean_shape(faces)
    count = sum(map(len, faces))
    console.print(f"{shown(arguments.root)}: {count:,} faces of {scheme.num_points} points", soft_wrap=True)
    doubts, written = "", []
    if not given:
        scheme = found(scheme, shape, faces)
        tell(console, scheme, shape)
        comments = {key: text.format(faces=f"{count:,} faces") for key, text in COMMENTS.items()}
        with replacing(out) as temporary:
            temporary.write_text(scheme_files.text(scheme, comments=comments), encoding="utf-8")
        written.append(out)
    else:
        doubts = mirror_doubts(shape, scheme.mirror)
        console.print(doubts or f"the mirror of {scheme.name} fits the faces", style="yellow" if doubts else None, soft_wrap=True)
    if arguments.draw:
        write_image(arguments.draw, picture(scheme, shape, faces))
        written.append(Path(arguments.draw))
    for path in written:
        console.print(f"written: {shown(path)}", soft_wrap=True)
    return int(bool(doubts))


def unnamed(root: str, name: str | None) -> Scheme:
    """A scheme of as many points as a folder's first annotation has, each of which is its own mirror image.

    Raises:
        FileNotFoundError: there are neither `.pts` files nor lists.
        ValueError: the first of them is malformed, or the name is that of a built-in scheme.
    """
    if not Path(root).is_dir():
        raise FileNotFoundError(
            f"{root} is no directory: expected a folder of images with .pts files beside them, or of CSV lists"
        )
    name = Path(root).resolve().name if name is None else name
    if name in scheme_files.RESERVED:
        raise ValueError(f"{name} is a scheme of this package: choose another --name")
    files, lists = sorted(pts.file_pairs(root)[1].values()), sorted(Path(root).glob("*.csv"))
    if files:
        first, count = files[0], len(pts.read_pts(files[0]))
    elif lists:
        first, header = lists[0], texts.read_table(lists[0])[0]
        count = (len(header) - 4) // 2
    else:
        raise FileNotFoundError(f"{root} holds neither .pts files nor CSV lists, whose points could be counted")
    if not 1 <= count <= MOST_POINTS:
        raise ValueError(f"{first}: {count} points, expected 1 to {MOST_POINTS:,}")
    return Scheme.from_config(
        {"name": name, "point_names": [f"point_{number}" for number in range(count)], "mirror": list(range(count))}
    )


def read(root: str, scheme: Scheme, missing: Sequence) -> list[data.Faces]:
    """The faces of a folder: its training and its test part, where they have any."""
    reader = pts.pts if pts.file_pairs(root)[1] else csv_lists.csv_lists
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of files without counterparts, which `datasets check` names
        dataset = reader(root, scheme=scheme, missing=missing)
    return [part for part in (dataset.train, dataset.test) if len(part)]


def found(scheme: Scheme, shape: np.ndarray, faces: Sequence[data.Faces]) -> Scheme:
    """The scheme with the mirror that the mean shape and the faces tell, and with the shape."""
    mirror, _ = mirrors.by_shape(shape, faces=aligned(faces, shape))
    points = [[float(x), float(y)] for x, y in shape]
    return Scheme.from_config({**scheme.get_config(), "mirror": list(mirror), "mean_shape": points})


def tell(console: Console, scheme: Scheme, shape: np.ndarray) -> None:
    """Prints how many pairs there are, and those that the mean shape leaves in doubt."""
    apart = mirrors.distances(shape, scheme.mirror)
    middle = sum(point == other for point, other in enumerate(scheme.mirror))
    console.print(
        f"mirror: {(scheme.num_points - middle) // 2} pairs and {middle} points on the middle; mirror images lie "
        f"{100 * np.median(apart):.1f} % of the face's side apart in the median, {100 * apart.max():.1f} % at most "
        f"(point {apart.argmax()})",
        soft_wrap=True,
    )
    far = [point for point in np.argsort(-apart).tolist() if apart[point] > DOUBTFUL]
    pairs = list(dict.fromkeys(tuple(sorted((point, scheme.mirror[point]))) for point in far))
    if pairs:
        which = ", ".join(f"{one} and {other}" for one, other in pairs[:NAMED]) + ", ..." * (len(pairs) > NAMED)
        console.print(f"look at these pairs: {which}", style="yellow", soft_wrap=True)


# === Drawing ===


def picture(scheme: Scheme, shape: np.ndarray, faces: Sequence[data.Faces]) -> np.ndarray:
    """The numbered points on the mean shape and, where a photograph can be read, on the face that is most like it."""
    side = SIDE * (2 if scheme.num_points > MANY else 1)
    panels = [numbered(np.full((side, side, 3), 255, "uint8"), shape, scheme)]
    part, place = nearest(shape, faces)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a photograph that cannot be read leaves its panel out
        crops = data.Crops(part[[place]], side, cache=None)
        pixels, landmarks, weights = crops.batch(np.arange(1))
    if not crops.failures:
        panels.append(numbered(pixels[0], np.where(weights[0][:, None] > 0, landmarks[0], np.nan), scheme))
    return np.hstack(panels)


def numbered(image: np.ndarray, points: np.ndarray, scheme: Scheme) -> np.ndarray:
    """An image with landmarks in crop coordinates, numbered and coloured by their side."""
    side = image.shape[0]
    points = np.asarray(points, "float64") * side
    middle = np.array([point == other for point, other in enumerate(scheme.mirror)])
    left = ~middle & (points[:, 0] <= points[list(scheme.mirror), 0])
    made = drawing.draw_landmarks(image, points, scheme, color=(150, 150, 150), thickness=side / 600)
    for chosen, color in ((left, LEFT), (~middle & ~left, RIGHT), (middle, MIDDLE)):
        its = np.where(chosen[:, None], points, np.nan)
        made = drawing.draw_landmarks(made, its, scheme, color=color, contours=False, thickness=side / 400)
        made = drawing.draw_numbers(made, its, scale=0.4 if scheme.num_points > MANY else 0.5, color=color)
    return made


def nearest(shape: np.ndarray, faces: Sequence[data.Faces]) -> tuple[data.Faces, int]:
    """The part and the position of the face whose points lie most like the mean shape; faces with all points go first."""
    best = None
    for part in faces:
        for place in range(len(part)):
            known = part.weights[place] > 0
            low, high = part.landmarks[place][known].min(0), part.landmarks[place][known].max(0)
            inside = 0.5 + 0.8 * (part.landmarks[place] - (low + high) / 2) / (high - low).max()
            distance = (~known).sum(), float(np.abs(inside - shape)[known].mean())
            if best is None or distance < best[0]:
                best = distance, part, place
    return best[1:]
