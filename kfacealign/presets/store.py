"""Presets by name: the card NAME.json, the file NAME.keras and, of the default, NAME.tflite beside it, and how they are loaded.

Loading runs nothing that is in a file. A `.keras` file holds numbers and a JSON description, which may only name layers of
Keras and of this package; a `.tflite` file is a graph of built-in operators. Both are looked at before they are read.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kfacealign.console import make_console
from kfacealign.presets import cards

if TYPE_CHECKING:
    from rich.console import Console

FOLDER = Path(__file__).parent
DEFAULT = "pipnet_lite0_ibug68"
# Preset -> the recipe in the project's sources that trains it.
RECIPES = {
    DEFAULT: "recipes/preset_pipnet.py",
    "lotr_lite0_ibug68": "recipes/preset_lotr.py",
    "pipnet_lite0_256_ibug68": "recipes/preset_pipnet.py",
    "pipnet_lite0_clean_ibug68": "recipes/preset_pipnet.py",
    "pipnet_lite0_clean_jd106": "recipes/preset_pipnet.py",
    "pipnet_lite0_clean_wflw98": "recipes/preset_pipnet.py",
    "tracker_1d_ibug68": "recipes/preset_tracker.py",
}
FORMATS = ("keras", "tflite")


def names() -> list[str]:
    """Names of the bundled presets, the default first."""
    found = sorted(file.stem for file in FOLDER.glob("*.json"))
    return sorted(found, key=lambda name: name != DEFAULT)


def card(name: str) -> dict[str, Any]:
    """The card of a preset; `kfacealign.presets.cards` says what is in it.

    Raises:
        ValueError: there is no such preset, or its card is damaged.
        FileNotFoundError: the preset is not bundled in this copy of the package.
    """
    _check_name(name)
    file = FOLDER / f"{name}.json"
    if not file.is_file():
        raise FileNotFoundError(_missing(name, file))
    return cards.read(file)


def path(name: str, *, format: str = "keras") -> Path:
    """The file of a preset, its checksum verified.

    Args:
        name: the preset.
        format: "keras" or "tflite".

    Raises:
        ValueError: there is no such preset or format, the preset is not bundled in that format, or the file is not the one
            that the card describes.
        FileNotFoundError: the file is not there, because the package was installed without its data.
    """
    if format not in FORMATS:
        raise ValueError(f"format is one of {', '.join(FORMATS)}, not {format!r}")
    files, file = card(name)["files"], FOLDER / f"{name}.{format}"
    if format not in files:
        raise ValueError(
            f"{name} is bundled as .keras alone: kfacealign export --model {name} --out {name}.{format} makes the other file"
        )
    described = files[format]
    if not file.is_file():
        raise FileNotFoundError(_missing(name, file))
    found = checksum(file)
    if found != described["sha256"]:
        raise ValueError(
            f"{file}: not the file of the preset {name}: its SHA-256 is {found[:12]}..., the card says "
            f"{described['sha256'][:12]}...; it is damaged or was replaced. Install the package again"
        )
    return file


def from_preset(name: str = DEFAULT, *, format: str = "keras", threads: int | None = None) -> Any:
    """A bundled, trained model.

    Args:
        name: one of `kfacealign.presets.names()`; `kfacealign presets` lists them with what they were trained on.
        format: "keras" for a model to train on or to export, "tflite" for one that runs without Keras.
        threads: CPU threads of a TFLite model; None leaves it to the runtime.

    Returns:
        A `FaceAligner` in float32, or for "tflite" a `LiteRTAligner`; the tracker's `.tflite` file is a `StreamingRuntime`.

    Raises:
        ValueError: there is no such preset or format, or its file has another checksum than its card says.
        FileNotFoundError: its file is not there.

    Example:
        >>> model = kfacealign.from_preset("pipnet_lite0_ibug68")
        >>> landmarks, scores = model.align(crops)   # crops: (N, model.input_size, model.input_size, 3)
    """
    from kfacealign import deploy

    return deploy.load(path(name, format=format), threads=threads)


# === --model ===


def chosen(model: str | None = None, *, keras: bool = False, console: "Console | None" = None) -> str:
    """The path of the model that the `--model` of a command means.

    None means the default preset, and the name of a preset means that preset: its TFLite file where there is one and an
    interpreter can be imported, otherwise its `.keras` file. Which file it is, and what it was trained on, is printed.
    Anything else is a path and is returned as it is; a file that is called like a preset is given as ./NAME.

    Args:
        model: what the user gave, or None.
        keras: whether the command needs the `.keras` file.
        console: the `rich` console to print to; by default a new one.

    Returns:
        A path for `kfacealign.deploy.load`, as text.

    Raises:
        ValueError: the preset's card or file is damaged.
        FileNotFoundError: the preset is not bundled in this copy of the package.
    """
    name = DEFAULT if model is None else model
    if model is not None and model not in {*RECIPES, *names()}:
        return model
    described, format = card(name), "keras" if keras else quickest(name)
    file = path(name, format=format)
    data = " and ".join(source["name"] for source in described["data"])
    if console is None:
        console = make_console()
    console.print(f"model: {name} ({format}), trained on {data}", markup=False, highlight=False, soft_wrap=True)
    return os.fspath(file)


def quickest(name: str) -> str:
    """The format in which a preset runs with least: "tflite" where it is bundled so and an interpreter is here, else "keras"."""
    return "tflite" if "tflite" in card(name)["files"] and has_interpreter() else "keras"


def has_interpreter() -> bool:
    """Whether TFLite files can be run here."""
    from kfacealign.interpreter import interpreter_class
    from kfacealign.quiet import quiet

    try:
        with quiet():
            interpreter_class()
    except ImportError:
        return False
    return True


def checksum(file: str | os.PathLike) -> str:
    """SHA-256 of a file, in hexadecimal."""
    import hashlib  # OpenSSL, which it loads, takes a few milliseconds that only this function needs

    with open(file, "rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _check_name(name):
    known = list(dict.fromkeys([*names(), *RECIPES]))
    if name not in known:
        raise ValueError(f"no preset is called {name!r}; there are {', '.join(known)}")


def _missing(name, file):
    recipe = RECIPES.get(name, "a recipe")
    return (
        f"{file} is missing: this copy of the package has no files of the preset {name}. Install the package with its data, or "
        f"train one with the project's sources: python {recipe} --data-dir FOLDER, then kfacealign presets make {name} --model "
        "RUN/model.keras --data-dir FOLDER; or give a model of your own (--model)"
    )
