"""What runs, presets and exports leave beside models, and what is read of it later."""

import json
from collections.abc import Sequence
from pathlib import Path

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


NOTES = {
    "card": Target(make=card, call=read_card),
    "state": Target(make=state, call=read_state, needs=("keras",)),
    "report": Target(make=report, call=read_report, needs=("keras",)),
    "predictions": Target(make=predictions, call=read_predictions, needs=("keras",)),
    "facts": Target(make=facts, call=read_facts, needs=("keras",)),
    "calibration": Target(make=calibration, call=read_calibration, needs=("keras", "tensorflow")),
}
