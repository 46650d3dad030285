import numpy as np
import pytest

from kfacealign import geometry
from kfacealign.data import SyntheticFaces
from kfacealign.detect import blazeface
from kfacealign.detect.blazeface import BlazeFaceDetector


def overlap(first, second):
    extent = np.clip(np.minimum(first[2:], second[2:]) - np.maximum(first[:2], second[:2]), 0, None).prod()
    return extent / ((first[2:] - first[:2]).prod() + (second[2:] - second[:2]).prod() - extent)


@pytest.fixture(scope="module")
def detector():
    return BlazeFaceDetector()


@pytest.fixture(scope="module")
def faces():
    """(image, landmarks' box) of rendered faces, 256 px."""
    source = SyntheticFaces(4, size=256)
    rendered = [source.render(number) for number in range(6)]
    return [(face.image, geometry.landmark_box(face.landmarks["ibug68"])) for face in rendered]


def test_anchors():
    assert blazeface.ANCHORS.shape == (896, 2)
    np.testing.assert_allclose(blazeface.ANCHORS[:3], [[1 / 32, 1 / 32]] * 2 + [[3 / 32, 1 / 32]])
    np.testing.assert_allclose(blazeface.ANCHORS[512], [1 / 16, 1 / 16])
    np.testing.assert_allclose(blazeface.ANCHORS[-1], [15 / 16, 15 / 16])


def test_one_box_for_each_face_where_its_landmarks_are(detector, faces):
    for image, truth in faces:
        found = detector.detect(image)
        assert len(found) == 1 and found.scores[0] > 0.8
        assert overlap(found.boxes[0], truth) > 0.6


def test_a_small_face_is_found_in_a_tile_where_it_is(detector, faces):
    image, truth = faces[5]
    small, _ = geometry.crop(image, (0, 0, 256, 256), 128)
    large = np.full((1920, 2560, 3), 120, np.uint8)
    large[820:948, 70:198] = small  # its face is a fortieth of the picture's width
    assert len(BlazeFaceDetector(smallest=1 / 10).detect(large)) == 0
    found = detector.detect(large)
    assert len(found) == 1
    assert overlap(found.boxes[0], truth / 2 + np.tile([70, 820], 2)) > 0.6


def test_a_wide_picture_keeps_its_proportions(detector, faces):
    image, truth = faces[1]
    wide = np.full((256, 640, 3), 120, np.uint8)
    wide[:, 300:556] = image
    found = detector.detect(wide)
    assert len(found) == 1
    assert overlap(found.boxes[0], truth + [300, 0, 300, 0]) > 0.6


def test_squares_by_hand():
    (only,) = blazeface.squares(256, 200, 1 / 13)
    np.testing.assert_array_equal(only, [[0, -28, 256, 228]])
    _, tiles = blazeface.squares(1740, 870, 1 / 20)
    # Two tiles of 1000 along the width share 260; one covers the height.
    np.testing.assert_allclose(tiles, [[0, -65, 1000, 935], [740, -65, 1740, 935]])
    assert [len(level) for level in blazeface.squares(4000, 4000, 1 / 40)] == [1, 4, 16]
    assert [len(level) for level in blazeface.squares(250, 250, 1 / 40)] == [1]


def test_tiles_cover_a_length_and_overlap():
    for length in (100, 101, 149, 151, 260, 777):
        centres = blazeface.places(length, 100)
        assert centres[0] == 50 and centres[-1] == length - 50
        assert (np.diff(centres) <= 74 + 1e-9).all()


def test_the_tile_of_a_hint_is_the_nearest_and_has_the_whole_of_it():
    _, tiles = blazeface.squares(1740, 1740, 1 / 20)

    def chosen(*hints):
        return [tile.tolist() for tile in blazeface.hinted(tiles, np.reshape(hints, (-1, 4)))]

    assert chosen() == []
    assert chosen([100, 900, 200, 1000]) == [[0, 740, 1000, 1740]]
    assert chosen([610, 600, 870, 860], [620, 610, 860, 850]) == [[0, 0, 1000, 1000]]  # at the seam, as large as may be
    assert chosen([610, 600, 871, 860]) == []
    assert chosen([1600, 0, 1700, 90], [10, 0, 90, 90]) == [[0, 0, 1000, 1000], [740, 0, 1740, 1000]]


def test_only_tiles_with_a_hint_are_looked_at(detector, faces, monkeypatch):
    looks = []
    look = detector._look
    monkeypatch.setattr(detector, "_look", lambda image, square: looks.append(square) or look(image, square))
    assert len(detector.detect(np.full((1000, 1000, 3), 120, np.uint8))) == 0
    assert len(looks) == 1
    image, truth = faces[2]
    picture = np.full((1740, 1740, 3), 120, np.uint8)
    picture[1500:1628, 40:168], _ = geometry.crop(image, (0, 0, 256, 256), 128)
    looks.clear()
    found = detector.detect(picture)
    assert len(found) == 1 and overlap(found.boxes[0], truth / 2 + np.tile([40, 1500], 2)) > 0.6
    assert [square.tolist() for square in looks[1:]] == [[0, 740, 1000, 1740]]


def test_min_score_leaves_faces_out(faces):
    image, _ = faces[0]
    score = BlazeFaceDetector().detect(image).scores[0]
    assert len(BlazeFaceDetector(min_score=score - 0.01).detect(image)) == 1
    assert len(BlazeFaceDetector(min_score=score + 0.01).detect(image)) == 0
