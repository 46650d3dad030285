"""Several faces: discs of different brightness, so that a test knows which is which; the tracker does not."""

import cv2
import numpy as np
import pytest

from kfacealign import schemes
from kfacealign.tracking import FaceTracker, MultiFaceTracker, OneEuro, motion

SCHEME = schemes.get("aflw19")
SIDE = 64
SHAPE = SCHEME.mean_shape - 0.5  # about the centre; its box is 0.8 of the side
LEVELS = (250, 200, 150, 100)
SIZE = (200, 400)


def scene(faces, size=SIZE):
    """A frame with discs (level, x, y, diameter), the first in front of the others."""
    image = np.full((*size, 3), 30, "uint8")
    image[::8] += 10  # a picture that shows something everywhere
    y, x = np.mgrid[: size[0], : size[1]] + 0.5
    for level, right, down, side in reversed(faces):
        image[np.hypot(x - right, y - down) < side / 2] = level
    return image


class Detector:
    """Sees every disc of which the greater part is visible."""

    name = "stub"

    def boxes(self, image):
        found = []
        for level in LEVELS:
            mask = np.abs(image[..., 0].astype(int) - level) < 12
            y, x = np.nonzero(mask)
            if len(x) < 50:
                continue
            side = max(np.ptp(x), np.ptp(y)) + 1
            if len(x) < 0.6 * np.pi / 4 * side**2 or min(np.ptp(x), np.ptp(y)) + 1 < 0.8 * side:
                continue
            found.append(square_of((x.min() + x.max() + 1) / 2, (y.min() + y.max() + 1) / 2, side / 0.857))
        return np.array(sorted(found, key=lambda box: box[0] - box[2]), "float32").reshape(-1, 4)


def square_of(x, y, side):
    """The detector's square, of which the box rule of `HaarDetector` makes the disc's box."""
    return [x - side / 2, y - 0.164 * side - side / 2, x + side / 2, y - 0.164 * side + side / 2]


class Model:
    """Reads the disc of which the crop shows most; its scores tremble, as those of models do."""

    scheme, input_size, enlarge = SCHEME, SIDE, 1.25

    def __init__(self):
        self.batches = []

    def align(self, images, verbose=0):
        self.batches.append(len(images))
        found = [self.one(image[..., 0].astype(int)) for image in images]
        return np.stack([points for points, _ in found]), np.stack([scores for _, scores in found])

    def one(self, gray):
        left, top, width, height, size = max((largest(np.abs(gray - level) < 20) for level in LEVELS), key=lambda part: part[4])
        if size < 0.15 * gray.size:
            return (SHAPE + 0.5).astype("float32"), np.full(19, 0.1, "float32")
        low, high = np.array([left, top]), np.array([left + width, top + height])
        side = (high - low).max() / SIDE
        score = 0.8 - 1e-4 * (len(self.batches) % 7)
        return ((low + high) / 2 / SIDE + side / 0.8 * SHAPE).astype("float32"), np.full(19, score, "float32")


def largest(mask):
    """Left, top, width, height and pixels of the largest connected part of a mask."""
    parts = cv2.connectedComponentsWithStats(mask.astype("uint8"))[2][1:]
    return max(parts.tolist(), key=lambda part: part[4], default=[0, 0, 0, 0, 0])


def level_at(image, face):
    x, y = face.landmarks.mean(0)
    return int(image[int(y), int(x), 0])


def centres(faces):
    return np.array([face.landmarks.mean(0) for face in faces])


def test_faces_keep_their_numbers_and_are_one_batch():
    model = Model()
    tracker = MultiFaceTracker(model, detector=Detector())
    for frame in range(30):
        discs = [(level, 50 + 95 * place + frame / 2, 90 + 10 * place - frame / 3, 50) for place, level in enumerate(LEVELS)]
        image = scene(discs)
        faces = tracker.update(image)
        assert [face.id for face in faces] == [1, 2, 3, 4] and all(face.found for face in faces)
        if frame == 0:
            levels, start = [level_at(image, face) for face in faces], len(model.batches)
        assert sorted(levels) == sorted(LEVELS) and [level_at(image, face) for face in faces] == levels
        for face in faces:
            right, down = next(disc[1:3] for disc in discs if disc[0] == level_at(image, face))
            expected = np.array([right, down]) + 50 / 0.8 * SHAPE
            np.testing.assert_allclose(face.landmarks, expected, atol=2.0)
    assert model.batches[start:] == [4] * 29  # all faces of a frame at once


def test_the_largest_faces_are_followed_and_no_more():
    discs = [(250, 60, 90, 40), (200, 160, 90, 70), (150, 280, 90, 55)]
    for wanted, levels in ((1, [200]), (2, [150, 200]), (None, [150, 200, 250])):
        tracker = MultiFaceTracker(Model(), faces=wanted, detector=Detector())
        image = scene(discs)
        for _ in range(8):
            assert sorted(level_at(image, face) for face in tracker.update(image)) == levels


@pytest.mark.parametrize("front", [250, 200])
@pytest.mark.parametrize(("speed", "lower"), [(4, 0), (6, 6), (5, 12)])
def test_faces_that_cross_keep_their_numbers(front, speed, lower):
    tracker, numbers = MultiFaceTracker(Model(), detector=Detector()), {}
    frames = round(300 / speed)
    for frame in range(frames):
        discs = [(250, 50 + speed * frame, 90, 56), (200, 350 - speed * frame, 90 + lower, 56)]
        image = scene(sorted(discs, key=lambda disc: disc[0] != front))
        faces = tracker.update(image)
        assert 1 <= len(faces) <= 2
        if len(faces) == 2:
            assert np.linalg.norm(np.diff(centres(faces), axis=0)) > 10
        if frame in (10, frames - 1):
            numbers[frame] = {level_at(image, face): face.id for face in faces}
    assert len(numbers[10]) == 2 and numbers[10] == numbers[frames - 1]


def test_a_face_that_leaves_is_lost_and_has_a_new_number_when_it_is_back():
    tracker, seen = MultiFaceTracker(Model(), detector=Detector()), []
    for frame in range(60):
        discs = [(250, 80, 90, 60), (200, 250, 90, 60)]
        image = scene(discs[: 1 if 20 <= frame < 40 else 2])
        faces = tracker.update(image)
        seen.append({level_at(image, face): face.id for face in faces})
        assert {face.id for face in faces if face.detected} == (
            {1, 2} if frame == 0 else {face.id for face in faces} - {*seen[-2].values()}
        )
    assert all(one == seen[0] for one in seen[:20]) and set(seen[0].values()) == {1, 2}
    assert all(one == {250: seen[0][250]} for one in seen[20:40])
    back = next(frame for frame in range(40, 60) if 200 in seen[frame])
    assert back <= 46 and all(one == {250: seen[0][250], 200: 3} for one in seen[back:])


def test_two_tracks_never_stay_on_one_face():
    """Two faces of which one vanishes in the other's place: the model then reads the other from both crops."""
    tracker = MultiFaceTracker(Model(), detector=Detector())
    for frame in range(30):
        near = max(46, 110 - 4 * frame)
        discs = [(250, 150, 90, 56)] + ([(200, 150 + near, 90, 56)] if frame < 20 else [])
        faces = tracker.update(scene(discs))
        assert len({tuple(np.round(point / 20)) for point in centres(faces)}) == len(faces)
    assert len(faces) == 1


def test_a_face_that_grows_and_shrinks_keeps_its_number():
    tracker = MultiFaceTracker(Model(), detector=Detector())
    for frame in range(80):
        side = 80 + 50 * np.sin(frame / 8)
        (face,) = tracker.update(scene([(250, 200, 100, side)]))
        assert face.id == 1
        assert np.ptp(face.landmarks, axis=0).max() == pytest.approx(side, rel=0.08)


class Stream:
    def __init__(self, model):
        self.model, self.seen = model, 0

    def reset(self):
        self.seen = 0

    def step(self, crop):
        self.seen += 1
        points, scores = self.model.one(crop[..., 0].astype(int))
        return points, scores - 1e-3 * (self.seen % 3)


class WithStreams(Model):
    def stream(self):
        return Stream(self)


class OneStream(Stream):
    scheme, input_size, enlarge = SCHEME, SIDE, 1.25

    def __init__(self):
        super().__init__(Model())


def test_every_face_has_a_memory_of_its_own():
    tracker = MultiFaceTracker(WithStreams(), detector=Detector())
    for frame in range(20):
        discs = [(250, 80, 90, 60), (200, 250, 90, 60)]
        tracker.update(scene(discs[: 1 if frame < 8 else 2]))
    first, second = [face.stream.seen for face in tracker._faces]
    assert first == 20 and second in range(6, 13)  # since it was found
    with pytest.raises(ValueError, match="remembers the frames of one face"):
        MultiFaceTracker(OneStream(), detector=Detector())
    assert FaceTracker(OneStream(), detector=Detector()).update(scene([(250, 80, 90, 60)])).found
    with pytest.raises(ValueError, match="faces is 0"):
        MultiFaceTracker(Model(), faces=0, detector=Detector())


class Blind(Model):
    """Has one score for everything, and sees a face in everything."""

    def one(self, gray):
        points, _ = super().one(gray)
        return points, np.ones(19, "float32")


def test_a_model_of_constant_scores_loses_a_face_that_is_gone():
    detector = Detector()
    tracker, found = MultiFaceTracker(Blind(), faces=1, detector=detector), []
    for frame in range(80):
        there = not 20 <= frame < 60
        found.append([face.id for face in tracker.update(scene([(250, 150, 90, 60)] if there else []))])
    assert found == [[1]] * 20 + [[]] * 40 + [[2]] * 20
    assert tracker.detections <= 41 + 40 / 3 + 2


def test_a_model_of_constant_scores_loses_a_face_that_fades():
    """Its crop never changes at a stroke: only the detector, asked every third frame, can tell."""
    tracker = FaceTracker(Blind(), detector=Detector())
    found = [tracker.update(faded(frame)).found for frame in range(60)]
    unseen = next(frame for frame in range(60) if not len(Detector().boxes(faded(frame))))
    assert 20 < unseen < 40 and all(found[:unseen]) and not any(found[unseen + 4 :])


def faded(frame):
    share = min(1.0, max(0.0, (frame - 20) / 20))
    return ((1 - share) * scene([(100, 150, 90, 60)]) + share * scene([])).round().astype("uint8")


def test_times_are_those_that_are_given():
    tracker = MultiFaceTracker(Model(), detector=Detector(), smoother=OneEuro(fps=25, min_cutoff=0.5, beta=0.0))
    quick = FaceTracker(Model(), detector=Detector(), smoother=OneEuro(fps=25, min_cutoff=0.5, beta=0.0))
    for frame in range(6):
        image = scene([(250, 150 + 3 * (frame % 2), 90, 60)])
        (slow,), fast = tracker.update(image, frame * 10.0), quick.update(image)
        if frame:  # ten seconds later nothing is left of the frame before
            assert np.abs(slow.landmarks - slow.raw).max() < 0.2 < np.abs(fast.landmarks - fast.raw).max()
    for wrong in (50.0, 3.0, np.nan):
        with pytest.raises(ValueError, match=r"is not after 50\.0"):
            tracker.update(image, wrong)
    tracker.reset()
    assert [face.id for face in tracker.update(image, 0.0)] == [1]


# === Boxes that move ===


def test_a_box_goes_on_at_its_speed():
    moving = motion.Motion([10, 20, 50, 70])
    for step in range(1, 20):
        moving.predict(1)
        moving.correct(np.array([10, 20, 50, 70]) + [3 * step, -step, 3 * step, -step])
    np.testing.assert_allclose(moving.predict(1), np.array([10, 20, 50, 70]) + [60, -20, 60, -20], atol=0.5)
    twin = moving.copy()
    np.testing.assert_allclose(moving.predict(4), np.array([10, 20, 50, 70]) + [72, -24, 72, -24], atol=0.7)
    np.testing.assert_allclose(twin.predict(4), moving.box, rtol=1e-12)


def test_boxes_are_given_out_by_the_largest_sum_of_overlaps():
    assert motion.overlap(np.array([0, 0, 2, 2]), np.array([1, 0, 3, 2])) == pytest.approx(1 / 3)
    first = [np.array([0.0, 0, 10, 10]), np.array([4.0, 0, 14, 10])]
    # One by one, 0 would take the first (overlap 8/12 against 6/14), and 1 would be left with an overlap of 0.
    second = [np.array([2.0, 0, 12, 10]), np.array([-3.0, 0, 7, 10])]
    assert motion.matched(first, second, least=0.3) == {0: 1, 1: 0}
    assert motion.matched(first, [np.array([100.0, 0, 110, 10])]) == {} and motion.matched([], second) == {}
