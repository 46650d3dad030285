"""How much tracked landmarks tremble."""

from collections.abc import Sequence

import numpy as np

from kfacealign import schemes


def jitter(
    landmarks: np.ndarray,
    scheme: schemes.Scheme | str,
    *,
    found: np.ndarray | Sequence[bool] | None = None,
    starts: np.ndarray | Sequence[bool] | None = None,
) -> float:
    """Mean frame-to-frame acceleration of landmarks, in percent of the inter-ocular distance.

    With p_t the points of frame t and d_t the distance between the outer corners of the eyes in it (if the scheme has no
    eye corners, the `box` of the points, sqrt(width * height)),

        a_t = 100 |p_(t+1) - 2 p_t + p_(t-1)| / d_t

    and the jitter is the mean of a_t over the points of all frames that have both neighbours in the same track. Motion of
    constant velocity has a jitter of 0; points that jump to and fro by +-e from one frame to the next have 400 e / d. Real
    motion accelerates too, so compare trackers on the same video, and with the jitter of the true landmarks.

    Args:
        landmarks: (T, K, 2), consecutive frames, in one coordinate system.
        scheme: scheme of the landmarks, a name or a `Scheme`.
        found: (T,), whether the frame has a face; the landmarks of a frame without one count nowhere. By default the frames
            with finite landmarks have one.
        starts: (T,), whether a new track starts at the frame, by a scene cut or because the face was found again; no
            acceleration is measured across the start. By default there is one track.

    Returns:
        Percent as a float; NaN without three frames in a row.

    Raises:
        ValueError: an argument has a wrong shape.
    """
    scheme = schemes.get(scheme)
    points = np.asarray(landmarks, "float64")
    if points.ndim != 3 or points.shape[1:] != (scheme.num_points, 2):
        raise ValueError(f"landmarks must be (T, {scheme.num_points}, 2), got shape {points.shape}")
    valid = np.isfinite(points).all((1, 2))
    for name, flags in (("found", found), ("starts", starts)):
        if flags is not None and np.shape(flags) != (len(points),):
            raise ValueError(f"{name} must be ({len(points)},), got shape {np.shape(flags)}")
    if found is not None:
        valid &= np.asarray(found, bool)
    counted = valid[:-2] & valid[1:-1] & valid[2:]
    if starts is not None:
        starts = np.asarray(starts, bool)
        counted &= ~starts[1:-1] & ~starts[2:]
    if not counted.any():
        return float("nan")
    middle = points[1:-1][counted]
    acceleration = np.linalg.norm(points[2:][counted] - 2 * middle + points[:-2][counted], axis=-1).mean(1)
    if scheme.eye_corners:
        left, right = scheme.eye_corners
        length = np.linalg.norm(middle[:, left] - middle[:, right], axis=-1)
    else:
        length = np.sqrt(np.ptp(middle, axis=1).prod(-1))
    usable = length > 0
    return float(100 * (acceleration[usable] / length[usable]).mean()) if usable.any() else float("nan")
