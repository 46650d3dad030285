"""The page's JavaScript modules in Node, and the script that puts models beside the page."""

import importlib.util
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

WEB = Path(__file__).parents[2] / "export" / "web"


def prepare():
    """The module export/web/prepare.py."""
    spec = importlib.util.spec_from_file_location("prepare", WEB / "prepare.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def node(script, argument):
    """What a JavaScript module prints, as JSON; it finds `argument` in `data`."""
    if not shutil.which("node"):
        pytest.skip("node is not installed")
    text = f"import {{readFileSync}} from 'node:fs'; const data = JSON.parse(readFileSync(0, 'utf-8'));\n{script}"
    command = ["node", "--input-type=module", "--eval", text]
    made = subprocess.run(command, input=json.dumps(argument), capture_output=True, text=True, cwd=WEB, check=False)
    assert made.returncode == 0, made.stderr
    return json.loads(made.stdout)


def rgba(picture):
    """A picture (H, W, 3) as the page has it."""
    return {
        "width": picture.shape[1],
        "height": picture.shape[0],
        "data": np.dstack([picture, np.full(picture.shape[:2], 255, "uint8")]).ravel().tolist(),
    }
