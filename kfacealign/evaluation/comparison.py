"""Two runs on the same faces: by how much one is better, and whether that may be chance.

For each face that counts in both, d_i is its error in the second run minus its error in the first. The mean of d has a
confidence interval from resamples of the faces (percentile bootstrap). The sign test gives the probability that the numbers of
better and worse faces are at least so unequal although both runs are equally good (two-sided, equal errors left out).
"""

import dataclasses
import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.stats import binomtest

from kfacealign import schemes
from kfacealign.data.people import guessed
from kfacealign.files import read_bytes
from kfacealign.landmark_scheme import Scheme

LIMIT = 2**28  # bytes of a report
RESAMPLES = 10_000
BLOCK = 4_000_000  # the most faces that are drawn at a time, to bound the memory


@dataclasses.dataclass(kw_only=True)
class Run:
    """What a comparison needs to know of a run's `report.json`.

    Attributes:
        path: path of the file.
        label: name of its folder.
        scheme: name of the landmark scheme.
        normalizer: name of the normaliser.
        names: N names of faces.
        errors: (N,) NME in percent, NaN where the face does not count.
        subsets: dict of name -> positions of faces.
        threshold: the largest threshold of the report's failure rates, in percent.
        definition: the scheme itself; None where it is neither one of this package nor told by the report.
    """

    path: Path
    label: str
    scheme: str
    normalizer: str
    names: list[str]
    errors: np.ndarray
    subsets: dict[str, np.ndarray]
    threshold: float
    definition: Scheme | None = None


@dataclasses.dataclass(kw_only=True)
class Comparison:
    """The second run against the first on some faces; errors in percent.

    Attributes:
        faces: number of faces that count in both runs.
        first: mean error in the first run.
        second: mean error in the second run.
        difference: second - first.
        low: lower end of the difference's confidence interval.
        high: upper end of the difference's confidence interval.
        better: number of faces with a lower error in the second run.
        worse: number of faces with a higher error in the second run.
        equal: number of faces with the same error in both runs.
        p_value: the sign test's probability.
    """

    faces: int
    first: float
    second: float
    difference: float
    low: float
    high: float
    better: int
    worse: int
    equal: int
    p_value: float


def read_run(path: str | os.PathLike) -> Run:
    """Reads a `report.json`.

    Args:
        path: the file, or the folder that it is in.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is no report; the message names it.
    """
    path = Path(path)
    path = path / "report.json" if path.is_dir() else path
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: expected the report.json of a run")
    try:
        content = json.loads(read_bytes(path, limit=LIMIT))
        names = [str(face["name"]) for face in content["faces"]]
        errors = np.array([np.nan if face["nme"] is None else _number(face["nme"]) for face in content["faces"]], "float64")
        scheme, normalizer = content["scheme"], content["normalizer"]
        if not isinstance(scheme, str) or not isinstance(normalizer, str):
            raise ValueError("scheme and normalizer are not texts")
        definition = _definition(content, scheme)
        thresholds = [_number(float(name[3:])) for name in content["subsets"]["full"] if name.startswith("fr@")]
        # Reports of earlier versions have no positions.
        subsets = {name: _positions(name, where) for name, where in content.get("subset_positions", {}).items()}
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError(f"{path}: not the report of a run ({type(error).__name__}: {error})") from None
    return Run(
        path=path,
        label=path.resolve().parent.name,
        scheme=scheme,
        normalizer=normalizer,
        names=names,
        errors=errors,
        subsets=subsets,
        threshold=max(thresholds, default=10.0),
        definition=definition,
    )


def _definition(content, name):
    """The scheme of a report, or None."""
    if "definition" not in content:
        return schemes.SCHEMES.get(name)
    definition = Scheme.from_config(content["definition"]) if isinstance(content["definition"], dict) else None
    if definition is None or definition.name != name:
        raise ValueError(f"definition is not that of the scheme {name!r}")
    return definition


def _number(value):
    """A number of 0 or more that a report may hold."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e12:
        raise ValueError(f"{str(value)[:40]} is no error in percent")
    return float(value)


def _positions(name, where):
    """The positions of a subset's faces."""
    if not all(isinstance(place, int) and 0 <= place < 2**31 for place in where):
        raise ValueError(f"the subset {name!r} holds something else than positions")
    return np.array(where, int)


def pair(first: Run, second: Run) -> np.ndarray:
    """Where the faces of one run are in another.

    Returns:
        (N,) int: for each face of the first run, its position in the second.

    Raises:
        ValueError: the runs differ in scheme, normaliser or faces, or a subset has positions beyond the faces.
    """
    for what in ("scheme", "normalizer"):
        one, other = getattr(first, what), getattr(second, what)
        if one != other:
            word = "normaliser" if what == "normalizer" else what
            raise ValueError(f"{first.path} and {second.path} differ in their {word}: {one} and {other}")
    order = _order(first, second)
    for run in (first, second):
        for name, where in run.subsets.items():
            if where.size and where.max() >= len(run.names):
                raise ValueError(f"{run.path}: the subset {name!r} has a face {where.max()}, there are {len(run.names)}")
    return order


def _order(first, second):
    if first.names == second.names:
        return np.arange(len(first.names))
    for run in (first, second):
        if len(set(run.names)) < len(run.names):
            raise ValueError(f"{run.path}: names of faces occur twice, and the other report has the faces in another order")
    places = {name: place for place, name in enumerate(second.names)}
    lacking = [name for name in first.names if name not in places]
    if lacking or len(places) != len(first.names):
        example = f", for instance {lacking[0]}" if lacking else ""
        raise ValueError(
            f"{first.path} ({len(first.names)} faces) and {second.path} ({len(second.names)}) are of different faces: "
            f"{len(lacking)} of the first are not in the second{example}"
        )
    return np.array([places[name] for name in first.names])


def compare(
    first: np.ndarray, second: np.ndarray, *, resamples: int = RESAMPLES, confidence: float = 95.0, seed: int = 0
) -> Comparison | None:
    """Compares the errors of the same faces in two runs.

    Args:
        first: (N,) percent, the errors in the first run; a NaN does not count.
        second: (N,) percent, the errors of the same faces in the second run.
        resamples: number of the bootstrap's resamples.
        confidence: confidence of the interval, in percent.
        seed: seed of the resamples.

    Returns:
        A `Comparison`, or None where no face counts in both.

    Raises:
        ValueError: the lengths differ, there is no resample, or the confidence is not between 0 and 100.
    """
    first, second = np.asarray(first, "float64"), np.asarray(second, "float64")
    if first.shape != second.shape or first.ndim != 1:
        raise ValueError(f"errors of shape {first.shape} and {second.shape} are not paired")
    if resamples < 1 or not 0 < confidence < 100:
        raise ValueError(f"{resamples} resamples and {confidence:g} % confidence: expected at least 1, and between 0 and 100")
    counted = np.isfinite(first) & np.isfinite(second)
    if not counted.any():
        return None
    first, second = first[counted], second[counted]
    differences = second - first
    low, high = bootstrap_interval(differences, resamples=resamples, confidence=confidence, seed=seed)
    better, worse = int((differences < 0).sum()), int((differences > 0).sum())
    return Comparison(
        faces=len(differences),
        first=float(first.mean()),
        second=float(second.mean()),
        difference=float(differences.mean()),
        low=low,
        high=high,
        better=better,
        worse=worse,
        equal=len(differences) - better - worse,
        p_value=float(binomtest(better, better + worse).pvalue) if better + worse else 1.0,
    )


def bootstrap_interval(
    values: np.ndarray,
    *,
    groups: np.ndarray | None = None,
    resamples: int = RESAMPLES,
    confidence: float = 95.0,
    seed: int = 0,
) -> tuple[float, float]:
    """The percentile bootstrap's confidence interval of a mean.

    Args:
        values: (N,) numbers; every resample draws N of them.
        groups: (N,) whole numbers from 0, such as `people` returns; every resample then draws as many groups as there are,
            each with all of its values, because values of one group are not independent.
        resamples: number of resamples.
        confidence: confidence of the interval, in percent.
        seed: seed of the resamples.

    Returns:
        The lower and the upper end.
    """
    values, rng = np.asarray(values, "float64"), np.random.default_rng(seed)
    groups = np.arange(len(values)) if groups is None else np.asarray(groups)
    totals, sizes = np.bincount(groups, values), np.bincount(groups)
    block = max(1, BLOCK // len(totals))
    means = []
    for start in range(0, resamples, block):
        drawn = rng.integers(len(totals), size=(min(block, resamples - start), len(totals)))
        means.append(totals[drawn].sum(1) / sizes[drawn].sum(1))
    tail = (100 - confidence) / 2
    low, high = np.percentile(np.concatenate(means), [tail, 100 - tail])
    return float(low), float(high)


def people(names: Sequence[str]) -> np.ndarray:
    """A number for each name, the same for the same person, see `kfacealign.data.people.guessed`."""
    return np.unique(guessed(names), return_inverse=True)[1]


def most_changed(differences: np.ndarray, count: int) -> tuple[list[int], list[int]]:
    """Positions of the largest improvements and of the largest deteriorations, at most `count` of each, the largest first."""
    order = np.argsort(np.nan_to_num(differences), kind="stable")
    differences = np.nan_to_num(np.asarray(differences))
    better = [int(place) for place in order[:count] if differences[place] < 0]
    return better, [int(place) for place in order[::-1][:count] if differences[place] > 0]


def labels(runs: Sequence[Run]) -> list[str]:
    """Short unique names of runs: the names of their folders, or the paths of their files where two folders have one name."""
    names = [run.label for run in runs]
    return names if len(set(names)) == len(names) else [os.fspath(run.path) for run in runs]
