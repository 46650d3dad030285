"""The embedded data: faces rendered from one parametric geometry, with exact landmarks of every scheme.

`SyntheticFaces(seed).render(index)` depends on its two numbers and the ranges alone. What a face is and does and how it is lit,
hidden and blurred is drawn at random (`kfacealign.data.rendered.sampling`). The flags of WFLW follow from what was drawn, by the
thresholds below.
"""

import dataclasses
from typing import Any

import numpy as np

from kfacealign import geometry
from kfacealign.data.rendered import face3d, face_points, outline
from kfacealign.data.rendered.render import Drawing, View, visible
from kfacealign.data.rendered.sampling import RANGES, SKIN, Sample, sample
from kfacealign.data.rendered.scene import MASK, background, occlude, photographed

# An attribute holds where a rendered face passes its thresholds.
POSE_YAW = 35.0  # degrees, either way
POSE_PITCH = 18.0
POSE_ROLL = 30.0
EXPRESSION_MOUTH = 0.45  # opening
EXPRESSION_SMILE = 0.75  # or frown
MAKE_UP = 0.5
OCCLUSION_SHARE = 0.12  # share of the 98 points that objects hide
BLUR_SIGMA = 0.0085  # as a fraction of the image's side
DARK, BRIGHT, CONTRAST = 0.62, 1.5, 1.15  # two of the exposure; the last of the light from one side over the ambient light


@dataclasses.dataclass(kw_only=True)
class SyntheticFace:
    """One rendered face.

    Attributes:
        image: `(S, S, 3)` uint8, RGB.
        landmarks: scheme -> `(K, 2)` float32 in image coordinates. Hidden points are where they are, behind what hides them;
            those of the jaw lie on the outline of the cheek where people mark it (`kfacealign.data.rendered.outline`).
        visible: scheme -> `(K,)` bool, False where the head or an object hides the point.
        attributes: WFLW's six flags by name.
        box: `(4,)` float32, the box of the 98 landmarks.
        parameters: what was drawn, by name: "yaw", "pitch" and "roll" (degrees), "mouth", "smile", "make_up", "blur",
            "skin_tone" (0 light, 6 dark), "occluded" (the share of hidden points), "glasses" (0 none, 1 frames, 2 dark),
            "occluder" (0 none, 1 a hand, 2 a mask, 3 a card, 4 a ball or microphone), "infant".
    """

    image: np.ndarray
    landmarks: dict[str, np.ndarray]
    visible: dict[str, np.ndarray]
    attributes: dict[str, bool]
    box: np.ndarray
    parameters: dict[str, Any]


class SyntheticFaces:
    """Rendered faces by number.

    Args:
        seed: the seed of all that is drawn.
        size: side S of the images in pixels.
        ranges: "usual"; "full", which adds profiles, rolls up to 180 degrees, infants and bad pictures; or "mixed", half of the
            faces from each; see `kfacealign.data.rendered.sampling`.

    Raises:
        ValueError: there are no such ranges.

    Example:
        >>> face = SyntheticFaces(seed=0, size=256).render(7)
        >>> face.image.shape, face.landmarks["wflw98"].shape
        ((256, 256, 3), (98, 2))
    """

    def __init__(self, seed: int = 0, *, size: int = 256, ranges: str = "usual"):
        if ranges not in RANGES:
            raise ValueError(f"there are no ranges {ranges!r}; take one of {', '.join(RANGES)}")
        self.seed = seed
        self.size = size
        self.ranges = ranges

    def render(self, index: int) -> SyntheticFace:
        """The face of this number."""
        rng = np.random.default_rng([self.seed, index])
        return draw_face(rng, self.size, sample(rng, self.ranges))

    def clip(self, index: int, frames: int) -> list[SyntheticFace]:
        """The clip of this number: one person who moves smoothly through so many frames.

        Pose, expression and place move along smooth random paths; person, light and background stay.
        """
        rng = np.random.default_rng([self.seed, index, 1])
        start, end = sample(rng, self.ranges), sample(rng, self.ranges)
        scene = int(rng.integers(2**31))
        phases = rng.uniform(0, 2 * np.pi, 3)
        speed = rng.uniform(0.6, 1.4, 3) * 2 * np.pi
        rendered = []
        for frame in range(frames):
            time = frame / max(1, frames - 1)
            pose_share, act_share, place_share = 0.5 - 0.5 * np.cos(speed * time + phases)
            pairs = zip(start.pose, end.pose, strict=True)
            x = start.place["x"] + 0.3 * place_share * (end.place["x"] - start.place["x"])
            moved = start._replace(
                pose=tuple((1 - 0.6 * pose_share) * a + 0.6 * pose_share * b for a, b in pairs),
                expression=blend(start.expression, end.expression, act_share),
                place={**start.place, "x": x},
            )
            rendered.append(draw_face(np.random.default_rng(scene), self.size, moved))
        return rendered


def blend(first: face3d.Expression, second: face3d.Expression, share: float) -> face3d.Expression:
    """An expression between two: `share` 0 is the first, 1 the second."""
    names = [field.name for field in dataclasses.fields(face3d.Expression)]
    return face3d.Expression(**{name: (1 - share) * getattr(first, name) + share * getattr(second, name) for name in names})


# === Drawing ===


def draw_face(rng: np.random.Generator, size: int, drawn: Sample) -> SyntheticFace:
    """Renders one face; `rng` draws the background, the occluder's place and the noise."""
    identity, expression, pose, look, place, infant = drawn
    face = face3d.Face(identity, expression)
    view = placed(face, View(*np.radians(pose)), place, size)
    image = background(rng, size)
    drawing = Drawing(image, face, view, dataclasses.replace(look, mask=place["occluder"] == MASK))
    drawing.draw()
    cover = drawing.cover
    occlude(rng, drawing, place["occluder"])
    image = photographed(rng, image, place, size)

    landmarks, seen = project_landmarks(face, view, cover, half=-1 if pose[0] > 0 else 1)
    hidden = float(covered(cover, landmarks["wflw98"]).mean())
    attributes = flags(drawn, hidden)
    parameters = {"yaw": pose[0], "pitch": pose[1], "roll": pose[2], "occluded": hidden, "blur": place["blur"]}
    parameters |= {"mouth": expression.mouth, "smile": expression.smile, "make_up": look.make_up}
    parameters |= {"glasses": look.glasses, "occluder": place["occluder"], "infant": infant}
    parameters["skin_tone"] = int(np.argmin(np.abs(np.array(SKIN).sum(1) - sum(look.skin))))
    return SyntheticFace(
        image=image,
        landmarks=landmarks,
        visible=seen,
        attributes=attributes,
        box=geometry.landmark_box(landmarks["wflw98"]),
        parameters=parameters,
    )


def project_landmarks(
    face: face3d.Face, view: View, cover: np.ndarray, *, half: int
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Scheme -> image coordinates, and scheme -> visibility, of all schemes in one go."""
    skin = face_points.on_skin(face)
    points = np.concatenate([skin, outline.contour(face, view)])
    projected = view.project(points)[0].astype(np.float32)
    seen = visible(face, view, points) & ~covered(cover, projected)
    landmarks, visibility = {}, {}
    for scheme in face_points.SCHEMES:
        numbers = face_points.numbers(scheme, half=half)
        if scheme in outline.CONTOURS:
            jaw = np.arange(len(skin), len(points))[outline.CONTOURS[scheme]]
            numbers = np.concatenate([jaw, numbers[len(jaw) :]])
        landmarks[scheme], visibility[scheme] = projected[numbers], seen[numbers]
    return landmarks, visibility


def placed(face: face3d.Face, view: View, place: dict[str, Any], size: int) -> View:
    """The view, scaled so that the landmarks' box fills the share `place["share"]` of the image, and moved to its place."""
    points, _ = view.project(face_points.landmarks3d(face, "wflw98"))
    low, high = points.min(0), points.max(0)
    scale = place["share"] * size / (high - low).max()
    centre = size * (0.5 + np.array([place["x"], place["y"]])) - scale * (low + high) / 2
    return dataclasses.replace(view, scale=scale, shift=tuple(centre))


def flags(drawn: Sample, hidden: float) -> dict[str, bool]:
    """WFLW's six attributes of what was drawn, of which this share of the points is hidden."""
    expression, pose, look, place = drawn.expression, drawn.pose, drawn.look, drawn.place
    yaw, pitch, roll = np.abs(pose)
    side = look.diffuse * np.hypot(*look.light[:2]) / look.ambient
    return {
        "pose": bool(yaw > POSE_YAW or pitch > POSE_PITCH or roll > POSE_ROLL),
        "expression": bool(expression.mouth > EXPRESSION_MOUTH or abs(expression.smile) > EXPRESSION_SMILE),
        "illumination": bool(not DARK <= place["exposure"] <= BRIGHT or side > CONTRAST),
        "makeup": bool(look.make_up > MAKE_UP),
        "occlusion": bool(hidden > OCCLUSION_SHARE),
        "blur": bool(place["blur"] > BLUR_SIGMA),
    }


def covered(cover: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Whether image coordinates `(n, 2)` lie under the cover mask: `(n,)` bool. Outside the image they do not."""
    column, row = np.floor(points).astype(int).T
    inside = (column >= 0) & (row >= 0) & (column < cover.shape[1]) & (row < cover.shape[0])
    return inside & (cover[np.clip(row, 0, cover.shape[0] - 1), np.clip(column, 0, cover.shape[1] - 1)] > 0)
