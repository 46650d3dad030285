"""Face detectors beside each other: faces found, false boxes, time, and the error of landmarks end to end.

    python benchmarks/detectors.py YTF68/test LFPW                            # folders of photographs with .pts files
    python benchmarks/detectors.py YTF68/test --detectors blazeface haar yunet.onnx --crowds 40
    python benchmarks/detectors.py --fit blazeface YTF68/train --every 7      # the rule from its box to the landmarks' box

A face is found where a box overlaps the box of its landmarks by --overlap or more (intersection over union; by half); every
other box is false, though it may hold a person who is not annotated. A photograph without a .pts file is taken to show one
face, which any box finds. Landmarks of another number than the model's have a box, but no NME; nor has a set without .pts
files. `NME, true box` is the error of the model on crops of the annotated boxes, `NME, detected` on crops of the detector's,
both on the faces that the detector found; `gap` is their difference. Crowds are rendered faces at random places of one picture.
The detectors take turns on every photograph, so that whatever else the machine does falls on all of them; milliseconds are
medians of a photograph.

--fit prints the medians of what `kfacealign.detect.detections.BoxRule` holds, and their deviations, over the largest
detection of each photograph that overlaps the annotated face.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

import kfacealign as kfa
from kfacealign import detect, geometry, photo
from kfacealign.data.images import read_image
from kfacealign.data.readers.pts import file_pairs, read_pts
from kfacealign.detect import blazeface, yunet


def overlap(first, second):
    """Intersection over union of two boxes (4,)."""
    low, high = np.maximum(first[:2], second[:2]), np.minimum(first[2:], second[2:])
    shared = np.prod(np.maximum(high - low, 0))
    return shared / (np.prod(first[2:] - first[:2]) + np.prod(second[2:] - second[:2]) - shared)


def photographs(folder, every):
    """(image, landmarks (1, K, 2), or None where there is no .pts file) of each photograph of a folder, or of its test part."""
    images, points = file_pairs(Path(folder) / "test" if split(folder) else folder)
    for name in sorted(images)[::every]:
        yield read_image(images[name]), read_pts(points[name])[None] if name in points else None


def split(folder):
    """Whether a folder has a training and a test part."""
    return (Path(folder) / "train").is_dir() and (Path(folder) / "test").is_dir()


def crowds(count, seed=11, side=900, faces=6):
    """(image, landmarks (N, 68, 2)) of rendered faces at random places of one picture, from 50 to 200 px large."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        source = kfa.data.SyntheticFaces(seed * 1000 + number, size=256)
        canvas = np.full((side, side, 3), rng.integers(60, 200), np.uint8)
        points = []
        for cell in rng.permutation(9)[:faces]:
            face, size = source.render(int(rng.integers(10_000))), int(rng.integers(70, 290))
            x, y = (300 * np.array(divmod(cell, 3)) + rng.integers(0, 300 - size + 1, 2)).tolist()
            pixels, matrix = geometry.crop(face.image, (0, 0, 256, 256), size)
            canvas[y : y + size, x : x + size] = pixels
            points.append(geometry.apply_affine(matrix, face.landmarks["ibug68"]) + [x, y])
        yield canvas, np.stack(points)


def measured(detectors, model, pictures, least):
    """Name of the detector -> dict of what it found in the pictures."""
    figures = {name: {"faces": 0, "found": 0, "false": 0, "ms": [], "true": [], "detected": []} for name in detectors}
    for image, landmarks in pictures:
        truth = None if landmarks is None else [geometry.landmark_box(points) for points in landmarks]
        for name, detector in detectors.items():
            start = time.perf_counter()
            found = detector.detect(image)
            its = figures[name]
            its["ms"].append(1e3 * (time.perf_counter() - start))
            pairs = dict(enumerate(range(min(1, len(found))))) if truth is None else matched(truth, found.boxes, least)
            its["faces"] += 1 if truth is None else len(truth)
            its["found"] += len(pairs)
            its["false"] += len(found) - len(pairs)
            if truth is None or landmarks.shape[1] != model.scheme.num_points:
                continue
            for face, box in pairs.items():
                for key, square in (("true", truth[face]), ("detected", found.boxes[box])):
                    predicted = photo.align_squares(model, image, [geometry.square_box(square, model.enlarge)])[0]
                    its[key].append(float(np.asarray(kfa.metrics.nme(landmarks[face][None], predicted, model.scheme))[0]))
    return figures


def matched(truth, boxes, least):
    """Face -> box, each of which belongs to one face; the best pairs first."""
    pairs = [(overlap(face, box), i, j) for i, face in enumerate(truth) for j, box in enumerate(boxes)]
    found = {}
    for share, face, box in sorted(pairs, reverse=True):
        if share >= least and face not in found and box not in found.values():
            found[face] = box
    return found


def fit(name, pictures):
    """Prints the rule from the detected box to the landmarks' box."""
    blazeface.RULE = yunet.RULE = detect.detections.BoxRule(0.0, 0.0, 1.0, 1.0)
    detector, rows = detect.make(name), []
    for image, landmarks in pictures:
        truth, found = geometry.landmark_box(landmarks[0]).astype(float), detector.detect(image)
        best = max(found.boxes.astype(float), key=lambda box: overlap(truth, box), default=None)
        if best is not None and overlap(truth, best) > 0.3:
            side = (best[2:] - best[:2]).max()
            shift = ((truth[:2] + truth[2:]) - (best[:2] + best[2:])) / 2 / side
            rows.append([*shift, *(truth[2:] - truth[:2]) / side])
    rows = np.array(rows)
    for what, median, deviation in zip(("right", "down", "width", "height"), np.median(rows, axis=0), rows.std(0), strict=True):
        print(f"{what} {median:.3f} ({deviation:.3f})")
    print(f"{len(rows)} faces")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", metavar="FOLDER")
    parser.add_argument("--detectors", nargs="+", default=detect.available(), help="default: those that are installed")
    parser.add_argument("--model", help="a model's file or a preset's name (default: the bundled default)")
    parser.add_argument("--every", type=int, default=1, help="take every Nth photograph of a folder")
    parser.add_argument("--overlap", type=float, default=0.5, metavar="SHARE", help="overlap from which on a face is found")
    parser.add_argument("--crowds", type=int, default=0, metavar="N", help="rendered pictures of six faces each")
    parser.add_argument("--fit", metavar="DETECTOR")
    arguments = parser.parse_args()
    if arguments.fit:
        fit(arguments.fit, (one for folder in arguments.folders for one in photographs(folder, arguments.every)))
        return
    detectors = {Path(name).stem: detect.make(name) for name in arguments.detectors}
    model = kfa.FaceLandmarks(arguments.model, detector=next(iter(detectors.values()))).model
    sets = {Path(folder).name: photographs(folder, arguments.every) for folder in arguments.folders}
    if arguments.crowds:
        sets["rendered crowds"] = crowds(arguments.crowds)
    table = Table(title="faces found, false boxes, and NME in percent", title_justify="left")
    for heading in ("set", "detector", "found", "false", "ms", "NME, true box", "NME, detected", "gap"):
        table.add_column(heading)
    for name, pictures in sets.items():
        for detector, its in measured(detectors, model, track(list(pictures), name, transient=True), arguments.overlap).items():
            true, detected = np.mean(its["true"] or [np.nan]), np.mean(its["detected"] or [np.nan])
            errors = (f"{true:.2f}", f"{detected:.2f}", f"{detected - true:+.2f}") if its["true"] else ("", "", "")
            found = f"{its['found']} of {its['faces']}"
            table.add_row(name, detector, found, str(its["false"]), f"{np.median(its['ms']):.1f}", *errors)
    Console(width=None if Console().is_terminal else 140).print(table)


if __name__ == "__main__":
    main()
