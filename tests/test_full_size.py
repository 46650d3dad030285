"""Every method at its paper's size in minutes: the whole of it for one method at toy size, on JAX."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def test_one_method_at_toy_size(tmp_path):
    """It compiles first, trains in a process of its own, and leaves what it says; TensorFlow cannot be imported."""
    (tmp_path / "blocked" / "tensorflow").mkdir(parents=True)
    (tmp_path / "blocked" / "tensorflow" / "__init__.py").write_text("raise ImportError('no TensorFlow here')")
    path = os.pathsep.join([str(BENCHMARKS.parent), str(tmp_path / "blocked")])
    environment = {**os.environ, "KERAS_BACKEND": "jax", "PYTHONPATH": path, "XLA_FLAGS": "--xla_backend_optimization_level=0"}
    command = [
        sys.executable,
        BENCHMARKS / "full_size.py",
        "--smoke",
        "--seconds",
        "0.5",
        "--methods",
        "FAN",
        "--out",
        tmp_path / "out",
    ]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=3600)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    result = json.loads((tmp_path / "out" / "FAN" / "result.json").read_text())
    assert result["method"] == "FAN" and result["px"] == 64 and result["NME"] > 0
    assert (tmp_path / "out" / "table.md").read_text().splitlines()[2].startswith(f"| FAN | {result['NME']} |")
    assert f"| FAN | {result['NME']} |" in done.stdout
    with np.load(tmp_path / "out" / "FAN" / "weights.npz") as weights:
        assert {weights[name].dtype for name in weights.files} == {np.dtype("float16")}
    assert (tmp_path / "out" / "FAN" / "history.csv").read_text().startswith("epoch,share,learning_rate,")
    assert list((tmp_path / "out" / "cache").iterdir()) and (tmp_path / "out" / "FAN" / "predictions.npz").exists()
