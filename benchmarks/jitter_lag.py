"""How much landmarks tremble and how far they lag behind in clips: trackers beside the One-Euro filter at several cutoffs.

    python benchmarks/jitter_lag.py --models tracker_1d_ibug68 pipnet_lite0_ibug68
    python benchmarks/jitter_lag.py --models runs/preset_tracker/model.keras pipnet_lite0_ibug68 --clips 12 --noise 8

A filter trembles less and lags more; so its jitter says little without its lag. Clips are rendered, so the truth is exact; each
frame has noise of its own, as a camera's. Every model follows them as `kfacealign track` does, as found and by the One-Euro
filter with each of --cutoffs (`min_cutoff`, Hz; the beta is the filter's default).

The lag of a clip is the shift in frames at which its landmarks lie nearest to the truth of earlier times, linear between frames,
after each point's mean difference from the truth is taken off. The jitter is `kfacealign.metrics.jitter`. Both are means over
clips, the NME over frames. The last column is the jitter that the reference, the last model, has at the same lag: of its rows,
linear between the two whose lags enclose it.
"""

import argparse
import tempfile
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

import kfacealign as kfa
from kfacealign.tracking import FaceTracker, OneEuro

SHIFTS = np.linspace(-1, 6, 141)  # frames


def noisy_clip(source, index, frames, noise):
    """Images with a camera's noise, and the true landmarks (T, 68, 2)."""
    rng = np.random.default_rng([source.seed, index, 2])
    images, landmarks = [], []
    for face in source.clip(index, frames):
        image = face.image + rng.normal(0, noise, face.image.shape)
        images.append(np.clip(np.round(image), 0, 255).astype("uint8"))
        landmarks.append(face.landmarks["ibug68"])
    return images, np.stack(landmarks)


def lag(found, truth):
    """The shift in frames at which `found` (T, K, 2) lies nearest to the earlier `truth`; positive where it comes late.

    Only frames whose truth is known at every shift are compared.
    """
    times = np.arange(len(truth), dtype=float)
    inside = slice(int(np.ceil(SHIFTS[-1])), len(truth) - int(np.ceil(-SHIFTS[0])))
    flat = truth.reshape(len(truth), -1)
    errors = []
    for shift in SHIFTS:
        earlier = np.stack([np.interp(times[inside] - shift, times, column) for column in flat.T], axis=1)
        difference = found.reshape(len(found), -1)[inside] - earlier
        errors.append(np.square(difference - difference.mean(0)).mean())
    return float(SHIFTS[int(np.argmin(errors))])


def followed(model, clip, smoother):
    """Landmarks (T, K, 2) of one clip, and whether each frame's face was found."""
    tracker = FaceTracker(model, smoother=smoother)
    faces = [tracker.update(image) for image in clip]
    return np.stack([face.landmarks for face in faces]), np.array([face.found for face in faces])


def quick(model, threads):
    """The model as LiteRT runs it; files that are exported already stay as they are."""
    if not isinstance(model, kfa.models.FaceAligner):
        return model
    if not hasattr(model, "stream"):
        return model.snapshot(threads=threads)
    with tempfile.TemporaryDirectory() as folder:
        return kfa.deploy.load(kfa.deploy.export_step(model, Path(folder) / "step.tflite"), threads=threads)


def measured(model, clips, smoother):
    """(lag in frames, jitter in percent, NME in percent, share of the frames in which the face was found)."""
    lags, tremble, errors, share = [], [], [], []
    for images, truth in clips:
        landmarks, found = followed(model, images, smoother)
        share.append(found.mean())
        if found.all():
            lags.append(lag(landmarks, truth))
            tremble.append(kfa.metrics.jitter(landmarks, "ibug68"))
            errors.append(np.mean(kfa.metrics.nme(truth, landmarks, "ibug68")))
    if not lags:
        raise SystemExit("in no clip was the face found in every frame: take other clips with --seed")
    return np.mean(lags), np.mean(tremble), np.mean(errors), np.mean(share)


def at_lag(rows, wanted):
    """The jitter at a lag, linear between the rows (lag, jitter, ...); None beyond them."""
    lags, tremble = np.array(sorted((row[0], row[1]) for row in rows)).T
    return float(np.interp(wanted, lags, tremble)) if lags[0] <= wanted <= lags[-1] else None


def parse(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--models", nargs="+", required=True, help="files or names of presets of 68 points; the last is compared with"
    )
    parser.add_argument("--cutoffs", type=float, nargs="*", default=[16, 8, 4, 2, 1, 0.5], help="Hz")
    parser.add_argument("--clips", type=int, default=8)
    parser.add_argument("--frames", type=int, default=75, help="of each clip, at 25 a second")
    parser.add_argument("--size", type=int, default=320, help="side of the frames in pixels")
    parser.add_argument("--noise", type=float, default=6.0, help="standard deviation in grey levels")
    parser.add_argument("--seed", type=int, default=77)
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args(argv)


def table_of(arguments):
    """Follows every clip with every model and filter; the table."""
    source = kfa.data.SyntheticFaces(arguments.seed, size=arguments.size)
    numbers = track(range(arguments.clips), "rendering clips")
    clips = [noisy_clip(source, index, arguments.frames, arguments.noise) for index in numbers]
    filters = {"as found": None} | {f"One-Euro, {cutoff:g} Hz": OneEuro(min_cutoff=cutoff) for cutoff in arguments.cutoffs}
    rows = {}
    for name in arguments.models:
        model = quick(kfa.load(name), arguments.threads)
        rows[name] = {what: measured(model, clips, smoother) for what, smoother in track(filters.items(), name)}
    reference = list(rows[arguments.models[-1]].values())
    truth = np.mean([kfa.metrics.jitter(landmarks, "ibug68") for _, landmarks in clips])
    title = (
        f"{arguments.clips} clips of {arguments.frames} frames, noise {arguments.noise:g}; the truth's jitter is {truth:.3f} %"
    )
    columns = ("model", "filter", "lag, frames", "jitter, %", "NME, %", "found, %", "jitter of the last model there, %")
    table = Table(*columns, title=title)
    for name, found in rows.items():
        for what, row in found.items():
            same = at_lag(reference, row[0])
            figures = f"{row[0]:.2f}", f"{row[1]:.3f}", f"{row[2]:.2f}", f"{100 * row[3]:.1f}"
            table.add_row(name, what, *figures, "beyond its rows" if same is None else f"{same:.3f}")
    return table


def main():
    arguments = parse()
    cv2.setNumThreads(arguments.threads)
    table = table_of(arguments)
    Console(width=None if Console().is_terminal else 160).print(table)  # a file is as wide as the table


if __name__ == "__main__":
    main()
