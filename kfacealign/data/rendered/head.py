"""The whole head as a mesh: the face's height field in front, and the skull, the ears' sides and the neck behind its rim.

Every vertex has a place on a flat texture: of the face it is (x, y) itself, and behind the rim the skin is unrolled sideways. So
what is painted on the texture at a landmark's (x, y) is seen at the landmark.
"""

import numpy as np

from kfacealign.data.rendered import face3d

ACROSS = np.array((0, 0.06, 0.13, 0.2, 0.29, 0.4, 0.53, 0.67, 0.81, 0.92, 0.98, 1.0))
FRONT = np.concatenate([-ACROSS[:0:-1], ACROSS])  # columns of the face, as shares of its half width
BACK = np.array((0.14, 0.38, 0.72, 1.0))  # columns of each side, from the rim to the back of the head
UNROLLED = 0.35  # how much shorter the sides are on the texture than on the head
REACH = 2.15  # x where the texture ends


def rows(face: face3d.Face) -> np.ndarray:
    """Heights y of the mesh's rows, from the crown to the chin."""
    scalp = face.crown_y + (face3d.FOREHEAD - face.crown_y) * np.linspace(0.05, 1, 6) ** 1.6
    base = face.nose_tip_y + 0.22
    lower = base + np.sin(np.linspace(0, np.pi / 2, 10)) * (face.chin - 1e-3 - base)
    return np.concatenate([scalp[:-1], np.linspace(face3d.FOREHEAD, -0.3, 5)[:-1], np.linspace(-0.3, base, 14)[:-1], lower])


def mesh(face: face3d.Face) -> tuple[np.ndarray, np.ndarray]:
    """The head of a face.

    Args:
        face: the face.

    Returns:
        Vertices `(R, C, 3)` in face coordinates, rows from the crown to the chin and columns from the left back over the face to
        the right back, and their places `(R, C, 2)` on the texture, in units of face coordinates.
    """
    y = rows(face)
    width, rim = face.half_width(y), face.rim_depth(y)
    x = FRONT * width[:, None]
    heights = np.repeat(y[:, None], len(FRONT), 1)
    front = np.stack([x, heights, face.surface(x, heights)], -1)
    skull = face.identity.skull
    behind = np.interp(
        y,
        (face.crown_y, 0.85 * face.crown_y, 0.6 * face.crown_y, -0.3, 0.2, 0.55, 0.95, face.chin),
        (-0.4, -1.1 * skull, -1.5 * skull, -1.68 * skull, -1.5 * skull, -1.15, -0.95, -0.9),
    )
    lower = np.interp(y, (0.25, 0.9), (0, 1))
    inner = width * 1.03 * (1 - lower) + 0.6 * lower
    turn = np.clip(BACK / 0.42, 0, 1) ** 1.2
    side_x = width[:, None] + (inner - width)[:, None] * turn
    side_x = side_x * np.sqrt(1 - np.clip((BACK - 0.42) / 0.58, 0, 1) ** 2.2)
    side_z = rim[:, None] + (behind - rim)[:, None] * BACK**0.9
    side = np.stack([side_x, np.repeat(y[:, None], len(BACK), 1), side_z], -1)
    steps = np.diff(np.concatenate([front[:, -1:], side], 1), axis=1)
    unrolled = width[:, None] + UNROLLED * np.cumsum(np.linalg.norm(steps, axis=-1), 1)
    left = side[:, ::-1] * (-1, 1, 1)
    vertices = np.concatenate([left, front, side], 1)
    flat = np.concatenate([-unrolled[:, ::-1], x, unrolled], 1)
    return vertices, np.stack([flat, vertices[..., 1]], -1)


def normals(vertices: np.ndarray) -> np.ndarray:
    """Unit normals `(R, C, 3)` of a mesh's vertices, outwards."""
    padded = np.pad(vertices, ((1, 1), (1, 1), (0, 0)), mode="edge")
    a, b = padded[1:-1, 2:] - padded[1:-1, :-2], padded[2:, 1:-1] - padded[:-2, 1:-1]
    normal = np.empty_like(vertices)
    normal[..., 0] = a[..., 1] * b[..., 2] - a[..., 2] * b[..., 1]
    normal[..., 1] = a[..., 2] * b[..., 0] - a[..., 0] * b[..., 2]
    normal[..., 2] = a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
    return normal / (np.sqrt((normal**2).sum(-1, keepdims=True)) + 1e-9)
