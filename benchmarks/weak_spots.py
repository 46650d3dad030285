"""Where a model is weak: errors on rendered faces by yaw, pitch, roll, skin tone, age, picture, glasses and what hides the face.

    python benchmarks/weak_spots.py runs/x/model.keras
    python benchmarks/weak_spots.py lotr_lite0_ibug68 --faces 200           # a preset, by its name

Faces of other seeds than those of training are drawn at random until every row has --faces of them; a face is in all rows
that fit it. They are drawn from the full ranges, which hold profiles, any roll, infants and bad pictures: the row of all is
harder than photographs are as a rule. A row is about one thing: faces of the rows below those of yaw are turned aside by less
than 15 degrees, all but those of roll lean by less than 45, and all but those that name it are adults in fair pictures, who wear
no glasses and are not hidden.
The inter-ocular distance shrinks as a head turns, so the same error in pixels counts for more; the box of the landmarks
shrinks less. Drawings are no photographs: rows compare with each other, not with other data. Intervals resample the
faces. With a path of a model the rows are also written beside it, to weak_spots.json, from where `kfacealign presets make`
takes them for the card.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

import kfacealign as kfa
from kfacealign import geometry, photo
from kfacealign.data.rendered.sampling import SKIN, sample
from kfacealign.data.rendered.synthetic import SyntheticFaces
from kfacealign.evaluation.comparison import bootstrap_interval
from kfacealign.files import replacing

SEED = 2_000_000  # far from the seeds that anything is trained or tested on
LIMIT = 400  # faces sampled for each one wanted in a row, before the row is left as it is
BATCH = 64
TONES = ("light", "medium", "dark")
RANGES = "full"


def facts(seed, index):
    """What `SyntheticFaces(seed, ranges=RANGES).render(index)` will draw, without drawing it."""
    drawn = sample(np.random.default_rng([seed, index]), RANGES)
    yaw, pitch, roll = map(abs, drawn.pose)
    tone = int(np.argmin(np.abs(np.array(SKIN).sum(1) - sum(drawn.look.skin))))
    turned = {"yaw": yaw, "pitch": pitch, "roll": roll}
    worn = {"skin_tone": tone, "glasses": drawn.look.glasses, "occluder": drawn.place["occluder"]}
    bad = drawn.place["exposure"] < 0.5 or drawn.place["coarse"] > 1 or drawn.place["jpeg"] is not None
    return {**turned, **worn, "infant": drawn.infant, "bad": bad}


def fair(face):
    return not face["infant"] and not face["bad"]


def bare(face):
    return not face["glasses"] and not face["occluder"]


def plain(face):
    return fair(face) and bare(face)


def frontal(face):
    return face["yaw"] < 15 and upright(face)


def upright(face):
    return face["roll"] < 45


# What else a face of a row must be.
BESIDES = {
    "yaw": lambda face: plain(face) and upright(face),
    "pitch": lambda face: plain(face) and frontal(face),
    "roll": lambda face: plain(face) and face["yaw"] < 15,
}


def bands():
    """Name of a row -> what the row's faces are turned by, and from where to where."""
    rows = [("yaw", low, low + 15) for low in (0, 15, 30, 45, 60, 75)]
    rows += [("pitch", low, high) for low, high in ((0, 8), (8, 16), (16, 25), (25, 40))]
    rows += [("roll", low, high) for low, high in ((0, 15), (15, 30), (30, 45), (45, 90), (90, 135), (135, 180))]
    return {f"{of} {low} to {high} degrees": {"of": of, "from": low, "to": high} for of, low, high in rows}


def groups():
    """Name of a row -> function from the facts of a face to whether it is in it."""
    turned = {}
    for name, band in bands().items():
        turned[name] = _band(band["of"], band["from"], band["to"], BESIDES[band["of"]])
    thirds = ((0, 2), (2, 5), (5, len(SKIN)))
    tones = {
        f"{name} skin": _band("skin_tone", low, high, lambda face: plain(face) and frontal(face))
        for name, (low, high) in zip(TONES, thirds, strict=True)
    }
    others = {
        "infants": lambda face: face["infant"] and not face["bad"] and bare(face) and frontal(face),
        "dark, coarse or poorly stored pictures": lambda face: (
            face["bad"] and not face["infant"] and bare(face) and frontal(face)
        ),
        "glasses": lambda face: face["glasses"] == 1 and not face["occluder"] and fair(face) and frontal(face),
        "dark glasses": lambda face: face["glasses"] == 2 and not face["occluder"] and fair(face) and frontal(face),
    }
    hidden = {
        f"behind a {what}": _is("occluder", kinds)
        for what, kinds in (("hand", (1,)), ("mask", (2,)), ("card, ball or microphone", (3, 4)))
    }
    return {"all as they come": lambda face: True, **turned, **tones, **others, **hidden}


def _band(name, low, high, besides):
    return lambda face: low <= face[name] < high and besides(face)


def _is(name, values):
    return lambda face: face[name] in values and not face["glasses"] and fair(face) and frontal(face)


def chosen(wanted, count, seed):
    """Numbers of the faces to draw, and row -> positions among them; a row is full at `count`.

    Faces are looked at in order, so the row of all is what comes first and not what the others need.
    """
    members = {name: [] for name in wanted}
    for index in range(count * LIMIT):
        face = facts(seed, index)
        for name, fits in wanted.items():
            if len(members[name]) < count and fits(face):
                members[name].append(index)
        if all(len(indices) == count for indices in members.values()):
            break
    numbers = sorted({index for indices in members.values() for index in indices})
    place = {index: position for position, index in enumerate(numbers)}
    return numbers, {name: np.array([place[index] for index in indices], int) for name, indices in members.items()}


def measured(model, numbers, seed, size):
    """Report of a model on drawn faces, errors over the inter-ocular distance."""
    source, scheme = SyntheticFaces(seed, size=size, ranges=RANGES), model.scheme.name
    truth, predicted = [], []
    for start in track(range(0, len(numbers), BATCH), "drawing and reading faces", transient=True):
        faces = [source.render(number) for number in numbers[start : start + BATCH]]
        points = np.stack([face.landmarks[scheme] for face in faces])
        squares = [geometry.square_box(box, model.enlarge) for box in geometry.landmark_box(points)]
        predicted.append(photo.align_squares(model, [face.image for face in faces], squares)[0])
        truth.append(points)
    names = [str(number) for number in numbers]
    return kfa.evaluation.report(np.concatenate(truth), np.concatenate(predicted), model.scheme, names=names)


def rows(report, members):
    """Dicts of group, faces, nme with its interval `low` and `high`, fr@10, and the NME over the landmarks' box."""
    by_box, angles, made = report.under("box"), bands(), []
    for name, positions in members.items():
        row = {"group": name, **angles.get(name, {})}
        if not len(positions):
            made.append({**row, "faces": 0, **dict.fromkeys(("nme", "low", "high", "fr@10", "box"))})
            continue
        figures = report.summary(positions)
        low, high = bootstrap_interval(report.counted_errors(positions))
        row = {**row, "faces": figures["faces"], "nme": figures["nme"], "low": low, "high": high}
        made.append({**row, "fr@10": figures["fr@10"], "box": by_box.summary(positions)["nme"]})
    return made


def table(made, title):
    shown = Table(title=title, title_justify="left")
    for heading in ("rendered faces", "faces", "NME", "95 % interval", "FR 10 %", "NME by the box"):
        shown.add_column(heading, justify="left" if heading == "rendered faces" else "right")
    for row in made:
        figures = ("-",) * 4
        if row["faces"]:
            interval = f"{row['low']:.2f} to {row['high']:.2f}"
            figures = (f"{row['nme']:.2f}", interval, f"{row['fr@10']:.1f}", f"{row['box']:.2f}")
        shown.add_row(row["group"], str(row["faces"]), *figures)
    return shown


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", metavar="MODEL", help="a .keras or .tflite file, a SavedModel folder, or the name of a preset")
    parser.add_argument("--faces", type=int, default=150, help="of each row (default %(default)s)")
    parser.add_argument("--size", type=int, default=256, help="side of the drawings in pixels (default %(default)s)")
    parser.add_argument("--seed", type=int, default=SEED, help="default %(default)s")
    parser.add_argument("--json", metavar="FILE", help="where rows are written (default: weak_spots.json beside the model)")
    return parser.parse_args()


def main():
    arguments, console = parse(), Console()
    path = kfa.presets.chosen(arguments.model, console=console)
    model = kfa.deploy.load(path)
    if not model.scheme.eye_corners:
        raise SystemExit(f"{arguments.model}: {model.scheme.name} has no outer eye corners, by which these errors are measured")
    numbers, members = chosen(groups(), arguments.faces, arguments.seed)
    made = rows(measured(model, numbers, arguments.seed, arguments.size), members)
    console.print(table(made, f"{arguments.model}: inter-ocular errors in percent, {len(numbers):,} faces drawn"))
    out = arguments.json or (Path(path).with_name("weak_spots.json") if path == arguments.model else None)
    if out is not None:
        with replacing(out) as temporary:
            temporary.write_text(json.dumps(made, indent=1), encoding="utf-8")
        console.print(f"written: {out}")


if __name__ == "__main__":
    main()
