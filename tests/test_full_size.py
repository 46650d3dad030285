"""Every method at its paper's size in minutes: the packed file, and the whole of it for one method at toy size, on JAX."""

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

import kfacealign as kfa

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def small_pack(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import small_pack

    return small_pack


def test_a_packed_file_holds_crops_and_points_where_they_were(small_pack, tmp_path):
    """Worked out by hand: landmarks fill a box of 40 pixels around (50, 50); the crop has 1.5 times its side, 60 pixels."""
    image = np.zeros((100, 100, 3), "uint8")
    image[48:52, 48:52] = 255
    paths = [str(tmp_path / f"{name}.png") for name in ("one", "two", "bad")]
    for path in paths[:2]:
        cv2.imwrite(path, image)
    Path(paths[2]).write_bytes(b"no photograph")
    points = np.full((3, 29, 2), 50.0)
    points[:, 0], points[:, 1] = 30, 70
    weights = np.ones((3, 29))
    weights[:, 5] = 0
    train, test = (
        kfa.data.Faces("cofw29", paths[rows], points[rows], weights=weights[rows]) for rows in (slice(0, 1), slice(1, 3))
    )
    dataset = kfa.data.Dataset(
        name="toy", scheme=train.scheme, train=train, test=test, subsets={}, enlarge=1.25, normalizer="inter_ocular"
    )
    with pytest.warns(UserWarning, match=r"bad.png: cannot be read"):
        assert small_pack.write(dataset, tmp_path / "toy.npz", size=120, enlarge=1.5) == 2
    again = small_pack.read(tmp_path / "toy.npz", tmp_path / "faces")
    assert (again.name, again.scheme.name, again.normalizer) == ("toy", "cofw29", "inter_ocular")
    assert (len(again.train), len(again.test)) == (1, 1)
    # Two pixels of the crop to one of the photograph, whose left and upper edge is at 20.
    np.testing.assert_allclose(again.train.landmarks[0, :3], [[20, 20], [100, 100], [60, 60]], atol=1e-3)
    assert np.flatnonzero(again.test.weights[0] == 0).tolist() == [5]
    picture = cv2.imread(again.test.images[0])
    assert picture.shape == (120, 120, 3)
    bright = np.argwhere(picture[..., 0] > 128)
    np.testing.assert_allclose(bright.mean(0) + 0.5, [60, 60], atol=0.6)


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
