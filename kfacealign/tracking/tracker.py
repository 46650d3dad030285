"""What `FaceTracker` and `MultiFaceTracker` share: which faces go on, which are lost, which are new."""

import copy
import dataclasses
import math
from typing import Any

import numpy as np

from kfacealign.tracking import motion
from kfacealign.tracking.motion import Motion
from kfacealign.tracking.one_euro import OneEuro
from kfacealign.tracking.reading import Reader, likeness
from kfacealign.tracking.seeking import Seeker
from kfacealign.tracking.track import Track

CANDIDATES = 3  # detections that are looked at for each face that is wanted, the largest first
MEMORY = 0.98  # share of the past in the usual score, while scores are lower
SLIGHT = 0.97  # fraction of the usual score below which a tracker of single frames looks around,
PAUSE = 5  # but only after this many frames without looking around, so that the model seldom reads twice as much
SEARCH = 5  # frames from one search for further faces to the next,
SEARCH_HIDDEN = 2  # and while a face is hidden by another
CHECK = 3  # frames from one check of a face whose scores never differ to the next
ANCHOR = 0.55  # overlap with the detector's box below which such a face is read there anew
DENIALS = 2  # so many checks in a row without a face, and the face is lost
ALIKE = 0.4  # correlation of a face's crop with that of the frame before, below which it is checked at once
JUMP = 0.25  # the same by where its box was expected: distance over its side
HIDDEN = 2.0  # seconds for which a face may be hidden by another
PATIENCE = 1  # frames for which any other face may be missed, as in SORT
APART = 0.5  # distance over their side of two faces that have crossed
FPS = 25.0  # frames a second of frames that come without a time


@dataclasses.dataclass(eq=False)
class Followed:
    """A face that is followed, and what is remembered of it.

    Attributes:
        id: its number.
        stream: the model's memory of it, or None.
        smoother: its filter, or None.
        motion: where its box is and where it goes.
        live: whether it was read in the frame before.
        square: (4,), where to look next.
        seen_at: (4,), its box in the last frame that showed it.
        usual: its usual score.
        lowest: of its scores since it was detected.
        highest: of these.
        view: its crop, small and grey.
        looked: frames since the tracker looked around.
        unchecked: frames since a detector saw it.
        denials: how often the detector did not see it, in a row.
        changed: whether its crop is unlike that of the frame before.
        missed: frames without it.
        hidden_until: time until which another face may hide it.
        rival: that face.
        rival_motion: where the other should be if it went on as before they met.
    """

    id: int
    stream: Any
    smoother: OneEuro | None
    motion: Motion | None = None
    live: bool = False
    square: np.ndarray | None = None
    usual: float = 0.0
    lowest: float = 0.0
    highest: float = 0.0
    view: np.ndarray | None = None
    looked: int = 0
    unchecked: int = 0
    denials: int = 0
    changed: bool = False
    seen_at: np.ndarray | None = None
    missed: int = 0
    hidden_until: float = -math.inf
    rival: "Followed | None" = None
    rival_motion: Motion | None = None

    @property
    def silent(self) -> bool:
        """Whether its scores have never differed, so that they do not tell whether there is a face."""
        return self.lowest == self.highest


class Tracker:
    """Follows up to `limit` faces; arguments and attributes are those of `MultiFaceTracker`."""

    def __init__(self, model: Any, *, limit: int | None, detector: Any, threshold: float, hold: float | None, smoother: Any):
        if not 0 <= threshold < 1:
            raise ValueError(f"threshold is {threshold}: expected a fraction from 0 to below 1 of the usual score")
        if limit is not None and limit < 1:
            raise ValueError(f"faces is {limit}: expected 1 or more, or None for all")
        if limit != 1 and hasattr(model, "step") and not hasattr(model, "stream"):
            raise ValueError("this model remembers the frames of one face: give one with `stream()`, or follow one face")
        self.scheme, self.input_size, self.enlarge = model.scheme, model.input_size, model.enlarge
        self._reader, self._seeker = Reader(model), Seeker(detector)
        self.detector, self.limit, self.threshold, self.smoother = self._seeker.detector, limit, threshold, smoother
        self.hold = hold if hold is not None else 0.0 if self._reader.stills else 0.1
        self.detections = 0
        self.reset()

    @property
    def seconds(self) -> dict[str, float]:
        """Time spent: "detecting", "cropping" and "model"."""
        return {"detecting": self._seeker.seconds, **self._reader.seconds}

    @property
    def reads(self) -> int:
        """How many crops the model read."""
        return self._reader.reads

    def reset(self) -> None:
        """Forgets all faces and their numbers: the next frame is the first of another video."""
        self._faces, self._size, self._time, self._last_id, self._unsearched = [], None, None, 0, SEARCH
        self._seeker.reset()

    # === One frame ===

    def advance(self, image: np.ndarray, time: float | None) -> list[Track]:
        """The faces of the next frame, by their numbers. Arguments and errors are those of `MultiFaceTracker.update`."""
        image = np.asarray(image)
        if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
            raise ValueError(f"a frame is RGB (H, W, 3), got shape {image.shape}")
        steps = self._go_on(time)
        if image.shape[:2] != self._size:
            self._faces, self._size = [], image.shape[:2]
        for face in self._faces:
            face.motion.predict(steps)
            if face.rival is not None:
                face.rival_motion.predict(steps)
        seen = self._read_on(image)
        self._hide_twins(seen)
        self._settle_crossings(seen)
        detected = self._ask(image, seen) if self._must_ask(seen) else set()
        tracks = [self._followed(face, read, face in detected) for face, read in seen.items()]
        self._forget(seen)
        return sorted(tracks, key=lambda track: track.id)

    def _go_on(self, time):
        """Sets the clock; returns how many frames of the usual length have passed."""
        rate, last = getattr(self.smoother, "fps", FPS), self._time
        now = time if time is not None else 0.0 if last is None else last + 1 / rate
        if not math.isfinite(now) or (last is not None and now <= last):
            raise ValueError(f"time {now} is not after {last}, that of the frame before; `reset` begins another video")
        self._time = float(now)
        return 1.0 if last is None else min(max((now - last) * rate, 0.01), rate)

    def _read_on(self, image):
        """Face -> `Reading`, of the faces that still look like one where they were."""
        live = [face for face in self._faces if face.live]
        found = self._reader.read(image, [self._place(face) for face in live], [face.stream for face in live])
        seen = {}
        for face, read in zip(live, found, strict=True):
            # A face that is lost is not looked around for: the best of many squares of anything may score like a face.
            if read is None or read.score < self.threshold * face.usual:
                continue
            face.looked += 1
            if self._reader.stills and face.looked > PAUSE and read.score < SLIGHT * face.usual:
                face.looked = 0
                read = self._reader.look_around(image, read, None)
            seen[face] = read
        return seen

    def _place(self, face):
        """The square (4,) where to look: where the face was, or where it is going if its scores could not tell a bad crop."""
        if not (self._reader.stills and face.silent):
            return face.square
        ahead = (face.motion.box[:2] + face.motion.box[2:] - face.seen_at[:2] - face.seen_at[2:]) / 2
        return (face.square + np.tile(ahead, 2)).astype("float32")

    # === Faces that meet ===

    def _hide_twins(self, seen):
        """Of two tracks on one face the one that was less expected there is hidden."""
        for face in sorted(seen, key=lambda one: one.id):
            for other in [one for one in seen if one.id < face.id]:
                if face in seen and motion.one_face(seen[face].landmarks, seen[other].landmarks):
                    wrong = [motion.distance(one.motion.box, seen[one].box) for one in (face, other)]
                    hidden, before = (face, other) if wrong[0] >= wrong[1] else (other, face)
                    del seen[hidden]
                    hidden.hidden_until = self._time + HIDDEN
                    hidden.rival, hidden.rival_motion = before, before.motion.copy()

    def _settle_crossings(self, seen):
        """Two faces that have passed each other: the one that is seen may be the other one, as its place tells."""
        for face in self._faces:
            if face.rival not in seen:
                continue
            own, its, box = face.motion.box, face.rival_motion.box, seen[face.rival].box
            if motion.distance(own, its) > APART:
                if motion.distance(box, own) < motion.distance(box, its):
                    face.id, face.rival.id = face.rival.id, face.id
                    face.motion = face.rival_motion
                face.rival = face.rival_motion = None

    # === The detector ===

    def _must_ask(self, seen):
        """Whether the detector is asked about this frame."""
        self._unsearched += 1
        doubts = [self._doubtful(face, read) for face, read in seen.items()]
        if not seen or any(doubts) or any(face.live and face not in seen and face.rival is None for face in self._faces):
            return True
        hidden = any(face not in seen for face in self._faces)
        return self._has_room(seen) and self._unsearched > (SEARCH_HIDDEN if hidden else SEARCH)

    def _has_room(self, seen):
        return self.limit is None or len(seen) < self.limit

    def _doubtful(self, face, read):
        """Whether the detector must tell that there still is a face: its scores say nothing, or its crop changed at a stroke."""
        face.lowest, face.highest = min(face.lowest, read.score), max(face.highest, read.score)
        face.unchecked += 1
        face.changed = likeness(face.view, read.view) < ALIKE
        jumped = motion.distance(face.motion.box, read.box) > JUMP
        return face.changed or (face.silent and (jumped or face.unchecked >= CHECK))

    def _ask(self, image, seen):
        """Has the detector confirm, find again and find faces; adds to `seen` and takes from it.

        Returns:
            The faces that begin anew in this frame.
        """
        boxes = self._seeker.everywhere(image)
        self.detections, self._unsearched = self.detections + 1, 0
        missing = [face for face in self._faces if face not in seen]
        pairs = motion.matched([read.box for read in seen.values()] + [face.motion.box for face in missing], boxes)
        order = [*seen, *missing]
        pairs = {order[row]: column for row, column in pairs.items()}
        for face in list(seen):
            self._check(image, seen, face, boxes[pairs[face]] if face in pairs else None)
        free = [place for place in range(len(boxes)) if place not in pairs.values()]
        detected = {face for face in missing if face in pairs and self._begin(image, boxes[pairs[face]], seen, face)}
        most = None if self.limit is None else CANDIDATES * self.limit
        for place in free[:most]:
            face = Followed(self._last_id + 1, self._reader.stream(), copy.deepcopy(self.smoother))
            if self._begin(image, boxes[place], seen, face):
                self._last_id += 1
                self._faces.append(face)
                detected.add(face)
        for face in [face for face in missing if face.live and face not in seen and face.rival is None]:
            box = self._seeker.near(image, face.motion.box) if self._has_room(seen) else None
            if box is not None and self._begin(image, box, seen, face):
                detected.add(face)
        return detected

    def _check(self, image, seen, face, box):
        """Takes a face from `seen` that the detector does not see, if it has to tell; `box` is where it does, or None."""
        if box is None and not face.changed and not face.silent:
            return
        if box is None:
            box = self._seeker.near(image, seen[face].box)
        if box is None:
            face.denials += 1
            if face.changed or face.denials >= DENIALS:
                del seen[face]
            return
        face.unchecked = face.denials = 0
        if face.silent and motion.overlap(seen[face].box, box) < ANCHOR:
            read = self._reader.begin(image, box, face.stream)
            if read is not None and not self._taken(read, seen, face):
                seen[face] = read

    def _taken(self, read, seen, face):
        """Whether another track is on the face that was read."""
        return any(motion.one_face(read.landmarks, other.landmarks) for one, other in seen.items() if one is not face)

    def _begin(self, image, box, seen, face):
        """Reads a face that the detector found; whether there is one that no other track is on."""
        if not self._has_room(seen):
            return False
        read = self._reader.begin(image, box, face.stream)
        if read is None or self._taken(read, seen, face):
            return False
        seen[face] = read
        face.looked = face.unchecked = face.denials = 0
        face.usual = face.lowest = face.highest = read.score
        if face.motion is None:
            face.motion = Motion(read.box)
        return True

    # === What is remembered ===

    def _followed(self, face, read, detected):
        """The `Track` of a face that was read; settles where to look in the next frame."""
        if not detected:
            face.usual = max(read.score, MEMORY * face.usual + (1 - MEMORY) * read.score)
        following, square = self._reader.around(read), read.square
        side, change = square[2] - square[0], following - square
        moved = np.abs(change[:2] + change[2:]).max() / 2
        grown = abs(change[2] - change[0])
        face.square = square if max(moved, grown) < self.hold * side else following
        face.motion.correct(read.box)
        face.seen_at = face.motion.box
        face.live, face.view, face.missed, face.hidden_until, face.rival = True, read.view, 0, -math.inf, None
        smooth = read.landmarks
        if face.smoother is not None:
            if detected:
                face.smoother.reset()
            sure = {} if read.covariance is None else {"deviations": np.sqrt(read.covariance[:, [0, 2]])}
            smooth = face.smoother(smooth, scale=side, time=self._time, **sure).astype("float32")
        parts = {"raw": read.landmarks, "scores": read.scores, "score": read.score, "box": square, "id": face.id}
        parts |= {"visibility": read.visibility, "covariance": read.covariance}
        return Track(landmarks=smooth, found=True, detected=detected, **parts)

    def _forget(self, seen):
        """Ages the faces that were not seen, and drops those that are lost."""
        for face in [face for face in self._faces if face not in seen]:
            hidden = any(motion.touch(face.motion.box, read.box) for read in seen.values())
            if face.live and hidden:
                face.hidden_until = self._time + HIDDEN
            face.live = False
            face.missed += self._time >= face.hidden_until
            centre = (face.motion.box[:2] + face.motion.box[2:]) / 2
            outside = (centre < 0).any() or (centre > self._size[::-1]).any()
            if face.missed > PATIENCE or outside:
                self._faces.remove(face)
