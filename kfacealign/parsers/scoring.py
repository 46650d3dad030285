"""Parsers of the commands that measure without a model."""

import argparse

from kfacealign.parsers import PROTOCOLS, SCHEMES, add_command, count

NORMALIZERS = ("inter_ocular", "inter_pupil", "box", "diagonal", "image")
FORMATS = (
    "an .npz with landmarks (N, K, 2) and, where there are such, names and occlusion; a .csv with the header name,x0,y0,...; "
    "the text format of the COFW-68 benchmark (.txt); a folder of .pts files; or COFW-68's folder test_annotations"
)


def add_score(commands):
    parser = add_command(
        commands,
        "score",
        "measure predictions in a file",
        "Prints the errors of predicted landmarks under every normaliser that the scheme has, and how well hidden points were "
        f"found where both files say. Files: {FORMATS}. Faces are paired by name where both have names, else in order.",
    )
    parser.add_argument("--scheme", required=True, choices=SCHEMES)
    parser.add_argument("--truth", required=True, metavar="PATH", help="the annotation")
    parser.add_argument("--predictions", required=True, metavar="PATH")
    parser.add_argument(
        "--normalizer", action="append", choices=NORMALIZERS, help="only this one; may be given several times, the main one first"
    )
    parser.add_argument("--thresholds", type=positive, nargs="+", metavar="PERCENT", help="of FR and AUC (default 8 10)")
    parser.add_argument("--image-size", type=positive, metavar="PIXELS", help="side of the images, for the normaliser image")
    parser.add_argument(
        "--first-pixel",
        type=float,
        choices=(0.0, 0.5, 1.0),
        default=0.5,
        help="where .npz and .csv predictions have the centre of the first pixel: 0 as OpenCV, 1 as MATLAB (default %(default)s)",
    )
    parser.add_argument(
        "--occlusion-threshold", type=float, default=0.5, metavar="T", help="scores from it on say hidden (default %(default)s)"
    )
    parser.add_argument("--protocol", choices=PROTOCOLS, help="show the figures among those that papers published")
    parser.add_argument("--out", metavar="DIR", help="write score.json, report.json, pictures and the protocol's tables there")


def add_compare(commands):
    parser = add_command(
        commands,
        "compare",
        "compare runs face by face",
        "Compares the first run with each of the others on the same faces: the mean difference of their errors with a bootstrap "
        "confidence interval, a sign test, and the faces that changed most. Writes compare.json, ced.png and, where the runs "
        "have predictions.npz and the photographs can be read, a picture of those faces.",
    )
    parser.add_argument("reports", nargs="+", metavar="REPORT", help="report.json of a run, or its folder; at least two")
    parser.add_argument("--resamples", type=count, default=10_000, metavar="N", help="of the bootstrap (default %(default)s)")
    parser.add_argument("--confidence", type=positive, default=95.0, metavar="PERCENT", help="default %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="default %(default)s")
    parser.add_argument("--out", default="comparison", metavar="DIR", help="directory of the results (default %(default)s)")


def positive(text):
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text!r}")
    return value
