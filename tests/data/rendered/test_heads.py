"""Turned heads: what hides what, where the jaw's points go, and what the two ranges hold."""

import dataclasses

import numpy as np
import pytest

from kfacealign import data, schemes
from kfacealign.data.rendered import face3d, face_points, head, look, outline, raster, render, sampling, synthetic
from kfacealign.data.rendered.render import Drawing, View, visible

SIDE = 320
OPEN = face3d.Face(expression=face3d.Expression(mouth=0.6))


def placed(face, yaw, pitch=0.0, roll=0.0, size=SIDE):
    view = View(*np.radians((yaw, pitch, roll)))
    return synthetic.placed(face, view, {"x": 0.0, "y": 0.0, "share": 0.6}, size)


def painted(face, view):
    """Place on the flat skin that each pixel shows, `(S, S, 2)`, NaN beside the head."""
    vertices, flat = head.mesh(face)
    points, depth = view.project(vertices.reshape(-1, 3))
    shape = depth.reshape(flat.shape[:2]).shape
    pixels, found = raster.seen(points.reshape(flat.shape), depth.reshape(shape), flat, (SIDE, SIDE))
    places = np.full((SIDE * SIDE, 2), np.nan)
    places[pixels] = found
    return places.reshape(SIDE, SIDE, 2)


@pytest.mark.parametrize("yaw, pitch", [(0, 0), (35, 10), (-60, 0), (75, -15), (90, 0), (-90, 20)])
def test_a_point_is_visible_where_the_picture_shows_its_place(yaw, pitch):
    """The picture is drawn from back to front, and visibility is worked out from rays: neither knows of the other."""
    view = placed(OPEN, yaw, pitch)
    points = np.concatenate([face_points.landmarks3d(OPEN, name) for name in ("wflw98", "jd106")])
    places = painted(OPEN, view)
    column, row = np.floor(view.project(points)[0]).astype(int).T
    around = [places[np.clip(row + y, 0, SIDE - 1), np.clip(column + x, 0, SIDE - 1)] for y in (-2, 0, 2) for x in (-2, 0, 2)]
    apart = np.nan_to_num(np.linalg.norm(np.stack(around) - points[:, :2], axis=-1), nan=0.2)
    shown, hidden = apart.max(0) < 0.13, apart.min(0) > 0.3
    seen = visible(OPEN, view, points)
    assert seen[shown].all()
    assert not seen[hidden].any()
    assert shown.sum() > 30 and hidden.sum() >= (60 if abs(yaw) > 70 else 0)


@pytest.mark.parametrize("yaw", [20, 45, 60])
def test_far_points_of_the_jaw_lie_on_the_outline_of_the_cheek(yaw):
    """The nose turns to the right, and the far cheek is on the right: beside it the picture shows no skin."""
    face = face3d.Face()
    view = placed(face, yaw)
    jaw = view.project(outline.contour(face, view, np.linspace(-1, 1, 17)))[0]
    head_there = ~np.isnan(painted(face, view)[..., 0])
    for x, y in jaw[10:15]:
        row = head_there[int(y)]
        last = np.flatnonzero(row)[-1] + 1
        nose = yaw == 60 and 0.3 < (y - jaw[16, 1]) / (jaw[8, 1] - jaw[16, 1]) < 0.85
        assert x <= last + 1.5
        if not nose:
            assert last - x < 0.12 * view.scale


def test_seen_from_the_front_the_jaw_stays_where_it_is():
    face = face3d.Face()
    np.testing.assert_allclose(outline.contour(face, placed(face, 0))[:, :2], face.jaw_line(outline.JAWS), atol=0.003)


def test_the_near_side_of_the_jaw_stays_where_it_is():
    face = face3d.Face()
    near = outline.contour(face, placed(face, 50))[:14, :2]
    np.testing.assert_allclose(near, face.jaw_line(np.linspace(-1, 1, 33))[:14], atol=1e-9)


@pytest.mark.parametrize("yaw, roll", [(40, 0), (85, 20), (10, 170)])
@pytest.mark.parametrize("scheme", list(outline.CONTOURS))
def test_the_mirrored_face_has_the_mirrored_landmarks(scheme, yaw, roll):
    face, cover = face3d.Face(), np.zeros((SIDE, SIDE), np.uint8)
    one, seen = synthetic.project_landmarks(face, placed(face, yaw, 5, roll), cover, half=-1)
    other, also_seen = synthetic.project_landmarks(face, placed(face, -yaw, 5, -roll), cover, half=1)
    mirror = list(schemes.get(scheme).mirror)
    np.testing.assert_allclose(other[scheme][mirror] * (-1, 1) + (SIDE, 0), one[scheme], atol=0.01)
    np.testing.assert_array_equal(also_seen[scheme][mirror], seen[scheme])


@pytest.mark.parametrize("yaw", [-88, 88])
def test_in_profile_the_near_pupil_is_darker_than_the_cheek(yaw):
    face = face3d.Face()
    look = dataclasses.replace(sampling.sample_look(np.random.default_rng(0)), hair_style=1, glasses=0, make_up=0.0)
    look = dataclasses.replace(
        look, ambient=1.0, diffuse=0.0, fill_color=(0.0, 0.0, 0.0), iris=(60, 35, 20), skin=(224, 172, 130)
    )
    view = placed(face, yaw, size=512)
    image = np.full((512, 512, 3), 120, np.uint8)
    Drawing(image, face, view, look).draw()
    points = view.project(face_points.landmarks3d(face, "wflw98"))[0]
    near = 96 if yaw > 0 else 97
    x, y = np.floor(points[near]).astype(int)
    cheek = image[y + 50, x]
    assert np.median(image[y - 4 : y + 5, x - 1 : x + 2].max(-1)) < 0.6 * cheek.max()


@pytest.mark.parametrize("style", [look.BALD, look.LONG, look.CURLY, look.CAP])
def test_a_texture_reaches_as_far_as_the_camera_sees(monkeypatch, style):
    """Heads turned every way: all places that are looked up are on the texture, which is mostly narrower than the whole skin."""
    shown, textures = [], []
    values, texture = raster.Shown.values, render.Texture
    monkeypatch.setattr(raster.Shown, "values", lambda self, carried: shown.append(values(self, carried)) or shown[-1])
    monkeypatch.setattr(render, "Texture", lambda *arguments: textures.append(texture(*arguments)) or textures[-1])
    drawn = dataclasses.replace(sampling.sample_look(np.random.default_rng(1)), hair_style=style)
    for yaw, pitch in [(0, 0), (25, 35), (-50, -30), (90, 0), (-90, 40), (70, -40)]:
        Drawing(np.zeros((200, 200, 3), np.uint8), OPEN, placed(OPEN, yaw, pitch, size=200), drawn).draw()
    assert len(shown) == len(textures) == 6
    for (x, _), made in zip(shown, textures, strict=True):
        assert x.min() >= 0 and x.max() <= made.shape[1]
    widths = [made.shape[1] / made.scale for made in textures]
    assert min(widths) < 0.75 * 2 * head.REACH and max(widths) <= 2 * head.REACH + 0.2


def test_a_head_beside_the_picture_leaves_it_as_it_is():
    picture = np.full((64, 64, 3), 90, np.uint8)
    view = View(0.2, 0.1, 0.1, scale=20.0, shift=(1e4, 1e4))
    Drawing(picture, OPEN, view, sampling.sample_look(np.random.default_rng(0))).draw()
    assert (picture == 90).all()


def test_a_mesh_of_two_triangles_is_painted_where_pixel_centres_lie():
    """A square from (2, 1) to (6, 5) whose values are the coordinates themselves."""
    corners = np.array([[(2.0, 1.0), (6.0, 1.0)], [(2.0, 5.0), (6.0, 5.0)]])
    pixels, values = raster.seen(corners, np.zeros((2, 2)), corners, (8, 8))
    row, column = np.divmod(pixels, 8)
    inside = (column >= 2) & (column < 6) & (row >= 1) & (row < 5)
    assert inside.sum() == 16
    np.testing.assert_allclose(values[inside], np.stack([column, row], -1)[inside] + 0.5, atol=1e-5)


def test_the_nearer_of_two_folds_is_seen():
    """A strip that turns back in front of itself, a fold each way, facing the camera twice."""
    points = np.array([[(0.0, 0.0), (8.0, 0.0), (0.0, 0.0), (8.0, 0.0)], [(0.0, 8.0), (8.0, 8.0), (0.0, 8.0), (8.0, 8.0)]])
    depth = np.array([[0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 1.0]])
    _, values = raster.seen(points, depth, depth[..., None], (8, 8))
    np.testing.assert_allclose(values, 1.0, atol=1e-5)


def test_usual_faces_stay_within_60_degrees_and_full_ones_reach_profiles_and_upside_down():
    poses = {
        name: np.abs([sampling.sample_pose(np.random.default_rng([1, i]), name) for i in range(3000)])
        for name in ("usual", "full")
    }
    assert poses["usual"][:, 0].max() <= 60 and poses["usual"][:, 2].max() <= 45
    yaw, _, roll = poses["full"].T
    assert 0.8 < (yaw < 45).mean() < 0.92 and yaw.max() > 85
    assert 0.8 < (roll < 30).mean() < 0.95 and roll.max() > 170


def test_a_coin_says_which_of_the_two_ranges_a_mixed_face_is_of():
    heads = 0
    for seed in range(40):
        tossed = np.random.default_rng(seed)
        ranges = "full" if tossed.random() < 0.5 else "usual"
        heads += ranges == "full"
        expected, drawn = sampling.sample(tossed, ranges), sampling.sample(np.random.default_rng(seed), "mixed")
        assert drawn.pose == expected.pose and drawn.infant == expected.infant and drawn.place == expected.place
    assert 12 <= heads <= 28


def test_infants_have_lower_and_larger_eyes_in_a_shorter_face():
    def shares(make):
        face = face3d.Face(make(np.random.default_rng(0)))
        eyes = face_points.landmarks2d(face, "ibug68")[36:48]
        return np.ptp(eyes[:, 0]) / face.chin, -face.crown_y / (face.chin - face.crown_y)

    adult, infant = shares(sampling.sample_identity), shares(sampling.sample_infant)
    assert infant[0] > 1.1 * adult[0] and infant[1] > 1.1 * adult[1]


def test_unknown_ranges_are_refused_and_a_folder_of_others_is_kept(tmp_path):
    with pytest.raises(ValueError, match="no ranges 'all'; take one of usual, full, mixed"):
        data.SyntheticFaces(ranges="all")
    with pytest.raises(ValueError, match="no ranges 'all'"):
        data.write_pts(tmp_path / "faces", train=1, test=1, ranges="all", progress=False)
    root = data.write_pts(tmp_path / "faces", train=1, test=1, size=64, progress=False)
    with pytest.raises(ValueError, match="other parameters"):
        data.write_pts(root, train=1, test=1, size=64, ranges="full", progress=False)


def test_full_faces_are_finite_and_within_reach_of_their_image():
    source = data.SyntheticFaces(seed=2, size=96, ranges="full")
    for index in range(25):
        face = source.render(index)
        for points in face.landmarks.values():
            assert np.isfinite(points).all() and (np.abs(points - 48) < 96).all()
