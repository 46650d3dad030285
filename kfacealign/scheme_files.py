"""Landmark schemes of users: a file `points.yaml` that says what each point is.

    name: five                     # the file's name where it is left out
    names: [left_eye, right_eye, nose, left_mouth, right_mouth]
    mirror: [1, 0, 2, 4, 3]        # what each point becomes in a mirror; may be left out where names say left and right
    regions: {eyes: [0, 1], nose: [2], mouth: [3, 4]}      # for tables of errors
    contours: {mouth: [3, 4]}      # lines to draw; a closed one is eye: {points: [0, 1, 2], closed: true}
    eye_corners: [0, 1]            # outer corners, between which inter_ocular errors are measured
    pupils: [[0], [1]]             # points whose means are the pupils' centres
    mean_shape: [[0.3, 0.3], ...]  # x, y of each point in a crop, for PIPNet and for faces without labels

Points count from 0 in the order of the annotation files; left and right are sides of the image. Points without names have
their number: `points: 5`. All but the points and their mirror may be left out. The file may be a stranger's; `plain_yaml` says
how it is read.
"""

import argparse
import json
import os
from pathlib import Path
from typing import Any

from kfacealign import mirrors, plain_yaml, schemes
from kfacealign.landmark_scheme import MOST_POINTS, Scheme, SchemeError, brief

SUFFIXES = (".yaml", ".yml", ".json")
KEYS = ("name", "points", "names", "mirror", "regions", "contours", "eye_corners", "pupils", "mean_shape")
RESERVED = (*schemes.BUILT_IN, "ibug51", "ibug49", "common7")  # the last three: `kfacealign.conversions`
# Keys of the file that a `Scheme` calls otherwise.
CALLED = {"point_names": "names"}
HELP = f"a name ({', '.join(schemes.BUILT_IN)}) or a file of points of your own, points.yaml (kfacealign datasets scheme)"


def read(path: str | os.PathLike) -> Scheme:
    """The scheme that a file describes.

    Args:
        path: the file, YAML or JSON.

    Raises:
        OSError: it cannot be read, is no regular file, or is larger than 1 MiB.
        ValueError: it is no such file: a key is unknown or missing, or a value is of another kind or out of range; the message
            names the file, the line and the key.
    """
    content, lines = plain_yaml.read(path)
    try:
        return _scheme(content, Path(path).stem)
    except SchemeError as error:
        key = CALLED.get(error.key, error.key)
        raise ValueError(f"{path}:{lines.get(key, 1)}: {key}: {error.reason}") from None


def find(text: str | Scheme) -> Scheme:
    """The scheme that `--scheme` names: one of `kfacealign.schemes`, or a file.

    Raises:
        OSError: the file cannot be read.
        ValueError: there is neither such a scheme nor such a file, or the file is wrong.
    """
    if isinstance(text, Scheme) or text in schemes.SCHEMES:
        return schemes.get(text)
    if text.lower().endswith(SUFFIXES) or os.path.exists(text):
        return read(text)
    raise ValueError(f"no landmark scheme {text!r}; there are {', '.join(schemes.SCHEMES)}, or name a file such as points.yaml")


def argument(text: str) -> str | Scheme:
    """The type of the flag `--scheme`: a name as it is, or the scheme of a file; argparse prints the errors of `find`.

    Raises:
        argparse.ArgumentTypeError: what `find` raises.
    """
    try:
        return text if text in schemes.SCHEMES else find(text)
    except (ValueError, OSError) as error:
        told = f"{text}: {error.strerror}" if isinstance(error, OSError) and error.strerror else str(error)
        raise argparse.ArgumentTypeError(told) from None


def _scheme(content, stem):
    """The scheme of a file's content; errors are `SchemeError`."""
    unknown = [key for key in content if key not in KEYS]
    if unknown:
        raise SchemeError(unknown[0], f"no such key, expected {', '.join(KEYS)}")
    names = _names(content)
    name = content.get("name") or stem
    if name in RESERVED:
        raise SchemeError("name", f"{name} is a scheme of this package: choose another name")
    mirror = content.get("mirror")
    described = {key: value for key, value in content.items() if key not in ("points", "names")}
    described |= {
        "name": name,
        "point_names": names,
        "mirror": mirrors.by_names(names) if mirror is None else mirror,
        "contours": _contours(content.get("contours")),
    }
    return Scheme.from_config(described)


def _names(content):
    """The names of the points, which may be numbers."""
    count, names = content.get("points"), content.get("names")
    if count is None and names is None:
        raise SchemeError("names", "missing: add names, a list, or points, their number")
    whole = isinstance(count, int) and not isinstance(count, bool) and 1 <= count <= MOST_POINTS
    if count is not None and not whole:
        raise SchemeError("points", f"is {brief(count)}, expected a whole number from 1 to {MOST_POINTS:,}")
    if names is None:
        if content.get("mirror") is None:
            raise SchemeError("mirror", "missing, and there are no names that say left or right: add what each point becomes")
        return [f"point_{number}" for number in range(count)]
    wrong = not isinstance(names, list) or not names or len(names) > MOST_POINTS
    if wrong or not all(isinstance(name, str) for name in names):
        other = None if wrong else next(name for name in names if not isinstance(name, str))
        found = brief(names) if wrong else f"{brief(other)} among them"
        raise SchemeError("names", f"{found}, expected a list of 1 to {MOST_POINTS:,} texts (put numbers between quotes)")
    if count is not None and count != len(names):
        raise SchemeError("points", f"is {count}, but there are {len(names)} names")
    return names


def _contours(value):
    """The contours of a file, name -> points or points and closed, as a `Scheme` has them."""
    if value is None:
        return []
    if not isinstance(value, dict):
        raise SchemeError("contours", f"{brief(value)}, expected names with their points, such as mouth: [3, 4]")
    return [{"name": name, **(line if isinstance(line, dict) else {"points": line})} for name, line in value.items()]


# === Writing ===


def text(scheme: Scheme, *, comments: dict[str, str] | None = None) -> str:
    """The content of a file that `read` reads as this scheme.

    Args:
        scheme: the scheme.
        comments: key -> what is written above it as a comment; keys that the scheme has nothing for are written as comments, too.
    """
    lines = []
    for key, value in _content(scheme).items():
        told = (comments or {}).get(key, "")
        lines += [f"# {line}" for line in told.splitlines()]
        if value is not None:
            lines += _entry(key, value)
    return "\n".join(lines) + "\n"


def _content(scheme):
    """Key of the file -> value, in the file's order; None for what the scheme has not."""
    config = scheme.get_config()
    numbered = config["point_names"] == [f"point_{number}" for number in range(scheme.num_points)]
    whole = {"points": list(range(scheme.num_points))}  # what stands for no regions
    lines = {
        line["name"]: {"points": line["points"], "closed": True} if line["closed"] else line["points"]
        for line in config["contours"]
    }
    return {
        "name": scheme.name,
        "points": scheme.num_points if numbered else None,
        "names": None if numbered else config["point_names"],
        "mirror": config["mirror"],
        "regions": None if config["regions"] == whole else config["regions"],
        "contours": lines or None,
        "eye_corners": config["eye_corners"],
        "pupils": config["pupils"],
        "mean_shape": config["mean_shape"],
    }


def _entry(key: str, value: Any) -> list[str]:
    """The lines of a key with its value as JSON, which is YAML, too; long lists in rows of ten."""
    if isinstance(value, dict):
        return [f"{key}:", *(f"  {_json(name)}: {_json(inner)}" for name, inner in value.items())]
    if not isinstance(value, list) or len(value) <= 10:
        return [f"{key}: {_json(value)}"]
    rows = [value[start : start + 10] for start in range(0, len(value), 10)]
    return [f"{key}: [", *(f"  {_json(row)[1:-1]}," for row in rows), "]"]


def _json(value):
    return json.dumps(value, ensure_ascii=False)
