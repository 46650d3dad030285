"""The errors of a model's predictions: NME, failure rate, AUC and Point-Var, by subset, region and landmark."""

import dataclasses
import functools
import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Column, Table
from rich.text import Text

from kfacealign import metrics, schemes
from kfacealign.backend import ops
from kfacealign.console import make_console
from kfacealign.console import shown as shown_name
from kfacealign.files import replacing
from kfacealign.metrics.distribution import auc, failure_rate


@dataclasses.dataclass(eq=False, repr=False, kw_only=True)
class Report:
    """The errors of a test set, in percent of one normaliser; a report prints as its table.

    Attributes:
        scheme: name of the landmark scheme.
        normalizer: name of the normaliser.
        names: N names of faces.
        errors: (N, K) error of each point.
        weights: (N, K); a point of weight 0 does not count because it is not annotated, its image cannot be read, or the face
            has no normaliser.
        subsets: dict of name -> integer positions of the subset's faces.
        thresholds: thresholds of failure rate and AUC, in percent.
        predicted: (N, K, 2) landmarks in image coordinates.
        variances: (N,) variance of each face's errors over its points (`metrics.point_variance`), in percent squared;
            NaN where no point counts.
        align: how the faces were cropped, the `align` of `kfacealign.data.Crops`; None where that is not known.
        truth: (N, K, 2) true landmarks in image coordinates.
        annotated: (N, K), 0 = not annotated or in an image that cannot be read; unlike `weights` it does not depend on the
            normaliser.
        image_size: a number or (N,), for the normaliser "image"; None where that is not known.
        definition: the scheme itself; None takes the one of that name.
    """

    scheme: str
    normalizer: str
    names: list[str]
    errors: np.ndarray
    weights: np.ndarray
    subsets: dict[str, np.ndarray]
    thresholds: tuple[float, ...]
    predicted: np.ndarray
    variances: np.ndarray
    align: str | None = None
    truth: np.ndarray | None = None
    annotated: np.ndarray | None = None
    image_size: float | np.ndarray | None = None
    definition: schemes.Scheme | None = None

    def __str__(self) -> str:
        text = io.StringIO()
        make_console(file=text, width=120).print(self.table())
        return text.getvalue().rstrip()

    def __repr__(self) -> str:
        return f"<Report of {len(self.names):,} faces, {self.scheme}, {self.normalizer}>"

    @property
    def landmark_scheme(self) -> schemes.Scheme:
        """The scheme whose name is `scheme`."""
        return self.definition or schemes.get(self.scheme)

    @property
    def counted(self) -> np.ndarray:
        """(N,) whether a face has a point that counts."""
        return self.weights.sum(1) > 0

    @property
    def face_errors(self) -> np.ndarray:
        """(N,) NME of each face; NaN where no point counts."""
        total = self.weights.sum(1)
        return np.where(total > 0, (self.errors * self.weights).sum(1) / np.maximum(total, 1e-9), np.nan)

    @property
    def landmark_errors(self) -> np.ndarray:
        """(K,) mean error of each point over all faces; NaN for a point that counts in none."""
        total = self.weights.sum(0)
        return np.where(total > 0, (self.errors * self.weights).sum(0) / np.maximum(total, 1e-9), np.nan)

    @property
    def point_variance(self) -> float | None:
        """Point-Var of all faces, in percent squared; None where no face counts. `rows` gives it for every subset."""
        return self.summary()["point_variance"]

    def counted_errors(self, indices: np.ndarray | None = None, *, squared: bool = False) -> np.ndarray:
        """The errors of the faces that count, one a face.

        Args:
            indices: positions of the faces; None takes all.
            squared: whether a face's error is its NRMSE rather than its NME.
        """
        if not squared:
            return self._counted(self.face_errors, indices)
        return self._counted(np.sqrt(dataclasses.replace(self, errors=self.errors**2).face_errors), indices)

    def part(self, indices: np.ndarray) -> "Report":
        """The report of the faces at these positions, without subsets."""
        size = self.image_size if np.ndim(self.image_size) == 0 else np.asarray(self.image_size)[indices]
        arrays = ("errors", "weights", "predicted", "variances", "truth", "annotated")
        chosen = {name: getattr(self, name)[indices] for name in arrays if getattr(self, name) is not None}
        names = [self.names[index] for index in np.arange(len(self.names))[indices]]
        return dataclasses.replace(self, names=names, subsets={}, image_size=size, **chosen)

    def under(self, normalizer: str, *, points: Sequence[int] | None = None) -> "Report":
        """The report of the same predictions under another normaliser.

        Args:
            normalizer: name of the normaliser.
            points: positions of the landmarks that count; None counts all. The normaliser is measured on the whole face
                whatever counts.

        Raises:
            ValueError: the report does not know the true landmarks, or the scheme lacks the normaliser.
        """
        if self.truth is None:
            raise ValueError("this report does not know the true landmarks: make it with `report` or `evaluate`")
        made = report(
            self.truth,
            self.predicted,
            self.landmark_scheme,
            weights=self.annotated,
            subsets=self.subsets,
            normalizer=normalizer,
            thresholds=self.thresholds,
            names=self.names,
            image_size=self.image_size,
        )
        if points is not None:
            kept = np.isin(np.arange(made.weights.shape[1]), points)
            made = dataclasses.replace(made, weights=made.weights * kept)
        return dataclasses.replace(made, align=self.align)

    def summary(self, indices: np.ndarray | None = None) -> dict[str, Any]:
        """The figures of all faces, or of the faces at `indices`.

        Returns:
            Dict of `faces` (how many count), `nme` (percent, mean over faces), `fr@8` (percent) and `auc@8` (in [0, 1]) for
            the threshold 8 and likewise for every other, and `point_variance` (percent squared, mean over faces). Where no
            face counts, `faces` is 0 and the rest is None.
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

    def rows(self) -> dict[str, dict[str, Any]]:
        """Dict of subset name -> `summary`, the full set first."""
        return {"full": self.summary(), **{name: self.summary(indices) for name, indices in self.subsets.items()}}

    def regions(self) -> dict[str, float | None]:
        """Dict of region -> mean error of its points over all faces, in percent; None where no point counts."""
        return {name: self._mean(list(points)) for name, points in self.landmark_scheme.regions.items()}

    def landmarks(self) -> dict[str, float | None]:
        """Dict of point name -> mean error over all faces, in percent; None for a point that counts in none."""
        errors = [None if np.isnan(error) else float(error) for error in self.landmark_errors]
        return dict(zip(self.landmark_scheme.point_names, errors, strict=True))

    def table(self) -> Table:
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
            table.add_row(Text(name), *(shown(column, value) for column, value in row.items()))
        table.add_section()
        for name, error in self.regions().items():
            table.add_row(name, "", shown("nme", error))
        return table

    def markdown(self) -> str:
        """The rows as a Markdown table."""
        rows = self.rows()
        columns = list(rows["full"])
        lines = [f"| {' | '.join(['subset', *map(heading, columns)])} |", "|---|" + "---:|" * len(columns)]
        for name, row in rows.items():
            lines.append(f"| {' | '.join([name.replace('|', chr(92) + '|'), *map(shown, row, row.values())])} |")
        return "\n".join(lines)

    def to_json(self) -> str:
        """All figures and every face's error as JSON; null where nothing counts."""
        content = {
            "scheme": self.scheme,
            **self._definition(),
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

    def save(self, path: str | os.PathLike) -> Path:
        """Writes `to_json` to a file, which appears whole or not at all; returns its path."""
        with replacing(path) as temporary:
            temporary.write_text(self.to_json(), encoding="utf-8")
        return Path(path)

    def _definition(self):
        """The scheme as `comparison.read_run` reads it, where it is not one of this package."""
        told = schemes.described(self.definition) if self.definition else self.scheme
        return {"definition": told} if isinstance(told, dict) else {}

    def _counted(self, values, indices):
        """Of the values `(N,)`, one a face, those that are finite, at `indices` or anywhere."""
        values = values if indices is None else values[indices]
        return values[np.isfinite(values)]

    def _mean(self, points):
        weights = self.weights[:, points]
        if not weights.sum() > 0:
            return None
        return float((self.errors[:, points] * weights).sum() / weights.sum())


def heading(name: str) -> str:
    """The heading of a figure's column: `fr@10` -> "FR 10 %", `point_variance` -> "Point-Var", `faces` -> "faces"."""
    if name in ("faces", "point_variance"):
        return {"faces": name, "point_variance": "Point-Var"}[name]
    return name.upper().replace("@", " ") + (" %" if "@" in name else "")


def shown(column: str, value: float | None) -> str:
    """A figure of a `summary` as the papers print it; "-" for None."""
    if value is None:
        return "-"
    if column == "faces":
        return f"{value:,}"
    return f"{value:.3f}" if column.startswith("auc") else f"{value:.2f}"


def report(
    truth: np.ndarray,
    predicted: np.ndarray,
    scheme: schemes.Scheme | str,
    *,
    weights: np.ndarray | None = None,
    subsets: Mapping[str, np.ndarray | Sequence[int]] | None = None,
    normalizer: str | None = None,
    thresholds: Sequence[float] = (8.0, 10.0),
    names: Sequence[str] | None = None,
    image_size: float | np.ndarray | None = None,
) -> Report:
    """A `Report` of predictions; it needs no model.

    Args:
        truth: `(N, K, 2)` true landmarks in image coordinates.
        predicted: `(N, K, 2)` predicted landmarks in image coordinates.
        scheme: scheme of both, a name or a `Scheme`.
        weights: `(N, K)`, 0 = does not count; None counts every point.
        subsets: dict of name -> positions of faces, or `(N,)` flags.
        normalizer: name of the normaliser; None takes the scheme's default.
        thresholds: thresholds of failure rate and AUC, in percent.
        names: N names of faces; None takes their numbers. What cannot be printed or encoded is kept as `\\xe9`, see
            `kfacealign.console.shown`; likewise in the names of subsets.
        image_size: side of the images, a number or `(N,)`, for the normaliser "image".

    Raises:
        ValueError: the shapes differ, a prediction that counts is not finite, a subset has a face that is not there, or
            the scheme lacks the normaliser.
    """
    truth, predicted = np.asarray(truth, "float32"), np.asarray(predicted, "float32")
    scheme = schemes.get(scheme)
    if truth.shape != predicted.shape or truth.shape[1:] != (scheme.num_points, 2):
        raise ValueError(f"truth {truth.shape} and prediction {predicted.shape} must both be (N, {scheme.num_points}, 2)")
    names = [str(index) for index in range(len(truth))] if names is None else [shown_name(str(name)) for name in names]
    weights = np.ones(truth.shape[:2], "float32") if weights is None else np.asarray(weights, "float32")
    if weights.shape != truth.shape[:2] or len(names) != len(truth):
        raise ValueError(f"weights {weights.shape} and {len(names)} names do not fit truth {truth.shape}")
    _check_finite(predicted, weights, names)
    subsets = {shown_name(str(name)): _positions(name, places, len(truth)) for name, places in (subsets or {}).items()}
    normalizer = normalizer or scheme.default_normalizer
    given = {"name": normalizer, "weights": weights, "image_size": image_size}
    length = ops.convert_to_numpy(metrics.normalizer(truth, scheme, **given))
    errors = ops.convert_to_numpy(metrics.normalized_errors(truth, predicted, scheme, **given))
    variances = ops.convert_to_numpy(metrics.point_variance(truth, predicted, scheme, **given))
    annotated, weights = weights, weights * (length > 0)[:, None]
    errors = np.where(weights > 0, errors, 0)
    variances = np.where(weights.sum(1) > 0, variances, np.nan)
    return Report(
        scheme=scheme.name,
        normalizer=normalizer,
        names=names,
        errors=errors,
        weights=weights,
        subsets=subsets,
        thresholds=tuple(thresholds),
        predicted=predicted,
        variances=variances,
        truth=truth,
        annotated=annotated,
        image_size=image_size,
        definition=scheme,
    )


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
