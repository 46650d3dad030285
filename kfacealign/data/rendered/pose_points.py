"""The points in three dimensions from which a head's pose is estimated, made from the rendered geometry.

`kfacealign.pose` reads what `write` has stored; this module makes it anew:

    python -m kfacealign.data.rendered.pose_points kfacealign/pose_points.json
"""

import json
import os
import sys

import numpy as np

from kfacealign import schemes
from kfacealign.data.rendered import face3d, face_points
from kfacealign.data.rendered.sampling import sample_expression, sample_identity
from kfacealign.files import replacing

BETWEEN_CORNERS = 90.0  # millimetres between the outer corners of the eyes
FACES = 500  # people from whom the spread is measured
STEPS = 5  # of fitting and weighting in turns


def neutral(scheme: str) -> np.ndarray:
    """The points of the mean person at rest, (K, 3) float64, millimetres, in the head's axes of `kfacealign.pose`.

    x points to the person's left, y down and z into the head; the origin is the middle between the outer corners of the eyes.
    """
    face = face3d.Face()
    corners = face_points.landmarks3d(face, "ibug68")[[36, 45]]
    scale = BETWEEN_CORNERS / (corners[1, 0] - corners[0, 0])
    return (face_points.landmarks3d(face, scheme) - corners.mean(0)) * scale * [1, 1, -1]


def spread(scheme: str) -> np.ndarray:
    """How far each point lies from where the neutral points have it, (K,) float64, in millimetres.

    It is the root mean square along one axis over random people and expressions, each of whom is fitted to the neutral points
    by a similarity that trusts each point by its spread. A point and its mirror image have the same.
    """
    rng, points = np.random.default_rng(0), neutral(scheme)
    people = [face3d.Face(sample_identity(rng), sample_expression(rng)) for _ in range(FACES)]
    # Scale and origin do not matter, as each is fitted; the head's axes are right-handed, those of a face are not.
    people = np.stack([face_points.landmarks3d(face, scheme) for face in people]) * [1, 1, -1]
    squares, mirror = np.ones(len(points)), list(schemes.get(scheme).mirror)
    for _ in range(STEPS):
        squares = ((fitted(people, points, 1 / squares) - points) ** 2).mean((0, 2)) + 1e-6
        squares = (squares + squares[mirror]) / 2
    return np.sqrt(squares)


def fitted(people: np.ndarray, points: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Shapes `(N, K, 3)`, each moved, turned and scaled so that it lies nearest to `points` (K, 3) by `weights` (K,)."""
    share = (weights / weights.sum())[:, None]
    centred = people - (share * people).sum(1, keepdims=True)
    middle = (share * points).sum(0)
    left, strengths, right = np.linalg.svd(np.swapaxes(centred * share, 1, 2) @ (points - middle))
    scale = strengths.sum(-1) / (share * centred**2).sum((1, 2))
    return scale[:, None, None] * centred @ (left @ right) + middle


def pose_points(scheme: str) -> list[list[float]]:
    """K rows x, y, z and spread of a scheme, as they are stored."""
    return (np.round(np.column_stack([neutral(scheme), spread(scheme)]), 3) + 0.0).tolist()  # no -0.0


def write(path: str | os.PathLike) -> None:
    """Writes the points of all schemes as JSON."""
    lines = (
        f' "{scheme}": [\n' + ",\n".join(f"  {json.dumps(row)}" for row in pose_points(scheme)) + "\n ]"
        for scheme in face_points.SCHEMES
    )
    with replacing(path) as temporary:
        temporary.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    write(sys.argv[1])
