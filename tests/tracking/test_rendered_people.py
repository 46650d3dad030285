"""The bundled models and the detector on rendered people who move, cross and leave."""

import cv2
import numpy as np
import pytest

import kfacealign as kfa
from kfacealign.tracking import MultiFaceTracker

SIZE, SHAPE = 160, (200, 640)  # of a person's picture and of the frame
LOTR = "lotr_lite0_ibug68"  # whose scores are all 1
FRAMES = 4  # of a clip, which is shown to and fro


@pytest.fixture(scope="module")
def detector():
    return kfa.detect.make()


@pytest.fixture(scope="module")
def people(detector):
    """Two clips of people whom the detector finds."""
    source, found, index = kfa.data.SyntheticFaces(seed=3, size=SIZE), [], 2
    while len(found) < 2:
        clip = source.clip(index, FRAMES)
        if len(detector.detect(clip[0].image)) == 1:
            found.append(clip)
        index += 1
    return found


@pytest.fixture(scope="module")
def wall():
    return np.random.default_rng(0).normal(120, 10, (*SHAPE, 3)).clip(0, 255).astype("uint8")


def frame_of(clip, number):
    return clip[number % 8 if number % 8 < 4 else 7 - number % 8]


def paste(image, face, left, top):
    """Draws the head of a rendered person into the image; returns its centre."""
    points = face.landmarks["ibug68"]
    low, high = points.min(0), points.max(0)
    centre, radius = (low + high) / 2, (high - low) * [0.62, 0.72]
    y, x = np.mgrid[:SIZE, :SIZE] + 0.5
    head = np.hypot((x - centre[0]) / radius[0], (y - centre[1] + 5) / radius[1]) < 1
    image[top : top + SIZE, left : left + SIZE][head] = face.image[head]
    return centre + [left, top]


def loaded(name):
    """A preset by its lightest file."""
    return kfa.from_preset(name, format="tflite" if "tflite" in kfa.presets.card(name)["files"] else "keras")


def who(face, centres):
    """Which person a track is on; None if it is on neither."""
    distances = [np.linalg.norm(face.landmarks.mean(0) - centre) for centre in centres]
    return int(np.argmin(distances)) if min(distances) < 20 else None


@pytest.mark.parametrize(
    ("model", "speed", "front"),
    [(LOTR, 8, 0), (LOTR, 13, 1), ("pipnet_lite0_ibug68", 8, 0), ("tracker_1d_ibug68", 8, 1)],
)
def test_people_who_cross_keep_their_numbers(people, detector, wall, model, speed, front):
    tracker, seen = MultiFaceTracker(loaded(model), detector=detector), []
    for number in range(440 // speed):
        image, places, centres = wall.copy(), (20 + speed * number, 460 - speed * number), [None, None]
        for person in (1 - front, front):
            centres[person] = paste(image, frame_of(people[person], number), places[person], 20)
        seen.append({who(face, centres): face.id for face in tracker.update(image)})
    apart = [number for number in range(440 // speed) if abs(440 - 2 * speed * number) > 160]
    assert all(seen[number] == seen[0] and len(seen[number]) == 2 for number in apart)


def test_a_model_of_constant_scores_does_not_find_a_face_in_a_wall(people, detector, wall):
    tracker, seen = MultiFaceTracker(loaded(LOTR), faces=1, detector=detector), []
    for number in range(80):
        image = wall.copy()
        if not 20 <= number < 60:
            paste(image, frame_of(people[0], number), 100, 20)
        seen.append([face.id for face in tracker.update(image)])
    assert seen == [[1]] * 20 + [[]] * 40 + [[2]] * 20


def test_a_person_whose_size_changes_keeps_the_number(people, detector):
    tracker = MultiFaceTracker(loaded(LOTR), detector=detector)
    face = people[0][0]
    for number in range(40):
        side = round(260 + 140 * np.sin(number / 6))
        image = np.full((420, 420, 3), 120, "uint8")
        image[10 : 10 + side, 10 : 10 + side] = cv2.resize(face.image, (side, side), interpolation=cv2.INTER_AREA)
        (track,) = tracker.update(image)
        truth = face.landmarks["ibug68"] * side / SIZE + 10
        extent = np.ptp(truth, axis=0).max()
        assert track.id == 1 and np.linalg.norm(track.landmarks - truth, axis=1).mean() < 0.15 * extent
