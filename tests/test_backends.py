"""Layers, losses, codecs, views, metrics and a training step on the backend that this session does not run on."""

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
    "metrics/test_errors.py",
    "metrics/test_point_variance.py",
    "data/test_views.py",
    "data/test_step_views.py",
    "data/test_resident.py",
)
# On JAX nearly all time is XLA's, which compiles each operation for each shape and runs it once: it need not do that well.
XLA_FLAGS = "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"


def on_backend(backend):
    """The environment of a process whose Keras runs on that backend."""
    return {**os.environ, "KERAS_BACKEND": backend} | ({"XLA_FLAGS": XLA_FLAGS} if backend == "jax" else {})


@pytest.mark.parametrize("backend", ["jax", "tensorflow"])
def test_the_same_tests_pass(backend):
    if keras.config.backend() == backend:
        pytest.skip("this session runs on that backend already")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *(str(TESTS / name) for name in FILES)]
    command += ["--ignore", str(TESTS / "codecs/test_quantization.py")]  # a study of the codecs that the others test
    result = subprocess.run(command, env=on_backend(backend), capture_output=True, text=True, cwd=TESTS.parent)
    assert result.returncode == 0, result.stdout[-5000:] + result.stderr[-2000:]
    assert "passed" in result.stdout


def test_the_package_imports_and_trains_without_tensorflow(tmp_path):
    """TensorFlow is made unimportable; a model with one level of hourglass trains from arrays on JAX, saves and loads."""
    script = f"""
import sys
sys.modules["tensorflow"] = None
import functools, keras, numpy as np, kfacealign as kfa
kfa.models.hih.stacked_hourglass = functools.partial(kfa.models.hih.stacked_hourglass, depth=1)
model = kfa.models.HIH("ibug68", input_size=64, width=8, decimal_size=4, decimal_width=8)
model.compile(keras.optimizers.Adam(1e-3))
images = np.zeros((2, 64, 64, 3), "uint8")
model.fit(images, {{"landmarks": np.full((2, 68, 2), 0.5, "float32")}}, verbose=0)
model.save(r"{tmp_path}/m.keras")
assert keras.saving.load_model(r"{tmp_path}/m.keras").align(images)[0].shape == (2, 68, 2)
"""
    result = subprocess.run([sys.executable, "-c", script], env=on_backend("jax"), capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-3000:]
