"""`kfacealign track`: the landmarks of faces through a video."""

import argparse
import dataclasses
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from kfacealign import deploy, detect, geometry, pose, presets
from kfacealign.cli.arguments import (
    MODEL_HELP,
    add_detector,
    add_model,
    add_pose,
    add_trust,
    check_pose,
    not_negative,
    positive,
    positive_count,
    share,
)
from kfacealign.console import make_console, shown
from kfacealign.data.frames import VideoFile, open_source
from kfacealign.files import replacing, require_utf8
from kfacealign.process import go_on
from kfacealign.schemes import Scheme
from kfacealign.tracking import MultiFaceTracker, OneEuro
from kfacealign.tracking.overlay import CODECS, LONGEST, Overlay
from kfacealign.tracking.records import Record, by_face, one_by_one, trembling, write_tables
from kfacealign.tracking.sound import add_sound
from kfacealign.tracking.track import Track

SHOWN = 10  # number of problems that are printed; the JSON file has all of them
COORDINATES = (
    "image coordinates: (x, y) in pixels of the frame, origin at the outer top-left corner, the centre of the first pixel at "
    "(0.5, 0.5)"
)


DESCRIPTION = (
    "Follows the largest face of a video, or several: a detector finds them on the first frame and whenever one is lost, in "
    "between the crop follows the landmarks. Writes the video with the landmarks drawn, and beside it NAME.csv and "
    "NAME.npz (landmarks in image coordinates of every face of every frame) and NAME.json (speed, jitter, what went wrong). "
    "The sound is kept where ffmpeg is installed. Ctrl-C ends the tracking and keeps what was done. The exit status is 1 where "
    "frames could not be read or no face was found."
)


def faces(text: str) -> int | None:
    """A whole number, 1 or more; None for "all"."""
    return None if text == "all" else positive_count(text)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "video",
        metavar="VIDEO",
        help="a video file, a folder of frames, the address of a stream (rtsp://..., https://...), or the number of a webcam",
    )
    add_model(parser, help=f"{MODEL_HELP}; by default the first that kfacealign presets lists")
    add_trust(parser)
    parser.add_argument("--out", default="tracked.mp4", metavar="OUT.mp4", help="an .mp4 or .avi file (default %(default)s)")
    parser.add_argument(
        "--every", type=positive_count, default=1, metavar="N", help="take every N-th frame (default %(default)s)"
    )
    parser.add_argument(
        "--faces",
        type=faces,
        default=1,
        metavar="N|all",
        help="follow so many faces at most, the largest first (default %(default)s)",
    )
    add_detector(parser)
    parser.add_argument("--frames", type=positive_count, metavar="N", help="stop after N frames, for webcams and streams")
    parser.add_argument(
        "--fps", type=positive, default=25.0, metavar="FPS", help="frames a second of a folder of frames (default %(default)g)"
    )
    parser.add_argument(
        "--threshold",
        type=share,
        default=0.8,
        metavar="SHARE",
        help="a face is lost, and searched again, where its mean score falls below this share of its usual score "
        "(default %(default)g; 0 for never)",
    )
    parser.add_argument("--threads", type=positive_count, metavar="N", help="CPU threads of the model (default: the runtime's)")
    parser.add_argument("--smooth", action="store_true", help="smooth the landmarks with a One-Euro filter")
    parser.add_argument(
        "--min-cutoff",
        type=positive,
        default=1.0,
        metavar="HZ",
        help="with --smooth: with a lower value points tremble less where a face rests (default %(default)g)",
    )
    parser.add_argument(
        "--beta",
        type=not_negative,
        default=20.0,
        metavar="B",
        help="with --smooth: with a higher value points lag less where a face moves (default %(default)g)",
    )
    add_pose(parser, "", picture="frame")


def run(arguments: argparse.Namespace) -> int:
    out, console = Path(arguments.out), make_console()
    if out.suffix.lower() not in CODECS:
        raise ValueError(f"{out}: the overlay is written as {' or '.join(CODECS)}, give --out such a name")
    if out.exists() and Path(arguments.video).exists() and out.samefile(arguments.video):
        raise ValueError(f"{out} is the video itself, give another --out")
    require_utf8(out)
    arguments.model = presets.chosen(arguments.model, console=console)
    model = deploy.load(arguments.model, threads=arguments.threads, trust=arguments.trust)
    check_pose(arguments, model.scheme)
    if hasattr(model, "snapshot") and not hasattr(model, "stream"):
        model = model.snapshot(threads=arguments.threads)
    source = open_source(arguments.video, every=arguments.every, fps=arguments.fps)
    smoother = OneEuro(fps=source.fps, min_cutoff=arguments.min_cutoff, beta=arguments.beta) if arguments.smooth else None
    detector = detect.make(arguments.detector, min_score=arguments.min_score)
    options = {"detector": detector, "threshold": arguments.threshold, "smoother": smoother}
    tracker = MultiFaceTracker(model, faces=arguments.faces, **options)
    with replacing(out) as temporary:
        overlay = Overlay(temporary, fps=source.fps, scheme=tracker.scheme)
        poses = {"pose": arguments.pose, "focal": arguments.focal}
        records, seconds, interrupted = follow(source, tracker, overlay, arguments.frames, console, **poses)
        if interrupted and not records:
            raise KeyboardInterrupt
        if overlay.shape is None:
            raise ValueError("; ".join([f"{source.path}: no frame could be read", *source.problems[:1]]))
        overlay.close(time=end_of(source, records))
        if overlay.cut:
            source.notes.append(
                f"{source.path}: gaps of more than {LONGEST:.0f} seconds between frames are cut to it in the overlay"
            )
        sound = sound_of(source, temporary, out, overlay.written / overlay.fps)
    report = summary(arguments, source, tracker, records, seconds, interrupted)
    report["sound"] = sound
    written = [out, *write_records(out, tracker, records, report, pose=arguments.pose)]
    tell(console, report, written)
    return 130 if interrupted else 1 if report["problems"] else 0


def follow(
    source: Any,
    tracker: MultiFaceTracker,
    overlay: Overlay,
    limit: int | None,
    console: Console,
    *,
    pose: bool = False,
    focal: float | None = None,
) -> tuple[list[Record], dict[str, float], bool]:
    """Tracks until the source ends, `limit` frames are done, or the user presses Ctrl-C.

    An error in between ends the tracking too, and becomes a problem of the source. What was done is kept in any case.

    Returns:
        records: list of `Record`; a frame that could not be read has no faces.
        seconds: time spent, by part.
        interrupted: whether Ctrl-C ended it.
    """
    records, interrupted, size = [], False, None
    seconds, start = {"reading": 0.0, "drawing and writing": 0.0}, time.perf_counter()
    total = min(filter(None, (source.count, limit)), default=None)
    columns = TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console) as bar:
        task, frames = bar.add_task("tracking", total=total), iter(source)
        try:
            while limit is None or len(records) < limit:
                begun = time.perf_counter()
                frame = next(frames, None)
                seconds["reading"] += time.perf_counter() - begun
                if frame is None:
                    break
                found = [] if frame.image is None else tracker.update(frame.image, frame.time)
                if pose:
                    found = [posed(face, tracker.scheme, frame.image.shape, focal) for face in found]
                records.append(Record(frame.number, frame.time, found))
                begun = time.perf_counter()
                overlay.add(frame.time, frame.image, found)
                seconds["drawing and writing"] += time.perf_counter() - begun
                size = told_size(source, frame, size)
                bar.update(task, advance=1)
        except KeyboardInterrupt:
            go_on()
            interrupted = True
        except (OSError, ValueError, cv2.error) as error:
            place = f"frame {records[-1].number}" if records else "its first frame"
            source.problems.append(f"{source.path}: stopped at {place}: {error}")
    return records, {**seconds, **tracker.seconds, "total": time.perf_counter() - start}, interrupted


def posed(face: Track, scheme: Scheme, shape: tuple[int, ...], focal: float | None = None) -> Track:
    """What was found of a face in a frame of this shape (H, W, 3), with the head's pose; `focal` is in pixels."""
    unsure = None if face.covariance is None else geometry.covariance_matrices(face.covariance)
    camera = pose.camera_matrix(shape[1::-1], focal=focal)
    return dataclasses.replace(face, pose=pose.estimate(face.landmarks, scheme, camera, covariances=unsure))


def told_size(source: Any, frame: Any, before: tuple[int, int] | None) -> tuple[int, int] | None:
    """Width and height of a frame; where they are not those of the frame before, the source has a problem."""
    if frame.image is None:
        return before
    size = frame.image.shape[1::-1]
    if before is not None and size != before:
        source.problems.append(
            f"{source.path}: frame {frame.number} is {size[0]} x {size[1]}, "
            f"the frame before {before[0]} x {before[1]}; landmarks are in each frame's "
            "own pixels, the overlay is fitted into the first frame's size"
        )
    return size


def end_of(source: Any, records: Sequence[Record]) -> float:
    """The second until which the last frame is shown: as long as the frame before it where the rate varies."""
    if not source.varies or len(records) < 2:
        return 0.0
    return 2 * records[-1].time - records[-2].time


def sound_of(source: Any, written: Path, out: Path, seconds: float) -> str | None:
    """What became of the sound, in a sentence; None for a source that has none."""
    if isinstance(source, VideoFile):
        return add_sound(written, source.path, out, seconds=seconds)
    return "the overlay has no sound: that of a stream is not read" if source.path.count("://") else None


def summary(
    arguments: argparse.Namespace,
    source: Any,
    tracker: MultiFaceTracker,
    records: Sequence[Record],
    seconds: dict[str, float],
    interrupted: bool,
) -> dict[str, Any]:
    """The content of the JSON file. The last three arguments are what `follow` returned."""
    found, tracks = sum(bool(record.faces) for record in records), by_face(records)
    if not found:
        source.problems.append(f"{source.path}: no face was found in any of the {len(records)} frames")
    return {
        "video": source.path,
        "model": str(arguments.model),
        "detector": getattr(tracker.detector, "name", type(tracker.detector).__name__),
        "scheme": tracker.scheme.name,
        "point_names": list(tracker.scheme.point_names),
        "coordinates": COORDINATES,
        "frames": len(records),
        "frames_expected": source.count,
        "found": found,
        "tracks": len(tracks),
        "most_faces": max(len(record.faces) for record in records),
        "faces": one_by_one(tracker.scheme, records),
        "detector_runs": tracker.detections,
        "fps": len(records) / seconds["total"],
        "video_fps": source.fps,
        "rate_varies": source.varies,
        "milliseconds_per_frame": {name: 1000 * value / len(records) for name, value in seconds.items()},
        "jitter_unit": "mean frame-to-frame acceleration, percent of the "
        + ("inter-ocular distance" if tracker.scheme.eye_corners else "box of the landmarks"),
        "jitter": trembling(tracker.scheme, tracks.values(), "landmarks"),
        "raw_jitter": trembling(tracker.scheme, tracks.values(), "raw"),
        "every": arguments.every,
        "threshold": arguments.threshold,
        "smooth": {"min_cutoff": arguments.min_cutoff, "beta": arguments.beta} if arguments.smooth else None,
        "interrupted": interrupted,
        "notes": source.notes,
        "problems": source.problems,
    }


def write_records(
    out: Path, tracker: MultiFaceTracker, records: Sequence[Record], report: dict[str, Any], *, pose: bool = False
) -> list[Path]:
    """Writes the CSV, NPZ and JSON files beside the video; returns their paths."""
    paths = [out.with_suffix(suffix) for suffix in (".csv", ".npz", ".json")]
    write_tables(paths[0], paths[1], tracker.scheme, records, pose=pose)
    with replacing(paths[2]) as temporary:
        temporary.write_text(json.dumps(report, indent=1), encoding="utf-8")
    return paths


def tell(console: Console, report: dict[str, Any], written: Sequence[Path]) -> None:
    """Prints the main lines of the report, and the files that were written."""

    def line(text, head="", style=""):
        console.print(Text(head, style=style) + Text(shown(text)), soft_wrap=True)

    for problem in report["problems"][:SHOWN]:
        line(f": {problem}", "problem", "red")
    if len(report["problems"]) > SHOWN:
        line(f": see {written[-1]}", f"{len(report['problems']) - SHOWN} further problems", "red")
    for note in report["notes"]:
        line(f"note: {note}")
    kept = ", interrupted: what was done is kept" if report["interrupted"] else ""
    most = f", up to {report['most_faces']} at once" if report["most_faces"] > 1 else ""
    line(f"face found in {report['found']} of {report['frames']} frames, in {report['tracks']} tracks{most}{kept}")
    line(f"detector: {report['detector']}, asked in {report['detector_runs']} frames")
    parts = dict(report["milliseconds_per_frame"])
    parts.pop("total")
    told = ", ".join(f"{name} {value:.1f}" for name, value in parts.items())
    line(f"{report['fps']:.1f} frames/s; milliseconds a frame: {told}")
    if report["jitter"] is not None:
        raw = f" ({report['raw_jitter']:.3f} before smoothing)" if report["smooth"] else ""
        line(f"jitter {report['jitter']:.3f}{raw}: {report['jitter_unit']}")
    if report["sound"]:
        line(report["sound"])
    line(f"written: {', '.join(str(path) for path in written)}")
