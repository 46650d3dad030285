"""Every export of a trained HIH, with its size and how far its landmarks move.

    python export/export_hih.py --model runs/wflw_base/model.keras --wflw WFLW --out exported

int8 is calibrated on WFLW's training faces; the landmarks are compared on its test faces.
Without `--wflw`, synthetic faces are rendered for both.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

import kfacealign as kfa


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="a trained HIH (.keras)")
    parser.add_argument("--wflw", metavar="DIR", help="WFLW's directory")
    parser.add_argument("--faces", type=int, default=100, help="faces for calibration, and for the comparison")
    parser.add_argument("--out", default="exported", metavar="DIR")
    arguments = parser.parse_args()

    model = kfa.deploy.load(arguments.model)
    with tempfile.TemporaryDirectory() as folder:
        if arguments.wflw is None:
            kfa.data.write_wflw(folder, train=arguments.faces, test=arguments.faces, seed=0)
        faces = kfa.data.wflw(arguments.wflw or folder)
        crops = kfa.data.Crops(faces.test[: arguments.faces], size=model.input_size, enlarge=model.enlarge)
        images = np.stack([crops[index][0] for index in range(len(crops))])
        landmarks, _ = model.align(images, verbose=0)

        table = Table(title=f"{arguments.model}: {model.scheme.name}, {model.input_size} px")
        table.add_column("written")
        table.add_column("MB", justify="right")
        table.add_column("mean move, % of the crop", justify="right")
        for name, precision in (
            ("hih", "float32"),
            ("hih_float32.tflite", "float32"),
            ("hih_float16.tflite", "float16"),
            ("hih_int8.tflite", "int8"),
        ):
            path = kfa.deploy.export(model, Path(arguments.out) / name, precision=precision, calibration=faces.train)
            moved = np.linalg.norm(kfa.deploy.load(path).align(images, verbose=0)[0] - landmarks, axis=-1)
            table.add_row(str(path), f"{size(path) / 1e6:.2f}", f"{100 * moved.mean():.3f}")
    Console().print(table)


def size(path):
    """Bytes of a file, or of all files in a folder."""
    return sum(file.stat().st_size for file in [path, *path.rglob("*")] if file.is_file())


if __name__ == "__main__":
    main()
