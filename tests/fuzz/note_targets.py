"""What runs, presets and exports leave beside models, and what is read of it later."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from faults import Found
from shapes import SHAPE
from target import Target, every


def card(root: Path) -> None:
    from kfacealign.presets import store

    (root / "card.json").write_bytes(
        (store.FOLDER / f"{store.DEFAULT}.json").read_bytes().replace(store.DEFAULT.encode(), b"card")
    )


def read_card(root: Path, _: Sequence[str]) -> None:
    """A card is read, and told on a screen and on a page."""
    from kfacealign.presets import cards

    content = cards.read(root / "card.json")
    try:
        cards.row(content), cards.markdown(content)
    except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
        raise Found("exception", f"a card that was accepted cannot be told: {type(error).__name__}: {error}") from error


def state(root: Path) -> None:
    history = [{"epoch": 1, "phase": "main", "loss": 1.5}]
    text = {"checkpoint": "checkpoint-0001.keras", "settings": {"seed": 0, "model": {"stacks": 1}}, "history": history}
    (root / "state.json").write_text(json.dumps(text, indent=1))


def read_state(root: Path, _: Sequence[str]) -> None:
    from kfacealign.training import checkpoint, resuming

    found = checkpoint.read_state(root)
    if found is not None:
        resuming.flattened(found["settings"])
        [row.get("epoch") for row in found["history"]]


def report(root: Path) -> None:
    from kfacealign.evaluation import reports

    shapes = np.stack([SHAPE, SHAPE + 1])
    reports.report(shapes, shapes + 0.5, "ibug68", names=["a.jpg", "b.jpg"]).save(root / "report.json")


def read_report(root: Path, _: Sequence[str]) -> None:
    from kfacealign.evaluation import comparison

    comparison.read_run(root)


def predictions(root: Path) -> None:
    shapes = np.stack([SHAPE, SHAPE + 1]).astype("float32")
    names = np.array(["a", "b"])
    np.savez_compressed(
        root / "predictions.npz", names=names, images=names, landmarks=shapes, truth=shapes, weights=np.ones((2, 68))
    )


def read_predictions(root: Path, _: Sequence[str]) -> None:
    from kfacealign.evaluation import run_files

    run_files.read_predictions(root / "predictions.npz")


def facts(root: Path) -> None:
    from kfacealign.presets import bundling

    text = dict.fromkeys(bundling.NEEDED, "a word") | {"data": [{"name": "a", "faces": 1, "licence": "none"}]}
    (root / "facts.json").write_text(json.dumps(text))
    (root / "spots.json").write_text(json.dumps([{"group": "yaw", "faces": 3, "nme": 1.5, "box": 2.5}]))


def read_facts(root: Path, _: Sequence[str]) -> None:
    from kfacealign.presets import bundling

    every([lambda: bundling.read_facts(root / "facts.json"), lambda: bundling.read_weak_spots(root / "spots.json")])


def calibration(root: Path) -> None:
    np.save(root / "crops.npy", np.zeros((3, 8, 8, 3), "uint8"))


def read_calibration(root: Path, _: Sequence[str]) -> None:
    from kfacealign.deploy.exporting import calibration

    calibration.read_array(root / "crops.npy", 8)


OWN = """# points of a toy
name: five
names: [left_eye, right_eye, nose, left_mouth, right_mouth]
mirror: [1, 0, 2, 4, 3]
regions: {eyes: [0, 1], nose: [2]}
contours:
  mouth: [3, 4]
  eyes: {points: [0, 1, 2], closed: true}
eye_corners: [0, 1]
pupils: [[0], [1]]
mean_shape: [[0.3, 0.3], [0.7, 0.3], [0.5, 0.5], [0.35, 0.7], [0.65, 0.7]]
"""


def scheme(root: Path) -> None:
    (root / "points.yaml").write_text(OWN)


def read_scheme(root: Path, _: Sequence[str]) -> None:
    """A scheme is read, and what was accepted can be mirrored, told and read again."""
    from kfacealign import scheme_files

    found = scheme_files.read(root / "points.yaml")
    check_scheme(found)
    (root / "again.yaml").write_text(scheme_files.text(found), encoding="utf-8")
    if scheme_files.read(root / "again.yaml").get_config() != found.get_config():
        raise Found("values", "a scheme that was written and read again is another")


def check_scheme(found: Any) -> None:
    points, mirror = found.num_points, found.mirror
    if sorted(mirror) != list(range(points)) or any(mirror[mirror[point]] != point for point in range(points)):
        raise Found("values", "a mirror that is not its own inverse")
    used = [*(found.eye_corners or ()), *(point for line in found.contours for point in line.points)]
    if not all(0 <= point < points for point in used) or len(set(found.point_names)) != points:
        raise Found("values", "points that are not there, or have one name")
    if found.mean_shape is not None and not (np.abs(found.mean_shape) <= 10).all():
        raise Found("values", "a mean shape that is nowhere")


def scheme_metadata(root: Path) -> None:
    """What an exported model says of a scheme of its own."""
    from kfacealign import scheme_files

    scheme(root)
    told = scheme_files.read(root / "points.yaml").get_config()
    (root / "points.yaml").unlink()
    told = {"scheme": told.pop("name"), "input_size": 8, "enlarge": 1.25, "num_points": 5, **told}
    (root / "metadata.json").write_text(json.dumps(told))


def read_scheme_metadata(root: Path, _: Sequence[str]) -> None:
    from kfacealign.deploy import metadata

    path = root / "metadata.json"
    check_scheme(metadata.scheme_of(metadata.parse(path.read_bytes(), path), path))


NOTES = {
    "scheme": Target(make=scheme, call=read_scheme, writes=True),
    "scheme-metadata": Target(make=scheme_metadata, call=read_scheme_metadata),
    "card": Target(make=card, call=read_card),
    "state": Target(make=state, call=read_state, needs=("keras",)),
    "report": Target(make=report, call=read_report, needs=("keras",)),
    "predictions": Target(make=predictions, call=read_predictions, needs=("keras",)),
    "facts": Target(make=facts, call=read_facts, needs=("keras",)),
    "calibration": Target(make=calibration, call=read_calibration, needs=("keras", "tensorflow")),
}
