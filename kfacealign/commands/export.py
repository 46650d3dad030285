"""`kfacealign export`: a trained model as TFLite, ONNX or SavedModel, and what int8 costs it."""

from pathlib import Path

import numpy as np
from rich.console import Console

from kfacealign import data, deploy, geometry, presets
from kfacealign.data.crops import read_image
from kfacealign.data.pts import IMAGE_SUFFIXES
from kfacealign.deploy.runtime import load_keras


def run(arguments):
    path = Path(presets.chosen(arguments.model, keras=True))
    integers = arguments.precision.startswith("int8")
    if path.suffix != ".keras":
        raise ValueError(f"{path}: a model is exported from its .keras file")
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such model")
    if integers != (arguments.calibration is not None):
        raise ValueError("--precision int8 and --calibration (a folder of images, or a .npy array of crops) go together")
    if arguments.report and not integers:
        raise ValueError("--report is about --precision int8")
    if not (arguments.out or arguments.report):
        raise ValueError("give --out, the file or folder to write")
    model, console = load_keras(path), Console()
    calibration = read_calibration(Path(arguments.calibration), model) if integers else None
    if arguments.report:
        with console.status("measuring what int8 adds in each layer"):
            records = deploy.quantization_report(model, calibration, flip=arguments.flip)
        console.print(deploy.report_table(records))
    if arguments.out:
        with console.status(f"writing {arguments.out}"):
            written = write(arguments, model, calibration)
        facts = f"{size(written) / 1e6:.2f} MB, {arguments.precision}, {model.scheme.name}, {model.input_size} px"
        console.print(f"written: {written} ({facts})")
    return 0


def write(arguments, model, calibration):
    """Exports as the command line says; returns the path."""
    notes = {name: getattr(arguments, name) for name in ("format", "precision", "licence", "training_data", "detector")}
    if not arguments.step:
        further = {"flip": arguments.flip, "batch": None if arguments.batch == "any" else 1, "keep_float": arguments.keep_float}
        return deploy.export(model, arguments.out, calibration=calibration, **further, **notes)
    if arguments.flip or arguments.batch == "any":
        raise ValueError("--step goes with neither --flip nor --batch any")
    return deploy.export_step(model, arguments.out, **notes)


def read_calibration(path, model):
    """Calibration images: `Faces` from a folder with `.pts`, else an array of crops.

    Raises:
        FileNotFoundError, ValueError: there is nothing to read at `path`.
    """
    if path.suffix == ".npy":
        return read_array(path, model.input_size)
    if not path.is_dir():
        raise FileNotFoundError(f"{path}: --calibration is a folder of images or a .npy array of crops")
    if any(path.rglob("*.pts")):
        return data.pts(path, scheme=model.scheme, test_fraction=0.0).train
    return read_crops(path, model.input_size)


def read_array(path, side):
    """Crops `(N, side, side, 3)` from a `.npy` file.

    Raises:
        FileNotFoundError: there is none. ValueError: it is damaged, or holds something else.
    """
    try:
        crops = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        # NumPy's own message advises to load it unsafely.
        raise ValueError(f"{path}: not a .npy array of numbers, or a damaged one") from error
    if not isinstance(crops, np.ndarray):
        raise ValueError(f"{path}: not a .npy array but an archive of some")
    if crops.shape[1:] != (side, side, 3) or crops.dtype.kind not in "uif":
        raise ValueError(f"{path}: crops are numbers of shape (N, {side}, {side}, 3), these are {crops.dtype} {crops.shape}")
    if not len(crops):
        raise ValueError(f"{path} holds no crop")
    if not np.isfinite(crops).all():
        raise ValueError(f"{path}: crops with values that are not finite")
    return crops


def read_crops(folder, side):
    """Every image below a folder, taken as a face crop, resampled to `(N, side, side, 3)`."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    if not paths:
        raise FileNotFoundError(f"{folder} holds no image; suffixes: {' '.join(IMAGE_SUFFIXES)}")
    crops = []
    for path in paths:
        try:
            image = read_image(path)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
        height, width = image.shape[:2]
        crops.append(geometry.crop(image, (0, 0, width, height), side)[0])
    return np.stack(crops)


def size(path):
    """Bytes of a file, or of all files in a folder."""
    return sum(file.stat().st_size for file in [path, *path.rglob("*")] if file.is_file())
