"""Commands on files of odd names, and stories of photographs, files of the user's and calls of `align`, played for real.

Nothing here raises but what the command itself lets through, and `Found`.
"""

import contextlib
import io
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from faults import Found
from shapes import SHAPE, SHAPES

from kfacealign.console import shown

BOX = "--box=4,4,40,40"


class NoDetector:
    """Finds no face: the boxes are given."""

    name = "none"

    def detect(self, *_: Any, **__: Any) -> Any:
        raise Found("exception", "the detector was asked though boxes were given")


def command(*arguments: str) -> tuple[int, str]:
    """Exit status and printed text of a command, which prints to a stream that takes UTF-8 and nothing else."""
    from kfacealign.cli.main import main

    printed = io.BytesIO()
    stream = io.TextIOWrapper(printed, encoding="utf-8", errors="strict", write_through=True)
    old = sys.stdout, sys.stderr
    sys.stdout = sys.stderr = stream
    try:
        status = main(list(arguments))
    except SystemExit as error:  # of argparse
        status = error.code if isinstance(error.code, int) else 2
    finally:
        sys.stdout, sys.stderr = old
    return status, printed.getvalue().decode("utf-8", "replace")


def told(text: str, names: Sequence[str | os.PathLike]) -> bool:
    """Whether a text has one of the names, as such or as it is printed; how its lines are broken does not count."""
    flat = "".join(text.split())
    return any("".join(str(way).split()) in flat for name in names for way in (shown(name), os.fspath(name)))


def odd_name(root: Path) -> str:
    return os.fsdecode((root / "odd.name").read_bytes())


def placed(root: Path, folder: str, *files: str) -> bool:
    """Copies the photograph to these names; False where the file system refuses one."""
    (root / folder).mkdir(exist_ok=True)
    try:
        for file in files:
            (root / folder / file).write_bytes((root / "photo.image").read_bytes())
    except OSError:
        return False
    return True


def model() -> str:
    from kfacealign.presets import store

    return str(store.FOLDER / f"{store.DEFAULT}.tflite")


# === Odd names ===


def align_odd(root: Path, _: Sequence[str]) -> None:
    """A photograph of an odd name is aligned or named, and the one behind it is aligned all the same."""
    name = odd_name(root)
    if not placed(root, "in", name, "other photo.png"):
        return
    status, text = command("align", f"in/{name}", "in/other photo.png", BOX, "--out", "out", "--model", model())
    if not told(text, [name]):
        raise Found("unnamed", f"align exits with {status} and does not name {shown(name)}: {text[:300]}")
    others = [*(root / "out").glob("other photo.json")]
    if status != 2 and not others:
        raise Found("exception", f"align exits with {status} and the other photograph was not aligned: {text[:300]}")
    if status == 0 and len([*(root / "out").glob("*.json"), *(root / "out").glob(".*.json")]) < 2:
        raise Found("values", f"align exits with 0 and did not write two results: {sorted(os.listdir(root / 'out'))}")
    for path in (root / "out").iterdir():
        if path.name.endswith(".json"):
            json.loads(path.read_text("utf-8"))


def annotated(root: Path, name: str) -> bool:
    """A folder `data` of one photograph of this name and its annotation, unless readers pass over it."""
    if name.startswith(".") or not placed(root, "data", f"{name}.png"):
        return False
    text = "".join(f"{x:.3f} {y:.3f}\n" for x, y in SHAPE / 3)
    (root / "data" / f"{name}.pts").write_text(f"version: 1\nn_points: 68\n{{\n{text}}}\n")
    return True


def check_odd(root: Path, _: Sequence[str]) -> None:
    if annotated(root, odd_name(root)):
        status, text = command("datasets", "check", "pts", "data", "--scheme", "ibug68", "--faces", "1", "--out", "out")
        if status == 2 and not told(text, [odd_name(root)]):
            raise Found("unnamed", f"datasets check exits with 2 and does not name {shown(odd_name(root))}: {text[:300]}")


def pack_odd(root: Path, _: Sequence[str]) -> None:
    """What was packed is read back, with one face whose name is told."""
    if not annotated(root, odd_name(root)):
        return
    from kfacealign.data.readers.packed import packed

    status, text = command("datasets", "pack", "pts", "data", "out.h5", "--scheme", "ibug68", "--size", "16")
    if status == 2 and not told(text, [odd_name(root)]):
        raise Found("unnamed", f"datasets pack exits with 2 and does not name {shown(odd_name(root))}: {text[:300]}")
    if status == 0:
        dataset = packed(root / "out.h5")
        names = [*dataset.train.names, *dataset.test.names]
        if len(names) != 1 or not told(names[0], [odd_name(root)]):
            raise Found("values", f"packed as {names!r}")


def score_odd(root: Path, _: Sequence[str]) -> None:
    if annotated(root, odd_name(root)):
        (root / "data" / f"{odd_name(root)}.png").unlink()
        status, text = command("score", "--scheme", "ibug68", "--truth", "data", "--predictions", "data")
        if status == 2 and not told(text, [odd_name(root)]):
            raise Found("unnamed", f"score exits with 2 and does not name {shown(odd_name(root))}: {text[:300]}")


def report_odd(root: Path, _: Sequence[str]) -> None:
    """A report, its page and its pictures of a face and a subset of an odd name; the name is no markup of the page."""
    if not placed(root, "data", odd_name(root)):
        return
    from reading_targets import Middle

    from kfacealign import evaluation
    from kfacealign.data.faces import Faces
    from kfacealign.evaluation import run_files

    name, shape = odd_name(root), SHAPES["aflw19"] / 3
    faces = Faces("aflw19", [f"data/{name}", "photo.image"], np.stack([shape, shape + 1]), names=[name, "plain"])
    report = evaluation.evaluate(Middle(), faces, subsets={name: [0]}, normalizer="image")
    str(report)
    run_files.write_run(root / "out", report, faces, size=32)
    page = (root / "out" / "report.html").read_text("utf-8")
    if "<script>" in name and "x<script>".join(name.split("<script>")) in page:
        raise Found("values", "the page holds the name as markup")
    run_files.read_predictions(root / "out" / "predictions.npz")


# === Results ===


def play(root: Path, _: Sequence[str]) -> None:
    """Plays a story line by line.

    `photo F` writes a photograph, `user F` a file of the user's, `link F TO` a link, `frozen F` makes a folder in which nothing
    can be written (but by root, who may write everywhere), and `align OUT F...` is the command. After each call, no file of the
    user's is another, and no result belongs to another photograph than it did.
    """
    try:
        play_lines(root)
    finally:
        for folder in [path for path in root.rglob("*") if path.is_dir() and not path.is_symlink()]:
            folder.chmod(0o755)


def play_lines(root: Path) -> None:
    kept, results = {}, {}
    for number, line in enumerate((root / "story.scene").read_text("utf-8", "replace").splitlines()):
        words = line.split()
        if len(words) < 2:
            continue
        if words[0] == "align":
            align_step(root, words, kept, results)
            continue
        path = root / words[1]
        if words[0] == "frozen":
            with contextlib.suppress(OSError):
                path.mkdir(exist_ok=True)
                path.chmod(0o555)
            continue
        if path.exists() or path.is_symlink():
            continue
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            if words[0] == "link":
                path.symlink_to(root / words[-1])
                continue
            image = np.random.default_rng(number).integers(0, 255, (48, 48, 3), "uint8")
            path.write_bytes(cv2.imencode(".png", image)[1].tobytes() if words[0] == "photo" else line.encode())
            kept[path] = path.read_bytes()


def align_step(root: Path, words: Sequence[str], kept: dict[Path, bytes], results: dict[Path, str]) -> None:
    """One call of the command, and what must be as it was."""
    status, text = command("align", *words[2:], BOX, "--out", words[1], "--model", model())
    for path, content in kept.items():
        if not path.is_file() or path.read_bytes() != content:
            raise Found("replaced", f"{' '.join(words)}: the user's {path.relative_to(root)} is another or gone")
    for path, photo in results.items():
        found = claimed(path)
        if found != photo:
            raise Found("replaced", f"{' '.join(words)}: {path.relative_to(root)} was of {photo} and is of {found}")
    if status not in (0, 1, 2):
        raise Found("exception", f"{' '.join(words)}: exit status {status}")
    if status and not told(text, words[1:]):
        raise Found("unnamed", f"{' '.join(words)}: names no file: {text[:300]}")
    out = root / words[1]
    for path in out.iterdir() if out.is_dir() else ():
        photo = claimed(path) if path.suffix == ".json" and path not in kept else None
        if photo is not None:
            results[path] = photo


def claimed(path: Path) -> str | None:
    """The photograph that a result says it is of, as a path without `.` and `..`."""
    try:
        return os.path.normpath(json.loads(path.read_text("utf-8"))["photo"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
