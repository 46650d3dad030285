"""The files that a run leaves in its folder."""

from pathlib import Path

import numpy as np

from kfacealign.evaluation import html_report, plots
from kfacealign.files import replacing


def write_run(out, report, faces, size=plots.SIDE, placed=None):
    """Writes the report, its pictures and its page, and the predictions themselves, to a directory.

    These are `report.json`, `report.html`, `ced.png`, `landmark_errors.png`, `predictions.png` and `predictions.npz`.

    Args:
        out: the directory; made if it is not there.
        report: a `Report`.
        faces: the `Faces` it is about, in the same order.
        size: side of a face in `predictions.png` and on the page, in pixels.
        placed: the run among published figures (`protocols.place`), for the page.

    Returns:
        The list of paths written.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    return [
        report.save(out / "report.json"),
        plots.write_figure(plots.ced_figure(report), out / "ced.png"),
        plots.write_figure(plots.landmark_figure(report), out / "landmark_errors.png"),
        plots.write_figure(plots.gallery_figure(report, faces, size), out / "predictions.png"),
        write_predictions(report, faces, out / "predictions.npz"),
        html_report.write_page(report, faces, out / "report.html", size, placed),
    ]


def write_predictions(report, faces, path):
    """Writes what was predicted to an `.npz`, which `kfacealign score` and `compare` read; returns the path.

    Arrays: `names` and `images` (N,), `landmarks` and `truth` (N, K, 2) in image coordinates, `weights` (N, K), 0 = not
    annotated.
    """
    arrays = {"landmarks": report.predicted, "truth": faces.landmarks, "weights": faces.weights}
    with replacing(path) as temporary:
        np.savez_compressed(temporary, names=np.array(report.names, "U"), images=np.array(faces.images, "U"), **arrays)
    return path


def read_predictions(path):
    """The arrays of `write_predictions` as a dict."""
    with np.load(path) as file:
        return dict(file)
