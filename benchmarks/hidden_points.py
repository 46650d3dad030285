"""Whether a calibrated model is as sure as it says, and what saying so costs.

    python benchmarks/hidden_points.py YTF68                  # a folder with train/ and test/ that share no person, .pts files
    python benchmarks/hidden_points.py YTF68 --model M.keras --out sure.keras

The head learns from the people of the training part and from rendered faces. The people of the test part are cut into two
halves: one sets the size of the ellipses, and on the other it is counted how many errors they hold; over several cuts, of which
mean and standard deviation are given. Visibility is measured on rendered faces that nothing was learnt from; the average
precision is that of hidden points, beside that of the model's scores. The exported files take turns on one crop; figures are
medians, and the ratios are those of files of one precision.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

import kfacealign as kfa
from kfacealign import data, metrics
from kfacealign.training import calibrating

CALIBRATION = 128  # crops by which int8 is calibrated
COMPARED = 256  # crops on which files are compared


def read(model, root, rendered):
    """The reader, and what it read: training people, test people, rendered faces; the test faces themselves."""
    faces = data.load_dataset("pts", root, scheme=model.scheme.name)
    reader = calibrating.Reader(model)
    found = reader.faces(faces.train, "training faces"), reader.faces(faces.test, "test faces")
    return reader, *found, reader.rendered(rendered), faces


def parts(read, shares):
    """What was read, cut in order by shares."""
    ends = np.cumsum(np.round(np.array(shares) * len(read)).astype(int))[:-1]
    return [read[chosen] for chosen in np.split(np.arange(len(read)), ends)]


def covered(distances, people, cuts):
    """(cuts, levels) share of the errors (N, K) of one half of the people within the ellipses that the other half has set."""
    found = []
    for seed in range(cuts):
        order = np.random.default_rng(seed).permutation(people.max() + 1)
        first = np.isin(people, order[: len(order) // 2])
        radii = [metrics.conformal_radius(distances[first], level) for level in calibrating.LEVELS]
        found.append([metrics.coverage(distances[~first], radius) for radius in radii])
    return 100 * np.array(found)


def tell_coverage(console, shares):
    table = Table(title=f"ellipses on people kept back, {len(shares)} cuts of the people into halves")
    for heading in ("asked, %", "held, % (mean)", "standard deviation"):
        table.add_column(heading, justify="right")
    for level, held in zip(calibrating.LEVELS, shares.T, strict=True):
        table.add_row(f"{100 * level:.0f}", f"{held.mean():.1f}", f"{held.std():.1f}")
    console.print(table)


def areas(errors, covariance):
    """The geometric mean area of ellipses that were made to hold 90 % of the errors, in thousandths of the crop."""
    radius = metrics.conformal_radius(metrics.ellipse_distances(errors, covariance), 0.9)
    determinants = covariance[..., 0] * covariance[..., 2] - covariance[..., 1] ** 2
    return 1e3 * np.pi * radius**2 * float(np.exp(0.5 * np.log(determinants).mean()))


def thirds(errors, covariance, order):
    """The share of errors that ellipses hold in each third of the faces in an order, all together 90 %."""
    distances = metrics.ellipse_distances(errors, covariance)
    radius = metrics.conformal_radius(distances, 0.9)
    return ", ".join(f"{100 * metrics.coverage(distances[part], radius):.1f}" for part in np.array_split(order, 3))


def tell_areas(console, rows):
    """Beside the head's ellipses stands one for each point, the same on every face."""
    table = Table(title="ellipses made to hold 90 %: area in thousandths of the crop, and what they hold by how sure the head is")
    for heading in ("faces", "ellipses", "area", "held in the surest third, the next, the last, %"):
        table.add_column(heading, justify="left" if heading in ("faces", "ellipses") else "right")
    for name, read, covariance in rows:
        moments = np.einsum("nki,nkj->kij", read.errors, read.errors) / len(read)
        same = np.broadcast_to(moments.reshape(-1, 4)[:, [0, 1, 3]], covariance.shape)
        order = np.argsort(np.sqrt(covariance[..., 0] + covariance[..., 2]).mean(1))
        for kind, its in (("the head's", covariance), ("one a point for all faces", same)):
            table.add_row(name, kind, f"{areas(read.errors, its):.2f}", thirds(read.errors, its, order))
    console.print(table)


def tell_visibility(console, rows):
    table = Table(title="visibility on rendered faces")
    for heading in ("what says it", "points", "hidden, %", "calibration error", "average precision of hidden points"):
        table.add_column(heading, justify="left" if heading == "what says it" else "right")
    for name, said, seen in rows:
        error = f"{metrics.calibration_error(said, seen):.3f}"
        precision = metrics.average_precision(-said, ~seen)
        table.add_row(name, f"{seen.size:,}", f"{100 * (~seen).mean():.1f}", error, f"{precision:.3f}")
    console.print(table)


def rendered_crops(model, first, count):
    """Crops of rendered faces of these numbers, and which of their points can be seen."""
    source, crops, seen = kfa.data.SyntheticFaces(calibrating.SEED, size=calibrating.RENDERED), [], []
    for index in range(first, first + count):
        face = source.render(index)
        square = kfa.geometry.square_box(kfa.geometry.landmark_box(face.landmarks[model.scheme.name]), model.enlarge)
        crops.append(kfa.geometry.crop(face.image, square, model.input_size)[0])
        seen.append(face.visible[model.scheme.name])
    return np.stack(crops), np.stack(seen)


def export(model, made, folder, calibration):
    """Name -> exported file of the model as it was and of the calibrated one, loaded."""
    files = {}
    for precision in ("float32", "int8"):
        for name, one in (("plain", model), ("calibrated", made)):
            path = kfa.deploy.export(
                one, Path(folder) / f"{name}_{precision}.tflite", precision=precision, calibration=calibration
            )
            files[name, precision] = kfa.deploy.load(path, threads=1)
    return files


def medians(files, crop, runs):
    """Median milliseconds of each file, all taking turns; the first three runs fill the caches."""
    taken = {name: [] for name in files}
    for run in range(runs + 3):
        for name, file in files.items():
            start = time.perf_counter()
            file.run_tensors({"image": crop})
            if run >= 3:
                taken[name].append(1e3 * (time.perf_counter() - start))
    return {name: float(np.median(values)) for name, values in taken.items()}


def tell_files(console, files, keras_answers, crops, truth, runs):
    """Parity of the calibrated files with Keras, the share that their 90 % ellipses hold, and what they cost."""
    taken = medians(files, crops[:1].astype("float32"), runs)
    table = Table(title=f"exported files, {len(crops)} test faces; times are medians of {runs} runs taking turns, 1 thread")
    for heading in ("file", "ms", "over plain, %", "visibility off", "deviation off, %", "held at 90 %"):
        table.add_column(heading, justify="left" if heading == "file" else "right")
    for precision in ("float32", "int8"):
        found = files["calibrated", precision].align_all(crops, verbose=0)
        visibility = np.abs(found["visibility"] - keras_answers["visibility"]).mean()
        deviation = [np.sqrt(answer["covariance"][..., [0, 2]]) for answer in (found, keras_answers)]
        off = 100 * np.abs(deviation[0] / deviation[1] - 1).mean()
        distances = metrics.ellipse_distances(truth - found["landmarks"], found["covariance"])
        held = 100 * metrics.coverage(distances, metrics.gaussian_radius(0.9))
        plain, costs = taken["plain", precision], taken["calibrated", precision]
        table.add_row(f"plain {precision}", f"{plain:.3f}", "", "", "", "")
        values = (f"{costs:.3f}", f"{100 * (costs / plain - 1):.1f}", f"{visibility:.4f}", f"{off:.1f}", f"{held:.1f}")
        table.add_row(f"calibrated {precision}", *values)
    console.print(table)


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", metavar="DIR", help="folder with train/ and test/, images with .pts files of 68 points")
    parser.add_argument("--model", help="a .keras file or a preset's name (default: the first preset)")
    parser.add_argument("--rendered", type=int, default=2400, help="faces, a third to measure by (default %(default)s)")
    parser.add_argument("--cuts", type=int, default=20, help="cuts of the test people into halves (default %(default)s)")
    parser.add_argument("--epochs", type=int, default=30, help="default %(default)s")
    parser.add_argument("--runs", type=int, default=200, help="timed runs of each file (default %(default)s)")
    parser.add_argument("--out", metavar="FILE.keras", help="keep the calibrated model")
    return parser.parse_args()


def main():
    arguments, console = parse(), Console()
    model = kfa.deploy.load(kfa.presets.chosen(arguments.model, keras=True, console=console))
    start = time.perf_counter()
    reader, learnt, held, drawn, faces = read(model, arguments.root, arguments.rendered)
    fit, judged, measured = parts(drawn, (1 / 2, 1 / 6, 1 / 3))
    middle = time.perf_counter()
    head = calibrating.learn(reader, calibrating.joined([learnt, fit]), epochs=arguments.epochs, seed=0, rate=2e-3)
    console.print(f"features {middle - start:.0f} s, head {time.perf_counter() - middle:.0f} s")
    covariance = calibrating.covariance_of(calibrating.said(head, held))
    distances = metrics.ellipse_distances(held.errors, covariance)
    tell_coverage(console, covered(distances, calibrating.people(faces.test), arguments.cuts))
    made = calibrating.finished(reader, head, held, judged)
    raw = calibrating.said(head, measured)
    rendered = "rendered faces", measured, calibrating.covariance_of(raw)
    tell_areas(console, [("people kept back", held, covariance), rendered])
    logits = raw[..., 3]
    seen = measured.visible > 0
    said = 1 / (1 + np.exp(-(made.head.slope * logits + made.head.offset)))
    rows = [("visibility", said, seen), ("the model's scores", np.clip(measured.scores, 0, 1), seen)]
    if arguments.out:
        made.save(arguments.out)
    crops = data.Crops(faces.test, size=model.input_size, enlarge=model.enlarge, cache=None)
    images, truth, _ = crops.batch(np.arange(len(faces.test))[:: max(1, len(faces.test) // COMPARED)])
    with tempfile.TemporaryDirectory() as folder:
        files = export(model, made, folder, faces.train[:: max(1, len(faces.train) // CALIBRATION)])
        drawings, shown = rendered_crops(model, len(fit) + len(judged), min(COMPARED, len(measured)))
        rows.append(("visibility, int8 file", files["calibrated", "int8"].align_all(drawings, verbose=0)["visibility"], shown))
        tell_visibility(console, rows)
        tell_files(console, files, made.align_all(images, verbose=0), images, truth, arguments.runs)


if __name__ == "__main__":
    main()
