"""From a trained model to a preset: its files, their figures, its card."""

import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kfacealign import conversions, data, deploy, evaluation, metrics, schemes
from kfacealign.evaluation import comparison
from kfacealign.files import read_bytes, replacing
from kfacealign.machine import processor
from kfacealign.models.aligner import FaceAligner
from kfacealign.models.complexity import trainable_parameters
from kfacealign.presets import cards, store
from kfacealign.presets.float16 import save_halved

WEAK_SPOTS = "weak_spots.json"  # the file that benchmarks/weak_spots.py leaves beside the model
SPOT, ANGLE = ("group", "faces", "nme", "box"), ("of", "from", "to")  # of each row, and of those of an angle
NEEDED = ("data", "splits", "augmentation", "command", "seed", "epochs", "limits")


def make(
    name: str,
    model: FaceAligner,
    faces: data.Dataset,
    *,
    facts: dict[str, Any],
    folder: str | os.PathLike,
    threads: int = 2,
    clips: data.Clips | None = None,
    weak_spots: list[dict] | None = None,
    formats: Sequence[str] = store.FORMATS,
    by_people: bool = False,
) -> dict[str, Any]:
    """Writes a preset and returns its card.

    Args:
        name: the name of the preset and of its files.
        model: the trained `FaceAligner`, without an optimiser (`kfacealign.deploy.load`).
        faces: the `Dataset` on whose test faces the errors are measured; where its scheme is another than the model's, the
            model's answers are converted.
        facts: dict of what only the training knows, see `read_facts`.
        folder: where the files of the formats, NAME.json and NAME.md go.
        threads: number of CPU threads on which the latency is measured.
        clips: for trackers, test `Clips` on which their exported step is measured as well.
        weak_spots: rows of `benchmarks/weak_spots.py`, or None.
        formats: the formats to bundle, "keras" and perhaps "tflite"; the others are measured and not kept.
        by_people: whether the interval of the NME is over resamples of people, as the names of the faces tell them apart
            (`kfacealign.data.people.guessed`), and not of faces.

    Raises:
        ValueError: the model cannot be written in float16 or exported, or there is no conversion to the scheme of the faces.
    """
    folder = Path(folder)
    if getattr(model, "frozen_backbone", False):
        model.thaw()  # who trains the preset on trains all of it
    with tempfile.TemporaryDirectory() as temporary:
        places = {format: folder if format in formats else Path(temporary) for format in store.FORMATS}
        files = write_files(name, model, {**facts, "weak_spots": weak_spots}, places)
        figures = measure(model, faces, {format: files[format] for format in formats}, threads=threads, by_people=by_people)
        if clips is not None:
            figures["clips"] = on_clips(deploy.load(files["tflite"], threads=threads), clips, faces.normalizer)
        speed = latency(files["tflite"], threads)
    card = {
        "name": name,
        "class": type(model).__name__,
        "scheme": model.scheme.name,
        "input_size": model.input_size,
        "enlarge": model.enlarge,
        "parameters": trainable_parameters(model),
        "files": {format: described(files[format]) for format in formats},
        **facts,
        "figures": figures,
        "latency": speed,
        "weak_spots": weak_spots,
    }
    write_card(card, folder)
    return card


def write_files(name: str, model: FaceAligner, facts: dict[str, Any], folders: dict[str, Path]) -> dict[str, Path]:
    """Writes the files of a preset, each format into its folder; returns format -> path."""
    files = {format: folder / f"{name}.{format}" for format, folder in folders.items()}
    save_halved(model, files["keras"])
    export = deploy.export_step if hasattr(model, "step_parts") else deploy.export
    export(model, files["tflite"], precision="float16", **cards.notes(facts))
    return files


def write_card(card: dict[str, Any], folder: str | os.PathLike) -> None:
    """Writes NAME.md and then NAME.json, which is the last of a preset's files: where it is, the preset is whole."""
    for suffix, text in ((".md", cards.markdown(card)), (".json", cards.as_json(card))):
        with replacing(Path(folder) / f"{card['name']}{suffix}") as temporary:
            temporary.write_text(text, encoding="utf-8")


def described(file: Path) -> dict[str, Any]:
    """What the card says of a file."""
    return {"precision": "float16", "bytes": file.stat().st_size, "sha256": store.checksum(file)}


# === Figures ===


def measure(model: FaceAligner, faces: data.Dataset, files: dict[str, Path], *, threads: int, by_people: bool) -> dict[str, Any]:
    """The figures of a card: the errors of each file on the test faces, and the interval of the first one's NME."""
    crops = data.Crops(faces.test, model.input_size, enlarge=model.enlarge, cache=None)
    same = faces.scheme.matches(model.scheme)
    name = f"{faces.name} test" if same else f"{faces.name} test (read as {faces.scheme.name})"
    figures: dict[str, Any] = {"set": name, "faces": len(faces.test), "normalizer": faces.normalizer}
    for format, file in files.items():
        loaded = deploy.load(file, threads=threads)
        loaded = loaded if same else Converted(loaded, faces.scheme)
        report = evaluation.evaluate(loaded, crops, normalizer=faces.normalizer)
        figures[format] = summary(report)
        if "interval" not in figures:
            figures["interval"] = interval(report, by_people)
    return {**figures, "resampled": "people" if by_people else "faces"}


class Converted:
    """A model whose landmarks are converted to another scheme; a converted point's score is the mean of its sources'."""

    def __init__(self, model: Any, scheme: schemes.Scheme):
        self.model, self.scheme = model, scheme
        self.input_size, self.enlarge = model.input_size, model.enlarge
        self._shares = conversions.matrix(schemes.get(model.scheme).name, scheme.name)

    def align(self, images: np.ndarray, **given: Any) -> tuple[np.ndarray, np.ndarray]:
        """Crops `(N, S, S, 3)` -> landmarks `(N, K', 2)` in crop coordinates, and their scores `(N, K')`."""
        landmarks, scores = self.model.align(images, **given)
        return conversions.convert_landmarks(landmarks, self.model.scheme, self.scheme), scores @ self._shares.T


def interval(report: evaluation.Report, by_people: bool) -> list[float]:
    """The 95 % interval of a report's NME over resamples of its people or of its faces."""
    names = [name for name, counted in zip(report.names, report.counted, strict=True) if counted]
    groups = comparison.people(names) if by_people else None
    return [round(end, 4) for end in comparison.bootstrap_interval(report.counted_errors(), groups=groups)]


def summary(report: evaluation.Report) -> dict[str, float]:
    """The NME of a report, and its FR and AUC at 10 %, as a card has them."""
    figures = report.summary()
    return {name: round(figures[name], 4) for name in ("nme", "fr@10", "auc@10")}


def on_clips(stream: Any, clips: data.Clips, normalizer: str) -> dict[str, float]:
    """The figures of an exported tracker that reads whole clips.

    Args:
        stream: the `StreamingRuntime`.
        clips: the test `Clips`.
        normalizer: what errors are divided by.
    """
    report = evaluation.evaluate_clips(stream, clips, normalizer=normalizer)
    starts = np.arange(len(report.names)) % clips.length == 0
    jitter = metrics.jitter(report.predicted, report.landmark_scheme, starts=starts)
    return {**summary(report), "length": clips.length, "jitter": round(jitter, 4)}


def latency(file: Path, threads: int, *, runs: int = 100) -> dict[str, Any]:
    """The latency of a TFLite file as a card has it: median milliseconds of one crop, and how and where they were measured."""
    from kfacealign.deploy.measure import benchmark

    (cost,) = benchmark.bench([file], threads=(threads,), runs=runs)
    machine = f"{processor()}, {os.cpu_count()} cores"
    return {"ms": round(cost.median, 3), "threads": threads, "runs": runs, "runtime": "TFLite with XNNPACK", "machine": machine}


# === What the training knows ===


def read_facts(path: str | os.PathLike) -> dict[str, Any]:
    """The facts of a training, a dict with the keys `NEEDED`.

    Args:
        path: the JSON file that `recipes/preset_*.py` leave beside the model.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it lacks something; the message names the file.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing: recipes/preset_*.py leave it beside the model; name another with --card-from, a JSON file with "
            f"{', '.join(NEEDED)}"
        )
    try:
        facts = json.loads(read_bytes(path))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not JSON ({error})") from None
    lacking = [name for name in NEEDED if name not in facts] if isinstance(facts, dict) else NEEDED
    if lacking:
        raise ValueError(f"{path}: lacks {', '.join(lacking)}")
    return facts


def read_weak_spots(path: str | os.PathLike) -> list[dict] | None:
    """The rows that benchmarks/weak_spots.py wrote, or None where it was not run.

    Raises:
        ValueError: the file holds something else.
    """
    if not Path(path).is_file():
        return None
    try:
        rows = json.loads(read_bytes(path))
        return [{name: row[name] for name in (*SPOT, *(ANGLE if row.get("of") else ()))} for row in rows]
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise ValueError(f"{path}: not the rows of benchmarks/weak_spots.py ({type(error).__name__}: {error})") from None
