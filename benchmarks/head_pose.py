"""How far head poses are off: rendered faces, whose pose is known, by yaw.

    python benchmarks/head_pose.py                       # exact landmarks, and those of the default preset
    python benchmarks/head_pose.py lotr_lite0_ibug68 --faces 400
    python benchmarks/head_pose.py --portraits FOLDER    # photographs of people who look into the camera

The yaw of each face is drawn evenly from -60 to 60 degrees, everything else as `SyntheticFaces` draws it, people and expressions
included, so that even exact landmarks do not tell the pose exactly: nobody has the neutral head. Beside `pose.estimate` stands
OpenCV's `solvePnP` (ITERATIVE) with all points of the same neutral head. Each is given the camera that has taken the pictures,
and the camera that is taken where none is known, whose focal length is the longer side. The pictures are cut closely around
faces that are 11 half widths of the head away, 80 cm, so that the second is about a third as long as the true one.

The rendered contours slide along the far cheek as those of annotators do, which `solvePnP` with all points does not know.
Portraits have no known pose; where people look straight into the camera, the mean of
yaw and roll should be 0, and the mean of the pitch says how the neutral head differs from people's.
"""

import argparse
import json
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

import kfacealign as kfa
from kfacealign import geometry, photo, pose
from kfacealign.data.rendered import face3d
from kfacealign.data.rendered.render import PERSPECTIVE, View
from kfacealign.data.rendered.sampling import sample
from kfacealign.data.rendered.synthetic import draw_face, placed
from kfacealign.files import IMAGE_SUFFIXES, replacing

SEED = 3_000_000  # far from the seeds that anything is trained or tested on
BANDS = ((0, 15), (15, 30), (30, 45), (45, 60))
MOST = 60.0  # degrees of yaw
SIZE = 256
BATCH = 64
NAMES = ("yaw", "pitch", "roll")


def drawn(seed, index, scheme):
    """A rendered face: its picture, landmarks (K, 2), angles (3,) and the camera that has taken it."""
    rng = np.random.default_rng([seed, index])
    facts = sample(rng)
    facts = facts._replace(pose=(rng.uniform(-MOST, MOST), *facts.pose[1:]))
    face = face3d.Face(facts.identity, facts.expression)
    view = placed(face, View(*np.radians(facts.pose)), facts.place, SIZE)
    focal = view.scale / PERSPECTIVE  # the camera is 1 / PERSPECTIVE from the pivot, which it sees at the shift
    camera = np.array([[focal, 0, view.shift[0]], [0, focal, view.shift[1]], [0, 0, 1]])
    rendered = draw_face(rng, SIZE, facts)
    return rendered.image, rendered.landmarks[scheme], np.array(facts.pose), camera


def ours(landmarks, scheme, camera):
    found = pose.estimate(landmarks, scheme, camera)
    return [np.nan] * 3 if found is None else [getattr(found, name) for name in NAMES]


def plain(landmarks, scheme, camera):
    """OpenCV's `solvePnP` with all points."""
    head = np.ascontiguousarray(pose.head_points(scheme)[0])
    done, turn, _ = cv2.solvePnP(head, landmarks.astype(float), camera, None, flags=cv2.SOLVEPNP_ITERATIVE)
    return pose.angles(cv2.Rodrigues(turn)[0]) if done else [np.nan] * 3


METHODS = {"pose.estimate": ours, "solvePnP, all points": plain}


def errors(found, truth):
    """Differences of angles in degrees, -180 to 180."""
    return (np.asarray(found) - truth + 180) % 360 - 180


def measured(model, seed, count):
    """Yaws of the faces, and (landmarks, camera, method) -> errors (N, 3), NaN where there is no pose."""
    scheme, yaws, made = model.scheme.name, [], {}
    usual = pose.camera_matrix((SIZE, SIZE))
    for start in track(range(0, count, BATCH), "drawing and reading faces", transient=True):
        images, exact, truth, cameras = zip(
            *(drawn(seed, index, scheme) for index in range(start, min(start + BATCH, count))), strict=True
        )
        squares = [geometry.square_box(box, model.enlarge) for box in geometry.landmark_box(np.stack(exact))]
        predicted, _ = photo.align_squares(model, list(images), squares)
        for number, (angles, camera) in enumerate(zip(truth, cameras, strict=True)):
            yaws.append(angles[0])
            for points, landmarks in (("exact", exact[number]), ("predicted", predicted[number])):
                for lens, matrix in (("true", camera), ("default", usual)):
                    for name, method in METHODS.items():
                        row = errors(method(landmarks, scheme, matrix), angles)
                        made.setdefault((points, lens, name), []).append(row)
    return np.array(yaws), {key: np.array(rows) for key, rows in made.items()}


def rows(yaws, made):
    """Dicts of landmarks, camera, method, yaw, faces, missing, and of each angle the mean absolute error and the median."""
    found = []
    for (points, lens, name), off in made.items():
        for low, high in (*BANDS, (0, MOST)):
            chosen = off[(np.abs(yaws) >= low) & (np.abs(yaws) < high)]
            has = np.isfinite(chosen).all(1)
            row = {"landmarks": points, "camera": lens, "method": name, "yaw": [low, high]}
            row |= {"faces": len(chosen), "missing": int((~has).sum())}
            for place, angle in enumerate(NAMES):
                row[angle] = float(np.abs(chosen[has, place]).mean())
                row[f"{angle}_median"] = float(np.median(np.abs(chosen[has, place])))
                row[f"{angle}_signed"] = float(chosen[has, place].mean())
            found.append(row)
    return found


def table(made):
    shown = Table(title="degrees: mean absolute error of yaw / pitch / roll", title_justify="left")
    for heading in ("landmarks", "camera", "method", *(f"yaw {low} to {high}" for low, high in BANDS), "all", "none found"):
        shown.add_column(heading)
    for start in range(0, len(made), len(BANDS) + 1):
        group = made[start : start + len(BANDS) + 1]
        cells = [" / ".join(f"{row[name]:.1f}" for name in NAMES) for row in group]
        first = group[-1]
        shown.add_row(first["landmarks"], first["camera"], first["method"], *cells, str(first["missing"]))
    return shown


def portraits(model, folder, console):
    """Tells the mean and the spread of the angles of the largest face of each photograph."""
    faces = kfa.FaceLandmarks(model)
    files = sorted(path for path in Path(folder).iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
    found = [faces(path)[:1] for path in track(files, "reading portraits", transient=True)]
    whole = [face.pose for one in found for face in one if face.pose is not None]
    angles = np.array([[getattr(one, name) for name in NAMES] for one in whole])
    told = ", ".join(
        f"{name} {mean:+.1f} ({spread:.1f})" for name, mean, spread in zip(NAMES, angles.mean(0), angles.std(0), strict=True)
    )
    console.print(f"{len(whole)} poses of {len(files)} photographs, mean and standard deviation in degrees: {told}")


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", metavar="MODEL", help="a model's file or a preset's name (default: the first preset)")
    parser.add_argument("--faces", type=int, default=1200, help="rendered faces (default %(default)s)")
    parser.add_argument("--seed", type=int, default=SEED, help="default %(default)s")
    parser.add_argument("--portraits", metavar="FOLDER", help="photographs of people who look into the camera, instead")
    parser.add_argument("--json", metavar="FILE", help="where the rows are written")
    return parser.parse_args()


def main():
    arguments, console = parse(), Console()
    model = kfa.deploy.load(kfa.presets.chosen(arguments.model, console=console))
    if arguments.portraits is not None:
        portraits(model, arguments.portraits, console)
        return
    made = rows(*measured(model, arguments.seed, arguments.faces))
    console.print(table(made))
    if arguments.json is not None:
        with replacing(arguments.json) as temporary:
            temporary.write_text(json.dumps(made, indent=1), encoding="utf-8")
        console.print(f"written: {arguments.json}")


if __name__ == "__main__":
    main()
