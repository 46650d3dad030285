import os

import cv2
import numpy as np
import pytest

from kfacealign import data, schemes
from kfacealign.data.rendered import face3d, face_points, sampling, synthetic
from kfacealign.data.rendered.render import Drawing, View


@pytest.fixture(scope="module")
def faces():
    return [data.SyntheticFaces(seed=3).render(index) for index in range(60)]


def test_the_same_numbers_give_the_same_bytes(faces):
    again = data.SyntheticFaces(seed=3).render(41)
    np.testing.assert_array_equal(again.image, faces[41].image)
    for name in schemes.SCHEMES:
        np.testing.assert_array_equal(again.landmarks[name], faces[41].landmarks[name])
    assert (data.SyntheticFaces(seed=4).render(41).image != again.image).any()


def test_images_landmarks_and_flags_have_their_shapes(faces):
    for face in faces:
        assert face.image.shape == (256, 256, 3) and face.image.dtype == np.uint8
        assert list(face.attributes) == ["pose", "expression", "illumination", "makeup", "occlusion", "blur"]
        for name, scheme in schemes.SCHEMES.items():
            assert face.landmarks[name].shape == (scheme.num_points, 2)
            assert face.visible[name].shape == (scheme.num_points,)
        size = (face.box[2:] - face.box[:2]).max()
        assert 0.49 * 256 < size < 0.73 * 256


def test_flags_are_true_to_what_was_drawn(faces):
    for face in faces:
        drawn = face.parameters
        turned = abs(drawn["yaw"]) > 35 or abs(drawn["pitch"]) > 18 or abs(drawn["roll"]) > 30
        assert face.attributes["pose"] == turned
        assert face.attributes["expression"] == (drawn["mouth"] > 0.45 or abs(drawn["smile"]) > 0.75)
        assert face.attributes["makeup"] == (drawn["make_up"] > 0.5)
        assert face.attributes["occlusion"] == (drawn["occluded"] > 0.12)
        assert face.attributes["blur"] == (drawn["blur"] > 0.0085)
    share = {name: np.mean([face.attributes[name] for face in faces]) for name in faces[0].attributes}
    assert all(0.03 < value < 0.6 for value in share.values()), share


@pytest.mark.parametrize("motion", [None, 0.0])
def test_blur_is_as_wide_as_it_says(motion):
    """The derivative of a blurred step has the blur's standard deviation: 0.02 of 256 px."""
    step = np.zeros((256, 256, 3), np.uint8)
    step[:, 128:] = 255
    place = {"exposure": 1.0, "cast": (1.0, 1.0, 1.0), "blur": 0.02, "motion": motion, "noise": 0.0}
    slope = np.diff(synthetic.photographed(np.random.default_rng(0), step, place, 256)[100, :, 0].astype(float))
    position = np.arange(255) + 1
    mean = (slope * position).sum() / slope.sum()
    assert np.sqrt((slope * (position - mean) ** 2).sum() / slope.sum()) == pytest.approx(5.12, rel=0.1)


def plain_face(yaw=0.0, size=256):
    """A face at rest, evenly lit, without hair over it: image and the view."""
    rng = np.random.default_rng(0)
    look = sampling.sample_look(rng)
    kept = {
        "skin": (224, 172, 130),
        "iris": (80, 120, 160),
        "lips": (200, 30, 40),
        "make_up": 0.0,
        "glasses": 0,
        "beard": 0.0,
        "texture": 0.0,
    }
    look = type(look)(
        **{
            **look.__dict__,
            **kept,
            "light": (0.0, 0.0, 1.0),
            "ambient": 0.8,
            "diffuse": 0.2,
            "fringe": face3d.FOREHEAD,
            "hair_style": 1,
        }
    )
    face = face3d.Face()
    place = {"x": 0.0, "y": 0.0, "share": 0.7}
    view = synthetic.placed(face, View(yaw, 0, 0), place, size)
    image = np.full((size, size, 3), 120, np.uint8)
    Drawing(image, face, view, look).draw()
    return image, {name: view.project(face_points.landmarks3d(face, name))[0] for name in schemes.SCHEMES}


def centroid(mask, near, radius):
    """Centre in image coordinates of a mask's pixels around a point."""
    rows, columns = np.nonzero(mask)
    distance = np.hypot(columns + 0.5 - near[0], rows + 0.5 - near[1])
    close = distance < radius
    return np.array([columns[close].mean() + 0.5, rows[close].mean() + 0.5])


@pytest.mark.parametrize("yaw", [0.0, 0.4])
def test_pupils_are_found_where_the_landmarks_say(yaw):
    image, landmarks = plain_face(yaw, size=512)
    blue = (image[..., 2].astype(int) - image[..., 0]) > 25
    pupil = landmarks["wflw98"][96]
    eye = centroid(blue | (image.max(-1) < 40), pupil, 14)
    assert abs(eye[0] - pupil[0]) < 1.0


def test_mouth_corners_are_found_where_the_landmarks_say():
    image, landmarks = plain_face(size=512)
    red = (image[..., 0].astype(int) - image[..., 1]) > 100
    rows, columns = np.nonzero(red)
    left, right = landmarks["wflw98"][76], landmarks["wflw98"][82]
    assert abs(columns.min() - left[0]) < 3 and abs(columns.max() + 1 - right[0]) < 3
    top, bottom = landmarks["wflw98"][79], landmarks["wflw98"][85]
    middle = rows[np.abs(columns + 0.5 - 256) < 2]
    assert abs(middle.min() - top[1]) < 2 and abs(middle.max() + 1 - bottom[1]) < 2


def test_an_object_hides_the_points_under_it():
    size, cover = 64, np.zeros((64, 64), np.uint8)
    cover[10:20, 30:40] = 255
    points = np.array([(30.5, 10.5), (39.9, 19.9), (40.1, 15), (35, 9.9), (-5, 200)])
    np.testing.assert_array_equal(synthetic.covered(cover, points), [True, True, False, False, False])
    assert size == cover.shape[0]


def test_clips_move_smoothly_and_do_move():
    frames = data.SyntheticFaces(seed=1, size=128).clip(2, frames=20)
    path = np.stack([frame.landmarks["ibug68"] for frame in frames])
    steps = np.linalg.norm(np.diff(path, axis=0), axis=-1)
    assert steps.max() < 8
    assert np.linalg.norm(path - path[:1], axis=-1).max() > 3


def test_wflw_layout_goes_through_the_reader(tmp_path):
    root = data.write_wflw(tmp_path / "faces", train=5, test=12, seed=7, size=128, progress=False)
    dataset = data.wflw(root)
    assert (len(dataset.train), len(dataset.test)) == (5, 12)
    source = data.SyntheticFaces(7, size=128)
    for index in range(5):
        face = source.render(index)
        np.testing.assert_allclose(dataset.train.landmarks[index], face.landmarks["wflw98"], atol=1e-4)
        np.testing.assert_allclose(dataset.train.boxes[index], face.box, atol=0.51)
        stored = data.Crops(dataset.train, 64).faces.images[index]
        pixels = cv2.cvtColor(cv2.imread(stored), cv2.COLOR_BGR2RGB)
        assert np.abs(pixels.astype(int) - face.image).mean() < 8
    for name, members in dataset.subsets.items():
        np.testing.assert_array_equal(np.flatnonzero(dataset.test.attributes[name]), members)


def test_a_finished_folder_is_kept_and_another_one_refused(tmp_path):
    root = data.write_wflw(tmp_path / "faces", train=2, test=1, size=64, progress=False)
    image = next(root.rglob("*.jpg"))
    before = os.stat(image).st_mtime_ns
    data.write_wflw(root, train=2, test=1, size=64, progress=False)
    assert os.stat(image).st_mtime_ns == before
    with pytest.raises(ValueError, match="other parameters"):
        data.write_wflw(root, train=3, test=1, size=64, progress=False)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    with pytest.raises(ValueError, match="something else"):
        data.write_wflw(tmp_path / "mine", train=2, test=1, size=64, progress=False)


def test_an_interrupted_writing_leaves_nothing(tmp_path, monkeypatch):
    def fail(self, index):
        raise KeyboardInterrupt

    monkeypatch.setattr(synthetic.SyntheticFaces, "render", fail)
    with pytest.raises(KeyboardInterrupt):
        data.write_wflw(tmp_path / "faces", train=2, test=1, size=64, progress=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("scheme", ["ibug68", "jd106"])
def test_pts_layout_goes_through_the_reader(tmp_path, scheme):
    root = data.write_pts(tmp_path / "faces", train=3, test=2, scheme=scheme, size=64, progress=False)
    dataset = data.pts(root, scheme=scheme)
    assert (len(dataset.train), len(dataset.test)) == (3, 2)
    face = data.SyntheticFaces(0, size=64).render(0)
    np.testing.assert_allclose(dataset.train.landmarks[0], face.landmarks[scheme], atol=1e-4)


def test_clips_are_folders_of_frames(tmp_path):
    root = data.write_clips(tmp_path / "clips", clips=2, frames=3, size=64, progress=False)
    assert sorted(str(path.relative_to(root)) for path in root.rglob("*.pts")) == [
        os.path.join(f"clip_{clip:04d}", f"{frame:06d}.pts") for clip in range(2) for frame in (1, 2, 3)
    ]
