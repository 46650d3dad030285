"""Puts exported models beside the web page.

    python export/web/prepare.py runs/quick/model.tflite
    python export/web/prepare.py int8.tflite float32.onnx --out export/web/dist/models

It copies the files and writes two more: index.json, which holds the models' metadata and the lines that the page draws, and
face.json, OpenCV's face cascade in a form for the browser. The old content of the folder is replaced.
"""

import argparse
import json
import os
import shutil
import sys
import xml.etree.ElementTree
from collections.abc import Sequence
from pathlib import Path

import cv2

from kfacealign import schemes
from kfacealign.cli.align_results import COORDINATES
from kfacealign.deploy import metadata
from kfacealign.deploy.measure import inspection
from kfacealign.detect import face_box
from kfacealign.drawing import segments
from kfacealign.files import replacing

CASCADE = "haarcascade_frontalface_default.xml"


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
    lines = [[int(first), int(second)] for first, second in segments(schemes.get(found["scheme"]))]
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


def prepare(paths: Sequence[str | os.PathLike], folder: str | os.PathLike) -> Path:
    """Writes the folder; returns its path.

    Raises:
        FileNotFoundError: a model is not there.
        ValueError: a model does not run in the page, or two have the same name.
    """
    described = [describe(path) for path in paths]
    names = [entry["file"] for entry in described]
    if len(set(names)) != len(names):
        raise ValueError(f"two models have the same name: {', '.join(sorted(names))}")
    content = {"models": described, "face_box": face_box([0.0, 0.0, 1.0, 1.0]).tolist(), "coordinates": COORDINATES}
    with replacing(folder) as temporary:
        temporary.mkdir()
        for path in paths:
            shutil.copyfile(path, temporary / Path(path).name)
        (temporary / "index.json").write_text(json.dumps(content, indent=1), encoding="utf-8")
        cascade = read_cascade(Path(cv2.data.haarcascades) / CASCADE)
        (temporary / "face.json").write_text(json.dumps(cascade, separators=(",", ":")), encoding="utf-8")
    return Path(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="MODEL", help=".tflite or .onnx files written by kfacealign export")
    parser.add_argument("--out", default=Path(__file__).parent / "public" / "models", help="folder (default %(default)s)")
    arguments = parser.parse_args()
    try:
        folder = prepare(arguments.models, arguments.out)
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")
    print(f"written: {', '.join(str(file) for file in sorted(folder.iterdir()))}")


if __name__ == "__main__":
    main()
