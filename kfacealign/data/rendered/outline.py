"""The points of the jaw where people put them: on the outline that the camera sees.

On the far side of a turned head the jaw bone is out of sight, and people mark the edge of the cheek instead. So do the schemes
whose jaw is such a line: a point slides at its height from the jaw towards the middle of the face, to where the skin reaches
farthest out in the image, but no farther than the cheek (INNER). Up to about 60 degrees of yaw this is the outline; beyond, nose
and lips are, and the points stay on the cheek, out of sight behind them. Points of the near side stay on the jaw.
"""

import numpy as np

from kfacealign.data.rendered import face3d
from kfacealign.data.rendered.face_points import JAW33, TEMPLES33
from kfacealign.data.rendered.render import View

INNER = 0.4  # how far points slide, as a share of the half width of the face at their height
PLACES = np.cos(np.linspace(0, np.arccos(INNER), 18))  # where the outline is looked for, as shares of the same
JAWS = np.concatenate([JAW33, TEMPLES33])
CONTOURS = {"wflw98": slice(0, 33), "ibug68": slice(0, 33, 2), "jd106": slice(33, 66)}  # scheme -> its first points, in JAWS


def contour(face: face3d.Face, view: View, t: np.ndarray = JAWS) -> np.ndarray:
    """Points of the jaw as people mark them in the image, `(n, 3)` face coordinates.

    Args:
        face: the face.
        view: where its head is.
        t: (n,) places along `Face.jaw_line`, by default those of all schemes.
    """
    half, number = np.unique(np.abs(t), return_inverse=True)  # both halves of a face have the same depths
    jaw, right = face.jaw_line(half), np.sign(t)[:, None]
    x = jaw[:, :1] * PLACES
    y = np.repeat(jaw[:, 1:], len(PLACES), 1)
    points = np.stack([x, y, face.surface(x, y)], -1)[number]
    points[..., 0] *= right
    image = view.project(points.reshape(-1, 3))[0].reshape(*points.shape[:2], 2)
    across = view.rotation[:2, 0] * np.cos(view.yaw) + view.rotation[:2, 2] * np.sin(view.yaw)  # to the right of the head
    outwards = (image @ across) * right
    return points[np.arange(len(t)), outwards.argmax(1)]
