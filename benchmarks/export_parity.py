"""What an export costs in accuracy: the same faces through Keras and through every exported form.

    python benchmarks/export_parity.py --model runs/quick/model.keras --dataset synthetic
    python benchmarks/export_parity.py --model runs/own/model.keras --dataset pts --data-dir FOLDER

Prints for each form its size, the largest and the mean landmark difference to Keras (fractions of
the crop) and the NME on the dataset's test faces. int8 is calibrated on training faces.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

import kfacealign as kfa


def size_of(path):
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files) / 2**20


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="a .keras file")
    parser.add_argument("--dataset", choices=kfa.training.settings.DATASETS, default="synthetic")
    parser.add_argument("--data-dir")
    parser.add_argument("--calibration-size", type=int, default=128)
    arguments = parser.parse_args()
    model = kfa.deploy.load(arguments.model)
    arguments.scheme = model.scheme.name
    faces = kfa.training.load_dataset(arguments)
    crops = kfa.data.Crops(faces.test, model.input_size, model.enlarge)
    images = np.stack([crops[index][0] for index in range(len(crops))])
    expected, _ = model.align(images)

    table = Table("form", "MiB", "largest difference", "mean difference", "NME, %", "NME over Keras'", title=faces.summary())
    reference = kfa.evaluation.evaluate(model, crops).summary()["nme"]
    table.add_row("Keras", f"{size_of(Path(arguments.model)):.2f}", "", "", f"{reference:.3f}", "1.000")
    forms = {"SavedModel": ("saved", {}), "TFLite float32": ("f32.tflite", {})}
    forms["TFLite float16"] = ("f16.tflite", {"precision": "float16"})
    calibration = {"calibration": faces.train, "calibration_size": arguments.calibration_size}
    forms["TFLite int8"] = ("i8.tflite", {"precision": "int8", **calibration})
    with tempfile.TemporaryDirectory() as folder:
        for form, (name, options) in forms.items():
            path = kfa.deploy.export(model, Path(folder) / name, **options)
            aligner = kfa.deploy.load(path)
            difference = np.abs(aligner.align(images)[0] - expected)
            nme = kfa.evaluation.evaluate(aligner, crops).summary()["nme"]
            figures = f"{difference.max():.6f}", f"{difference.mean():.6f}", f"{nme:.3f}", f"{nme / reference:.3f}"
            table.add_row(form, f"{size_of(path):.2f}", *figures)
    Console().print(table)


if __name__ == "__main__":
    main()
