"""Every export of a trained model, with its size and what it costs in accuracy.

    python export/export_trained.py --model runs/pipnet_quick/model.keras --dataset synthetic --out exported
    python export/export_trained.py --model runs/lotr/model.keras --dataset wflw --data-dir WFLW --licence "CC BY 4.0"

It takes any model of the suite: mobile PIPNet, LOTR-M, HIH and all others. It writes the SavedModel, the TFLite files
(float32, float16, int8, and int8 that reads bytes, calibrated on training faces) and the ONNX file, runs them on the test
faces, and prints how far their landmarks lie from those of the Keras model (in fractions of the crop), and their NME.
`kfacealign export` writes a single file.
"""

import argparse
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

import kfacealign as kfa
from kfacealign.cli.export import size
from kfacealign.deploy.measure.parity import MOVED, compare

FILES = {
    "saved_model": "float32",
    "float32.tflite": "float32",
    "float16.tflite": "float16",
    "int8.tflite": "int8",
    "int8_io.tflite": "int8_io",
    "model.onnx": "float32",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="a trained model (.keras)")
    parser.add_argument("--dataset", choices=kfa.data.catalogue.DATASETS, default="wflw")
    parser.add_argument("--data-dir", help="the dataset's directory")
    parser.add_argument("--out", default="exported", help="directory to write to (default %(default)s)")
    parser.add_argument("--licence", help="what the files say of the model's licence")
    parser.add_argument("--training-data", help="what they say of the data that the model was trained on")
    parser.add_argument("--limit", type=int, default=1000, help="test faces compared, evenly spaced (default %(default)s)")
    arguments = parser.parse_args()

    console, out = Console(), Path(arguments.out)
    model = kfa.deploy.load(arguments.model)
    faces = kfa.data.load_dataset(arguments.dataset, arguments.data_dir, scheme=model.scheme)
    crops = kfa.data.Crops(faces.test, model.input_size, enlarge=model.enlarge)
    chosen = np.unique(np.linspace(0, len(crops) - 1, min(arguments.limit, len(crops))).round().astype(int))
    images, truth, weights = crops.batch(chosen)
    notes = {"licence": arguments.licence, "training_data": arguments.training_data, "detector": "haar"}

    paths = []
    for name, precision in FILES.items():
        with console.status(f"writing {out / name}"):
            calibration = faces.train if precision.startswith("int8") else None
            paths.append(kfa.deploy.export(model, out / name, precision=precision, calibration=calibration, **notes))
    with console.status("comparing"):
        records = compare(model, [str(path) for path in paths], images, truth=truth, weights=weights, trust=True)

    table = Table("written", "MB", "largest move", f"moved > {MOVED:g}", "NME, %", "NME over Keras'", title=faces.summary())
    for path, record in zip([Path(arguments.model), *paths], records, strict=True):
        moves = (f"{record.maximum:.5f}", f"{100 * record.moved:.3f} %") if path in paths else ("", "")
        table.add_row(str(path), f"{size(path) / 1e6:.2f}", *moves, f"{record.nme:.3f}", f"{record.ratio:.3f}")
    console.print(table)


if __name__ == "__main__":
    main()
