"""Parser of the command that reads videos."""

import argparse
import math

from kfacealign.parsers import MODEL_HELP, add_command, count


def add_track(commands):
    parser = add_command(
        commands,
        "track",
        "follow the landmarks of a face through a video",
        "Follows the largest face of a video: OpenCV's Haar cascades find it on the first frame and whenever it is lost, in "
        "between the crop follows the landmarks. Writes the video with the landmarks drawn, and beside it NAME.csv and "
        "NAME.npz (landmarks in image coordinates of every frame) and NAME.json (speed, jitter, what went wrong). Ctrl-C ends "
        "the tracking and keeps what was done. The exit status is 1 where frames could not be read or no face was found.",
    )
    parser.add_argument("video", metavar="VIDEO", help="a video file, a folder of frames, or the number of a webcam")
    parser.add_argument("--model", help=f"{MODEL_HELP}; by default the first that kfacealign presets lists")
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


# === Values ===


def positive_count(text):
    number = count(text)
    if not number:
        raise argparse.ArgumentTypeError(f"expected a number, 1 or more, got {text!r}")
    return number


def positive(text):
    return _number(text, lambda value: value > 0, "a positive number")


def not_negative(text):
    return _number(text, lambda value: value >= 0, "a number, 0 or more")


def share(text):
    return _number(text, lambda value: 0 <= value < 1, "a share, from 0 to below 1")


def _number(text, fits, expected):
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and fits(value)):
        raise argparse.ArgumentTypeError(f"expected {expected}, got {text!r}")
    return value
