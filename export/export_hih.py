"""Every export of a trained HIH, with what each costs in accuracy and in size.

    python export/export_hih.py --model runs/quick/model.keras --dataset synthetic --out exported
    python export/export_hih.py --model runs/wflw_base/model.keras --dataset wflw --data-dir WFLW --out exported

Writes the SavedModel and the TFLite files (float32, float16, int8 calibrated on training faces),
runs them on the test faces and prints the difference of their landmarks to Keras' (in fractions
of the crop) and their NME.
"""

import argparse
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

import kfacealign as kfa

PRECISIONS = ("float32", "float16", "int8")


def size_of(path):
    """MiB of a file or of all files in a folder."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files) / 2**20


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="a trained HIH (.keras)")
    parser.add_argument("--dataset", choices=kfa.training.DATASETS, default="wflw")
    parser.add_argument("--data-dir", help="the dataset's directory")
    parser.add_argument("--out", default="exported", help="directory to write to")
    arguments = parser.parse_args()

    model = kfa.deploy.load(arguments.model)
    arguments.scheme = model.scheme.name
    faces = kfa.training.load_dataset(arguments)
    crops = kfa.data.Crops(faces.test, model.input_size, model.enlarge)
    images = crops.batch(np.arange(len(crops)))[0]
    expected, _ = model.align(images)
    reference = kfa.evaluation.evaluate(model, crops).summary()["nme"]

    table = Table("written", "MiB", "largest move", "moved > 0.001", "NME, %", "NME over Keras'", title=faces.summary())
    table.add_row(arguments.model, f"{size_of(Path(arguments.model)):.2f}", "", "", f"{reference:.3f}", "1.000")
    exports = [kfa.deploy.export(model, Path(arguments.out) / "saved_model")]
    for precision in PRECISIONS:
        path = Path(arguments.out) / f"{precision}.tflite"
        calibration = faces.train if precision == "int8" else None
        exports.append(kfa.deploy.export(model, path, precision=precision, calibration=calibration))
    for path in exports:
        aligner = kfa.deploy.load(path)
        moves = np.abs(aligner.align(images)[0] - expected).max(-1)
        nme = kfa.evaluation.evaluate(aligner, crops).summary()["nme"]
        moved = f"{100 * (moves > 1e-3).mean():.3f} %"
        table.add_row(str(path), f"{size_of(path):.2f}", f"{moves.max():.5f}", moved, f"{nme:.3f}", f"{nme / reference:.3f}")
    Console().print(table)


if __name__ == "__main__":
    main()
