"""The embedded data: faces rendered from one parametric geometry, with exact landmarks of every scheme.

`SyntheticFaces(seed).render(index)` depends on its two numbers alone. What a face is and does and how it is lit, hidden and
blurred is drawn at random. The flags of WFLW follow from what was drawn, by the thresholds below.
"""

import dataclasses
from typing import Any, NamedTuple

import numpy as np

from kfacealign import geometry
from kfacealign.data.rendered import face3d, face_points
from kfacealign.data.rendered.render import Drawing, Look, View, mixed, visible
from kfacealign.data.rendered.scene import background, occlude, photographed

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

SKIN = ((255, 224, 200), (241, 194, 160), (224, 172, 130), (198, 134, 92), (141, 85, 54), (92, 58, 40), (60, 38, 28))
HAIR = ((25, 20, 18), (55, 35, 22), (95, 60, 32), (150, 105, 55), (205, 170, 105), (120, 50, 25), (150, 148, 145))
IRIS = ((60, 35, 20), (95, 60, 30), (90, 110, 60), (80, 120, 160), (110, 125, 130))


@dataclasses.dataclass(kw_only=True)
class SyntheticFace:
    """One rendered face.

    Attributes:
        image: `(S, S, 3)` uint8, RGB.
        landmarks: scheme -> `(K, 2)` float32 in image coordinates.
        visible: scheme -> `(K,)` bool, False where the head or an object hides the point.
        attributes: WFLW's six flags by name.
        box: `(4,)` float32, the box of the 98 landmarks.
        parameters: what was drawn, by name: "yaw", "pitch" and "roll" (degrees), "mouth", "smile", "make_up", "blur",
            "skin_tone" (0 light, 6 dark), "occluded" (the share of hidden points), "glasses" (0 none, 1 frames, 2 dark) and
            "occluder" (0 none, or what `occlude` draws).
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

    Example:
        >>> face = SyntheticFaces(seed=0, size=256).render(7)
        >>> face.image.shape, face.landmarks["wflw98"].shape
        ((256, 256, 3), (98, 2))
    """

    def __init__(self, seed: int = 0, *, size: int = 256):
        self.seed = seed
        self.size = size

    def render(self, index: int) -> SyntheticFace:
        """The face of this number."""
        rng = np.random.default_rng([self.seed, index])
        return draw_face(rng, self.size, sample(rng))

    def clip(self, index: int, frames: int) -> list[SyntheticFace]:
        """The clip of this number: one person who moves smoothly through so many frames.

        Pose, expression and place move along smooth random paths; person, light and background stay.
        """
        rng = np.random.default_rng([self.seed, index, 1])
        start, end = sample(rng), sample(rng)
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


# === What is drawn ===


class Sample(NamedTuple):
    """What is drawn of one face; the pose is yaw, pitch and roll in degrees."""

    identity: face3d.Identity
    expression: face3d.Expression
    pose: tuple[float, float, float]
    look: Look
    place: dict[str, Any]


def sample(rng: np.random.Generator) -> Sample:
    """A random person, expression, pose, look and place in the image."""
    return Sample(sample_identity(rng), sample_expression(rng), sample_pose(rng), sample_look(rng), sample_place(rng))


def sample_identity(rng: np.random.Generator) -> face3d.Identity:
    """A random person."""

    def around(mean, spread):
        return mean + spread * np.clip(rng.normal(), -2.2, 2.2)

    return face3d.Identity(
        width=around(1.0, 0.05),
        length=around(1.0, 0.06),
        jaw=around(0.0, 0.45),
        eye_spacing=around(1.0, 0.035),
        eye_size=around(1.0, 0.08),
        eye_tilt=around(0.0, 0.02),
        brow_height=around(0.0, 0.025),
        brow_thickness=around(1.0, 0.2),
        brow_arch=around(1.0, 0.25),
        nose_length=around(1.0, 0.06),
        nose_width=around(1.0, 0.1),
        nose_depth=around(1.0, 0.15),
        mouth_width=around(1.0, 0.08),
        mouth_height=around(0.0, 0.03),
        lip_thickness=around(1.0, 0.2),
    )


def sample_expression(rng: np.random.Generator) -> face3d.Expression:
    """A random expression."""
    mouth = rng.uniform(0.2, 1.0) if rng.random() < 0.25 else rng.uniform(0, 0.12)
    eyes = np.clip(rng.normal(0.95, 0.2), 0.25, 1.35)
    blink = rng.random() < 0.06
    left, right = (0.02 if blink or rng.random() < 0.02 else eyes * rng.uniform(0.93, 1.07) for _ in range(2))
    return face3d.Expression(
        mouth=mouth,
        smile=np.clip(rng.normal(0.2, 0.45), -0.8, 1),
        brows=np.clip(rng.normal(0, 0.4), -1, 1),
        left_eye=left,
        right_eye=right,
        gaze_x=rng.uniform(-1, 1) * rng.random(),
        gaze_y=rng.uniform(-1, 1) * rng.random(),
    )


def sample_pose(rng: np.random.Generator) -> tuple[float, float, float]:
    """Random yaw, pitch and roll in degrees."""
    yaw = rng.uniform(-60, 60) if rng.random() < 0.1 else np.clip(rng.normal(0, 12), -60, 60)
    return yaw, np.clip(rng.normal(0, 7), -25, 28), np.clip(rng.normal(0, 9), -45, 45)


def sample_look(rng: np.random.Generator) -> Look:
    """Random colours, light and extras."""
    tone = rng.uniform(0, len(SKIN) - 1.001)
    skin = mixed(SKIN[int(tone)], SKIN[int(tone) + 1], tone % 1)
    hair = np.clip(np.array(HAIR[rng.integers(len(HAIR))]) * rng.uniform(0.7, 1.2), 0, 255)
    make_up = rng.uniform(0.55, 1.0) if rng.random() < 0.25 else rng.uniform(0, 0.3)
    natural = mixed(skin, (150, 50, 55), rng.uniform(0.3, 0.6))
    lips = mixed(natural, (rng.uniform(120, 220), rng.uniform(10, 60), rng.uniform(30, 110)), make_up)
    side = rng.uniform(-1, 1)
    light = np.array([side, rng.uniform(-0.9, 0.2), rng.uniform(0.35, 1.0)])
    diffuse = rng.uniform(0.25, 1.0)
    return Look(
        skin=skin,
        hair=tuple(hair),
        iris=IRIS[rng.integers(len(IRIS))],
        lips=lips,
        hair_style=int(rng.choice(3, p=(0.12, 0.5, 0.38))),
        fringe=rng.uniform(-0.75, -0.3) if rng.random() < 0.3 else face3d.FOREHEAD,
        brow_strength=rng.uniform(0.5, 0.95),
        beard=rng.uniform(0.25, 0.85) if make_up < 0.3 and rng.random() < 0.3 else 0.0,
        make_up=make_up,
        shadow=tuple(rng.uniform(20, 160, 3)),
        light=tuple(light / np.linalg.norm(light)),
        ambient=1.0 - 0.62 * diffuse,
        diffuse=diffuse * 0.75,
        glasses=int(rng.choice(3, p=(0.8, 0.14, 0.06))),
        glasses_color=tuple(rng.uniform(0, 90, 3)),
    )


def sample_place(rng: np.random.Generator) -> dict[str, Any]:
    """A random place and size of the face in the image, with random exposure, blur, noise and occluder."""
    return {
        "x": rng.uniform(-0.06, 0.06),
        "y": rng.uniform(-0.04, 0.06),
        "share": rng.uniform(0.5, 0.72),
        "exposure": float(np.exp(rng.normal(-0.08, 0.28))),
        "cast": tuple(np.exp(rng.normal(0, 0.07, 3))),
        "blur": rng.uniform(0.009, 0.02) if rng.random() < 0.13 else rng.uniform(0, 0.004),
        "motion": rng.uniform(0, np.pi) if rng.random() < 0.3 else None,
        "noise": rng.uniform(0, 14),
        "occluder": int(rng.choice(5, p=(0.85, 0.05, 0.04, 0.03, 0.03))),
    }


# === Drawing ===


def draw_face(rng: np.random.Generator, size: int, drawn: Sample) -> SyntheticFace:
    """Renders one face; `rng` draws the background, the occluder's place and the noise."""
    identity, expression, pose, look, place = drawn
    face = face3d.Face(identity, expression)
    view = placed(face, View(*np.radians(pose)), place, size)
    image = background(rng, size)
    drawing = Drawing(image, face, view, look)
    drawing.draw()
    cover = drawing.cover
    occlude(rng, drawing, place["occluder"])
    image = photographed(rng, image, place, size)

    landmarks, seen = project_landmarks(face, view, cover, half=-1 if pose[0] > 0 else 1)
    hidden = float(covered(cover, landmarks["wflw98"]).mean())
    attributes = flags(drawn, hidden)
    parameters = {"yaw": pose[0], "pitch": pose[1], "roll": pose[2], "occluded": hidden, "blur": place["blur"]}
    parameters |= {"mouth": expression.mouth, "smile": expression.smile, "make_up": look.make_up}
    parameters |= {"glasses": look.glasses, "occluder": place["occluder"]}
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
    positions = [face_points.landmarks2d(face, scheme, half=half) for scheme in face_points.SCHEMES]
    points = face.lift(np.concatenate(positions))
    projected = view.project(points)[0].astype(np.float32)
    seen = visible(face, view, points) & ~covered(cover, projected)
    ends = np.cumsum([len(part) for part in positions])[:-1]
    landmarks, visibility = np.split(projected, ends), np.split(seen, ends)
    names = face_points.SCHEMES
    return dict(zip(names, landmarks, strict=True)), dict(zip(names, visibility, strict=True))


def placed(face: face3d.Face, view: View, place: dict[str, Any], size: int) -> View:
    """The view, scaled so that the landmarks' box fills the share `place["share"]` of the image, and moved to its place."""
    points, _ = view.project(face_points.landmarks3d(face, "wflw98"))
    low, high = points.min(0), points.max(0)
    scale = place["share"] * size / (high - low).max()
    centre = size * (0.5 + np.array([place["x"], place["y"]])) - scale * (low + high) / 2
    return dataclasses.replace(view, scale=scale, shift=tuple(centre))


def flags(drawn: Sample, hidden: float) -> dict[str, bool]:
    """WFLW's six attributes of what was drawn, of which this share of the points is hidden."""
    _, expression, pose, look, place = drawn
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
