"""A face tracked through a synthetic video with a scene cut and ten frames without a face: what is lost, and how fast.

    python benchmarks/track_fps.py --model runs/quick/model.tflite [--threads 2] [--size 480] [--detector haar]
    python benchmarks/track_fps.py --model runs/quick/model.tflite --faces 4 [--size 320]
    python benchmarks/track_fps.py --model runs/quick/model.keras --reference runs/quick/model.tflite [--faces 4]

300 frames at 25 a second, half as wide again as high: one person on the left for 120 frames, a cut, another person on the
right for 100, the background alone for 10, and the other person again for 70. The people are the first two of the seed
whom the detector finds in their first frame. Prints the frames with a face that were lost, the frames without one in which
a face was "found", the error against the rendered truth, the jitter with and without the One-Euro filter beside that of the
truth, and frames a second. The video is read from a file (MJPEG); nothing is drawn or written.

With `--reference MODEL.tflite` both models then follow the same video by turns, and the ratio of their times a frame is
printed, by the clock and by the processor, which other programs on the machine disturb less. Of a `.keras` file the seconds
are printed in which it is converted for the tracker.

With `--faces N` N people move side by side for 150 frames, and the background alone follows for 100: prints how many faces
were found under how many numbers, and frames a second with and without faces.
"""

import argparse
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from rich.table import Table

import kfacealign as kfa
from kfacealign.console import make_console
from kfacealign.data.frames import VideoFile
from kfacealign.data.rendered.scene import background
from kfacealign.tracking import FaceTracker, MultiFaceTracker, OneEuro

TURN, ALL, NONE = 25, 150, 100  # of several people: frames of a clip, which is shown to and fro, with them, and without
FIRST, SECOND, GONE, AGAIN = 120, 100, 10, 70
FPS = 25.0
ROUNDS = 3  # of both models by turns


def people(seed, size, count):
    """Clips of the first `count` people whom the detector finds."""
    source, detector, clips = kfa.data.SyntheticFaces(seed, size=size), kfa.detect.make(), []
    index = 0
    while len(clips) < count:
        if len(detector.detect(source.clip(index, 1)[0].image)):
            clips.append(index)
        index += 1
    return source, clips


def write_video(path, scheme, seed, size):
    """Writes the video; returns landmarks (300, K, 2), NaN where there is no face."""
    source, (first, second) = people(seed, size, 2)
    wide = background(np.random.default_rng([seed, second]), size * 3 // 2)[:size]
    shots = [shown(face, wide, 0, scheme) for face in source.clip(first, FIRST)]
    shots += [shown(face, wide, size // 2, scheme) for face in source.clip(second, SECOND + AGAIN)]
    nothing = np.full((scheme.num_points, 2), np.nan, "float32")
    shots[FIRST + SECOND : FIRST + SECOND] = [(wide, nothing)] * GONE
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), FPS, wide.shape[1::-1])
    for image, _ in shots:
        writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    writer.release()
    return np.stack([landmarks for _, landmarks in shots])


def shown(face, wide, left, scheme):
    """A rendered face set into a wide picture, and its landmarks there."""
    image = wide.copy()
    image[:, left : left + face.image.shape[1]] = face.image
    return image, face.landmarks[scheme.name] + np.float32([left, 0])


def write_several(path, seed, size, count):
    """Writes the video of several people side by side, then of none."""
    source, chosen = people(seed, size, count)
    clips = [source.clip(index, TURN) for index in chosen]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), FPS, (count * size, size))
    for frame in range(ALL):
        place = abs((frame + TURN - 1) % (2 * TURN - 2) - TURN + 1)
        writer.write(cv2.cvtColor(np.hstack([clip[place].image for clip in clips]), cv2.COLOR_RGB2BGR))
    empty = np.hstack([background(np.random.default_rng([seed, index]), size) for index in chosen])
    for _ in range(NONE):
        writer.write(cv2.cvtColor(empty, cv2.COLOR_RGB2BGR))
    writer.release()


def several(model, arguments, console, reference=None):
    """Follows several faces and prints what was found and how fast."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "video.avi"
        console.print(f"rendering {arguments.faces} people ...")
        write_several(path, arguments.seed, arguments.size, arguments.faces)
        tracker = MultiFaceTracker(model, detector=arguments.detector, threshold=arguments.threshold)
        tracker.update(next(iter(VideoFile(path))).image)  # the first frame warms the caches
        tracker.reset()
        found, marks, work = [], [time.perf_counter()], [time.process_time()]
        for frame in VideoFile(path):
            found.append(tracker.update(frame.image, frame.time))
            if frame.number in (ALL, ALL + NONE):
                marks.append(time.perf_counter())
                work.append(time.process_time())
        if reference is not None:
            compare(path, (model, reference), lambda one: MultiFaceTracker(one, detector=arguments.detector), console)
    counts = np.array([len(faces) for faces in found])
    numbers = {face.id for faces in found for face in faces}
    console.print(
        f"{arguments.model}: {arguments.faces} people in {ALL} frames of {arguments.faces * arguments.size} x {arguments.size}"
    )
    console.print(f"faces found {counts[:ALL].sum()} of {arguments.faces * ALL} under {len(numbers)} numbers")
    console.print(f"frames without a face in which one was found: {np.count_nonzero(counts[ALL:])} of {NONE}")
    for name, place, frames in (("with faces", 0, ALL), ("without", 1, NONE)):
        spent, busy = marks[place + 1] - marks[place], work[place + 1] - work[place]
        console.print(f"{name}: {frames / spent:.1f} frames/s, processor time {1000 * busy / frames:.1f} milliseconds a frame")


def follow(path, tracker):
    """All tracks of the video, and seconds by part."""
    source, faces, reading = iter(VideoFile(path)), [], 0.0
    start, work = time.perf_counter(), time.process_time()
    while True:
        begun = time.perf_counter()
        frame = next(source, None)
        reading += time.perf_counter() - begun
        if frame is None:
            break
        faces.append(tracker.update(frame.image))
    seconds = {"reading": reading, **tracker.seconds}
    return faces, {**seconds, "total": time.perf_counter() - start, "processor": time.process_time() - work}


def compare(path, models, make, console):
    """Prints the times a frame of two models that follow a video by turns, and their ratio.

    Args:
        path: of the video.
        models: the model and the reference.
        make: function from a model to its tracker.
        console: where it is printed.
    """
    seconds = [[] for _ in models]
    for turn in range(ROUNDS + 1):
        for model, times in zip(models, seconds, strict=True):
            tracker, start, work = make(model), time.perf_counter(), time.process_time()
            frames = [tracker.update(frame.image, frame.time) for frame in VideoFile(path)]
            if turn:  # the first round warms the caches
                times.append(np.array([time.perf_counter() - start, time.process_time() - work]) / len(frames))
    found = 1000 * np.median(seconds, axis=1)
    for what, times in zip(("milliseconds a frame", "processor time"), found.T, strict=True):
        console.print(f"{what}: {times[0]:.2f}, of the reference {times[1]:.2f}: {times[0] / times[1]:.2f} times as long")


def opened(path, threads, console):
    """The model as a tracker reads it; what it costs to convert a `.keras` file is printed."""
    model = kfa.deploy.load(path, threads=threads)
    if not hasattr(model, "snapshot") or hasattr(model, "stream"):
        return model
    start = time.perf_counter()
    snapshot = model.snapshot(threads=threads)
    console.print(f"{path}: converted for tracking in {time.perf_counter() - start:.1f} seconds")
    return snapshot


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="a .keras or .tflite file")
    parser.add_argument("--reference", metavar="MODEL", help="another file of the model, with whose time it is compared")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--size", type=int, default=480, help="side of the frames in pixels")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threshold", type=float, default=0.8)
    parser.add_argument("--faces", type=int, default=1, help="people in the video, who are all followed")
    parser.add_argument("--detector", help="blazeface or haar; by default the best one installed")
    arguments = parser.parse_args()
    cv2.setNumThreads(arguments.threads)
    console = make_console()
    model = opened(arguments.model, arguments.threads, console)
    reference = arguments.reference and opened(arguments.reference, arguments.threads, console)
    if arguments.faces > 1:
        several(model, arguments, console, reference)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "video.avi"
        console.print("rendering 300 frames ...")
        truth = write_video(path, model.scheme, arguments.seed, arguments.size)
        follow(path, FaceTracker(model, detector=arguments.detector))  # the first run warms the caches
        smoother = OneEuro(fps=FPS)
        tracker = FaceTracker(model, detector=arguments.detector, threshold=arguments.threshold, smoother=smoother)
        faces, seconds = follow(path, tracker)
        if reference is not None:
            compare(path, (model, reference), lambda one: FaceTracker(one, detector=arguments.detector), console)

    there = np.isfinite(truth).all((1, 2))
    found = np.array([face.found for face in faces])
    starts = np.array([face.detected for face in faces])
    both = there & found
    starts_of_truth = np.zeros(len(truth), bool)
    starts_of_truth[[0, FIRST, FIRST + SECOND + GONE]] = True
    console.print(f"{arguments.model}: {model.scheme.name}, {model.input_size} px; 300 frames {arguments.size} px high")
    console.print(f"faces found {both.sum()} of {there.sum()}, lost frames {np.flatnonzero(there & ~found).tolist()}")
    console.print(f"frames without a face in which one was found: {np.flatnonzero(~there & found).tolist()}")
    console.print(f"tracks start at frames {np.flatnonzero(starts).tolist()}")
    console.print(f"detections {tracker.detections}, crops read {tracker.reads}")

    table = Table(title="with a face")
    for column in ("landmarks", "NME, %", "worst frame, %", "jitter, %"):
        table.add_column(column, justify="right")
    for name in ("raw", "landmarks"):
        landmarks = np.stack([getattr(face, name) for face in faces])
        errors = np.asarray(kfa.metrics.nme(truth[both], landmarks[both], model.scheme))
        tremble = kfa.metrics.jitter(landmarks, model.scheme, found=both, starts=starts)
        label = "One-Euro" if name == "landmarks" else "as found"
        table.add_row(label, f"{errors.mean():.2f}", f"{errors.max():.2f}", f"{tremble:.3f}")
    table.add_row("truth", "", "", f"{kfa.metrics.jitter(truth, model.scheme, found=there, starts=starts_of_truth):.3f}")
    console.print(table)
    total, work = seconds.pop("total"), 1000 * seconds.pop("processor") / len(faces)
    parts = ", ".join(f"{name} {1000 * value / len(faces):.2f}" for name, value in seconds.items())
    console.print(f"{len(faces) / total:.1f} frames/s with {arguments.threads} threads; milliseconds a frame: {parts}")
    console.print(f"processor time: {work:.1f} milliseconds a frame, all cores together")


if __name__ == "__main__":
    main()
