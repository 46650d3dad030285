"""The whole head as a mesh: the face's height field in front, and the skull, the ears' sides and the neck behind its rim.

Every vertex has a place on a flat texture: of the face it is (x, y) itself, and behind the rim the skin is unrolled sideways. So
what is painted on the texture at a landmark's (x, y) is seen at the landmark.
"""

import numpy as np

from kfacealign.data.rendered import face3d

ACROSS = np.array((0, 0.06, 0.13, 0.2, 0.29, 0.4, 0.53, 0.67, 0.81, 0.92, 0.98, 1.0))
FRONT = np.concatenate([-ACROSS[:0:-1], ACROSS])  # columns of the face, as shares of its half width
BACK = np.array((0.14, 0.38, 0.72, 1.0))  # columns of each side, from the rim to the back of the head
SCALP = np.linspace(0.05, 1, 6)[:-1] ** 1.6  # rows from the crown to the hairline
BROW = np.linspace(face3d.FOREHEAD, -0.3, 5)[:-1]
MIDDLE = np.linspace(0, 1, 14)[:-1]
LOWER = np.sin(np.linspace(0, np.pi / 2, 10))  # rows from below the nose to the chin
TURN = np.clip(BACK / 0.42, 0, 1) ** 1.2  # how far these have come from the width of the face to that of the head behind it
ROUND = np.sqrt(1 - np.clip((BACK - 0.42) / 0.58, 0, 1) ** 2.2)  # what the back of the head leaves of the width
UNROLLED = 0.35  # how much shorter the sides are on the texture than on the head
REACH = 2.15  # x where the texture ends
FEATURES = 0.8  # x up to which a texture always goes: eyes, brows, nose and mouth lie within
AWAY = -0.1  # cosine of the angle to the camera from which skin counts as out of sight
BESIDE = 0.08  # by how much more of x hair that stands out, or the rim of a quad, may show


def rows(face: face3d.Face) -> np.ndarray:
    """Heights y of the mesh's rows, from the crown to the chin."""
    base = face.nose_tip_y + 0.22
    scalp = face.crown_y + (face3d.FOREHEAD - face.crown_y) * SCALP
    return np.concatenate([scalp, BROW, -0.3 + (base + 0.3) * MIDDLE, base + LOWER * (face.chin - 1e-3 - base)])


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
    front = np.empty((len(y), len(FRONT), 3))
    x = front[..., 0] = FRONT * width[:, None]
    front[..., 1] = y[:, None]
    front[..., 2] = face.surface(x, front[..., 1])
    skull = face.identity.skull
    behind = np.interp(
        y,
        (face.crown_y, 0.85 * face.crown_y, 0.6 * face.crown_y, -0.3, 0.2, 0.55, 0.95, face.chin),
        (-0.4, -1.1 * skull, -1.5 * skull, -1.68 * skull, -1.5 * skull, -1.15, -0.95, -0.9),
    )
    lower = face3d.within((y - 0.25) / 0.65, 0, 1)
    inner = width * 1.03 * (1 - lower) + 0.6 * lower
    side = np.empty((len(y), len(BACK), 3))
    side[..., 0] = (width[:, None] + (inner - width)[:, None] * TURN) * ROUND
    side[..., 1] = y[:, None]
    side[..., 2] = rim[:, None] + (behind - rim)[:, None] * BACK**0.9
    steps = side - np.concatenate([front[:, -1:], side[:, :-1]], 1)
    unrolled = width[:, None] + UNROLLED * np.cumsum(np.sqrt((steps**2).sum(-1)), 1)
    vertices = np.concatenate([side[:, ::-1] * (-1, 1, 1), front, side], 1)
    return vertices, face3d.pairs(np.concatenate([-unrolled[:, ::-1], x, unrolled], 1), vertices[..., 1])


def normals(vertices: np.ndarray) -> np.ndarray:
    """Unit normals `(R, C, 3)` of a mesh's vertices, outwards."""
    padded = np.empty((3, vertices.shape[0] + 2, vertices.shape[1] + 2))
    padded[:, 1:-1, 1:-1] = np.moveaxis(vertices, -1, 0)
    padded[:, 0], padded[:, -1] = padded[:, 1], padded[:, -2]
    padded[:, :, 0], padded[:, :, -1] = padded[:, :, 1], padded[:, :, -2]
    a, b = padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2], padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]
    normal = np.empty_like(vertices)
    x, y, z = a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]
    shrink = 1 / (np.sqrt(x * x + y * y + z * z) + 1e-9)
    normal[..., 0], normal[..., 1], normal[..., 2] = x * shrink, y * shrink, z * shrink
    return normal


def in_sight(vertices: np.ndarray, normal: np.ndarray, flat: np.ndarray, camera: np.ndarray) -> tuple[float, float]:
    """Where on the texture the camera looks.

    Args:
        vertices: `(R, C, 3)` face coordinates, without hair or cloth.
        normal: `(R, C, 3)`, their unit normals.
        flat: `(R, C, 2)`, their places on the texture.
        camera: `(3,)` where the camera is, in face coordinates.

    Returns:
        The lowest and the highest x; features lie between them, whether they are seen or not.
    """
    towards = camera - vertices
    cosine = (towards * normal).sum(-1) / np.sqrt((towards**2).sum(-1))
    near = np.zeros(np.add(cosine.shape, (0, 2)), bool)
    for column in range(3):  # a quad is seen if one of its corners is
        near[:, column : column + cosine.shape[1]] |= cosine > AWAY
    x = flat[..., 0][near[:, 1:-1]]
    return min(float(x.min()) - BESIDE, -FEATURES), max(float(x.max()) + BESIDE, FEATURES)
