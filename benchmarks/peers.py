"""Landmark projects whose packages and weights pip installs, beside kfacealign's models on the same faces.

    pip install dlib-bin face_recognition_models                # dlib 20; its weights are not for commercial products
    pip download --no-deps mediapipe==0.10.14                   # a wheel with the mesh in it, which newer ones lack
    python benchmarks/peers.py --data-dir YTF68 --every 16 --mediapipe mediapipe-0.10.14-*.whl
    python benchmarks/peers.py --data-dir PORTRAITS --detector blazeface --person '.*' --mediapipe mediapipe-0.10.14-*.whl

The wheel is read, not installed. A peer that is not there is left out, and a sentence says so. All systems get the same boxes of
the same photographs: those of the annotated points or, with --detector, those of a detector that overlap them; a face that it
misses is left out. The projects' detectors have boxes of their own. So of some sizes and shifts of the box, each peer has those
that serve it best on every Nth training face (--every N); ours have what they were trained with. The table says which: side of
the square over that of the box, shift downwards in sides of the box and, for the mesh, side of its second, upright crop over that
of the box of all of its points. dlib gets faces made as large as 300 px, because its answers are whole pixels; its second row has
the boxes that its own detector finds there, on which its weights were trained.

Points are of other definitions where others annotated them, above all those of the mesh, which was not made for iBUG's 68. So the
last columns have the error without each point's constant offset in the frame of the eyes, fitted on the same training faces (see
model_offsets.py), and boxes are chosen by it. What this leaves is what a system errs by from face to face. Our models that were
trained on the training part of the same data know its definitions; those called clean have seen no photograph. Points that are
not annotated in every face count nowhere.

Errors are in percent of the inter-ocular distance, intervals of 95 % over people, as the names of the pictures tell them or as
--person does. With --runs the systems take turns on one face, and the medians of their landmark step alone (no detector, no crop;
one reading by the mesh) stand beside the ratio to the first of ours. dlib's predictor runs on one thread.
"""

import argparse
import dataclasses
import time

import cv2
import numpy as np
from model_offsets import axes, offsets, without
from peer_systems import Bundled, best, peers
from rich.console import Console
from rich.progress import track
from rich.table import Table

import kfacealign as kfa
from kfacealign import detect, geometry
from kfacealign.data.images import read_image
from kfacealign.data.people import guessed, who
from kfacealign.evaluation.comparison import bootstrap_interval
from kfacealign.metrics.distribution import failure_rate

PRESETS = ("pipnet_lite0_ibug68", "pipnet_lite0_256_ibug68", "pipnet_lite0_clean_ibug68")
WARM_UP = 5
PAUSE = 0.01  # seconds between two steps, in which threads that look for more work give up


@dataclasses.dataclass
class Photographs:
    """Images, boxes (N, 4) and true points (N, K, 2) of faces, and who they are."""

    images: list
    boxes: np.ndarray
    truth: np.ndarray
    people: list


def photographs(faces, detector, person):
    """The `Photographs` of faces; with a detector, of those that it finds."""
    names = guessed(faces.names) if person is None else who(faces, person)
    detector = None if detector is None else detect.make(detector)
    images, boxes, kept = [], [], []
    for place in track(range(len(faces)), "reading photographs", transient=True):
        image = read_image(faces.images[place])
        box = geometry.landmark_box(faces.landmarks[place], weights=faces.weights[place])
        box = box if detector is None else best(detect.find_faces(image, detector=detector), box)
        if box is not None:
            images.append(image)
            boxes.append(box)
            kept.append(place)
    truth = np.asarray(faces.landmarks[kept], "float64")
    return Photographs(images, np.array(boxes), truth, [names[place] for place in kept])


def answers(system, setting, photographs):
    """Points (N, K, 2) that a system finds."""
    pairs = zip(photographs.images, photographs.boxes, strict=True)
    return np.array([system.read(image, box, setting) for image, box in pairs], "float64")


class Frame:
    """What is measured: the points that are annotated in every face, the outer eye corners among them, and the regions."""

    def __init__(self, scheme, weights):
        self.points = np.flatnonzero((weights > 0).all(0))
        if not np.isin(scheme.eye_corners, self.points).all():
            raise SystemExit("the outer corners of the eyes are not annotated in every face, and errors are measured by them")
        self.eyes = tuple(np.searchsorted(self.points, scheme.eye_corners).tolist())
        places = {name: np.flatnonzero(np.isin(self.points, points)) for name, points in scheme.regions.items()}
        self.regions = {name: found for name, found in places.items() if len(found)}

    def errors(self, predicted, truth):
        """Signed errors (N, P, 2) of the points that count, in percent."""
        predicted, truth = predicted[:, self.points], truth[:, self.points]
        return 100 * (predicted - truth) / axes(truth, self.eyes)[0][:, None, None]

    def offsets(self, predicted, truth):
        return offsets(predicted[:, self.points], truth[:, self.points], self.eyes)

    def without(self, predicted, constant):
        """The answers less their constant offsets."""
        predicted = predicted.copy()
        predicted[:, self.points] = without(predicted[:, self.points], constant, self.eyes)
        return predicted


def lengths(errors):
    """Mean error (N,) of each face, of signed errors (N, P, 2)."""
    return np.linalg.norm(errors, axis=-1).mean(1)


def chosen(system, photographs, frame, advance=lambda: None):
    """The setting with the least NME without constant offsets, and the answers with it."""
    found, errors = {}, {}
    for setting in system.settings:
        found[setting] = predicted = answers(system, setting, photographs)
        bare = frame.without(predicted, frame.offsets(predicted, photographs.truth))
        errors[setting] = lengths(frame.errors(bare, photographs.truth)).mean()
        advance()
    least = min(errors, key=errors.get)
    return least, found[least]


def measured(systems, train, test, frame):
    """Name of the system -> its setting and the signed errors (N, P, 2) on the test faces, as they are and without offsets."""
    found = {}
    for system in systems:
        tried = iter(track(range(len(system.settings)), system.name, transient=True))
        next(tried)
        setting, fitted = chosen(system, train, frame, lambda tried=tried: next(tried, None))
        predicted = answers(system, setting, test)
        bare = frame.without(predicted, frame.offsets(fitted, train.truth))
        found[system.name] = setting, frame.errors(predicted, test.truth), frame.errors(bare, test.truth)
    return found


def medians(steps, runs):
    """Name -> median milliseconds of a step, the steps taking turns in an order that changes."""
    taken, names, random = {name: [] for name in steps}, list(steps), np.random.default_rng(0)
    for run in track(range(WARM_UP + runs), "timing", transient=True):
        for name in random.permutation(names):
            time.sleep(PAUSE)
            start = time.perf_counter()
            steps[name]()
            if run >= WARM_UP:
                taken[name].append(1e3 * (time.perf_counter() - start))
    return {name: float(np.median(times)) for name, times in taken.items()}


def summary(setting, errors, bare, groups):
    """Cells of a system's row: setting, NME, median, FR, signed errors, and NME and median without offsets."""
    cells = [str(setting)]
    for part in (errors, bare):
        faces = lengths(part)
        low, high = bootstrap_interval(faces, groups=groups)
        cells += [f"{faces.mean():.2f} ({low:.2f} to {high:.2f})", f"{np.median(faces):.2f}"]
        if part is errors:
            cells += [f"{failure_rate(faces, 10):.2f}", *(f"{value:+.2f}" for value in errors.mean((0, 1)))]
    return cells


def by_region(errors, bare, regions):
    """Cells of each region: its name, NME, signed errors, NME without offsets."""
    for name, points in regions.items():
        part = errors[:, points]
        yield [
            name,
            f"{lengths(part).mean():.2f}",
            *(f"{value:+.2f}" for value in part.mean((0, 1))),
            f"{lengths(bare[:, points]).mean():.2f}",
        ]


def tables(found, groups, frame, title, times):
    """The table of the systems and the one by region.

    Args:
        found: what `measured` returned.
        groups: (N,) number of the person of each test face.
        frame: the `Frame`.
        title: of both.
        times: name -> milliseconds of a step, or None.
    """
    first = Table(title=title, title_justify="left")
    headings = ["system", "box", "NME", "median", "FR 10 %", "x", "y", "NME without offsets", "median"]
    for heading in headings + (["ms", "ratio"] if times else []):
        first.add_column(heading, justify="left" if heading == "system" else "right")
    second = Table(title="the same by region", title_justify="left")
    for heading in ("system", "region", "NME", "x", "y", "NME without offsets"):
        second.add_column(heading, justify="left" if heading in ("system", "region") else "right")
    for name, (setting, errors, bare) in found.items():
        row = [name, *summary(setting, errors, bare, groups)]
        if times:
            row += [f"{times[name]:.2f}", f"{times[name] / next(iter(times.values())):.2f}"]
        first.add_row(*row)
        for place, cells in enumerate(by_region(errors, bare, frame.regions)):
            second.add_row("" if place else name, *cells)
        second.add_section()
    return first, second


def parse(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", required=True, metavar="DIR", help="folder with train and test, images with .pts files")
    parser.add_argument("--models", nargs="+", default=PRESETS, metavar="MODEL", help="ours (default: %(default)s)")
    parser.add_argument("--mediapipe", metavar="FILE", help="face_landmark.tflite, or a wheel that holds it")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="fit on every Nth training face (default: on all)")
    parser.add_argument("--detector", help="whose boxes are taken, such as blazeface (default: those of the points)")
    parser.add_argument("--person", metavar="PATTERN", help="what of a name is the person's (default: all but its number)")
    parser.add_argument("--runs", type=int, default=100, help="timed steps of each; 0 leaves time out (default %(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads of LiteRT (default %(default)s)")
    return parser.parse_args(argv)


def main(argv=None):
    arguments, console = parse(argv), Console(width=None if Console().is_terminal else 160)
    others, lacking = peers(arguments.mediapipe, arguments.threads)
    if not others:
        raise SystemExit("\n".join(lacking))
    for sentence in lacking:
        console.print(sentence, soft_wrap=True, highlight=False)
    cv2.setNumThreads(arguments.threads)
    dataset = kfa.data.pts(arguments.data_dir, scheme="ibug68")
    frame = Frame(dataset.scheme, np.concatenate([dataset.train.weights, dataset.test.weights]))
    parts = (dataset.train[:: arguments.every], dataset.test)
    train, test = (photographs(faces, arguments.detector, arguments.person) for faces in parts)
    systems = [*(Bundled(name, arguments.threads) for name in arguments.models), *others]
    found = measured(systems, train, test, frame)
    times = None
    if arguments.runs:
        steps = {one.name: one.step(test.images[0], test.boxes[0], found[one.name][0]) for one in systems}
        times = medians(steps, arguments.runs)
    title = (
        f"{len(test.images)} of {len(parts[1])} faces of {len(set(test.people))} people, {len(frame.points)} points, boxes of "
        f"{arguments.detector or 'the annotated points'}; peers' boxes and offsets fitted on {len(train.images)} training faces; "
        "percent of the inter-ocular distance"
    )
    groups = np.unique(test.people, return_inverse=True)[1]
    for table in tables(found, groups, frame, title, times):
        console.print(table)
    for system in systems:
        if hasattr(system, "finds"):
            missed = sum(not system.finds(*face) for face in zip(test.images, test.boxes, strict=True))
            console.print(f"{system.name}: it found no face in {missed} of {len(test.images)} boxes, and got the square there")


if __name__ == "__main__":
    main()
