"""What a model's predictions come to: NME, failure rate, AUC and Point-Var, by subset, region and landmark."""

import dataclasses
import functools
import io
import json
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Column, Table

from kfacealign import geometry, metrics, schemes
from kfacealign.backend import ops
from kfacealign.data.crops import Crops
from kfacealign.files import replacing
from kfacealign.metrics.distribution import auc, failure_rate

BATCH = 64
LONG = 4  # batches from which on a progress bar is shown


@dataclasses.dataclass(eq=False, repr=False)
class Report:
    """The errors of a test set, in percent of one normaliser; printed, it is its table.

    Attributes:
        scheme, normalizer: names.
        names: N names of faces.
        errors: (N, K) error of each point.
        weights: (N, K), 0 = does not count: not annotated, in an unreadable image, or without normaliser.
        subsets: dict of name -> integer positions of the faces in it.
        thresholds: of failure rate and AUC, in percent.
        predicted: (N, K, 2) landmarks in image coordinates.
        variances: (N,) variance of each face's errors over its points (`metrics.point_variance`), in percent squared;
            NaN where no point counts.
        align: how the faces were cropped, as of `kfacealign.data.Crops`; None where that is not known.
        truth: (N, K, 2) true landmarks in image coordinates.
        annotated: (N, K), 0 = not annotated, or in an unreadable image, whatever the normaliser.
        image_size: a number or (N,), for the normaliser "image"; None where that is not known.
    """

    scheme: str
    normalizer: str
    names: list
    errors: np.ndarray
    weights: np.ndarray
    subsets: dict
    thresholds: tuple
    predicted: np.ndarray
    variances: np.ndarray
    align: str | None = None
    truth: np.ndarray | None = None
    annotated: np.ndarray | None = None
    image_size: float | np.ndarray | None = None

    def __str__(self):
        text = io.StringIO()
        Console(file=text, width=120).print(self.table())
        return text.getvalue().rstrip()

    def __repr__(self):
        return f"<Report of {len(self.names):,} faces, {self.scheme}, {self.normalizer}>"

    @property
    def counted(self):
        """(N,) whether a face has a point that counts."""
        return self.weights.sum(1) > 0

    @property
    def face_errors(self):
        """(N,) NME of each face; NaN where no point counts."""
        total = self.weights.sum(1)
        return np.where(total > 0, (self.errors * self.weights).sum(1) / np.maximum(total, 1e-9), np.nan)

    @property
    def landmark_errors(self):
        """(K,) mean error of each point over all faces; NaN where it counts in none."""
        total = self.weights.sum(0)
        return np.where(total > 0, (self.errors * self.weights).sum(0) / np.maximum(total, 1e-9), np.nan)

    @property
    def point_variance(self):
        """Point-Var of all faces, in percent squared; None where no face counts. `rows` has that of every subset."""
        return self.summary()["point_variance"]

    def counted_errors(self, indices=None, squared=False):
        """NME, or with `squared` NRMSE, of the faces that count, of all or of those at `indices`."""
        if not squared:
            return self._counted(self.face_errors, indices)
        return self._counted(np.sqrt(dataclasses.replace(self, errors=self.errors**2).face_errors), indices)

    def part(self, indices):
        """The report of the faces at these positions, without subsets."""
        size = self.image_size if np.ndim(self.image_size) == 0 else np.asarray(self.image_size)[indices]
        arrays = ("errors", "weights", "predicted", "variances", "truth", "annotated")
        chosen = {name: getattr(self, name)[indices] for name in arrays if getattr(self, name) is not None}
        names = [self.names[index] for index in np.arange(len(self.names))[indices]]
        return dataclasses.replace(self, names=names, subsets={}, image_size=size, **chosen)

    def under(self, normalizer, points=None):
        """The report of the same predictions under another normaliser.

        Args:
            normalizer: its name.
            points: positions of the landmarks that count; None counts all. The normaliser is that of the whole face.

        Raises:
            ValueError: the report does not know the true landmarks, or the scheme lacks the normaliser.
        """
        if self.truth is None:
            raise ValueError("this report does not know the true landmarks: make it with `report` or `evaluate`")
        made = report(
            self.truth,
            self.predicted,
            self.scheme,
            self.annotated,
            self.subsets,
            normalizer,
            self.thresholds,
            self.names,
            self.image_size,
        )
        if points is not None:
            kept = np.isin(np.arange(made.weights.shape[1]), points)
            made = dataclasses.replace(made, weights=made.weights * kept)
        return dataclasses.replace(made, align=self.align)

    def summary(self, indices=None):
        """Figures of all faces, or of those at `indices`.

        Returns:
            Dict of `faces` (how many count), `nme` (percent, mean over faces), for every threshold `fr@8` (percent)
            and `auc@8` (in [0, 1]), and `point_variance` (percent squared, mean over faces). Where no face counts,
            `faces` is 0 and the rest is None.
        """
        errors = self.counted_errors(indices)
        figures = {"nme": np.mean}
        for threshold in self.thresholds:
            figures[f"fr@{threshold:g}"] = functools.partial(failure_rate, threshold=threshold)
            figures[f"auc@{threshold:g}"] = functools.partial(auc, threshold=threshold)
        result = {name: float(figure(errors)) if len(errors) else None for name, figure in figures.items()}
        variances = self._counted(self.variances, indices)
        variance = float(np.mean(variances)) if len(variances) else None
        return {"faces": len(errors), **result, "point_variance": variance}

    def rows(self):
        """Dict of subset name -> `summary`, the full set first."""
        return {"full": self.summary(), **{name: self.summary(indices) for name, indices in self.subsets.items()}}

    def regions(self):
        """Dict of region -> mean error of its points over all faces, in percent; None where no point counts."""
        return {name: self._mean(list(points)) for name, points in schemes.get(self.scheme).regions.items()}

    def landmarks(self):
        """Dict of point name -> mean error over all faces, in percent; None where it does not count."""
        errors = [None if np.isnan(error) else float(error) for error in self.landmark_errors]
        return dict(zip(schemes.get(self.scheme).point_names, errors, strict=True))

    def table(self):
        """The rows and regions as a `rich` table for the console."""
        rows = self.rows()
        columns = [name for name in rows["full"] if name != "faces"]
        skipped = int((~self.counted).sum())
        table = Table(
            "subset",
            *(Column(heading(name), justify="right") for name in ("faces", *columns)),
            title=f"{self.normalizer.replace('_', '-')} errors in percent (Point-Var: percent squared), {self.scheme}",
            caption=f"faces not counted: {skipped:,} (unreadable image, or not annotated)" if skipped else None,
        )
        for name, row in rows.items():
            table.add_row(name, *(shown(column, value) for column, value in row.items()))
        table.add_section()
        for name, error in self.regions().items():
            table.add_row(name, "", shown("nme", error))
        return table

    def markdown(self):
        """The rows as a Markdown table."""
        rows = self.rows()
        columns = list(rows["full"])
        lines = [f"| {' | '.join(['subset', *map(heading, columns)])} |", "|---|" + "---:|" * len(columns)]
        lines += [f"| {' | '.join([name, *map(shown, row, row.values())])} |" for name, row in rows.items()]
        return "\n".join(lines)

    def to_json(self):
        """All figures and every face's error, as text; null where nothing counts."""
        content = {
            "scheme": self.scheme,
            "normalizer": self.normalizer,
            "align": self.align,
            "unit": "percent",
            "point_variance_unit": "percent squared",
            "skipped": int((~self.counted).sum()),
            "subsets": self.rows(),
            "subset_positions": {name: indices.tolist() for name, indices in self.subsets.items()},
            "regions": self.regions(),
            "landmarks": self.landmarks(),
            "faces": [
                {"name": name, "nme": None if np.isnan(error) else round(float(error), 4)}
                for name, error in zip(self.names, self.face_errors, strict=True)
            ],
        }
        return json.dumps(content, indent=1, allow_nan=False)

    def save(self, path):
        """Writes `to_json` to a file, whole or not at all; returns its path."""
        with replacing(path) as temporary:
            temporary.write_text(self.to_json(), encoding="utf-8")
        return Path(path)

    def _counted(self, values, indices):
        """Of one value a face, (N,), those of the faces that count, of all or of those at `indices`."""
        values = values if indices is None else values[indices]
        return values[np.isfinite(values)]

    def _mean(self, points):
        weights = self.weights[:, points]
        if not weights.sum() > 0:
            return None
        return float((self.errors[:, points] * weights).sum() / weights.sum())


def heading(name):
    """`fr@10` -> `FR 10 %`, `point_variance` as the paper has it, `faces` as it is."""
    if name in ("faces", "point_variance"):
        return {"faces": name, "point_variance": "Point-Var"}[name]
    return name.upper().replace("@", " ") + (" %" if "@" in name else "")


def shown(column, value):
    """A figure as the papers print it."""
    if value is None:
        return "-"
    if column == "faces":
        return f"{value:,}"
    return f"{value:.3f}" if column.startswith("auc") else f"{value:.2f}"


def report(
    truth, predicted, scheme, weights=None, subsets=None, normalizer=None, thresholds=(8.0, 10.0), names=None, image_size=None
):
    """A `Report` of predictions, no model needed.

    Args:
        truth, predicted: `(N, K, 2)` in image coordinates.
        scheme: of both.
        weights: `(N, K)`, 0 = does not count.
        subsets: dict of name -> positions, or `(N,)` flags.
        normalizer: name; None takes the scheme's default.
        thresholds: of failure rate and AUC, in percent.
        names: of the faces; their numbers where None.
        image_size: a number or `(N,)`, for the normaliser "image".

    Raises:
        ValueError: the shapes differ, a prediction that counts is not finite, a subset names a face that is not there, or
            the scheme lacks the normaliser.
    """
    truth, predicted = np.asarray(truth, "float32"), np.asarray(predicted, "float32")
    scheme = schemes.get(scheme)
    if truth.shape != predicted.shape or truth.shape[1:] != (scheme.num_points, 2):
        raise ValueError(f"truth {truth.shape} and prediction {predicted.shape} must both be (N, {scheme.num_points}, 2)")
    names = [str(index) for index in range(len(truth))] if names is None else list(names)
    weights = np.ones(truth.shape[:2], "float32") if weights is None else np.asarray(weights, "float32")
    if weights.shape != truth.shape[:2] or len(names) != len(truth):
        raise ValueError(f"weights {weights.shape} and {len(names)} names do not fit truth {truth.shape}")
    _check_finite(predicted, weights, names)
    subsets = {name: _positions(name, indices, len(truth)) for name, indices in (subsets or {}).items()}
    normalizer = normalizer or scheme.default_normalizer
    length = ops.convert_to_numpy(metrics.normalizer(truth, scheme, normalizer, weights, image_size))
    errors = ops.convert_to_numpy(metrics.normalized_errors(truth, predicted, scheme, normalizer, weights, image_size))
    variances = ops.convert_to_numpy(metrics.point_variance(truth, predicted, scheme, normalizer, weights, image_size))
    annotated, weights = weights, weights * (length > 0)[:, None]
    errors = np.where(weights > 0, errors, 0)
    variances = np.where(weights.sum(1) > 0, variances, np.nan)
    return Report(
        scheme.name,
        normalizer,
        names,
        errors,
        weights,
        subsets,
        tuple(thresholds),
        predicted,
        variances,
        truth=truth,
        annotated=annotated,
        image_size=image_size,
    )


def predict(model, crops, batch_size=BATCH, flip=False):
    """Landmarks of all crops in the coordinates of their photographs.

    Args:
        model: anything with `align`.
        crops: `kfacealign.data.Crops` of at least one face.
        batch_size: crops a step. From four steps on a terminal shows a progress bar.
        flip: see `FaceAligner.align`; exported models average or not as they were exported.

    Returns:
        landmarks `(N, K, 2)` float32, and the weights that count `(N, K)`: 0 where the image cannot be read.
    """
    starts = range(0, len(crops), batch_size)
    console = Console()
    quiet = len(starts) < LONG or not console.is_terminal
    options = {"flip": True} if flip else {}
    landmarks, weights = [], []
    for start in track(starts, "evaluating", console=console, transient=True, disable=quiet):
        indices = np.arange(start, min(start + batch_size, len(crops)))
        images, _, counted = crops.batch(indices)
        points = model.align(images, verbose=0, **options)[0]
        landmarks.append(geometry.from_crop(points, crops.matrices[indices], crops.size))
        weights.append(counted)
    return np.concatenate(landmarks), np.concatenate(weights)


def evaluate(model, faces, subsets=None, normalizer=None, thresholds=(8.0, 10.0), enlarge=None, flip=False):
    """Errors of a model on annotated faces, measured in the coordinates of their photographs.

    Args:
        model: a `FaceAligner`, or anything with its `align`, `input_size`, `scheme` and `enlarge`, as exported models.
        faces: `Faces`, or `Crops` already made of them.
        subsets: dict of name -> positions.
        normalizer: name; None takes the scheme's default. "image" is the side of a face's crop.
        thresholds: of failure rate and AUC, in percent.
        enlarge: side of the crops over the longer side of the landmarks' box; None takes the model's. `Crops` have theirs.

        flip: whether the answers on each crop and its mirror image are averaged, see `FaceAligner.align`.

    Returns:
        A `Report`; faces whose image cannot be read do not count.

    Raises:
        ValueError: the faces have another scheme than the model, there is none, or the model's output is not finite.

    Example:
        >>> faces = kfacealign.data.wflw("WFLW")
        >>> print(evaluate(model, faces.test, subsets=faces.subsets))
    """
    annotated = faces.faces if isinstance(faces, Crops) else faces
    scheme = schemes.get(model.scheme)
    if annotated.scheme.name != scheme.name:
        raise ValueError(f"the model predicts {scheme.name}, the faces have {annotated.scheme.name}")
    if not len(annotated):
        raise ValueError("there is no face to evaluate")
    crops = faces
    if not isinstance(faces, Crops):
        crops = Crops(faces, model.input_size, model.enlarge if enlarge is None else enlarge, cache=None)
    predicted, weights = predict(model, crops, flip=flip)
    made = report(
        annotated.landmarks, predicted, scheme, weights, subsets, normalizer, thresholds, annotated.names, image_size=crops.sides
    )
    return dataclasses.replace(made, align=crops.align)


def _check_finite(predicted, weights, names):
    wrong = ((weights > 0) & ~np.isfinite(predicted).all(-1)).any(-1)
    if wrong.any():
        first = names[int(np.argmax(wrong))]
        raise ValueError(f"the prediction is not finite for {int(wrong.sum())} of {len(names)} faces, the first is {first}")


def _positions(name, indices, count):
    """Integer positions of a subset given as positions or as flags."""
    indices = np.asarray(indices)
    if not indices.size:
        return np.zeros(0, int)
    try:
        return np.arange(count)[indices]
    except IndexError:
        raise ValueError(f"subset {name!r} names faces that are not among the {count}") from None
