"""What was found in a video, as a table: a row for each face of each frame."""

import csv
import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kfacealign.files import replacing
from kfacealign.metrics.stability import jitter
from kfacealign.schemes import Scheme
from kfacealign.tracking.track import Track, nothing

ANGLES = ("yaw", "pitch", "roll")


@dataclasses.dataclass(frozen=True, eq=False)
class Record:
    """One frame.

    Attributes:
        number: of the frame, from 1. time: in seconds. faces: what was found in it.
    """

    number: int
    time: float
    faces: Sequence[Track]


def arrays(scheme: Scheme, records: Sequence[Record]) -> dict[str, np.ndarray]:
    """The records as a dict of arrays of R rows: one for each face of a frame, and one for a frame without a face.

    In a row without a face, `face` and scores are 0 and landmarks are NaN.
    """
    empty = nothing(scheme.num_points)
    rows = [(record, face) for record in records for face in record.faces or [empty]]
    faces = [face for _, face in rows]
    kinds = {"found": bool, "detected": bool, "score": "float32", "box": "float32", "landmarks": "float32", "scores": "float32"}
    shapes = {"box": (4,), "landmarks": (scheme.num_points, 2), "scores": (scheme.num_points,)}
    table = {"frame": np.array([record.number for record, _ in rows]), "time": np.array([record.time for record, _ in rows])}
    for name, kind in kinds.items():
        table[name] = np.array([getattr(face, name) for face in faces], kind).reshape(-1, *shapes.get(name, ()))
    table["raw_landmarks"] = np.array([face.raw for face in faces], "float32").reshape(-1, scheme.num_points, 2)
    table["face"] = np.array([face.id for face in faces], int)
    return table


def head_angles(records: Sequence[Record]) -> dict[str, np.ndarray]:
    """ "yaw", "pitch" and "roll" -> (R,) float32, degrees, for the rows of `arrays`; NaN where there is no pose."""
    poses = [face.pose if face else None for record in records for face in record.faces or [None]]
    return {name: np.array([np.nan if one is None else getattr(one, name) for one in poses], "float32") for name in ANGLES}


def by_face(records: Sequence[Record]) -> dict[int, list[tuple[int, Track]]]:
    """Number of a face -> the places in `records` where it was found and what was found, in the order of the numbers."""
    found = {}
    for place, record in enumerate(records):
        for face in record.faces:
            found.setdefault(face.id, []).append((place, face))
    return dict(sorted(found.items()))


def one_by_one(scheme: Scheme, records: Sequence[Record]) -> list[dict[str, Any]]:
    """For each face a dict of its number, its first and last frame, in how many it was found, and its jitter."""
    return [
        {
            "face": number,
            "first_frame": records[track[0][0]].number,
            "last_frame": records[track[-1][0]].number,
            "found": len(track),
            "jitter": trembling(scheme, [track], "landmarks"),
        }
        for number, track in by_face(records).items()
    ]


def trembling(scheme: Scheme, tracks: Iterable[list[tuple[int, Track]]], name: str) -> float | None:
    """The jitter of some faces together, in percent; None where none was found in three frames in a row.

    Args:
        scheme: of the landmarks.
        tracks: values of `by_face`.
        name: "landmarks" or "raw".
    """
    gap = np.full((scheme.num_points, 2), np.nan, "float32")
    landmarks, starts = [], []
    for track in tracks:
        before = None
        for place, face in track:
            if before is None or place > before + 1:
                landmarks.append(gap)
                starts.append(False)
            landmarks.append(getattr(face, name))
            starts.append(face.detected)
            before = place
    if not landmarks:
        return None
    value = jitter(np.stack(landmarks), scheme, starts=starts)
    return value if np.isfinite(value) else None


def write_tables(csv_path: Path, npz_path: Path, scheme: Scheme, records: Sequence[Record], *, pose: bool = False) -> None:
    """Writes the rows of `arrays` as a CSV and an NPZ file, and the heads' angles if so wanted."""
    table = arrays(scheme, records)
    if pose:
        table |= head_angles(records)
    angles = [name for name in ANGLES if pose]
    with replacing(csv_path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        axes = [f"{axis}{point}" for point in range(scheme.num_points) for axis in "xy"]
        writer.writerow(["frame", "time", "found", "detected", "score", *axes, "face", *angles])
        for place, landmarks in enumerate(table["landmarks"].astype(float)):
            found = table["found"][place]
            points = [f"{value:.3f}" for value in landmarks.ravel()] if found else [""] * len(axes)
            state = [int(found), int(table["detected"][place]), f"{table['score'][place]:.4f}"]
            number = int(table["face"][place]) if found else ""
            turned = ["" if np.isnan(table[name][place]) else f"{table[name][place]:.2f}" for name in angles]
            writer.writerow([table["frame"][place], f"{table['time'][place]:.4f}", *state, *points, number, *turned])
    with replacing(npz_path) as temporary:
        np.savez_compressed(temporary, scheme=scheme.name, **table)
