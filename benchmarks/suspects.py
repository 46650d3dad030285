"""How many planted faults `kfacealign datasets suspects` finds among the labels that it ranks first.

    python benchmarks/suspects.py YTF68                    # a folder with train/, images beside .pts files
    python benchmarks/suspects.py YTF68 --predictions P.npz --page PAGE.html

Two in a hundred labels of the training part get a fault, in equal parts: one point is moved by a tenth of the face in a random
direction; the label is a mirrored one whose points were not reordered; the left and the right eye have changed places. Recall is
the share of the planted faults among the first 5 % of the ranking, by kind, over several seeds. Labels that are really wrong take
places there, too, and count as misses of nothing. Faces with a fault are cropped anew by their faulty labels and read again.
The default preset was trained on these frames, without the faults that are planted here.
"""

import argparse
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

import kfacealign as kfa
from kfacealign import data
from kfacealign.data.faces import Faces
from kfacealign.evaluation import suspects, suspects_page
from kfacealign.evaluation.evaluating import predict
from kfacealign.files import replacing

SHARE, INSPECTED, MOVED = 0.02, 0.05, 0.1
KINDS = ("one point", "mirrored", "eyes swapped")


def moved(label, scheme, rng):
    """A label of which one point is a tenth of the face off."""
    label, angle = label.copy(), rng.uniform(0, 2 * np.pi)
    side = suspects.sides(label[None])[0]
    label[rng.integers(len(label))] += MOVED * side * np.array([np.cos(angle), np.sin(angle)])
    return label


def mirrored(label, scheme, rng):
    return label[list(scheme.mirror)]


def swapped(label, scheme, rng):
    """Each eye has the points of the other, in their order."""
    left, right = (np.flatnonzero([name.startswith(f"{side}_eye") for name in scheme.point_names]) for side in ("left", "right"))
    label = label.copy()
    label[left], label[right] = label[right], label[left]
    return label


FAULTS = dict(zip(KINDS, (moved, mirrored, swapped), strict=True))


def planted(faces, seed):
    """Faces with faults, and place -> kind."""
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(len(faces))[: round(SHARE * len(faces))]
    kinds = {int(place): KINDS[number % len(KINDS)] for number, place in enumerate(chosen)}
    labels = faces.landmarks.copy()
    for place, kind in kinds.items():
        labels[place] = FAULTS[kind](faces.landmarks[place], faces.scheme, rng)
    return Faces(faces.scheme, faces.images, labels, weights=faces.weights, names=faces.names, origins=faces.origins), kinds


def read(model, faces):
    return predict(model, data.Crops(faces, size=model.input_size, enlarge=model.enlarge, cache=None))


def measured(model, faces, predicted, weights, seed):
    """Kind -> (found among the first, named rightly among those, planted)."""
    faulty, kinds = planted(faces, seed)
    places = np.array(sorted(kinds))
    predicted = predicted.copy()
    predicted[places] = read(model, faulty[places])[0]
    ranking = suspects.rank(faulty, predicted, weights)
    first = {one.face: one.kind for one in ranking.suspects[: round(INSPECTED * len(faces))]}
    counts = {kind: np.zeros(3, int) for kind in KINDS}
    for place, kind in kinds.items():
        counts[kind] += [place in first, first.get(place) == kind, 1]
    return counts


def known_predictions(path, model, faces):
    """Landmarks and weights of a file, which is written where it is not there."""
    if path is None or not Path(path).exists():
        landmarks, weights = read(model, faces)
        if path is not None:
            with replacing(path) as temporary:
                np.savez_compressed(temporary, landmarks=landmarks, weights=weights)
        return landmarks, weights
    with np.load(path) as stored:
        return stored["landmarks"], stored["weights"]


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", metavar="DIR", help="folder of images with .pts files of 68 points")
    parser.add_argument("--model", help="a model's file or a preset's name (default: the first preset)")
    parser.add_argument("--seeds", type=int, default=5, help="default %(default)s")
    parser.add_argument("--predictions", metavar="FILE.npz", help="where predictions are kept from run to run")
    parser.add_argument("--page", metavar="FILE.html", help="write the page of the labels as they are")
    return parser.parse_args()


def main():
    arguments, console = parse(), Console()
    model = kfa.deploy.load(kfa.presets.chosen(arguments.model, console=console))
    faces = data.load_dataset("pts", arguments.root, scheme=model.scheme.name).train
    predicted, weights = known_predictions(arguments.predictions, model, faces)
    ranking = suspects.rank(faces, predicted, weights)
    console.print(suspects_page.offset_told(ranking))
    if arguments.page:
        with replacing(arguments.page) as temporary:
            temporary.write_text(suspects_page.page(ranking, faces, predicted), encoding="utf-8")
    total = {kind: np.zeros(3, int) for kind in KINDS}
    for seed in range(arguments.seeds):
        for kind, counts in measured(model, faces, predicted, weights, seed).items():
            total[kind] += counts
    shown = Table(title=f"{len(faces):,} faces, {SHARE:.0%} planted, {INSPECTED:.0%} inspected, {arguments.seeds} seeds")
    for heading in ("kind", "planted", "found", "recall", "named rightly"):
        shown.add_column(heading, justify="left" if heading == "kind" else "right")
    for kind, (found, named, count) in {**total, "all": sum(total.values())}.items():
        shown.add_row(kind, str(count), str(found), f"{found / count:.3f}", f"{named / max(1, found):.3f}")
    console.print(shown)


if __name__ == "__main__":
    main()
