"""The files that a run leaves in its folder."""

import os
from pathlib import Path

import numpy as np

from kfacealign.data.faces import FURTHEST, Faces
from kfacealign.data.readers import npz
from kfacealign.evaluation import html_report, plots
from kfacealign.evaluation.published_tables import Placed
from kfacealign.evaluation.reports import Report
from kfacealign.files import replacing

PREDICTIONS = ("names", "images", "landmarks", "truth", "weights")


def write_run(
    out: str | os.PathLike, report: Report, faces: Faces, *, size: int = plots.SIDE, placed: Placed | None = None
) -> list[Path]:
    """Writes the report, its pictures, its page and the predictions themselves to a directory.

    The files are `report.json`, `report.html`, `ced.png`, `landmark_errors.png`, `predictions.png` and `predictions.npz`.

    Args:
        out: the directory; it is made if it is not there.
        report: a `Report`.
        faces: the report's `Faces`, in the same order.
        size: side of a face in `predictions.png` and on the page, in pixels.
        placed: the run among published figures (`protocols.place`), for the page; None leaves that part out.

    Returns:
        The paths of the files.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    return [
        report.save(out / "report.json"),
        plots.write_figure(plots.ced_figure(report), out / "ced.png"),
        plots.write_figure(plots.landmark_figure(report), out / "landmark_errors.png"),
        plots.write_figure(plots.gallery_figure(report, faces, size=size), out / "predictions.png"),
        write_predictions(report, faces, out / "predictions.npz"),
        html_report.write_page(report, faces, out / "report.html", size=size, placed=placed),
    ]


def write_predictions(report: Report, faces: Faces, path: Path) -> Path:
    """Writes what was predicted to an `.npz`, which `kfacealign score` and `kfacealign compare` read; returns the path.

    Its arrays are `names` and `images` (N,), `landmarks` and `truth` (N, K, 2) in image coordinates, and `weights` (N, K),
    0 = not annotated. Names are text that can be printed and encoded, as in the report; the paths in `images` are kept as Python
    has them, so that they open the same files again whatever bytes are in them.
    """
    arrays = {"landmarks": report.predicted, "truth": faces.landmarks, "weights": faces.weights}
    with replacing(path) as temporary:
        np.savez_compressed(temporary, names=np.array(report.names, "U"), images=np.array(faces.images, "U"), **arrays)
    return path


def read_predictions(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """The arrays that `write_predictions` wrote, by name.

    Raises:
        OSError: there is no such file, or it cannot be read.
        ValueError: it is damaged, lacks an array, or has one of another shape; the message names it.
    """
    made = npz.read(path, PREDICTIONS)
    lacking = [name for name in PREDICTIONS if name not in made]
    if lacking:
        raise ValueError(f"{path}: not the predictions of a run: {', '.join(lacking)} is missing in it")
    shape = made["landmarks"].shape
    if len(shape) != 3 or shape[2] != 2:
        raise ValueError(f"{path}: not the predictions of a run: landmarks have shape {shape}, expected (N, K, 2)")
    expected = {"names": shape[:1], "images": shape[:1], "landmarks": shape, "truth": shape, "weights": shape[:2]}
    for name, values in made.items():
        kinds = "U" if name in ("names", "images") else "fiu"
        if values.shape != expected[name] or (values.dtype.kind not in kinds and values.size):
            raise ValueError(f"{path}: {name} have shape {values.shape} ({values.dtype}), expected {expected[name]}")
    for name in ("landmarks", "truth"):
        if not (np.abs(made[name][made["weights"] > 0]) <= FURTHEST).all():
            raise ValueError(f"{path}: {name} hold a number that is not finite or beyond {FURTHEST:,.0f}")
    return made
