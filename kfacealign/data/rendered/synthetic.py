"""The embedded data: faces rendered from one parametric geometry, with exact landmarks of every scheme.

`SyntheticFaces(seed).render(index)` depends on its two numbers alone. What a face is and does, how it is lit, hidden and
blurred is drawn at random; the flags of WFLW are read off what was drawn, with the thresholds below.
"""

import dataclasses

import cv2
import numpy as np

from kfacealign import geometry
from kfacealign.data.rendered import face3d
from kfacealign.data.rendered.render import Drawing, Look, View, fixed, mixed, visible

# An attribute holds where a rendered face passes these.
POSE_YAW = 35.0  # degrees, either way
POSE_PITCH = 18.0
POSE_ROLL = 30.0
EXPRESSION_MOUTH = 0.45  # opening
EXPRESSION_SMILE = 0.75  # or frown
MAKE_UP = 0.5
OCCLUSION_SHARE = 0.12  # of the 98 points hidden by objects
BLUR_SIGMA = 0.0085  # of the image's side
DARK, BRIGHT, CONTRAST = 0.62, 1.5, 1.15  # exposure, and light of one side over the ambient

SKIN = ((255, 224, 200), (241, 194, 160), (224, 172, 130), (198, 134, 92), (141, 85, 54), (92, 58, 40), (60, 38, 28))
HAIR = ((25, 20, 18), (55, 35, 22), (95, 60, 32), (150, 105, 55), (205, 170, 105), (120, 50, 25), (150, 148, 145))
IRIS = ((60, 35, 20), (95, 60, 30), (90, 110, 60), (80, 120, 160), (110, 125, 130))


@dataclasses.dataclass
class SyntheticFace:
    """One rendered face.

    Attributes:
        image: `(S, S, 3)` uint8, RGB.
        landmarks: dict of scheme -> `(K, 2)` float32 in image coordinates.
        visible: dict of scheme -> `(K,)` bool, False where the head or an object hides the point.
        attributes: dict of WFLW's six flags.
        box: `(4,)` float32, the box of the 98 landmarks.
        parameters: dict of what was drawn: yaw, pitch, roll (degrees), tone of skin (0 light, 6 dark), occluded share,
            glasses (0 none, 1 frames, 2 dark), occluder (0 none, or what `occlude` draws) ...
    """

    image: np.ndarray
    landmarks: dict
    visible: dict
    attributes: dict
    box: np.ndarray
    parameters: dict


class SyntheticFaces:
    """Rendered faces by number.

    Args:
        seed: of everything.
        size: side S of the images in pixels.

    Example:
        >>> face = SyntheticFaces(seed=0, size=256).render(7)
        >>> face.image.shape, face.landmarks["wflw98"].shape
        ((256, 256, 3), (98, 2))
    """

    def __init__(self, seed=0, size=256):
        self.seed = seed
        self.size = size

    def render(self, index):
        """The `SyntheticFace` of this number."""
        rng = np.random.default_rng([self.seed, index])
        return draw_face(rng, self.size, *sample(rng))

    def clip(self, index, frames):
        """One person moving smoothly: a list of `frames` `SyntheticFace`s.

        Pose, expression and place move along smooth random paths; person, light and background stay.
        """
        rng = np.random.default_rng([self.seed, index, 1])
        identity, start, pose, look, place = sample(rng)
        _, end, final, _, target = sample(rng)
        scene = int(rng.integers(2**31))
        phases = rng.uniform(0, 2 * np.pi, 3)
        speed = rng.uniform(0.6, 1.4, 3) * 2 * np.pi
        rendered = []
        for frame in range(frames):
            time = frame / max(1, frames - 1)
            pose_share, act_share, place_share = 0.5 - 0.5 * np.cos(speed * time + phases)
            moved = tuple((1 - 0.6 * pose_share) * a + 0.6 * pose_share * b for a, b in zip(pose, final, strict=True))
            act = blend(start, end, act_share)
            where = {**place, "x": place["x"] + 0.3 * place_share * (target["x"] - place["x"])}
            rendered.append(draw_face(np.random.default_rng(scene), self.size, identity, act, moved, look, where))
        return rendered


def blend(first, second, share):
    """An expression between two."""
    names = [field.name for field in dataclasses.fields(face3d.Expression)]
    return face3d.Expression(**{name: (1 - share) * getattr(first, name) + share * getattr(second, name) for name in names})


# === What is drawn ===


def sample(rng):
    """A random person, expression, pose (yaw, pitch, roll in degrees), look and place in the image."""
    return sample_identity(rng), sample_expression(rng), sample_pose(rng), sample_look(rng), sample_place(rng)


def sample_identity(rng):
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


def sample_expression(rng):
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


def sample_pose(rng):
    yaw = rng.uniform(-60, 60) if rng.random() < 0.1 else np.clip(rng.normal(0, 12), -60, 60)
    return yaw, np.clip(rng.normal(0, 7), -25, 28), np.clip(rng.normal(0, 9), -45, 45)


def sample_look(rng):
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


def sample_place(rng):
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


def draw_face(rng, size, identity, expression, pose, look, place):
    """Renders one face; `rng` draws the background, the occluder's place and the noise."""
    face = face3d.Face(identity, expression)
    view = placed(face, View(*np.radians(pose)), place, size)
    image = background(rng, size)
    drawing = Drawing(image, face, view, look)
    drawing.draw()
    cover = drawing.cover
    occlude(rng, drawing, place["occluder"], cover)
    image = photographed(rng, image, place, size)

    landmarks, seen = project_landmarks(face, view, cover, half=-1 if pose[0] > 0 else 1)
    hidden = float(covered(cover, landmarks["wflw98"]).mean())
    attributes = flags(expression, pose, look, place, hidden)
    parameters = {"yaw": pose[0], "pitch": pose[1], "roll": pose[2], "occluded": hidden, "blur": place["blur"]}
    parameters |= {"mouth": expression.mouth, "smile": expression.smile, "make_up": look.make_up}
    parameters |= {"glasses": look.glasses, "occluder": place["occluder"]}
    parameters["skin_tone"] = int(np.argmin(np.abs(np.array(SKIN).sum(1) - sum(look.skin))))
    return SyntheticFace(image, landmarks, seen, attributes, geometry.landmark_box(landmarks["wflw98"]), parameters)


def project_landmarks(face, view, cover, half):
    """Dicts of scheme -> image coordinates and scheme -> visibility, all schemes in one go."""
    positions = [face3d.landmarks2d(face, scheme, half) for scheme in face3d.SCHEMES]
    points = face.lift(np.concatenate(positions))
    projected = view.project(points)[0].astype(np.float32)
    seen = visible(face, view, points) & ~covered(cover, projected)
    ends = np.cumsum([len(part) for part in positions])[:-1]
    return dict(zip(face3d.SCHEMES, np.split(projected, ends), strict=True)), dict(
        zip(face3d.SCHEMES, np.split(seen, ends), strict=True)
    )


def placed(face, view, place, size):
    """The view scaled so that the landmarks' box fills `share` of the image, and moved to its place."""
    points, _ = view.project(face3d.landmarks3d(face, "wflw98"))
    low, high = points.min(0), points.max(0)
    scale = place["share"] * size / (high - low).max()
    centre = size * (0.5 + np.array([place["x"], place["y"]])) - scale * (low + high) / 2
    return dataclasses.replace(view, scale=scale, shift=tuple(centre))


def flags(expression, pose, look, place, hidden):
    """WFLW's six attributes of what was drawn."""
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


def covered(cover, points):
    """Whether image coordinates lie under the cover mask; outside the image they do not."""
    column, row = np.floor(points).astype(int).T
    inside = (column >= 0) & (row >= 0) & (column < cover.shape[1]) & (row < cover.shape[0])
    return inside & (cover[np.clip(row, 0, cover.shape[0] - 1), np.clip(column, 0, cover.shape[1] - 1)] > 0)


def background(rng, size):
    """A smooth gradient with random shapes and grain."""
    coarse = rng.integers(0, 256, (4, 4, 3), np.uint8)
    image = cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)
    for kind in rng.integers(0, 4, rng.integers(3, 12)):
        color = tuple(float(v) for v in rng.integers(0, 256, 3))
        points = rng.uniform(-0.1, 1.1, (4, 2)) * size
        if kind == 0:
            cv2.fillConvexPoly(image, fixed(points), color, cv2.LINE_AA, 4)
        elif kind == 1:
            cv2.circle(image, tuple(int(v) for v in points[0]), int(rng.uniform(0.02, 0.2) * size), color, -1, cv2.LINE_AA)
        elif kind == 2:
            cv2.polylines(image, [fixed(points)], False, color, int(rng.integers(1, 1 + size // 20)), cv2.LINE_AA, 4)
        else:
            low = np.maximum(points[:2].min(0), 0).astype(int)
            cv2.rectangle(image, tuple(int(v) for v in low), tuple(int(v) for v in points[:2].max(0)), color, -1)
    if rng.random() < 0.5:
        image = cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.005, 0.03) * size))
    return image


def occlude(rng, drawing, kind, cover):
    """Draws an object before the face: 1 a hand, 2 a mask, 3 a card, 4 a ball or microphone; 0 draws none."""
    if kind == 0:
        return
    image, face, unit = drawing.image, drawing.face, drawing.unit
    color = tuple(float(v) for v in rng.integers(0, 256, 3))
    if kind == 2:
        t = np.linspace(-0.72, 0.72, 13)
        top = np.array([(0.8, 0.42), (0.3, 0.36), (0.0, 0.28), (-0.3, 0.36), (-0.8, 0.42)])
        parts = [(drawing.at(np.concatenate([face.jaw_line(t), top]), 0.1), color)]
    else:
        anchor = drawing.at(np.array([[rng.uniform(-0.9, 0.9), rng.uniform(-0.4, 1.5)]]))[0]
        turn = rng.uniform(0, 2 * np.pi)
        parts = list(
            hand(rng, anchor, turn, unit, drawing.look.skin) if kind == 1 else thing(rng, anchor, turn, unit, color, kind)
        )
    for points, paint in parts:
        cv2.fillPoly(image, [fixed(points)], paint, cv2.LINE_AA, 4)
        cv2.fillPoly(cover, [fixed(points)], 255, cv2.LINE_8, 4)


def turned(points, angle):
    cosine, sine = np.cos(angle), np.sin(angle)
    return points @ np.array([[cosine, sine], [-sine, cosine]])


def hand(rng, anchor, turn, unit, skin):
    """Four fingers and a palm as rounded shapes, shaded a little differently."""
    arc = np.linspace(-np.pi / 2, np.pi / 2, 6)
    tip = np.stack([np.cos(arc), np.sin(arc)], -1)
    palm = np.array([(-1.5, -0.45), (-0.1, -0.42), (-0.1, 0.42), (-1.5, 0.45)]) * unit
    yield turned(palm, turn) + anchor, mixed(skin, (0, 0, 0), 0.2)
    for finger in range(4):
        length = rng.uniform(0.5, 0.75) * unit
        y = (finger - 1.5) * 0.2 * unit
        shape = np.concatenate(
            [[(-0.15 * unit, y - 0.1 * unit)], tip * 0.1 * unit + (length, y), [(-0.15 * unit, y + 0.1 * unit)]]
        )
        yield turned(shape, turn) + anchor, mixed(skin, (0, 0, 0), 0.1 + 0.05 * finger)


def thing(rng, anchor, turn, unit, color, kind):
    """A card (3), or a ball on a stick (4)."""
    if kind == 3:
        width, height = rng.uniform(0.25, 0.8, 2) * unit
        card = np.array([(-width, -height), (width, -height), (width, height), (-width, height)])
        yield turned(card, turn) + anchor, color
        yield turned(0.8 * card, turn) + anchor, mixed(color, (255, 255, 255), 0.3)
        return
    angle = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    radius = rng.uniform(0.18, 0.4) * unit
    stick = np.array([(-0.4, 0), (0.4, 0), (0.35, 9), (-0.35, 9)]) * radius
    yield stick + anchor, mixed(color, (0, 0, 0), 0.5)
    yield np.stack([np.cos(angle), np.sin(angle)], -1) * radius + anchor, color


def photographed(rng, image, place, size):
    """Exposure, colour cast, blur and grain."""
    ramp = np.arange(256)
    table = np.stack([np.clip(ramp * place["exposure"] * cast, 0, 255) for cast in place["cast"]], -1).astype(np.uint8)
    image = cv2.LUT(image, table[:, None])
    sigma = place["blur"] * size
    if sigma > 0.3:
        image = smeared(image, sigma, place["motion"]) if place["motion"] is not None else cv2.GaussianBlur(image, (0, 0), sigma)
    if place["noise"] > 1:
        # One channel of grain for all three: a third of the random numbers.
        grain = rng.integers(0, 256, (size, size), np.uint8)
        share = place["noise"] / 74.0  # uniform bytes have a standard deviation of 74
        image = cv2.addWeighted(image, 1.0, cv2.cvtColor(grain, cv2.COLOR_GRAY2RGB), share, -127.5 * share)
    return image


def smeared(image, sigma, direction):
    """Motion blur along a direction, as spread out as a Gaussian of this sigma."""
    length = max(3, int(2 * round(sigma * np.sqrt(3)) + 1))
    kernel = np.zeros((length, length), np.float32)
    middle = length // 2
    reach = np.array([np.cos(direction), np.sin(direction)]) * middle
    ends = [tuple(int(v) for v in np.round(middle + sign * reach)) for sign in (-1, 1)]
    cv2.line(kernel, ends[0], ends[1], 1.0)
    return cv2.filter2D(image, -1, kernel / kernel.sum())
