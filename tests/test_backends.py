"""Layers, losses, codecs, views, metrics and a training step on the backend that this session does not run on."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import keras
import pytest

TESTS = Path(__file__).parent
FILES = (
    "layers",
    "losses",
    "codecs",
    "models/test_training_step.py",
    "evaluation/test_metrics.py",
    "evaluation/test_point_variance.py",
    "data/test_views.py",
)


@pytest.mark.parametrize("backend", ["jax", "tensorflow"])
def test_the_same_tests_pass(backend):
    if keras.config.backend() == backend:
        pytest.skip("this session runs on that backend already")
    environment = {**os.environ, "KERAS_BACKEND": backend}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *(str(TESTS / name) for name in FILES)]
    command += ["--ignore", str(TESTS / "codecs/test_quantization.py")]  # a study of the codecs that the others test
    if importlib.util.find_spec("xdist"):
        # These files are a third of all time, and the last: both processes of `make test` should have a part in them.
        command += ["--numprocesses", "2", "--dist", "loadfile"]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=TESTS.parent)
    assert result.returncode == 0, result.stdout[-5000:] + result.stderr[-2000:]
    assert "passed" in result.stdout


def test_the_package_imports_and_trains_without_tensorflow(tmp_path):
    """TensorFlow is made unimportable; a model trains from arrays on JAX, saves and loads."""
    script = f"""
import sys
sys.modules["tensorflow"] = None
import keras, numpy as np, kfacealign as kfa
model = kfa.models.HIH("ibug68", input_size=64, width=8, decimal_size=4, decimal_width=8)
model.compile(keras.optimizers.Adam(1e-3), jit_compile=False)
images = np.zeros((2, 64, 64, 3), "uint8")
model.fit(images, {{"landmarks": np.full((2, 68, 2), 0.5, "float32")}}, verbose=0)
model.save(r"{tmp_path}/m.keras")
assert keras.saving.load_model(r"{tmp_path}/m.keras").align(images)[0].shape == (2, 68, 2)
"""
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    result = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-3000:]
