"""The card of a preset: a JSON file with all that is known about it, and the Markdown text made from that.

name, class, scheme, input_size, enlarge, parameters
files       format ("keras", and of some "tflite") -> bytes, sha256, precision
data        list of name, faces, licence
splits, augmentation, command, seed, epochs, hardware, begun_with      how it was trained
figures     set, faces, normalizer, and format -> nme, fr@10 (percent), auc@10; of trackers also clips; interval, the 95 % of
            the first file's NME over resamples of what `resampled` says
latency     ms (median of one crop, batch 1), threads, runtime, machine
weak_spots  rows of benchmarks/weak_spots.py, where it was run; those of an angle have of, from and to besides
limits      list of sentences
"""

import json
import os
from pathlib import Path
from typing import Any

from kfacealign.deploy import error_bands
from kfacealign.files import read_bytes

FIELDS = ("name", "class", "scheme", "input_size", "enlarge", "parameters", "files", "data", "splits", "augmentation", "command")
FIELDS += ("seed", "epochs", "figures", "latency", "limits")
LIMIT = 4 * 2**20  # bytes
# What each field is: text, a whole number, a number, a list of one kind, a dict ("*" stands for any key), or one of several.
ERRORS = {"nme": float, "fr@10": float, "auc@10": float}
FILE = {"bytes": int, "sha256": str, "precision": str}
KINDS = {
    "name": str,
    "class": str,
    "scheme": str,
    "input_size": int,
    "enlarge": float,
    "parameters": int,
    "files": {"keras": FILE},
    "data": [{"name": str, "faces": int, "licence": str}],
    "splits": str,
    "augmentation": {"*": (float, str, bool, None, [(float, str)])},
    "command": str,
    "seed": int,
    "epochs": (int, str),
    "figures": {"set": str, "faces": int, "normalizer": str, "keras": ERRORS},
    "latency": {"ms": float, "threads": int, "runtime": str, "machine": str},
    "limits": [str],
}
OPTIONAL = {
    "hardware": (str, None),
    "begun_with": (str, None),
    "weak_spots": ([{"group": str, "faces": int, "nme": (float, None), "box": (float, None)}], None),
}
ANGLE = {"of": str, "from": float, "to": float}
# Figures that not every card has.
FIGURES = {"clips": {**ERRORS, "length": int, "jitter": float}, "interval": [float], "resampled": str}
NO_CLAIM = (
    "Errors on rendered faces (`benchmarks/weak_spots.py`). They are drawings: the table shows where errors grow, not what they "
    "are on photographs. Below the rows of yaw, faces are turned aside by less than 15 degrees."
)


def read(file: str | os.PathLike) -> dict[str, Any]:
    """A card as a dict.

    Args:
        file: the JSON file, which is called like the preset.

    Raises:
        ValueError: it is no card; the message names the file.
    """
    try:
        content = json.loads(read_bytes(file, limit=LIMIT))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file}: no card of a preset ({error})") from None
    lacking = [field for field in FIELDS if field not in content] if isinstance(content, dict) else FIELDS
    if lacking:
        raise ValueError(f"{file}: no card of a preset, it lacks {', '.join(lacking)}")
    wrong = misfit(content, {**KINDS, **{name: kind for name, kind in OPTIONAL.items() if name in content}})
    wrong = wrong or _misfit_of_parts(content)
    if wrong is not None:
        raise ValueError(f"{file}: no card of a preset, its {wrong} is missing or of another kind")
    if content["name"] != Path(file).stem:
        raise ValueError(f"{file}: the card of {content['name']}, expected that of {Path(file).stem}")
    return content


def _misfit_of_parts(content):
    """The same as `misfit` for what files and figures may lack."""
    files, figures = content["files"], content["figures"]
    wanted = {name: kind for name, kind in FIGURES.items() if name in figures}
    if "tflite" in files:
        wanted["tflite"] = ERRORS
    if "interval" in wanted:
        wanted["resampled"] = str
    wrong = misfit(files, {"tflite": FILE}, "files.") if "tflite" in files else None
    for row in content.get("weak_spots") or ():
        wrong = wrong or (misfit(row, ANGLE, "weak_spots.") if "of" in row else None)
    wrong = wrong or (None if error_bands.is_bands(bands(content)) else "weak_spots")
    wrong = wrong or misfit(figures, wanted, "figures.")
    return wrong or ("figures.interval" if len(figures.get("interval", (0, 0))) != 2 else None)


def misfit(value: Any, kind: Any, place: str = "") -> str | None:
    """The first place at which a value is not of the kind expected, such as `files.keras.bytes`; None where all fits."""
    if isinstance(kind, tuple):
        return None if any(misfit(value, one) is None for one in kind) else place.rstrip(".")
    if isinstance(kind, dict):
        if not isinstance(value, dict):
            return place.rstrip(".") or "content"
        wanted = dict.fromkeys(value, kind["*"]) if "*" in kind else kind
        lacking = [name for name in wanted if name not in value]
        if lacking:
            return f"{place}{lacking[0]}"
        found = (misfit(value.get(name), one, f"{place}{name}.") for name, one in wanted.items())
    elif isinstance(kind, list):
        if not isinstance(value, list):
            return place.rstrip(".")
        found = (misfit(one, kind[0], f"{place}{number}.") for number, one in enumerate(value))
    else:
        return None if is_kind(value, kind) else place.rstrip(".") or "content"
    return next((wrong for wrong in found if wrong is not None), None)


def is_kind(value: Any, kind: type | None) -> bool:
    """Whether a value is text, a whole number, a finite number, true or false, or null; a whole number is a number, too."""
    if kind is None or value is None:
        return kind is value
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300
    return isinstance(value, kind) and not (kind is int and isinstance(value, bool)) and not (kind is int and abs(value) > 2**62)


def bands(card: dict[str, Any]) -> list[dict[str, Any]]:
    """How errors grow with the turn of the head, as an exported file says it (`kfacealign.deploy.error_bands`)."""
    return error_bands.bands(card.get("weak_spots") or ())


def notes(card: dict[str, Any]) -> dict[str, Any]:
    """What an exported file says of licence, training data and errors, as arguments of `kfacealign.deploy.export`.

    Args:
        card: a card, or the facts of a training with `weak_spots`.
    """
    return {
        "licence": "; ".join(f"{source['name']}: {source['licence']}" for source in card["data"]),
        "training_data": " and ".join(source["name"] for source in card["data"]),
        "errors": bands(card) or None,
    }


def as_json(card: dict[str, Any]) -> str:
    """A card as the text of its JSON file."""
    return json.dumps(card, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


# === For people ===


def row(card: dict[str, Any]) -> dict[str, str]:
    """The entry of a preset in a list of presets: dict of heading -> text."""
    figures, latency, files = card["figures"], card["latency"], card["files"]
    return {
        "name": card["name"],
        "scheme": card["scheme"],
        "input": f"{card['input_size']} px",
        "parameters": f"{card['parameters'] / 1e6:.2f} M",
        "files": ", ".join(f".{format} {file['bytes'] / 1e6:.1f} MB" for format, file in files.items()),
        "NME": f"{figures['keras']['nme']:.2f} %{_interval(figures)} ({figures['set']})",
        "latency": f"{latency['ms']:.1f} ms, {latency['threads']} threads, {latency['machine']}",
        "trained on": "; ".join(f"{source['name']} ({source['licence']})" for source in card["data"]),
    }


def markdown(card: dict[str, Any]) -> str:
    """The model card of a preset as Markdown, made from the dict alone."""
    sections = [_head(card), _usage(card), _training(card), _figures(card), _weak_spots(card), _limits(card), _files(card)]
    return "\n\n".join(section for section in sections if section) + "\n"


def _head(card):
    facts = {
        "model": card["class"],
        "landmarks": card["scheme"],
        "input": f"RGB crop of {card['input_size']} x {card['input_size']} px, 0..255; its side is {card['enlarge']:g} times the "
        "longer side of the landmarks' box",
        "trainable parameters": f"{card['parameters']:,}",
    }
    return f"# {card['name']}\n\n" + _table(("", ""), facts.items())


def _usage(card):
    lite = f'model = kfacealign.from_preset("{card["name"]}", format="tflite")  # runs without Keras\n'
    return f"""## Use

```python
import kfacealign

model = kfacealign.from_preset("{card["name"]}")  # Keras, float32
{lite if "tflite" in card["files"] else ""}landmarks, scores = model.align(crops)
```

`kfacealign align PHOTO --model {card["name"]}` finds the faces of a photograph and their landmarks."""


def _training(card):
    data = _table(("data", "faces", "licence"), [(s["name"], f"{s['faces']:,}", s["licence"]) for s in card["data"]])
    views = ", ".join(f"{name} {_short(value)}" for name, value in card["augmentation"].items())
    facts = [f"- Splits: {card['splits']}", f"- Random views: {views}", f"- Seed {card['seed']}, {_epochs(card)}"]
    if card.get("begun_with"):
        facts.append(f"- Begun with: {card['begun_with']}")
    if card.get("hardware"):
        facts.append(f"- Hardware: {card['hardware']}")
    return "\n\n".join(["## Training", data, "\n".join(facts), f"```\n{card['command']}\n```"])


def _epochs(card):
    """The number of epochs, or in words how long each part was trained."""
    return f"{card['epochs']} epochs" if isinstance(card["epochs"], int) else f"epochs: {card['epochs']}"


def _figures(card):
    figures, latency = card["figures"], card["latency"]
    what = f"{figures['faces']:,} faces of {figures['set']}, {figures['normalizer'].replace('_', '-')} errors in percent."
    rows = [(f".{format}", *_errors(figures[format])) for format in card["files"]]
    if "clips" in figures:
        clips = figures["clips"]
        rows.append((f"clips of {clips['length']} frames", *_errors(clips)))
    where = f"{latency['runtime']}, {latency['threads']} threads, {latency['machine']}"
    speed = f"One crop takes {latency['ms']:.2f} ms (median, {where})."
    jitter = f" Jitter on the clips: {figures['clips']['jitter']:.2f} %." if "clips" in figures else ""
    table = _table(("file", "NME", "FR 10 %", "AUC 10 %"), rows)
    return "\n\n".join(part for part in ("## Figures", what, table, _resampled(figures), speed + jitter) if part)


def _interval(figures):
    """The interval of the NME behind the NME, where there is one."""
    return f" ({figures['interval'][0]:.2f} to {figures['interval'][1]:.2f})" if "interval" in figures else ""


def _resampled(figures):
    if "interval" not in figures:
        return ""
    low, high = figures["interval"]
    return f"95 % of 10,000 resamples of the {figures['resampled']} have an NME of {low:.2f} to {high:.2f}."


def _weak_spots(card):
    if not card.get("weak_spots"):
        return ""
    rows = [(spot["group"], f"{spot['faces']:,}", _percent(spot["nme"]), _percent(spot["box"])) for spot in card["weak_spots"]]
    table = _table(("rendered faces", "faces", "NME, inter-ocular", "NME, box"), rows)
    return "\n\n".join(["## Where it is weak", NO_CLAIM, table])


def _limits(card):
    return "## Limits\n\n" + "\n".join(f"- {limit}" for limit in [*error_bands.sentences(bands(card)), *card["limits"]])


def _files(card):
    name = card["name"]
    files = card["files"].items()
    rows = [(f"{name}.{format}", file["precision"], f"{file['bytes']:,}", file["sha256"]) for format, file in files]
    return "## Files\n\n" + _table(("file", "weights", "bytes", "SHA-256"), rows)


def _errors(figures):
    return f"{figures['nme']:.2f}", f"{figures['fr@10']:.2f}", f"{figures['auc@10']:.3f}"


def _percent(value):
    return "-" if value is None else f"{value:.2f}"


def _short(value):
    if isinstance(value, float):
        return f"{value:.3g}"
    return " to ".join(map(_short, value)) if isinstance(value, list) else str(value)


def _table(headings, rows):
    lines = [f"| {' | '.join(headings)} |", "|" + "---|" * len(headings)]
    return "\n".join([*lines, *(f"| {' | '.join(map(str, row))} |" for row in rows)])
