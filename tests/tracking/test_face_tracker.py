import math

import numpy as np
import pytest

from kfacealign import geometry, schemes
from kfacealign.tracking import FaceTracker, OneEuro

SCHEME = schemes.get("aflw19")
SIDE = 96
SHAPE = SCHEME.mean_shape - 0.5  # about the centre; its box is 0.8 of the side


def scene(centre=None, side=60.0, size=(200, 240)):
    """A frame whose face is a bright disc; without a centre there is none."""
    image = np.full((*size, 3), 30, "uint8")
    if centre is not None:
        y, x = np.mgrid[: size[0], : size[1]] + 0.5
        image[np.hypot(x - centre[0], y - centre[1]) < side / 2] = 220
    return image


def truth(centre, side=60.0):
    return np.asarray(centre) + side / 0.8 * SHAPE


class DiscDetector:
    """Finds the disc, in the detector's manner: `face_box` of what it gives is the box of the disc."""

    def __init__(self):
        self.asked = 0

    def boxes(self, image):
        self.asked += 1
        y, x = np.nonzero(image[..., 0] > 128)
        if not len(x):
            return np.zeros((0, 4), "float32")
        side = (np.ptp(x) + 1) / 0.857
        centre = np.array([x.mean() + 0.5, y.mean() + 0.5 - 0.164 * side])
        return np.concatenate([centre - side / 2, centre + side / 2]).astype("float32")[None]


class DiscModel:
    """Reads the disc's centre and width in a crop; the score is how much of the crop is bright, at most 0.8."""

    scheme, input_size, enlarge = SCHEME, SIDE, 1.25

    def __init__(self):
        self.crops = 0

    def align(self, images, verbose=0):
        assert verbose == 0 and images.dtype == np.uint8 and images.shape[1:] == (SIDE, SIDE, 3)
        self.crops += len(images)
        found = [self.one(image[..., 0] > 128) for image in images]
        return np.stack([points for points, _ in found]), np.stack([scores for _, scores in found])

    def one(self, bright):
        y, x = np.nonzero(bright)
        if not len(x):
            return (SHAPE + 0.5).astype("float32"), np.full(19, 0.05, "float32")
        centre = np.array([x.mean() + 0.5, y.mean() + 0.5]) / SIDE
        side = max(np.ptp(x), np.ptp(y)) / SIDE
        score = min(0.8, 2.0 * bright.mean()) - 1e-4 * (self.crops % 7)  # as scores do, it trembles
        return (centre + side / 0.8 * SHAPE).astype("float32"), np.full(19, score, "float32")


def tracker(**arguments):
    return FaceTracker(DiscModel(), detector=DiscDetector(), **arguments)


def test_a_moving_face_is_followed_without_the_detector():
    faces = tracker()
    for frame in range(30):
        centre = 60 + 4 * frame, 80 + 2 * math.sin(frame)
        face = faces.update(scene(centre))
        assert face.found and face.detected == (frame == 0)
        np.testing.assert_allclose(face.landmarks, truth(centre), atol=2.0)
        assert face.landmarks is face.raw and face.score == pytest.approx(0.8, abs=1e-3)
    assert faces.detector.asked == faces.detections == 1
    assert faces.reads == 29 + 8  # the first frame is read in the detector's box, around it, and in its own
    assert all(seconds > 0 for seconds in faces.seconds.values())


def test_the_next_crop_is_the_square_around_the_landmarks():
    faces = tracker()
    first = faces.update(scene((90, 90)))
    second = faces.update(scene((92, 90)))
    np.testing.assert_allclose(second.box, geometry.square_box(geometry.landmark_box(first.landmarks), 1.25), atol=1e-4)


def test_a_face_is_found_again_after_a_cut():
    faces = tracker()
    for frame in range(20):
        centre = (60, 70) if frame < 10 else (180, 140)
        face = faces.update(scene(centre))
        assert face.found and face.detected == (frame in (0, 10))
        np.testing.assert_allclose(face.landmarks, truth(centre), atol=2.0)
    assert faces.detections == 2


def test_frames_without_a_face_are_said_to_have_none():
    faces = tracker()
    for frame in range(30):
        gone = 10 <= frame < 20
        face = faces.update(scene(None if gone else (100, 90)))
        assert face.found == (not gone) and face.detected == (frame in (0, 20))
        if gone:
            assert np.isnan(face.landmarks).all() and np.isnan(face.box).all() and not face.scores.any() and face.score == 0
    assert faces.detections == 12


def test_a_face_that_leaves_the_frame_is_lost():
    faces = tracker(threshold=0.0)
    assert faces.update(scene((220, 90))).found
    # Half a crop to the right: x is above 240.
    faces._reader.model.one = lambda bright: (SHAPE + np.array([1.0, 0.5]), np.ones(19))
    assert not faces.update(scene((220, 90))).found


def test_landmarks_of_no_size_and_of_no_number_are_no_face():
    for broken in (0.0, np.nan):
        faces = tracker(threshold=0.0)
        assert faces.update(scene((90, 90))).found
        faces._reader.model.one = lambda bright, broken=broken: (np.full((19, 2), 0.5) + broken, np.ones(19))
        assert not faces.update(scene((90, 90))).found


def test_frames_of_another_size_start_anew():
    faces = tracker()
    assert faces.update(scene((90, 90))).detected and not faces.update(scene((90, 90))).detected
    face = faces.update(scene((40, 60), size=(120, 100)))
    assert face.found and face.detected
    np.testing.assert_allclose(face.landmarks, truth((40, 60)), atol=2.0)


def test_the_threshold_is_a_share_of_the_usual_score():
    class Fading(DiscModel):
        level = 1.0

        def one(self, bright):
            points, scores = super().one(bright)
            return points, scores * self.level

    for threshold, lost in ((0.8, True), (0.5, False)):
        model = Fading()
        faces = FaceTracker(model, detector=DiscDetector(), threshold=threshold)
        faces.update(scene((90, 90)))
        model.level = 0.6
        assert faces.update(scene((90, 90))).detected == lost


class Stream(DiscModel):
    """A model with a memory: it counts the frames since `reset`."""

    def __init__(self):
        super().__init__()
        self.seen = 0

    def reset(self):
        self.seen = 0

    def step(self, crop):
        self.seen += 1
        return self.one(crop[..., 0] > 128)


class WithStream:
    scheme, input_size, enlarge = SCHEME, SIDE, 1.25

    def stream(self):
        return Stream()


@pytest.mark.parametrize("model", [Stream, WithStream])
def test_a_streaming_model_forgets_at_a_cut_and_sees_a_crop_that_rests(model):
    faces = FaceTracker(model(), detector=DiscDetector())
    boxes, seen = [], []
    for frame in range(16):
        face = faces.update(scene((60 + frame, 70) if frame < 10 else (180, 140)))
        boxes.append(face.box[0])
        seen.append(faces._faces[-1].stream.seen)
    assert seen == [*range(1, 11), *range(1, 7)]
    # The crop's side is about 75 pixels: it rests for 7 frames of one pixel each, then follows.
    assert np.count_nonzero(np.abs(np.diff(boxes[:10])) > 0) == 1 and np.ptp(boxes[11:]) == 0


def test_what_is_no_frame_is_named():
    with pytest.raises(ValueError, match=r"got shape \(4, 5\)"):
        tracker().update(np.zeros((4, 5)))
    with pytest.raises(ValueError, match=r"threshold is 1.5"):
        tracker(threshold=1.5)


def test_smoothing_starts_anew_with_each_track():
    rough, smooth = tracker(), tracker(smoother=OneEuro(fps=25.0, min_cutoff=0.5, beta=0.0))
    for frame in range(12):
        image = scene((60 + 3 * (frame % 2), 70) if frame < 8 else (180, 140))
        a, b = rough.update(image), smooth.update(image)
        np.testing.assert_allclose(a.landmarks, b.raw, atol=1e-4)
        if frame in (1, 3, 5, 7):
            assert np.abs(b.landmarks - b.raw).max() > 0.5
        if frame in (0, 8):
            np.testing.assert_array_equal(b.landmarks, b.raw)


class Prior(DiscModel):
    """Takes the crop's size for the face's, as models trained on exact crops do; scores how well the disc fits it."""

    def one(self, bright):
        points, scores = super().one(bright)
        x = np.nonzero(bright)[1]
        share = (np.ptp(x) + 1) / SIDE if len(x) else 0.0
        centre = points.mean(0) - SHAPE.mean(0)
        return (centre + 0.98 * SHAPE).astype("float32"), scores * 0 + max(0.0, 0.9 - abs(share - 0.8))


def test_a_model_that_cannot_see_the_size_is_helped_by_looking_around():
    faces = FaceTracker(Prior(), detector=DiscDetector())
    sides = []
    for frame in range(100):
        face = faces.update(scene((100 + frame / 4, 90)))
        assert face.found
        sides.append((face.box[2] - face.box[0]) / 75)
    # Left alone the crop would shrink by 2 % a frame, to 0.98 ** 99 = 0.14 of the face's.
    assert min(sides) > 0.8 and max(sides) < 1.25
    assert faces.reads < 100 * 4 and faces.detections < 10


class SureDiscModel(DiscModel):
    """Says of every point that it is hidden, with deviations of 2 and 1 pixels of the crop."""

    answers = ("landmarks", "scores", "visibility", "covariance")

    def align_all(self, images, verbose=0):
        landmarks, scores = self.align(images)
        covariance = np.tile(np.array([4, 0, 1], "float32") / SIDE**2, (len(images), 19, 1))
        return {"landmarks": landmarks, "scores": scores, "visibility": np.zeros_like(scores), "covariance": covariance}


def test_a_calibrated_model_says_how_sure_it_is():
    frame = scene((100, 100))
    plain, sure = (FaceTracker(model, detector=DiscDetector()).update(frame) for model in (DiscModel(), SureDiscModel()))
    assert plain.found and plain.visibility is None and plain.covariance is None
    np.testing.assert_allclose(sure.landmarks, plain.landmarks, atol=1e-4)
    assert not sure.visibility.any()
    side = sure.box[2] - sure.box[0]
    np.testing.assert_allclose(sure.covariance, np.tile(np.array([4, 0, 1]) * (side / SIDE) ** 2, (19, 1)), rtol=1e-5)


def test_of_a_calibrated_model_unsure_coordinates_are_smoothed_more():
    """Deviations along x are twice those along y; what is usual lies between them."""
    frames = [scene((100, 100)), scene((103, 103))]
    follow = FaceTracker(SureDiscModel(), detector=DiscDetector(), smoother=OneEuro(fps=25, beta=0.0))
    first, second = [follow.update(frame) for frame in frames]
    np.testing.assert_array_equal(first.landmarks, first.raw)
    shares = ((second.landmarks - first.landmarks) / (second.raw - first.raw)).mean(0)
    expected = [1 / (1 + 25 / (2 * np.pi * cutoff)) for cutoff in (1.5 / 2, 1.5)]
    np.testing.assert_allclose(shares, expected, rtol=0.05)
