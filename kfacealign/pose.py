"""Which way a head is turned, from its landmarks.

The points of a neutral head in three dimensions (`head_points`) are turned and moved until a camera sees them where the
landmarks are: `cv2.solvePnP` begins, and a weighted least-squares fit of the rotation and the translation goes on. Contours are
left out, because annotators put them on the edge of the face that they see, which slides along the cheek as the head turns.

A landmark has no depth of its own here: whoever smiles has the neutral head's depth. The axes, the signs and the camera are in
docs/conventions.md.
"""

import dataclasses
import functools
import json
from importlib import resources
from typing import Any

import cv2
import numpy as np

from kfacealign import conversions, schemes

FEWEST = 6  # points
NARROWEST = 0.02  # extent of the points across their longest line over that along it, in the image and in the head
WORST = 0.35  # root mean square of the distances that a fit leaves over that of the points from their middle, both weighted
FARTHEST = 100.0  # degrees between the face's direction and that to the camera; the back of a head shows no landmarks
STEPS = 30  # of the fit at most
SETTLED = 1e-7  # length of a step in radians, or in shares of the distance, with which the fit ends


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Pose:
    """Where a head is and which way it is turned, in the axes of the camera: x right, y down, z into the picture.

    In the head's own axes x points to the person's left, y down and z out of the back of the head, so that a head which looks
    straight along the camera's axis has the identity as its rotation and no angles.

    Attributes:
        rotation: (3, 3) float64, from the head's axes to the camera's.
        translation: (3,) float64, the middle between the outer corners of the eyes, in millimetres of a head on which these
            are 90 mm apart; a picture does not tell how large a head is.
        yaw: degrees; positive where the person looks to their own left, the right of the image.
        pitch: degrees; positive where they look down.
        roll: degrees; positive where the head leans clockwise in the image, towards the person's left shoulder.
        error: root mean square in pixels of the distances that the fit leaves.
        camera: (3, 3) float64, the matrix with which the pose was estimated.
    """

    rotation: np.ndarray
    translation: np.ndarray
    yaw: float
    pitch: float
    roll: float
    error: float
    camera: np.ndarray

    def __repr__(self) -> str:
        return f"<Pose: yaw {self.yaw:.1f}, pitch {self.pitch:.1f}, roll {self.roll:.1f} degrees>"

    def to_dict(self) -> dict[str, Any]:
        """The pose as plain Python, for JSON."""
        angles = {name: round(getattr(self, name), 2) for name in ("yaw", "pitch", "roll")}
        parts = {"rotation": self.rotation, "translation": self.translation, "camera": self.camera}
        return angles | {name: np.round(part, 6).tolist() for name, part in parts.items()} | {"error": round(self.error, 3)}

    def project(self, points: np.ndarray) -> np.ndarray:
        """Where points of the head are seen.

        Args:
            points: (n, 3) in the head's axes, millimetres.

        Returns:
            (n, 2) float64, image coordinates.
        """
        seen = (np.asarray(points, float) @ self.rotation.T + self.translation) @ self.camera.T
        return seen[:, :2] / seen[:, 2:]


# === What is known of heads and cameras ===


@functools.cache
def stored_points() -> dict[str, list[list[float]]]:
    """Name of a scheme -> K rows x, y, z, spread, as `kfacealign.data.rendered.pose_points` has made them."""
    return json.loads((resources.files("kfacealign") / "pose_points.json").read_text(encoding="utf-8"))


def head_points(scheme: schemes.Scheme | str) -> tuple[np.ndarray, np.ndarray] | None:
    """The points of a scheme on a neutral head.

    Args:
        scheme: a name or a `Scheme`, also of a part such as "ibug51".

    Returns:
        (K, 3) float64, millimetres in the head's axes, the origin between the outer corners of the eyes, and (K,) float64, how
        far people and expressions move each point along an axis, in millimetres. None where the scheme is not one of this
        package. Of menpo39, a scheme of profiles, it is the left half, which is seen where the yaw is positive.
    """
    scheme = conversions.scheme(scheme)
    if isinstance(scheme, conversions.PartialScheme):
        whole, spread = head_points("ibug68")
        weights = conversions.matrix("ibug68", scheme.name)
        return weights @ whole, weights @ spread
    table = np.array(stored_points().get(scheme.name, ()), float).reshape(-1, 4)
    return (table[:, :3], table[:, 3]) if len(table) == scheme.num_points else None


def camera_matrix(size: tuple[int, int], *, focal: float | None = None) -> np.ndarray:
    """The matrix of a camera without distortion that looks through the middle of its image, (3, 3) float64.

    Args:
        size: width and height of the image in pixels.
        focal: focal length in pixels. By default it is the longer side of the image, as of a lens of 36 mm on a camera of 35 mm
            film. An image that was cut out of a photograph keeps the photograph's.

    Raises:
        ValueError: the focal length or a side is not above 0.
    """
    width, height = size
    focal = max(size) if focal is None else focal
    if not all(np.isfinite(value) and value > 0 for value in (width, height, focal)):
        raise ValueError(f"a camera needs sides and a focal length above 0, got {width} x {height} pixels and {focal}")
    return np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]], float)


# === From landmarks to a pose ===


def estimate(
    landmarks: np.ndarray,
    scheme: schemes.Scheme | str,
    camera: np.ndarray,
    *,
    weights: np.ndarray | None = None,
    covariances: np.ndarray | None = None,
) -> Pose | None:
    """The pose of a head.

    The fit trusts each point by how far people and expressions move it, and by its weight and covariance where these are given.

    Args:
        landmarks: (K, 2) in image coordinates; points that are not finite are left out.
        scheme: their scheme, a name or a `Scheme`.
        camera: (3, 3), such as `camera_matrix` makes. It is one of image coordinates, in which the centre of the first pixel is
            (0.5, 0.5): to the centre of a matrix that OpenCV has calibrated, 0.5 is to be added.
        weights: (K,), trust in each point besides; 0 leaves it out.
        covariances: (K, 2, 2) in square pixels, how unsure each landmark is.

    Returns:
        `Pose`, or None where the landmarks are no head's: fewer than 6 of them are used, they lie in one line, nothing that a
        head can do fits, or it would be seen from behind, as a face is whose points were mirrored without being reordered.

    Raises:
        ValueError: the scheme has no points in three dimensions; the shapes do not fit; a weight is negative or not finite;
            a covariance is not symmetric or has a negative variance; the camera is none.
    """
    scheme = conversions.scheme(scheme)
    head = head_points(scheme)
    if head is None:
        raise ValueError(f"{scheme.name} has no points in three dimensions, from which a pose could be estimated")
    points = checked("landmarks", landmarks, (scheme.num_points, 2))
    trust = np.ones(len(points)) if weights is None else checked("weights", weights, (len(points),))
    unsure = np.zeros((len(points), 2, 2)) if covariances is None else checked("covariances", covariances, (len(points), 2, 2))
    if not (np.isfinite(trust).all() and (trust >= 0).all()):
        raise ValueError("weights are finite and not below 0")
    camera = checked_camera(camera)
    used = np.isfinite(points).all(1) & (trust > 0)
    used[list(scheme.regions.get("contour", ()))] = False
    check_covariances(unsure, used)
    if used.sum() < FEWEST or narrow(points[used]):
        return None
    # In units of the focal length, in which nothing depends on the size of the image.
    inverse = np.linalg.inv(camera)
    seen = points[used] @ inverse[:2, :2].T + inverse[:2, 2]
    unsure = inverse[:2, :2] @ unsure[used] @ inverse[:2, :2].T
    # A scheme of which every point is its own mirror image does not tell which half of a head it shows.
    halves = ([-1, 1, 1], [1, 1, 1]) if tuple(scheme.mirror) == tuple(range(scheme.num_points)) else ([1, 1, 1],)
    fits = [fit(head[0][used] * half, head[1][used], seen, unsure, trust[used]) for half in halves]
    fits = [found for found in fits if found is not None]
    return None if not fits else described(*min(fits, key=lambda found: found[2]), camera=camera)


def checked(what: str, values: Any, shape: tuple[int, ...]) -> np.ndarray:
    """An array of float64, after a look at its shape."""
    values = np.asarray(values, float)
    if values.shape != shape:
        raise ValueError(f"{what} have the shape {shape}, got {values.shape}")
    return values


def checked_camera(camera: Any) -> np.ndarray:
    """A camera matrix, after a look at its numbers."""
    camera = checked("cameras", camera, (3, 3))
    if not np.isfinite(camera).all() or min(camera[0, 0], camera[1, 1]) <= 0 or (np.tril(camera, -1) != 0).any():
        raise ValueError(f"a camera is [[fx, 0, cx], [0, fy, cy], [0, 0, 1]] with focal lengths above 0, got {camera.tolist()}")
    if camera[2, 2] != 1:
        raise ValueError(f"the last number of a camera matrix is 1, got {camera[2, 2]:g}")
    return camera


def check_covariances(unsure: np.ndarray, used: np.ndarray) -> None:
    """Raises ValueError where a covariance of a point that is used is none; the message names the first."""
    points = np.flatnonzero(used)
    chosen = unsure[points]
    if not chosen.any():
        return
    finite = np.isfinite(chosen).all((1, 2))
    known = np.where(finite[:, None, None], chosen, 0.0)
    scale = np.abs(known).max((1, 2))
    bad = ~finite | (np.abs(known[:, 0, 1] - known[:, 1, 0]) > 1e-6 * scale)
    if bad.any():
        place = np.flatnonzero(bad)[0]
        raise ValueError(f"the covariance of point {points[place]} is not finite and symmetric: {chosen[place].tolist()}")
    negative = np.linalg.eigvalsh(chosen)[:, 0] < -1e-6 * scale
    if negative.any():
        place = np.flatnonzero(negative)[0]
        raise ValueError(f"the covariance of point {points[place]} has a negative variance: {chosen[place].tolist()}")


def narrow(points: np.ndarray) -> bool:
    """Whether points (n, 2) or (n, 3) lie in one line or in one place, as far as a pose is concerned."""
    strengths = np.linalg.svd(points - points.mean(0), compute_uv=False)
    return bool(strengths[0] <= 1e-9 * max(1.0, np.abs(points).max()) or strengths[1] < NARROWEST * strengths[0])


def fit(
    head: np.ndarray, spread: np.ndarray, seen: np.ndarray, unsure: np.ndarray, trust: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float] | None:
    """The rotation (3, 3), the translation (3,) and the root mean square of the distances left, in units of the focal length.

    Args:
        head: (n, 3) millimetres. spread: (n,) millimetres. seen: (n, 2) in units of the focal length.
        unsure: (n, 2, 2) covariances of `seen`. trust: (n,) weights.

    Returns:
        None where nothing fits.
    """
    start = None if narrow(head) else started(head, seen)
    if start is None:
        return None
    rotation, translation = start
    covariances = unsure + (spread / translation[2])[:, None, None] ** 2 * np.eye(2)
    whitening = np.linalg.inv(np.linalg.cholesky(covariances)) * np.sqrt(trust)[:, None, None]
    rotation, translation = refined(head, seen, whitening, rotation, translation)
    distances = np.linalg.norm(residuals(head, seen, rotation, translation), axis=1)
    share = trust / (spread**2 + np.trace(unsure, axis1=1, axis2=2) / 2 * translation[2] ** 2)
    extents = np.linalg.norm(seen - np.average(seen, axis=0, weights=share), axis=1)
    left = np.sqrt(np.average([distances**2, extents**2], axis=1, weights=share))
    towards = rotation[:, 2] @ translation / np.linalg.norm(translation)
    possible = translation[2] > 0 and ((head @ rotation.T)[:, 2] + translation[2]).min() > 0
    if not possible or not left[0] < WORST * left[1] or towards < np.cos(np.radians(FARTHEST)):
        return None
    return rotation, translation, float(np.sqrt((distances**2).mean()))


def started(head: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """A first rotation and translation by OpenCV's SQPNP; None where it has none in front of the camera."""
    head, seen = np.ascontiguousarray(head), np.ascontiguousarray(seen)  # OpenCV takes no others
    try:
        done, turn, translation = cv2.solvePnP(head, seen, np.eye(3), None, flags=cv2.SOLVEPNP_SQPNP)
    except cv2.error:
        return None
    if not done or not np.isfinite(turn).all() or not np.isfinite(translation).all() or translation[2, 0] <= 0:
        return None
    return cv2.Rodrigues(turn)[0], translation[:, 0]


def residuals(head: np.ndarray, seen: np.ndarray, rotation: np.ndarray, translation: np.ndarray) -> np.ndarray:
    """(n, 2): where the points are seen under a pose, less where they were seen."""
    placed = head @ rotation.T + translation
    return placed[:, :2] / placed[:, 2:] - seen


def refined(
    head: np.ndarray, seen: np.ndarray, whitening: np.ndarray, rotation: np.ndarray, translation: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Levenberg and Marquardt's steps from a pose to the nearest least sum of squares.

    Args:
        whitening: (n, 2, 2), which turns residuals into ones of variance 1.
    """

    def errors(turn, place):
        return (whitening @ residuals(head, seen, turn, place)[..., None]).ravel()

    damping, now = 1e-3, errors(rotation, translation)
    for _ in range(STEPS):
        slopes = (whitening @ derivatives(head @ rotation.T, translation)).reshape(-1, 6)
        normal, gradient = slopes.T @ slopes, slopes.T @ now
        try:
            step = -np.linalg.solve(normal + damping * np.diag(np.diag(normal)), gradient)
        except np.linalg.LinAlgError:
            break
        turned, moved = cv2.Rodrigues(step[:3])[0] @ rotation, translation + step[3:]
        then = errors(turned, moved)
        if then @ then <= now @ now:
            rotation, translation, now, damping = turned, moved, then, damping / 10
        else:
            damping *= 10
        if np.abs(step[:3]).max() < SETTLED and np.abs(step[3:]).max() < SETTLED * np.linalg.norm(translation):
            break
    return rotation, translation


def derivatives(turned: np.ndarray, translation: np.ndarray) -> np.ndarray:
    """(n, 2, 6): how residuals change with a turn about the camera's axes (radians) and with the translation.

    Args:
        turned: (n, 3), the head's points in the camera's axes, not yet moved.
    """
    x, y, z = (turned + translation).T
    a, b, c = turned.T
    u, v, zero, one = x / z, y / z, np.zeros_like(z), np.ones_like(z)
    across = [-u * b, c + u * a, -b, one, zero, -u]
    down = [-c - v * b, v * a, a, zero, one, -v]
    return np.moveaxis(np.array([across, down]) / z, -1, 0)


def described(rotation: np.ndarray, translation: np.ndarray, left: float, *, camera: np.ndarray) -> Pose:
    """A `Pose` of a fit in units of the focal length."""
    yaw, pitch, roll = angles(rotation)
    error = left * float(np.sqrt(camera[0, 0] * camera[1, 1]))
    return Pose(rotation=rotation, translation=translation, yaw=yaw, pitch=pitch, roll=roll, error=error, camera=camera)


# === Angles ===


def angles(rotation: np.ndarray) -> tuple[float, float, float]:
    """Yaw, pitch and roll in degrees of a rotation (3, 3), as `Pose` defines them; the pitch is from -90 to 90."""
    pitch = np.arcsin(np.clip(rotation[2, 1], -1, 1))
    yaw, roll = np.arctan2(rotation[2, 0], rotation[2, 2]), np.arctan2(-rotation[0, 1], rotation[1, 1])
    return float(np.degrees(yaw)), float(np.degrees(pitch)), float(np.degrees(roll))


def rotation_matrix(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """The rotation (3, 3) float64 of a head that was turned by `yaw`, then by `pitch`, then by `roll`, all in degrees.

    Each is a turn about an axis of the camera: about its y, its x, its z.
    """
    (cy, cp, cr), (sy, sp, sr) = np.cos(np.radians([yaw, pitch, roll])), np.sin(np.radians([yaw, pitch, roll]))
    turn = np.array([[cy, 0, -sy], [0, 1, 0], [sy, 0, cy]])
    nod = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    lean = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return lean @ nod @ turn
