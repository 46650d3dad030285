"""A model without weights for the tests of `kfacealign align`, and the command run with it."""

import cv2
import numpy as np
import pytest

from kfacealign import schemes
from kfacealign.cli import align as command
from kfacealign.cli.main import main

CELLS = np.stack([np.arange(19) % 8, np.arange(19) // 8], axis=-1) / 8


class FixedModel:
    """Finds landmark k of any crop at CELLS[k]; of `trouble` each photograph takes one, which is raised or a factor."""

    scheme, input_size, enlarge = schemes.AFLW19, 16, 1.25

    def __init__(self):
        self.trouble = []

    def align(self, crops, **options):
        trouble = self.trouble.pop(0) if self.trouble else None
        if isinstance(trouble, BaseException):
            raise trouble
        landmarks = np.repeat(CELLS[None].astype("float32"), len(crops), axis=0)
        return (landmarks if trouble is None else landmarks * trouble), np.full((len(crops), 19), 0.5, "float32")


@pytest.fixture
def model(monkeypatch):
    fixed = FixedModel()
    monkeypatch.setattr(command.deploy, "load", lambda path, trust: fixed)
    return fixed


@pytest.fixture
def align(model, tmp_path, monkeypatch):
    """A function that runs `kfacealign align` in an empty folder; by default the face's box is (10, 20, 50, 60)."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.tflite").write_bytes(b"a model")

    def run(*arguments, box="10,20,50,60"):
        boxes = [] if box is None else [f"--box={box}"]
        return main(["align", "--model", "m.tflite", "--out", "out", *boxes, *map(str, arguments)])

    return run


@pytest.fixture
def photo():
    """A function that writes a photograph of 120 x 90 pixels; its folders are made."""
    content = cv2.imencode(".png", np.random.default_rng(0).integers(0, 255, (90, 120, 3), "uint8"))[1].tobytes()

    def write(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    return write
