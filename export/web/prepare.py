"""Puts exported models beside the web page.

    python export/web/prepare.py runs/quick/model.tflite
    python export/web/prepare.py int8.tflite float32.onnx --out export/web/dist/models

It copies the files and puts the face detector beside them: BlazeFace, where its package is installed, else OpenCV's frontal
cascade in a form for the browser. index.json tells the page the models' metadata, the lines that it draws and the detector's
numbers. The old content of the folder is replaced.
"""

import argparse
import dataclasses
import inspect
import json
import os
import shutil
import sys
import xml.etree.ElementTree
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import cv2

from kfacealign.cli.align_results import COORDINATES
from kfacealign.deploy import metadata
from kfacealign.deploy.measure import inspection
from kfacealign.detect import HaarDetector, blazeface, face_box
from kfacealign.detect.detections import TWINS, BoxRule
from kfacealign.drawing import segments
from kfacealign.files import replacing

CASCADE = "haarcascade_frontalface_default.xml"
APACHE = Path(__file__).parents[2] / "LICENSE"  # the text of Apache-2.0, which goes with Google's model


def describe(path: str | os.PathLike) -> dict:
    """What the page is told about a model.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not an export of kfacealign, or does not run in the page.
    """
    path = Path(path)
    if path.suffix not in (".tflite", ".onnx"):
        raise ValueError(f"{path}: the page runs .tflite and .onnx files")
    found = inspection.read_metadata(path)
    found = metadata.parse(None if found is None else json.dumps(found), path)
    if found.get("states"):
        raise ValueError(f"{path} remembers frames; the page runs models that read every frame for itself")
    shape = found["input"].get("shape", [1])
    if path.suffix == ".tflite" and shape[0] != 1:
        raise ValueError(f"{path} takes {shape[0] or 'any number of'} crops; export it for one")
    lines = [[int(first), int(second)] for first, second in segments(metadata.scheme_of(found, path))]
    return {"title": path.name, "file": path.name, "metadata": found, "segments": lines}


def read_cascade(path: str | os.PathLike) -> dict:
    """OpenCV's cascade of stumps as lists of numbers.

    Returns:
        Dict of `stages`, each a threshold and its stumps (feature, threshold, value below it, value above); `features`, each
        a list of rectangles (x, y, width, height, weight); `size`, the side of the window; and `notice`, the licence.
    """
    text = Path(path).read_text(encoding="utf-8")
    cascade = xml.etree.ElementTree.fromstring(text).find("cascade")
    stages = []
    for stage in cascade.find("stages"):
        trees = []
        for stump in stage.find("weakClassifiers"):
            _, _, feature, threshold = stump.find("internalNodes").text.split()
            below, above = map(float, stump.find("leafValues").text.split())
            trees.append([int(feature), float(threshold), below, above])
        # OpenCV subtracts the same slack.
        stages.append({"threshold": float(stage.find("stageThreshold").text) - 1e-5, "trees": trees})
    features = [[list(map(float, rect.text.split())) for rect in feature.find("rects")] for feature in cascade.find("features")]
    notice = text[text.index("<!--") + 4 : text.index("-->")].strip()
    return {"notice": notice, "size": int(cascade.find("width").text), "stages": stages, "features": features}


def put_detector(folder: Path) -> dict:
    """Puts the files of the face detector into the folder: BlazeFace's, or the cascade where BlazeFace is not installed.

    Returns:
        What the page is told: `name`, `title`, `file`, `licence`, `twins` (of `without_twins`), `rule` (of `BoxRule`); of
        BlazeFace the numbers of `kfacealign.detect.blazeface`, too.

    Raises:
        ImportError: neither is installed.
    """
    try:
        path = blazeface.model_file()
    except ImportError:
        HaarDetector.check()
        return put_cascade(folder)
    return put_blazeface(path, folder)


def put_blazeface(path: Path, folder: Path) -> dict:
    """Copies BlazeFace's file with its licence; returns what `put_detector` does."""
    shutil.copyfile(path, folder / blazeface.FILE)
    shutil.copyfile(APACHE, folder / f"{blazeface.FILE}.LICENSE.txt")
    defaults = {name: found.default for name, found in inspect.signature(blazeface.BlazeFaceDetector).parameters.items()}
    return {
        "name": "blazeface",
        "title": "BlazeFace",
        "file": blazeface.FILE,
        "package": f"{blazeface.PACKAGE} {version(blazeface.PACKAGE)}",
        "licence": "Apache-2.0, Google",
        "side": blazeface.SIDE,
        "cells": blazeface.CELLS,
        "smallest": defaults["smallest"],
        "min_score": max(blazeface.LEAST, defaults["min_score"]),
        "hint": blazeface.HINT,
        "overlap": blazeface.OVERLAP,
        "reach": blazeface.REACH,
        "twins": TWINS,
        "rule": dataclasses.asdict(blazeface.RULE),
    }


def put_cascade(folder: Path) -> dict:
    """Writes the cascade as face.json; returns what `put_detector` does."""
    cascade = read_cascade(Path(cv2.data.haarcascades) / CASCADE)
    (folder / "face.json").write_text(json.dumps(cascade, separators=(",", ":")), encoding="utf-8")
    x0, y0, x1, y1 = (round(float(value), 6) for value in face_box([0.0, 0.0, 1.0, 1.0]))
    rule = BoxRule(right=(x0 + x1 - 1) / 2, down=(y0 + y1 - 1) / 2, width=x1 - x0, height=y1 - y0)
    return {
        "name": "haar",
        "title": "Haar cascade of OpenCV",
        "file": "face.json",
        "licence": "in the file",
        "twins": TWINS,
        "rule": dataclasses.asdict(rule),
    }


def prepare(paths: Sequence[str | os.PathLike], folder: str | os.PathLike) -> Path:
    """Writes the folder; returns its path.

    Raises:
        FileNotFoundError: a model is not there.
        ValueError: a model does not run in the page, or two files have the same name.
        ImportError: no face detector is installed.
    """
    described = [describe(path) for path in paths]
    names = [entry["file"] for entry in described]
    if len(set(names)) != len(names):
        raise ValueError(f"two models have the same name: {', '.join(sorted(names))}")
    with replacing(folder) as temporary:
        temporary.mkdir()
        detector = put_detector(temporary)
        if detector["file"] in names:
            raise ValueError(f"{detector['file']} is the name of the face detector's file; give your model another")
        content = {"models": described, "detector": detector, "coordinates": COORDINATES}
        for path in paths:
            shutil.copyfile(path, temporary / Path(path).name)
        (temporary / "index.json").write_text(json.dumps(content, indent=1), encoding="utf-8")
    return Path(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="MODEL", help=".tflite or .onnx files written by kfacealign export")
    parser.add_argument("--out", default=Path(__file__).parent / "public" / "models", help="folder (default %(default)s)")
    arguments = parser.parse_args()
    try:
        folder = prepare(arguments.models, arguments.out)
    except (OSError, ValueError, ImportError) as error:
        sys.exit(f"error: {error}")
    detector = json.loads((folder / "index.json").read_text(encoding="utf-8"))["detector"]
    hint = "" if detector["name"] == "blazeface" else "; with pip install 'kfacealign[detector]' it would be BlazeFace"
    print(f"face detector: {detector['title']}{hint}")
    print(f"written: {', '.join(str(file) for file in sorted(folder.iterdir()))}")


if __name__ == "__main__":
    main()
