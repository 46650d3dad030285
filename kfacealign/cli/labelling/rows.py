"""The rows of a run: their columns, and the faces of a picture as rows.

| column | what it holds |
|---|---|
| `shard`, `picture` | number of the unit, and of the picture in it, from 0; with `face` they name a row |
| `path` | the picture: its path or URL as given, `TAR/MEMBER`, or `PARQUET#ROW` (rows from 0) |
| `status` | "ok", "no face", or "failed"; a picture without faces has one row |
| `reason` | why it failed |
| `width`, `height` | of the upright picture, pixels |
| `face` | number of the face in the picture, from 1, the largest first |
| `box` | x0, y0, x1, y1: brows to chin and ear to ear |
| `detector_score` | the detector's score |
| `landmarks` | x, y, x, y, ... |
| `scores`, `mean_score` | the model's score of each landmark, and their mean |
| `visibility`, `covariance` | what the model says of them; null where it says nothing |
| `pose` | yaw, pitch and roll in degrees, and the translation in millimetres, six numbers; null where no head fits |
| `model_sha256` | checksum of the model's file |

All are image coordinates of the upright picture: the centre of the first pixel is (0.5, 0.5).
"""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa

    from kfacealign.face_landmarks import Face

OK, NO_FACE, FAILED = "ok", "no face", "failed"
EXTRA = ("visibility", "covariance")  # attributes of a face that only some models give
KEY = b"kfacealign"  # of the description in a file's metadata


def schema(description: dict[str, Any] | None = None) -> "pa.Schema":
    """The columns, and a run's description in their metadata."""
    import pyarrow as pa

    numbers = pa.list_(pa.field("item", pa.float32(), nullable=False))
    named = [
        *(pa.field(name, pa.int32(), nullable=False) for name in ("shard", "picture")),
        *(pa.field(name, pa.string(), nullable=False) for name in ("path", "status")),
        pa.field("reason", pa.string()),
        *(pa.field(name, pa.int32()) for name in ("width", "height", "face")),
        pa.field("box", numbers),
        pa.field("detector_score", pa.float32()),
        *(pa.field(name, numbers) for name in ("landmarks", "scores")),
        pa.field("mean_score", pa.float32()),
        *(pa.field(name, numbers) for name in (*EXTRA, "pose")),
        pa.field("model_sha256", pa.string(), nullable=False),
    ]
    return pa.schema(named, metadata=None if description is None else {KEY: json.dumps(description).encode()})


def described(schema: "pa.Schema") -> dict[str, Any] | None:
    """The run's description in the metadata of a file; None where the file is not of `kfacealign label`."""
    try:
        content = json.loads((schema.metadata or {})[KEY])
    except (KeyError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def failed(reason: str) -> list[dict[str, Any]]:
    """The row of a picture that failed."""
    return [{"status": FAILED, "reason": reason}]


def of_faces(faces: "Sequence[Face]", size: tuple[int, int]) -> list[dict[str, Any]]:
    """The rows of a picture that was read.

    Args:
        faces: its faces.
        size: its width and height.
    """
    about = dict(zip(("width", "height"), size, strict=True))
    if not faces:
        return [{**about, "status": NO_FACE}]
    return [{**about, "status": OK, "face": number, **of_face(face)} for number, face in enumerate(faces, start=1)]


def of_face(face: "Face") -> dict[str, Any]:
    """The numbers of a face, rounded as `kfacealign align` rounds them.

    Raises:
        ValueError: one of them is not finite.
    """
    numbers = {
        "box": np.round(np.asarray(face.box, np.float64), 3),
        "landmarks": np.round(np.asarray(face.landmarks, np.float64).ravel(), 3),
        "scores": np.round(np.asarray(face.scores, np.float64), 4),
    }
    for name in EXTRA:
        value = getattr(face, name, None)
        if value is not None:
            numbers[name] = np.asarray(value, np.float64).ravel()
    pose = face.pose
    if pose is not None:
        numbers["pose"] = np.round([pose.yaw, pose.pitch, pose.roll, *pose.translation], 2)
    if not all(np.isfinite(values).all() for values in numbers.values()):
        raise ValueError("the model's answer is not finite")
    score = None if face.score is None else round(float(face.score), 4)
    return {**numbers, "detector_score": score, "mean_score": round(float(face.scores.mean()), 4)}


def table(rows: Sequence[dict[str, Any]], schema: "pa.Schema") -> "pa.Table":
    """Rows as a table of these columns; what a row lacks is null."""
    import pyarrow as pa

    columns = [pa.array([row.get(field.name) for row in rows], field.type) for field in schema]
    return pa.Table.from_arrays(columns, schema=schema)
