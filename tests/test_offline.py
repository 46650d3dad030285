"""Nothing is sent anywhere: photographs are aligned, a model is trained and exported where every socket raises."""

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).with_name("offline.py")


def test_align_train_and_export_ask_nobody(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(SCRIPT.parents[1]), "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, str(SCRIPT), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=3600)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines()[-1] == "asked: []"
