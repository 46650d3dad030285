"""`.keras` files of half the size: weights in float16, which Keras reads back as float32.

A `.keras` file is a zip of two JSON files and the weights in HDF5. Keras casts what it finds there to the variable's own
type, so a file whose kernels are float16 is a `.keras` file like any other. Vectors stay float32: biases and batch statistics
are about a hundredth of the weights, and the range of float16 (6e-8 to 65504) is not theirs.
"""

import io
import tempfile
import zipfile
from pathlib import Path

import h5py
import numpy as np

from kfacealign.files import replacing

WEIGHTS = "model.weights.h5"
KEPT = ("metadata.json", "config.json", WEIGHTS)


def save_halved(model, path):
    """Writes a model, without its optimiser, as a `.keras` file in float16; returns the path.

    Args:
        model: a `FaceAligner` that was loaded with `compile=False`, so that it has no optimiser.
        path: the file, NAME.keras; it appears whole or not at all.

    Raises:
        ValueError: a weight is beyond the range of float16, or not finite.
    """
    path = Path(path)
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / path.name
        model.save(whole)
        with replacing(path) as temporary:
            halve_file(whole, temporary)
    return path


def halve_file(source, target):
    """Copies a `.keras` file with its kernels in float16."""
    with zipfile.ZipFile(source) as archive, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as halved:
        for name in KEPT:
            content = archive.read(name)
            halved.writestr(name, halve_weights(content) if name == WEIGHTS else content)


def halve_weights(content):
    """The bytes of an HDF5 file -> the same groups, attributes and arrays, kernels in float16."""
    out = io.BytesIO()
    with h5py.File(io.BytesIO(content), "r") as source, h5py.File(out, "w") as target:
        _copy(source, target)
    return out.getvalue()


def _copy(source, target):
    for name, value in source.attrs.items():
        target.attrs[name] = value
    for name, item in source.items():
        if isinstance(item, h5py.Group):
            _copy(item, target.create_group(name))
            continue
        values = item[()]
        if values.dtype == np.float32 and values.ndim > 1:
            # Shuffled bytes compress: the exponents of a layer's weights are alike.
            target.create_dataset(name, data=as_half(values, item.name), compression="gzip", compression_opts=9, shuffle=True)
        else:
            target.create_dataset(name, data=values)


def as_half(values, name):
    with np.errstate(over="ignore"):
        halved = values.astype("float16")
    if not np.isfinite(halved).all():
        raise ValueError(f"{name}: a weight is not finite in float16 (the largest is {np.abs(values).max():g})")
    return halved
