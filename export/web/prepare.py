"""Puts exported models beside the web page.

    python export/web/prepare.py runs/quick/model.tflite
    python export/web/prepare.py int8.tflite float32.onnx --out export/web/dist/models

Copies the files and writes index.json, what the page reads of their metadata with the lines that it draws, and face.json,
OpenCV's face cascade in a form for the browser. What was in the folder before is replaced.
"""

import argparse
import json
import shutil
import sys
import xml.etree.ElementTree
from pathlib import Path

import cv2

from kfacealign import schemes
from kfacealign.cli.align import COORDINATES
from kfacealign.deploy import metadata
from kfacealign.deploy.measure import inspection
from kfacealign.detect import face_box
from kfacealign.drawing import segments
from kfacealign.files import replacing

CASCADE = "haarcascade_frontalface_default.xml"


def describe(path):
    """What the page is told of a model.

    Raises:
        FileNotFoundError, ValueError: it is not an export of kfacealign that runs in the page.
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


def read_cascade(path):
    """OpenCV's cascade of stumps as lists: stages of (feature, threshold, value below it, value above) and features of
    (x, y, width, height, weight)."""
    text = Path(path).read_text(encoding="utf-8")
    cascade = xml.etree.ElementTree.fromstring(text).find("cascade")
    stages = []
    for stage in cascade.find("stages"):
        trees = []
        for stump in stage.find("weakClassifiers"):
            _, _, feature, threshold = stump.find("internalNodes").text.split()
            below, above = map(float, stump.find("leafValues").text.split())
            trees.append([int(feature), float(threshold), below, above])
        # The slack is OpenCV's.
        stages.append({"threshold": float(stage.find("stageThreshold").text) - 1e-5, "trees": trees})
    features = [[list(map(float, rect.text.split())) for rect in feature.find("rects")] for feature in cascade.find("features")]
    notice = text[text.index("<!--") + 4 : text.index("-->")].strip()
    return {"notice": notice, "size": int(cascade.find("width").text), "stages": stages, "features": features}


def prepare(paths, folder):
    """Writes the folder; returns its path."""
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


def main():
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
