"""A backend that is not there is told in one line; TensorFlow searches for GPUs in silence."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import cv2
import keras
import numpy as np
import pytest

from kfacealign import backend
from kfacealign.presets import store

ROOT = Path(__file__).parents[1]


def run(*arguments, backend=None, cwd=ROOT):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **({"KERAS_BACKEND": backend} if backend else {})}
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, cwd=cwd, env=environment, timeout=300)


def test_what_keras_will_take_and_what_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    assert backend.wanted_backend() == ("jax", "the environment variable KERAS_BACKEND")
    monkeypatch.setenv("KERAS_BACKEND", "")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert backend.wanted_backend()[0] == "tensorflow" and "default" in backend.wanted_backend()[1]
    (tmp_path / "keras.json").write_text('{"backend": "torch"}')
    assert backend.wanted_backend() == ("torch", str(tmp_path / "keras.json"))
    (tmp_path / "keras.json").write_text("[]")
    assert backend.wanted_backend()[0] == "tensorflow"


def test_a_backend_that_is_not_there_is_named_with_those_that_are(monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in ("torch", "jax") else real(name))
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    with pytest.raises(ImportError, match=r"KERAS_BACKEND names torch, which is not installed.*\(installed: tensorflow\)"):
        backend.check_backend()
    monkeypatch.setenv("KERAS_BACKEND", "nonsense")
    with pytest.raises(ValueError, match=r"KERAS_BACKEND names 'nonsense', which is no backend of Keras.*tensorflow"):
        backend.check_backend()
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    backend.check_backend()


@pytest.mark.parametrize(
    "command",
    [
        ("-m", "kfacealign", "models"),
        ("-m", "kfacealign", "evaluate", "--model", str(store.path(store.DEFAULT)), "--dataset", "synthetic68"),
        ("recipes/wflw_hih.py", "--scale", "quick"),
        ("recipes/preset_lotr.py",),
        ("recipes/pipnet_compression.py", "--model", "x"),
    ],
)
def test_commands_that_need_keras_and_recipes_end_in_one_line(command):
    done = run(*command, backend="nonsense")
    lines = done.stderr.splitlines()
    assert (done.returncode, len(lines), done.stdout) == (2, 1, "")
    assert lines[0].endswith("which is no backend of Keras: choose one of those installed (tensorflow, jax)")


def test_what_needs_no_keras_asks_for_no_backend(tmp_path):
    assert run("-c", "import kfacealign; kfacealign.schemes.get('ibug68')", backend="nonsense").returncode == 0
    assert run("-m", "kfacealign", "evaluate", "--help", backend="nonsense").returncode == 0
    cv2.imwrite(str(tmp_path / "x.jpg"), np.full((64, 64, 3), 128, "uint8"))
    done = run("-m", "kfacealign", "align", "x.jpg", "--box=4,4,60,60", backend="nonsense", cwd=tmp_path)
    assert done.returncode == 0 and (tmp_path / "aligned" / "x.json").exists(), done.stderr
    done = run(
        "-c",
        "import kfacealign as kfa\ntry:\n    kfa.data.RandomView\nexcept ValueError as error:\n    print(error)",
        backend="x",
    )
    assert done.stdout.startswith("the environment variable KERAS_BACKEND names 'x'")


@pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="TensorFlow is not the backend here")
def test_tensorflow_begins_in_silence_and_is_heard_afterwards():
    script = "import os\nfrom kfacealign.backend import ops\nos.write(2, b'%d' % int(ops.sum(ops.ones((2, 2)))))"
    done = run("-c", script)
    assert (done.returncode, done.stderr) == (0, "4")
