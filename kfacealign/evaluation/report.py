"""What a model's predictions come to: NME, failure rate and AUC, by subset, region and landmark."""

import dataclasses
import json
import os
from pathlib import Path

import numpy as np
from keras import ops
from rich.table import Table

from kfacealign import geometry, schemes
from kfacealign.data.crops import Crops
from kfacealign.evaluation import metrics

BATCH = 64


def failure_rate(errors, threshold):
    """Percentage of faces whose error is above `threshold`; errors `(N,)` and threshold in percent."""
    return float(100.0 * np.mean(np.asarray(errors) > threshold))


def auc(errors, threshold):
    """Area under the cumulative error distribution up to `threshold`, over the threshold: in [0, 1].

    The exact integral of the step function, mean(max(0, 1 - e / threshold)).
    """
    return float(np.mean(np.maximum(0.0, 1.0 - np.asarray(errors) / threshold)))


def ced(errors):
    """The cumulative error distribution: sorted errors `(N,)` and the share of faces at or below each, `(N,)`."""
    ordered = np.sort(np.asarray(errors))
    return ordered, np.arange(1, len(ordered) + 1) / max(1, len(ordered))


@dataclasses.dataclass
class Report:
    """The errors of a test set, in percent of one normaliser.

    Attributes:
        scheme, normalizer: names.
        names: N names of faces.
        errors: (N, K) error of each point.
        weights: (N, K), 0 = not annotated or not readable.
        subsets: dict of name -> positions of the faces in it.
        thresholds: of failure rate and AUC, in percent.
        predicted: (N, K, 2) landmarks in image coordinates.
    """

    scheme: str
    normalizer: str
    names: list
    errors: np.ndarray
    weights: np.ndarray
    subsets: dict
    thresholds: tuple
    predicted: np.ndarray

    @property
    def counted(self):
        """(N,) whether a face has a point that counts."""
        return self.weights.sum(1) > 0

    @property
    def face_errors(self):
        """(N,) NME of each face; NaN where no point counts."""
        total = self.weights.sum(1)
        return np.where(total > 0, (self.errors * self.weights).sum(1) / np.maximum(total, 1e-9), np.nan)

    def summary(self, indices=None):
        """Dict of `faces`, `nme`, and `fr` and `auc` at every threshold, of all faces or of some."""
        errors = self.face_errors if indices is None else self.face_errors[np.asarray(indices, int)]
        errors = errors[np.isfinite(errors)]
        if not len(errors):
            return {"faces": 0}
        row = {"faces": len(errors), "nme": float(errors.mean())}
        for threshold in self.thresholds:
            row[f"fr@{threshold:g}"] = failure_rate(errors, threshold)
            row[f"auc@{threshold:g}"] = auc(errors, threshold)
        return row

    def rows(self):
        """Dict of subset name -> `summary`, the full set first."""
        return {"full": self.summary(), **{name: self.summary(indices) for name, indices in self.subsets.items()}}

    def regions(self):
        """Dict of region -> NME over its points."""
        return {name: self._mean(list(points)) for name, points in schemes.get(self.scheme).regions.items()}

    def landmarks(self):
        """Dict of point name -> NME over faces."""
        return {name: self._mean([k]) for k, name in enumerate(schemes.get(self.scheme).point_names)}

    def table(self):
        """The rows and regions as a `rich` table for the console."""
        rows = self.rows()
        columns = [name for name in rows["full"] if name != "faces"]
        title = f"{self.normalizer.replace('_', '-')} errors in percent, {self.scheme}"
        table = Table("subset", "faces", *(heading(name) for name in columns), title=title)
        for name, row in rows.items():
            table.add_row(name, str(row["faces"]), *(shown(column, row) for column in columns))
        table.add_section()
        for name, error in self.regions().items():
            table.add_row(name, "", f"{error:.2f}", *[""] * (len(columns) - 1))
        return table

    def markdown(self):
        """The rows as a Markdown table."""
        rows = self.rows()
        columns = [name for name in rows["full"] if name != "faces"]
        lines = ["| subset | faces | " + " | ".join(heading(name) for name in columns) + " |"]
        lines.append("|---|---|" + "---|" * len(columns))
        for name, row in rows.items():
            lines.append(f"| {name} | {row['faces']} | " + " | ".join(shown(column, row) for column in columns) + " |")
        return "\n".join(lines)

    def to_json(self):
        """All figures and every face's error, as text."""
        faces = [
            {"name": name, "nme": None if np.isnan(error) else round(float(error), 4)}
            for name, error in zip(self.names, self.face_errors)
        ]
        content = {
            "scheme": self.scheme,
            "normalizer": self.normalizer,
            "unit": "percent",
            "skipped": int((~self.counted).sum()),
            "subsets": self.rows(),
            "regions": self.regions(),
            "landmarks": self.landmarks(),
            "faces": faces,
        }
        return json.dumps(content, indent=1)

    def save(self, path):
        """Writes `to_json` under a temporary name and renames it."""
        path = Path(path)
        temporary = path.with_name(f".writing-{path.name}")
        temporary.write_text(self.to_json())
        os.replace(temporary, path)
        return path

    def _mean(self, points):
        weights = self.weights[:, points]
        return float((self.errors[:, points] * weights).sum() / max(weights.sum(), 1e-9))


def heading(name):
    """`fr@10` -> `FR 10 %`."""
    return name.upper().replace("@", " ") + (" %" if "@" in name else "")


def shown(column, row):
    """A figure as the papers print it."""
    if column not in row:
        return "-"
    return f"{row[column]:.3f}" if column.startswith("auc") else f"{row[column]:.2f}"


def report(truth, predicted, scheme, weights=None, subsets=None, normalizer=None, thresholds=(8.0, 10.0), names=None):
    """A `Report` of predictions, no model needed.

    Args:
        truth, predicted: `(N, K, 2)` in image coordinates.
        scheme: of both.
        weights: `(N, K)`, 0 = does not count.
        subsets: dict of name -> positions.
        normalizer: name; None takes the scheme's default.
        thresholds: in percent.
        names: of the faces.

    Raises:
        ValueError: the shapes differ, or the scheme lacks the normaliser.
    """
    truth, predicted = np.asarray(truth, "float32"), np.asarray(predicted, "float32")
    scheme = schemes.get(scheme)
    if truth.shape != predicted.shape or truth.shape[1:] != (scheme.num_points, 2):
        raise ValueError(f"truth {truth.shape} and prediction {predicted.shape} must both be (N, {scheme.num_points}, 2)")
    weights = np.ones(truth.shape[:2], "float32") if weights is None else np.asarray(weights, "float32")
    normalizer = normalizer or scheme.default_normalizer
    errors = np.zeros(truth.shape[:2], "float32")
    if len(truth):
        length = ops.convert_to_numpy(metrics.normalizer(truth, scheme, normalizer, weights))
        weights = weights * (length > 0)[:, None]
        errors = ops.convert_to_numpy(metrics.normalized_errors(truth, predicted, scheme, normalizer, weights))
    names = [str(index) for index in range(len(truth))] if names is None else list(names)
    return Report(scheme.name, normalizer, names, errors, weights, dict(subsets or {}), tuple(thresholds), predicted)


def predict(model, crops, batch_size=BATCH):
    """Landmarks of all crops in the coordinates of their photographs, `(N, K, 2)`, and the weights that count, `(N, K)`.

    Args:
        model: anything with `align`.
        crops: `kfacealign.data.Crops`.
    """
    landmarks, weights = [], []
    for start in range(0, len(crops), batch_size):
        indices = np.arange(start, min(start + batch_size, len(crops)))
        images, _, counted = crops.batch(indices)
        points = model.align(images, verbose=0)[0] * crops.size
        inverse = np.stack([geometry.invert_affine(crops.matrix(index)) for index in indices])
        landmarks.append(geometry.apply_affine(inverse, points))
        weights.append(counted)
    return np.concatenate(landmarks), np.concatenate(weights)


def evaluate(model, faces, subsets=None, normalizer=None, thresholds=(8.0, 10.0), enlarge=None):
    """Errors of a model on annotated faces, measured in the coordinates of their photographs.

    Args:
        model: a `FaceAligner` or anything with its `align`, `input_size`, `scheme` and `enlarge`.
        faces: `Faces`, or `Crops` already made of them.
        subsets: dict of name -> positions.
        normalizer: name; None takes the scheme's default.
        thresholds: of failure rate and AUC, in percent.
        enlarge: of the crops; None takes the model's.

    Returns:
        A `Report`; faces whose image cannot be read do not count.

    Raises:
        ValueError: the faces have another scheme than the model, or there is none.
    """
    crops = faces if isinstance(faces, Crops) else Crops(faces, model.input_size, enlarge or model.enlarge, cache=None)
    faces = crops.faces
    if faces.scheme.name != schemes.get(model.scheme).name:
        raise ValueError(f"the model predicts {schemes.get(model.scheme).name}, the faces have {faces.scheme.name}")
    if not len(faces):
        raise ValueError("there is no face to evaluate")
    predicted, weights = predict(model, crops)
    return report(faces.landmarks, predicted, faces.scheme, weights, subsets, normalizer, thresholds, faces.names)
