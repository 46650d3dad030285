"""What the command imports: `--help` and running a bundled `.tflite` file need no training framework."""

import json
import subprocess
import sys

import cv2
import numpy as np
import pytest

from kfacealign.cli.main import COMMANDS
from kfacealign.data import SyntheticFaces
from kfacealign.data.readers.pts import read_pts
from kfacealign.presets import store

HEAVY = ("keras", "tensorflow", "jax", "torch", "matplotlib", "scipy", "h5py")

# It prints every help in one process, and says for each command what has been imported by then.
HELPS = """
import contextlib, io, sys
from kfacealign.cli.main import COMMANDS, main

heavy = sys.argv[1:]
for words in (["--help"], *([command, "--help"] for command in COMMANDS)):
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            main(words)
    except SystemExit as end:
        assert end.code == 0, words
    assert printed.getvalue().startswith("usage: kfacealign"), words
    print(" ".join(words), *[name for name in heavy if name in sys.modules])
"""

# The first argument names modules that cannot be imported; the others are the command line.
WITHOUT = """
import sys

for name in sys.argv[1].split(","):
    sys.modules[name] = None
from kfacealign.cli.main import main

sys.exit(main(sys.argv[2:]))
"""


def python(*arguments, cwd=None):
    """A finished process of Python's own; its standard output and error are text."""
    done = subprocess.run([sys.executable, *arguments], cwd=cwd, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def test_python_m_kfacealign_imports_nothing_heavy():
    done = python("-X", "importtime", "-m", "kfacealign", "--help")
    assert all(command in done.stdout for command in COMMANDS)
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert "kfacealign" in imported and not imported & set(HEAVY)


def test_no_help_of_a_command_imports_anything_heavy():
    lines = python("-c", HELPS, *HEAVY).stdout.splitlines()
    assert lines == ["--help", *(f"{command} --help" for command in COMMANDS)]


@pytest.mark.skipif(store.DEFAULT not in store.names(), reason="this copy has no bundled presets")
def test_a_photograph_is_aligned_where_nothing_heavy_can_be_imported(tmp_path):
    # A face that OpenCV's detector finds.
    face = SyntheticFaces(seed=3, size=384).render(0)
    assert cv2.imwrite(str(tmp_path / "face.png"), cv2.cvtColor(face.image, cv2.COLOR_RGB2BGR))
    printed = python("-c", WITHOUT, ",".join(HEAVY), "align", "face.png", "--out", "out", cwd=tmp_path).stdout
    assert f"model: {store.DEFAULT} (tflite)" in printed and "face.png: 1 face, mean score 0." in printed
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["face.json", "face.pts", "face_landmarks.png"]
    (found,) = json.loads((tmp_path / "out" / "face.json").read_text())["faces"]
    truth = face.landmarks["ibug68"]
    distances = np.linalg.norm(np.array(found["landmarks"]) - truth, axis=-1)
    assert distances.mean() < 0.05 * np.linalg.norm(truth[36] - truth[45])
    np.testing.assert_allclose(read_pts(tmp_path / "out" / "face.pts"), found["landmarks"], atol=2e-3)
