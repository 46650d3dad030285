"""Two runs on the same faces: by how much one is better, and whether that may be chance.

For the faces that count in both, d_i = error in the second run - error in the first. The interval is that of the mean of d
over resamples of the faces (percentile bootstrap); the sign test asks how probable at least so unequal numbers of better
and worse faces are if both runs were equally good (two-sided, equal errors left out).
"""

import dataclasses
import json
import os
from pathlib import Path

import numpy as np
from scipy.stats import binomtest

RESAMPLES = 10_000
BLOCK = 4_000_000  # draws at a time, to bound the memory


@dataclasses.dataclass
class Run:
    """What comparing needs of a run's `report.json`.

    Attributes:
        path: of the file.
        label: its folder's name.
        scheme, normalizer: of the errors.
        names: N names of faces.
        errors: (N,) NME in percent, NaN where the face does not count.
        subsets: dict of name -> positions.
        threshold: the largest one of its failure rates, in percent.
    """

    path: Path
    label: str
    scheme: str
    normalizer: str
    names: list
    errors: np.ndarray
    subsets: dict
    threshold: float


@dataclasses.dataclass
class Comparison:
    """The second run against the first on some faces; errors in percent.

    Attributes:
        faces: how many count in both.
        first, second: mean errors.
        difference: second - first.
        low, high: ends of the confidence interval of the difference.
        better, worse, equal: numbers of faces with a lower, higher, or the same error in the second run.
        p_value: of the sign test.
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


def read_run(path):
    """The `Run` of a `report.json`, or of the folder it is in.

    Raises:
        FileNotFoundError: there is none. ValueError: it is no report; the message names the file.
    """
    path = Path(path)
    path = path / "report.json" if path.is_dir() else path
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: expected the report.json of a run")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        faces = content["faces"]
        names = [str(face["name"]) for face in faces]
        errors = np.array([np.nan if face["nme"] is None else face["nme"] for face in faces], "float64")
        scheme, normalizer = content["scheme"], content["normalizer"]
        thresholds = [float(name[3:]) for name in content["subsets"]["full"] if name.startswith("fr@")]
        # Reports written before there were positions have none.
        subsets = {name: np.array(where, int) for name, where in content.get("subset_positions", {}).items()}
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: not the report of a run ({type(error).__name__}: {error})") from None
    return Run(path, path.resolve().parent.name, scheme, normalizer, names, errors, subsets, max(thresholds, default=10.0))


def pair(first, second):
    """Positions in the second run of the faces of the first.

    Raises:
        ValueError: the runs differ in scheme, normaliser or faces.
    """
    for what in ("scheme", "normalizer"):
        one, other = getattr(first, what), getattr(second, what)
        if one != other:
            word = "normaliser" if what == "normalizer" else what
            raise ValueError(f"{first.path} and {second.path} differ in their {word}: {one} and {other}")
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


def compare(first, second, resamples=RESAMPLES, confidence=95.0, seed=0):
    """Errors of the same faces in two runs.

    Args:
        first, second: (N,) percent, paired; NaN does not count.
        resamples: of the bootstrap.
        confidence: of the interval, in percent.
        seed: of the resamples.

    Returns:
        A `Comparison`, or None where no face counts in both.

    Raises:
        ValueError: different lengths, no resample, or a confidence that is not between 0 and 100.
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
    low, high = bootstrap_interval(differences, resamples, confidence, seed)
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


def bootstrap_interval(values, resamples=RESAMPLES, confidence=95.0, seed=0):
    """Percentile interval of the mean of `values` (N,) over resamples of N of them: two floats."""
    values, rng = np.asarray(values, "float64"), np.random.default_rng(seed)
    block = max(1, BLOCK // len(values))
    means = [
        values[rng.integers(len(values), size=(min(block, resamples - start), len(values)))].mean(1)
        for start in range(0, resamples, block)
    ]
    tail = (100 - confidence) / 2
    low, high = np.percentile(np.concatenate(means), [tail, 100 - tail])
    return float(low), float(high)


def most_changed(differences, count):
    """Positions of the largest improvements and of the largest deteriorations, at most `count` each, largest first."""
    order = np.argsort(np.nan_to_num(differences), kind="stable")
    differences = np.nan_to_num(np.asarray(differences))
    better = [int(place) for place in order[:count] if differences[place] < 0]
    return better, [int(place) for place in order[::-1][:count] if differences[place] > 0]


def labels(runs):
    """Short unique names of runs: their folders', or their paths where these are the same."""
    names = [run.label for run in runs]
    return names if len(set(names)) == len(names) else [os.fspath(run.path) for run in runs]
