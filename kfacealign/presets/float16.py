"""`.keras` files of half the size: weights in float16, which Keras reads back as float32.

A `.keras` file is a zip of two JSON files and the weights in HDF5. Keras casts the arrays that it reads to the type of the
variable, so a file whose kernels are float16 is a `.keras` file like any other. Vectors stay float32: biases and batch
statistics are only about a hundredth of the weights, and may lie outside the range of float16 (6e-8 to 65504).
"""

import io
import os
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np

from kfacealign.files import replacing

if TYPE_CHECKING:
    from kfacealign.models.aligner import FaceAligner

WEIGHTS = "model.weights.h5"
# The members of the zip that are copied; there is no other.
KEPT = ("metadata.json", "config.json", WEIGHTS)


def save_halved(model: "FaceAligner", path: str | os.PathLike) -> Path:
    """Writes a model as a `.keras` file in float16.

    Args:
        model: a `FaceAligner` that was loaded with `compile=False`, so that it has no optimiser.
        path: the file, NAME.keras; it appears whole or not at all.

    Returns:
        The path.

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


def halve_file(source: Path, target: Path) -> None:
    """Copies a `.keras` file with its kernels in float16."""
    with zipfile.ZipFile(source) as archive, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as halved:
        for name in KEPT:
            content = archive.read(name)
            halved.writestr(name, halve_weights(content) if name == WEIGHTS else content)


def halve_weights(content: bytes) -> bytes:
    """The bytes of an HDF5 file -> those of a file with the same groups, attributes and arrays, kernels in float16."""
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
            # Shuffled bytes compress well, because the exponents of a layer's weights are alike.
            target.create_dataset(name, data=as_half(values, item.name), compression="gzip", compression_opts=9, shuffle=True)
        else:
            target.create_dataset(name, data=values)


def as_half(values: np.ndarray, name: str) -> np.ndarray:
    """An array in float16.

    Args:
        values: float32.
        name: what messages call it.

    Raises:
        ValueError: a value is beyond the range of float16, or not finite.
    """
    with np.errstate(over="ignore"):
        halved = values.astype("float16")
    if not np.isfinite(halved).all():
        raise ValueError(f"{name}: a weight is not finite in float16 (the largest is {np.abs(values).max():g})")
    return halved
