"""`kfacealign track`: the landmarks of a face through a video."""

import argparse
import csv
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from kfacealign import deploy, presets
from kfacealign.cli.arguments import MODEL_HELP, add_model, add_trust, not_negative, positive, positive_count, share
from kfacealign.console import make_console, shown
from kfacealign.data.frames import Frame, open_source
from kfacealign.detect import HaarDetector
from kfacealign.drawing import draw_landmarks
from kfacealign.files import replacing, require_utf8
from kfacealign.metrics.stability import jitter
from kfacealign.process import go_on
from kfacealign.schemes import Scheme
from kfacealign.tracking import FaceTracker, OneEuro, Track

CODECS = {".mp4": "mp4v", ".avi": "MJPG"}
COLOR = (60, 230, 90)
SHOWN = 10  # number of problems that are printed; the JSON file has all of them
COORDINATES = (
    "image coordinates: (x, y) in pixels of the frame, origin at the outer top-left corner, the centre of the first pixel at "
    "(0.5, 0.5)"
)


DESCRIPTION = (
    "Follows the largest face of a video: OpenCV's Haar cascades find it on the first frame and whenever it is lost, in "
    "between the crop follows the landmarks. Writes the video with the landmarks drawn, and beside it NAME.csv and "
    "NAME.npz (landmarks in image coordinates of every frame) and NAME.json (speed, jitter, what went wrong). Ctrl-C ends "
    "the tracking and keeps what was done. The exit status is 1 where frames could not be read or no face was found."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("video", metavar="VIDEO", help="a video file, a folder of frames, or the number of a webcam")
    add_model(parser, help=f"{MODEL_HELP}; by default the first that kfacealign presets lists")
    add_trust(parser)
    parser.add_argument("--out", default="tracked.mp4", metavar="OUT.mp4", help="an .mp4 or .avi file (default %(default)s)")
    parser.add_argument(
        "--every", type=positive_count, default=1, metavar="N", help="take every N-th frame (default %(default)s)"
    )
    parser.add_argument("--frames", type=positive_count, metavar="N", help="stop after N frames, for webcams")
    parser.add_argument(
        "--fps", type=positive, default=25.0, metavar="FPS", help="of a folder's frames, which does not say (default %(default)g)"
    )
    parser.add_argument(
        "--threshold",
        type=share,
        default=0.8,
        metavar="SHARE",
        help="the face is lost, and searched again, where its mean score falls below this share of its usual score "
        "(default %(default)g; 0 for never)",
    )
    parser.add_argument(
        "--threads", type=positive_count, metavar="N", help="CPU threads of a .tflite model (default: the runtime's)"
    )
    parser.add_argument("--smooth", action="store_true", help="smooth the landmarks with a One-Euro filter")
    parser.add_argument(
        "--min-cutoff",
        type=positive,
        default=1.0,
        metavar="HZ",
        help="of --smooth: less trembles less where a face rests (default %(default)g)",
    )
    parser.add_argument(
        "--beta",
        type=not_negative,
        default=20.0,
        metavar="B",
        help="of --smooth: more lags less where a face moves (default %(default)g)",
    )


def run(arguments: argparse.Namespace) -> int:
    out, console = Path(arguments.out), make_console()
    if out.suffix.lower() not in CODECS:
        raise ValueError(f"{out}: the overlay is written as {' or '.join(CODECS)}, give --out such a name")
    if out.exists() and Path(arguments.video).exists() and out.samefile(arguments.video):
        raise ValueError(f"{out} is the video itself, give another --out")
    require_utf8(out)
    arguments.model = presets.chosen(arguments.model, console=console)
    model = deploy.load(arguments.model, threads=arguments.threads, trust=arguments.trust)
    source = open_source(arguments.video, every=arguments.every, fps=arguments.fps)
    smoother = OneEuro(fps=source.fps, min_cutoff=arguments.min_cutoff, beta=arguments.beta) if arguments.smooth else None
    tracker = FaceTracker(model, detector=HaarDetector(), threshold=arguments.threshold, smoother=smoother)
    with replacing(out) as temporary:
        overlay = Overlay(temporary, source.fps, tracker.scheme)
        records, seconds, interrupted = follow(source, tracker, overlay, arguments.frames, console)
        if interrupted and not records:
            raise KeyboardInterrupt
        if all(face is None for _, face in records):
            raise ValueError("; ".join([f"{source.path}: no frame could be read", *source.problems[:1]]))
        overlay.close()
    report = summary(arguments, source, tracker, records, seconds, interrupted)
    written = [out, *write_records(out, tracker.scheme, records, report)]
    tell(console, report, written)
    return 130 if interrupted else 1 if report["problems"] else 0


def follow(
    source: Any, tracker: FaceTracker, overlay: "Overlay", limit: int | None, console: Console
) -> tuple[list[tuple[Frame, Track | None]], dict[str, float], bool]:
    """Tracks until the source ends, `limit` frames are done, or the user presses Ctrl-C.

    An error in between ends the tracking too, and becomes a problem of the source. What was done is kept in any case.

    Returns:
        records: list of (`Frame` without its image, `Track` or None where the frame could not be read).
        seconds: time spent, by part.
        interrupted: whether Ctrl-C ended it.
    """
    records, interrupted = [], False
    seconds, start = {"reading": 0.0, "drawing and writing": 0.0}, time.perf_counter()
    total = min(filter(None, (source.count, limit)), default=None)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console) as bar:
        task, frames = bar.add_task("tracking", total=total), iter(source)
        try:
            while limit is None or len(records) < limit:
                begun = time.perf_counter()
                frame = next(frames, None)
                seconds["reading"] += time.perf_counter() - begun
                if frame is None:
                    break
                image, frame.image = frame.image, None
                face = None if image is None else tracker.update(image)
                records.append((frame, face))
                begun = time.perf_counter()
                overlay.add(frame, image, face, source)
                seconds["drawing and writing"] += time.perf_counter() - begun
                bar.update(task, advance=1)
        except KeyboardInterrupt:
            go_on()
            interrupted = True
        except (OSError, ValueError, cv2.error) as error:
            place = f"frame {records[-1][0].number}" if records else "its first frame"
            source.problems.append(f"{source.path}: stopped at {place}: {error}")
    return records, {**seconds, **tracker.seconds, "total": time.perf_counter() - start}, interrupted


class Overlay:
    """The video with the landmarks drawn. Its frames are as large as the first frame that could be read.

    Args:
        path: the video, an .mp4 or .avi file.
        fps: frames a second.
        scheme: the scheme of the landmarks.
    """

    def __init__(self, path: Path, fps: float, scheme: Scheme):
        self.path, self.fps, self.scheme = path, fps, scheme
        self.writer = self.picture = self.size = None

    def add(self, frame: Frame, image: np.ndarray | None, face: Track | None, source: Any) -> None:
        """Writes a frame; in place of one that could not be read the picture before it is shown again.

        Raises:
            OSError: OpenCV cannot write such a video.
        """
        if image is not None:
            self.picture = self._drawn(frame, image, face, source)
        if self.picture is None:
            return
        if self.writer is None:
            height, width = self.picture.shape[:2]
            codec = cv2.VideoWriter_fourcc(*CODECS[self.path.suffix.lower()])
            self.writer = cv2.VideoWriter(str(self.path), codec, self.fps, (width, height))
            if not self.writer.isOpened():
                raise OSError(f"OpenCV cannot write a video of {width} x {height} as {self.path.suffix}")
        self.writer.write(cv2.cvtColor(self.picture, cv2.COLOR_RGB2BGR))

    def close(self) -> None:
        """Completes the file."""
        self.writer.release()

    def _drawn(self, frame, image, face, source):
        picture = draw_landmarks(image, face.landmarks, self.scheme, color=COLOR) if face.found else np.array(image)
        size = picture.shape[1::-1]
        if self.size is not None and size != self.size:
            source.problems.append(
                f"{source.path}: frame {frame.number} is {size[0]} x {size[1]}, "
                f"the frame before {self.size[0]} x {self.size[1]}; landmarks are in each frame's "
                "own pixels, the overlay is fitted into the first frame's size"
            )
        self.size = size
        return picture if self.picture is None else fitted(picture, self.picture.shape)


def fitted(picture: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A picture scaled to fit into `shape` (height, width, ...), in the middle of it, black around."""
    height, width = shape[:2]
    if picture.shape[:2] == (height, width):
        return picture
    scale = min(width / picture.shape[1], height / picture.shape[0])
    size = max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale))
    canvas = np.zeros((height, width, 3), "uint8")
    left, top = (width - size[0]) // 2, (height - size[1]) // 2
    canvas[top : top + size[1], left : left + size[0]] = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return canvas


def arrays(scheme: Scheme, records: Sequence[tuple[Frame, Track | None]]) -> dict[str, np.ndarray]:
    """The records as a dict of arrays of T frames; in frames without a face, landmarks are NaN and scores 0."""
    points = scheme.num_points
    table = {
        "frame": np.array([frame.number for frame, _ in records]),
        "time": np.array([frame.time for frame, _ in records]),
        "found": np.zeros(len(records), bool),
        "detected": np.zeros(len(records), bool),
        "score": np.zeros(len(records), "float32"),
        "box": np.full((len(records), 4), np.nan, "float32"),
        "landmarks": np.full((len(records), points, 2), np.nan, "float32"),
        "raw_landmarks": np.full((len(records), points, 2), np.nan, "float32"),
        "scores": np.zeros((len(records), points), "float32"),
    }
    for place, (_, face) in enumerate(records):
        if face is not None:
            for name in ("found", "detected", "score", "box", "landmarks", "scores"):
                table[name][place] = getattr(face, name)
            table["raw_landmarks"][place] = face.raw
    return table


def summary(
    arguments: argparse.Namespace,
    source: Any,
    tracker: FaceTracker,
    records: Sequence[tuple[Frame, Track | None]],
    seconds: dict[str, float],
    interrupted: bool,
) -> dict[str, Any]:
    """The content of the JSON file. The last three arguments are what `follow` returned."""
    table = arrays(tracker.scheme, records)
    found, starts = table["found"], table["detected"]
    if not found.any():
        source.problems.append(f"{source.path}: no face was found in any of the {len(records)} frames")
    tremble = {
        name: jitter(table[key], tracker.scheme, found=found, starts=starts)
        for name, key in (("jitter", "landmarks"), ("raw_jitter", "raw_landmarks"))
    }
    return {
        "video": str(arguments.video),
        "model": str(arguments.model),
        "scheme": tracker.scheme.name,
        "point_names": list(tracker.scheme.point_names),
        "coordinates": COORDINATES,
        "frames": len(records),
        "frames_expected": source.count,
        "found": int(found.sum()),
        "tracks": int(starts.sum()),
        "detector_runs": tracker.detections,
        "fps": len(records) / seconds["total"],
        "milliseconds_per_frame": {name: 1000 * value / len(records) for name, value in seconds.items()},
        "jitter_unit": "mean frame-to-frame acceleration, percent of the "
        + ("inter-ocular distance" if tracker.scheme.eye_corners else "box of the landmarks"),
        **{name: value if np.isfinite(value) else None for name, value in tremble.items()},
        "every": arguments.every,
        "threshold": arguments.threshold,
        "smooth": {"min_cutoff": arguments.min_cutoff, "beta": arguments.beta} if arguments.smooth else None,
        "interrupted": interrupted,
        "problems": source.problems,
    }


def write_records(out: Path, scheme: Scheme, records: Sequence[tuple[Frame, Track | None]], report: dict[str, Any]) -> list[Path]:
    """Writes the CSV, NPZ and JSON files beside the video; returns their paths."""
    table, paths = arrays(scheme, records), [out.with_suffix(suffix) for suffix in (".csv", ".npz", ".json")]
    with replacing(paths[0]) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        axes = [f"{axis}{point}" for point in range(scheme.num_points) for axis in "xy"]
        writer.writerow(["frame", "time", "found", "detected", "score", *axes])
        for place, landmarks in enumerate(table["landmarks"].astype(float)):
            found = table["found"][place]
            points = [f"{value:.3f}" for value in landmarks.ravel()] if found else [""] * len(axes)
            state = [int(found), int(table["detected"][place]), f"{table['score'][place]:.4f}"]
            writer.writerow([table["frame"][place], f"{table['time'][place]:.4f}", *state, *points])
    with replacing(paths[1]) as temporary:
        np.savez_compressed(temporary, scheme=scheme.name, **table)
    with replacing(paths[2]) as temporary:
        temporary.write_text(json.dumps(report, indent=1), encoding="utf-8")
    return paths


def tell(console: Console, report: dict[str, Any], written: Sequence[Path]) -> None:
    """Prints the main lines of the report, and the files that were written."""

    def line(text):
        console.print(text, soft_wrap=True)

    for problem in report["problems"][:SHOWN]:
        line(Text.assemble(("problem", "red"), f": {shown(problem)}"))
    if len(report["problems"]) > SHOWN:
        further = f"{len(report['problems']) - SHOWN} further problems"
        line(Text.assemble((further, "red"), f": see {shown(written[-1])}"))
    kept = ", interrupted: what was done is kept" if report["interrupted"] else ""
    line(f"face found in {report['found']} of {report['frames']} frames, in {report['tracks']} tracks{kept}")
    parts = dict(report["milliseconds_per_frame"])
    parts.pop("total")
    spent = ", ".join(f"{name} {value:.1f}" for name, value in parts.items())
    line(f"{report['fps']:.1f} frames/s; milliseconds a frame: {spent}")
    if report["jitter"] is not None:
        raw = f" ({report['raw_jitter']:.3f} before smoothing)" if report["smooth"] else ""
        line(f"jitter {report['jitter']:.3f}{raw}: {report['jitter_unit']}")
    line(f"written: {', '.join(map(shown, written))}")
