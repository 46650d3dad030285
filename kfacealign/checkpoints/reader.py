"""Reading a PyTorch checkpoint without running what is in it."""

import os
import pickle
import re
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

NESTED = ("state_dict", "model")
LIMIT = 2**31  # bytes of a file, and of what is packed in it
MOST_MEMBERS = 100_000


def read(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """The tensors of a checkpoint.

    Only tensors, numbers, text and containers of these are read (`weights_only`). Anything else in a pickle is code that
    would have to be run, and such a file is refused.

    Args:
        path: a file written by `torch.save`: a state dict, or a dict that has one under "state_dict" or "model".

    Returns:
        Name of a tensor, without the `module.` of parallel training -> float32 array.

    Raises:
        FileNotFoundError: there is no such file.
        ImportError: PyTorch is not installed.
        ValueError: it is no checkpoint, holds no state dict, or was refused.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such checkpoint")
    if path.stat().st_size > LIMIT:
        raise ValueError(f"{path} is refused: it is larger than {LIMIT // 2**20} MiB")
    try:
        import torch
    except ImportError as error:
        raise ImportError(
            f"{path}: reading a PyTorch checkpoint needs PyTorch ({error}): pip install 'kfacealign[torch]'"
        ) from error
    if is_torchscript(path):
        raise ValueError(
            f"{path} is a TorchScript archive, which holds code. Where you trust it, save its tensors with "
            f"torch.save(torch.jit.load({path.name!r}).state_dict(), 'weights.pth') and import that file"
        )
    try:
        with torch.serialization.safe_globals(numbers()), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyTorch warns of odd pickles, which the next line refuses anyway
            content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"{path} {reason(error)}") from error
    return state_dict(content, path)


def is_torchscript(path: Path) -> bool:
    """Whether a file is a TorchScript archive.

    Raises:
        ValueError: it is a damaged archive, or one that would take gigabytes.
    """
    if not zipfile.is_zipfile(path):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise ValueError(f"{path} is not a PyTorch checkpoint, or a damaged one") from error
    # PyTorch packs nothing, so a member that is larger than the file is none of PyTorch's.
    if len(members) > MOST_MEMBERS or sum(member.file_size for member in members) > LIMIT:
        raise ValueError(f"{path} is refused: it would take more than {LIMIT // 2**20} MiB")
    return any(member.filename.endswith("/constants.pkl") for member in members)


def numbers() -> list[type | tuple[Callable, str]]:
    """What may be called to read a NumPy number in a checkpoint, such as its best error; its `scalar` refuses objects."""

    def scalar(dtype, data):
        if dtype.kind not in "biuf":
            raise pickle.UnpicklingError(f"a NumPy value of type {dtype}")
        return np.frombuffer(data, dtype, count=1)[0].item()

    dtypes = [type(np.dtype(name)) for name in ("bool", "int32", "int64", "float32", "float64")]
    return [(scalar, f"numpy.{module}.multiarray.scalar") for module in ("core", "_core")] + [np.dtype, *dtypes]


def reason(error: Exception) -> str:
    """Why PyTorch could not read a file. PyTorch's own message is not passed on: it tells how to run the code."""
    found = re.search(r"GLOBAL (\S+)", str(error))
    if found:
        return f"is refused: besides tensors it holds {found[1]}, which would have to be run to load it"
    return "is not a PyTorch checkpoint, or a damaged one"


def state_dict(content: Any, path: Path) -> dict[str, np.ndarray]:
    """The state dict in a checkpoint, as float32 arrays.

    Args:
        content: what the checkpoint holds.
        path: its file, for messages.

    Raises:
        ValueError: there is no state dict, or it would take gigabytes.
    """
    for name in NESTED:
        if isinstance(content, dict) and isinstance(content.get(name), dict):
            content = content[name]
            break
    if not isinstance(content, dict) or not content:
        names = " or ".join(map(repr, NESTED))
        raise ValueError(f"{path} holds no state dict, alone or under {names}, but a {type(content).__name__}")
    others = [str(name) for name, value in content.items() if not hasattr(value, "detach")]
    if others:
        raise ValueError(f"{path}: a state dict holds tensors alone; these are none: {', '.join(others[:5])}")
    # A tensor may be many views of few numbers.
    if sum(4 * value.numel() for value in content.values()) > LIMIT:
        raise ValueError(f"{path} is refused: its tensors would take more than {LIMIT // 2**20} MiB")
    if all(name.startswith("module.") for name in content):
        content = {name.removeprefix("module."): value for name, value in content.items()}
    return {name: value.detach().float().numpy() for name, value in content.items()}
